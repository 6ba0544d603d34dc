//! Replies: what a command is answered with.

use std::{borrow::Cow, sync::Arc};

use super::{Channel, ClientId, ClientInfo, Data, Position, Publication};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The command's number.
    pub id: u32,
    /// The result or the error.
    pub result: Result<ReplyBody, ErrorReply>,
}

/// The kinds of successful [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ReplyBody {
    Connect(Box<ConnectResult>),
    Subscribe(Box<SubscribeResult>),
    Unsubscribe,
    Publish,
    Presence(Vec<Arc<ClientInfo>>),
    PresenceStats(PresenceStats),
    History(HistoryResult),
    Rpc(Data),
    Refresh,
    SubRefresh,
    Heartbeat,
}

/// An error that a command is answered with. The connection lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// Centrifuge protocol error code (100-113), or an application's (400-1999).
    pub code: u32,
    /// What is wrong.
    pub message: Cow<'static, str>,
    /// The same command may succeed later.
    pub temporary: bool,
}

impl ErrorReply {
    const fn named(code: u32, message: &'static str, temporary: bool) -> Self {
        Self { code, message: Cow::Borrowed(message), temporary }
    }
    /// 100: a fault of the server's.
    pub const INTERNAL: Self = Self::named(100, "internal server error", true);
    /// 101: the caller is not known.
    pub const UNAUTHORIZED: Self = Self::named(101, "unauthorized", false);
    /// 102: the channel's namespace is not configured.
    pub const UNKNOWN_CHANNEL: Self = Self::named(102, "unknown channel", false);
    /// 103: the caller may not do this here.
    pub const PERMISSION_DENIED: Self = Self::named(103, "permission denied", false);
    /// 104: no handler has this method.
    pub const METHOD_NOT_FOUND: Self = Self::named(104, "method not found", false);
    /// 105: subscribed already, or about to be.
    pub const ALREADY_SUBSCRIBED: Self = Self::named(105, "already subscribed", false);
    /// 106: a limit was reached.
    pub const LIMIT_EXCEEDED: Self = Self::named(106, "limit exceeded", false);
    /// 107: the command cannot be understood.
    pub const BAD_REQUEST: Self = Self::named(107, "bad request", false);
    /// 108: the feature is off here.
    pub const NOT_AVAILABLE: Self = Self::named(108, "not available", false);
    /// 109: the token has run out; get another.
    pub const TOKEN_EXPIRED: Self = Self::named(109, "token expired", false);
    /// 110: the connection or subscription has run out.
    pub const EXPIRED: Self = Self::named(110, "expired", false);
    /// 111: slow down.
    pub const TOO_MANY_REQUESTS: Self = Self::named(111, "too many requests", true);
    /// 112: what was missed cannot be had any more.
    pub const UNRECOVERABLE_POSITION: Self = Self::named(112, "unrecoverable position", false);

    /// The same error with a message that says more.
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }
}

/// What a client learns when it is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResult {
    /// The connection's identifier.
    pub client: ClientId,
    /// The server's version.
    pub version: Box<str>,
    /// Server-side subscriptions.
    pub subs: Vec<(Channel, SubscribeResult)>,
    /// The server pings so often, in seconds; 0 means that it does not.
    pub ping_s: u32,
    /// The server expects pongs.
    pub pong: bool,
    /// The secret by which requests on other connections reach this session; empty where none can.
    pub session: Box<str>,
    /// The node that owns the session; empty as above.
    pub node: Box<str>,
}

/// What a client learns when it has joined a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscribeResult {
    /// The client may recover later from its position.
    pub recoverable: bool,
    /// The server notices gaps for this subscription.
    pub positioned: bool,
    /// Where the subscription starts (after a successful recovery: what the client asked from).
    pub position: Option<Position>,
    /// What was missed, oldest first.
    pub publications: Vec<Arc<Publication>>,
    /// Nothing is missing.
    pub recovered: bool,
    /// The client had asked to recover.
    pub was_recovering: bool,
}

/// How many are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceStats {
    /// Connections.
    pub num_clients: u32,
    /// Distinct users.
    pub num_users: u32,
}

/// A part of a channel's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryResult {
    /// The publications asked for.
    pub publications: Vec<Arc<Publication>>,
    /// The newest position, whatever was asked for.
    pub position: Position,
}
