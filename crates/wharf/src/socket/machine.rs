//! One socket's state machine, from its first connection to its last: what waits on either side, what is due when, and
//! how it ends. Bytes, moments and what befell a connection go in; bytes, events and deadlines come out.
//!
//! What this file does not know: what carries the bytes, what time it is, and who reads.

mod incoming;
mod outgoing;
mod reading;
mod tally;
#[cfg(test)]
mod tests;
mod watch;
mod writing;

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use wharf_core::time::Millis;
use wharf_proto::wire::Deframer;

pub use self::tally::Tally;
use self::{
    incoming::Incoming,
    outgoing::Outgoing,
    watch::{Due, Watch},
};
use super::{
    end::End,
    event::Event,
    parts::{Parts, Unsent, ms},
};
use crate::client::backoff;

/// What the machine's driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Dial; the outcome is [`Machine::handle_open`] or [`Machine::handle_end`].
    Dial,
    /// Wait for the deadline.
    Wait,
    /// Move bytes.
    Converse,
    /// Nothing any more.
    Over,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Dialing,
    Open,
    Pausing { until: Millis },
    Ended(End),
}

/// Our half of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// It ends when everything is sent.
    Finishing,
    Finished,
}

/// How bytes become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A stream, which the framing cuts, if there is one.
    Stream,
    /// Datagrams: each begins and ends by itself.
    Datagrams,
}

/// One socket.
pub struct Machine {
    parts: Arc<Parts>,
    carrier: Carrier,
    state: State,
    ours: Half,
    /// The peer has ended its half of the connection.
    theirs_ended: bool,
    incoming: Incoming,
    outgoing: Outgoing,
    deframer: Option<Box<dyn Deframer>>,
    watch: Watch,
    /// Something waits to be sent, and none of it was taken until then.
    stall_due: Option<Millis>,
    /// Nothing can be written any more, and why. What the peer said before that is still read.
    write_failed: Option<End>,
    /// How often messages went with a connection unsent, and how it ended the last time.
    losses: u64,
    last_loss: Option<End>,
    /// How many of the losses a flush has told.
    losses_told: u64,
    /// Closing takes no longer.
    close_due: Option<Millis>,
    /// What [`handle_path`](Self::handle_path) was told last.
    is_unacknowledged: bool,
    opened_at: Millis,
    /// Connections so far.
    connections: u64,
    /// Failures since the last connection that stood.
    failures: u32,
    rng: SmallRng,
    tally: Tally,
}

impl Machine {
    /// A socket that is to dial.
    pub fn dialing(parts: Arc<Parts>, carrier: Carrier, seed: u64) -> Self {
        Self {
            watch: Watch::new(parts.heartbeat.clone()),
            parts,
            carrier,
            state: State::Dialing,
            ours: Half::Open,
            theirs_ended: false,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            deframer: None,
            stall_due: None,
            write_failed: None,
            losses: 0,
            last_loss: None,
            losses_told: 0,
            close_due: None,
            is_unacknowledged: false,
            opened_at: Millis(0),
            connections: 0,
            failures: 0,
            rng: SmallRng::seed_from_u64(seed),
            tally: Tally::default(),
        }
    }

    /// What the driver is to do now.
    pub fn step(&self) -> Step {
        match self.state {
            State::Dialing => Step::Dial,
            State::Open => Step::Converse,
            State::Pausing { .. } => Step::Wait,
            State::Ended(_) => Step::Over,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let pause = match self.state {
            State::Pausing { until } => Some(until),
            State::Open => self.watch.due(),
            State::Dialing | State::Ended(_) => None,
        };
        [pause, self.stall_due, self.close_due].into_iter().flatten().min()
    }

    /// Time has come to `now`. What has arrived by then must have been handed in before, so that a process that was
    /// stopped for a while does not take its own sleep for the peer's.
    pub fn handle_timeout(&mut self, now: Millis) {
        let is_due = |due: Option<Millis>| due.is_some_and(|due| due <= now);
        if let State::Pausing { until } = self.state
            && until <= now
        {
            self.state = State::Dialing;
        }
        if is_due(self.close_due) {
            let unsent = self.outgoing.messages();
            self.end(End::ClosedHere { unsent });
        } else if is_due(self.stall_due) {
            let stalled_ms = ms(self.parts.bounds.write_stall);
            let end = self.write_failed.take().unwrap_or(End::NotReading { stalled_ms });
            self.handle_end(end, now);
        } else if self.state == State::Open && is_due(self.watch.due()) {
            // While this side does not read, nothing of the peer's can be seen, and its silence says nothing.
            if !self.wants_read() {
                self.watch.handle_answer(now);
            }
            match self.watch.handle_timeout(now) {
                Due::Nothing => {}
                Due::Beat(message) => {
                    if let Some(framed) = self.own("a beat", &message, now) {
                        self.outgoing.beat(framed);
                        self.watch_writes(now);
                    }
                }
                Due::Dead { .. } if self.is_unacknowledged => self.handle_end(End::Blackholed, now),
                Due::Dead { silent_ms } => self.handle_end(End::MissedHeartbeat { silent_ms }, now),
            }
        }
    }

    /// Whether the kernel waits in vain for the peer's machine to acknowledge something: what tells a machine that is gone
    /// from a program that is frozen, when its heartbeat is missed.
    pub fn handle_path(&mut self, is_unacknowledged: bool) {
        self.is_unacknowledged = is_unacknowledged;
    }

    /// There is a connection.
    pub fn handle_open(&mut self, now: Millis) {
        if self.state != State::Dialing {
            return;
        }
        self.state = State::Open;
        (self.theirs_ended, self.is_unacknowledged) = (false, false);
        self.opened_at = now;
        self.connections += 1;
        self.deframer = self.new_deframer();
        self.watch.open(self.rng.random(), now);
        let greeting = self.parts.reconnect.as_ref().and_then(|reconnect| reconnect.greeting.clone());
        self.incoming.opened(Event::Opened { connection: self.connections });
        if let Some(greeting) = greeting {
            let mut framed = Vec::new();
            for message in greeting(self.connections) {
                match self.own("a greeting", &message, now) {
                    Some(message) => framed.push(message),
                    None => return,
                }
            }
            self.outgoing.greet(framed.into_iter());
        }
        self.watch_writes(now);
    }

    /// The connection ended, or could not be made.
    pub fn handle_end(&mut self, end: End, now: Millis) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        let stood_ms = if self.state == State::Open { now.ms_since(self.opened_at) } else { 0 };
        let may_return = self.ours == Half::Open && (self.connections > 0 || self.returns_at_first());
        let reconnect = self.parts.reconnect.as_ref().filter(|_| may_return);
        let Some(reconnect) = reconnect else { return self.end(end) };
        if stood_ms >= ms(reconnect.longest) {
            self.failures = 0;
        }
        if self.failures >= reconnect.attempts {
            return self.end(end);
        }
        let random = self.rng.random_range(0.0..=1.0);
        let pause = backoff::delay_between(reconnect.shortest, reconnect.longest, self.failures, random);
        self.failures += 1;
        let keep = reconnect.unsent == Unsent::Keep;
        let unsent = self.lose(keep, &end);
        self.disconnect();
        self.incoming.lost(Event::Lost { end, retry_in: pause, unsent });
        self.state = State::Pausing { until: now.after_ms(ms(pause)) };
    }

    fn returns_at_first(&self) -> bool {
        self.parts.reconnect.as_ref().is_some_and(|reconnect| reconnect.at_first)
    }

    fn end(&mut self, end: End) {
        self.lose(false, &end);
        self.disconnect();
        self.close_due = None;
        self.state = State::Ended(end);
    }

    /// The queue loses what does not outlive the connection; how many messages that are.
    fn lose(&mut self, keep: bool, end: &End) -> usize {
        let held_by_transport = self.outgoing.wants_flush();
        let unsent = self.outgoing.lose(keep);
        self.tally.unsent += unsent as u64;
        if unsent > 0 || held_by_transport {
            self.losses += 1;
            self.last_loss = Some(end.clone());
        }
        unsent
    }

    /// How many losses a flush that begins now knows of.
    pub fn losses_told(&self) -> u64 {
        self.losses_told
    }

    /// Whether everything that was written is with the kernel; the end, if some of it never will be. A loss is told to
    /// all flushes that wait, or else to the next.
    pub fn poll_flushed(&mut self, losses_known: u64) -> Option<Result<(), End>> {
        if self.losses > losses_known {
            self.losses_told = self.losses;
            return self.last_loss.clone().map(Err);
        }
        match &self.state {
            State::Ended(end) if end.is_clean() => Some(Ok(())),
            State::Ended(end) => Some(Err(end.clone())),
            _ if self.outgoing.is_done() || self.ours == Half::Finished => Some(Ok(())),
            _ => self.write_failed.clone().filter(|_| !self.returns()).map(Err),
        }
    }

    /// Whether another connection follows this one.
    fn returns(&self) -> bool {
        self.parts.reconnect.is_some() && self.ours == Half::Open
    }

    /// Nobody drives the machine any more.
    pub fn abandon(&mut self, end: End) {
        if self.ended().is_none() {
            self.end(end);
        }
    }

    fn disconnect(&mut self) {
        self.deframer = None;
        self.stall_due = None;
        self.write_failed = None;
        self.watch.close();
    }

    /// How the socket ended.
    pub fn ended(&self) -> Option<&End> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Whether there is something for whoever reads: an event, or the end of them.
    pub fn has_news(&self) -> bool {
        !self.incoming.is_empty() || self.theirs_ended || self.ended().is_some()
    }

    /// Whether whoever waits to write, or for what it wrote to be sent, has something to look at.
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room(self.parts.bounds.queue_bytes)
            || self.ours != Half::Open
            || self.write_failed.is_some()
            || self.ended().is_some()
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Everything that was written is with the kernel.
    pub fn is_sent(&self) -> bool {
        self.outgoing.is_done()
    }

    /// Nothing more will be written; what waits is sent, then our half ends. A socket that comes back does so no more.
    pub fn finish(&mut self, now: Millis) {
        if self.ours == Half::Open {
            self.ours = Half::Finishing;
        }
        if matches!(self.state, State::Dialing | State::Pausing { .. }) {
            let unsent = self.outgoing.messages();
            self.end(End::ClosedHere { unsent });
        }
        self.limit_closing(now);
    }

    /// Nobody reads any more; what waits to be read and what comes is thrown away.
    pub fn discard(&mut self, now: Millis) {
        self.incoming.discard();
        self.limit_closing(now);
    }

    /// Once nobody reads and nobody writes, what is left has a time.
    fn limit_closing(&mut self, now: Millis) {
        let closes = self.incoming.discards() && self.ours != Half::Open && self.ended().is_none();
        if closes && self.close_due.is_none() {
            self.close_due = Some(now.after_ms(ms(self.parts.bounds.close)));
        }
    }

    /// What went through so far.
    pub fn tally(&self) -> Tally {
        Tally { connections: self.connections, ..self.tally }
    }
}
