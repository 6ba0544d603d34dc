//! A worker: one thread that owns connections, its members of each channel, and an inbox.
//!
//! This code knows no event set and no clock: whoever drives it ([`drive`] on real sockets, the simulation in
//! tests) says which connections are ready and what time it is, and calls [`Worker::tick`].
//!
//! | file | does |
//! |---|---|
//! | `attach` | takes a connection in |
//! | `read` | bytes -> messages -> commands |
//! | `perform` | what a session asks for |
//! | `join` | members sit down in the hub and stand up |
//! | `calls` | outcomes of the engine, now or later |
//! | `deliver` | broadcasts -> members |
//! | `device` | the names of devices, and what they are asked |
//! | `catch_up` | what was missed -> members, from history |
//! | `compressor` | messages -> frames |
//! | `write` | outboxes -> transports |
//! | `traffic` | when a connection was heard and spoken to |
//! | `closing` | farewells, and the end |
//! | `book` | ends -> ledger |
//! | `silence` | silences, as connections live through them |
//! | `poll` | sessions that ask by HTTP |
//! | `sweep` | up to when everything was read |
//! | `listing` | who is connected, and who was |
//! | `tick` | the order of all that |
//! | `drive` | the real event set |

mod attach;
mod book;
#[cfg(test)]
mod budget;
mod calls;
mod catch_up;
mod closing;
mod compressor;
mod connection;
mod deliver;
mod device;
pub mod drive;
mod inbox;
mod join;
pub mod listing;
mod moment;
mod outbox;
mod perform;
mod poll;
mod read;
pub mod request;
mod session_key;
mod silence;
mod slab;
mod sweep;
mod tick;
mod timers;
mod traffic;
mod write;

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use wharf_core::{hub::LocalHub, session::Action, time::Millis};
use wharf_proto::{
    Disconnect,
    message::Command,
    wire::{Inexpressible, WireId},
};

pub use self::attach::heartbeat_policy;
pub use self::inbox::{Inbox, Wake};
pub use self::request::{
    AskFailure, Attachment, DeviceAsk, DeviceOrigin, Opening, Parts, PollAnswer, PollRequest, Selector,
    SessionKey, ToWorker,
};
pub use self::sweep::Sweep;
use self::{
    compressor::Compressor, connection::Connection, inbox::Drained, outbox::Spare, slab::Slab, timers::Wheel,
};
use crate::{ledger::Ledger, metrics::WorkerMetrics, node::Node, ring::Sending, transport::Transport};

/// What a worker needs of the world.
pub trait World: Send {
    /// Registers a connection's readiness under its key, until its descriptor is closed. What was there before makes an
    /// event as well.
    fn register(&mut self, transport: &mut dyn Transport, key: u64) -> std::io::Result<()>;
    /// Whether [`World::send_all`] is worth asking.
    fn sends_together(&mut self) -> bool {
        false
    }
    /// Makes many sends at once, and tells each what became of it. What is left without an outcome was not tried.
    fn send_all(&mut self, sends: &mut [Sending]) {
        let _ = sends;
    }
    /// Runs a call of the engine that finishes later.
    fn spawn(&mut self, call: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// One thread's connections and channels.
pub struct Worker {
    index: u16,
    node: Arc<Node>,
    world: Box<dyn World>,
    now: Millis,
    rng: StdRng,
    connections: Slab<Connection>,
    hub: LocalHub,
    compressor: Compressor,
    wheel: Wheel,
    ledger: Ledger,
    draining: bool,
    /// The coming tick looks into the inbox again: what was taken out before is not served yet.
    inbox_waits: bool,
    engine_calls: usize,
    /// All bytes that wait in outboxes.
    outbox_bytes: usize,
    /// Deliveries of this tick.
    delivered: usize,

    // What a tick works with; empty between ticks, kept for its memory.
    drained: Drained,
    /// Connections with something to write.
    dirty: Vec<u64>,
    /// Connections that were stopped by their reading budget.
    unread: VecDeque<u64>,
    /// Connections to end, found while their channel was being served.
    doomed: Vec<(u64, Disconnect)>,
    due: Vec<u32>,
    sends: Vec<Sending>,
    commands: Vec<Command>,
    said: Vec<read::Said>,
    /// A message that is being made, and its frame.
    message: BytesMut,
    framed: BytesMut,
    actions: Vec<Action>,
    queue: VecDeque<(u32, Action)>,
    performing: bool,
    /// The encodings of the broadcast being delivered, by wire.
    encoded: Vec<Option<Result<Bytes, Inexpressible>>>,
    read_buffer: Vec<u8>,
    spare_backlogs: Spare,
}

/// What one read takes at the most.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The most engine calls under way for one worker. LIMITS.md, `ENGINE_CALLS`: past it commands are answered with
/// error 100, temporary.
pub const ENGINE_CALLS: usize = 65_536;

impl Worker {
    /// A worker of the node, by its index. `seed` makes its identifiers and secrets.
    pub fn new(node: Arc<Node>, index: u16, world: Box<dyn World>, seed: [u8; 32], now: Millis) -> Self {
        Self {
            index,
            compressor: Compressor::new(node.settings.compression),
            node,
            world,
            now,
            rng: rand::SeedableRng::from_seed(seed),
            connections: Slab::new(),
            hub: LocalHub::default(),
            wheel: Wheel::new(now),
            ledger: Ledger::default(),
            draining: false,
            inbox_waits: false,
            engine_calls: 0,
            outbox_bytes: 0,
            delivered: 0,
            drained: Drained::default(),
            dirty: Vec::new(),
            unread: VecDeque::new(),
            doomed: Vec::new(),
            due: Vec::new(),
            sends: Vec::new(),
            commands: Vec::new(),
            said: Vec::new(),
            message: BytesMut::new(),
            framed: BytesMut::new(),
            actions: Vec::new(),
            queue: VecDeque::new(),
            performing: false,
            encoded: vec![None; WireId::count()],
            read_buffer: vec![0; READ_BUFFER_BYTES],
            spare_backlogs: Vec::new(),
        }
    }

    /// How many connections and poll sessions there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn metrics(&self) -> &WorkerMetrics {
        self.node.metrics.worker(usize::from(self.index))
    }

    fn inbox(&self) -> &Arc<Inbox> {
        &self.node.workers[usize::from(self.index)]
    }
}
