//! The words that every dialect shares. A dialect turns bytes into [`Command`]s and [`Reply`]s and [`Push`]es
//! into bytes; nothing behind the dialect sees a wire format.

mod command;
pub mod ping_wish;
mod push;
mod reply;

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

pub use self::command::{Command, ConnectRequest, HistoryRequest, Request, SubscribeRequest, Vouched};
pub use self::ping_wish::PingWish;
pub use self::push::{Broadcast, BroadcastBody, Push};
pub use self::reply::{
    ConnectResult, ErrorReply, HistoryResult, PresenceStats, Reply, ReplyBody, SubscribeResult,
};

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
///
/// Packed to 8 bytes' alignment: the 16 of a `u128` would cost each connection two dozen bytes of nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C, packed(8))]
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
    pub conn_info: Remark,
    /// What authentication said of the connection in this channel, as JSON.
    pub chan_info: Remark,
}

/// JSON that few have: a thin pointer, since every idle connection has room for two.
pub type Remark = Option<Box<Bytes>>;

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
