//! Devices: what a node knows of the connections of its device listeners.
//!
//! A device is a session like any other, in a worker's slab like any other. What is different stands here and in
//! `worker/device`: its name is claimed on the node, so that it has one connection; the server API asks it by that
//! name; and its listener's configuration, not a token, vouches for it.

pub mod accept;
pub mod certificate;
mod heartbeat;
mod refusals;
mod registry;
pub mod udp;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

pub use self::heartbeat::policy;
pub use self::refusals::Refusals;
pub use self::registry::{Claimed, Found, Place, Registry};
use crate::{listener::Slot, metrics::Counter, settings::DeviceListener, tls::Tls};

/// The most questions of the server API that wait for one device. LIMITS.md, `asks_a_device`.
pub const ASKS_A_DEVICE: usize = 16;

/// The most questions that wait for all devices of a node. LIMITS.md, `asks_a_node`.
pub const ASKS_A_NODE: usize = 10_000;

/// What a node knows of its devices.
#[derive(Default)]
pub struct Devices {
    /// Which connection each device has.
    pub registry: Registry,
    /// Tells the operator of logins that were refused.
    pub refusals: Refusals,
    /// Connections that a newer one of the same device has replaced.
    pub replaced: Counter,
    /// Questions that were asked, and those of them that no answer came to in time.
    pub asked: Counter,
    #[allow(missing_docs)]
    pub unanswered: Counter,
    /// UDP datagrams that were thrown away, in either direction: a queue was full.
    pub lost_datagrams: Arc<Counter>,
    /// UDP datagrams of peers that have no connection and did not log in.
    pub strange_datagrams: Counter,
    /// UDP datagrams that would have ended the connection of a stream: no frames, or what their device may not say.
    pub wrong_datagrams: Counter,
    /// The certificates of each listener, set before the first connection is accepted.
    pub tls: OnceLock<Box<[Option<Tls>]>>,
    asking: Arc<AtomicUsize>,
    /// Connections of each listener, logged in or not.
    connections: Box<[Arc<AtomicUsize>]>,
}

impl Devices {
    /// Of a node with so many device listeners.
    pub fn new(listeners: usize) -> Self {
        let connections = (0..listeners).map(|_| Arc::default()).collect();
        Self { registry: Registry::new(listeners), connections, ..Self::default() }
    }

    /// Counts one more connection of a listener until the slot is dropped; none if it has as many as it may.
    pub fn enter(&self, index: u16, listener: &DeviceListener) -> Option<Slot> {
        let slot = Slot::take(self.connections.get(usize::from(index))?);
        (self.connections[usize::from(index)].load(Relaxed) <= listener.connections).then_some(slot)
    }

    /// How many connections a listener has, logged in or not.
    pub fn connections(&self, index: u16) -> usize {
        self.connections.get(usize::from(index)).map_or(0, |count| count.load(Relaxed))
    }

    /// The certificates of a listener's `tls://` addresses.
    pub fn tls(&self, index: u16) -> Option<&Tls> {
        self.tls.get()?.get(usize::from(index))?.as_ref()
    }

    /// Counts one more question until the slot is dropped; none if there are too many.
    pub fn begin_ask(&self) -> Option<Slot> {
        let slot = Slot::take(&self.asking);
        (self.asking.load(Relaxed) <= ASKS_A_NODE).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_past_the_bound_of_a_node_are_not_begun_and_an_answered_one_makes_room() {
        let devices = Devices::new(1);
        let mut slots: Vec<_> = (0..ASKS_A_NODE).map(|_| devices.begin_ask().unwrap()).collect();
        assert!(devices.begin_ask().is_none());
        slots.pop();
        assert!(devices.begin_ask().is_some());
    }
}
