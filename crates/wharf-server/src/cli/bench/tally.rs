//! What is counted, and how long it took.

use hdrhistogram::Histogram;

/// The longest latency that is told apart from longer ones: ten minutes, in nanoseconds.
const LONGEST_LATENCY_NS: u64 = 600_000_000_000;

/// What was counted since it was last cleared.
#[derive(Debug)]
pub struct Tally {
    /// Publications and answers that came.
    pub delivered: u64,
    /// Connections that came to the end of their opening.
    pub opened: u64,
    /// Publications that the server said it took.
    pub acknowledged: u64,
    /// Publications that came with the reply to a subscription that recovers.
    pub recovered: u64,
    /// Messages that came compressed.
    pub deflated: u64,
    /// Times that the server had too much to do for a connection, which came again.
    pub refused: u64,
    /// From when something was due to when it came. Nanoseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Self {
        // Three digits of ten minutes in nanoseconds are bounds that the histogram allows.
        let latency = Histogram::new_with_bounds(1, LONGEST_LATENCY_NS, 3).expect("valid bounds");
        Self { delivered: 0, opened: 0, acknowledged: 0, recovered: 0, deflated: 0, refused: 0, latency }
    }

    /// Something came that was due at `due_ns`.
    pub fn took(&mut self, due_ns: u64, now_ns: u64) {
        self.latency.saturating_record(now_ns.saturating_sub(due_ns).max(1));
    }
}
