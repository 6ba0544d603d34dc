//! All paths of which something is known. Bounded: a new one takes the place of the one that was not touched for the
//! longest.

use std::hash::Hash;

use hashbrown::HashMap;

use super::{Bounds, Estimate, Path};
use crate::time::Millis;

/// The most paths that are known. LIMITS.md, `PATHS_KEPT`.
pub const PATHS_KEPT: usize = 4_096;

/// What is known of paths, by a key that names a listener and a client network.
#[derive(Debug)]
pub struct PathTable<K> {
    paths: HashMap<K, Path>,
    bounds: Bounds,
    kept: usize,
}

impl<K: Copy + Eq + Hash> PathTable<K> {
    /// Nothing is known.
    pub fn new(bounds: Bounds) -> Self {
        Self { paths: HashMap::new(), bounds, kept: PATHS_KEPT }
    }

    /// The ping interval for the next client of a path, in milliseconds; none if nothing is known of it.
    pub fn interval_ms(&mut self, key: K, now: Millis) -> Option<u32> {
        let bounds = self.bounds;
        self.paths.get_mut(&key).map(|path| path.interval(&bounds, now))
    }

    /// A connection has survived such a silence.
    pub fn handle_survived(&mut self, key: K, silence_ms: u64, now: Millis) {
        // Of a path on which nobody dies there is nothing to know, unless its interval may grow.
        if self.bounds.longest_ms > self.bounds.usual_ms {
            self.path(key, now).handle_survived(silence_ms, now);
        } else if let Some(path) = self.paths.get_mut(&key) {
            path.handle_survived(silence_ms, now);
        }
    }

    /// A connection was killed by such a silence. The new estimate, if the interval is shorter for that.
    pub fn handle_killed(&mut self, key: K, silence_ms: u64, now: Millis) -> Option<Estimate> {
        let bounds = self.bounds;
        let path = self.path(key, now);
        path.handle_killed(silence_ms, &bounds, now).then(|| path.estimate())
    }

    /// All that is known.
    pub fn estimates(&self) -> impl Iterator<Item = (K, Estimate)> {
        self.paths.iter().map(|(key, path)| (*key, path.estimate()))
    }

    fn path(&mut self, key: K, now: Millis) -> &mut Path {
        if !self.paths.contains_key(&key) && self.paths.len() >= self.kept {
            let oldest = self.paths.iter().min_by_key(|(_, path)| path.touched).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.paths.remove(&oldest));
        }
        let bounds = self.bounds;
        self.paths.entry(key).or_insert_with(|| Path::new(&bounds, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { usual_ms: 25_000, shortest_ms: 2_000, longest_ms: 25_000 };

    #[test]
    fn a_new_path_takes_the_place_of_the_one_that_was_not_touched_for_the_longest() {
        let mut table = PathTable { kept: 2, ..PathTable::new(BOUNDS) };
        table.handle_killed("a", 5_000, Millis(1));
        table.handle_killed("b", 5_000, Millis(2));
        table.interval_ms("a", Millis(3));
        table.handle_killed("c", 5_000, Millis(4));
        let mut known: Vec<_> = table.estimates().map(|(key, _)| key).collect();
        known.sort_unstable();
        assert_eq!(known, ["a", "c"]);
    }

    #[test]
    fn nothing_is_kept_of_a_path_on_which_nobody_dies() {
        let mut table = PathTable::new(BOUNDS);
        table.handle_survived("a", 25_000, Millis(1));
        assert_eq!((table.interval_ms("a", Millis(1)), table.estimates().count()), (None, 0));
    }

    #[test]
    fn one_path_says_nothing_of_another() {
        let mut table = PathTable::new(BOUNDS);
        (1..=9).for_each(|at| {
            table.handle_killed("a", 20_000, Millis(at * 5_000));
        });
        assert!(table.interval_ms("a", Millis(50_000)).unwrap() < 15_000);
        assert_eq!(table.interval_ms("b", Millis(50_000)), None);
    }

    /// LIMITS.md counts with it.
    #[test]
    fn a_path_is_about_160_bytes() {
        assert!(size_of::<Path>() <= 168, "{}", size_of::<Path>());
    }
}
