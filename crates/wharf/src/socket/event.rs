//! What a socket tells.

use std::time::Duration;

use bytes::Bytes;

use super::End;

/// What happened to a socket, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a connection.
    Opened {
        /// Which: 1 is the first.
        connection: u64,
    },
    /// A message came; without a framing, a piece of the stream.
    Message(Bytes),
    /// The connection ended, and the socket comes back. (An end for good is told by the end of the events.)
    Lost {
        /// How.
        end: End,
        /// When the next is dialled.
        retry_in: Duration,
        /// Messages that were dropped, by [`Unsent::Refuse`](super::Unsent::Refuse).
        unsent: usize,
    },
}
