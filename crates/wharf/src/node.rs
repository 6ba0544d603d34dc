//! What all workers and HTTP tasks of one process share.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;
use wharf_core::{
    broker::{Context, Engine},
    hub::Directory,
    lived_time::LivedTime,
    session::Rules,
    time::Millis,
};
use wharf_proto::{message::ClientId, websocket::deflate::CompressorBudget};

use crate::{
    devices::Devices,
    http::access::Access,
    ledger::Paths,
    metrics::Metrics,
    settings::{ListenAddress, Settings},
    tls::Tls,
    worker::Inbox,
};

/// What clients and operators are told.
pub const VERSION: &str = concat!("Wharf ", env!("CARGO_PKG_VERSION"));

/// What all workers and HTTP tasks of one process share.
pub struct Node {
    /// What the operator decided.
    pub settings: Settings,
    /// The same, as sessions need it.
    pub rules: Rules,
    /// What keeps the channels.
    pub engine: Arc<dyn Engine>,
    /// Which workers have members of which channel.
    pub directory: Arc<Directory>,
    /// One inbox a worker, in the order of their indices.
    pub workers: Vec<Arc<Inbox>>,
    /// The memory of all connections that remember in order to compress.
    pub compressors: Arc<CompressorBudget>,
    /// Counters.
    pub metrics: Metrics,
    /// The node's identifier: a UUID made at start.
    pub id: Box<str>,
    /// SIGTERM came: `/health` says 503 and nothing new is accepted.
    pub draining: AtomicBool,
    /// Tells those who wait that `draining` has become true.
    pub drain_begun: Notify,
    /// Connections in each worker's gate, which the worker does not own (yet): in the order of the workers.
    pub in_gate: Vec<Arc<AtomicUsize>>,
    /// HTTP/2 connections, which are also in a gate. What workers write to their streams still passes through them.
    pub http2_connections: Arc<AtomicUsize>,
    /// Who may ask by HTTP.
    pub access: Access,
    /// Which devices are connected, and what waits for them.
    pub devices: Devices,
    /// Certificates, set before the first connection is accepted; without them TLS is refused.
    pub tls: OnceLock<Tls>,
    /// What is known of paths; none where nobody wants it found.
    pub paths: Option<Paths>,
    /// The addresses as the kernel has them, set before the first connection is accepted.
    pub addresses: OnceLock<Vec<ListenAddress>>,
    started: Instant,
    clock: LivedTime,
    stood_still_until: AtomicU64,
    /// For calls of the engine from outside of workers, which have generators of their own.
    rng: Mutex<StdRng>,
}

impl Node {
    /// A node whose randomness comes from `seed`. `make_engine` is given the sink that the engine hands over to.
    pub fn new(
        settings: Settings,
        workers: Vec<Arc<Inbox>>,
        seed: [u8; 32],
        make_engine: impl FnOnce(Arc<Directory>) -> Arc<dyn Engine>,
    ) -> Arc<Self> {
        let inboxes =
            workers.iter().map(|inbox| Arc::clone(inbox) as Arc<dyn wharf_core::hub::Inbox>).collect();
        let directory = Arc::new(Directory::new(inboxes));
        let mut rng = StdRng::from_seed(seed);
        let id = random_client(&mut rng).to_string().into();
        Arc::new(Self {
            rules: rules(&settings),
            engine: make_engine(Arc::clone(&directory)),
            directory,
            compressors: CompressorBudget::new(settings.compression.compressor_bytes),
            metrics: Metrics::new(workers.len()),
            in_gate: workers.iter().map(|_| Arc::default()).collect(),
            workers,
            id,
            draining: AtomicBool::new(false),
            drain_begun: Notify::new(),
            http2_connections: Arc::default(),
            access: Access::new(&settings),
            devices: Devices::new(settings.devices.len()),
            tls: OnceLock::new(),
            addresses: OnceLock::new(),
            paths: Paths::new(&settings),
            started: Instant::now(),
            clock: LivedTime::default(),
            stood_still_until: AtomicU64::new(0),
            rng: Mutex::new(rng),
            settings,
        })
    }

    /// The time on the node's own clock, the same for all its threads. It is monotonic, whatever the machine's date
    /// does, and leaves out what the process has not lived ([`wharf_core::lived_time`]): somebody must ask each second.
    pub fn now(&self) -> Millis {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let look = self.clock.look(elapsed_ms);
        if look.stood_still_ms > 0 {
            self.stood_still(look.stood_still_ms);
            self.stood_still_until.fetch_max(look.now.0, Relaxed);
        }
        look.now
    }

    #[cold]
    fn stood_still(&self, ms: u64) {
        self.metrics.stood_still_ms.add(ms);
        tracing::warn!(
            seconds = ms as f64 / 1_000.0,
            "this process stood still: it was stopped, its machine was suspended, or it got no processor; nobody's time \
             has run meanwhile, but clients may have given this server up"
        );
    }

    /// When this process last went on after it had stood still; 0 if it never did.
    pub fn stood_still_until(&self) -> Millis {
        Millis(self.stood_still_until.load(Relaxed))
    }

    /// What a listener of an [`crate::ledger::Origin`] is called: its address, or the name of a device listener.
    pub fn listener_name(&self, listener: u8) -> Option<String> {
        let addresses = self.addresses.get().unwrap_or(&self.settings.listen);
        let number = usize::from(listener);
        let device = || self.settings.devices.get(number.checked_sub(addresses.len())?);
        match addresses.get(number) {
            Some(ListenAddress::Tcp(address)) => Some(format!("tcp://{address}")),
            Some(ListenAddress::Unix(path)) => Some(format!("unix:{}", path.display())),
            None => device().map(|device| device.name.to_string()),
        }
    }

    /// Calls the engine from outside of a worker.
    pub fn with_context<R>(&self, call: impl FnOnce(&mut Context<'_>) -> R) -> R {
        // The generator is taken out by forking it, so that no call of the engine happens under this lock.
        let mut rng = {
            let mut shared = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            StdRng::from_rng(&mut *shared)
        };
        call(&mut Context { now: self.now(), rng: &mut rng })
    }

    /// Whether there are as many connections as `limits.connections` allows: those that workers own, streams of
    /// HTTP/2 connections among them, and those that are in a gate.
    pub fn is_full(&self) -> bool {
        let limit = self.settings.limits.connections;
        limit > 0 && (0..self.workers.len()).map(|worker| self.occupancy(worker)).sum::<usize>() >= limit
    }

    /// How many connections a worker owns or has in its gate.
    pub fn occupancy(&self, worker: usize) -> usize {
        self.load(worker) + self.in_gate[worker].load(Relaxed)
    }

    /// How many connections a worker owns.
    pub fn load(&self, worker: usize) -> usize {
        self.workers[worker].connections()
    }
}

/// The time by the calendar, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    // tidy: the date because people are told it.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A new connection's identifier.
pub(crate) fn random_client(rng: &mut StdRng) -> ClientId {
    ClientId::from_random(random_bits(rng))
}

/// 128 random bits.
pub(crate) fn random_bits(rng: &mut StdRng) -> u128 {
    u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
}

fn rules(settings: &Settings) -> Rules {
    let (limits, times) = (&settings.limits, &settings.times);
    Rules {
        namespaces: settings.namespaces.clone(),
        development: settings.development,
        allow_anonymous_connect: settings.allow_anonymous_connect,
        rpc_echo: settings.rpc_echo,
        channels_per_client: limits.channels_per_client,
        history_answer: limits.history_answer,
        authenticate_ms: times.authenticate_ms,
        ping_interval_ms: times.ping_interval_ms,
        pong_timeout_ms: times.pong_timeout_ms,
        ping_interval_least_ms: settings.heartbeats.ping_interval_least_ms,
        ping_interval_most_ms: settings.heartbeats.ping_interval_most_ms,
        presence_lease_ms: times.presence_lease_ms,
        presence_renew_ms: times.presence_renew_ms,
        version: VERSION,
    }
}
