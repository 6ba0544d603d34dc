//! HTTP/1.x at the level of bytes: what must be checked before a parser is believed.
//!
//! The [`Guard`] stands between a socket and an HTTP parser. It lets nothing through that two parsers could read
//! differently, follows every body so that it knows where the next request starts, and shows each whole
//! [`Head`] before the parser sees a byte of it, so that a request can be routed elsewhere instead. It is told
//! bytes and says how many of them may pass; the buffer is the caller's. It does not know routes, times or
//! responses, and does not watch the parser's answers.
//!
//! # The loop around it
//!
//! The caller reads into one buffer and asks again until the guard needs more. On a [`Refusal`] the parser is
//! told that the stream has ended; when it has answered the requests before, and if the refusal came before a
//! head was passed on (between [`Step::End`] and [`Step::Head`]), [`Refusal::write_response`] is sent; then
//! the connection closes.
//!
//! ```
//! use bytes::{Buf, BytesMut};
//! use wharf_proto::http::{Guard, GuardLimits, Refusal, Step};
//!
//! /// Moves what may pass from `buffer` to `parser`. False: a head came that is not the parser's, and stands
//! /// unread at the start of `buffer`.
//! fn pump(guard: &mut Guard, buffer: &mut BytesMut, parser: &mut Vec<u8>) -> Result<bool, Refusal> {
//!     loop {
//!         let (take, pass) = match guard.step(buffer)? {
//!             Step::NeedMore => return Ok(true),
//!             Step::Head(head) if head.path() == "/events" => return Ok(false),
//!             Step::Head(head) => (head.len(), head.len()),
//!             Step::Bytes { take, pass } => (take, pass),
//!             Step::End => continue,
//!         };
//!         parser.extend_from_slice(&buffer[..pass]);
//!         buffer.advance(take);
//!     }
//! }
//!
//! let mut guard = Guard::new(GuardLimits::default());
//! let (mut buffer, mut parser) = (BytesMut::new(), Vec::new());
//!
//! // What comes in pieces passes when it is whole and judged; trailers and chunk extensions do not pass at all.
//! buffer.extend_from_slice(b"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Enc");
//! assert!(pump(&mut guard, &mut buffer, &mut parser)?);
//! assert!(parser.is_empty());
//! buffer.extend_from_slice(b"oding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nAuthorization: me\r\n\r\n");
//! assert!(pump(&mut guard, &mut buffer, &mut parser)?);
//! assert!(parser.ends_with(b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
//!
//! // A request for someone else never reaches the parser.
//! buffer.extend_from_slice(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
//! assert!(!pump(&mut guard, &mut buffer, &mut parser)?);
//! assert!(buffer.starts_with(b"GET /events"));
//!
//! // A request that could be read in two ways is refused.
//! let mut guard = Guard::new(GuardLimits::default());
//! let mut buffer = BytesMut::from("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
//! let refusal = pump(&mut guard, &mut buffer, &mut parser).unwrap_err();
//! assert_eq!((refusal, refusal.status()), (Refusal::SpaceBeforeColon, 400));
//! # Ok::<(), Refusal>(())
//! ```

mod chunked;
mod field;
mod guard;
mod head;
mod host;
mod judge;
mod limits;
mod origin;
mod path;
mod refusal;
mod target;

pub use field::is_field_value;
pub use guard::{Guard, Step};
pub use head::{BodyLength, Fields, Head};
pub use host::{Host, HostName};
pub use limits::GuardLimits;
pub use origin::{Origin, OriginPattern, OriginPatternError, OriginRule};
pub use path::is_normal_path;
pub use refusal::Refusal;
