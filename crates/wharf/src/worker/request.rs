//! What the rest of the node asks of a worker. All of it goes through the worker's bounded inbox.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use wharf_core::{
    broker::{BrokerError, HistoryPage},
    liveness::{Heartbeat, Policy},
    session::{Outcome, Ticket},
};
use wharf_proto::{
    Disconnect,
    message::{Channel, ClientId, ConnectRequest, Data, Position},
    websocket::deflate::Agreement,
    wire::{Conversation, Deframer, WireId},
};

use super::listing::{ListConnections, ListEnded};
use crate::{listener::Slot, transport::Transport};

/// A connection for a worker to own.
pub struct Attachment {
    /// How its bytes move. The worker registers it with its own event set.
    pub transport: Box<dyn Transport>,
    /// What its bytes mean.
    pub wire: WireId,
    /// What was agreed on of compression, where the framing of its wire compresses.
    pub deflate: Option<Agreement>,
    /// Written first, as it is: the HTTP response head.
    pub prelude: Bytes,
    /// Bytes of the peer's that were read already and belong to the connection.
    pub leftover: Bytes,
    /// What the session starts with.
    pub opening: Opening,
    /// How life is shown on this connection.
    pub heartbeat: Heartbeat,
    /// What holds of its heartbeats beside that, where it is not what the node's settings say: a device's profile.
    pub policy: Option<Policy>,
    /// Commands come by `/emulation`: the client learns a session key with its connect reply.
    pub emulated: bool,
    /// The client sends no commands: its subscriptions come with its connect and are the server's.
    pub one_way: bool,
    /// A held response is ended cleanly at this age; none for sockets.
    pub max_age_ms: Option<u64>,
    /// What it is called in metrics: `websocket`, `websocket_http2`, `tcp`, `unix`, `sse`, ...
    pub kind: &'static str,
    /// What reads and speaks on this connection, where its wire's own deframer and conversation do not.
    pub parts: Option<Parts>,
    /// Where it came in, if by a device listener.
    pub device: Option<DeviceOrigin>,
}

/// The reading side of one connection's framing, and its half of a dialect.
#[allow(missing_docs)]
pub struct Parts {
    pub deframer: Box<dyn Deframer>,
    pub conversation: Box<dyn Conversation>,
}

/// Where the connection of a device came in.
pub struct DeviceOrigin {
    /// Which of `Settings::devices`.
    pub listener: u16,
    /// The names in the certificate that it showed, where one of them must be the device's.
    pub names: Option<Box<[Box<str>]>>,
    /// Counts the connection for its listener.
    pub slot: Option<Slot>,
}

/// A question to a device.
pub struct DeviceAsk {
    /// Which entry of the slab it is.
    pub entry: u64,
    /// What is asked.
    pub data: Data,
    /// How long the answer is waited for.
    pub timeout_ms: u64,
    /// Where the answer goes. Dropped by the caller when nobody waits for it any more.
    pub answer: oneshot::Sender<Result<Data, AskFailure>>,
}

/// Why a device gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskFailure {
    /// It is not connected any more.
    Ended,
    /// Its profile has no words for the question; why.
    NoWords(Box<str>),
    /// It has been asked as much as it may be at once: so many questions.
    TooMany {
        /// At most [`ASKS_A_DEVICE`](crate::devices::ASKS_A_DEVICE), fewer where it could not tell so many apart.
        at_once: usize,
    },
    /// No answer came in time.
    TimedOut,
}

/// What the session of an [`Attachment`] starts with.
pub enum Opening {
    /// The peer speaks first, on the connection.
    Peer,
    /// This message counts as the first received (`cf_connect`, or the body of the POST).
    Message(Bytes),
    /// The session connects with this, and its subscriptions are the server's (`/events`).
    Connect(Box<ConnectRequest>),
}

/// The secret by which requests on other connections reach a session: which worker, which slab entry, and 128
/// random bits that must match.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// Which worker owns it.
    pub worker: u16,
    /// Which entry of the slab it is.
    pub entry: u64,
    /// The secret.
    pub secret: u128,
}

impl std::fmt::Debug for SessionKey {
    /// Without the secret, which has no place in a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SessionKey({}/{:x})", self.worker, self.entry)
    }
}

/// One request of a poll session.
pub struct PollRequest {
    /// The session; none for the first request, which must hold `connect`.
    pub session: Option<SessionKey>,
    /// The number of the last answer received (`Wharf-Ack`).
    pub ack: Option<u64>,
    /// Commands, one a line; may be empty.
    pub body: Bytes,
    /// How long to wait for something to say; 0 answers at once.
    pub wait_ms: u64,
    /// Where the answer goes. Dropped by the caller when the HTTP request is gone.
    pub answer: oneshot::Sender<PollAnswer>,
}

/// The answer to a [`PollRequest`].
#[derive(Debug)]
pub enum PollAnswer {
    /// 200: replies and pushes, one a line.
    Lines {
        /// Written as `Wharf-Session`.
        session: SessionKey,
        /// Written as `Wharf-Seq`.
        seq: u64,
        /// The body.
        body: Bytes,
    },
    /// 404: not known, or its lease ran out. The client connects anew and recovers by position.
    UnknownSession,
    /// The session ended; the body (one `disconnect` line) says why. 200, and the next request is 404.
    Ended {
        /// The body.
        body: Bytes,
    },
    /// 400: the first request held no readable `connect`, or the commands cannot be read; the text says why.
    Refused(Disconnect),
}

/// Whom a server API call means. Empty fields match all; at least one is set.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// A user.
    pub user: Option<Box<str>>,
    /// A connection.
    pub client: Option<ClientId>,
    /// A session.
    pub session: Option<SessionKey>,
    /// Connections that are spared.
    pub spared: Vec<ClientId>,
}

/// What is asked of a worker.
#[allow(missing_docs)] // The variants say what their fields are for.
pub enum ToWorker {
    /// Own this connection.
    Attach(Box<Attachment>),
    /// Serve this poll.
    Poll(PollRequest),
    /// Commands for an emulated session, as the dialect's bytes. Answered with whether the session is known.
    Emulate { session: SessionKey, data: Bytes, answer: oneshot::Sender<bool> },
    /// Readiness of a transport without a descriptor.
    Ready { entry: u64 },
    /// Ask a device.
    Ask(DeviceAsk),
    /// Remove whom the selector means from the channel (push code 2000).
    Unsubscribe { channel: Channel, selector: Arc<Selector> },
    /// End whom the selector means.
    Disconnect { selector: Arc<Selector>, disconnect: Disconnect },
    /// Say who is connected.
    ListConnections(ListConnections),
    /// Say who was.
    ListEnded(ListEnded),
    /// SIGTERM: end every connection within the time, spread out.
    Drain { within_ms: u64 },
}

/// An engine call that finished later. These pass the inbox without a bound of its own: there are only as many as
/// calls under way, and a worker starts no more than its `ENGINE_CALLS`.
pub struct Completion {
    pub(super) kind: Completed,
}

pub(super) enum Completed {
    /// A session's call.
    Session { key: u64, ticket: Ticket, outcome: Outcome },
    /// A channel's history after the position at which something was missed.
    History { channel: Channel, from: Position, page: Result<HistoryPage, BrokerError> },
    /// A call whose outcome nobody waits for.
    Unanswered,
}
