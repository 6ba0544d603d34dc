//! The addresses whose answers stay: what each needs of a request, and what the worker gets. The same for HTTP/1,
//! where the socket leaves the runtime, and for HTTP/2, where a body is fed through hyper.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use wharf_core::session::Heartbeat;
use wharf_proto::{
    dialect::{
        self, DialectId,
        centrifuge_json::decode::connect_request,
        events::{CURSOR_CHANNELS, Cursor},
    },
    framing::FramingId,
    message::{
        Channel, ConnectRequest, PingWish, SubscribeRequest,
        ping_wish::{self, PingWishError},
    },
    websocket::{deflate::Agreement, handshake},
    wire::WireId,
};

use super::{
    access,
    answer::{self, Answer},
};
use crate::{
    node::Node,
    settings::WebsocketRoute,
    transport::Transport,
    worker::{Attachment, Opening, heartbeat_policy},
};

/// The addresses that are asked once and answer on and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Websocket,
    UniWebsocket,
    Sse,
    UniSse,
    HttpStream,
    UniHttpStream,
    Events,
    /// A WebSocket of another dialect ([`WebsocketRoute`]).
    Routed(DialectId),
}

/// What a stream is to start with, whatever carries it.
pub struct Prepared {
    kind: Kind,
    /// What a WebSocket agreed on of compression.
    deflate: Option<Agreement>,
    opening: Opening,
    several_channels: bool,
    /// How life is shown, where the client has asked for another way.
    heartbeat: Option<Heartbeat>,
    /// How often the client wishes to be pinged.
    ping: Option<PingWish>,
    /// Of the answer; the framing's own are added by whoever writes the head.
    pub headers: HeaderMap,
}

impl Kind {
    pub fn of_path(path: &str, routes: &[WebsocketRoute]) -> Option<Self> {
        if let Some(route) = routes.iter().find(|route| route.serves(path)) {
            return Some(Self::Routed(route.dialect));
        }
        Some(match path {
            "/connection/websocket" => Self::Websocket,
            "/connection/uni_websocket" => Self::UniWebsocket,
            "/connection/sse" => Self::Sse,
            "/connection/uni_sse" => Self::UniSse,
            "/connection/http_stream" => Self::HttpStream,
            "/connection/uni_http_stream" => Self::UniHttpStream,
            "/events" => Self::Events,
            _ => return None,
        })
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::UniWebsocket | Self::Routed(_))
    }

    /// The methods that are served, as `Allow` lists them.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Websocket | Self::UniWebsocket | Self::Routed(_) | Self::Events => "GET",
            Self::Sse | Self::UniSse => "GET, POST",
            Self::HttpStream | Self::UniHttpStream => "POST",
        }
    }

    /// The name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Websocket | Self::Routed(_) => "websocket",
            Self::UniWebsocket => "uni_websocket",
            Self::Sse => "sse",
            Self::UniSse => "uni_sse",
            Self::HttpStream => "http_stream",
            Self::UniHttpStream => "uni_http_stream",
            Self::Events => "events",
        }
    }

    /// The name in metrics of a WebSocket on a stream of an HTTP/2 connection.
    pub fn name_over_http2(self) -> &'static str {
        if self.is_one_way() { "uni_websocket_http2" } else { "websocket_http2" }
    }

    /// The subprotocols by which a client may name what is spoken here.
    pub fn subprotocols(self) -> &'static [&'static str] {
        match self {
            Self::Websocket | Self::UniWebsocket => &["centrifuge-json"],
            _ => &[],
        }
    }

    /// The addresses that serve the same over plain HTTP, for a client that WebSocket does not reach.
    pub fn fallbacks(self) -> Option<&'static str> {
        match self {
            Self::Websocket => Some("/connection/http_stream, /connection/sse or /connection/poll"),
            Self::UniWebsocket => Some("/connection/uni_http_stream, /connection/uni_sse or /events"),
            _ => None,
        }
    }

    /// Who sends nothing in its dialect answers by its framing, if that has answers.
    fn heartbeat(self) -> Heartbeat {
        match self {
            Self::Websocket | Self::Sse | Self::HttpStream => Heartbeat::Pong,
            Self::Routed(_) => Heartbeat::Frame,
            Self::UniWebsocket => Heartbeat::PingAndFrame,
            Self::UniSse | Self::UniHttpStream | Self::Events => Heartbeat::PingOnly,
        }
    }

    fn is_one_way(self) -> bool {
        matches!(self, Self::UniWebsocket | Self::UniSse | Self::UniHttpStream)
    }

    fn dialect(self, several_channels: bool) -> DialectId {
        match self {
            Self::Websocket | Self::Sse | Self::HttpStream => DialectId::CentrifugeJson,
            Self::UniWebsocket | Self::UniSse | Self::UniHttpStream => DialectId::CentrifugeUni,
            Self::Routed(dialect) => dialect,
            Self::Events if several_channels => DialectId::EventsMany,
            Self::Events => DialectId::EventsOne,
        }
    }

    fn framing(self, chunked: bool, compressed: bool) -> FramingId {
        match (self, chunked) {
            (Self::Websocket | Self::UniWebsocket | Self::Routed(_), _) if compressed => {
                FramingId::WebsocketDeflate
            }
            (Self::Websocket | Self::UniWebsocket | Self::Routed(_), _) => FramingId::Websocket,
            (Self::Sse | Self::UniSse, true) => FramingId::ChunkedSse,
            (Self::Sse | Self::UniSse, false) => FramingId::Sse,
            (Self::HttpStream | Self::UniHttpStream, true) => FramingId::ChunkedLines,
            (Self::HttpStream | Self::UniHttpStream, false) => FramingId::Lines,
            (Self::Events, true) => FramingId::ChunkedPlain,
            (Self::Events, false) => FramingId::Plain,
        }
    }

    /// What a stream starts with before its first message.
    pub fn first_bytes(self) -> &'static [u8] {
        match self {
            // Centrifuge protocol, bidirectional SSE: a bare line end, so that `onopen` fires.
            Self::Sse | Self::UniSse => b"\r\n",
            _ => b"",
        }
    }
}

impl Prepared {
    /// What the worker is to own. `chunked` says whether the framing brings HTTP/1.1's chunks itself.
    pub fn attach(
        self,
        transport: Box<dyn Transport>,
        chunked: bool,
        prelude: Bytes,
        leftover: Bytes,
        node: &Node,
    ) -> Attachment {
        let Self { kind, deflate, opening, several_channels, heartbeat, ping, headers: _ } = self;
        let heartbeat = heartbeat.unwrap_or(kind.heartbeat());
        let origin = transport.origin();
        let policy =
            ping.map(|wish| heartbeat_policy(node, heartbeat, kind.name(), origin, Some(wish), node.now()));
        let framing = kind.framing(chunked, deflate.is_some());
        Attachment {
            transport,
            wire: WireId::new(kind.dialect(several_channels), framing),
            deflate,
            prelude,
            leftover,
            opening,
            heartbeat,
            policy,
            one_way: kind.is_one_way() || kind == Kind::Events,
            emulated: matches!(kind, Kind::Sse | Kind::HttpStream),
            max_age_ms: (!kind.is_websocket()).then_some(node.settings.times.stream_max_age_ms),
            kind: kind.name(),
            parts: None,
            device: None,
        }
    }
}

/// Reads what a stream is asked for. The origin and host are checked already, and `kind` is no WebSocket.
pub fn prepare_stream(kind: Kind, head: &Parts, body: Bytes, node: &Node) -> Result<Prepared, Box<Answer>> {
    let mut headers = stream_headers(kind);
    access::allow_reading(&head.headers, &mut headers);
    let (opening, several_channels) = match kind {
        Kind::Events => events_opening(head, node)?,
        _ => (Opening::Message(first_message(kind, head, body, node)?), false),
    };
    let ping = ping_wish(head)?;
    Ok(Prepared { kind, deflate: None, opening, several_channels, heartbeat: None, ping, headers })
}

/// What a WebSocket's handshake must hold here, whatever carries it.
pub fn handshake_policy<'p>(
    kind: Kind,
    node: &'p Node,
    origin_allowed: &'p (dyn Fn(Option<&str>) -> bool + Sync),
) -> handshake::Policy<'p> {
    handshake::Policy {
        subprotocols: kind.subprotocols(),
        origin_allowed,
        deflate: node.settings.compression.policy(&node.compressors),
    }
}

/// Reads what a WebSocket is asked for, beside the handshake, which agreed on `deflate`.
pub fn prepare_websocket(
    kind: Kind,
    head: &Parts,
    deflate: Option<Agreement>,
    node: &Node,
) -> Result<Prepared, Box<Answer>> {
    let opening = match parameter(head, "cf_connect") {
        Some(text) if kind.is_one_way() => Opening::Message(one_way_message(text.into(), node)?),
        _ if connects_unasked(kind) => Opening::Connect(Box::default()),
        _ => Opening::Peer,
    };
    // Centrifuge protocol, WebSocket: for tools that answer frames only.
    let frames = parameter(head, "cf_ws_frame_ping_pong").is_some_and(|value| value == "true");
    Ok(Prepared {
        kind,
        deflate,
        opening,
        several_channels: false,
        heartbeat: frames.then_some(Heartbeat::Frame),
        ping: ping_wish(head)?,
        headers: HeaderMap::new(),
    })
}

/// How often the client wishes to be pinged: a header, or a URL parameter where it can set none.
fn ping_wish(head: &Parts) -> Result<Option<PingWish>, Box<Answer>> {
    let header = head.headers.get(ping_wish::HEADER);
    let text = match header.map(HeaderValue::to_str) {
        Some(text) => text.unwrap_or_default().to_owned(),
        None => match parameter(head, ping_wish::PARAMETER) {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    text.parse().map(Some).map_err(|error: PingWishError| Box::new(answer::error(400, &error.to_string())))
}

fn connects_unasked(kind: Kind) -> bool {
    matches!(kind, Kind::Routed(dialect) if dialect::ALL[dialect as usize].connects_unasked())
}

fn stream_headers(kind: Kind) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    let content_type = match kind {
        Kind::Sse | Kind::UniSse | Kind::Events => "text/event-stream; charset=utf-8",
        _ => "application/x-ndjson",
    };
    set(header::CONTENT_TYPE, content_type);
    // Proxies must pass each event on at once, and compress none.
    set(header::HeaderName::from_static("x-accel-buffering"), "no");
    set(header::CACHE_CONTROL, "private, no-cache, no-store, no-transform, must-revalidate, max-age=0");
    set(header::PRAGMA, "no-cache");
    // Centrifuge protocol, HTTP streaming: the name is spelt so.
    set(header::HeaderName::from_static("expire"), "0");
    headers
}

/// The first message of an emulated or one-way stream: `cf_connect` of a GET, the body of a POST.
fn first_message(kind: Kind, head: &Parts, body: Bytes, node: &Node) -> Result<Bytes, Box<Answer>> {
    let message = if head.method == http::Method::GET {
        parameter(head, "cf_connect").map(Bytes::from)
    } else {
        Some(body).filter(|body| !body.is_empty())
    };
    if kind.is_one_way() {
        return one_way_message(message.unwrap_or_default(), node);
    }
    message.ok_or_else(|| {
        Box::new(answer::error(
            400,
            "the connect command is missing; send it as the URL parameter cf_connect or as the body of a POST",
        ))
    })
}

/// Centrifuge protocol, unidirectional endpoints: a bare connect request, where nothing and `null` are an empty
/// one, and what cannot be read is 400.
fn one_way_message(message: Bytes, node: &Node) -> Result<Bytes, Box<Answer>> {
    let limit = node.settings.limits.message_bytes;
    if message.len() > limit {
        let message = format!("the connect request is longer than {limit} bytes; send a shorter one");
        return Err(Box::new(answer::error(413, &message)));
    }
    if matches!(message.trim_ascii(), b"" | b"null") {
        return Ok(Bytes::from_static(b"{}"));
    }
    connect_request(&message).map_err(|error| Box::new(answer::error(400, &error.to_string())))?;
    Ok(message)
}

/// `/events`: the channels as the server's subscriptions, from where the cursor says.
fn events_opening(head: &Parts, node: &Node) -> Result<(Opening, bool), Box<Answer>> {
    let bad = |message: &str| Box::new(answer::error(400, message));
    let mut channels: Vec<Channel> = Vec::new();
    for name in parameters(head, "channel") {
        let channel = Channel::parse(&name).map_err(|error| bad(&error.to_string()))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
        if channels.len() > node.settings.limits.channels_per_client.min(CURSOR_CHANNELS) {
            return Err(bad("more channels than one client may have; open several streams"));
        }
    }
    if channels.is_empty() {
        return Err(bad("name what to hear: /events?channel=NAME, and &channel=OTHER for more"));
    }
    if !Cursor::fits(channels.iter().map(Channel::as_str)) {
        return Err(bad("the channels' names are too long together for one stream; open several streams"));
    }
    let cursor = last_event_id(head).map_err(|error: String| bad(&error))?;
    let subs = channels.iter().map(|channel| subscription(channel, cursor.as_ref())).collect();
    let request = ConnectRequest { name: "events".into(), subs, ..ConnectRequest::default() };
    Ok((Opening::Connect(Box::new(request)), channels.len() > 1))
}

fn subscription(channel: &Channel, cursor: Option<&Cursor>) -> SubscribeRequest {
    let position = cursor.and_then(|cursor| cursor.position(channel.as_str()));
    SubscribeRequest {
        channel: channel.as_str().into(),
        recover: position.is_some(),
        offset: position.map_or(0, |position| position.offset),
        epoch: position.map_or_else(Box::default, |position| position.epoch.as_str().into()),
        positioned: true,
        recoverable: true,
        ..SubscribeRequest::default()
    }
}

/// The cursor that the client resumes from: the header, which an EventSource sends when it reconnects, or the
/// parameter, with which a page can resume after a reload. Row 65: junk is 400.
fn last_event_id(head: &Parts) -> Result<Option<Cursor>, String> {
    let mut headers = head.headers.get_all("last-event-id").iter();
    let text = match (headers.next(), headers.next()) {
        (_, Some(_)) => return Err("Last-Event-ID is sent more than once; send it once".to_owned()),
        (Some(header), None) => {
            header.to_str().map_err(|_| "Last-Event-ID is not ASCII".to_owned())?.to_owned()
        }
        (None, None) => parameter(head, "lastEventId").unwrap_or_default(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    Cursor::decode(&text).map(Some).map_err(|error| error.to_string())
}

/// The first value of a URL parameter.
pub fn parameter(head: &Parts, name: &str) -> Option<String> {
    parameters(head, name).next()
}

fn parameters<'a>(head: &'a Parts, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
