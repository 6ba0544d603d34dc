//! How long a path lets a connection idle, learnt from the silences that connections survived and those that killed.
//!
//! Between many clients and a server stands something that forgets connections on which nothing moves: a NAT, a
//! firewall, a proxy. From what became of the connections of one path, that is of one listener and client network, the
//! ping interval for its next clients is found: below what kills there, as long as it can be otherwise.
//!
//! | file | knows |
//! |---|---|
//! | `evidence` | silences, counted |
//! | `mod` | what follows from them: the interval of one path |
//! | `table` | all paths, bounded |
//!
//! What this folder does not know: sockets, addresses, and what time it is.

mod evidence;
#[cfg(test)]
mod simulation;
mod table;

use self::evidence::Evidence;
pub use self::table::{PATHS_KEPT, PathTable};
use crate::time::Millis;

/// Within which bounds a path's ping interval is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of a path of which nothing is known, in milliseconds.
    pub usual_ms: u32,
    /// The shortest and the longest that may be found, in milliseconds.
    pub shortest_ms: u32,
    #[allow(missing_docs)]
    pub longest_ms: u32,
}

/// What is known of one path.
#[derive(Debug, Clone)]
pub struct Path {
    evidence: Evidence,
    interval_ms: u32,
    /// A silence of about this length kills; none is known to at 0.
    kills_at_ms: u32,
    /// When a longer interval is tried next, and how long that was put off.
    probe_at: Millis,
    put_off_ms: u64,
    /// When it was last asked or told about.
    touched: Millis,
}

/// What a path does, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The ping interval of its next client, in milliseconds.
    pub interval_ms: u32,
    /// A silence of about this length kills; none is known to at 0.
    pub kills_at_ms: u32,
    /// Silences that killed and that did no harm, of late.
    pub deaths: u32,
    #[allow(missing_docs)]
    pub survivals: u32,
}

/// A longer interval is tried after so long without a death, and if that kills, after twice as long the next time.
const PUT_OFF_MS: u64 = 60 * 60 * 1_000;
const LONGEST_PUT_OFF_MS: u64 = 24 * PUT_OFF_MS;

impl Path {
    fn new(bounds: &Bounds, now: Millis) -> Self {
        Self {
            evidence: Evidence::new(now),
            interval_ms: bounds.usual_ms.clamp(bounds.shortest_ms, bounds.longest_ms),
            kills_at_ms: 0,
            probe_at: now.after_ms(PUT_OFF_MS),
            put_off_ms: PUT_OFF_MS,
            touched: now,
        }
    }

    /// A connection of this path has survived such a silence.
    fn handle_survived(&mut self, silence_ms: u64, now: Millis) {
        self.touched = now;
        self.evidence.survived(silence_ms, now);
    }

    /// A connection of this path was killed by such a silence. True if the interval is shorter for that.
    fn handle_killed(&mut self, silence_ms: u64, bounds: &Bounds, now: Millis) -> bool {
        self.touched = now;
        self.evidence.killed(silence_ms, now);
        self.probe_at = now.after_ms(self.put_off_ms);
        let Some(kills_at_ms) = self.evidence.kills_at_ms() else { return false };
        // Half of what kills is a guess; more of it where silences as long have done no harm. A third is left for the
        // times that pings and their answers take, in both directions, and for how exactly the path keeps time.
        let (half, most) = (kills_at_ms / 2, kills_at_ms / 3 * 2);
        let known = self.evidence.harmless(most);
        let interval_ms = if known { most } else { half }.clamp(bounds.shortest_ms, bounds.longest_ms);
        if interval_ms >= self.interval_ms {
            return false;
        }
        // What was tried and killed is tried again later than the last time.
        self.put_off_ms = (2 * self.put_off_ms).min(LONGEST_PUT_OFF_MS);
        self.probe_at = now.after_ms(self.put_off_ms);
        self.kills_at_ms = kills_at_ms;
        self.interval_ms = interval_ms;
        true
    }

    /// The interval for the path's next client. Longer than before, if there was no death for long and silences of the
    /// present length do no harm.
    fn interval(&mut self, bounds: &Bounds, now: Millis) -> u32 {
        self.touched = now;
        if self.probe_at <= now && self.interval_ms < bounds.longest_ms {
            self.probe_at = now.after_ms(self.put_off_ms);
            self.evidence.age(now);
            if self.evidence.harmless(self.interval_ms / 10 * 9) {
                self.interval_ms = (self.interval_ms + self.interval_ms / 4).min(bounds.longest_ms);
            }
        }
        self.interval_ms
    }

    /// What a path does.
    pub fn estimate(&self) -> Estimate {
        let (deaths, survivals) = self.evidence.counts();
        Estimate { interval_ms: self.interval_ms, kills_at_ms: self.kills_at_ms, deaths, survivals }
    }
}

#[cfg(test)]
mod tests {
    use super::{evidence::DEATHS_NEEDED, *};

    const BOUNDS: Bounds = Bounds { usual_ms: 25_000, shortest_ms: 2_000, longest_ms: 25_000 };

    fn path() -> Path {
        Path::new(&BOUNDS, Millis(0))
    }

    #[test]
    fn one_reset_does_not_move_it_and_a_storm_at_one_moment_counts_once() {
        let mut path = path();
        for _ in 0..100 {
            assert!(!path.handle_killed(25_000, &BOUNDS, Millis(10_000)));
        }
        assert_eq!(path.interval(&BOUNDS, Millis(10_000)), 25_000);
    }

    #[test]
    fn several_deaths_at_similar_silences_shorten_it() {
        let mut path = path();
        let moved =
            (1..=DEATHS_NEEDED as u64).map(|at| path.handle_killed(20_000, &BOUNDS, Millis(at * 5_000)));
        assert_eq!(moved.filter(|moved| *moved).count(), 1);
        let interval = path.interval(&BOUNDS, Millis(60_000));
        assert!((8_000..=10_000).contains(&interval), "half of what kills: {interval}");
        let kills_at = path.estimate().kills_at_ms;
        assert!((16_000..=20_000).contains(&kills_at), "{kills_at}");
    }

    #[test]
    fn deaths_at_silences_of_all_lengths_are_no_path_that_forgets() {
        let mut path = path();
        for (at, silence) in [(1, 2_500), (2, 7_000), (3, 20_000)] {
            assert!(!path.handle_killed(silence, &BOUNDS, Millis(at * 60_000)));
        }
    }

    #[test]
    fn survivals_of_longer_silences_contradict() {
        let mut path = path();
        for at in 0..200 {
            path.handle_survived(25_000, Millis(at * 1_000));
            if at % 20 == 0 {
                assert!(!path.handle_killed(20_000, &BOUNDS, Millis(at * 1_000)), "one in twenty is noise");
            }
        }
    }

    #[test]
    fn survivals_of_shorter_silences_say_nothing_for_the_longer() {
        let mut path = path();
        for at in 1..100 {
            path.handle_survived(4_000, Millis(at * 5_000));
        }
        for at in 1..5 {
            path.handle_killed(20_000, &BOUNDS, Millis(at * 5_000));
        }
        assert!(path.interval(&BOUNDS, Millis(500_000)) < 25_000);
    }

    #[test]
    fn it_is_tried_longer_again_after_long_and_later_each_time_that_kills() {
        let mut path = path();
        (1..=6).for_each(|at| {
            path.handle_killed(20_000, &BOUNDS, Millis(at * 5_000));
        });
        let short = path.interval(&BOUNDS, Millis(60_000));
        let hour = |hours: u64| Millis(hours * PUT_OFF_MS + 60_000);
        assert_eq!(path.interval(&BOUNDS, hour(1)), short, "not yet: it was put off twice as long");
        (0..3).for_each(|_| path.handle_survived(short.into(), hour(2)));
        let longer = path.interval(&BOUNDS, hour(2));
        assert_eq!(longer, short + short / 4);
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut path = path();
        for at in 1..200 {
            path.handle_killed(2_100, &BOUNDS, Millis(at * 5_000));
        }
        assert_eq!(path.interval(&BOUNDS, Millis(1_000_000)), BOUNDS.shortest_ms);
        for at in 1..200 {
            let now = Millis(at * 2 * LONGEST_PUT_OFF_MS);
            for _ in 0..4 {
                path.handle_survived(24_000, now);
            }
            path.interval(&BOUNDS, now);
        }
        assert_eq!(path.estimate().interval_ms, BOUNDS.longest_ms);
    }
}
