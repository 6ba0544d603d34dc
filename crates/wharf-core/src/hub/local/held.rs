//! Broadcasts that wait: for members that are being seated, and for the history to be read.

use std::{collections::VecDeque, sync::Arc};

use crate::hub::SharedBroadcast;

/// The most broadcasts held back for one channel while its history is read, and the most kept for those that
/// are being seated. See LIMITS.md, `HELD_BACK_BROADCASTS`: past it a channel is read from history again, and a
/// member that is being seated subscribes again.
pub const HELD_BACK_BROADCASTS: usize = 4_096;

/// What a channel holds back. Most channels hold nothing, and then there is none of this.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// What comes while the history is read for all.
    pub catching_up: Option<VecDeque<Arc<SharedBroadcast>>>,
    /// What was delivered since the oldest of those being seated sat down.
    pub kept: Kept,
}

/// The newest broadcasts, numbered, so that each member that is being seated knows its first.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The number of the oldest that is still there.
    first: u64,
    broadcasts: VecDeque<Arc<SharedBroadcast>>,
}

impl Kept {
    /// The number that the next one gets.
    pub fn next(&self) -> u64 {
        self.first + self.broadcasts.len() as u64
    }

    /// Adds one; over the bound the oldest goes, and whoever needs that has missed it.
    pub fn push(&mut self, broadcast: &Arc<SharedBroadcast>) {
        if self.broadcasts.len() >= HELD_BACK_BROADCASTS {
            self.broadcasts.pop_front();
            self.first += 1;
        }
        self.broadcasts.push_back(Arc::clone(broadcast));
    }

    /// All from this number on; none if some of them are gone.
    pub fn since(&self, number: u64) -> Option<impl Iterator<Item = &Arc<SharedBroadcast>>> {
        let skipped = number.checked_sub(self.first)?;
        (number <= self.next()).then(|| self.broadcasts.range(skipped as usize..))
    }

    /// Something came that nobody knows: all who are being seated now have missed it.
    pub fn lose(&mut self) {
        self.first = self.next() + 1;
        self.broadcasts.clear();
    }

    /// Nobody is being seated any more.
    pub fn clear(&mut self) {
        self.first = self.next();
        self.broadcasts = VecDeque::new();
    }
}
