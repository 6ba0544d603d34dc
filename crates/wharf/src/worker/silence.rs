//! Silences, as connections live through them.

use super::Worker;
use crate::ledger::IDLE_AT_LEAST_MS;

impl Worker {
    /// Bytes of the peer's came.
    pub(super) fn note_heard(&mut self, index: u32) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        connection.traffic.handle_heard(now);
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
        if path.is_some_and(|path| path.unacknowledged == 0) {
            connection.traffic.handle_acknowledged();
        }
    }
}
