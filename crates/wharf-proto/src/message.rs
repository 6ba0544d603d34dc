//! The words that every dialect shares. A dialect turns bytes into [`Command`]s and [`Reply`]s and [`Push`]es
//! into bytes; nothing behind the dialect sees a wire format.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

/// The longest channel name, in bytes. See LIMITS.md, `channel_name_bytes`.
pub const CHANNEL_NAME_BYTES: usize = 255;

/// A channel's name: 1 to 255 bytes of printable ASCII without space, `*` and `>`.
///
/// Cloning copies a reference. The forbidden characters are those with which a name could reach into the key
/// space of a broker (`*` and `>` are wildcards in NATS, line ends split Redis and log lines).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

/// Why a channel name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelNameError {
    /// The name has no characters.
    #[error("the channel name is empty")]
    Empty,
    /// The name is longer than [`CHANNEL_NAME_BYTES`].
    #[error("the channel name is longer than {CHANNEL_NAME_BYTES} bytes")]
    TooLong,
    /// The name holds a character outside printable ASCII, a space, `*` or `>`.
    #[error("the channel name holds a character other than printable ASCII without space, '*' and '>'")]
    Character,
}

impl Channel {
    /// Checks a name and makes it a channel.
    pub fn parse(name: &str) -> Result<Self, ChannelNameError> {
        if name.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if name.len() > CHANNEL_NAME_BYTES {
            return Err(ChannelNameError::TooLong);
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>') {
            return Err(ChannelNameError::Character);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text before the first `:`, if there is one: the namespace.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once(':').map(|(namespace, _)| namespace)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The identifier of one connection, shown as a UUID. Unique for each connection; not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u128);

impl ClientId {
    /// Makes a version 4 UUID (RFC 9562 section 5.4) of 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            formatter,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (bits >> 96) as u32,
            (bits >> 80) as u16,
            (bits >> 64) as u16,
            (bits >> 48) as u16,
            bits as u64 & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ClientId {
    type Err = ();

    /// Reads the form that [`Display`](fmt::Display) writes, and no other.
    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return Err(());
        }
        let mut bits = 0_u128;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                continue;
            }
            let digit = char::from(*byte).to_digit(16).ok_or(())?;
            bits = bits << 4 | u128::from(digit);
        }
        Ok(Self(bits))
    }
}

/// The name of one life of a channel's history: eight letters. Offsets are comparable only within one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// Makes eight letters (a-z, A-Z) of random bits.
    pub fn from_random(bits: u64) -> Self {
        const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut rest = bits;
        Self(std::array::from_fn(|_| {
            let letter = LETTERS[(rest % 52) as usize];
            rest /= 52;
            letter
        }))
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("invalid!") // Made of ASCII letters only, so never invalid.
    }
}

impl FromStr for Epoch {
    type Err = ();

    /// Reads eight ASCII letters, and nothing else.
    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes: [u8; 8] = text.as_bytes().try_into().map_err(|_| ())?;
        if bytes.iter().all(u8::is_ascii_alphabetic) { Ok(Self(bytes)) } else { Err(()) }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A place in a channel's history: the offset of the last publication seen, and the epoch it belongs to.
/// Offsets count from 1; 0 is the place before the first publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many publications of this epoch came up to here.
    pub offset: u64,
    /// The life of the history that the offset counts in.
    pub epoch: Epoch,
}

/// A payload and what it is made of. JSON is one valid JSON text without raw line ends; binary is anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// One JSON text. Checked at the edge: nesting of at most 128, no lone surrogates, no raw CR or LF.
    Json(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Data {
    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Json(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// Who did it: the user and connection behind a publication or a presence entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user's identifier; empty for anonymous.
    pub user: Arc<str>,
    /// The connection's identifier.
    pub client: ClientId,
    /// What authentication said of the connection, as JSON.
    pub conn_info: Option<Bytes>,
    /// What authentication said of the connection in this channel, as JSON.
    pub chan_info: Option<Bytes>,
}

/// The content of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What was published.
    pub data: Data,
    /// Who published it; none for the server API.
    pub info: Option<Arc<ClientInfo>>,
    /// Its place in the channel's history; 0 where the channel keeps none.
    pub offset: u64,
    /// Labels given by the publisher.
    pub tags: Tags,
}

/// Labels of a publication. Most have none, and then no memory is taken.
pub type Tags = Option<Arc<Vec<(Box<str>, Box<str>)>>>;

// ---- Commands: what a client asks ------------------------------------------------------------------------

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

// ---- Replies: what a command is answered with ------------------------------------------------------------

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
}

/// An error that a command is answered with. The connection lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// Centrifuge protocol error code (100-113), or an application's (400-1999).
    pub code: u32,
    /// What is wrong.
    pub message: std::borrow::Cow<'static, str>,
    /// The same command may succeed later.
    pub temporary: bool,
}

impl ErrorReply {
    const fn named(code: u32, message: &'static str, temporary: bool) -> Self {
        Self { code, message: std::borrow::Cow::Borrowed(message), temporary }
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
    pub fn with_message(mut self, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
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

// ---- Pushes: what the server says unasked ----------------------------------------------------------------

/// What the server says unasked to one connection. What is said to all members of a channel alike is a
/// [`Broadcast`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Push {
    Broadcast(Arc<Broadcast>),
    /// Unsubscribed by the server. Codes from 2500 ask the client to subscribe again.
    Unsubscribe {
        channel: Channel,
        code: u32,
        reason: std::borrow::Cow<'static, str>,
    },
    /// Subscribed by the server.
    Subscribe {
        channel: Channel,
        result: SubscribeResult,
    },
    Message {
        data: Data,
    },
    /// The connection is about to be closed by the server.
    Disconnect(crate::Disconnect),
    Ping,
}

/// What is said to the members of a channel, the same to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Where it is said.
    pub channel: Channel,
    /// What is said.
    pub body: BroadcastBody,
}

/// The kinds of [`Broadcast`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BroadcastBody {
    /// Carries the epoch of its offset; none where the channel keeps no history.
    Publication {
        publication: Arc<Publication>,
        epoch: Option<Epoch>,
    },
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}
