//! The WebSocket codec (RFC 6455), sans-IO, for both roles.
//!
//! It is told bytes and says what they mean; it is told what to say and gives bytes. It knows no socket, runtime
//! or clock, spawns nothing and has no randomness of its own: a client hands in its key and masks.
//!
//! # Where it stands
//!
//! ```text
//!              your program: messages
//!                │               ▲
//!   ┌────────────▼───────────────┴─────────────┐
//!   │ Connection    answers pings and closes   │  all of it, for one connection
//!   │ ┌──────────────────────────────────────┐ │
//!   │ │ handshake   request, answer, refusal │ │
//!   │ │ deflate     RFC 7692                 │ │  or its parts, for many
//!   │ │ WebsocketDeframer        write_frame │ │
//!   │ └──────────────────────────────────────┘ │
//!   └────────────▲───────────────┬─────────────┘
//!                │               ▼
//!        bytes, from and to a socket of yours
//! ```
//!
//! | to | use |
//! |---|---|
//! | have all of it done for one connection | [`ServerHandshake`], [`ClientHandshake`], [`Connection`]; see [`connection`] |
//! | answer a client's handshake | [`handshake::accept`], which is given a parsed request head |
//! | begin a handshake as client | [`handshake::ClientRequest`] |
//! | read | [`WebsocketDeframer`]: joins fragments, takes masks off, checks every rule; zero copy for whole messages |
//! | write | [`write_frame`], [`write_close`]; [`write_header`] for a payload that goes out from where it lies |
//!
//! A server's frames carry no mask, so the same bytes serve every receiver: encode once, share the buffer.
//!
//! The peer's faults are [`FrameError`], one variant a rule, each with its clause and close code. Memory is bounded
//! by [`DeframeLimits`] and taken as bytes come, never by a length that was only
//! declared; a connection that waits holds a deframer of at most 48 bytes.
//!
//! Messages may be compressed (RFC 7692), where both sides agree on it: see [`deflate`]. Off unless asked for.
//!
//! The parts leave out the reaction to a ping or close, which [`Connection`] has (a driver of its own knows whether it
//! may still write); and nothing here fragments what is written, since a message is whole in memory by then.
//!
//! # Example
//!
//! Both ends of a [`Connection`]:
//!
//! ```
//! use wharf_proto::websocket::{CloseCode, Connection, DeframeLimits, Event, MessageKind, State};
//!
//! let mut server = Connection::server(DeframeLimits::default());
//! let mut client = Connection::client(DeframeLimits::default(), || [1, 2, 3, 4]); // In earnest `rand::random`.
//!
//! client.send_text("ahoy").unwrap();
//! client.close(CloseCode::NORMAL, "");
//! server.receive(&client.output().split());
//! let message = Event::Message { kind: MessageKind::Text, payload: "ahoy".into() };
//! assert_eq!(server.poll_event(), Some(message));
//! assert!(matches!(server.poll_event(), Some(Event::Ended(end)) if end.code() == 1000));
//! assert_eq!(server.state(), State::Finished); // Both close frames are there: the server ends the stream.
//!
//! client.receive(&server.output().split());
//! assert!(matches!(client.poll_event(), Some(Event::Ended(_))));
//! ```
//!
//! The parts alone, in a server that says back what it hears:
//!
//! ```
//! use bytes::BytesMut;
//! use wharf_proto::websocket::{DeframeLimits, MessageKind, Opcode, Role, WebsocketDeframer, WebsocketEvent};
//! use wharf_proto::websocket::{write_close, write_frame};
//!
//! /// Takes what a socket read, and leaves in `answer` what it is to write. False: close after writing.
//! fn echo(deframer: &mut WebsocketDeframer, input: &mut [u8], answer: &mut BytesMut) -> bool {
//!     let mut closes = None;
//!     let result = deframer.feed(input, &mut |event| match event {
//!         WebsocketEvent::Message { kind, payload, .. } => {
//!             let opcode = match kind {
//!                 MessageKind::Text => Opcode::Text,
//!                 MessageKind::Binary => Opcode::Binary,
//!             };
//!             write_frame(answer, opcode, payload, None);
//!         }
//!         WebsocketEvent::Ping(payload) => write_frame(answer, Opcode::Pong, payload, None),
//!         WebsocketEvent::Pong(_) => {}
//!         WebsocketEvent::Close { code, .. } => closes = Some(code),
//!     });
//!     match (result, closes) {
//!         // A close that came as well came behind what is wrong.
//!         (Err(error), _) => {
//!             let code = wharf_proto::websocket::CloseCode::new(error.close_code());
//!             write_close(answer, code, &error.to_string(), None);
//!             false
//!         }
//!         (Ok(()), Some(code)) => {
//!             write_close(answer, code, "", None);
//!             false
//!         }
//!         (Ok(()), None) => true,
//!     }
//! }
//!
//! let mut deframer = WebsocketDeframer::new(Role::Server, DeframeLimits::default());
//! let mut answer = BytesMut::new();
//!
//! // A client masks, with four random bytes for each frame.
//! let mut from_client = BytesMut::new();
//! write_frame(&mut from_client, Opcode::Text, b"ahoy", Some([1, 2, 3, 4]));
//! let (one, other) = from_client.split_at_mut(3); // However the bytes come.
//! assert!(echo(&mut deframer, one, &mut answer));
//! assert!(answer.is_empty());
//! assert!(echo(&mut deframer, other, &mut answer));
//! assert_eq!(answer[..], *b"\x81\x04ahoy");
//!
//! // A frame without a mask breaks a rule, and the answer names it.
//! answer.clear();
//! assert!(!echo(&mut deframer, &mut *b"\x81\x04ahoy".to_vec(), &mut answer));
//! assert_eq!(answer[4..], *b"a client frame must be masked");
//! assert_eq!(answer[2..4], 1002_u16.to_be_bytes());
//! ```

mod close;
pub mod connection;
pub mod deflate;
mod deframer;
mod error;
mod frame;
pub mod handshake;
mod mask;
mod message;
mod payload;
mod utf8;

pub use close::{CloseCode, MAX_REASON_BYTES, parse_close, write_close};
pub use connection::{ClientHandshake, Connection, End, Event, SendError, ServerHandshake, State};
pub use deframer::{WebsocketDeframer, WebsocketEvent};
pub use error::FrameError;
pub use frame::{
    FrameHeader, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, Opcode, ReservedBits, write_frame, write_header,
};
pub use mask::apply_mask;
pub use message::{DeframeLimits, MessageKind};
pub use utf8::{InvalidUtf8, Utf8Stream};

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads masked frames, writes unmasked ones.
    Server,
    /// Reads unmasked frames, writes masked ones.
    Client,
}
