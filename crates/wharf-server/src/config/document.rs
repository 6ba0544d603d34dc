//! What a configuration may say: one type for each table of the file. Every key may be absent, so that file and
//! environment are read alike and laid over each other.

use serde::Deserialize;
use wharf::settings::{BEATING, Compression, Heartbeats, Limits, PathEstimate, Settings, Times};
use wharf_core::namespace::ChannelOptions;
use wharf_proto::websocket::deflate::WindowBits;

use super::device::DeviceTable;
use super::value::{AllowedOrigin, ApiKey, Count, List, Listen, NamespaceName, Span, Text};

const DAY_MS: u64 = 86_400_000;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The longest duration that any key takes: ten years, so that sums of moments cannot overflow.
const LONGEST_MS: u64 = 3_650 * DAY_MS;

/// One layer of a configuration: a whole file, or one variable of the environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    pub listen: Option<List<Listen>>,
    pub workers: Option<Count<1, 1024>>,
    pub batched_sends: Option<bool>,
    pub development: Option<bool>,
    pub node_name: Option<String>,
    pub tls: TlsTable,
    pub device: Option<Vec<DeviceTable>>,
    pub api: ApiTable,
    pub client: ClientTable,
    pub websocket: WebsocketTable,
    pub channel: ChannelTable,
    pub compression: CompressionTable,
    pub paths: PathsTable,
    pub limits: LimitsTable,
    pub times: TimesTable,
    pub heartbeat: HeartbeatTable,
    pub rpc: RpcTable,
    pub log: LogTable,
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    pub certificate: Option<String>,
    pub key: Option<String>,
}

/// `[api]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiTable {
    pub keys: Option<List<ApiKey>>,
}

/// `[client]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTable {
    pub allowed_origins: Option<List<AllowedOrigin>>,
    pub anonymous: Option<bool>,
}

/// `[websocket]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebsocketTable {
    pub over_http2: Option<bool>,
}

/// `[channel]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelTable {
    pub without_namespace: Option<OptionsTable>,
    pub namespaces: Option<Vec<OptionsTable>>,
}

/// A window of DEFLATE. One of 8 bits is for reading alone, so nobody is asked for it.
type Window = Count<9, 15>;

/// `[compression]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompressionTable {
    pub enabled: Option<bool>,
    pub server_context_takeover: Option<bool>,
    pub client_context_takeover: Option<bool>,
    pub server_window_bits: Option<Window>,
    pub client_window_bits: Option<Window>,
    pub min_deflated_bytes: Option<Count<0, { 64 * MIB }>>,
    pub level: Option<Count<1, 9>>,
    pub compressor_bytes: Option<Count<0, { 1_024 * GIB }>>,
}

impl CompressionTable {
    fn lay_over(&self, compression: &mut Compression) {
        let switches = [
            (self.enabled, &mut compression.enabled),
            (self.server_context_takeover, &mut compression.server_context_takeover),
            (self.client_context_takeover, &mut compression.client_context_takeover),
        ];
        for (said, switch) in switches {
            *switch = said.unwrap_or(*switch);
        }
        let windows = [
            (self.server_window_bits, &mut compression.server_window_bits),
            (self.client_window_bits, &mut compression.client_window_bits),
        ];
        for (said, window) in windows {
            // At most 15, and a window.
            *window = said.and_then(|bits| WindowBits::new(bits.0 as u8)).unwrap_or(*window);
        }
        // The ranges above fit the types.
        if let Some(bytes) = self.min_deflated_bytes {
            compression.min_deflated_bytes = bytes.0 as usize;
        }
        if let Some(level) = self.level {
            compression.level = level.0 as u8;
        }
        if let Some(bytes) = self.compressor_bytes {
            compression.compressor_bytes = bytes.0 as usize;
        }
    }
}

/// `[heartbeat]`: a table for each of [`BEATING`], and what clients may wish.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeartbeatTable {
    pub ping_interval_least: Option<Span<1_000, DAY_MS>>,
    pub ping_interval_most: Option<Span<1_000, DAY_MS>>,
    pub websocket: BeatTable,
    pub tcp: BeatTable,
    pub unix: BeatTable,
    pub http_stream: BeatTable,
    pub sse: BeatTable,
    pub uni_websocket: BeatTable,
    pub uni_http_stream: BeatTable,
    pub uni_sse: BeatTable,
    pub events: BeatTable,
}

/// `[heartbeat.websocket]` and its like.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeatTable {
    // The protocol tells the client the interval in whole seconds.
    pub interval: Option<Span<1_000, DAY_MS>>,
    pub timeout: Option<Span<100, DAY_MS>>,
}

impl HeartbeatTable {
    fn lay_over(&self, heartbeats: &mut Heartbeats) {
        if let Some(least) = self.ping_interval_least {
            heartbeats.ping_interval_least_ms = least.0;
        }
        if let Some(most) = self.ping_interval_most {
            heartbeats.ping_interval_most_ms = most.0;
        }
        // In the order of the settings.
        let tables: [&BeatTable; BEATING.len()] = [
            &self.websocket,
            &self.tcp,
            &self.unix,
            &self.http_stream,
            &self.sse,
            &self.uni_websocket,
            &self.uni_http_stream,
            &self.uni_sse,
            &self.events,
        ];
        for (table, beat) in tables.into_iter().zip(&mut heartbeats.beats) {
            beat.interval_ms = table.interval.map(|span| span.0).or(beat.interval_ms);
            beat.timeout_ms = table.timeout.map(|span| span.0).or(beat.timeout_ms);
        }
    }
}

/// `[paths]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathsTable {
    pub estimate: Option<bool>,
    pub shortest_ping: Option<Span<1_000, { 10 * 60_000 }>>,
    pub longest_ping: Option<Span<1_000, { 10 * 60_000 }>>,
}

impl PathsTable {
    fn lay_over(&self, paths: &mut PathEstimate) {
        paths.enabled = self.estimate.unwrap_or(paths.enabled);
        if let Some(Span(ms)) = self.shortest_ping {
            paths.shortest_ping_ms = ms;
        }
        if let Some(Span(ms)) = self.longest_ping {
            paths.longest_ping_ms = Some(ms);
        }
    }
}

/// `[rpc]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcTable {
    pub echo: Option<bool>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    pub format: Option<LogFormat>,
    pub level: Option<LogLevel>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Which log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Declares a table of numbers: its keys, the field of the settings that each sets, and its range.
macro_rules! number_table {
    ($(#[$doc:meta])* $table:ident sets $target:ty { $($key:ident => $field:ident: $value:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $table { $(pub $key: Option<$value>,)* }

        impl $table {
            fn lay_over(&self, target: &mut $target) {
                // Each range above fits the type of its field, so no cast cuts.
                $(if let Some(value) = self.$key { target.$field = value.0 as _; })*
            }
        }
    };
}

number_table! {
    /// `[limits]`
    LimitsTable sets Limits {
        message_bytes => message_bytes: Count<128, { 64 * MIB }>,
        fragments_per_message => fragments_per_message: Count<1, 65_536>,
        outbox_bytes => outbox_bytes: Count<1_024, GIB>,
        outbox_total_bytes => outbox_total_bytes: Count<1_024, { 1_024 * GIB }>,
        channels_per_client => channels_per_client: Count<1, 1_000_000>,
        history_answer => history_answer: Count<1, 100_000>,
        connections => connections: Count<0, 100_000_000>,
        inbox_broadcasts => inbox_broadcasts: Count<16, 16_777_216>,
        inbox_requests => inbox_requests: Count<16, 16_777_216>,
        http_head_bytes => http_head_bytes: Count<1_024, MIB>,
        http_headers => http_headers: Count<8, 1_024>,
        http_uri_bytes => http_uri_bytes: Count<256, MIB>,
        api_body_bytes => api_body_bytes: Count<1_024, GIB>,
        engine_channels => engine_channels: Count<1, 1_000_000_000>,
    }
}

number_table! {
    /// `[times]`
    TimesTable sets Times {
        first_byte => first_byte_ms: Span<100, 600_000>,
        http_head => http_head_ms: Span<100, 600_000>,
        http_idle => http_idle_ms: Span<100, DAY_MS>,
        authenticate => authenticate_ms: Span<100, 600_000>,
        // The protocol tells the client the interval in whole seconds.
        ping_interval => ping_interval_ms: Span<1_000, DAY_MS>,
        pong_timeout => pong_timeout_ms: Span<100, DAY_MS>,
        presence_lease => presence_lease_ms: Span<1_000, DAY_MS>,
        presence_renew => presence_renew_ms: Span<100, DAY_MS>,
        write_stall => write_stall_ms: Span<100, 600_000>,
        close_handshake => close_handshake_ms: Span<100, 600_000>,
        tcp_user_timeout => tcp_user_timeout_ms: Span<1_000, 600_000>,
        stream_max_age => stream_max_age_ms: Span<1_000, { 30 * DAY_MS }>,
        events_comment => events_comment_ms: Span<1_000, DAY_MS>,
        drain => drain_ms: Span<0, 3_600_000>,
        poll_commands => poll_commands_ms: Span<100, 60_000>,
        poll_wait_max => poll_wait_max_ms: Span<1_000, 60_000>,
    }
}

/// Declares the table of channel options: its switches carry the names of [`ChannelOptions`].
macro_rules! options_table {
    ($($switch:ident,)*) => {
        /// `[channel.without_namespace]`, and each `[[channel.namespaces]]`.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct OptionsTable {
            pub name: Option<Text<NamespaceName>>,
            pub history_size: Option<Count<0, 1_000_000>>,
            pub history_ttl: Option<Span<0, LONGEST_MS>>,
            pub history_meta_ttl: Option<Span<1_000, LONGEST_MS>>,
            pub ping_interval: Option<Span<1_000, DAY_MS>>,
            $(pub $switch: Option<bool>,)*
        }

        impl OptionsTable {
            /// Sets what the table says; the rest stays.
            pub fn lay_over(&self, options: &mut ChannelOptions) {
                if let Some(size) = self.history_size { options.history.size = size.0 as u32; } // At most 1,000,000.
                if let Some(ttl) = self.history_ttl { options.history.ttl_ms = ttl.0; }
                if let Some(ttl) = self.history_meta_ttl { options.history.meta_ttl_ms = ttl.0; }
                if let Some(interval) = self.ping_interval { options.ping_interval_ms = interval.0 as u32; } // At most a day.
                $(if let Some(on) = self.$switch { options.$switch = on; })*
            }
        }

        /// The switches that are on, by name.
        pub fn switches_on(options: &ChannelOptions) -> Vec<&'static str> {
            [$((stringify!($switch), options.$switch),)*].into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
        }
    };
}

options_table! {
    presence,
    join_leave,
    force_push_join_leave,
    uncompressed,
    force_positioning,
    allow_positioning,
    force_recovery,
    allow_recovery,
    allow_subscribe_for_client,
    allow_subscribe_for_anonymous,
    allow_publish_for_client,
    allow_publish_for_subscriber,
    allow_publish_for_anonymous,
    allow_presence_for_client,
    allow_presence_for_subscriber,
    allow_presence_for_anonymous,
    allow_history_for_client,
    allow_history_for_subscriber,
    allow_history_for_anonymous,
}

impl Document {
    /// Sets what this layer says; the rest stays. Lists are replaced as a whole. `base` is what the options of a
    /// namespace start from. TLS is laid over by the caller, since its two files may come from two layers.
    pub fn lay_over(&self, settings: &mut Settings, base: &ChannelOptions) {
        if let Some(List(addresses)) = &self.listen {
            settings.listen = addresses.iter().map(|address| address.0.clone()).collect();
        }
        if let Some(workers) = self.workers {
            settings.workers = workers.0 as usize; // At most 1,024.
        }
        if let Some(on) = self.batched_sends {
            settings.batched_sends = on;
        }
        if let Some(name) = &self.node_name {
            settings.node_name.clone_from(name);
        }
        if let Some(List(keys)) = &self.api.keys {
            settings.api_keys = keys.iter().map(|key| key.0.clone()).collect();
        }
        if let Some(List(origins)) = &self.client.allowed_origins {
            settings.allowed_origins = origins.iter().map(|origin| origin.0.clone()).collect();
        }
        if let Some(anonymous) = self.client.anonymous {
            settings.allow_anonymous_connect = anonymous;
        }
        if let Some(on) = self.websocket.over_http2 {
            settings.websocket_over_http2 = on;
        }
        if let Some(echo) = self.rpc.echo {
            settings.rpc_echo = echo;
        }
        self.lay_channels_over(settings, base);
        self.compression.lay_over(&mut settings.compression);
        self.paths.lay_over(&mut settings.paths);
        self.limits.lay_over(&mut settings.limits);
        self.times.lay_over(&mut settings.times);
        self.heartbeat.lay_over(&mut settings.heartbeats);
    }

    fn lay_channels_over(&self, settings: &mut Settings, base: &ChannelOptions) {
        if let Some(table) = &self.channel.without_namespace {
            table.lay_over(&mut settings.namespaces.without_namespace);
        }
        if let Some(tables) = &self.channel.namespaces {
            settings.namespaces.named.clear();
            for table in tables {
                // A table without a name is refused by the checks across keys, which see the document too.
                if let Some(Text(name)) = &table.name {
                    let mut options = *base;
                    table.lay_over(&mut options);
                    settings.namespaces.named.insert(name.0.clone(), options);
                }
            }
        }
    }
}
