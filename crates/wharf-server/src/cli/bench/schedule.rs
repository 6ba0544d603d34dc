//! When operations are due.
//!
//! A generator that waits for a slow server asks less of it just when it is slow, and measures only what it asked
//! (*coordinated omission*). With a schedule, each operation is due at its time whatever became of those before it,
//! and its latency counts from then, however late it could be asked.

use std::time::Duration;

/// When the operations of one round are due, in nanoseconds of the generator's clock.
#[derive(Debug)]
pub struct Schedule {
    begun_ns: u64,
    /// How long the round lasts.
    time_ns: u64,
    pace: Pace,
    taken: u64,
}

#[derive(Debug, Clone, Copy)]
enum Pace {
    /// Each is due when there is room for it.
    Room,
    /// All are due since the begin.
    AllAtOnce,
    /// So many a second.
    Rate(f64),
}

/// What was due in a round's time is still taken for as long again, and for so long at least. LIMITS.md: `LATE_AT_LEAST`.
const LATE_AT_LEAST: Duration = Duration::from_secs(5);

/// As long as is no bound, and can be added to itself.
const ENDLESS_NS: u64 = u64::MAX / 4;

impl Schedule {
    pub fn new(now_ns: u64, time: Duration, rate: Option<f64>) -> Self {
        let pace = rate.map_or(Pace::Room, Pace::Rate);
        Self { begun_ns: now_ns, time_ns: time.as_nanos() as u64, pace, taken: 0 }
    }

    /// Without an end.
    pub fn endless(now_ns: u64, rate: Option<f64>) -> Self {
        Self { time_ns: ENDLESS_NS, ..Self::new(now_ns, Duration::ZERO, rate) }
    }

    /// Everything is due since this moment, however late there is room for it.
    pub fn since(moment_ns: u64) -> Self {
        Self { pace: Pace::AllAtOnce, ..Self::endless(moment_ns, None) }
    }

    /// Takes the next operation if it is due, and says since when. A schedule has one operation at least.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        if self.is_over(now_ns) {
            return None;
        }
        let due_ns = self.due_ns().unwrap_or(now_ns);
        (due_ns <= now_ns).then(|| {
            self.taken += 1;
            due_ns
        })
    }

    /// How long nothing new is due.
    pub fn wait(&self, now_ns: u64) -> Duration {
        let until_ns = self.due_ns().unwrap_or(u64::MAX).min(self.begun_ns + self.time_ns);
        // An operation that is due but has no room yet is taken when something comes.
        if until_ns <= now_ns { Duration::from_millis(10) } else { Duration::from_nanos(until_ns - now_ns) }
    }

    /// Nothing more will be due. With a rate, what was due in the round's time is still taken later, but not
    /// for ever.
    pub fn is_over(&self, now_ns: u64) -> bool {
        let end_ns = self.begun_ns + self.time_ns;
        self.taken > 0
            && match self.due_ns() {
                Some(due_ns) => {
                    due_ns >= end_ns || now_ns >= end_ns + self.time_ns.max(LATE_AT_LEAST.as_nanos() as u64)
                }
                None => now_ns >= end_ns,
            }
    }

    /// How many operations were due and never asked.
    pub fn left_out(&self) -> u64 {
        match self.pace {
            Pace::Rate(rate) => {
                ((rate * self.time_ns as f64 / 1e9).floor() as u64).saturating_sub(self.taken)
            }
            Pace::Room | Pace::AllAtOnce => 0,
        }
    }

    fn due_ns(&self) -> Option<u64> {
        match self.pace {
            Pace::Room => None,
            Pace::AllAtOnce => Some(self.begun_ns),
            Pace::Rate(rate) => Some(self.begun_ns + (self.taken as f64 * 1e9 / rate) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn taken(schedule: &mut Schedule, now_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| schedule.take(now_ns)).collect()
    }

    #[test]
    fn operations_are_due_at_their_times_however_late_they_are_asked() {
        let mut schedule = Schedule::new(MS, Duration::from_millis(50), Some(100.0));
        assert_eq!(taken(&mut schedule, MS), [MS]);
        assert_eq!(schedule.wait(2 * MS), Duration::from_millis(9));
        // The generator was held up for 35 ms.
        assert_eq!(taken(&mut schedule, 36 * MS), [11 * MS, 21 * MS, 31 * MS]);
        assert!(!schedule.is_over(200 * MS / 3));
        assert_eq!(taken(&mut schedule, 60 * MS), [41 * MS]);
        assert!(schedule.is_over(60 * MS));
        assert_eq!(schedule.left_out(), 0);
    }

    #[test]
    fn what_cannot_be_asked_in_twice_the_time_is_left_out_and_counted() {
        for (time_ms, end_ms) in [(50, 5_050), (10_000, 20_000)] {
            let mut schedule = Schedule::new(0, Duration::from_millis(time_ms), Some(100.0));
            assert_eq!(schedule.take(0), Some(0));
            assert_eq!(schedule.take(end_ms * MS - 1), Some(10 * MS));
            assert_eq!(schedule.take(end_ms * MS), None);
            assert!(schedule.is_over(end_ms * MS));
            assert_eq!(schedule.left_out(), time_ms / 10 - 2);
        }
    }

    #[test]
    fn without_a_rate_each_is_due_when_there_is_room_until_the_time_is_over() {
        let mut schedule = Schedule::new(5, Duration::from_millis(1), None);
        assert_eq!(schedule.take(MS + 10), Some(MS + 10), "one at least");
        assert_eq!(schedule.take(MS + 11), None);
        assert_eq!(schedule.left_out(), 0);
    }

    #[test]
    fn all_at_once_are_due_since_the_same_moment() {
        let mut schedule = Schedule::since(7);
        assert_eq!((schedule.take(9), schedule.take(MS)), (Some(7), Some(7)));
        assert!(!schedule.is_over(u64::from(u32::MAX) * MS));
    }
}
