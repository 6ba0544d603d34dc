//! What a connection keeps of its traffic so that its end can be explained: when it was heard and spoken to, and the
//! silences in between. 24 bytes; the kernel counts the bytes by itself.
//!
//! What this file does not know: sockets, and what a silence means ([`crate::ledger::Verdict`] does).

use wharf_core::time::Millis;

use super::{moment::Moment, timers::TIMER_STEP_MS};

/// The traffic of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    opened: Moment,
    heard: Moment,
    spoke: Moment,
    /// Of the silences that words of ours have ended since the peer was last heard, the longest. In steps, as far as 35
    /// minutes.
    quiet: u16,
    /// The longest silence that is known to have done no harm.
    survived: u16,
    /// Messages from the peer and to it.
    pub messages_in: u32,
    #[allow(missing_docs)]
    pub messages_out: u32,
}

impl Traffic {
    /// A connection that opens now; its handshake was its first traffic.
    pub fn opened(now: Millis) -> Self {
        let opened = Moment::of(now);
        Self { opened, heard: opened, spoke: opened, quiet: 0, survived: 0, messages_in: 0, messages_out: 0 }
    }

    /// Bytes of the peer's came: the path lives, whatever silence was before. Says by how much the longest silence that
    /// did no harm has grown, if it has grown notably.
    pub fn handle_heard(&mut self, now: Millis) -> Option<u64> {
        let now = Moment::of(now);
        let silence = steps(now, self.heard.max(self.spoke)).max(self.quiet);
        self.heard = now;
        self.quiet = 0;
        self.survive(silence)
    }

    /// The transport took bytes of ours.
    pub fn handle_spoke(&mut self, now: Millis) {
        let now = Moment::of(now);
        self.quiet = self.quiet.max(self.silence_at(now));
        self.spoke = now;
    }

    /// The peer's kernel has acknowledged all that was said: the silences before did no harm. For connections on which
    /// the peer never speaks.
    pub fn handle_acknowledged(&mut self) -> Option<u64> {
        let quiet = std::mem::take(&mut self.quiet);
        self.survive(quiet)
    }

    /// How long nothing has moved.
    pub fn silence_ms(&self, now: Millis) -> u64 {
        ms(self.silence_at(Moment::of(now)))
    }

    /// Of the silences that words of ours have ended since the peer was last heard, the longest.
    pub fn quiet_ms(&self) -> u64 {
        ms(self.quiet)
    }

    /// The longest silence that is known to have done no harm.
    pub fn survived_ms(&self) -> u64 {
        ms(self.survived)
    }

    /// When it opened, was last heard, and last spoken to.
    pub fn moments(&self) -> [Millis; 3] {
        [self.opened, self.heard, self.spoke].map(Moment::time)
    }

    fn silence_at(&self, now: Moment) -> u16 {
        steps(now, self.heard.max(self.spoke))
    }

    fn survive(&mut self, silence: u16) -> Option<u64> {
        // A little more each time is no news.
        let notable = self.survived.saturating_add(self.survived / 8 + NOTABLE_STEPS);
        let is_news = silence > notable;
        self.survived = self.survived.max(silence);
        is_news.then(|| ms(silence))
    }
}

/// Silences that differ by less are the same: about a second.
const NOTABLE_STEPS: u16 = 1_000 / TIMER_STEP_MS as u16;

fn steps(now: Moment, before: Moment) -> u16 {
    u16::try_from(now.steps_since(before)).unwrap_or(u16::MAX)
}

fn ms(steps: u16) -> u64 {
    u64::from(steps) * TIMER_STEP_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(ms: u64, expected: u64) {
        assert!(ms.abs_diff(expected) <= TIMER_STEP_MS, "{ms} is not about {expected}");
    }

    #[test]
    fn an_answered_ping_survives_the_silence_before_it() {
        let mut traffic = Traffic::opened(Millis(1_000));
        traffic.handle_spoke(Millis(26_000));
        about(traffic.quiet_ms(), 25_000);
        assert_eq!(traffic.survived_ms(), 0, "nothing came back yet");
        about(traffic.handle_heard(Millis(26_050)).unwrap(), 25_000);
        about(traffic.survived_ms(), 25_000);
        assert_eq!(traffic.quiet_ms(), 0);
    }

    #[test]
    fn of_several_words_without_an_answer_the_longest_silence_before_one_counts() {
        let mut traffic = Traffic::opened(Millis(0));
        traffic.handle_heard(Millis(1_000));
        for at in [3_000, 20_000, 21_000] {
            traffic.handle_spoke(Millis(at));
        }
        about(traffic.quiet_ms(), 17_000);
    }

    #[test]
    fn a_peer_that_speaks_after_a_silence_has_survived_it() {
        let mut traffic = Traffic::opened(Millis(0));
        about(traffic.handle_heard(Millis(9_000)).unwrap(), 9_000);
        assert_eq!(traffic.handle_heard(Millis(18_500)), None, "hardly longer than before is no news");
        about(traffic.survived_ms(), 9_500);
    }

    #[test]
    fn a_silence_of_hours_does_not_overflow() {
        let mut traffic = Traffic::opened(Millis(0));
        traffic.handle_heard(Millis(1 << 40));
        assert!(traffic.survived_ms() >= 35 * 60 * 1_000 - 60_000);
        assert_eq!(traffic.handle_heard(Millis(1 << 41)), None);
    }

    #[test]
    fn it_takes_24_bytes_of_a_connection() {
        assert_eq!(size_of::<Traffic>(), 24);
    }
}
