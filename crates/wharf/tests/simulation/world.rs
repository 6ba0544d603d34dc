//! The simulated machine: two workers, their sockets, and calls of the engine that finish later.

use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use wharf::{
    ledger::{Ledger, Origin},
    node::Node,
    settings::Settings,
    transport::{PathState, Transport, Vitals},
    worker::{Attachment, DeviceOrigin, Inbox, Opening, Parts, Sweep, ToWorker, Worker, World},
};
use wharf_core::{
    broker::{Engine, Pending, PublishRequest},
    hub::Directory,
    lived_time::LivedTime,
    memory::{MemoryEngine, MemoryLimits},
    session::Heartbeat,
    testing::link::{End, Link, LinkOptions},
    time::Millis,
};
use wharf_proto::{
    dialect::DialectId,
    framing::FramingId,
    message::{Channel, Data},
    wire::WireId,
};

/// The server's end of a link, as its worker and the event set see it.
#[derive(Default)]
struct Socket {
    end: Option<End>,
    link: Option<Link>,
    moved_ms: u64,
    key: u64,
    finished: bool,
    /// The last look found no room: the next room is an event.
    was_full: bool,
    /// Its readiness comes by tasks, as a tunnel's, and is on the way.
    by_tasks: bool,
    is_told: bool,
}

struct SimulatedTransport(Arc<Mutex<Socket>>, Arc<Nat>);

/// What stands before all clients: it forgets a connection on which nothing has moved for so long, and answers what comes
/// then with a reset.
#[derive(Default)]
struct Nat {
    now_ms: AtomicU64,
    /// 0: never.
    forgets_after_ms: AtomicU64,
}

impl SimulatedTransport {
    fn on_end<T>(&self, act: impl FnOnce(&mut End) -> io::Result<T>) -> io::Result<T> {
        let mut socket = self.0.lock().unwrap();
        act(socket.end.as_mut().ok_or(ErrorKind::NotConnected)?)
    }
}

impl SimulatedTransport {
    /// Something passes the NAT.
    fn pass(&self) {
        let now = self.1.now_ms.load(Ordering::Relaxed);
        let limit = self.1.forgets_after_ms.load(Ordering::Relaxed);
        let mut socket = self.0.lock().unwrap();
        if limit > 0 && now - socket.moved_ms > limit {
            socket.link.iter().for_each(Link::reset);
        }
        socket.moved_ms = now;
    }
}

impl Transport for SimulatedTransport {
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.on_end(|end| end.try_read(into))?;
        self.pass();
        Ok(count)
    }
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // The kernel takes it, and hears of the reset later.
        let count = self.on_end(|end| end.try_write(slices))?;
        self.pass();
        Ok(count)
    }
    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }
    fn attached(&mut self, entry: u64) {
        let mut socket = self.0.lock().unwrap();
        (socket.key, socket.is_told) = (entry, false);
    }
    fn finish(&mut self) {
        let mut socket = self.0.lock().unwrap();
        socket.finished = true;
        if let Some(end) = &mut socket.end {
            end.finish();
        }
    }
    fn close(&mut self) {
        self.0.lock().unwrap().end = None;
    }
    fn origin(&self) -> Origin {
        Origin::new(0, Some(IpAddr::from([10, 0, 0, 1])))
    }
    fn vitals(&self) -> Vitals {
        let socket = self.0.lock().unwrap();
        // What was sent into a cut is never acknowledged.
        let acknowledged = socket.link.as_ref().is_some_and(Link::is_whole);
        let path = PathState { unacknowledged: u32::from(!acknowledged), ..PathState::default() };
        Vitals { bytes: None, path: Some(path) }
    }
    fn name(&self) -> &'static str {
        "simulated"
    }
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Default)]
struct SimulatedWorld {
    calls: Arc<Mutex<Vec<Call>>>,
}

impl World for SimulatedWorld {
    fn register(&mut self, _: &mut dyn Transport, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn spawn(&mut self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

struct Thread {
    worker: Worker,
    woken: Arc<AtomicBool>,
    sockets: Vec<Arc<Mutex<Socket>>>,
    /// Events that the event set hands out at once.
    events_a_turn: usize,
    sweep: Sweep,
    /// The thread gets no processor.
    held_up: bool,
    /// What tasks of the same thread will have put into the inbox, after so many turns.
    by_tasks: Mutex<Vec<(u8, ToWorker)>>,
    inbox: Arc<Inbox>,
}

/// A task reads a connection, and another hears of it and tells the worker.
const TASKS: u8 = 2;

/// The machine.
pub struct Machine {
    pub node: Arc<Node>,
    pub now: Millis,
    pub rng: StdRng,
    pub seed: u64,
    threads: Vec<Thread>,
    calls: SimulatedWorld,
    nat: Arc<Nat>,
    /// Connections that were given to workers.
    pub attached: u64,
    clock: LivedTime,
    elapsed_ms: u64,
}

/// When the machine starts: not at 0, so that what forgets to add shows.
const START: Millis = Millis(1_000_000);

/// How much time one step takes, in milliseconds.
pub const STEP_MS: u64 = 10;

impl Machine {
    /// Two workers over the memory engine, which `wrap` may change.
    pub fn new(
        seed: u64,
        settings: Settings,
        wrap: impl FnOnce(Arc<MemoryEngine>) -> Arc<dyn Engine>,
    ) -> Self {
        println!("seed {seed}");
        let limits = &settings.limits;
        let woken = [0, 1].map(|_| Arc::new(AtomicBool::new(false)));
        let inboxes = woken.iter().map(|woken| {
            let woken = Arc::clone(woken);
            let wake = Box::new(move || woken.store(true, Ordering::SeqCst));
            Arc::new(Inbox::new(limits.inbox_broadcasts, limits.inbox_requests, wake))
        });
        let inboxes = inboxes.collect();
        let make =
            |directory: Arc<Directory>| wrap(Arc::new(MemoryEngine::new(directory, MemoryLimits::default())));
        let node = Node::new(settings, inboxes, [seed as u8; 32], make);
        let now = START;
        let calls = SimulatedWorld::default();
        let mut rng = StdRng::seed_from_u64(seed);
        let threads = woken.into_iter().enumerate().map(|(index, woken)| {
            let world = Box::new(calls.clone());
            let worker = Worker::new(Arc::clone(&node), index as u16, world, rng.random(), now);
            Thread {
                worker,
                woken,
                sockets: Vec::new(),
                events_a_turn: usize::MAX,
                sweep: Sweep::new(now),
                held_up: false,
                by_tasks: Mutex::default(),
                inbox: Arc::clone(&node.workers[index]),
            }
        });
        let threads = threads.collect();
        let clock = LivedTime::default();
        Self { node, now, rng, seed, threads, calls, nat: Arc::default(), attached: 0, clock, elapsed_ms: 0 }
    }

    /// Over the memory engine itself.
    pub fn plain(seed: u64, settings: Settings) -> Self {
        Self::new(seed, settings, |engine| engine)
    }

    /// Gives a worker one end of a new link, and the caller the other.
    pub fn dial(&mut self, worker: usize, options: LinkOptions, shape: Shape) -> (End, Link) {
        let (ours, theirs, link) = Link::pair(self.rng.random(), options);
        let socket = Arc::new(Mutex::new(Socket {
            end: Some(theirs),
            link: Some(link.clone()),
            by_tasks: shape.by_tasks,
            moved_ms: self.now.0,
            ..Socket::default()
        }));
        let transport = Box::new(SimulatedTransport(Arc::clone(&socket), Arc::clone(&self.nat)));
        self.threads[worker].sockets.push(socket);
        self.attach(worker, transport, shape);
        (ours, link)
    }

    /// Gives a worker a connection that moves its bytes in a way of its own.
    pub fn attach(&mut self, worker: usize, transport: Box<dyn Transport>, shape: Shape) {
        let attachment = Attachment {
            transport,
            wire: WireId::new(shape.dialect, shape.framing),
            deflate: None,
            prelude: Bytes::new(),
            leftover: Bytes::new(),
            opening: shape.opening,
            heartbeat: shape.heartbeat,
            policy: None,
            emulated: shape.emulated,
            one_way: shape.one_way,
            max_age_ms: shape.max_age_ms,
            kind: shape.kind,
            parts: shape.parts,
            device: shape.device,
        };
        self.attached += 1;
        self.send(worker, ToWorker::Attach(Box::new(attachment)));
    }

    pub fn send(&self, worker: usize, request: ToWorker) {
        assert!(self.node.workers[worker].send(request).is_ok(), "the inbox takes requests");
    }

    /// The same, from a request on a connection that the worker's thread reads.
    pub fn send_by_tasks(&self, worker: usize, request: ToWorker) {
        self.threads[worker].by_tasks.lock().unwrap().push((TASKS, request));
    }

    pub fn publish(&mut self, channel: &str, data: String) {
        let channel = Channel::parse(channel).unwrap();
        let history = self.node.rules.namespaces.options(&channel).unwrap().history;
        let data = Data::Json(data.into());
        let request = PublishRequest { data, info: None, tags: None, idempotency_key: None, history };
        let mut context = wharf_core::broker::Context { now: self.now, rng: &mut self.rng };
        match self.node.engine.publish(&channel, request, &mut context) {
            Pending::Ready(published) => drop(published.expect("the memory engine publishes")),
            Pending::Later(call) => self.calls.clone().spawn(Box::pin(async move {
                call.await.expect("the slow engine publishes");
            })),
        }
    }

    /// From now on something before all clients forgets idle connections after so long.
    pub fn forget_after_ms(&self, ms: u64) {
        self.nat.forgets_after_ms.store(ms, Ordering::Relaxed);
    }

    /// All workers have their turn, if there is a reason for one, and then time passes.
    pub fn step(&mut self) {
        self.nat.now_ms.store(self.now.0, Ordering::Relaxed);
        for thread in &mut self.threads {
            if !thread.held_up {
                thread.take_turn(self.now);
            }
        }
        self.poll_calls();
        self.elapse_ms(STEP_MS);
    }

    fn elapse_ms(&mut self, ms: u64) {
        self.elapsed_ms += ms;
        self.now = START.after_ms(self.clock.look(self.elapsed_ms).now.0);
    }

    /// The process is stopped, as by SIGSTOP, and goes on after so long. Its peers and their sockets are not.
    pub fn freeze_ms(&mut self, ms: u64) {
        self.elapse_ms(ms);
    }

    /// One worker gets no processor, while the others do, or gets it again.
    pub fn hold_up(&mut self, worker: usize, held_up: bool) {
        self.threads[worker].held_up = held_up;
    }

    /// The event sets hand out so many events at once, and more with the next look.
    pub fn hand_out_events(&mut self, at_once: usize) {
        self.threads.iter_mut().for_each(|thread| thread.events_a_turn = at_once);
    }

    pub fn steps(&mut self, count: usize) {
        (0..count).for_each(|_| self.step());
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.steps((ms / STEP_MS) as usize);
    }

    pub fn connections(&self) -> usize {
        self.threads.iter().map(|thread| thread.worker.connections()).sum()
    }

    /// What became of a worker's connections.
    pub fn ledger(&self, worker: usize) -> &Ledger {
        self.threads[worker].worker.ledger()
    }

    /// How many descriptors are open.
    pub fn open_sockets(&self) -> usize {
        let open = |socket: &&Arc<Mutex<Socket>>| socket.lock().unwrap().end.is_some();
        self.threads.iter().flat_map(|thread| &thread.sockets).filter(open).count()
    }

    /// Who is present in the channel.
    pub fn present(&self, channel: &str) -> usize {
        match self.node.engine.presence(&Channel::parse(channel).unwrap(), self.now) {
            Pending::Ready(present) => present.unwrap().len(),
            Pending::Later(_) => unreachable!("presence is answered at once"),
        }
    }

    /// Polls each call that is under way with some luck, in an order of luck.
    fn poll_calls(&mut self) {
        let mut calls = std::mem::take(&mut *self.calls.calls.lock().unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let mut left = Vec::new();
        while !calls.is_empty() {
            let mut call = calls.swap_remove(self.rng.random_range(0..calls.len()));
            if self.rng.random_bool(0.3) || call.as_mut().poll(&mut context) == Poll::Pending {
                left.push(call);
            }
        }
        self.calls.calls.lock().unwrap().append(&mut left);
    }
}

/// What a connection is, beside its bytes.
pub struct Shape {
    pub dialect: DialectId,
    pub framing: FramingId,
    pub opening: Opening,
    pub heartbeat: Heartbeat,
    pub emulated: bool,
    pub one_way: bool,
    pub max_age_ms: Option<u64>,
    pub kind: &'static str,
    pub parts: Option<Parts>,
    pub device: Option<DeviceOrigin>,
    /// It has no descriptor, and its readiness comes by tasks.
    pub by_tasks: bool,
}

impl Shape {
    pub fn websocket() -> Self {
        Self {
            dialect: DialectId::CentrifugeJson,
            framing: FramingId::Websocket,
            opening: Opening::Peer,
            heartbeat: Heartbeat::Pong,
            emulated: false,
            one_way: false,
            max_age_ms: None,
            kind: "websocket",
            parts: None,
            device: None,
            by_tasks: false,
        }
    }

    pub fn lines() -> Self {
        Self { framing: FramingId::Lines, kind: "tcp", ..Self::websocket() }
    }
}

impl Thread {
    fn take_turn(&mut self, now: Millis) {
        self.sockets.retain(|socket| socket.lock().unwrap().end.is_some());
        let mut events = Vec::new();
        let mut looked_at = 0;
        for socket in &self.sockets {
            if events.len() == self.events_a_turn {
                break;
            }
            looked_at += 1;
            let mut socket = socket.lock().unwrap();
            let (key, was_full) = (socket.key, socket.was_full);
            if let Some(end) = &socket.end {
                let (readable, has_room) = (end.readable(), end.writable());
                let is_ready = readable || was_full && has_room;
                if is_ready && socket.by_tasks {
                    if !std::mem::replace(&mut socket.is_told, true) {
                        self.by_tasks.get_mut().unwrap().push((TASKS, ToWorker::Ready { entry: key }));
                    }
                } else if is_ready {
                    events.push((key, readable, was_full && has_room));
                }
                socket.was_full = !has_room;
            }
        }
        // What was ready first is handed out first; the next look begins with the others.
        let sockets = self.sockets.len();
        self.sockets.rotate_left(if sockets == 0 { 0 } else { looked_at % sockets });
        let woken = self.woken.swap(false, Ordering::SeqCst);
        let due = self.worker.next_deadline().is_some_and(|due| due <= now);
        let has_tasks = !self.by_tasks.get_mut().unwrap().is_empty();
        if events.is_empty() && !woken && !due && !self.worker.has_work() && !has_tasks {
            return;
        }
        let taken = events.len();
        self.worker.begin(now);
        for (key, readable, writable) in events {
            self.worker.handle_ready(key, readable, writable);
        }
        let connections = self.worker.connections();
        self.sweep.handle_piece(now, taken, self.events_a_turn, connections);
        self.worker.tick_read_until(now, self.sweep.read_until());
        for socket in &self.sockets {
            let mut socket = socket.lock().unwrap();
            socket.was_full |= socket.end.as_ref().is_some_and(|end| !end.writable());
        }
        self.yield_to_tasks();
    }

    fn yield_to_tasks(&mut self) {
        let waiting = self.by_tasks.get_mut().unwrap();
        for (turns, request) in std::mem::take(waiting) {
            if turns > 1 {
                waiting.push((turns - 1, request));
                continue;
            }
            if let ToWorker::Ready { entry } = request {
                let sockets = self.sockets.iter().map(|socket| socket.lock().unwrap());
                sockets.filter(|socket| socket.key == entry).for_each(|mut socket| socket.is_told = false);
            }
            assert!(self.inbox.send(request).is_ok(), "the inbox takes requests");
        }
    }
}
