//! Up to which moment everything that came was read. A deadline is served only when it lies before that: a worker that
//! was kept from its work finds the answers of its peers among thousands of ready sockets, and must look at all of them
//! before it calls anybody dead.
//!
//! What comes to the worker by its inbox (tunnels, UDP peers, the requests of clients that answer on other connections)
//! passes through tasks of its thread first, and these were kept from their work as well. So after a gap the deadlines
//! wait for some turns more, between which the tasks have theirs.

use wharf_core::time::Millis;

/// A worker that had no turn for so long may have been kept from it. Or it had nothing to do: then the turns more cost
/// next to nothing.
const GAP_MS: u64 = 500;

/// After a gap a socket is read in the first turn, and what was read there reaches the inbox, at most two tasks later,
/// in the third.
const TURNS_AFTER_A_GAP: usize = 2;

/// Goes through the sockets that are ready, a piece at a time.
#[derive(Debug)]
pub struct Sweep {
    /// What was ready at this moment is being handled.
    begun: Millis,
    /// Pieces of that so far.
    pieces: usize,
    /// What was ready by this moment was handled.
    read_until: Millis,
    /// The last turn's begin.
    last_turn: Millis,
    /// After a gap, how many turns are still left to tasks before anything is served.
    left_to_tasks: usize,
}

impl Sweep {
    /// Nothing is ready yet.
    pub fn new(now: Millis) -> Self {
        Self { begun: now, pieces: 0, read_until: now, last_turn: now, left_to_tasks: 0 }
    }

    /// A piece of at most `most` of what was ready at `now` was taken from the event set, and it held `taken`, of so
    /// many connections.
    ///
    /// A piece that is not full was the last. But under load each may be full for ever; the event set hands out what
    /// was ready first before what came later, so that as many pieces as hold all connections have everything in them.
    pub fn handle_piece(&mut self, now: Millis, taken: usize, most: usize, connections: usize) {
        if now.ms_since(self.last_turn) > GAP_MS {
            // Of thousands that come by tasks not all have theirs in one turn.
            self.left_to_tasks = TURNS_AFTER_A_GAP + connections / most;
        }
        self.last_turn = now;
        if self.pieces == 0 {
            self.begun = now;
        }
        self.pieces += 1;
        if taken < most || self.pieces > connections / most + 1 {
            self.pieces = 0;
            if self.left_to_tasks == 0 {
                self.read_until = self.begun;
            }
        }
        self.left_to_tasks = self.left_to_tasks.saturating_sub(1);
    }

    /// Another turn is to follow at once, when the tasks had theirs.
    pub fn wants_turn(&self) -> bool {
        self.read_until < self.last_turn && self.pieces == 0
    }

    /// Everything that came by this moment was read, as far as a connection's budget goes.
    pub fn read_until(&self) -> Millis {
        self.read_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_is_not_full_was_the_last() {
        let mut sweep = Sweep::new(Millis(5));
        sweep.handle_piece(Millis(10), 0, 512, 0);
        assert_eq!(sweep.read_until(), Millis(10));
        sweep.handle_piece(Millis(20), 512, 512, 5_000);
        sweep.handle_piece(Millis(21), 512, 512, 5_000);
        assert_eq!(sweep.read_until(), Millis(10), "more may be ready since then");
        sweep.handle_piece(Millis(22), 511, 512, 5_000);
        assert_eq!(sweep.read_until(), Millis(20), "what came after the first piece may not be in it");
    }

    #[test]
    fn after_a_gap_tasks_have_two_turns_before_anything_is_served() {
        let mut sweep = Sweep::new(Millis(0));
        sweep.handle_piece(Millis(100), 1, 512, 5);
        assert!(!sweep.wants_turn());
        let after: Vec<(u64, bool)> = (0..4)
            .map(|turn| {
                sweep.handle_piece(Millis(9_000 + turn), 0, 512, 5);
                (sweep.read_until().0, sweep.wants_turn())
            })
            .collect();
        assert_eq!(after, [(100, true), (100, true), (9_002, false), (9_003, false)]);
        // Thousands need more of them.
        let turns = (0..).take_while(|turn| {
            sweep.handle_piece(Millis(20_000 + turn), 0, 512, 5_120);
            sweep.read_until() < Millis(20_000)
        });
        assert_eq!(turns.count(), 12);
    }

    #[test]
    fn full_pieces_without_end_hold_no_deadline_up() {
        let mut sweep = Sweep::new(Millis(0));
        let until: Vec<u64> = (1..=12)
            .map(|now| {
                sweep.handle_piece(Millis(now), 512, 512, 2_000);
                sweep.read_until().0
            })
            .collect();
        assert_eq!(until, [0, 0, 0, 0, 1, 1, 1, 1, 1, 6, 6, 6]);
    }
}
