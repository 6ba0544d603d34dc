//! Starts a node: its addresses, its workers' threads, and the one thread that accepts and keeps the hours.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use rand::{TryRng, rngs::SysRng};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use wharf_core::memory::{MemoryEngine, MemoryLimits};

use crate::{
    listener::{self, BindError, Door, Listeners},
    node::Node,
    settings::{DeviceAddress, DeviceListener, ListenAddress, Settings},
    tls::{Tls, TlsError},
    worker::{Inbox, ToWorker, Worker, drive},
};

/// Why a server could not start. Names what is wrong and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened to.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A device listener has a `tls://` address and no certificate.
    #[error(
        "device listener {name:?} has a tls:// address and no certificate; give it a certificate and a key"
    )]
    NoCertificate {
        /// Which.
        name: Box<str>,
    },
    /// The kernel refused something that every server needs.
    #[error("cannot start: {0}; look at the limits on open files and threads (ulimit -n, ulimit -u)")]
    Io(#[from] io::Error),
}

/// The signals that a server obeys. Install them before the server says that it listens: from then on none ends
/// the process without a drain.
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes SIGTERM, SIGINT and SIGHUP from the kernel's defaults.
    pub fn install() -> io::Result<Self> {
        let runtime = runtime()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }
}

/// A server that runs. Dropping it ends it at once; [`Server::run_until`] ends it with care.
pub struct Server {
    addresses: Vec<ListenAddress>,
    device_addresses: Vec<(u16, DeviceAddress)>,
    node: Arc<Node>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// Starts a server on threads of its own and returns when it listens.
pub fn serve(settings: Settings) -> Result<Server, ServeError> {
    let tls = settings.tls.clone().map(Tls::load).transpose()?;
    let device_tls = settings.devices.iter().map(device_tls).collect::<Result<_, _>>()?;
    let sets: Vec<_> =
        (0..settings.workers.max(1)).map(|_| drive::EventSet::new()).collect::<Result<_, _>>()?;
    let limits = &settings.limits;
    let (sets, inboxes): (Vec<_>, Vec<_>) = sets
        .into_iter()
        .map(|(set, wake)| (set, Arc::new(Inbox::new(limits.inbox_broadcasts, limits.inbox_requests, wake))))
        .unzip();
    let engine_limits = MemoryLimits { channels: limits.engine_channels, ..MemoryLimits::default() };
    let mut engine = None;
    let node = Node::new(settings, inboxes, seed()?, |directory| {
        let memory = Arc::new(MemoryEngine::new(directory, engine_limits));
        engine = Some(Arc::clone(&memory));
        memory
    });
    if let Some(tls) = tls {
        node.tls.set(tls).ok(); // The node is new, so nobody has set it.
    }
    node.devices.tls.set(device_tls).ok();
    tell_time(&node);
    let (stop, stopped) = watch::channel(false);
    let (mut threads, mut runtimes) = (Vec::new(), Vec::new());
    let mut doors = Vec::new();
    for (index, set) in sets.into_iter().enumerate() {
        let (door, sockets) = listener::door(Arc::clone(&node.in_gate[index]));
        doors.push(door);
        let (thread, runtime) = start_worker(index, set, sockets, &node, stopped.clone())?;
        threads.push(thread);
        runtimes.push(runtime);
    }
    // A single worker accepts by itself: waking another thread for each connection costs more than the accept.
    let accepting = if let [only] = &runtimes[..] { Some(only.clone()) } else { None };
    let ((addresses, device_addresses), keeper) = start_keeper(&node, doors, engine, accepting, stopped)?;
    threads.push(keeper);
    Ok(Server { addresses, device_addresses, node, threads, stop })
}

fn start_worker(
    index: usize,
    set: drive::EventSet,
    sockets: tokio::sync::mpsc::Receiver<listener::AcceptedSocket>,
    node: &Arc<Node>,
    stopped: watch::Receiver<bool>,
) -> Result<(JoinHandle<()>, Handle), ServeError> {
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let node = Arc::clone(node);
    let world = set.world(handle.clone(), node.settings.batched_sends)?;
    // The number of workers is bounded by the configuration, far below this.
    let worker = Worker::new(Arc::clone(&node), index as u16, world, seed()?, node.now());
    let run = move || {
        runtime.block_on(async {
            tokio::spawn(listener::receive(sockets, Arc::clone(&node), index));
            if let Err(error) = drive::drive(worker, set, node, |_| *stopped.borrow()).await {
                tracing::error!(%error, index, "a worker's event set failed; its connections are lost");
            }
        });
    };
    Ok((thread::Builder::new().name(format!("wharf-worker-{index}")).spawn(run)?, handle))
}

/// The addresses as the kernel has them, and those of devices with the numbers of their listeners.
type Bound = (Vec<ListenAddress>, Vec<(u16, DeviceAddress)>);

/// The thread that accepts connections, on the runtime `accepting` or else on its own, and lets the engine forget what
/// has run out.
fn start_keeper(
    node: &Arc<Node>,
    doors: Vec<Door>,
    engine: Option<Arc<MemoryEngine>>,
    accepting: Option<Handle>,
    stopped: watch::Receiver<bool>,
) -> Result<(Bound, JoinHandle<()>), ServeError> {
    let runtime = runtime()?;
    let node = Arc::clone(node);
    let (told, bound) = mpsc::sync_channel(1);
    let run = move || {
        runtime.block_on(async {
            let accepting = accepting.unwrap_or_else(Handle::current);
            let bound = {
                let _entered = accepting.enter();
                let settings = &node.settings;
                Listeners::bind(&settings.listen, &settings.devices, &settings.times)
            };
            let listeners = match bound {
                Ok(listeners) => listeners,
                Err(error) => return told.send(Err(error)).unwrap_or_default(),
            };
            node.addresses.set(listeners.addresses()).ok(); // The node is new, so nobody has set it.
            told.send(Ok((listeners.addresses(), listeners.device_addresses()))).unwrap_or_default();
            tokio::select! {
                // Also ends with the runtime that accepts.
                _ = accepting.spawn(listeners.serve(Arc::clone(&node), doors, stopped)) => {}
                () = expire(&node, engine) => {}
            }
        });
    };
    let keeper = thread::Builder::new().name("wharf-keeper".to_owned()).spawn(run)?;
    let bound = bound.recv().map_err(|_| io::Error::other("the accepting thread ended"))??;
    Ok((bound, keeper))
}

async fn expire(node: &Node, engine: Option<Arc<MemoryEngine>>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        // The look at the clock is needed in any case: a gap between looks is time in which nobody ran.
        let now = node.now();
        if let Some(engine) = &engine {
            engine.expire(now);
        }
        tell_time(node);
    }
}

/// Tells the profiles of devices what time it is, to the second: some tell it to their devices.
fn tell_time(node: &Node) {
    // tidy: the date because devices are told it.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix_ms = since_1970.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    for listener in node.settings.devices.iter().filter(|listener| listener.profile.tells_time()) {
        listener.profile.handle_time(unix_ms);
    }
}

fn device_tls(listener: &DeviceListener) -> Result<Option<Tls>, ServeError> {
    let needs = listener.listen.iter().any(|address| matches!(address, DeviceAddress::Tls(_)));
    match &listener.tls {
        Some(tls) if needs => Ok(Some(Tls::for_devices(tls)?)),
        None if needs => Err(ServeError::NoCertificate { name: listener.name.clone() }),
        _ => Ok(None),
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

impl Server {
    /// Where it listens; port 0 has become a port.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Where it listens to devices, each with the number of its listener in [`Settings::devices`].
    pub fn device_addresses(&self) -> &[(u16, DeviceAddress)] {
        &self.device_addresses
    }

    /// What its workers share.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Serves until one of `signals`. After SIGTERM it drains: `/health` says 503, connections are told to come back and closed,
    /// spread over `times.drain_ms`. After SIGINT, which a person at a terminal sends, they are spread over a
    /// second at the most. A second signal ends it at once. SIGHUP reads the certificates again.
    pub fn run_until(self, signals: Signals) {
        let Signals { runtime, terminate, interrupt, hangup } = signals;
        runtime.block_on(self.until_signal(terminate, interrupt, hangup));
    }

    async fn until_signal(&self, mut terminate: Signal, mut interrupt: Signal, mut hangup: Signal) {
        let drain_ms = self.node.settings.times.drain_ms;
        let within_ms = loop {
            tokio::select! {
                _ = terminate.recv() => break drain_ms,
                _ = interrupt.recv() => break drain_ms.min(INTERRUPTED_DRAIN_MS),
                _ = hangup.recv() => self.reload_certificates(),
            }
        };
        tracing::info!(connections = self.connections(), "draining; a second signal ends the server at once");
        tokio::select! {
            () = self.drain(within_ms) => tracing::info!("drained"),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    /// Reads the certificates again. Bad ones are refused, and the old ones stay.
    pub fn reload_certificates(&self) {
        let devices = self.node.devices.tls.get().into_iter().flatten().flatten();
        let mut all = self.node.tls.get().into_iter().chain(devices).peekable();
        if all.peek().is_none() {
            return tracing::info!(
                "SIGHUP: no certificates are configured, so there is nothing to read again"
            );
        }
        for tls in all {
            match tls.reload() {
                Ok(()) => tracing::info!("SIGHUP: certificates read again"),
                Err(error) => tracing::error!(%error, "SIGHUP: the old certificates stay in use"),
            }
        }
    }

    /// Tells every connection to come back, spread over so many milliseconds, and waits until all are closed.
    pub async fn drain(&self, within_ms: u64) {
        self.node.draining.store(true, Ordering::Relaxed);
        self.node.drain_begun.notify_waiters();
        let until =
            Instant::now() + Duration::from_millis(within_ms + self.node.settings.times.close_handshake_ms);
        for inbox in &self.node.workers {
            // A full inbox is drained each tick, so that this ends.
            while inbox.send(ToWorker::Drain { within_ms }).is_err() && Instant::now() < until {
                tokio::time::sleep(DRAIN_STEP).await;
            }
        }
        // One step at least, so that the workers have taken the request.
        while Instant::now() < until {
            tokio::time::sleep(DRAIN_STEP).await;
            if self.connections() == 0 && self.node.http2_connections.load(Ordering::Relaxed) == 0 {
                break;
            }
        }
    }

    fn connections(&self) -> usize {
        (0..self.node.workers.len()).map(|worker| self.node.load(worker)).sum()
    }
}

/// The longest drain after SIGINT.
const INTERRUPTED_DRAIN_MS: u64 = 1_000;

/// How often a drain looks whether it is over.
const DRAIN_STEP: Duration = Duration::from_millis(20);

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for inbox in &self.node.workers {
            inbox.wake();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            thread.join().ok();
        }
    }
}
