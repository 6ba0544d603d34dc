//! What a client tells whoever uses it.

use serde_json::value::RawValue;
use wharf_proto::{
    dialect::centrifuge_json::client::answer::{Info, Published, ServerError, ServerReply},
    websocket::{CloseCode, FrameError},
};

use super::conversation::Position;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The server knows the client now.
    Connected {
        /// The connection's identifier.
        client: String,
        /// The server's version.
        version: String,
    },
    /// The client is in the channel. Publications that were missed follow.
    Subscribed {
        /// Which channel.
        channel: String,
        /// Nothing is missing since the position that the client asked from.
        recovered: bool,
        /// The client asked to recover. With `recovered` false: publications were lost.
        was_recovering: bool,
        /// Where the subscription starts; none where the channel keeps no positions.
        position: Option<Position>,
    },
    /// The client is no longer in the channel. From code 2500 on it is about to join again.
    Unsubscribed {
        /// Which channel.
        channel: String,
        /// An error code (100-113) or an unsubscribe code (from 2000).
        code: u32,
        /// For people.
        reason: String,
    },
    /// The content of a channel; each once and in order.
    Publication {
        /// Which channel.
        channel: String,
        /// What was published.
        publication: Published,
    },
    /// A client joined.
    Join {
        /// Which channel.
        channel: String,
        /// Who.
        info: Info,
    },
    /// A client left.
    Leave {
        /// Which channel.
        channel: String,
        /// Who.
        info: Info,
    },
    /// A message to this client alone.
    Message {
        /// The message.
        data: Option<Box<RawValue>>,
    },
    /// The answer to a request.
    Answer {
        /// The number that the request was given.
        id: u32,
        /// The answer.
        result: Result<Box<ServerReply>, ServerError>,
    },
    /// The connection is gone; unless `ending.reconnects`, for good.
    Disconnected {
        /// Why.
        ending: Ending,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Ending {
    /// The server's code (from 1000), an error's (100-1999), or one of the client's own (below 100), which are those
    /// of the official SDKs.
    pub code: u32,
    /// For people.
    pub reason: String,
    /// The client comes back by itself.
    pub reconnects: bool,
}

impl Ending {
    fn own(code: u32, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), reconnects: true }
    }

    /// The transport was cut or ended without a code.
    pub fn transport_closed(reason: impl Into<String>) -> Self {
        Self::own(1, reason)
    }

    /// A WebSocket ended and no close frame came. RFC 6455 section 7.1.5: that counts as 1006.
    pub fn without_close(reason: impl Into<String>) -> Self {
        Self::own(1006, reason)
    }

    /// The server closed its WebSocket. RFC 6455 section 7.1.5: a close frame without a code counts as 1005.
    pub fn of_close(code: Option<CloseCode>, reason: impl Into<String>) -> Self {
        Self::by_server(code.map_or(1005, CloseCode::number).into(), reason)
    }

    /// What the server sent on a WebSocket breaks a rule, or a bound of the client's; it would again.
    pub fn broken_rule(error: &FrameError) -> Self {
        match error {
            FrameError::MessageTooLong { .. } | FrameError::TooManyFragments { .. } => {
                Self::unreadable(format!("the server's message is more than this client takes: {error}"))
            }
            rule => Self::unreadable(format!("the server broke a rule of WebSocket: {rule}")),
        }
    }

    /// The server fell silent.
    pub fn no_ping() -> Self {
        Self::own(2, "no ping came in time")
    }

    /// A command was not answered in time.
    pub fn no_answer(what: &str) -> Self {
        Self::own(3, format!("no answer to {what} came in time"))
    }

    /// A publication is missing; it is recovered on the next connection.
    pub fn gap(channel: &str, have: u64, found: u64) -> Self {
        Self::own(
            5,
            format!("after offset {have} of channel {channel} came {found}; recovering what is missing"),
        )
    }

    /// What the server said cannot be read; on another connection it could not either.
    pub fn unreadable(reason: impl Into<String>) -> Self {
        Self { reconnects: false, ..Self::own(6, reason) }
    }

    /// The connect command was answered with an error.
    pub fn refused(error: &ServerError) -> Self {
        Self {
            code: error.code,
            reason: error.message.clone(),
            reconnects: error.temporary || error.code < 100,
        }
    }

    /// The server ended the connection with a code.
    pub fn by_server(code: u32, reason: impl Into<String>) -> Self {
        // Centrifuge protocol, disconnect codes: 3500-3999 and 4500-4999 are final. Below 3000 is the transport's,
        // of which 1009 (a message too long) would come again.
        let reconnects = !matches!(code, 3500..=3999 | 4500..=4999 | 1009);
        Self { code, reason: reason.into(), reconnects }
    }
}
