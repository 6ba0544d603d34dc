//! What can be put on a socket, each by itself: a framing, a heartbeat, coming back, bounds, and the kernel's own
//! watch over a TCP connection.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use wharf_core::liveness::{self, Counts, Policy};
use wharf_proto::wire;

use crate::client::backoff;

/// A duration in whole milliseconds, never rounded down to none.
pub(super) fn ms(duration: Duration) -> u64 {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 && !duration.is_zero() { 1 } else { ms }
}

/// All parts of one socket.
#[derive(Clone, Default)]
pub(super) struct Parts {
    /// None: bytes as they come, or whole datagrams.
    pub framing: Option<Arc<dyn wire::Framing>>,
    pub heartbeat: Option<Heartbeat>,
    pub reconnect: Option<Reconnect>,
    pub bounds: Bounds,
    pub kernel: KernelWatch,
}

/// The bounds of one socket. LIMITS.md has what happens at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest message in either direction, in bytes, the framing's own not counted. 64 KiB.
    pub message_bytes: usize,
    /// What waits to be sent, in bytes and 64 for each message; a write waits for room. 1 MiB.
    pub queue_bytes: usize,
    /// What came and was not read yet, likewise; then the socket reads no more, and TCP's flow control stops the peer. Of
    /// UDP what comes is dropped and counted. 256 KiB.
    pub read_ahead_bytes: usize,
    /// How long the peer may take none of what waits. 10 s.
    pub write_stall: Duration,
    /// How long closing may take: sending what waits, and the peer's own end. 5 s.
    pub close: Duration,
    /// How long one address of a name may take to answer, and how long a TLS handshake may take. 5 s.
    pub dial: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            queue_bytes: 1024 * 1024,
            read_ahead_bytes: 256 * 1024,
            write_stall: Duration::from_secs(10),
            close: Duration::from_secs(5),
            dial: Duration::from_secs(5),
        }
    }
}

/// What the kernel does to notice that a TCP peer is gone. It sees machines and paths, not processes: a frozen process is
/// found by a [`Heartbeat`] only. Has no effect on UDP and Unix paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelWatch {
    /// TCP_USER_TIMEOUT (Linux): how long what was sent may stay unacknowledged. 20 s; without it the kernel tries for
    /// about a quarter of an hour.
    pub user_timeout: Option<Duration>,
    /// Keep-alive probes: after this time without traffic, and then this far apart. 30 s.
    pub keepalive: Option<Duration>,
}

impl Default for KernelWatch {
    fn default() -> Self {
        Self { user_timeout: Some(Duration::from_secs(20)), keepalive: Some(Duration::from_secs(30)) }
    }
}

/// Says what a beat is; the argument counts beats from 0 on each connection.
pub(super) type Saying = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;
/// Whether a message is an answer to a beat.
pub(super) type IsAnswer = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;
/// The answer to a message that is a beat of the peer's.
pub(super) type Answering = Arc<dyn Fn(&[u8]) -> Option<Bytes> + Send + Sync>;

/// How each side shows the other that it is there, and when a silent peer counts as dead: after
/// [`found_within`](Self::found_within) at the latest.
///
/// A beat that is due is skipped while the peer has been heard within half the interval, and the first comes at a random
/// moment of the interval's second half, so that ten thousand sockets that came at once do not beat at once.
#[derive(Clone)]
pub struct Heartbeat {
    pub(super) interval: Duration,
    pub(super) within: Duration,
    pub(super) misses: u8,
    pub(super) saying: Option<Saying>,
    pub(super) is_answer: Option<IsAnswer>,
    pub(super) answering: Option<Answering>,
}

impl Heartbeat {
    /// Once an `interval` (a millisecond to a day) there is to be a sign of life, as the other methods say. Without any
    /// of them the peer must say something of its own accord, and may be late by [`within`](Self::within).
    pub fn every(interval: Duration) -> Self {
        let within = Duration::from_secs(10);
        Self { interval, within, misses: 1, saying: None, is_answer: None, answering: None }
    }

    /// Sends this message as the beat. Over a stream without a framing these are bytes.
    pub fn saying(self, message: impl Into<Bytes>) -> Self {
        let message = message.into();
        self.saying_with(move |_| message.clone())
    }

    /// Sends what this makes; its argument counts the beats from 0 on each connection.
    pub fn saying_with(mut self, saying: impl Fn(u64) -> Bytes + Send + Sync + 'static) -> Self {
        self.saying = Some(Arc::new(saying));
        self
    }

    /// How long the peer may take to answer a beat, or be late with its own. 10 s.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// After how many beats in a row without an answer the peer is dead: 1 to 15. 1.
    pub fn misses(mut self, misses: u8) -> Self {
        self.misses = misses;
        self
    }

    /// Only a message of which this is true is a sign of life, and it is not handed to whoever reads. Without it any byte
    /// is a sign of life. Needs a framing, or datagrams.
    pub fn answered_by(mut self, is_answer: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.is_answer = Some(Arc::new(is_answer));
        self
    }

    /// The peer's own beats: a message for which this makes an answer is answered, counts as a sign of life, and is not
    /// handed to whoever reads. Needs a framing, or datagrams.
    pub fn answering(mut self, answering: impl Fn(&[u8]) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        self.answering = Some(Arc::new(answering));
        self
    }

    /// The longest time from the peer's last sign of life to the end of the connection.
    pub fn found_within(&self) -> Duration {
        // A policy without answers is never made here.
        Duration::from_millis(self.policy().found_within_ms().unwrap_or(u64::MAX))
    }

    pub(super) fn policy(&self) -> Policy {
        let short = |duration| u32::try_from(ms(duration)).unwrap_or(u32::MAX);
        Policy {
            heartbeat: if self.saying.is_some() {
                liveness::Heartbeat::Pong
            } else {
                liveness::Heartbeat::Peer
            },
            interval_ms: short(self.interval),
            timeout_ms: short(self.within),
            misses: self.misses,
            counts: if self.is_answer.is_some() { Counts::Heartbeats } else { Counts::Traffic },
            skips: true,
            is_longest: false,
        }
        .bounded()
    }

    /// Whether it looks into messages, and so needs to know where they end.
    pub(super) fn reads_messages(&self) -> bool {
        self.is_answer.is_some() || self.answering.is_some()
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, within, misses, .. } = self;
        write!(formatter, "Heartbeat({interval:?}, {within:?}, {misses})")
    }
}

/// What becomes of messages while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsent {
    /// They wait, up to [`Bounds::queue_bytes`], and go out on the next connection; one of which a part was sent goes out
    /// again from its beginning. A write waits for room.
    #[default]
    Keep,
    /// Those that wait are dropped, and [`Event::Lost`](super::Event::Lost) says how many; a write fails with
    /// [`WriteError::NotConnected`](super::WriteError::NotConnected) until there is a connection again.
    Refuse,
}

/// Makes what is sent first on a connection.
pub(super) type Greeting = Arc<dyn Fn(u64) -> Vec<Bytes> + Send + Sync>;

/// A client that comes back: after each end of a connection it waits and dials again, with full jitter and a pause that
/// doubles, so that many clients that lost one server do not come back as one.
///
/// What the kernel had taken and the peer had not read when the connection ended is lost, and nothing can tell how much
/// that was: who needs to know has the peer acknowledge.
#[derive(Clone)]
pub struct Reconnect {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
    pub(super) attempts: u32,
    pub(super) at_first: bool,
    pub(super) unsent: Unsent,
    pub(super) greeting: Option<Greeting>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            shortest: backoff::SHORTEST,
            longest: backoff::LONGEST,
            attempts: u32::MAX,
            at_first: false,
            unsent: Unsent::Keep,
            greeting: None,
        }
    }
}

impl Reconnect {
    /// The shortest and the longest pause: half a second and twenty. A connection that stood as long as the longest
    /// pause makes the next pause short again.
    pub fn pauses(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest = shortest;
        self.longest = longest.max(shortest);
        self
    }

    /// How often in a row is dialled before the socket ends. No bound by default.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The first connection is tried again like any other. By default it must succeed, so that a wrong address is told.
    pub fn at_first(mut self) -> Self {
        self.at_first = true;
        self
    }

    /// What becomes of messages while there is no connection.
    pub fn unsent(mut self, unsent: Unsent) -> Self {
        self.unsent = unsent;
        self
    }

    /// What is sent first on each connection, the first too, before anything that waits: a login. The argument counts the
    /// connections from 1.
    pub fn greeting(mut self, greeting: impl Fn(u64) -> Vec<Bytes> + Send + Sync + 'static) -> Self {
        self.greeting = Some(Arc::new(greeting));
        self
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shortest, longest, attempts, unsent, .. } = self;
        write!(formatter, "Reconnect({shortest:?} to {longest:?}, {attempts} attempts, {unsent:?})")
    }
}
