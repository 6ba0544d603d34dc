//! Commands: what a client asks.

use super::{Data, PingWish};

/// What a client asks, with the number by which it knows the reply. Numbers need not be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Echoed in the reply; 0 where no reply is expected.
    pub id: u32,
    /// What is asked.
    pub request: Request,
}

/// The kinds of [`Command`]. Channel names are as the client sent them; the session checks them, since a bad
/// name is answered with an error, not with the end of the connection. Data that the client left out has no
/// bytes (an explicit `null` is the JSON text `null`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request {
    Connect(Box<ConnectRequest>),
    Subscribe(Box<SubscribeRequest>),
    Unsubscribe {
        channel: Box<str>,
    },
    Publish {
        channel: Box<str>,
        data: Data,
    },
    Presence {
        channel: Box<str>,
    },
    PresenceStats {
        channel: Box<str>,
    },
    History(HistoryRequest),
    Rpc {
        method: Box<str>,
        data: Data,
    },
    Send {
        data: Data,
    },
    Refresh {
        token: Box<str>,
    },
    SubRefresh {
        channel: Box<str>,
        token: Box<str>,
    },
    /// Asks for something that Wharf does not offer (Centrifuge publish `type`, track): answered with error 108.
    Unsupported,
    /// The answer to a ping.
    Pong,
    /// A sign of life of the client's own accord, in a dialect that has one. Answered, so that the dialect can.
    Heartbeat,
    /// The answer to a [`Push::Ask`](super::Push::Ask), under the number of that.
    Answer {
        data: Data,
    },
}

/// The first command of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectRequest {
    /// A token of the backend's; empty for none.
    pub token: Box<str>,
    /// Application data for whoever authenticates the connection.
    pub data: Option<Data>,
    /// What the client calls itself, for operators.
    pub name: Box<str>,
    /// The client's version, for operators.
    pub version: Box<str>,
    /// Server-side subscriptions with the positions to recover from.
    pub subs: Vec<SubscribeRequest>,
    /// How often the client wishes to be pinged.
    pub ping: Option<PingWish>,
    /// Who the listener's configuration vouches for. Never read from a client's own words.
    pub vouched: Option<Vouched>,
}

/// Who the configuration of a listener vouches for: a device that has logged in as its profile asks. Its session is
/// admitted without a token, its [`ConnectRequest::subs`] are the server's, and what it publishes and joins needs no
/// permission of the namespace: its profile has named the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The user: the device's identifier.
    pub user: Box<str>,
    /// Channels, unchecked, in which it is present without hearing what is said there: those that it speaks in.
    pub attends: Vec<Box<str>>,
}

/// A wish to join a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscribeRequest {
    /// The channel's name, unchecked.
    pub channel: Box<str>,
    /// A subscription token; empty for none.
    pub token: Box<str>,
    /// The client was subscribed before, up to `offset` of `epoch`, and wants what it missed.
    pub recover: bool,
    /// The offset of the last publication seen.
    pub offset: u64,
    /// The epoch that `offset` counts in; empty matches any.
    pub epoch: Box<str>,
    /// Wishes the server to notice gaps.
    pub positioned: bool,
    /// Wishes to be able to recover later.
    pub recoverable: bool,
    /// Wishes to be told who joins and leaves.
    pub join_leave: bool,
    /// Wishes error 112 and no subscription where recovery is not possible (Centrifuge `flag` bit 2).
    pub fail_unrecoverable: bool,
    /// Asked for something that Wharf does not offer (Centrifuge `type` 1-4): answered with error 108.
    pub unsupported: bool,
}

/// A question for a channel's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// The channel's name, unchecked.
    pub channel: Box<str>,
    /// 0: only the current position; positive: at most so many; negative: everything up to the server's cap.
    pub limit: i32,
    /// Publications strictly after this offset, or strictly before it if `reverse`. The epoch may be empty.
    pub since: Option<(u64, Box<str>)>,
    /// Newest first.
    pub reverse: bool,
}
