//! Moments as a connection keeps them: 4 bytes, in steps of the timer wheel.

use wharf_core::time::Millis;

use super::timers::TIMER_STEP_MS;

/// A moment in steps of [`TIMER_STEP_MS`]. The last one, four years after the start, is [`Moment::NEVER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u32);

impl Moment {
    /// Later than every other.
    pub const NEVER: Self = Self(u32::MAX);

    /// The step that has begun at `time`.
    pub fn of(time: Millis) -> Self {
        Self(u32::try_from(time.0 / TIMER_STEP_MS).unwrap_or(u32::MAX))
    }

    /// The first step that is not before `time`: what is due then is due no earlier than was asked.
    pub fn not_before(time: Millis) -> Self {
        Self(u32::try_from(time.0.div_ceil(TIMER_STEP_MS)).unwrap_or(u32::MAX))
    }

    /// The step's begin.
    pub fn time(self) -> Millis {
        match self {
            Self::NEVER => Millis(u64::MAX),
            Self(step) => Millis(u64::from(step) * TIMER_STEP_MS),
        }
    }

    /// Steps from an earlier moment to this; 0 if `earlier` is later.
    pub fn steps_since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_kept_up_to_one_step_late_and_never_early() {
        for ms in [0, 1, 31, 32, 33, 1_000_000] {
            let kept = Moment::not_before(Millis(ms)).time();
            assert!(kept >= Millis(ms) && kept.ms_since(Millis(ms)) < TIMER_STEP_MS, "{ms}");
        }
    }

    #[test]
    fn what_is_never_stays_never() {
        assert_eq!(Moment::not_before(Millis(u64::MAX)), Moment::NEVER);
        assert_eq!(Moment::NEVER.time(), Millis(u64::MAX));
        assert!(Moment::NEVER > Moment::of(Millis(1 << 36)));
    }
}
