//! What goes to the peer: messages are framed and wait, and bytes go out.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use wharf_core::time::Millis;
use wharf_proto::wire::MessageKind;

use super::{Carrier, Half, Machine, State, ms};
use crate::socket::{End, Unsent, WriteError};

/// The most that UDP over IPv4 carries: 65,535 bytes without the heads of IP (20) and UDP (8). LIMITS.md,
/// `longest_datagram`.
pub const LONGEST_DATAGRAM: usize = 65_507;

/// What most framings add to a message.
const FRAMING_SPACE: usize = 16;

impl Machine {
    /// Takes a message to be sent. `Ok(false)`: there is no room, come again.
    pub fn try_write(&mut self, message: &[u8], now: Millis) -> Result<bool, WriteError> {
        let refuses =
            self.parts.reconnect.as_ref().is_some_and(|reconnect| reconnect.unsent == Unsent::Refuse);
        match &self.state {
            State::Ended(end) => return Err(WriteError::Ended(end.clone())),
            _ if self.ours != Half::Open => return Err(WriteError::Finished),
            State::Dialing | State::Pausing { .. } if refuses => return Err(WriteError::NotConnected),
            _ => {}
        }
        match &self.write_failed {
            Some(_) if refuses => return Err(WriteError::NotConnected),
            Some(end) if !self.returns() => return Err(WriteError::Ended(end.clone())),
            _ => {}
        }
        let bound = self.parts.bounds.message_bytes;
        let too_long = |limit, mend| WriteError::TooLong { bytes: message.len(), limit, mend };
        if self.parts.framing.is_some() && message.len() > bound {
            return Err(too_long(bound, "raise Bounds::message_bytes on both sides, or send it in parts"));
        }
        if !self.outgoing.has_room(self.parts.bounds.queue_bytes) {
            return Ok(false);
        }
        let framed = self.framed(message).map_err(WriteError::Unframeable)?;
        if self.carrier == Carrier::Datagrams && framed.len() > LONGEST_DATAGRAM {
            return Err(too_long(
                LONGEST_DATAGRAM,
                "no datagram is longer: send it in parts, or over a stream",
            ));
        }
        // On a stream without a framing nothing is nothing; a datagram without bytes is one.
        if !framed.is_empty() || self.carrier == Carrier::Datagrams {
            self.outgoing.push(framed);
            if self.state == State::Open {
                self.watch_writes(now);
            }
        }
        Ok(true)
    }

    /// What is to be written next to the stream; how many slices that is.
    pub fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        if self.state == State::Open && self.write_failed.is_none() { self.outgoing.slices(into) } else { 0 }
    }

    /// The datagram that is to be sent next.
    pub fn poll_datagram(&self) -> Option<Bytes> {
        self.outgoing.first().filter(|_| self.state == State::Open).cloned()
    }

    /// The stream took so many bytes.
    pub fn handle_written(&mut self, count: usize, now: Millis) {
        self.tally.bytes_out += count as u64;
        self.tally.messages_out += self.outgoing.written(count);
        self.stall_due = None;
        self.watch_writes(now);
    }

    /// The first datagram was sent, or could not be and is dropped.
    pub fn handle_datagram_sent(&mut self, was_sent: bool) {
        let bytes = self.outgoing.first().map_or(0, Bytes::len);
        let messages = self.outgoing.sent();
        if was_sent {
            self.tally.bytes_out += bytes as u64;
            self.tally.messages_out += messages;
        } else {
            self.tally.unsent += messages;
        }
    }

    /// Whether the driver is to have the transport hand on what it holds.
    pub fn wants_flush(&self) -> bool {
        self.state == State::Open
            && self.write_failed.is_none()
            && self.outgoing.is_empty()
            && self.outgoing.wants_flush()
    }

    /// The transport holds nothing.
    pub fn handle_flushed(&mut self) {
        self.outgoing.flushed();
        if self.outgoing.is_empty() {
            self.stall_due = None;
        }
    }

    /// Whether the driver is to end our half.
    pub fn wants_finish(&self) -> bool {
        self.state == State::Open
            && self.write_failed.is_none()
            && self.ours == Half::Finishing
            && self.outgoing.is_done()
    }

    /// Our half has ended.
    pub fn handle_finished(&mut self) {
        self.ours = Half::Finished;
        if self.theirs_ended {
            self.end(End::ClosedByPeer);
        } else if self.carrier == Carrier::Datagrams {
            // Datagrams have no ends that could be awaited.
            self.end(End::ClosedHere { unsent: 0 });
        }
    }

    /// Begins to wait for a byte to be taken, if something waits.
    pub(super) fn watch_writes(&mut self, now: Millis) {
        let may_write = self.carrier == Carrier::Stream && self.write_failed.is_none();
        if self.stall_due.is_none() && !self.outgoing.is_done() && may_write {
            self.stall_due = Some(now.after_ms(ms(self.parts.bounds.write_stall)));
        }
    }

    pub(super) fn framed(&self, message: &[u8]) -> Result<Bytes, Box<str>> {
        let Some(framing) = &self.parts.framing else { return Ok(Bytes::copy_from_slice(message)) };
        let mut framed = BytesMut::with_capacity(message.len() + FRAMING_SPACE);
        framing.frame_checked(MessageKind::Binary, message, &mut framed)?;
        Ok(framed.freeze())
    }

    /// A beat, an answer or a greeting, which the user's own closure made. One that cannot be framed ends the connection:
    /// the peer would wait for it in vain.
    pub(super) fn own(&mut self, what: &str, message: &[u8], now: Millis) -> Option<Bytes> {
        let framed = self.framed(message);
        let why = match framed {
            Ok(framed) => return Some(framed),
            Err(why) => why,
        };
        self.handle_end(End::Failed(format!("{what} cannot be framed: {why}").into()), now);
        None
    }
}
