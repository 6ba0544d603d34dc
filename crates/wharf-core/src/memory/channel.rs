//! What the engine keeps for one channel: three parts, of which most channels have few.

use std::sync::Arc;

use wharf_proto::message::{ClientId, ClientInfo, Position, Publication};

use super::{
    keys::{IDEMPOTENCY_KEY_BYTES, Keys},
    leases::Leases,
    limits::{Held, MemoryLimits},
    stream::Stream,
};
use crate::{
    broker::{BrokerError, Context, HistoryPolicy},
    time::Millis,
};

#[derive(Default)]
pub(super) struct ChannelState {
    stream: Option<Box<Stream>>,
    keys: Option<Box<Keys>>,
    leases: Option<Box<Leases>>,
}

impl ChannelState {
    pub(super) fn is_empty(&self) -> bool {
        self.stream.is_none() && self.keys.is_none() && self.leases.is_none()
    }

    pub(super) fn history_bytes(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.bytes())
    }

    pub(super) fn key_count(&self) -> usize {
        self.keys.as_ref().map_or(0, |keys| keys.len())
    }

    /// Drops what has run out, and answers how much it looked at.
    pub(super) fn expire(&mut self, now: Millis) -> usize {
        let mut work = 0;
        self.stream.take_if(|stream| {
            work += stream.expire(now);
            stream.is_forgotten(now)
        });
        self.keys.take_if(|keys| {
            work += keys.expire(now);
            keys.len() == 0
        });
        self.leases.take_if(|leases| {
            work += leases.expire(now);
            leases.len() == 0
        });
        work
    }

    // ---- The past ----------------------------------------------------------------------------------------

    /// The stream with nothing in it that has run out, and used at this moment; a new one, of a new epoch, where
    /// there is none or its position has been forgotten.
    pub(super) fn stream(&mut self, policy: HistoryPolicy, context: &mut Context<'_>) -> &mut Stream {
        self.stream.take_if(|stream| stream.is_forgotten(context.now));
        let stream = self.stream.get_or_insert_with(|| Box::new(Stream::new(context.rng)));
        stream.expire(context.now);
        stream.touch(policy, context.now);
        stream
    }

    /// Gives the publication its position and keeps it.
    pub(super) fn append(
        &mut self,
        publication: Publication,
        policy: HistoryPolicy,
        limits: &MemoryLimits,
        held: &Held,
        context: &mut Context<'_>,
    ) -> Result<(Arc<Publication>, Option<Position>), BrokerError> {
        // The sum still counts this channel as it was when the call began.
        let elsewhere = held.usage().history_bytes.saturating_sub(self.history_bytes());
        let room = limits.history_bytes.saturating_sub(elsewhere);
        let policy = HistoryPolicy { size: policy.size.min(limits.history_size.max(1)), ..policy };
        let stream = self.stream(policy, context);
        let publication = stream.append(publication, policy, room, context.now)?;
        Ok((publication, Some(stream.position())))
    }

    pub(super) fn forget_publications(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.clear();
        }
    }

    // ---- Publish keys ------------------------------------------------------------------------------------

    /// What the publish with this key came to, if the key is known.
    pub(super) fn outcome_of(&self, key: &str, now: Millis) -> Option<Option<Position>> {
        self.keys.as_ref()?.outcome_of(key, now)
    }

    /// Whether one more key may be remembered.
    pub(super) fn check_key(&self, key: &str, limits: &MemoryLimits, held: &Held) -> Result<(), BrokerError> {
        if key.len() > IDEMPOTENCY_KEY_BYTES {
            return Err(BrokerError::Full { limit: "idempotency_key_bytes" });
        }
        let replaces = self.key_count() >= limits.idempotency_keys_per_channel.max(1);
        if !replaces && held.usage().idempotency_keys >= limits.idempotency_keys {
            return Err(BrokerError::Full { limit: "idempotency_keys" });
        }
        Ok(())
    }

    pub(super) fn remember(
        &mut self,
        key: Box<str>,
        position: Option<Position>,
        now: Millis,
        limits: &MemoryLimits,
    ) {
        let keys = self.keys.get_or_insert_default();
        keys.remember(key, position, limits.idempotency_keys_per_channel, now);
    }

    // ---- Who is there ------------------------------------------------------------------------------------

    pub(super) fn renew(
        &mut self,
        info: &Arc<ClientInfo>,
        until: Millis,
        most: usize,
        now: Millis,
    ) -> Result<(), BrokerError> {
        self.leases.get_or_insert_default().renew(info, until, most, now)
    }

    pub(super) fn remove(&mut self, client: ClientId) {
        self.leases.take_if(|leases| {
            leases.remove(client);
            leases.len() == 0
        });
    }

    pub(super) fn present(&self, now: Millis) -> impl Iterator<Item = &Arc<ClientInfo>> {
        self.leases.iter().flat_map(move |leases| leases.present(now))
    }
}
