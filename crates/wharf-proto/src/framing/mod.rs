//! The registry of framings: where a message ends. To add one: a file beside this, and a line in [`ALL`] and
//! [`FramingId`].
//!
//! | framing | used by |
//! |---|---|
//! | `websocket` | WebSocket (RFC 6455): JSON in text frames |
//! | `websocket_deflate` | The same where both sides agreed on compression (RFC 7692) |
//! | `lines` | JSON lines over TCP and Unix paths; HTTP/2 streams and polls: a message and a LF |
//! | `sse` | Server-sent events: a message in `data:` lines and an empty line |
//! | `plain` | Messages that bring their own end |
//! | `chunked_*` | The same inside HTTP/1.1 chunked transfer coding |

use crate::wire::Framing;

pub mod chunked;
pub mod lines;
pub mod plain;
pub mod sse;
pub mod sse_reader;
#[cfg(test)]
pub(crate) mod testing;
pub mod websocket;

pub use chunked::Chunked;
pub use lines::Lines;
pub use plain::Plain;
pub use sse::Sse;

/// The place of a framing in [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum FramingId {
    Websocket,
    WebsocketDeflate,
    Lines,
    Sse,
    Plain,
    ChunkedLines,
    ChunkedSse,
    ChunkedPlain,
}

/// All framings, in the order of [`FramingId`].
pub const ALL: &[&dyn Framing] = &[
    &websocket::WEBSOCKET,
    &websocket::WEBSOCKET_DEFLATE,
    &Lines,
    &Sse,
    &Plain,
    &Chunked::new("chunked_lines", Lines),
    &Chunked::new("chunked_sse", Sse),
    &Chunked::new("chunked_plain", Plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_its_place() {
        use FramingId::*;
        let expected = [
            (Websocket, "websocket"),
            (WebsocketDeflate, "websocket_deflate"),
            (Lines, "lines"),
            (Sse, "sse"),
            (Plain, "plain"),
            (ChunkedLines, "chunked_lines"),
            (ChunkedSse, "chunked_sse"),
            (ChunkedPlain, "chunked_plain"),
        ];
        assert_eq!(ALL.len(), expected.len());
        for (id, name) in expected {
            assert_eq!(ALL[id as usize].name(), name);
        }
    }
}
