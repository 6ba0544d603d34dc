//! One entry of the slab: a connection, or a poll session that has none at the moment.

use wharf_core::{session::Session, time::Millis};
use wharf_proto::{
    websocket::deflate::Deflater,
    wire::{Conversation, Deframer, WireId},
};

use super::{device::Device, moment::Moment, outbox::Outbox, poll::PollState, traffic::Traffic};
use crate::{ledger::Origin, metrics::Kind, transport::Transport};

/// One entry of the slab. Its fields and what they point to are the memory of an idle connection; ARCHITECTURE.md
/// has the budget, and a test holds it.
pub struct Connection {
    /// None for poll sessions.
    pub transport: Option<Box<dyn Transport>>,
    pub session: Session,
    pub deframer: Box<dyn Deframer>,
    pub conversation: Box<dyn Conversation>,
    pub outbox: Outbox,
    /// What only some connections have.
    pub rare: Option<Box<Rare>>,
    /// A held response ends at this age, and everything at its moment of a drain; what is being closed is gone
    /// by then.
    pub end_at: Moment,
    /// The earliest turn in the timer wheel.
    pub scheduled_at: Moment,
    /// What its end will be explained with.
    pub traffic: Traffic,
    pub kind: Kind,
    pub wire: WireId,
    pub state: State,
    /// The peer's half has ended behind what can still be read.
    pub read_closed: bool,
    /// The client sends no commands.
    pub one_way: bool,
    /// Broadcasts have the same bytes for everybody on the wire: neither the conversation nor the compression is this
    /// connection's own.
    pub shares_broadcasts: bool,
}

/// How a connection's end comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// The farewell waits to be written, or was; of what the peer says only its own farewell is looked at, and pings.
    Closing {
        /// What is awaited of the peer.
        peer: Peer,
        /// Our half has ended.
        finished: bool,
    },
}

/// What is awaited of the peer of a connection that is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Its farewell by the framing.
    Farewell,
    /// The end of its half: the framing has no farewells, or can't be read any more.
    End,
    /// Nothing: it has ended first.
    Nothing,
}

/// What only some connections have.
#[derive(Default)]
pub struct Rare {
    /// The secret of the session key, where requests on other connections reach the session.
    pub secret: Option<u128>,
    /// The state of a poll session; boxed, since devices and compressed connections have none.
    pub poll: Option<Box<PollState>>,
    /// What compresses for this connection alone.
    pub deflater: Option<Deflater>,
    /// What is kept for a device.
    pub device: Option<Box<Device>>,
    /// What was said before `connect`, by a client that says much.
    pub early_bytes: usize,
}

/// No deadline.
pub const NEVER: Millis = Millis(u64::MAX);

impl Connection {
    /// When this connection wants to be looked at.
    pub fn deadline(&self, write_stall_ms: u64, now: Millis) -> Millis {
        let session = self.session.poll_timeout(now).unwrap_or(NEVER);
        let stalled = self.outbox.blocked_since().map_or(NEVER, |since| since.after_ms(write_stall_ms));
        let waiting = self.poll().map_or(NEVER, PollState::deadline);
        let asked = self.device().map_or(NEVER, Device::deadline);
        match self.state {
            State::Closing { .. } => self.end_at.time(),
            State::Open => session.min(stalled).min(waiting).min(asked).min(self.end_at.time()),
        }
    }

    /// The peer speaks here, and not by other requests or never.
    pub fn hears_peer(&self) -> bool {
        let by_requests = self.rare.as_ref().is_some_and(|rare| rare.secret.is_some());
        !self.one_way && !by_requests
    }

    /// When the peer was heard last: here, or by requests on other connections, which say nothing of this one's path.
    pub fn heard(&self, now: Millis) -> Millis {
        let [_, heard, _] = self.traffic.moments();
        if self.hears_peer() || self.one_way {
            return heard;
        }
        heard.max(Millis(now.0.saturating_sub(self.session.silent_ms(now).into())))
    }

    /// Where it came from.
    pub fn origin(&self) -> Origin {
        self.transport.as_ref().map_or(Origin::UNKNOWN, |transport| transport.origin())
    }

    /// The wire of what may be compressed, or of what may not.
    pub fn wire_for(&self, may_compress: bool) -> WireId {
        if may_compress { self.wire } else { self.wire.uncompressed() }
    }

    /// Each read is of one datagram.
    pub fn is_datagrams(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.is_datagrams())
    }

    /// Messages go both ways.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn poll(&self) -> Option<&PollState> {
        self.rare.as_ref().and_then(|rare| rare.poll.as_deref())
    }

    pub fn poll_mut(&mut self) -> Option<&mut PollState> {
        self.rare.as_mut().and_then(|rare| rare.poll.as_deref_mut())
    }
}
