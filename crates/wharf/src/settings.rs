//! Everything that an operator decides, as types that cannot be wrong. The product reads them from TOML, the
//! environment and flags; a program that embeds Wharf fills them in.

mod devices;
mod heartbeat;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use wharf_core::namespace::{ChannelOptions, Namespaces};
use wharf_proto::{
    dialect::DialectId,
    websocket::{
        Role,
        deflate::{
            self, CompressorBudget, DEFAULT_LEVEL, DeflatePolicy, Deflater, MIN_DEFLATED_BYTES, WindowBits,
        },
    },
};

pub use self::devices::{ClientCertificates, DEVICE_CONNECTIONS, DeviceAddress, DeviceListener, DeviceTls};
pub use self::heartbeat::{BEATING, Beat, Heartbeats, UNANSWERED};

/// Where connections are accepted. All protocols are told apart by their first bytes on each address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; port 0 asks the kernel for one.
    Tcp(SocketAddr),
    /// A Unix path. A stale socket file of an ended process is replaced; any other file is left alone.
    Unix(PathBuf),
}

/// Certificate chain and key, PEM files; read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A WebSocket address beside Wharf's own, at which another dialect is spoken. Life is shown by the WebSocket's
/// pings, which every client answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketRoute {
    /// One path, or with `*` at its end every path that begins so.
    pub path: Box<str>,
    /// What messages mean there.
    pub dialect: DialectId,
}

impl WebsocketRoute {
    /// Whether a request for `path` means this address.
    pub fn serves(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == &*self.path,
        }
    }
}

/// Everything that an operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where connections are accepted.
    pub listen: Vec<ListenAddress>,
    /// Where devices are accepted, each kind in its own format.
    pub devices: Arc<[DeviceListener]>,
    /// Threads that own connections.
    pub workers: usize,
    /// Development mode: anonymous clients may do everything, `/api` needs no key, only local origins and hosts.
    pub development: bool,
    /// TLS on every TCP address, beside plain text (told apart by the first bytes).
    pub tls: Option<TlsFiles>,
    /// Keys of the server API, any of which is enough. Empty: the API is closed, but for development mode.
    pub api_keys: Vec<String>,
    /// Origins that browsers may come from (`https://example.com`, `https://*.example.com`, `*`).
    pub allowed_origins: Vec<String>,
    /// Clients without a token may connect.
    pub allow_anonymous_connect: bool,
    /// WebSocket addresses of other dialects; looked at before Wharf's own addresses, the first that serves counts.
    pub websocket_routes: Arc<[WebsocketRoute]>,
    /// WebSockets are also opened by extended CONNECT on HTTP/2 connections (RFC 8441), and clients are told so.
    pub websocket_over_http2: bool,
    /// What channels are like.
    pub namespaces: Namespaces,
    /// Whether and how WebSocket messages are compressed.
    pub compression: Compression,
    /// A worker writes to many connections in one system call, by io_uring, where the kernel has it and allows it.
    pub batched_sends: bool,
    /// Whether ping intervals are found by what kills idle connections.
    pub paths: PathEstimate,
    /// RPC method `echo` answers its data.
    pub rpc_echo: bool,
    /// The bounds.
    pub limits: Limits,
    /// The times.
    pub times: Times,
    /// Heartbeats of each kind of connection, where they are not as `times` has them.
    pub heartbeats: Heartbeats,
    /// How the node calls itself in `/api/info`.
    pub node_name: String,
}

/// Whether and how WebSocket messages are compressed (RFC 7692).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Off: every client's offer is declined.
    pub enabled: bool,
    /// The server's messages may refer to those before them: smaller, but compressed for each connection anew, and by
    /// a context of its own.
    pub server_context_takeover: bool,
    /// The clients' messages may refer to those before them.
    pub client_context_takeover: bool,
    /// The window of the server's messages, at most. With 8 bits every offer is declined.
    pub server_window_bits: WindowBits,
    /// The window of the clients' messages, at most, where they can be told.
    pub client_window_bits: WindowBits,
    /// Shorter messages are sent as they are; with 0 every message is compressed, also where it wins nothing.
    pub min_deflated_bytes: usize,
    /// zlib's level, 1 (fast) to 9 (small).
    pub level: u8,
    /// The memory of all connections with takeover together; past it new connections get none, in either direction.
    pub compressor_bytes: usize,
}

impl Default for Compression {
    /// Off; switched on, no connection holds memory for it.
    fn default() -> Self {
        Self {
            enabled: false,
            server_context_takeover: false,
            client_context_takeover: false,
            server_window_bits: WindowBits::MAX,
            client_window_bits: WindowBits::MAX,
            min_deflated_bytes: MIN_DEFLATED_BYTES,
            level: DEFAULT_LEVEL,
            compressor_bytes: CompressorBudget::COMPRESSOR_BYTES,
        }
    }
}

impl Compression {
    /// The memory of one connection with all the takeover that is allowed, at most.
    pub fn context_bytes(&self) -> usize {
        let server = deflate::Compression {
            context_takeover: self.server_context_takeover,
            window_bits: self.server_window_bits,
        };
        let client = deflate::Compression {
            context_takeover: self.client_context_takeover,
            window_bits: self.client_window_bits,
        };
        deflate::Parameters { server, client }.context_bytes(Role::Server)
    }

    /// What a handshake agrees to; none where compression is off.
    pub fn policy<'p>(&self, budget: &'p Arc<CompressorBudget>) -> Option<DeflatePolicy<'p>> {
        self.enabled.then_some(DeflatePolicy {
            budget: Some(budget),
            server_context_takeover: self.server_context_takeover,
            client_context_takeover: self.client_context_takeover,
            server_max_window_bits: self.server_window_bits,
            client_max_window_bits: self.client_window_bits,
        })
    }

    /// One deflater for all connections that remember nothing.
    pub fn shared_deflater(&self) -> Deflater {
        let alone = deflate::Compression { context_takeover: false, window_bits: self.server_window_bits };
        self.tune(Deflater::new(alone))
    }

    /// The same deflater, by this level and for messages of this length.
    pub fn tune(&self, deflater: Deflater) -> Deflater {
        deflater.with_level(self.level).with_min_bytes(self.min_deflated_bytes)
    }
}

/// Whether and within which bounds the ping interval for the clients of a path is found by what kills idle connections
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathEstimate {
    /// Off: everybody is pinged as often.
    pub enabled: bool,
    /// The shortest interval that may be found, in milliseconds.
    pub shortest_ping_ms: u64,
    /// The longest, in milliseconds; none: `times.ping_interval_ms`. Only beyond that is a path tried for longer silences.
    pub longest_ping_ms: Option<u64>,
}

impl Default for PathEstimate {
    fn default() -> Self {
        Self { enabled: true, shortest_ping_ms: 2_000, longest_ping_ms: None }
    }
}

/// Every bound that an operator may set. LIMITS.md has the sums behind the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes, after joining its fragments.
    pub message_bytes: usize,
    /// The most fragments of a WebSocket message.
    pub fragments_per_message: u32,
    /// The most bytes that wait for one connection.
    pub outbox_bytes: usize,
    /// The most bytes that wait for all connections of a worker together; past it the largest waiter is closed as slow.
    pub outbox_total_bytes: usize,
    /// The most channels of one client.
    pub channels_per_client: usize,
    /// The most publications in one history answer or recovery.
    pub history_answer: usize,
    /// The most connections of the node; 0: as many as descriptors allow.
    pub connections: usize,
    /// The most broadcasts waiting in a worker's inbox.
    pub inbox_broadcasts: usize,
    /// The most requests (attach, poll, emulation, API) waiting in a worker's inbox.
    pub inbox_requests: usize,
    /// HTTP head: bytes, headers and URI bytes.
    pub http_head_bytes: usize,
    #[allow(missing_docs)]
    pub http_headers: usize,
    #[allow(missing_docs)]
    pub http_uri_bytes: usize,
    /// The largest body of an API request; client requests are bounded by `message_bytes`.
    pub api_body_bytes: usize,
    /// The most channels kept by the memory engine.
    pub engine_channels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            fragments_per_message: 1_024,
            outbox_bytes: 1024 * 1024,
            outbox_total_bytes: 256 * 1024 * 1024,
            channels_per_client: 128,
            history_answer: 300,
            connections: 0,
            inbox_broadcasts: 65_536,
            inbox_requests: 16_384,
            http_head_bytes: 16 * 1024,
            http_headers: 64,
            http_uri_bytes: 8 * 1024,
            api_body_bytes: 4 * 1024 * 1024,
            engine_channels: 1_000_000,
        }
    }
}

/// Every interval and deadline that an operator may set, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From accept to the first byte, and from there to a protocol that is known.
    pub first_byte_ms: u64,
    /// From accept or the last request to a complete HTTP head.
    pub http_head_ms: u64,
    /// An HTTP connection that waits for its next request.
    pub http_idle_ms: u64,
    /// From connection to a successful `connect` command; then 3502.
    pub authenticate_ms: u64,
    /// Between pings; each connection's first comes after a random part of it.
    pub ping_interval_ms: u64,
    /// From ping to pong; then 3012.
    pub pong_timeout_ms: u64,
    /// A presence entry, or a poll session, that nobody renews.
    pub presence_lease_ms: u64,
    /// Between renewals of the presence entries of a live connection.
    pub presence_renew_ms: u64,
    /// A connection whose kernel buffer takes nothing although something waits; then 3008.
    pub write_stall_ms: u64,
    /// From our close to the peer's; then the socket is closed.
    pub close_handshake_ms: u64,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged.
    pub tcp_user_timeout_ms: u64,
    /// A response held open is ended cleanly after so long.
    pub stream_max_age_ms: u64,
    /// Between the comments on `/events` that keep proxies awake.
    pub events_comment_ms: u64,
    /// From SIGTERM to the end: closes are spread over it.
    pub drain_ms: u64,
    /// A poll with commands is answered after so long at the latest.
    pub poll_commands_ms: u64,
    /// The longest wait of a long poll.
    pub poll_wait_max_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_byte_ms: 10_000,
            http_head_ms: 10_000,
            http_idle_ms: 60_000,
            authenticate_ms: 10_000,
            ping_interval_ms: 25_000,
            pong_timeout_ms: 10_000,
            presence_lease_ms: 60_000,
            presence_renew_ms: 20_000,
            write_stall_ms: 10_000,
            close_handshake_ms: 5_000,
            tcp_user_timeout_ms: 20_000,
            stream_max_age_ms: 55 * 60_000,
            events_comment_ms: 25_000,
            drain_ms: 30_000,
            poll_commands_ms: 5_000,
            poll_wait_max_ms: 60_000,
        }
    }
}

impl Settings {
    /// Development mode on loopback: what `wharf` starts with when nothing is configured.
    pub fn development() -> Self {
        Self {
            listen: vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000)))],
            devices: Arc::default(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            development: true,
            tls: None,
            api_keys: Vec::new(),
            allowed_origins: Vec::new(),
            allow_anonymous_connect: true,
            websocket_routes: Arc::default(),
            websocket_over_http2: true,
            namespaces: Namespaces {
                without_namespace: ChannelOptions::DEVELOPMENT,
                ..Namespaces::default()
            },
            compression: Compression::default(),
            batched_sends: true,
            paths: PathEstimate::default(),
            rpc_echo: true,
            limits: Limits::default(),
            times: Times::default(),
            heartbeats: Heartbeats::default(),
            node_name: "wharf".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_path_or_all_that_begin_so() {
        let route = |path: &str| WebsocketRoute { path: path.into(), dialect: DialectId::Echo };
        assert!(route("/echo").serves("/echo"));
        assert!(!route("/echo").serves("/echo/more"));
        assert!(route("/echo/*").serves("/echo/more"));
        assert!(!route("/echo/*").serves("/echo"));
        assert!(route("*").serves("/"));
    }
}
