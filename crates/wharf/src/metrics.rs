//! What a node counts. Each worker counts for itself, on cache lines of its own; `/metrics` adds up when asked.
//! No channel, user or address is ever a label: their number has no bound (RELIABILITY.md row 101).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wharf_proto::Disconnect;

use crate::ledger::Verdict;

/// The kinds of connection, as [`crate::worker::Attachment::kind`] names them; the last stands for any other.
pub const KINDS: [&str; 17] = [
    "websocket",
    "websocket_http2",
    "tcp",
    "unix",
    "sse",
    "http_stream",
    "uni_websocket",
    "uni_websocket_http2",
    "uni_sse",
    "uni_http_stream",
    "events",
    "poll",
    "device_tcp",
    "device_tls",
    "device_udp",
    "device_unix",
    "other",
];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn bump(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// The sum so far.
    pub fn total(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Connections of one kind.
#[derive(Debug, Default)]
pub struct KindMetrics {
    /// Connections that a worker has owned.
    pub opened: Counter,
    /// Those of them that ended.
    pub closed: Counter,
}

/// A kind of connection by its place in [`KINDS`]: what each connection keeps of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// The kind of this name; of any other name, the last.
    pub fn named(name: &str) -> Self {
        Self(KINDS.iter().position(|kind| *kind == name).unwrap_or(KINDS.len() - 1) as u8)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS[usize::from(self.0)]
    }
}

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerMetrics {
    kinds: [KindMetrics; KINDS.len()],
    /// By kind and verdict.
    ended: Box<[[Counter; Verdict::ALL.len()]; KINDS.len()]>,
    closed_by_code: Vec<Counter>,
    /// Messages from clients.
    pub messages_in: Counter,
    /// Messages to clients: replies, pushes and broadcasts.
    pub messages_out: Counter,
    /// Broadcasts put on a member's outbox.
    pub deliveries: Counter,
    /// Bytes read from connections.
    pub bytes_in: Counter,
    /// Bytes that the transports took.
    pub bytes_out: Counter,
    /// Publications by clients of this worker.
    pub publications: Counter,
    /// Broadcasts encoded for one connection alone, since its bytes cannot be shared.
    pub private_encodings: Counter,
    /// Broadcasts encoded for all members on a wire.
    pub shared_encodings: Counter,
    /// Broadcasts and requests refused because the inbox was full.
    pub inbox_overflows: Counter,
    /// Connections that agreed on compression.
    pub compressed: KindMetrics,
    /// Messages to clients that were compressed, each once however many it was sent to.
    pub deflated_messages: Counter,
    /// The bytes of those before, and of their frames.
    pub deflate_in_bytes: Counter,
    #[allow(missing_docs)]
    pub deflate_out_bytes: Counter,
    /// Connections ended because they did not read as fast as their channels speak.
    pub slow_closes: Counter,
}

impl WorkerMetrics {
    fn new() -> Self {
        Self {
            kinds: Default::default(),
            ended: Default::default(),
            closed_by_code: CODES.iter().map(|_| Counter::default()).collect(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            deliveries: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            publications: Counter::default(),
            private_encodings: Counter::default(),
            shared_encodings: Counter::default(),
            inbox_overflows: Counter::default(),
            compressed: KindMetrics::default(),
            deflated_messages: Counter::default(),
            deflate_in_bytes: Counter::default(),
            deflate_out_bytes: Counter::default(),
            slow_closes: Counter::default(),
        }
    }

    /// The counters of a kind.
    pub fn kind(&self, kind: Kind) -> &KindMetrics {
        &self.kinds[usize::from(kind.0)]
    }

    /// A connection ended with this code and verdict.
    pub fn closed(&self, kind: Kind, code: u16, verdict: Verdict) {
        self.kind(kind).closed.bump();
        self.ended[usize::from(kind.0)][verdict as usize].bump();
        let index = CODES.binary_search(&code).unwrap_or(0);
        self.closed_by_code[index].bump();
    }
}

/// The codes that are counted by themselves, ascending; the first stands for any other.
const CODES: &[u16] = &{
    const WEBSOCKET: [u16; 8] = [0, 1000, 1001, 1002, 1003, 1006, 1007, 1009];
    let mut codes = [0; WEBSOCKET.len() + Disconnect::ALL.len()];
    let mut at = 0;
    while at < WEBSOCKET.len() {
        codes[at] = WEBSOCKET[at];
        at += 1;
    }
    while at < codes.len() {
        codes[at] = Disconnect::ALL[at - WEBSOCKET.len()].code;
        at += 1;
    }
    codes
};

/// What a node counts.
#[derive(Debug)]
pub struct Metrics {
    workers: Vec<WorkerMetrics>,
    /// Connections taken from the kernel.
    pub accepted: Counter,
    /// Connections turned away at `limits.connections`, or because a worker's queue was full.
    pub turned_away: Counter,
    /// Accepts that failed because descriptors or memory ran out.
    pub accept_exhausted: Counter,
    /// TLS handshakes that failed.
    pub tls_failures: Counter,
    /// HTTP requests answered by hyper's services.
    pub http_requests: Counter,
    /// HTTP requests refused by the guard in front of hyper.
    pub http_refusals: Counter,
    /// Connections closed because their first bytes, head or body did not come in time.
    pub http_timeouts: Counter,
    /// Publications by the server API.
    pub api_publications: Counter,
    /// Milliseconds in which no thread of the process got to look at the clock, and that were not counted as time.
    pub stood_still_ms: Counter,
}

impl Metrics {
    /// Zero everywhere.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| WorkerMetrics::new()).collect(),
            accepted: Counter::default(),
            turned_away: Counter::default(),
            accept_exhausted: Counter::default(),
            tls_failures: Counter::default(),
            http_requests: Counter::default(),
            http_refusals: Counter::default(),
            http_timeouts: Counter::default(),
            api_publications: Counter::default(),
            stood_still_ms: Counter::default(),
        }
    }

    /// What worker `index` counts. Panics if there are not so many workers.
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        &self.workers[index]
    }

    /// A counter summed over the workers.
    pub fn sum(&self, counter: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| counter(worker).total()).sum()
    }

    /// Connections of a kind: how many were opened, and how many are open.
    pub fn connections(&self, kind: &str) -> (u64, u64) {
        let kind = Kind::named(kind);
        self.opened_and_open(|worker| worker.kind(kind))
    }

    /// Connections that agreed on compression: how many were opened, and how many are open.
    pub fn compressed_connections(&self) -> (u64, u64) {
        self.opened_and_open(|worker| &worker.compressed)
    }

    fn opened_and_open(&self, kind: impl Fn(&WorkerMetrics) -> &KindMetrics) -> (u64, u64) {
        // Read in this order, so that a connection that ends meanwhile is never counted as less than none.
        let closed = self.sum(|worker| &kind(worker).closed);
        let opened = self.sum(|worker| &kind(worker).opened);
        (opened, opened - closed.min(opened))
    }

    /// How many connections of each kind ended with each verdict, without those that none did.
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let pairs = KINDS.iter().enumerate().flat_map(|(kind, name)| {
            Verdict::ALL.iter().enumerate().map(move |(verdict, label)| (kind, *name, verdict, label.label()))
        });
        pairs.filter_map(|(kind, name, verdict, label)| {
            let count = self.sum(|worker| &worker.ended[kind][verdict]);
            (count > 0).then_some((name, label, count))
        })
    }

    /// How many connections ended with each code; code 0 stands for any other.
    pub fn closed_by_code(&self) -> impl Iterator<Item = (u16, u64)> {
        CODES
            .iter()
            .enumerate()
            .map(|(index, &code)| (code, self.sum(|worker| &worker.closed_by_code[index])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_ascending_so_that_each_is_found() {
        assert!(CODES.is_sorted_by(|one, two| one < two), "{CODES:?}");
    }

    #[test]
    fn workers_are_added_up() {
        let metrics = Metrics::new(2);
        let websocket = Kind::named("websocket");
        metrics.worker(0).kind(websocket).opened.add(3);
        metrics.worker(1).kind(websocket).opened.bump();
        metrics.worker(1).closed(websocket, 3012, Verdict::MissedHeartbeat);
        metrics.worker(0).kind(Kind::named("carrier pigeon")).opened.bump();
        assert_eq!(metrics.connections("websocket"), (4, 3));
        assert_eq!(metrics.connections("other"), (1, 1));
        let codes: Vec<_> = metrics.closed_by_code().filter(|(_, count)| *count > 0).collect();
        assert_eq!(codes, [(3012, 1)]);
        let ended: Vec<_> = metrics.ended().collect();
        assert_eq!(ended, [("websocket", "missed_heartbeat", 1)]);
    }
}
