//! One coarse timer wheel for all deadlines of a worker. A connection stands in it at most a few times and is
//! asked for its real deadline when its turn comes, so that moving a deadline back costs nothing.

use wharf_core::time::Millis;

/// How coarse the wheel is: a deadline is met up to this much late. LIMITS.md, `TIMER_STEP_MS`.
pub const TIMER_STEP_MS: u64 = 32;

/// How many steps the wheel holds (65 s); a later deadline waits at its end and is then put in again.
const STEPS: u64 = 2_048;

/// Numbers of connections, by the step in which they want to be asked. A number may have gone to another connection since:
/// who is asked too early says so, and that costs less than a key with a generation in every turn.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<u32>>,
    /// One bit for each slot that is not empty.
    filled: [u64; STEPS as usize / 64],
    /// The first step that has not been taken out yet.
    next_step: u64,
}

impl Wheel {
    /// Nothing in it.
    pub fn new(now: Millis) -> Self {
        let slots = (0..STEPS).map(|_| Vec::new()).collect();
        Self { slots, filled: [0; STEPS as usize / 64], next_step: now.0 / TIMER_STEP_MS }
    }

    /// Asks for `index` at `due`, or a step later. Returns the moment at which its turn comes, which is earlier
    /// than a deadline behind the wheel's end.
    pub fn insert(&mut self, index: u32, due: Millis) -> Millis {
        let wanted = due.0.div_ceil(TIMER_STEP_MS);
        let step = wanted.clamp(self.next_step, self.next_step + STEPS - 1);
        let slot = (step % STEPS) as usize;
        self.slots[slot].push(index);
        self.filled[slot / 64] |= 1 << (slot % 64);
        Millis(step * TIMER_STEP_MS)
    }

    /// Moves all whose turn has come by `now` to `due`.
    pub fn take_due(&mut self, now: Millis, due: &mut Vec<u32>) {
        let last = now.0 / TIMER_STEP_MS;
        // After a long sleep one round of the wheel holds everything.
        let rounds = (last + 1).saturating_sub(self.next_step).min(STEPS);
        for step in self.next_step..self.next_step + rounds {
            let slot = (step % STEPS) as usize;
            if self.filled[slot / 64] & 1 << (slot % 64) != 0 {
                due.append(&mut self.slots[slot]);
                if self.slots[slot].capacity() > KEPT_CAPACITY {
                    self.slots[slot] = Vec::new();
                }
                self.filled[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.next_step = self.next_step.max(last + 1);
    }

    /// When the next turn comes; none if nothing is waiting.
    pub fn next_due(&self) -> Option<Millis> {
        let start = (self.next_step % STEPS) as usize;
        let words = self.filled.len();
        for offset in 0..=words {
            let word = (start / 64 + offset) % words;
            let mut bits = self.filled[word];
            if offset == 0 {
                bits &= u64::MAX << (start % 64);
            } else if offset == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word as u64 * 64 + u64::from(bits.trailing_zeros());
                let ahead = (slot + STEPS - start as u64) % STEPS;
                return Some(Millis((self.next_step + ahead) * TIMER_STEP_MS));
            }
        }
        None
    }
}

/// A slot keeps room for so many; a burst's memory is given back.
const KEPT_CAPACITY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.take_due(Millis(now), &mut keys);
        keys
    }

    #[test]
    fn a_deadline_is_met_at_most_one_step_late_and_never_early() {
        let mut wheel = Wheel::new(Millis(0));
        for deadline in [1, 33, 96, 5_000, 60_000] {
            let turn = wheel.insert(deadline as u32, Millis(deadline));
            assert!(turn.0 >= deadline && turn.0 < deadline + TIMER_STEP_MS);
            assert_eq!(wheel.next_due(), Some(turn));
            assert!(due(&mut wheel, turn.0 - 1).is_empty());
            assert_eq!(due(&mut wheel, turn.0), [deadline as u32]);
        }
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_deadline_behind_the_end_comes_early_to_be_put_in_again() {
        let mut wheel = Wheel::new(Millis(0));
        let turn = wheel.insert(7, Millis(3_600_000));
        assert_eq!(turn, Millis((STEPS - 1) * TIMER_STEP_MS));
        assert_eq!(due(&mut wheel, turn.0), [7]);
    }

    #[test]
    fn after_a_long_sleep_everything_is_due_once() {
        let mut wheel = Wheel::new(Millis(0));
        for key in 0..100 {
            wheel.insert(key, Millis(u64::from(key) * 500));
        }
        let mut keys = due(&mut wheel, 10_000_000);
        keys.sort_unstable();
        assert_eq!(keys, (0..100).collect::<Vec<_>>());
        assert!(due(&mut wheel, 20_000_000).is_empty());
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_the_next_step() {
        let mut wheel = Wheel::new(Millis(1_000));
        due(&mut wheel, 1_000);
        let turn = wheel.insert(1, Millis(5));
        assert!(turn.0 <= 1_000 + TIMER_STEP_MS);
        assert_eq!(due(&mut wheel, turn.0), [1]);
    }
}
