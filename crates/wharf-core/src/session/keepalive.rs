//! Pings, pongs and leases of a session: what [`crate::liveness`] finds becomes pings and ends, and as long as the peer
//! lives its presence is renewed.
//!
//! What this file does not know: what a ping looks like, and what time it is.

use wharf_proto::{
    Disconnect,
    message::{Channel, PingWish, Push, ReplyBody},
};

use super::{Action, Phase, Session, rules::Rules};
use crate::{
    liveness::{Heartbeat, Liveness, Policy, Verdict},
    time::Millis,
};

/// The deadlines of one session. At any moment one of them is due next.
#[derive(Debug)]
#[repr(Rust, packed(4))]
pub(super) struct Keepalive {
    liveness: Liveness,
    /// The lower half of the moment at which presence entries are renewed next, which is days from no other of the
    /// session's moments. It counts from the connect on.
    renew_due: u32,
}

const _: () = assert!(size_of::<Keepalive>() == 28);

impl Keepalive {
    pub(super) fn opening(policy: Policy, rules: &Rules, now: Millis) -> Self {
        Self { liveness: Liveness::opening(policy, rules.authenticate_ms, now), renew_due: 0 }
    }

    pub(super) fn policy(&self) -> Policy {
        self.liveness.policy()
    }

    /// What the client is told: the interval in whole seconds, rounded up, so that a client that waits this long
    /// never gives up on a server that keeps to the interval. 0 where the dialect sends no pings.
    pub(super) fn advertised_ping_s(&self) -> u32 {
        match self.liveness.heartbeat() {
            Heartbeat::Pong | Heartbeat::PingOnly | Heartbeat::PingAndFrame => {
                self.policy().interval_ms.div_ceil(1000)
            }
            Heartbeat::Frame | Heartbeat::Asking | Heartbeat::Peer | Heartbeat::Nobody => 0,
        }
    }

    /// The session is connected; `spread` is random.
    pub(super) fn connected(&mut self, spread: u16, rules: &Rules, now: Millis) {
        self.liveness.start(spread, now);
        self.renew_at(now.after_ms(rules.presence_renew_ms));
    }

    fn renew_at(&mut self, moment: Millis) {
        self.renew_due = moment.0 as u32;
    }

    /// How long after `now` presence is to be renewed; 0 if that is due.
    fn ms_to_renewal(&self, now: Millis) -> u64 {
        // Of two moments that are days apart at the most the lower halves tell which is the earlier.
        u64::try_from(self.renew_due.wrapping_sub(now.0 as u32).cast_signed()).unwrap_or(0)
    }

    /// The client wishes to be pinged so often.
    pub(super) fn wish(&mut self, wish: PingWish, rules: &Rules, now: Millis) {
        let settled = self.policy();
        if settled.heartbeat.is_ours() {
            // The spread is drawn at the start, which is still to come.
            self.liveness.set_interval(rules.wished_interval_ms(&settled, wish), 0, now);
        }
    }

    /// When something is due that a session in this phase waits for.
    pub(super) fn due(&self, phase: Phase, now: Millis) -> Option<Millis> {
        let renewal = (phase == Phase::Connected).then(|| now.after_ms(self.ms_to_renewal(now)));
        [self.liveness.poll_timeout(), renewal].into_iter().flatten().min()
    }
}

impl Session {
    /// Time has come to `now`, and all that came before it was handled. Does what is due and no more; may be called too
    /// early.
    pub fn handle_timeout(&mut self, rules: &Rules, now: Millis, actions: &mut Vec<Action>) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.phase == Phase::Connected && self.keepalive.ms_to_renewal(now) == 0 {
            self.keepalive.renew_at(now.after_ms(rules.presence_renew_ms));
            self.renew_presence(actions);
        }
        let heartbeat = self.keepalive.liveness.heartbeat();
        match self.keepalive.liveness.handle_timeout(now) {
            Verdict::Alive => {}
            Verdict::Ping => {
                if heartbeat != Heartbeat::Frame {
                    actions.push(Action::Push(Push::Ping));
                }
                if matches!(heartbeat, Heartbeat::Frame | Heartbeat::PingAndFrame) {
                    actions.push(Action::PingFrame);
                }
            }
            Verdict::Dead => self.disconnect(&self.cause_of_death(heartbeat), actions),
        }
    }

    fn cause_of_death(&self, heartbeat: Heartbeat) -> Disconnect {
        match heartbeat {
            _ if self.phase != Phase::Connected => Disconnect::STALE,
            // Nobody is there to be told; the code is for the operator.
            Heartbeat::Asking => Disconnect::STALE.with_reason("the poller asked no more"),
            Heartbeat::Peer => Disconnect::NO_PONG.with_reason("no heartbeat"),
            _ => Disconnect::NO_PONG,
        }
    }

    /// A member of a channel is pinged as often as its namespace wants it. The interval is the shortest of what the
    /// connection was told and what its channels want, and stays so when it leaves one: a client is never pinged less
    /// often than it was told.
    pub(super) fn follow_interval_of(&mut self, channel: &Channel, rules: &Rules, now: Millis) {
        let wanted_ms = rules.namespaces.options(channel).map_or(0, |options| options.ping_interval_ms);
        let settled = self.keepalive.policy();
        let is_shorter = wanted_ms > 0 && wanted_ms < settled.interval_ms;
        if is_shorter && settled.heartbeat.is_ours() && self.subscription_mut(channel).is_some() {
            let spread = self.spread();
            self.keepalive.liveness.set_interval(wanted_ms, spread, now);
        }
    }

    /// The identifier is random, so its low bits spread pings as well as any.
    pub(super) fn spread(&self) -> u16 {
        self.client.0 as u16
    }

    /// Something came of the client, of whatever kind. Cheap: to be called for all that is read.
    pub fn handle_traffic(&mut self, now: Millis) {
        self.keepalive.liveness.handle_traffic(now);
    }

    /// How long ago the client has last shown life: within its heartbeats' times, as long as it must keep to such.
    pub fn silent_ms(&self, now: Millis) -> u32 {
        self.keepalive.liveness.silent_ms(now)
    }

    /// The dialect's pong came.
    pub(super) fn handle_pong(&mut self, now: Millis, actions: &mut Vec<Action>) {
        match self.keepalive.liveness.heartbeat() {
            Heartbeat::Pong if self.keepalive.liveness.handle_heartbeat(now) => {}
            // A poller may say it is there in more ways than by asking.
            Heartbeat::Asking => {}
            // Centrifuge protocol section 4: a pong that was not asked for is a bad request.
            _ => self.refuse("a pong came without a ping", actions),
        }
    }

    /// A sign of life came of the client's own accord: as good as the answer to a ping.
    pub(super) fn handle_heartbeat(&mut self, id: u32, now: Millis, actions: &mut Vec<Action>) {
        self.keepalive.liveness.handle_heartbeat(now);
        self.reply(id, Ok(ReplyBody::Heartbeat), actions);
    }

    /// The framing's pong came. One that was not asked for is allowed (RFC 6455 section 5.5.3).
    pub fn handle_pong_frame(&mut self, now: Millis) {
        if matches!(self.keepalive.liveness.heartbeat(), Heartbeat::Frame | Heartbeat::PingAndFrame) {
            self.keepalive.liveness.handle_heartbeat(now);
        }
    }

    /// A poller's request has come: nothing runs out until it is answered.
    pub fn handle_asked(&mut self) {
        if self.is_poller() {
            self.keepalive.liveness.pause();
        }
    }

    /// A poller's request was answered: the lease runs from now.
    pub fn handle_answered(&mut self, now: Millis) {
        if self.is_poller() {
            self.keepalive.liveness.resume(now);
        }
    }

    fn is_poller(&self) -> bool {
        self.keepalive.liveness.heartbeat() == Heartbeat::Asking
    }
}
