//! Which workers of this node have members of a channel, and the hand-over to their inboxes.
//!
//! It knows workers by number and inboxes by trait; the members themselves are known to each worker alone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use wharf_proto::message::{Broadcast, BroadcastBody, Channel, ClientInfo, Epoch, Publication};

use super::{broadcast::SharedBroadcast, glob::Glob};
use crate::{broker::BrokerSink, channel_map::ChannelMap};

/// Where a worker hears of broadcasts. Bounded, and never blocks: it is called under the lock of a channel.
pub trait Inbox: Send + Sync + 'static {
    /// Adds a broadcast, or refuses it at once.
    fn try_push(&self, broadcast: &Arc<SharedBroadcast>) -> Result<(), InboxFull>;
    /// The worker has missed something in this channel: it serves the positioned members from history, and
    /// asks the others to subscribe again. Must succeed however full the inbox is; marking twice is marking.
    fn mark_lost(&self, channel: &Channel);
}

/// The inbox has reached its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker's inbox is full")]
pub struct InboxFull;

/// Which workers have members of which channel.
///
/// A channel's broadcasts are pushed to all its inboxes under one lock, so that every worker sees one order, and
/// no worker is pushed anything after its [`unsubscribe`](Self::unsubscribe) for the last member has returned.
pub struct Directory {
    channels: ChannelMap<Interest>,
    inboxes: Vec<Arc<dyn Inbox>>,
    subscriptions: AtomicUsize,
    refused: AtomicU64,
}

/// The members of one channel, counted by worker. Most channels have members on one worker, and those take no
/// memory of their own.
struct Interest {
    first: Share,
    others: Vec<Share>,
}

#[derive(Clone, Copy)]
struct Share {
    worker: u16,
    members: u32,
}

impl Directory {
    /// A worker is known by the place of its inbox.
    pub fn new(inboxes: Vec<Arc<dyn Inbox>>) -> Self {
        let (subscriptions, refused) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { channels: ChannelMap::new(), inboxes, subscriptions, refused }
    }

    /// Counts a member of the channel on this worker. True for the node's first: the caller then tells the
    /// broker.
    pub fn subscribe(&self, channel: &Channel, worker: u16) -> bool {
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        let mut place = self.channels.lock(channel);
        if let Some(interest) = place.value() {
            interest.add(worker);
            return false;
        }
        let first = Share { worker, members: 1 };
        place.value_or_insert(|| Interest { first, others: Vec::new() });
        true
    }

    /// Takes a member of the channel on this worker away. True for the node's last: the caller then tells the
    /// broker. A member that was never counted changes nothing.
    ///
    /// Another worker may count a new first member before the broker was told, so whoever tells it looks at
    /// [`members`](Self::members) afterwards, and subscribes again if there are any.
    pub fn unsubscribe(&self, channel: &Channel, worker: u16) -> bool {
        let mut place = self.channels.lock(channel);
        let Some(interest) = place.value() else { return false };
        let (known, left) = interest.take(worker);
        if known {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        if !left {
            place.remove();
        }
        !left
    }

    /// How many members the channel has on this node.
    pub fn members(&self, channel: &Channel) -> usize {
        self.channels.lock(channel).value().map_or(0, |interest| interest.members())
    }

    /// The channels that have members on this node, with how many, in no order; those that the pattern matches,
    /// and at most `limit`.
    pub fn channels(&self, pattern: Option<&Glob>, limit: usize) -> Vec<(Channel, usize)> {
        let mut found = Vec::new();
        self.channels.visit(|channel, interest| {
            if found.len() < limit && pattern.is_none_or(|pattern| pattern.matches(channel.as_str())) {
                found.push((channel.clone(), interest.members()));
            }
            found.len() < limit
        });
        found
    }

    /// How many channels have members on this node.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How many members all channels have together on this node.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// How often a full inbox refused a broadcast since the start; each time the channel was marked lost there.
    pub fn refused_count(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn hand_over(&self, channel: &Channel, body: impl FnOnce() -> BroadcastBody) {
        let mut place = self.channels.lock(channel);
        let Some(interest) = place.value() else { return };
        let broadcast = Arc::new(SharedBroadcast::new(Broadcast { channel: channel.clone(), body: body() }));
        for share in interest.shares() {
            let inbox = &self.inboxes[usize::from(share.worker)];
            if let Err(InboxFull) = inbox.try_push(&broadcast) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                inbox.mark_lost(channel);
            }
        }
    }
}

impl BrokerSink for Directory {
    fn handle_publication(&self, channel: &Channel, publication: Arc<Publication>, epoch: Option<Epoch>) {
        self.hand_over(channel, || BroadcastBody::Publication { publication, epoch });
    }

    fn handle_join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.hand_over(channel, || BroadcastBody::Join(info));
    }

    fn handle_leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.hand_over(channel, || BroadcastBody::Leave(info));
    }
}

impl Interest {
    fn shares(&self) -> impl Iterator<Item = &Share> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn members(&self) -> usize {
        self.shares().map(|share| share.members as usize).sum()
    }

    fn share_mut(&mut self, worker: u16) -> Option<&mut Share> {
        std::iter::once(&mut self.first).chain(&mut self.others).find(|share| share.worker == worker)
    }

    fn add(&mut self, worker: u16) {
        match self.share_mut(worker) {
            Some(share) => share.members += 1,
            None => self.others.push(Share { worker, members: 1 }),
        }
    }

    /// Answers whether there was such a member, and whether any member of any worker is left.
    fn take(&mut self, worker: u16) -> (bool, bool) {
        let Some(share) = self.share_mut(worker) else { return (false, true) };
        share.members -= 1;
        if share.members > 0 {
            return (true, true);
        }
        if self.first.worker != worker {
            self.others.retain(|share| share.worker != worker);
            return (true, true);
        }
        match self.others.pop() {
            Some(other) => {
                self.first = other;
                (true, true)
            }
            None => (true, false),
        }
    }
}

#[cfg(test)]
mod tests;
