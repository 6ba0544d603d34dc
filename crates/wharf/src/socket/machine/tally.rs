//! What went through a socket.

/// Counts of one socket, over all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Connections so far.
    pub connections: u64,
    /// Bytes that came, the framing's counted.
    pub bytes_in: u64,
    /// Bytes that the kernel, or TLS, took.
    pub bytes_out: u64,
    /// Messages that came, heartbeats counted; without a framing, pieces of the stream.
    pub messages_in: u64,
    /// Messages that were written and went out.
    pub messages_out: u64,
    /// Datagrams that came and were dropped: too long, not what the framing asks for, or faster than they were read.
    pub dropped_in: u64,
    /// Messages that were accepted, and dropped when the connection or the socket ended.
    pub unsent: u64,
    /// Beats and pings of the peer's that were not answered, since too many answers waited.
    pub unanswered: u64,
}
