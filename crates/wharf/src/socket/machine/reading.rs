//! What comes of the peer: bytes become messages, and messages wait for whoever reads.

use bytes::{Bytes, BytesMut};
use wharf_core::time::Millis;
use wharf_proto::wire::{DeframeLimits, Deframer, Incoming as Found};

use super::{Half, Machine, State, ms};
use crate::socket::{End, Event};

impl Machine {
    /// Whether the driver is to read: there is room for what comes.
    pub fn wants_read(&self) -> bool {
        self.state == State::Open
            && !self.theirs_ended
            && self.incoming.has_room(self.parts.bounds.read_ahead_bytes)
    }

    /// A piece of the stream came. The bytes may be changed in place.
    pub fn handle_bytes(&mut self, bytes: &mut [u8], now: Millis) {
        if self.state != State::Open || self.theirs_ended {
            return;
        }
        self.tally.bytes_in += bytes.len() as u64;
        self.watch.handle_bytes(now);
        let Some(mut deframer) = self.deframer.take() else {
            self.tally.messages_in += 1;
            return self.incoming.push(Bytes::copy_from_slice(bytes));
        };
        let mut closes = false;
        let fed = deframer.feed(bytes, &mut |found| closes |= self.handle_found(found, now));
        self.deframer = Some(deframer);
        match fed {
            Err(error) => self.handle_end(End::BrokenFraming(error), now),
            Ok(()) if closes => self.handle_peer_finished(now),
            Ok(()) => {}
        }
    }

    /// A datagram came. One that breaks the framing is dropped and counted: it may be anybody's.
    pub fn handle_datagram(&mut self, datagram: &mut [u8], now: Millis) {
        if self.state != State::Open {
            return;
        }
        self.tally.bytes_in += datagram.len() as u64;
        let too_long = datagram.len() > self.parts.bounds.message_bytes && self.parts.framing.is_none();
        if too_long || !self.incoming.has_room(self.parts.bounds.read_ahead_bytes) {
            self.tally.dropped_in += 1;
            // It came all the same: the peer lives.
            return self.watch.handle_bytes(now);
        }
        let Some(mut deframer) = self.new_deframer() else {
            self.watch.handle_bytes(now);
            self.handle_message(datagram, now);
            return;
        };
        let mut messages = Vec::new();
        let fed = deframer.feed(datagram, &mut |found| {
            if let Found::Message(_, message) = found {
                messages.push(Bytes::copy_from_slice(message));
            }
        });
        if fed.is_err() || deframer.held_bytes() > 0 || messages.is_empty() {
            self.tally.dropped_in += 1;
            return;
        }
        self.watch.handle_bytes(now);
        messages.iter().for_each(|message| self.handle_message(message, now));
    }

    /// What the deframer found; whether that is the peer's end.
    fn handle_found(&mut self, found: Found<'_>, now: Millis) -> bool {
        match found {
            Found::Message(_, message) => self.handle_message(message, now),
            Found::Ping(payload) => {
                let mut pong = BytesMut::new();
                if let Some(framing) = &self.parts.framing {
                    framing.pong(payload, &mut pong);
                }
                self.answer(pong.freeze(), now);
            }
            Found::Pong(_) => self.watch.handle_answer(now),
            Found::Close(..) => return true,
        }
        false
    }

    fn handle_message(&mut self, message: &[u8], now: Millis) {
        self.tally.messages_in += 1;
        if self.watch.is_answer(message) {
            return self.watch.handle_answer(now);
        }
        match self.watch.answer_to(message) {
            Some(answer) => {
                self.watch.handle_answer(now);
                if let Some(framed) = self.own("the answer to a beat", &answer, now) {
                    self.answer(framed, now);
                }
            }
            None => self.incoming.push(Bytes::copy_from_slice(message)),
        }
    }

    fn answer(&mut self, framed: Bytes, now: Millis) {
        if !framed.is_empty() && !self.outgoing.answer(framed) {
            self.tally.unanswered += 1;
        }
        self.watch_writes(now);
    }

    /// The peer ended its half.
    pub fn handle_peer_finished(&mut self, now: Millis) {
        if self.state != State::Open || self.theirs_ended {
            return;
        }
        if let Some(end) = self.write_failed.take() {
            return self.handle_end(end, now);
        }
        let held = self.deframer.as_ref().map_or(0, |deframer| deframer.held_bytes());
        if held > 0 {
            self.handle_end(End::CutShort { held }, now);
        } else if self.returns() {
            // Half a connection is of no use to who wants a whole one.
            self.handle_end(End::ClosedByPeer, now);
        } else if self.ours == Half::Finished {
            self.end(End::ClosedHere { unsent: 0 });
        } else {
            self.theirs_ended = true;
            self.watch.close();
        }
    }

    /// Writing to a stream failed. A peer that is gone may have said much before, which the kernel still has: that is read
    /// to its end first. One that comes back waits for whoever reads no longer than for a peer that takes nothing.
    pub fn handle_write_error(&mut self, error: &std::io::Error, now: Millis) {
        let mut end = End::of_io(error);
        if end != End::Reset || self.state != State::Open || self.theirs_ended {
            return self.handle_io_error(error, now);
        }
        if self.ours == Half::Finished {
            // A beat or an answer that came behind our own end, which nobody misses.
            end = End::ClosedHere { unsent: 0 };
        }
        self.write_failed = Some(end);
        self.stall_due = self.returns().then(|| now.after_ms(ms(self.parts.bounds.write_stall)));
    }

    /// Reading or writing failed.
    pub fn handle_io_error(&mut self, error: &std::io::Error, now: Millis) {
        if let Some(end) = self.write_failed.take() {
            return self.handle_end(end, now);
        }
        let end = match End::of_io(error) {
            End::CutShort { .. } => {
                // TLS's own end is missing. Where the framing says that nothing is, that is only bad manners.
                let held = self.deframer.as_ref().map(|deframer| deframer.held_bytes());
                match held {
                    Some(0) => return self.handle_peer_finished(now),
                    held => End::CutShort { held: held.unwrap_or(0) },
                }
            }
            // A peer that has heard our end and says its own by a reset has heard everything.
            End::Reset if self.ours == Half::Finished => End::ClosedHere { unsent: 0 },
            end => end,
        };
        self.handle_end(end, now);
    }

    /// The next event, in order; none where nothing has come yet, or nothing comes any more.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.incoming.pop()
    }

    /// How it ended, once everything that came before was taken: `None` while more may come. An end of the peer's half
    /// is [`End::ClosedByPeer`], although this side may still write.
    pub fn poll_end(&self) -> Option<End> {
        if !self.incoming.is_empty() {
            return None;
        }
        match &self.state {
            State::Ended(end) => Some(end.clone()),
            _ if self.theirs_ended => Some(End::ClosedByPeer),
            _ => None,
        }
    }

    pub(super) fn new_deframer(&self) -> Option<Box<dyn Deframer>> {
        let limits =
            DeframeLimits { message_bytes: self.parts.bounds.message_bytes, ..DeframeLimits::default() };
        self.parts.framing.as_ref().map(|framing| framing.deframer(limits))
    }
}
