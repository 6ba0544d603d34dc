//! The registry of framings: where a message ends. To add one: a file beside this, and a line in [`ALL`] and
//! [`FramingId`].
//!
//! | framing | used by |
//! |---|---|
//! | `websocket` | WebSocket (RFC 6455): JSON in text frames |
//! | `lines` | JSON lines over TCP and Unix paths; HTTP/2 streams and polls: a message and a LF |
//! | `sse` | Server-sent events: a message in `data:` lines and an empty line |
//! | `plain` | Messages that bring their own end |
//! | `chunked_*` | The same inside HTTP/1.1 chunked transfer coding |

pub mod websocket;

use crate::wire::Framing;

/// The place of a framing in [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum FramingId {
    Websocket,
    Lines,
    Sse,
    Plain,
    ChunkedLines,
    ChunkedSse,
    ChunkedPlain,
}

/// All framings, in the order of [`FramingId`].
pub const ALL: &[&dyn Framing] = &[];
