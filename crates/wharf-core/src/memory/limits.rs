//! The engine's bounds, and what is held against those that all channels share.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::channel::ChannelState;
use crate::broker::BrokerError;

/// The bounds of the embedded engine. LIMITS.md lists them by these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The most channels of which something is kept (history, position, presence, publish keys). What needs one
    /// more is refused; channels that only pass publications on don't count.
    pub channels: usize,
    /// The most publications kept for a channel, whatever its policy says.
    pub history_size: u32,
    /// The most bytes that all publications kept may take together, as counted by `stream`. A publish that would
    /// pass it is refused. Shards check without waiting for each other, so each may pass it by one publication.
    pub history_bytes: usize,
    /// The most presence entries of a channel. One more is refused; those that are there are renewed.
    pub presence_entries: usize,
    /// The most publish keys remembered for a channel; the oldest is forgotten for a new one.
    pub idempotency_keys_per_channel: usize,
    /// The most publish keys remembered for all channels. A publish with one more is refused: to forget one of
    /// another channel would let that channel's publisher publish twice.
    pub idempotency_keys: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            channels: 1_000_000,
            history_size: 10_000,
            history_bytes: 1 << 30,
            presence_entries: 100_000,
            idempotency_keys_per_channel: 1_024,
            idempotency_keys: 1_000_000,
        }
    }
}

/// What the engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Channels of which something is kept.
    pub channels: usize,
    /// What all publications kept take together, in bytes.
    pub history_bytes: usize,
    /// Publish keys remembered.
    pub idempotency_keys: usize,
}

/// The running sums over all channels.
#[derive(Default)]
pub(super) struct Held {
    channels: AtomicUsize,
    history_bytes: AtomicUsize,
    idempotency_keys: AtomicUsize,
}

impl Held {
    pub(super) fn usage(&self) -> Usage {
        Usage {
            channels: self.channels.load(Ordering::Relaxed),
            history_bytes: self.history_bytes.load(Ordering::Relaxed),
            idempotency_keys: self.idempotency_keys.load(Ordering::Relaxed),
        }
    }

    pub(super) fn take_channel(&self, most: usize) -> Result<(), BrokerError> {
        self.channels
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |held| (held < most).then_some(held + 1))
            .map_err(|_| BrokerError::Full { limit: "channels" })?;
        Ok(())
    }

    pub(super) fn give_channel_back(&self) {
        self.channels.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs `act` on a channel's state and counts what it changed.
    pub(super) fn follow<T>(&self, state: &mut ChannelState, act: impl FnOnce(&mut ChannelState) -> T) -> T {
        let (bytes, keys) = (state.history_bytes(), state.key_count());
        let outcome = act(state);
        count(&self.history_bytes, bytes, state.history_bytes());
        count(&self.idempotency_keys, keys, state.key_count());
        outcome
    }
}

fn count(sum: &AtomicUsize, before: usize, after: usize) {
    if after > before {
        sum.fetch_add(after - before, Ordering::Relaxed);
    } else if after < before {
        sum.fetch_sub(before - after, Ordering::Relaxed);
    }
}
