//! The bytes of Wharf: what a message is, where it ends, and what it means on the wire.
//!
//! This crate is told things and asked for bytes. It knows no socket, no runtime and no clock, and has no
//! randomness of its own: whoever drives it brings these.
//!
//! * [`message`]: the words that every dialect shares: Command, Reply, Push, Publication, Position.
//! * [`wire`]: Dialect and Framing, and the small number that names a pair of them.
//! * [`websocket`]: the RFC 6455 codec.
//! * [`framing`]: where a message ends on streams other than WebSocket.
//! * [`dialect`]: what a message means.
//! * [`json`]: appends JSON to buffers.
//! * [`http`]: the byte-level guard in front of an HTTP parser.
#![forbid(unsafe_code)]

pub mod dialect;
pub mod disconnect;
pub mod error;
pub mod framing;
pub mod http;
pub mod json;
pub mod message;
pub mod websocket;
pub mod wire;

pub use disconnect::Disconnect;
pub use error::PeerError;
