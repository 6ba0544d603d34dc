//! What others leave for a worker: broadcasts and requests, each in a bounded queue. Nobody waits for a worker:
//! what does not fit is refused at once.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hashbrown::HashSet;
use wharf_core::hub::{InboxFull, SharedBroadcast};
use wharf_proto::message::Channel;

use super::request::{Completion, ToWorker};

/// Wakes the worker's thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// A worker's inbox.
pub struct Inbox {
    queues: Mutex<Queues>,
    /// The worker knows already that there is something, or is about to look.
    notified: AtomicBool,
    wake: Wake,
    connections: AtomicUsize,
    broadcasts_bound: usize,
    requests_bound: usize,
}

#[derive(Default)]
struct Queues {
    broadcasts: VecDeque<Arc<SharedBroadcast>>,
    requests: VecDeque<ToWorker>,
    /// Outcomes of engine calls. As many as there are calls under way, which the worker bounds itself.
    completions: VecDeque<Completion>,
    /// Channels of which something was refused. Bounded by the channels that the worker has members of.
    lost: HashSet<Channel>,
    /// Connections of devices that a newer one has replaced. Each connection is named once, since it has lost its name
    /// by then; so there are never more than connections.
    replaced: Vec<u64>,
}

/// What was in an inbox.
#[derive(Default)]
pub struct Drained {
    pub(super) broadcasts: VecDeque<Arc<SharedBroadcast>>,
    pub(super) requests: VecDeque<ToWorker>,
    pub(super) completions: VecDeque<Completion>,
    pub(super) lost: HashSet<Channel>,
    pub(super) replaced: Vec<u64>,
}

impl Inbox {
    /// An inbox for so many broadcasts and requests.
    pub fn new(broadcasts_bound: usize, requests_bound: usize, wake: Wake) -> Self {
        Self {
            queues: Mutex::default(),
            notified: AtomicBool::new(false),
            wake,
            connections: AtomicUsize::new(0),
            broadcasts_bound,
            requests_bound,
        }
    }

    /// Leaves a request; a full inbox gives it back.
    #[allow(clippy::result_large_err)] // The request itself is what the caller wants back.
    pub fn send(&self, request: ToWorker) -> Result<(), ToWorker> {
        {
            let mut queues = self.lock();
            if queues.requests.len() >= self.requests_bound {
                return Err(request);
            }
            queues.requests.push_back(request);
        }
        self.notify();
        Ok(())
    }

    pub(super) fn complete(&self, completion: Completion) {
        self.lock().completions.push_back(completion);
        self.notify();
    }

    /// A newer connection has taken a device's name from this entry, which must end. Never refused.
    pub(super) fn replace(&self, entry: u64) {
        self.lock().replaced.push(entry);
        self.notify();
    }

    /// How many connections the worker owns.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn count_connections(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
    }

    /// The worker is awake and will drain: it need not be woken until then.
    pub(super) fn hold_wakes(&self) {
        self.notified.store(true, Ordering::Relaxed);
    }

    /// Takes everything. `into` comes back empty from the worker, so that the queues keep their memory.
    pub(super) fn drain(&self, into: &mut Drained) {
        // Cleared before the queues are looked at: what comes after wakes the worker again.
        self.notified.store(false, Ordering::SeqCst);
        let mut queues = self.lock();
        std::mem::swap(&mut queues.broadcasts, &mut into.broadcasts);
        std::mem::swap(&mut queues.requests, &mut into.requests);
        std::mem::swap(&mut queues.completions, &mut into.completions);
        std::mem::swap(&mut queues.lost, &mut into.lost);
        std::mem::swap(&mut queues.replaced, &mut into.replaced);
    }

    /// Wakes the worker although nothing is left for it: it looks whether it is to stop.
    pub fn wake(&self) {
        (self.wake)();
    }

    fn notify(&self) {
        if !self.notified.swap(true, Ordering::SeqCst) {
            (self.wake)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it holds the lock, so the queues are whole even if the lock says otherwise.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl wharf_core::hub::Inbox for Inbox {
    fn try_push(&self, broadcast: &Arc<SharedBroadcast>) -> Result<(), InboxFull> {
        {
            let mut queues = self.lock();
            if queues.broadcasts.len() >= self.broadcasts_bound {
                return Err(InboxFull);
            }
            queues.broadcasts.push_back(Arc::clone(broadcast));
        }
        self.notify();
        Ok(())
    }

    fn mark_lost(&self, channel: &Channel) {
        self.lock().lost.insert(channel.clone());
        self.notify();
    }
}
