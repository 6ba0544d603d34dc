//! How long to wait before the next attempt: full jitter between half a second and twenty, so that many clients that
//! lost one server do not come back as one.

use std::time::Duration;

/// The shortest wait.
pub const SHORTEST: Duration = Duration::from_millis(500);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(20);

/// The most that is waited after `failures` failures in a row: doubling from [`SHORTEST`] to [`LONGEST`].
pub fn ceiling(failures: u32) -> Duration {
    ceiling_between(SHORTEST, LONGEST, failures)
}

/// The wait after `failures` failures in a row. `random` is from 0 to 1.
pub fn delay(failures: u32, random: f64) -> Duration {
    delay_between(SHORTEST, LONGEST, failures, random)
}

/// The same between other bounds.
pub fn delay_between(shortest: Duration, longest: Duration, failures: u32, random: f64) -> Duration {
    let jitter = ceiling_between(shortest, longest, failures).mul_f64(random.clamp(0.0, 1.0));
    shortest.saturating_add(jitter).min(longest)
}

fn ceiling_between(shortest: Duration, longest: Duration, failures: u32) -> Duration {
    shortest.saturating_mul(1 << failures.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_after_each_failure_and_never_past_the_longest() {
        assert_eq!(delay(0, 0.0), SHORTEST);
        assert_eq!(delay(0, 1.0), Duration::from_secs(1));
        assert_eq!(delay(3, 1.0), Duration::from_millis(4_500));
        for failures in [6, 20, u32::MAX] {
            assert_eq!(delay(failures, 1.0), LONGEST);
            assert_eq!(delay(failures, 0.0), SHORTEST);
        }
    }
}
