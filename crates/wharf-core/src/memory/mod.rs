//! The embedded engine: channels, history and presence in this process's memory, and the reference for the
//! contracts in [`crate::broker`].
//!
//! Every call finishes at once. Position, history and hand-over to the sink happen under the one lock of the
//! channel, so what two callers publish is handed over in the order of its offsets. Nothing survives the process.
//!
//! * `channel`: what is kept for one channel, of three parts:
//! * `stream`, its past; `keys`, the publish keys it has seen; `leases`, who is there.
//! * `limits`: the bounds, and what is held against them.

mod channel;
mod keys;
mod leases;
mod limits;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wharf_proto::message::{Channel, ClientId, ClientInfo, PresenceStats, Publication};

use self::{channel::ChannelState, limits::Held};
pub use self::{
    keys::IDEMPOTENCY_KEY_BYTES,
    limits::{MemoryLimits, Usage},
};
use crate::{
    broker::{
        Broker, BrokerError, BrokerSink, Context, HistoryFilter, HistoryPage, HistoryPolicy, HistoryStore,
        Pending, PresenceStore, PublishRequest, Published,
    },
    channel_map::{ChannelMap, Place, Verdict},
    time::Millis,
};

/// What one call of [`MemoryEngine::expire`] looks at in each shard: so many places of the channel table, keys
/// and leases; the channel that reaches the bound is the last. See LIMITS.md, `expire_work`.
pub const EXPIRE_WORK: usize = 1_024;

/// The embedded engine.
///
/// The sink is called while the channel is locked, and must not call the engine.
pub struct MemoryEngine {
    channels: ChannelMap<ChannelState>,
    sink: Arc<dyn BrokerSink>,
    limits: MemoryLimits,
    held: Held,
}

impl MemoryEngine {
    /// An engine without any channel, which hands over to `sink`.
    pub fn new(sink: Arc<dyn BrokerSink>, limits: MemoryLimits) -> Self {
        Self { channels: ChannelMap::new(), sink, limits, held: Held::default() }
    }

    /// Gives back the memory of what has run out: publications, positions, publish keys and leases. To be called
    /// each second or so; a call does a bounded amount of work ([`EXPIRE_WORK`]) and the next goes on where it
    /// ended. What has run out is never answered, whether or not its memory was given back.
    pub fn expire(&self, now: Millis) {
        self.channels.rotate(EXPIRE_WORK, |_, state| {
            let work = self.held.follow(state, |state| state.expire(now));
            if !state.is_empty() {
                return (work, Verdict::Keep);
            }
            self.held.give_channel_back();
            (work, Verdict::Remove)
        });
    }

    /// What is held at this moment, also of what has run out and was not given back yet.
    pub fn usage(&self) -> Usage {
        self.held.usage()
    }

    /// Runs `act` on the channel's state under its lock, and makes the state first if there is none.
    fn with_state<T>(
        &self,
        channel: &Channel,
        act: impl FnOnce(&mut ChannelState) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let mut place = self.channels.lock(channel);
        if place.value().is_none() {
            self.held.take_channel(self.limits.channels)?;
        }
        let outcome = self.held.follow(place.value_or_insert(ChannelState::default), act);
        self.remove_if_empty(&mut place);
        outcome
    }

    /// Runs `act` on the channel's state under its lock, if there is any.
    fn with_existing<T>(&self, channel: &Channel, act: impl FnOnce(&mut ChannelState) -> T) -> Option<T> {
        let mut place = self.channels.lock(channel);
        let outcome = self.held.follow(place.value()?, act);
        self.remove_if_empty(&mut place);
        Some(outcome)
    }

    fn remove_if_empty(&self, place: &mut Place<'_, ChannelState>) {
        if place.value().is_some_and(|state| state.is_empty()) {
            place.remove();
            self.held.give_channel_back();
        }
    }

    fn publish_now(
        &self,
        channel: &Channel,
        request: PublishRequest,
        context: &mut Context<'_>,
    ) -> Result<Published, BrokerError> {
        let PublishRequest { data, info, tags, idempotency_key: key, history: policy } = request;
        let publication = Publication { data, info, offset: 0, tags };
        if !policy.keeps_history() && key.is_none() {
            let _in_order = self.channels.lock(channel);
            self.sink.handle_publication(channel, Arc::new(publication), None);
            return Ok(Published { position: None, duplicate: false });
        }
        self.with_state(channel, |state| {
            if let Some(key) = &key {
                if let Some(position) = state.outcome_of(key, context.now) {
                    return Ok(Published { position, duplicate: true });
                }
                state.check_key(key, &self.limits, &self.held)?;
            }
            let (publication, position) = if policy.keeps_history() {
                state.append(publication, policy, &self.limits, &self.held, context)?
            } else {
                (Arc::new(publication), None)
            };
            if let Some(key) = key {
                state.remember(key, position, context.now, &self.limits);
            }
            self.sink.handle_publication(channel, publication, position.map(|position| position.epoch));
            Ok(Published { position, duplicate: false })
        })
    }
}

impl Broker for MemoryEngine {
    fn publish(
        &self,
        channel: &Channel,
        request: PublishRequest,
        context: &mut Context<'_>,
    ) -> Pending<Result<Published, BrokerError>> {
        Pending::Ready(self.publish_now(channel, request, context))
    }

    fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>> {
        let _in_order = self.channels.lock(channel);
        self.sink.handle_join(channel, info);
        Pending::Ready(Ok(()))
    }

    fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>> {
        let _in_order = self.channels.lock(channel);
        self.sink.handle_leave(channel, info);
        Pending::Ready(Ok(()))
    }

    /// Nothing to do: the sink hears of every channel, and knows which have members.
    fn subscribe(&self, _: &Channel) -> Pending<Result<(), BrokerError>> {
        Pending::Ready(Ok(()))
    }

    fn unsubscribe(&self, _: &Channel) -> Pending<Result<(), BrokerError>> {
        Pending::Ready(Ok(()))
    }
}

impl HistoryStore for MemoryEngine {
    fn history(
        &self,
        channel: &Channel,
        filter: HistoryFilter,
        policy: HistoryPolicy,
        context: &mut Context<'_>,
    ) -> Pending<Result<HistoryPage, BrokerError>> {
        Pending::Ready(self.with_state(channel, |state| Ok(state.stream(policy, context).page(filter))))
    }

    fn history_remove(&self, channel: &Channel) -> Pending<Result<(), BrokerError>> {
        self.with_existing(channel, ChannelState::forget_publications);
        Pending::Ready(Ok(()))
    }
}

impl PresenceStore for MemoryEngine {
    fn renew(
        &self,
        channel: &Channel,
        info: &Arc<ClientInfo>,
        lease_ms: u64,
        now: Millis,
    ) -> Pending<Result<(), BrokerError>> {
        let most = self.limits.presence_entries;
        Pending::Ready(self.with_state(channel, |state| state.renew(info, now.after_ms(lease_ms), most, now)))
    }

    fn remove(&self, channel: &Channel, client: ClientId) -> Pending<Result<(), BrokerError>> {
        self.with_existing(channel, |state| state.remove(client));
        Pending::Ready(Ok(()))
    }

    fn presence(&self, channel: &Channel, now: Millis) -> Pending<Result<Vec<Arc<ClientInfo>>, BrokerError>> {
        let present = self.with_existing(channel, |state| state.present(now).cloned().collect());
        Pending::Ready(Ok(present.unwrap_or_default()))
    }

    fn presence_stats(&self, channel: &Channel, now: Millis) -> Pending<Result<PresenceStats, BrokerError>> {
        let stats = self.with_existing(channel, |state| leases::stats(state.present(now)));
        Pending::Ready(Ok(stats.unwrap_or_default()))
    }
}
