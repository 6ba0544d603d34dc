//! Tells the operator of devices that were not let in: at most so many lines a second, and how many were left out.
//! A device that is refused tries again and again, and anybody can be refused as often as he likes.

use std::sync::{Mutex, PoisonError};

use wharf_core::time::Millis;

use crate::metrics::Counter;

/// The most lines a second. LIMITS.md, `refusal_lines`.
pub const REFUSAL_LINES: u32 = 10;

/// Logs refused logins, within bounds.
#[derive(Debug, Default)]
pub struct Refusals {
    /// All of them, told or not.
    pub total: Counter,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    second: u64,
    told: u32,
    left_out: u64,
}

impl Refusals {
    /// A login was refused. `listener` is its listener's name, `reason` may quote the peer.
    pub fn tell(&self, listener: &str, reason: &str, now: Millis) {
        self.total.bump();
        if let Some(left_out) = self.line(now) {
            // Row 100: what the peer said is escaped.
            let reason = reason.escape_debug();
            tracing::info!(listener, %reason, left_out, "a device was not let in");
        }
    }

    /// Whether a line may be written now, and how many were not since the last.
    fn line(&self, now: Millis) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.0 / 1_000;
        if window.second != second {
            window.second = second;
            window.told = 0;
        }
        if window.told >= REFUSAL_LINES {
            window.left_out += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_told_in_ten_lines_a_second_and_a_number() {
        let refusals = Refusals::default();
        let lines: Vec<_> = (0..1_000).filter_map(|_| refusals.line(Millis(5_000))).collect();
        assert_eq!(lines, [0; REFUSAL_LINES as usize]);
        assert_eq!(refusals.line(Millis(5_999)), None);
        assert_eq!(refusals.line(Millis(6_000)), Some(991));
        assert_eq!(refusals.line(Millis(6_000)), Some(0));
    }
}
