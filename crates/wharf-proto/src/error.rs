//! Whose fault it is: [`PeerError`] says that the peer broke the protocol and ends its connection.

use crate::{Disconnect, websocket::FrameError};

/// The peer broke the protocol. The connection ends with [`PeerError::disconnect`]'s code; no other connection
/// is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// A WebSocket rule was broken.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is longer than the limit.
    #[error("the message is longer than the limit of {limit} bytes")]
    MessageTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message cannot be read as a command; the text says where and why.
    #[error("the message is not a command: {0}")]
    Undecodable(Box<str>),
    /// A frame or request without any message in it.
    #[error("the message is empty")]
    Empty,
    /// A command without a number that needs one, or without a request.
    #[error("the command has no id or no request")]
    IncompleteCommand,
    /// Whoever vouches for the peers of this listener does not let it in, or lets it stay no longer.
    #[error("{}", .0.reason)]
    Refused(Disconnect),
}

impl PeerError {
    /// How the connection ends, for everybody who does not see the transport's own code.
    pub fn disconnect(&self) -> Disconnect {
        match self {
            Self::Frame(error) => Disconnect { code: error.close_code(), reason: error.to_string().into() },
            Self::MessageTooLong { .. } => Disconnect { code: 1009, reason: self.to_string().into() },
            Self::Refused(disconnect) => disconnect.clone(),
            _ => Disconnect::BAD_REQUEST.with_reason(self.to_string()),
        }
    }
}
