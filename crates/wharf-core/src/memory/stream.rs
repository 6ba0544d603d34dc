//! One channel's past: the publications that are kept, and the position, which outlives them.

use std::{collections::VecDeque, mem::size_of, sync::Arc};

use rand_core::Rng;
use wharf_proto::message::{ClientInfo, Epoch, Position, Publication, Remark};

use crate::{
    broker::{BrokerError, HistoryFilter, HistoryPage, HistoryPolicy},
    time::Millis,
};

/// Offsets are contiguous: entries are only ever added at the back with the next offset, and dropped from the
/// front or all together.
pub(super) struct Stream {
    epoch: Epoch,
    top: u64,
    /// When the position is forgotten if nobody uses it before. Never before the last entry runs out.
    forget_at: Millis,
    /// Oldest first; none runs out before one that is older.
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// The smallest room that is worth giving back, in entries.
const SHRINK_FROM: usize = 16;

struct Entry {
    publication: Arc<Publication>,
    expires: Millis,
}

impl Stream {
    /// A stream without publications, whose position nobody has used yet.
    pub(super) fn new(rng: &mut dyn Rng) -> Self {
        let epoch = Epoch::from_random(rng.next_u64());
        Self { epoch, top: 0, forget_at: Millis(0), entries: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn position(&self) -> Position {
        Position { offset: self.top, epoch: self.epoch }
    }

    /// What the publications kept take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_forgotten(&self, now: Millis) -> bool {
        self.forget_at <= now
    }

    /// The position is used at this moment. It is kept for `meta_ttl_ms`, and at least for as long as a
    /// publication of this moment would be.
    pub(super) fn touch(&mut self, policy: HistoryPolicy, now: Millis) {
        let kept_ms = policy.meta_ttl_ms.max(policy.ttl_ms);
        self.forget_at = self.forget_at.max(now.after_ms(kept_ms));
    }

    /// Drops the publications that have run out, and answers how many.
    pub(super) fn expire(&mut self, now: Millis) -> usize {
        let before = self.entries.len();
        while self.entries.front().is_some_and(|oldest| oldest.expires <= now) {
            self.drop_oldest();
        }
        if self.entries.capacity() >= SHRINK_FROM && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        before - self.entries.len()
    }

    /// Adds a publication and drops what is then over `policy.size`, unless all that is kept would then take
    /// more than `room` bytes.
    pub(super) fn append(
        &mut self,
        publication: Publication,
        policy: HistoryPolicy,
        room: usize,
        now: Millis,
    ) -> Result<Arc<Publication>, BrokerError> {
        let over = (self.entries.len() + 1).saturating_sub(policy.size as usize);
        let freed: usize = self.entries.iter().take(over).map(Entry::bytes).sum();
        let publication = Publication { offset: self.top + 1, ..publication };
        let entry = Entry { publication: Arc::new(publication), expires: now.after_ms(policy.ttl_ms) };
        if self.bytes - freed + entry.bytes() > room {
            return Err(BrokerError::Full { limit: "history_bytes" });
        }
        (0..over).for_each(|_| self.drop_oldest());
        // A shorter age than before would leave a publication behind an older one that lives longer.
        for older in self.entries.iter_mut().rev().take_while(|older| older.expires > entry.expires) {
            older.expires = entry.expires;
        }
        let publication = entry.publication.clone();
        self.top += 1;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        Ok(publication)
    }

    /// What the filter chooses of the publications kept.
    pub(super) fn page(&self, filter: HistoryFilter) -> HistoryPage {
        let publications =
            |index: std::ops::Range<usize>| self.entries.range(index).map(|entry| entry.publication.clone());
        let count = self.entries.len();
        let publications = if filter.reverse {
            let end = filter.since_offset.map_or(count, |since| self.index_of(since));
            publications(0..end).rev().take(filter.limit).collect()
        } else {
            let start = filter.since_offset.map_or(0, |since| self.index_of(since.saturating_add(1)));
            publications(start..count).take(filter.limit).collect()
        };
        HistoryPage { publications, position: self.position() }
    }

    /// Forgets the publications; the position stays.
    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    /// Where the publication of this offset stands, or the nearest that is kept: the front for one that is
    /// gone, the end for one that is not there yet.
    fn index_of(&self, offset: u64) -> usize {
        let first = self.top + 1 - self.entries.len() as u64;
        offset.saturating_sub(first).min(self.entries.len() as u64) as usize
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.bytes();
        }
    }
}

impl Entry {
    /// What the entry takes: itself, the publication, and what it refers to (also where others refer to it too).
    fn bytes(&self) -> usize {
        const REFERENCE_COUNTS: usize = 2 * size_of::<usize>();
        let publication = &*self.publication;
        let tags = publication.tags.iter().flat_map(|tags| tags.iter());
        size_of::<Self>()
            + REFERENCE_COUNTS
            + size_of::<Publication>()
            + publication.data.bytes().len()
            + publication.info.as_deref().map_or(0, info_bytes)
            + tags
                .map(|(name, value)| size_of::<(Box<str>, Box<str>)>() + name.len() + value.len())
                .sum::<usize>()
    }
}

fn info_bytes(info: &ClientInfo) -> usize {
    let of = |remark: &Remark| remark.as_ref().map_or(0, |json| size_of_val(&**json) + json.len());
    size_of::<ClientInfo>() + info.user.len() + of(&info.conn_info) + of(&info.chan_info)
}
