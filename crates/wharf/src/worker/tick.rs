//! The order of a worker's work. Everything that others have left is taken in, everything that is due is done,
//! and then every connection that has something to say is written once.

use wharf_core::time::Millis;

use super::{
    Worker,
    moment::Moment,
    request::{Completed, ToWorker},
};

/// The most broadcasts delivered in a tick, and requests served; more waits for the next, so that reading is never
/// starved. LIMITS.md, `BROADCASTS_A_TICK`, `REQUESTS_A_TICK`.
pub const BROADCASTS_A_TICK: usize = 1_024;
#[allow(missing_docs)]
pub const REQUESTS_A_TICK: usize = 1_024;

/// After so many deliveries further broadcasts wait for the next tick: what was put on outboxes is written first.
/// LIMITS.md, `DELIVERIES_A_TICK`.
pub const DELIVERIES_A_TICK: usize = 262_144;

/// A delivery that is encoded or compressed for its member alone counts as so many: it takes as much longer.
pub const PRIVATE_DELIVERY: usize = 16;

/// Ready lists are served in pieces of so many connections a tick. LIMITS.md, `UNREAD_A_TICK`.
pub const UNREAD_A_TICK: usize = 256;

impl Worker {
    /// The driver is awake: what is left in the inbox from now on is seen by the coming [`Worker::tick`], and
    /// nobody need wake it.
    pub fn begin(&mut self, now: Millis) {
        self.now = now;
        self.inbox().hold_wakes();
    }

    /// The peer has ended its half: the reads that follow do not stop before they have found that end, since no
    /// event will tell of it again.
    pub fn handle_read_closed(&mut self, key: u64) {
        let Some(index) = self.connections.resolve(key) else { return };
        if let Some(connection) = self.connections.at(index) {
            connection.read_closed = true;
        }
    }

    /// A transport with a source became ready.
    pub fn handle_ready(&mut self, key: u64, readable: bool, writable: bool) {
        if writable {
            self.handle_writable(key);
        }
        if readable {
            self.read(key);
        }
    }

    /// Does what is to be done now. Call it after all ready transports were handled.
    pub fn tick(&mut self, now: Millis) {
        self.tick_read_until(now, now);
    }

    /// As [`Worker::tick`], where only what was ready by an earlier moment is known to be handled. A peer whose time has
    /// run out since may have answered: its deadline waits.
    pub fn tick_read_until(&mut self, now: Millis, read_until: Millis) {
        self.now = now;
        self.read_unread();
        self.take_inbox();
        self.serve_deadlines(read_until);
        self.end_slow();
        self.flush_dirty();
        self.end_over_budget();
        // Writing may have found connections that ended, and their leaving has told others.
        self.end_slow();
        self.flush_dirty();
    }

    /// Whether there is more to do at once, without any event.
    pub fn has_work(&self) -> bool {
        let left = !self.drained.broadcasts.is_empty() || !self.drained.requests.is_empty();
        left || self.inbox_waits
            || !self.unread.is_empty()
            || !self.dirty.is_empty()
            || !self.doomed.is_empty()
    }

    /// When [`Worker::tick`] wants to be called at the latest.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wheel.next_due()
    }

    fn read_unread(&mut self) {
        for _ in 0..self.unread.len().min(UNREAD_A_TICK) {
            if let Some(key) = self.unread.pop_front() {
                self.read(key);
            }
        }
    }

    fn take_inbox(&mut self) {
        // What a full tick has left is served before anything newer.
        self.inbox_waits = !self.drained.broadcasts.is_empty() || !self.drained.requests.is_empty();
        if !self.inbox_waits {
            let inbox = std::sync::Arc::clone(self.inbox());
            inbox.drain(&mut self.drained);
        }
        let lost = std::mem::take(&mut self.drained.lost);
        while let Some(completion) = self.drained.completions.pop_front() {
            self.complete(completion.kind);
        }
        for entry in std::mem::take(&mut self.drained.replaced) {
            self.replaced(entry);
        }
        for _ in 0..REQUESTS_A_TICK {
            let Some(request) = self.drained.requests.pop_front() else { break };
            self.handle_request(request);
        }
        self.delivered = 0;
        for _ in 0..BROADCASTS_A_TICK {
            if self.delivered >= DELIVERIES_A_TICK {
                break;
            }
            let Some(broadcast) = self.drained.broadcasts.pop_front() else { break };
            self.handle_broadcast(&broadcast);
        }
        for channel in &lost {
            self.handle_lost(channel);
        }
    }

    fn complete(&mut self, completed: Completed) {
        self.engine_calls -= 1;
        match completed {
            Completed::Session { key, ticket, outcome } => {
                if let Some(index) = self.connections.resolve(key) {
                    self.handle_outcome(index, ticket, outcome);
                    self.answer_poll(index);
                    self.schedule(index);
                }
            }
            Completed::History { channel, from, page } => self.caught_up(&channel, from, page),
            Completed::Unanswered => {}
        }
    }

    fn handle_request(&mut self, request: ToWorker) {
        match request {
            ToWorker::Attach(attachment) => self.attach(*attachment),
            ToWorker::Poll(request) => self.poll(request),
            ToWorker::Emulate { session, data, answer } => {
                let known = self.emulate(session, &data);
                answer.send(known).ok(); // Whoever asked may be gone.
            }
            ToWorker::Ask(ask) => self.ask(ask),
            ToWorker::Ready { entry } => self.handle_ready(entry, true, true),
            ToWorker::Unsubscribe { channel, selector } => {
                for index in self.selected(&selector) {
                    let reason = "unsubscribed by the server".to_owned();
                    self.unsubscribe(index, &channel, wharf_core::session::UNSUBSCRIBED_BY_SERVER, reason);
                }
            }
            ToWorker::Disconnect { selector, disconnect } => self.disconnect_selected(&selector, &disconnect),
            ToWorker::ListConnections(question) => self.list_connections(question),
            ToWorker::ListEnded(question) => self.list_ended(question),
            ToWorker::Drain { within_ms } => self.drain(within_ms),
        }
    }

    fn serve_deadlines(&mut self, until: Millis) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(until, &mut due);
        for index in due.drain(..) {
            let Some(connection) = self.connections.at(index) else { continue };
            if connection.scheduled_at.time() > until {
                continue; // An earlier turn has put it in again, or this one was another's of the same number.
            }
            connection.scheduled_at = Moment::NEVER;
            self.handle_deadline(index, until);
            self.schedule(index);
        }
        self.due = due;
    }

    /// Sees to it that the connection has a turn no later than its deadline.
    pub(super) fn schedule(&mut self, index: u32) {
        let stall_ms = self.node.settings.times.write_stall_ms;
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        let deadline = connection.deadline(stall_ms, now);
        if deadline < connection.scheduled_at.time() {
            let turn = self.wheel.insert(index, deadline);
            if let Some(connection) = self.connections.at(index) {
                connection.scheduled_at = Moment::of(turn); // Turns are at steps.
            }
        }
    }
}
