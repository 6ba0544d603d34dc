//! Silences, as connections live through them.

use super::Worker;
use crate::ledger::{Ended, IDLE_AT_LEAST_MS, Verdict};

impl Worker {
    /// Bytes of the peer's came.
    pub(super) fn note_heard(&mut self, index: u32) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        if let Some(silence_ms) = connection.traffic.handle_heard(now) {
            self.note_survived(index, silence_ms);
        }
    }

    /// Something is about to be said. Where the peer never speaks, its kernel's acknowledgements are what tells that
    /// the silences before did no harm; they are asked about only after another one.
    pub(super) fn settle_silence(&mut self, index: u32) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        if connection.hears_peer() || connection.traffic.silence_ms(now) < IDLE_AT_LEAST_MS {
            return;
        }
        let path = connection.transport.as_ref().and_then(|transport| transport.vitals().path);
        let is_acknowledged = path.is_some_and(|path| path.unacknowledged == 0);
        let survived = is_acknowledged.then(|| connection.traffic.handle_acknowledged()).flatten();
        if let Some(silence_ms) = survived {
            self.note_survived(index, silence_ms);
        }
    }

    /// A silence has ended well.
    fn note_survived(&mut self, index: u32, silence_ms: u64) {
        let Some(paths) = self.node.paths.as_ref().filter(|_| silence_ms >= IDLE_AT_LEAST_MS) else { return };
        let Some(connection) = self.connections.at(index) else { return };
        // What shares its connection with others has not been silent.
        let is_path = connection.transport.as_ref().is_some_and(|transport| transport.has_path());
        if is_path {
            paths.handle_survived(connection.origin(), silence_ms, self.now);
        }
    }

    /// A connection has ended.
    pub(super) fn note_killed(&self, ended: &Ended) {
        // A silence in which this process stood still was longer than is known.
        let is_known = ended.heard >= self.node.stood_still_until();
        if let Some(paths) =
            self.node.paths.as_ref().filter(|_| is_known && ended.verdict == Verdict::IdleKill)
        {
            paths.handle_killed(&self.node, ended);
        }
    }
}
