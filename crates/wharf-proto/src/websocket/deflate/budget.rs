//! One budget for what all connections remember in order to compress: past it a new connection remembers nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// The bytes that the contexts of all connections may take together. One for a process, shared by its workers.
///
/// A connection whose contexts do not fit gets none: it is answered with both `no_context_takeover` parameters
/// (RFC 7692 section 7.1.1), and compresses each message by itself.
#[derive(Debug)]
pub struct CompressorBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    refusals: AtomicU64,
}

impl CompressorBudget {
    /// The limit where nothing else is said, in bytes. LIMITS.md: `compressor_bytes`.
    pub const COMPRESSOR_BYTES: usize = 64 * 1024 * 1024;

    /// A budget of which nothing is used.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicUsize::new(0), refusals: AtomicU64::new(0) })
    }

    /// What is reserved now, in bytes.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// How often a reservation did not fit: so many connections were to remember and do not.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Sets `bytes` aside until the reservation is dropped; `None` if they do not fit. Many threads together
    /// never reserve more than the limit.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        // Nothing is published by this number, so no order with other memory is needed.
        match self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Some(Reservation { budget: Arc::clone(self), bytes }),
            Err(_) => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// A part of a [`CompressorBudget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<CompressorBudget>,
    bytes: usize,
}

impl Reservation {
    /// How much is set aside, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes at most `bytes` out, as a reservation of its own.
    #[cfg(feature = "deflate")]
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn gives_no_more_than_the_limit_and_takes_back_what_is_dropped() {
        let budget = CompressorBudget::new(100);
        let first = budget.try_reserve(60).unwrap();
        assert!(budget.try_reserve(41).is_none());
        assert!(budget.try_reserve(usize::MAX).is_none());
        assert_eq!(budget.refusals(), 2);
        let second = budget.try_reserve(40).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        drop(first);
        assert_eq!((budget.used_bytes(), second.bytes()), (40, 40));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn holds_the_limit_when_many_threads_reserve_at_once() {
        let budget = CompressorBudget::new(1_000);
        let reserve =
            || std::iter::repeat_with(|| budget.try_reserve(7)).take(100).flatten().collect::<Vec<_>>();
        let reservations: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(reserve)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(reservations.len(), 1_000 / 7);
        assert_eq!(budget.used_bytes(), 1_000 / 7 * 7);
        drop(reservations);
        assert_eq!(budget.used_bytes(), 0);
    }
}
