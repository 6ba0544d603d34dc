//! A map by channel, cut into shards with a lock each, so that channels seldom wait for one another. What is
//! done to one channel under its lock is seen by everybody in one order.
//!
//! It does not know what it holds; the hub's directory and the memory engine stand on it.

use std::{
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use wharf_proto::message::Channel;

/// How many locks there are. A power of two, so that some bits of the hash choose one.
const SHARDS: usize = 64;

/// A shard is made smaller when it is filled to less than this part of what it has room for.
const SPARSE: usize = 4;

/// The smallest room that is worth giving back, in entries.
const SHRINK_FROM: usize = 64;

pub(crate) struct ChannelMap<V> {
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard<V>>]>,
}

struct Shard<V> {
    table: HashTable<(Channel, V)>,
    /// The bucket at which the next [`ChannelMap::rotate`] goes on.
    cursor: usize,
}

/// One channel's place in the map, locked together with the other channels of its shard.
pub(crate) struct Place<'a, V> {
    shard: MutexGuard<'a, Shard<V>>,
    hasher: &'a DefaultHashBuilder,
    channel: &'a Channel,
    hash: u64,
}

/// What becomes of an entry that [`ChannelMap::rotate`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Remove,
}

impl<V> ChannelMap<V> {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(Shard { table: HashTable::new(), cursor: 0 });
        Self { hasher: DefaultHashBuilder::default(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// Locks a channel's place, whether or not anything is there.
    pub(crate) fn lock<'a>(&'a self, channel: &'a Channel) -> Place<'a, V> {
        let hash = self.hasher.hash_one(channel);
        // The table uses the lowest and the highest bits of the hash; the shard is chosen by others.
        let shard = lock(&self.shards[(hash >> 40) as usize % SHARDS]);
        Place { shard, hasher: &self.hasher, channel, hash }
    }

    /// Shows every entry, one shard after another, until `visit` answers false. An entry that is added or
    /// removed meanwhile may or may not be shown.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&Channel, &V) -> bool) {
        for shard in &self.shards {
            for (channel, value) in &lock(shard).table {
                if !visit(channel, value) {
                    return;
                }
            }
        }
    }

    /// How many channels there are. Takes every lock in turn; for metrics.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.len()).sum()
    }

    /// Shows the next few entries of each shard, beginning where the last call ended, so that repeated calls
    /// show every entry. `work` bounds what one shard's lock is held for: a bucket looked at is 1, and `visit`
    /// answers what more it did; the entry that reaches the bound is the last.
    pub(crate) fn rotate(&self, work: usize, mut visit: impl FnMut(&Channel, &mut V) -> (usize, Verdict)) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.rotate(work, &mut visit);
            shard.give_back(&self.hasher);
        }
    }
}

impl<V> Shard<V> {
    fn rotate(&mut self, work: usize, visit: &mut impl FnMut(&Channel, &mut V) -> (usize, Verdict)) {
        let buckets = self.table.num_buckets();
        let mut done = 0;
        for _ in 0..buckets {
            if done >= work {
                return;
            }
            done += 1;
            // The table may have become smaller since the cursor was set.
            let bucket = if self.cursor < buckets { self.cursor } else { 0 };
            self.cursor = bucket + 1;
            if let Ok(mut entry) = self.table.get_bucket_entry(bucket) {
                let (channel, value) = entry.get_mut();
                let (more, verdict) = visit(channel, value);
                done += more;
                if verdict == Verdict::Remove {
                    entry.remove();
                }
            }
        }
    }

    fn give_back(&mut self, hasher: &DefaultHashBuilder) {
        let capacity = self.table.capacity();
        if capacity >= SHRINK_FROM && self.table.len() < capacity / SPARSE {
            self.table.shrink_to(self.table.len() * 2, |(channel, _)| hasher.hash_one(channel));
        }
    }
}

impl<V> Place<'_, V> {
    pub(crate) fn value(&mut self) -> Option<&mut V> {
        self.shard.table.find_mut(self.hash, |(name, _)| name == self.channel).map(|(_, value)| value)
    }

    pub(crate) fn value_or_insert(&mut self, make: impl FnOnce() -> V) -> &mut V {
        let (channel, hasher) = (self.channel, self.hasher);
        let entry =
            self.shard.table.entry(self.hash, |(name, _)| name == channel, |(name, _)| hasher.hash_one(name));
        let occupied = match entry {
            Entry::Occupied(occupied) => occupied,
            Entry::Vacant(vacant) => vacant.insert((channel.clone(), make())),
        };
        &mut occupied.into_mut().1
    }

    pub(crate) fn remove(&mut self) {
        if let Ok(entry) = self.shard.table.find_entry(self.hash, |(name, _)| name == self.channel) {
            entry.remove();
            self.shard.give_back(self.hasher);
        }
    }
}

/// Locks, also where another thread panicked while it held the lock: every change made under these locks leaves
/// the map whole at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn channel(number: usize) -> Channel {
        Channel::parse(&format!("channel-{number}")).unwrap()
    }

    fn filled(count: usize) -> ChannelMap<usize> {
        let map = ChannelMap::new();
        for number in 0..count {
            map.lock(&channel(number)).value_or_insert(|| number);
        }
        map
    }

    #[test]
    fn keeps_each_channel_apart() {
        let map = filled(1_000);
        assert_eq!(map.len(), 1_000);
        *map.lock(&channel(7)).value().unwrap() = 70;
        map.lock(&channel(8)).remove();
        assert_eq!(map.lock(&channel(7)).value(), Some(&mut 70));
        assert_eq!(map.lock(&channel(8)).value(), None);
        assert_eq!(map.lock(&channel(9)).value(), Some(&mut 9));
    }

    #[test]
    fn inserts_only_where_nothing_is() {
        let map = filled(1);
        assert_eq!(*map.lock(&channel(0)).value_or_insert(|| 5), 0);
    }

    #[test]
    fn a_rotation_shows_every_entry_in_bounded_steps() {
        let map = filled(5_000);
        let mut seen: HashMap<Channel, usize> = HashMap::new();
        let mut calls = 0;
        while seen.len() < 5_000 {
            calls += 1;
            assert!(calls < 200, "the rotation does not come round");
            let mut shown = 0;
            map.rotate(4, |channel, _| {
                shown += 1;
                *seen.entry(channel.clone()).or_default() += 1;
                (0, Verdict::Keep)
            });
            assert!(shown <= 4 * SHARDS, "a call showed {shown} entries");
        }
    }

    #[test]
    fn work_that_an_entry_reports_counts_towards_the_bound() {
        let map = filled(5_000);
        let mut shown = 0;
        map.rotate(100, |_, _| {
            shown += 1;
            (100, Verdict::Keep)
        });
        assert_eq!(shown, SHARDS);
    }

    fn room(map: &ChannelMap<usize>) -> usize {
        map.shards.iter().map(|shard| lock(shard).table.capacity()).sum()
    }

    #[test]
    fn entries_that_a_rotation_removes_give_their_room_back() {
        let map = filled(50_000);
        let before = room(&map);
        map.rotate(usize::MAX, |_, _| (0, Verdict::Remove));
        assert_eq!(map.len(), 0);
        assert!(room(&map) < before / 100, "{} of {before} left", room(&map));
    }

    #[test]
    fn entries_removed_one_by_one_give_their_room_back() {
        let map = filled(50_000);
        let before = room(&map);
        (0..50_000).for_each(|number| map.lock(&channel(number)).remove());
        assert_eq!(map.len(), 0);
        assert!(room(&map) < before / 10, "{} of {before} left", room(&map));
    }
}
