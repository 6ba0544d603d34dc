//! Drives a worker on real sockets: a private event set, itself registered once with the runtime, so that no
//! connection that waits has a task, a waker or a timer.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use mio::{Events, Interest, Poll, Registry, Token};
use tokio::{runtime::Handle, sync::Notify};

use super::{Sweep, Wake, Worker, World};
use crate::{
    node::Node,
    ring::{Ring, Sending},
    transport::Transport,
    watched::Watched,
};

/// Events taken from the kernel at once; the worker yields to the runtime's tasks after so many.
const EVENTS: usize = 512;

/// A worker's event set, made before the worker so that its inbox can wake it.
pub struct EventSet {
    poll: Poll,
    woken: Arc<Notify>,
}

impl EventSet {
    /// An event set, and what wakes whoever waits for it.
    pub fn new() -> io::Result<(Self, Wake)> {
        // The runtime wakes whoever waits on its own thread without a system call.
        let woken = Arc::new(Notify::new());
        let waker = Arc::clone(&woken);
        Ok((Self { poll: Poll::new()?, woken }, Box::new(move || waker.notify_one())))
    }

    /// What a worker on this event set needs of the world. Calls of the engine run on `runtime`; `batched_sends` is that
    /// of the settings.
    pub fn world(&self, runtime: Handle, batched_sends: bool) -> io::Result<Box<dyn World>> {
        let ring = if batched_sends { Batched::Untried } else { Batched::No };
        Ok(Box::new(RealWorld { registry: self.poll.registry().try_clone()?, runtime, ring }))
    }
}

struct RealWorld {
    registry: Registry,
    runtime: Handle,
    ring: Batched,
}

/// Whether many sends can be made in one call.
enum Batched {
    /// Nobody has asked yet: the ring is made by the thread that uses it, and by none that never has many to write to.
    Untried,
    Yes(Box<Ring>),
    No,
}

impl World for RealWorld {
    fn register(&mut self, transport: &mut dyn Transport, key: u64) -> io::Result<()> {
        let Some(source) = transport.source() else { return Ok(()) };
        self.registry.register(source, Token(key as usize), Interest::READABLE | Interest::WRITABLE)
    }

    fn sends_together(&mut self) -> bool {
        if let Batched::Untried = self.ring {
            self.ring = match Ring::new() {
                Ok(ring) => Batched::Yes(Box::new(ring)),
                Err(error) => {
                    tracing::info!(%error, "no io_uring here; connections are written one by one");
                    Batched::No
                }
            };
        }
        matches!(self.ring, Batched::Yes(_))
    }

    fn send_all(&mut self, sends: &mut [Sending]) {
        if let Batched::Yes(ring) = &mut self.ring {
            ring.send_all(sends);
            if !ring.works() {
                self.ring = Batched::No;
            }
        }
    }

    fn spawn(&mut self, call: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.runtime.spawn(call);
    }
}

/// Runs a worker until `stop` is done. Must be called on the runtime that the worker lives on.
pub async fn drive(
    mut worker: Worker,
    mut set: EventSet,
    node: Arc<Node>,
    stop: impl Fn(&Worker) -> bool,
) -> io::Result<()> {
    let watched = Watched::new(set.poll.registry().as_fd().try_clone_to_owned()?)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut sweep = Sweep::new(node.now());
    loop {
        let now = node.now();
        worker.begin(now);
        poll_now(&mut set.poll, &mut events)?;
        let mut taken = 0;
        for event in &events {
            taken += 1;
            let key = event.token().0 as u64;
            if event.is_read_closed() {
                worker.handle_read_closed(key);
            }
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            let writable = event.is_writable() || event.is_write_closed();
            worker.handle_ready(key, readable, writable);
        }
        sweep.handle_piece(now, taken, EVENTS, worker.connections());
        let more = taken > 0;
        worker.tick_read_until(node.now(), sweep.read_until());
        if stop(&worker) {
            return Ok(());
        }
        if more || worker.has_work() || sweep.wants_turn() {
            tokio::task::yield_now().await;
        } else {
            wait(&watched, &set.woken, &worker, &node).await?;
        }
    }
}

fn poll_now(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, Some(Duration::ZERO)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        polled => polled,
    }
}

/// Waits for an event, a request or the next deadline.
async fn wait(watched: &Watched<OwnedFd>, woken: &Notify, worker: &Worker, node: &Node) -> io::Result<()> {
    // The set was empty a moment ago. What came since makes the descriptor ready again.
    let deadline = worker.next_deadline();
    let timer = async {
        match deadline {
            Some(due) => tokio::time::sleep(Duration::from_millis(due.ms_since(node.now()) + 1)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Edge-triggered: the set is polled until it is empty before the next wait.
        ready = watched.became_ready() => ready,
        () = woken.notified() => Ok(()),
        () = timer => Ok(()),
    }
}
