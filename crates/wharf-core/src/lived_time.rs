//! The time that a process has lived. A process that is stopped (SIGSTOP, a debugger, a virtual machine that is
//! suspended) wakes up long after every deadline, with the answers that would have met them unread in its sockets, and
//! with leases that nobody could renew. It would find everybody dead. So a node's clock does not count a gap in which
//! none of the node's threads has looked at it.
//!
//! (Linux's `CLOCK_MONOTONIC` stands still while the machine is suspended, but not while the process is stopped, nor
//! for a virtual machine whose host tells it the time that has passed.)

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::Millis;

/// How much of a gap counts, at the most. Somebody must look at least half as often: the node's keeper does each
/// second. LIMITS.md, `COUNTED_GAP_MS`.
pub const COUNTED_GAP_MS: u64 = 2_048;

/// What the clock is kept in.
const TICK_MS: u64 = 64;
const COUNTED_TICKS: u64 = COUNTED_GAP_MS / TICK_MS;

/// The lower bits of `LivedTime::ticks`: those that were not lived, two years of them. Above them, 34 years.
const UNLIVED_BITS: u32 = 30;
const UNLIVED: u64 = (1 << UNLIVED_BITS) - 1;

/// A clock that all threads of a process look at, and agree on. It never goes back, and is behind the time that has
/// passed by what nobody has lived.
#[derive(Debug, Default)]
pub struct LivedTime {
    /// When somebody has looked last, and how much until then was not lived: in one word, so that nobody sees the one
    /// without the other.
    ticks: AtomicU64,
}

/// What a look at the clock has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The time.
    pub now: Millis,
    /// How long nobody has looked before this, beyond what is counted. Of several threads that look after a gap one
    /// is told.
    pub stood_still_ms: u64,
}

impl LivedTime {
    /// Looks at the clock, `elapsed_ms` after its start by a monotonic clock. Threads may bring their times in any
    /// order.
    pub fn look(&self, elapsed_ms: u64) -> Look {
        let tick = elapsed_ms / TICK_MS;
        let mut seen = self.ticks.load(Relaxed);
        loop {
            let (last, unlived) = (seen >> UNLIVED_BITS, seen & UNLIVED);
            if tick <= last {
                // Who was stopped between reading the time and this comes with a time of before the stop.
                let now = elapsed_ms.max(last * TICK_MS) - unlived * TICK_MS;
                return Look { now: Millis(now), stood_still_ms: 0 };
            }
            let gap = (tick - last).saturating_sub(COUNTED_TICKS);
            let unlived = (unlived + gap).min(UNLIVED);
            match self.ticks.compare_exchange_weak(seen, tick << UNLIVED_BITS | unlived, Relaxed, Relaxed) {
                Ok(_) => {
                    let now = Millis(elapsed_ms - unlived * TICK_MS);
                    return Look { now, stood_still_ms: gap * TICK_MS };
                }
                Err(newer) => seen = newer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn shows_the_time_that_has_passed_while_somebody_looks() {
        let clock = LivedTime::default();
        for elapsed_ms in (0..100_000).step_by(997) {
            assert_eq!(clock.look(elapsed_ms), Look { now: Millis(elapsed_ms), stood_still_ms: 0 });
        }
        assert_eq!(clock.look(100_000 + 1_500).now, Millis(101_500), "one look was late");
    }

    // Rows 51 and 106.
    #[test]
    fn a_gap_that_nobody_has_lived_counts_for_two_seconds() {
        let clock = LivedTime::default();
        let before = clock.look(5_000).now;
        let look = clock.look(95_000);
        assert!(look.now.ms_since(before) <= COUNTED_GAP_MS + TICK_MS, "{look:?}");
        assert!((87_500..=88_000).contains(&look.stood_still_ms), "{look:?}");
        // From here on it goes on as ever, and nobody is told twice.
        assert_eq!(clock.look(95_000), Look { stood_still_ms: 0, ..look });
        assert_eq!(clock.look(96_000).now.ms_since(look.now), 1_000);
    }

    #[test]
    fn who_was_stopped_with_a_time_of_before_the_gap_does_not_go_back() {
        let clock = LivedTime::default();
        let before = clock.look(5_000).now;
        let after = clock.look(95_000).now;
        let late = clock.look(5_010).now;
        assert!(
            before < late && late <= after && after.ms_since(late) < TICK_MS,
            "{before:?} {late:?} {after:?}"
        );
    }

    // Row 106: what ten times the speed brings in looks that are far apart is no time that was lived.
    #[test]
    fn a_clock_that_leaps_a_day_at_each_look_lets_little_time_pass() {
        let clock = LivedTime::default();
        let looks = 100;
        for look in 0..looks {
            clock.look(look * 86_400_000);
        }
        let now = clock.look(looks * 86_400_000).now;
        assert!(now.0 <= (looks + 1) * (COUNTED_GAP_MS + TICK_MS), "{now:?}");
    }

    #[test]
    fn all_threads_agree_and_for_none_it_goes_back() {
        let (clock, elapsed, over) = (LivedTime::default(), AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let looker = || {
                let mut last = Millis(0);
                while !over.load(Relaxed) {
                    let now = clock.look(elapsed.load(Relaxed)).now;
                    assert!(now >= last, "{now:?} after {last:?}");
                    last = now;
                }
            };
            (0..3).for_each(|_| drop(scope.spawn(looker)));
            let mut told = 0;
            for leap_ms in (0..20_000).map(|number| if number % 50 == 0 { 90_000 } else { number % 130 }) {
                let passed = elapsed.fetch_add(leap_ms, Relaxed) + leap_ms;
                told += clock.look(passed).stood_still_ms;
            }
            over.store(true, Relaxed);
            let unlived = elapsed.load(Relaxed) - clock.look(elapsed.load(Relaxed)).now.0;
            assert!(told <= unlived, "{told} of {unlived}: others were told of the rest");
            assert!(unlived >= 400 * (90_000 - COUNTED_GAP_MS - 2 * TICK_MS), "{unlived}");
        });
    }
}
