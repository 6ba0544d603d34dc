//! What a server said, as a client reads it. Reads leniently, as a client of a newer or of another server must:
//! unknown fields are passed over, and identifiers and epochs are text whatever their form.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::PeerError;

/// Reads one frame: messages joined by LFs. Takes the replies and pushes of the bidirectional protocol.
pub fn decode_frame(frame: &[u8], messages: &mut Vec<ServerMessage>) -> Result<(), PeerError> {
    for line in lines(frame)? {
        let shape: ReplyShape = read(line)?;
        messages.push(shape.read(line));
    }
    Ok(())
}

/// Reads one frame of the one-way protocol: bare pushes joined by LFs.
pub fn decode_bare_frame(frame: &[u8], messages: &mut Vec<ServerMessage>) -> Result<(), PeerError> {
    for line in lines(frame)? {
        messages.push(match line {
            "{}" => ServerMessage::Ping,
            _ => ServerMessage::Push(Box::new(read(line)?)),
        });
    }
    Ok(())
}

fn lines(frame: &[u8]) -> Result<impl Iterator<Item = &str>, PeerError> {
    let text = simdutf8::basic::from_utf8(frame)
        .map_err(|_| PeerError::Undecodable("the server's text is not valid UTF-8".into()))?;
    Ok(text.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty()))
}

fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, PeerError> {
    serde_json::from_str(line).map_err(|error| PeerError::Undecodable(error.to_string().into()))
}

/// One message of a server's.
#[derive(Debug, Clone)]
pub enum ServerMessage {
    /// The answer to a command.
    Reply {
        /// The command's number.
        id: u32,
        /// The answer.
        result: Result<Box<ServerReply>, ServerError>,
    },
    /// Said unasked.
    Push(Box<ServerPush>),
    /// To be answered with [`encode_pong`](super::encode_pong), where the connect result asked for pongs.
    Ping,
}

/// A successful answer: the one member is set that belongs to the command. All empty: a command whose answer
/// says nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ServerReply {
    pub connect: Option<Connected>,
    pub subscribe: Option<Subscribed>,
    pub presence: Option<PresenceAnswer>,
    pub presence_stats: Option<PresenceStatsAnswer>,
    pub history: Option<HistoryAnswer>,
    pub rpc: Option<Message>,
}

/// A push: `channel` says where, and one more member is set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ServerPush {
    pub channel: String,
    #[serde(rename = "pub")]
    pub publication: Option<Published>,
    pub join: Option<Membership>,
    pub leave: Option<Membership>,
    pub unsubscribe: Option<Ended>,
    pub subscribe: Option<Subscribed>,
    pub message: Option<Message>,
    pub disconnect: Option<Ended>,
    pub connect: Option<Connected>,
}

/// An error that a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{code} {message}")]
pub struct ServerError {
    /// Centrifuge protocol error code.
    pub code: u32,
    /// What is wrong.
    pub message: String,
    /// The same command may succeed later.
    pub temporary: bool,
}

/// The answer to connect.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Connected {
    pub client: String,
    pub version: String,
    pub subs: BTreeMap<String, Subscribed>,
    /// In seconds; 0 means that the server does not ping.
    pub ping: u32,
    pub pong: bool,
    pub session: String,
    pub node: String,
}

/// The answer to subscribe, or a subscription made by the server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Subscribed {
    pub recoverable: bool,
    pub positioned: bool,
    pub epoch: String,
    pub offset: u64,
    pub publications: Vec<Published>,
    pub recovered: bool,
    pub was_recovering: bool,
}

/// A publication as a client reads it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Published {
    pub data: Option<Box<RawValue>>,
    pub offset: u64,
    pub info: Option<Info>,
    pub tags: BTreeMap<String, String>,
}

/// Who did it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Info {
    pub user: String,
    pub client: String,
    pub conn_info: Option<Box<RawValue>>,
    pub chan_info: Option<Box<RawValue>>,
}

/// Who joined or left.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Membership {
    pub info: Info,
}

/// Why a subscription or connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Ended {
    pub code: u32,
    pub reason: String,
}

/// A payload alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Message {
    pub data: Option<Box<RawValue>>,
}

/// Who is there, by connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PresenceAnswer {
    pub presence: BTreeMap<String, Info>,
}

/// How many are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PresenceStatsAnswer {
    pub num_clients: u32,
    pub num_users: u32,
}

/// A part of a channel's past.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct HistoryAnswer {
    pub publications: Vec<Published>,
    pub epoch: String,
    pub offset: u64,
}

/// A reply of the wire: the members of [`ServerReply`] beside the number, the error and the push.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ReplyShape {
    id: u32,
    error: Option<ServerError>,
    push: Option<Box<ServerPush>>,
    connect: Option<Connected>,
    subscribe: Option<Subscribed>,
    presence: Option<PresenceAnswer>,
    presence_stats: Option<PresenceStatsAnswer>,
    history: Option<HistoryAnswer>,
    rpc: Option<Message>,
}

impl ReplyShape {
    fn read(self, line: &str) -> ServerMessage {
        let Self { id, error, push, connect, subscribe, presence, presence_stats, history, rpc } = self;
        if let Some(push) = push {
            return ServerMessage::Push(push);
        }
        if line == "{}" {
            return ServerMessage::Ping;
        }
        let body = ServerReply { connect, subscribe, presence, presence_stats, history, rpc };
        ServerMessage::Reply { id, result: error.map_or_else(|| Ok(Box::new(body)), Err) }
    }
}
