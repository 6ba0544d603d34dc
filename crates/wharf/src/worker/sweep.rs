//! Up to which moment everything that came was read. A deadline is served only when it lies before that: a worker that
//! was kept from its work finds the answers of its peers among thousands of ready sockets, and must look at all of them
//! before it calls anybody dead.

use wharf_core::time::Millis;

/// Goes through the sockets that are ready, a piece at a time.
#[derive(Debug)]
pub struct Sweep {
    /// What was ready at this moment is being handled.
    begun: Millis,
    /// Pieces of that so far.
    pieces: usize,
    /// What was ready by this moment was handled.
    read_until: Millis,
}

impl Sweep {
    /// Nothing is ready yet.
    pub fn new(now: Millis) -> Self {
        Self { begun: now, pieces: 0, read_until: now }
    }

    /// A piece of at most `most` of what was ready at `now` was taken from the event set, and it held `taken`, of so
    /// many connections.
    ///
    /// A piece that is not full was the last. But under load each may be full for ever; the event set hands out what
    /// was ready first before what came later, so that as many pieces as hold all connections have everything in them.
    pub fn handle_piece(&mut self, now: Millis, taken: usize, most: usize, connections: usize) {
        if self.pieces == 0 {
            self.begun = now;
        }
        self.pieces += 1;
        if taken < most || self.pieces > connections / most + 1 {
            self.read_until = self.begun;
            self.pieces = 0;
        }
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
