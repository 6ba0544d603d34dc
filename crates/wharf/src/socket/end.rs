//! How sockets end, and why a write is not taken.

use std::io;

use wharf_proto::PeerError;

use super::tls;

/// How a connection ended. With [`Reconnect`](super::Reconnect) on it that is told in
/// [`Event::Lost`](super::Event::Lost) and another connection follows; without, it is the end of the socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// This side closed it.
    #[error("this side closed the connection{}", lost(*unsent))]
    ClosedHere {
        /// Messages that were accepted and had not been handed to the kernel when the time for closing was over.
        unsent: usize,
    },
    /// The peer ended its half between two messages.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// The peer ended its half in the middle of a message, or over TLS without saying that this is the end.
    #[error(
        "the peer ended the connection in the middle of what it was saying; {held} bytes of a message had come"
    )]
    CutShort {
        /// Bytes of the unfinished message; 0 where TLS's own end (`close_notify`) is what is missing.
        held: usize,
    },
    /// The peer's machine says that it knows nothing of the connection: the process died, or ended it with bytes unread.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer said nothing in time: it is frozen. Over TCP its machine still acknowledges what is sent to it; over UDP it
    /// may be gone as well.
    #[error("the peer gave no sign of life for {silent_ms} ms")]
    MissedHeartbeat {
        /// Milliseconds since the last sign.
        silent_ms: u64,
    },
    /// Nothing acknowledges what was sent, and a heartbeat was missed or the kernel gave up: the peer's machine or the path to
    /// it is gone.
    #[error(
        "nothing at the peer's address acknowledges what was sent; its machine or the path to it is gone"
    )]
    Blackholed,
    /// The peer is there and takes nothing.
    #[error("the peer took none of what waits to be sent for {stalled_ms} ms")]
    NotReading {
        /// Milliseconds without a byte taken.
        stalled_ms: u64,
    },
    /// Nobody listens there; over UDP the peer's machine said so by ICMP.
    #[error("nobody listens there: {0}")]
    Refused(Box<str>),
    /// There is no way there, or nobody answered in time, or the name is unknown; the text says which addresses were tried.
    #[error("unreachable: {0}")]
    Unreachable(Box<str>),
    /// A rule of the framing was broken.
    #[error("the peer broke the framing: {0}")]
    BrokenFraming(#[from] PeerError),
    /// TLS failed; the text says what and the mend.
    #[error("TLS failed: {0}")]
    Tls(Box<str>),
    /// Anything else that the system says.
    #[error("the connection failed: {0}")]
    Failed(Box<str>),
}

fn lost(unsent: usize) -> String {
    match unsent {
        0 => String::new(),
        1 => " and 1 message was not sent".to_owned(),
        more => format!(" and {more} messages were not sent"),
    }
}

impl End {
    /// What a failing read or write of an open connection means.
    pub(super) fn of_io(error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return tls::explained(tls);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Reset,
            io::ErrorKind::TimedOut => Self::Blackholed,
            io::ErrorKind::ConnectionRefused => Self::Refused(error.to_string().into()),
            // rustls: the peer's TCP ended without close_notify.
            io::ErrorKind::UnexpectedEof => Self::CutShort { held: 0 },
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Unreachable(error.to_string().into())
            }
            _ => Self::Failed(error.to_string().into()),
        }
    }

    /// Whether one side ended the connection as connections should end, with nothing lost.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::ClosedByPeer | Self::ClosedHere { unsent: 0 })
    }

    /// A short name for logs and counters; where the server's [`Verdict`](crate::ledger::Verdict) has one for the same, that.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClosedHere { .. } => "closed_here",
            Self::ClosedByPeer => "closed_by_peer",
            Self::CutShort { .. } => "cut_short",
            Self::Reset => "reset",
            Self::MissedHeartbeat { .. } => "missed_heartbeat",
            Self::Blackholed => "blackholed",
            Self::NotReading { .. } => "slow",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::BrokenFraming(_) => "protocol_error",
            Self::Tls(_) => "tls",
            Self::Failed(_) => "failed",
        }
    }
}

/// Why a message was not taken. Nothing of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It is longer than the socket's bound, or than a datagram can be.
    #[error("the message of {bytes} bytes is longer than the limit of {limit}; {mend}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
        /// What to do.
        mend: &'static str,
    },
    /// The framing cannot carry it, since the peer would read it as something else.
    #[error("the framing cannot carry this message: {0}")]
    Unframeable(Box<str>),
    /// There is no connection, and [`Unsent::Refuse`](super::Unsent::Refuse) was asked for. Try again after
    /// [`Event::Opened`](super::Event::Opened).
    #[error("there is no connection at the moment; write again after Event::Opened")]
    NotConnected,
    /// This side has finished or closed the socket.
    #[error("this side has finished the socket; nothing can be written after `finish` or `close`")]
    Finished,
    /// The socket has ended.
    #[error("the socket has ended: {0}")]
    Ended(#[from] End),
}
