//! Time that passes when it is told to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::time::Millis;

/// A clock that stands still between calls of [`advance_ms`](Self::advance_ms). Clones show the same time.
#[derive(Debug, Clone)]
pub struct SimulatedClock(Arc<AtomicU64>);

impl SimulatedClock {
    /// A clock that shows `now`.
    pub fn new(now: Millis) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// What the clock shows.
    pub fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }

    /// Lets time pass, and answers what the clock then shows.
    pub fn advance_ms(&self, ms: u64) -> Millis {
        Millis(self.0.fetch_add(ms, Ordering::SeqCst) + ms)
    }
}

impl Default for SimulatedClock {
    /// Starts at a moment that is not 0, so that what forgets to add shows.
    fn default() -> Self {
        Self::new(Millis(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_the_same_time() {
        let clock = SimulatedClock::default();
        let other = clock.clone();
        assert_eq!(clock.advance_ms(25), Millis(1_000_025));
        assert_eq!(other.now(), Millis(1_000_025));
    }
}
