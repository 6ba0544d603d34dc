//! The last ends, in a ring: a new one takes the place of the oldest.

use std::collections::VecDeque;

use super::Ended;

/// The most ends that one worker remembers. LIMITS.md, `ENDS_KEPT`.
pub const ENDS_KEPT: usize = 4_096;

/// The ends of one worker's connections.
#[derive(Debug)]
pub struct Ledger {
    /// The oldest first.
    ends: VecDeque<Ended>,
    kept: usize,
    /// How many ends there have been.
    booked: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::keeping(ENDS_KEPT)
    }
}

impl Ledger {
    /// A ledger of so many ends. Takes memory only as ends come.
    pub fn keeping(kept: usize) -> Self {
        Self { ends: VecDeque::new(), kept, booked: 0 }
    }

    /// Writes an end down.
    pub fn book(&mut self, ended: Ended) {
        if self.ends.len() >= self.kept {
            self.ends.pop_front();
        }
        self.booked += 1;
        self.ends.push_back(ended);
    }

    /// How many ends there have been, those included that were overwritten.
    pub fn booked(&self) -> u64 {
        self.booked
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ends with their numbers, the newest first, from the one before `before` on. A number is never used again, so
    /// that whoever reads in pieces misses none that is still there and reads none twice.
    pub fn newest_before(&self, before: u64) -> impl Iterator<Item = (u64, &Ended)> {
        let oldest = self.booked - self.ends.len() as u64;
        let older = usize::try_from(before.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let numbered = self.ends.iter().enumerate().map(move |(at, ended)| (oldest + at as u64, ended));
        numbered.take(older.min(self.ends.len())).rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ledger: &Ledger, before: u64) -> Vec<(u64, u16)> {
        ledger.newest_before(before).map(|(number, ended)| (number, ended.code)).collect()
    }

    #[test]
    fn the_newest_take_the_place_of_the_oldest_and_all_are_counted() {
        let mut ledger = Ledger::keeping(3);
        for code in 0..5 {
            ledger.book(Ended { code, ..Ended::example() });
        }
        assert_eq!((ledger.len(), ledger.booked()), (3, 5));
        assert_eq!(numbers(&ledger, u64::MAX), [(4, 4), (3, 3), (2, 2)]);
    }

    #[test]
    fn whoever_reads_on_reads_none_twice_though_new_ones_come() {
        let mut ledger = Ledger::keeping(3);
        for code in 0..3 {
            ledger.book(Ended { code, ..Ended::example() });
        }
        assert_eq!(ledger.newest_before(u64::MAX).next().unwrap().0, 2);
        ledger.book(Ended { code: 3, ..Ended::example() });
        assert_eq!(numbers(&ledger, 2), [(1, 1)], "0 was overwritten");
        assert_eq!(numbers(&ledger, 1), []);
        assert_eq!(numbers(&ledger, 0), []);
    }
}
