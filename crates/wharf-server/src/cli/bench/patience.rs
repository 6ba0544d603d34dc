//! Sees that something still happens.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long nothing may come while something is waited for. LIMITS.md: `PATIENCE`.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Patience {
    last: u64,
    since: Instant,
}

impl Patience {
    pub fn new() -> Self {
        Self { last: 0, since: Instant::now() }
    }

    /// Fails with these words if the count has been the same for too long.
    pub fn watch(&mut self, count: u64, say: impl FnOnce() -> String) -> anyhow::Result<()> {
        if count != self.last {
            *self = Self { last: count, since: Instant::now() };
        } else if self.since.elapsed() >= PATIENCE {
            bail!("{}: nothing came for {} s", say(), PATIENCE.as_secs());
        }
        Ok(())
    }
}
