//! Pings, pongs and leases: one rule for every kind of connection. A socket shows life by answering pings, a
//! poller by asking again; whoever shows none in time is ended.
//!
//! What this file does not know: what a ping looks like, and what time it is.

use wharf_proto::{Disconnect, message::Push};

use super::{Action, Phase, Session, rules::Rules};
use crate::time::Millis;

/// Pings go out at so many moments of an interval, the same for all connections: one wake-up serves a hundredth of
/// them, rather than each its own. LIMITS.md, `PING_MOMENTS`.
pub const PING_MOMENTS: u64 = 100;

/// How a connection shows life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The dialect's ping, which the client must answer.
    Pong,
    /// The dialect's ping, which nobody answers: the kernel's acknowledgement is the only sign of life.
    PingOnly,
    /// The framing's ping, which the client's framing answers.
    Frame,
    /// The client asks again and again; the lease runs from each answer.
    Asking,
}

/// The deadlines of one session. At any moment one of them is due next.
#[derive(Debug)]
pub(super) struct Keepalive {
    heartbeat: Heartbeat,
    state: State,
    /// The next ping, or the end of whatever `state` waits for.
    due: Millis,
    /// The next renewal of presence entries.
    renew_due: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `connect` must come before `due`.
    Opening,
    /// The next ping goes out at `due`.
    Quiet,
    /// A pong must come before `due`.
    AwaitingPong,
    /// A poller's request is being served: nothing runs out.
    Asked,
    /// A poller's next request must come before `due`.
    Leased,
}

impl Keepalive {
    pub(super) fn opening(heartbeat: Heartbeat, now: Millis, rules: &Rules) -> Self {
        let due = now.after_ms(rules.authenticate_ms);
        Self { heartbeat, state: State::Opening, due, renew_due: Millis(u64::MAX) }
    }

    pub(super) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat
    }

    /// What the client is told: the interval in whole seconds, rounded up, so that a client that waits this long
    /// never gives up on a server that keeps to the interval. 0 where the dialect sends no pings.
    pub(super) fn advertised_ping_s(&self, rules: &Rules) -> u32 {
        match self.heartbeat {
            Heartbeat::Pong | Heartbeat::PingOnly => {
                u32::try_from(rules.ping_interval_ms.div_ceil(1000)).unwrap_or(u32::MAX)
            }
            Heartbeat::Frame | Heartbeat::Asking => 0,
        }
    }

    /// The session is connected. The first ping comes after half an interval and `spread` 65,536ths of the other
    /// half, so that ten thousand clients that came at once are not pinged at once; and then at the next of the
    /// moments for pings.
    pub(super) fn connected(&mut self, spread: u16, rules: &Rules, now: Millis) {
        self.renew_due = now.after_ms(rules.presence_renew_ms);
        if self.heartbeat == Heartbeat::Asking {
            self.state = State::Asked;
        } else {
            let half = rules.ping_interval_ms / 2;
            self.state = State::Quiet;
            let due = now.after_ms(half + half * u64::from(spread) / 65_536);
            let step_ms = (rules.ping_interval_ms / PING_MOMENTS).max(1);
            self.due = Millis(due.0.next_multiple_of(step_ms));
        }
    }

    pub(super) fn due(&self) -> Millis {
        match self.state {
            State::Asked => self.renew_due,
            _ => self.due.min(self.renew_due),
        }
    }

    fn await_pong(&mut self, rules: &Rules, now: Millis) {
        self.state = State::AwaitingPong;
        self.due = now.after_ms(rules.pong_timeout_ms);
    }

    fn pong_came(&mut self, rules: &Rules, now: Millis) {
        // The interval runs from the ping, which went out `pong_timeout_ms` before the deadline.
        let pinged = Millis(self.due.0.saturating_sub(rules.pong_timeout_ms));
        self.state = State::Quiet;
        self.due = pinged.after_ms(rules.ping_interval_ms).max(now);
    }
}

impl Session {
    /// Time has come to `now`. Does what is due and no more; may be called too early.
    pub fn handle_timeout(&mut self, rules: &Rules, now: Millis, actions: &mut Vec<Action>) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.keepalive.renew_due <= now {
            self.keepalive.renew_due = now.after_ms(rules.presence_renew_ms);
            self.renew_presence(actions);
        }
        if self.keepalive.due > now {
            return;
        }
        match (self.keepalive.state, self.keepalive.heartbeat) {
            (State::Opening, _) => self.disconnect(&Disconnect::STALE, actions),
            (State::AwaitingPong, _) => self.disconnect(&Disconnect::NO_PONG, actions),
            // Nobody is there to be told; the code is for the operator.
            (State::Leased, _) => {
                self.disconnect(&Disconnect::STALE.with_reason("the poller asked no more"), actions)
            }
            (State::Quiet, Heartbeat::Pong) => {
                actions.push(Action::Push(Push::Ping));
                self.keepalive.await_pong(rules, now);
            }
            (State::Quiet, Heartbeat::Frame) => {
                actions.push(Action::PingFrame);
                self.keepalive.await_pong(rules, now);
            }
            (State::Quiet, Heartbeat::PingOnly) => {
                actions.push(Action::Push(Push::Ping));
                self.keepalive.due = now.after_ms(rules.ping_interval_ms);
            }
            (State::Asked, _) | (State::Quiet, Heartbeat::Asking) => {}
        }
    }

    /// The dialect's pong came.
    pub(super) fn handle_pong(&mut self, rules: &Rules, now: Millis, actions: &mut Vec<Action>) {
        match self.keepalive.heartbeat {
            Heartbeat::Pong if self.keepalive.state == State::AwaitingPong => {
                self.keepalive.pong_came(rules, now)
            }
            // A poller may say it is there in more ways than by asking.
            Heartbeat::Asking => {}
            // Centrifuge protocol section 4: a pong that was not asked for is a bad request.
            _ => self.refuse("a pong came without a ping", actions),
        }
    }

    /// The framing's pong came. One that was not asked for is allowed (RFC 6455 section 5.5.3).
    pub fn handle_pong_frame(&mut self, rules: &Rules, now: Millis) {
        if self.keepalive.heartbeat == Heartbeat::Frame && self.keepalive.state == State::AwaitingPong {
            self.keepalive.pong_came(rules, now);
        }
    }

    /// A poller's request has come: nothing runs out until it is answered.
    pub fn handle_asked(&mut self) {
        if self.keepalive.state == State::Leased {
            self.keepalive.state = State::Asked;
        }
    }

    /// A poller's request was answered: the lease runs from now.
    pub fn handle_answered(&mut self, rules: &Rules, now: Millis) {
        if self.keepalive.state == State::Asked {
            self.keepalive.state = State::Leased;
            self.keepalive.due = now.after_ms(rules.presence_lease_ms);
        }
    }
}
