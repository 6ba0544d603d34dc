//! How long to wait after an accept that failed (RELIABILITY.md row 49).

use std::{io, time::Duration};

/// The first pause. LIMITS.md, `accept_backoff_ms`.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses of 10 ms, doubled up to 1 s, until an accept succeeds.
#[derive(Debug, Default)]
pub struct Backoff {
    pauses: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.pauses = 0;
    }

    pub fn next_pause(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.pauses.min(16)).min(LONGEST);
        self.pauses = self.pauses.saturating_add(1);
        pause
    }

    /// Whether the last pause was the first of its row: the moment to log.
    pub fn is_first(&self) -> bool {
        self.pauses == 1
    }
}

/// Whether the failure is of the one connection that was about to be accepted (accept(2): errors already
/// pending on the new socket), so that the next can be accepted at once.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row 49.
    #[test]
    fn pauses_grow_to_a_second_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert!((0..10_000).all(|_| backoff.next_pause() == LONGEST));
        backoff.reset();
        assert_eq!(backoff.next_pause(), FIRST);
        assert!(backoff.is_first());
    }

    // Row 49.
    #[test]
    fn running_out_of_descriptors_is_not_of_one_connection() {
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(libc::ENFILE)));
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(libc::ECONNABORTED)));
    }
}
