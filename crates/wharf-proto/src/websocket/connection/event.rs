//! What a connection tells its owner.

use bytes::Bytes;

use crate::websocket::{CloseCode, FrameError, MessageKind, WebsocketEvent};

/// Something that the peer said, or the connection's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One whole message.
    Message {
        /// Text or binary. The payload of text is valid UTF-8.
        kind: MessageKind,
        /// The message: its fragments joined, unmasked and inflated.
        payload: Bytes,
    },
    /// A ping, which was answered; in a flood of them the latest is.
    Ping(Bytes),
    /// The answer to a ping, or an unasked sign of life.
    Pong(Bytes),
    /// The last event. What is still to be done with the socket is in the connection's state.
    Ended(End),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The peer sent a close frame, and so did we: nothing is lost.
    Closed {
        /// Why, for programs; a close frame may come without.
        code: Option<CloseCode>,
        /// Why, for people.
        reason: Box<str>,
    },
    /// The peer broke a rule, and was told which.
    Failed(FrameError),
    /// The stream ended without a close frame.
    Lost,
    /// The caller waited long enough.
    TimedOut,
}

impl End {
    /// The number that says it in other interfaces to WebSocket: the peer's code, 1005 for a close frame without one,
    /// 1006 where none came (RFC 6455 section 7.1.5).
    pub fn code(&self) -> u16 {
        match self {
            Self::Closed { code, .. } => code.map_or(1005, CloseCode::number),
            Self::Failed(_) | Self::Lost | Self::TimedOut => 1006,
        }
    }
}

impl From<WebsocketEvent<'_>> for Event {
    fn from(event: WebsocketEvent<'_>) -> Self {
        match event {
            WebsocketEvent::Message { kind, payload, .. } => {
                Self::Message { kind, payload: Bytes::copy_from_slice(payload) }
            }
            WebsocketEvent::Ping(payload) => Self::Ping(Bytes::copy_from_slice(payload)),
            WebsocketEvent::Pong(payload) => Self::Pong(Bytes::copy_from_slice(payload)),
            WebsocketEvent::Close { code, reason } => {
                Self::Ended(End::Closed { code, reason: reason.into() })
            }
        }
    }
}
