//! One connection to a server, whatever carries it: whole messages out, whole messages in. What they mean is the
//! business of [`super::conversation`].

mod events;
mod http;
mod lines;
mod poll;
mod sse;
mod stream;
mod websocket;

pub use self::{
    events::EventsLink,
    http::{HttpAnswer, HttpClient},
    lines::LinesLink,
    poll::PollLink,
    sse::{SseEvent, SseReader},
    stream::{StreamKind, StreamLink},
    websocket::{CLIENT_FRAGMENTS, CLOSE_TIMEOUT, END_TIMEOUT, WebsocketLink, WebsocketOptions},
};

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use wharf_proto::wire::MessageKind;

use super::{address::Endpoint, event::Ending};

/// The longest message that a client takes, in bytes. See LIMITS.md, `client_message_bytes`.
pub const CLIENT_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// How long dialling, a handshake, an answer over HTTP or a blocked write may take. See LIMITS.md,
/// `step_timeout`.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of the body of an answer that refuses a WebSocket is read. See LIMITS.md, `refusal_bytes`.
const REFUSAL_BYTES: usize = 4 * 1024;

/// How long that body may take. See LIMITS.md, `refusal_timeout`.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How a client's messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// JSON in text frames.
    Websocket,
    /// JSON lines on a bare TCP connection or Unix path.
    Lines,
    /// A response that does not end, JSON lines; commands by POST.
    HttpStream,
    /// The same as server-sent events.
    Sse,
    /// Requests that wait until there is something to say.
    LongPoll,
    /// Requests that are answered at once, one a second.
    ShortPoll,
}

impl TransportKind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Lines => "tcp",
            Self::HttpStream => "http-stream",
            Self::Sse => "sse",
            Self::LongPoll => "long-poll",
            Self::ShortPoll => "short-poll",
        }
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// One message of the transport's: a frame, a line, an event, or the body of an answer.
    Message(MessageKind, Bytes),
    /// A WebSocket ping; it was answered.
    Ping(Bytes),
    /// A WebSocket pong.
    Pong(Bytes),
}

impl Incoming {
    fn text(message: Bytes) -> Self {
        Self::Message(MessageKind::Text, message)
    }
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers there.
    #[error("no server at {endpoint} ({error}); start one with `wharf`")]
    Unreachable {
        /// Where was dialled.
        endpoint: Endpoint,
        /// What the system said.
        error: io::Error,
    },
    /// The server answered over HTTP, and not with what was asked.
    #[error("the server answered {target} with status {status}{}", explained(message))]
    Refused {
        /// Path and query.
        target: String,
        /// HTTP's status.
        status: u16,
        /// What the answer says.
        message: String,
    },
    /// The server's answer to the WebSocket handshake is wrong.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(String),
    /// The connection was taken, and then ended without an answer to the WebSocket handshake.
    #[error("the connection ended before {target} was answered{}", explained(error))]
    Unanswered {
        /// Path and query.
        target: String,
        /// What the system said, if anything.
        error: String,
    },
    /// The connection ended.
    #[error(transparent)]
    Ended(#[from] Ending),
}

fn explained(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl LinkError {
    /// The path to the server does not let this transport through, and another may get through.
    pub fn suggests_another_transport(&self) -> bool {
        match self {
            // 401, 403 and 429 are the server's own word, and would be the same on any transport. An ordinary page
            // is what comes where a proxy takes the Upgrade off, and 501 and 505 what some say instead of 426.
            Self::Refused { status, .. } => match status {
                401 | 403 | 429 => false,
                200..=299 | 400..=499 | 501 | 505 => true,
                _ => false,
            },
            Self::Handshake(_) | Self::Unanswered { .. } => true,
            Self::Unreachable { .. } | Self::Ended(_) => false,
        }
    }

    /// The path may be as it was, and the server may only have been restarted at the wrong moment.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }

    /// How a connection that could not be made, or that ended, is told.
    pub fn into_ending(self) -> Ending {
        match self {
            Self::Ended(ending) => ending,
            // A server that is overloaded or restarting comes back, and a poll session that is not known (404) is
            // begun anew; any other fault of the client's stays.
            Self::Refused { status, .. } => {
                let reconnects = status >= 500 || matches!(status, 404 | 408 | 429);
                Ending { code: status.into(), reason: self.to_string(), reconnects }
            }
            Self::Unreachable { .. } | Self::Unanswered { .. } => Ending::transport_closed(self.to_string()),
            Self::Handshake(_) => Ending { reconnects: false, ..Ending::transport_closed(self.to_string()) },
        }
    }

    fn cut(error: &io::Error) -> Self {
        Self::Ended(Ending::transport_closed(format!("the connection was cut: {error}")))
    }

    fn broke_off(error: &hyper::Error) -> Self {
        Self::Ended(Ending::transport_closed(format!("the stream broke off: {error}")))
    }

    fn closed() -> Self {
        Self::Ended(Ending::transport_closed("the server closed the connection"))
    }

    fn too_long() -> Self {
        let reason = format!("the server sent a message of more than {CLIENT_MESSAGE_BYTES} bytes");
        Self::Ended(Ending::unreadable(reason))
    }

    fn unanswered(target: &str, error: Option<&io::Error>) -> Self {
        let error = error.map_or_else(String::new, io::Error::to_string);
        Self::Unanswered { target: target.to_owned(), error }
    }
}

/// One connection to a server.
pub enum Link {
    /// WebSocket.
    Websocket(Box<WebsocketLink>),
    /// JSON lines.
    Lines(LinesLink),
    /// SSE or HTTP streaming, with commands by POST.
    Stream(Box<StreamLink>),
    /// Long or short polling.
    Poll(Box<PollLink>),
}

impl Link {
    /// Opens a connection. `target` replaces the transport's own path and query; `first` is what is sent first;
    /// `options` are for a WebSocket.
    pub async fn open(
        kind: TransportKind,
        endpoint: &Endpoint,
        target: Option<&str>,
        first: Bytes,
        options: &WebsocketOptions,
    ) -> Result<Self, LinkError> {
        let stream = |kind| StreamLink::open(kind, endpoint, target, first.clone());
        let mut link = match kind {
            TransportKind::HttpStream => return Ok(Self::Stream(Box::new(stream(StreamKind::Lines).await?))),
            TransportKind::Sse => return Ok(Self::Stream(Box::new(stream(StreamKind::Sse).await?))),
            TransportKind::Websocket => {
                Self::Websocket(Box::new(WebsocketLink::open(endpoint, target, options).await?))
            }
            TransportKind::Lines => Self::Lines(LinesLink::open(endpoint).await?),
            TransportKind::LongPoll => {
                Self::Poll(Box::new(PollLink::new(endpoint, target, poll::LONG_POLL_WAIT)))
            }
            TransportKind::ShortPoll => Self::Poll(Box::new(PollLink::new(endpoint, target, Duration::ZERO))),
        };
        link.send(first, None).await?;
        Ok(link)
    }

    /// The next message. May be dropped while it waits, and called again: nothing is lost.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        match self {
            Self::Websocket(link) => link.receive().await,
            Self::Lines(link) => link.receive().await,
            Self::Stream(link) => link.receive().await,
            Self::Poll(link) => link.receive().await,
        }
    }

    /// Sends commands, one a line. `session` is what the connect reply said, for transports that need it.
    pub async fn send(&mut self, commands: Bytes, session: Option<(&str, &str)>) -> Result<(), LinkError> {
        match self {
            Self::Websocket(link) => link.send(&commands).await,
            Self::Lines(link) => link.send(&commands).await,
            Self::Stream(link) => link.send(&commands, session).await,
            Self::Poll(link) => link.send(commands).await,
        }
    }

    /// Ends the connection as the transport does, as far as the server is there to hear it.
    pub async fn close(&mut self) {
        match self {
            Self::Websocket(link) => link.close().await,
            Self::Lines(link) => link.close().await,
            // Dropping the response, or asking no more, is the end of these.
            Self::Stream(_) | Self::Poll(_) => {}
        }
    }
}

/// A stream of bytes to a server.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Dials, within [`STEP_TIMEOUT`].
pub(crate) async fn dial(endpoint: &Endpoint) -> Result<Box<dyn Wire>, LinkError> {
    let dialled = within(async {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Wire>)
            }
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Wire>),
        }
    });
    dialled.await.map_err(|error| LinkError::Unreachable { endpoint: endpoint.clone(), error })
}

/// Runs one step of a connection, within [`STEP_TIMEOUT`].
async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
