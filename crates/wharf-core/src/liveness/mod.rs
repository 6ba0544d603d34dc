//! Whether the peer is still there: one small machine for heartbeats and dead peers, for every kind of connection.
//! It is told what came and what time it is, and says when a ping is to go out and when the peer is dead.
//!
//! What this file does not know: what a ping looks like, and what ends when a peer is dead.
//!
//! **The stated time.** A peer of which nothing counts as life any more is found within [`Policy::found_within_ms`] of
//! its last sign of life, and no sooner than the time that it has for an answer.
//!
//! **What traffic saves.** A message costs a store of four bytes and no timer: the next moment at which something is
//! due looks how long ago the peer was heard. A ping that is due within half an interval of that is put off by half an
//! interval, and not to an interval after the message: so each connection keeps the moments that were drawn for it, and
//! ten thousand that spoke at once, as after a reconnect storm, are not pinged at once.
//!
//! **Who may skip pings.** What proves the peer's life is what the peer sends; but a client may want our pings as a
//! proof of ours. Centrifuge's SDKs end a connection that brings no ping for the interval they were told and 10 s
//! (`maxServerPingDelay`). centrifuge-js starts that time anew with whatever the server sends (`_dataReceived`);
//! centrifuge-go, and those made after it, with pings alone (`waitServerPing`, `delayPing`). A command of the client's
//! is no message of the server's in any case. So the dialect's pings go out to them at every interval, and traffic only
//! stands in for a pong that is late, as behind a long upload. Pings of the framing (RFC 6455) are watched by nobody,
//! and JSON lines are this server's own: there they are skipped.

#[cfg(test)]
mod tests;

use crate::time::Millis;

/// Pings go out at so many moments of an interval at the most, the same for all connections: one wake-up serves many of
/// them, rather than each its own. LIMITS.md, `PING_MOMENTS`.
pub const PING_MOMENTS: u32 = 100;

/// The longest interval, and the longest time for an answer: a day. LIMITS.md, `LONGEST_INTERVAL_MS`.
pub const LONGEST_INTERVAL_MS: u32 = 86_400_000;

/// The most answers in a row that may be allowed to be missing. LIMITS.md, `MOST_MISSES`.
pub const MOST_MISSES: u8 = 15;

/// Who beats, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Heartbeat {
    /// We send the dialect's ping, which the peer must answer.
    Pong,
    /// We send the dialect's ping, which nobody answers: the kernel's acknowledgement is the only sign of life, and its
    /// time for that (`TCP_USER_TIMEOUT`) what finds the dead.
    PingOnly,
    /// We send the framing's ping, which the peer's framing answers.
    Frame,
    /// We send the dialect's ping, which nobody answers, and the framing's, which the peer's framing answers.
    PingAndFrame,
    /// The peer asks again and again; its time runs from each of our answers ([`Liveness::pause`]).
    Asking,
    /// The peer beats of its own accord; we may answer, and send nothing unasked.
    Peer,
    /// No heartbeats were agreed on: once let in, the peer may be silent for ever. Others find the dead, as the kernel
    /// does.
    Nobody,
}

impl Heartbeat {
    /// We send pings, at an interval of ours.
    pub fn is_ours(self) -> bool {
        !matches!(self, Self::Asking | Self::Peer | Self::Nobody)
    }
}

/// What counts as a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Whatever the peer sends.
    Traffic,
    /// Its heartbeats alone.
    Heartbeats,
}

/// What holds of the heartbeats of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Who beats.
    pub heartbeat: Heartbeat,
    /// Between two heartbeats, in milliseconds; 1 to [`LONGEST_INTERVAL_MS`]. What lies outside is taken as the bound.
    pub interval_ms: u32,
    /// What a ping's answer may take; where the peer beats, what its beat may be late. At most [`LONGEST_INTERVAL_MS`].
    pub timeout_ms: u32,
    /// After so many missing answers, or beats of the peer's, in a row it is dead; 1 to [`MOST_MISSES`]. A ping that
    /// was not answered in its time is sent again, unless it was the last.
    pub misses: u8,
    /// What counts as a sign of life.
    pub counts: Counts,
    /// Pings of ours are skipped while the peer shows life of its own accord. See the module for who bears that.
    pub skips: bool,
    /// The interval is the longest that the path is known to bear: wishes may only shorten it.
    pub is_longest: bool,
}

impl Policy {
    /// The policy with every figure within its bounds.
    pub fn bounded(self) -> Self {
        Self {
            interval_ms: self.interval_ms.clamp(1, LONGEST_INTERVAL_MS),
            timeout_ms: self.timeout_ms.min(LONGEST_INTERVAL_MS),
            misses: self.misses.clamp(1, MOST_MISSES),
            ..self
        }
    }

    /// The longest time from a peer's last sign of life to [`Verdict::Dead`], beside a hundredth of the interval; none
    /// where nobody answers.
    pub fn found_within_ms(&self) -> Option<u64> {
        let Self { interval_ms, timeout_ms, misses, .. } = self.bounded();
        let [interval, timeout, misses] = [interval_ms, timeout_ms, u32::from(misses)].map(u64::from);
        match self.heartbeat {
            Heartbeat::Pong | Heartbeat::Frame | Heartbeat::PingAndFrame => Some(interval + misses * timeout),
            Heartbeat::Asking | Heartbeat::Peer => Some(misses * interval + timeout),
            Heartbeat::PingOnly | Heartbeat::Nobody => None,
        }
    }
}

/// What is to be done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: there was a sign of life, or it is too early.
    Alive,
    /// Send a ping.
    Ping,
    /// The peer is dead, or was not let in ([`Liveness::opening`]) in its time.
    Dead,
}

/// Is the peer of one connection still there? 24 bytes, of which there are as many as connections; hence the packing.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(4))]
pub struct Liveness {
    /// The next ping, or the end of whatever `state` waits for.
    due: Millis,
    /// The lower half of the moment at which the peer was heard last.
    heard: u32,
    interval_ms: u32,
    timeout_ms: u32,
    state: State,
    manner: Manner,
    misses: Misses,
    /// Pings that no heartbeat has answered.
    open: u8,
}

const _: () = assert!(size_of::<Liveness>() == 24);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer must be let in before `due`.
    Opening,
    /// At `due` it is asked how long the peer was not heard.
    Quiet,
    /// An answer must come before `due`.
    Awaiting,
    /// Nothing runs out.
    Paused,
}

/// Heartbeat and switches of a policy, in one byte.
#[derive(Debug, Clone, Copy)]
struct Manner(u8);

impl Manner {
    const SKIPS: u8 = 1 << 3;
    const HEARTBEATS_ONLY: u8 = 1 << 4;
    const IS_LONGEST: u8 = 1 << 5;
    /// By the number of a [`Heartbeat`].
    const HEARTBEATS: [Heartbeat; 7] = [
        Heartbeat::Pong,
        Heartbeat::PingOnly,
        Heartbeat::Frame,
        Heartbeat::PingAndFrame,
        Heartbeat::Asking,
        Heartbeat::Peer,
        Heartbeat::Nobody,
    ];

    fn new(policy: &Policy) -> Self {
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        Self(
            policy.heartbeat as u8
                | flag(policy.skips, Self::SKIPS)
                | flag(policy.counts == Counts::Heartbeats, Self::HEARTBEATS_ONLY)
                | flag(policy.is_longest, Self::IS_LONGEST),
        )
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn heartbeat(self) -> Heartbeat {
        Self::HEARTBEATS[usize::from(self.0 & 0b111)]
    }
}

/// How many answers are missing (lower half), and how many may.
#[derive(Debug, Clone, Copy)]
struct Misses(u8);

impl Misses {
    fn allowed(self) -> u8 {
        self.0 >> 4
    }

    fn none(self) -> Self {
        Self(self.0 & 0xf0)
    }

    /// One more; true if that is all that may.
    fn miss(&mut self) -> bool {
        self.0 += 1; // At most `allowed`, which ends it.
        self.0 & 0x0f >= self.allowed()
    }
}

impl Liveness {
    /// A peer that must be let in ([`Liveness::start`]) within so many milliseconds. Until then nothing is asked of it.
    pub fn opening(policy: Policy, within_ms: u64, now: Millis) -> Self {
        let policy = policy.bounded();
        Self {
            due: now.after_ms(within_ms),
            heard: low(now),
            interval_ms: policy.interval_ms,
            timeout_ms: policy.timeout_ms,
            state: State::Opening,
            manner: Manner::new(&policy),
            misses: Misses(policy.misses << 4),
            open: 0,
        }
    }

    /// What was agreed on.
    pub fn policy(&self) -> Policy {
        let counts =
            if self.manner.has(Manner::HEARTBEATS_ONLY) { Counts::Heartbeats } else { Counts::Traffic };
        Policy {
            heartbeat: self.heartbeat(),
            interval_ms: self.interval_ms,
            timeout_ms: self.timeout_ms,
            misses: self.misses.allowed(),
            counts,
            skips: self.manner.has(Manner::SKIPS),
            is_longest: self.manner.has(Manner::IS_LONGEST),
        }
    }

    /// Who beats.
    pub fn heartbeat(&self) -> Heartbeat {
        self.manner.heartbeat()
    }

    /// The peer is let in, and its heartbeats begin. The first ping comes after half an interval and `spread` 65,536ths
    /// of the other half, so that ten thousand that came at once are not pinged at once: `spread` is to be random.
    pub fn start(&mut self, spread: u16, now: Millis) {
        self.heard = low(now);
        self.misses = self.misses.none();
        match self.heartbeat() {
            Heartbeat::Asking | Heartbeat::Nobody => self.state = State::Paused,
            Heartbeat::Peer => self.wait_for_peer(now),
            _ => self.spread(spread, now),
        }
    }

    /// From now on this interval holds; the next ping is spread over it as at the start, or stays where it was if that
    /// is earlier. Before the start it only counts from then on.
    pub fn set_interval(&mut self, interval_ms: u32, spread: u16, now: Millis) {
        self.interval_ms = interval_ms.clamp(1, LONGEST_INTERVAL_MS);
        let before = self.due;
        match (self.state, self.heartbeat()) {
            (State::Quiet, Heartbeat::Peer | Heartbeat::Asking) => self.wait_for_peer(now),
            (State::Quiet, _) => {
                self.spread(spread, now);
                self.due = before.min(self.due);
            }
            _ => {}
        }
    }

    /// Nothing runs out until [`Liveness::resume`]: a poller's request is being served.
    pub fn pause(&mut self) {
        if self.state == State::Quiet {
            self.state = State::Paused;
        }
    }

    /// The peer's time runs from now, if heartbeats were agreed on.
    pub fn resume(&mut self, now: Millis) {
        if self.state == State::Paused && self.heartbeat() != Heartbeat::Nobody {
            self.heard = low(now);
            self.wait_for_peer(now);
        }
    }

    /// Something came of the peer, heartbeats too. Cheap: to be called for all that is read.
    pub fn handle_traffic(&mut self, now: Millis) {
        if !self.manner.has(Manner::HEARTBEATS_ONLY) {
            self.heard = low(now);
        }
    }

    /// A heartbeat of the peer's came: the answer to a ping, or one of its own accord. True if a ping of ours was open,
    /// each of which opens the way for one.
    pub fn handle_heartbeat(&mut self, now: Millis) -> bool {
        self.heard = low(now);
        if self.state == State::Awaiting {
            self.answered();
        }
        let was_open = self.open > 0;
        self.open = self.open.saturating_sub(1);
        was_open
    }

    /// When [`Liveness::handle_timeout`] wants to be called; none if nothing runs out. The moment may move back by
    /// itself, so that a timer that comes at an earlier answer is only asked again.
    pub fn poll_timeout(&self) -> Option<Millis> {
        (self.state != State::Paused).then_some(self.due)
    }

    /// Time has come to `now`, and all that came before it was handled. Does what is due and no more; may be called too
    /// early.
    pub fn handle_timeout(&mut self, now: Millis) -> Verdict {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Verdict::Alive;
        }
        match (self.state, self.heartbeat()) {
            (State::Opening, _) => Verdict::Dead,
            (State::Paused, _) | (State::Quiet, Heartbeat::Nobody) => Verdict::Alive,
            (State::Quiet, Heartbeat::Asking | Heartbeat::Peer) => {
                self.wait_for_peer(now);
                if { self.due } > now { Verdict::Alive } else { Verdict::Dead }
            }
            (State::Quiet, _) if self.may_skip(now) => {
                self.due = self.at_moment(now.after_ms(u64::from(self.interval_ms / 2)));
                Verdict::Alive
            }
            (State::Quiet, Heartbeat::PingOnly) => {
                self.due = self.at_moment(now.after_ms(self.interval_ms.into()));
                Verdict::Ping
            }
            (State::Quiet, Heartbeat::Pong | Heartbeat::Frame | Heartbeat::PingAndFrame) => self.ping(now),
            (State::Awaiting, _) if self.heard_after(self.pinged(), now) => {
                self.answered();
                Verdict::Alive
            }
            (State::Awaiting, _) if self.misses.miss() => Verdict::Dead,
            (State::Awaiting, _) => self.ping(now),
        }
    }

    fn ping(&mut self, now: Millis) -> Verdict {
        self.state = State::Awaiting;
        self.due = now.after_ms(self.timeout_ms.into());
        self.open = self.open.saturating_add(1);
        Verdict::Ping
    }

    /// The interval runs from the ping.
    fn answered(&mut self) {
        self.due = self.at_moment(self.pinged().after_ms(self.interval_ms.into()));
        self.state = State::Quiet;
        self.misses = self.misses.none();
    }

    /// When the ping went out whose answer is awaited.
    fn pinged(&self) -> Millis {
        Millis({ self.due }.0.saturating_sub(self.timeout_ms.into()))
    }

    fn may_skip(&self, now: Millis) -> bool {
        self.manner.has(Manner::SKIPS) && self.silent_ms(now) < self.interval_ms / 2
    }

    fn spread(&mut self, spread: u16, now: Millis) {
        let half = u64::from(self.interval_ms / 2);
        self.state = State::Quiet;
        self.due = self.at_moment(now.after_ms(half + half * u64::from(spread) / 65_536));
    }

    /// The moment at which the peer's silence has lasted for too long.
    fn wait_for_peer(&mut self, now: Millis) {
        let heard = Millis(now.0.saturating_sub(self.silent_ms(now).into()));
        let patience = u64::from(self.interval_ms) * u64::from(self.misses.allowed());
        let until = heard.after_ms(patience + u64::from(self.timeout_ms));
        self.state = State::Quiet;
        // Never earlier than it should: a peer that keeps to its time lives.
        self.due = match self.heartbeat() {
            Heartbeat::Peer => Millis(until.0.next_multiple_of(self.step_ms())),
            _ => until,
        };
    }

    /// The latest of the moments for pings that is no later than `at`, so that nobody waits longer than it was told.
    fn at_moment(&self, at: Millis) -> Millis {
        Millis(at.0 / self.step_ms() * self.step_ms())
    }

    /// Between two of the moments for pings. A power of two, so that the moments of every interval are among those of
    /// every shorter one.
    fn step_ms(&self) -> u64 {
        u64::from((self.interval_ms / PING_MOMENTS).next_power_of_two())
    }

    /// How long ago the last sign of life was, of a peer that may be dead after less than 24 days of silence. 0 also
    /// where the peer was heard after `now`: the deadlines of a moment may be served a little later.
    pub fn silent_ms(&self, now: Millis) -> u32 {
        u32::try_from(low(now).wrapping_sub(self.heard).cast_signed()).unwrap_or(0)
    }

    fn heard_after(&self, moment: Millis, now: Millis) -> bool {
        u64::from(self.silent_ms(now)) <= now.ms_since(moment)
    }
}

/// The lower half of a moment. Silence is measured by it: less than 24 days, since nobody is silent for longer than
/// [`MOST_MISSES`] and one times [`LONGEST_INTERVAL_MS`] and lives.
fn low(moment: Millis) -> u32 {
    moment.0 as u32
}
