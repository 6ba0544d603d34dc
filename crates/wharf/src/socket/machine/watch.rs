//! The heartbeat of one socket: [`Liveness`] says when, and this what is said and heard.

use bytes::Bytes;
use wharf_core::{
    liveness::{Liveness, Verdict},
    time::Millis,
};

use crate::socket::Heartbeat;

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// Send this.
    Beat(Bytes),
    /// The peer is dead.
    Dead {
        /// Since its last sign of life.
        silent_ms: u64,
    },
}

/// Watches the peer of one connection after the other.
pub struct Watch {
    heartbeat: Option<Heartbeat>,
    /// None while there is no connection, or no heartbeat.
    liveness: Option<Liveness>,
    /// The last sign of life.
    heard: Millis,
    /// Beats of this connection.
    beats: u64,
}

impl Watch {
    pub fn new(heartbeat: Option<Heartbeat>) -> Self {
        Self { heartbeat, liveness: None, heard: Millis(0), beats: 0 }
    }

    /// There is a connection. `spread` is random.
    pub fn open(&mut self, spread: u16, now: Millis) {
        self.liveness = self.heartbeat.as_ref().map(|heartbeat| {
            let mut liveness = Liveness::opening(heartbeat.policy(), 0, now);
            liveness.start(spread, now);
            liveness
        });
        (self.heard, self.beats) = (now, 0);
    }

    /// Nothing is expected of the peer any more.
    pub fn close(&mut self) {
        self.liveness = None;
    }

    pub fn due(&self) -> Option<Millis> {
        self.liveness.as_ref().and_then(Liveness::poll_timeout)
    }

    /// Something came.
    pub fn handle_bytes(&mut self, now: Millis) {
        if let Some(liveness) = &mut self.liveness {
            liveness.handle_traffic(now);
            let counts = self.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.is_answer.is_none());
            if counts {
                self.heard = now;
            }
        }
    }

    /// A heartbeat came.
    pub fn handle_answer(&mut self, now: Millis) {
        if let Some(liveness) = &mut self.liveness {
            liveness.handle_heartbeat(now);
            self.heard = now;
        }
    }

    /// Whether a message is the answer to a beat.
    pub fn is_answer(&self, message: &[u8]) -> bool {
        let is_answer = self.heartbeat.as_ref().and_then(|heartbeat| heartbeat.is_answer.as_ref());
        is_answer.is_some_and(|is_answer| is_answer(message))
    }

    /// The answer to a message that is a beat of the peer's.
    pub fn answer_to(&self, message: &[u8]) -> Option<Bytes> {
        self.heartbeat.as_ref()?.answering.as_ref()?(message)
    }

    pub fn handle_timeout(&mut self, now: Millis) -> Due {
        let Some(liveness) = &mut self.liveness else { return Due::Nothing };
        match liveness.handle_timeout(now) {
            Verdict::Alive => Due::Nothing,
            Verdict::Dead => Due::Dead { silent_ms: now.ms_since(self.heard) },
            Verdict::Ping => {
                let saying = self.heartbeat.as_ref().and_then(|heartbeat| heartbeat.saying.as_ref());
                let beat = saying.map(|saying| saying(self.beats));
                self.beats += 1;
                beat.map_or(Due::Nothing, Due::Beat)
            }
        }
    }
}
