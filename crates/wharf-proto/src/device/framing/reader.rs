//! Cuts one connection's bytes into messages. Holds memory for a partial frame only, and drops what is no frame, as the
//! framing says.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Cut, Plan,
    find::{Found, Why},
    open::Fault,
};
use crate::{
    Disconnect, PeerError,
    device::spec::{BadChecksum, Junk},
    wire::{Deframer, Incoming, MessageKind},
};

/// How many bytes are added to a partial frame at once where nobody knows how many it lacks. Small, since what follows
/// its end is looked at in place.
const TOP_UP_BYTES: usize = 512;

/// The reading side of a [`DeviceFraming`](super::DeviceFraming).
#[derive(Debug)]
pub struct FrameReader {
    plan: Arc<Plan>,
    max: usize,
    /// The beginning of a frame that is not whole.
    held: Vec<u8>,
    /// So many bytes of it were looked at and hold no end.
    scan: usize,
    /// So many bytes in a row were no frame.
    junk: usize,
    /// False until a mark has come, where the first must.
    synced: bool,
}

/// One thing that stands in a stream, with its length there. All pieces together are the stream.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A frame, and its message.
    Message(usize, &'a [u8]),
    /// Marks with nothing between them.
    Nothing(usize),
    /// Bytes that are no frame.
    Junk(usize, Why),
    /// A frame whose message cannot be believed.
    Bad(usize, Fault),
}

enum Step {
    Consumed(usize),
    /// More must come.
    Need,
}

impl FrameReader {
    pub(super) fn new(plan: Arc<Plan>, max: usize) -> Self {
        let synced = !plan.begins_unsynced();
        Self { plan, max, held: Vec::new(), scan: 0, junk: 0, synced }
    }

    /// As [`Deframer::feed`], and tells of all that was found.
    pub fn feed_pieces(
        &mut self,
        input: &mut [u8],
        sink: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), PeerError> {
        if let Cut::Datagram = self.plan.cut {
            return self.take_datagram(input, sink);
        }
        let mut rest = input;
        while !rest.is_empty() {
            if !self.held.is_empty() {
                let taken = self.top_up(rest, sink)?;
                rest = &mut rest[taken..];
                continue;
            }
            match self.step(rest, sink)? {
                Step::Consumed(count) => rest = &mut rest[count..],
                Step::Need => {
                    self.held.extend_from_slice(rest);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Adds some of `input` to what is held, and takes out what has become whole. Answers how many were added.
    fn top_up(&mut self, input: &[u8], sink: &mut dyn FnMut(Piece<'_>)) -> Result<usize, PeerError> {
        let mut held = std::mem::take(&mut self.held);
        // What is held was looked at before: this says what it lacks.
        let scan = &mut self.scan;
        let lacks = match self.plan.find(&held, self.max, scan, self.synced) {
            Found::Need(total) => total.saturating_sub(held.len()),
            _ => 0,
        };
        let most = if lacks == 0 { TOP_UP_BYTES } else { lacks };
        let taken = most.min(input.len());
        held.extend_from_slice(&input[..taken]);
        let mut at = 0;
        while at < held.len() {
            match self.step(&mut held[at..], sink)? {
                Step::Consumed(count) => at += count,
                Step::Need => break,
            }
        }
        if at < held.len() {
            held.drain(..at);
            self.held = held;
        }
        Ok(taken)
    }

    /// Takes what stands at the front of `bytes`.
    fn step(&mut self, bytes: &mut [u8], sink: &mut dyn FnMut(Piece<'_>)) -> Result<Step, PeerError> {
        let consumed = match self.plan.find(bytes, self.max, &mut self.scan, self.synced) {
            Found::Need(_) => return Ok(Step::Need),
            Found::Nothing(count) => {
                self.synced = true;
                sink(Piece::Nothing(count));
                count
            }
            Found::Junk(count, why) => {
                sink(Piece::Junk(count, why));
                self.skip(count, why)?;
                count
            }
            Found::TooLong => {
                if self.plan.junk == Junk::Close {
                    return Err(PeerError::MessageTooLong { limit: self.max });
                }
                let count = self.give_up(bytes)?;
                sink(Piece::Junk(count, Why::TooLong));
                self.skip(count, Why::TooLong)?;
                // No end stands in what was looked at, so none needs to be looked for there again; escapes may read
                // differently from another place.
                if let Cut::Marks(None) = self.plan.cut {
                    self.scan = self.scan.saturating_sub(count);
                    return Ok(Step::Consumed(count));
                }
                count
            }
            Found::Frame(total, content) => {
                match self.plan.open(&mut bytes[..total], content, self.max) {
                    Ok(message) => {
                        self.junk = 0;
                        sink(Piece::Message(total, &bytes[message]));
                    }
                    Err(fault) => {
                        sink(Piece::Bad(total, fault));
                        self.drop_frame(total, fault)?;
                    }
                }
                total
            }
        };
        self.scan = 0;
        Ok(Step::Consumed(consumed))
    }

    /// Looks for another place to begin than one whose message is too long.
    fn give_up(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        if self.plan.is_between_marks() {
            self.synced = false;
            // What may be the first bytes of the end stays.
            return Ok(self.scan.clamp(1, bytes.len()));
        }
        if self.plan.start.is_empty() {
            return Err(PeerError::MessageTooLong { limit: self.max });
        }
        Ok(self.plan.next_start(bytes))
    }

    fn drop_frame(&mut self, total: usize, fault: Fault) -> Result<(), PeerError> {
        match fault {
            Fault::Junk(Why::TooLong) if self.plan.junk == Junk::Close => {
                Err(PeerError::MessageTooLong { limit: self.max })
            }
            Fault::Junk(why) => self.skip(total, why),
            Fault::Checksum { .. } => {
                self.plan.counters.bad_checksums.fetch_add(1, Ordering::Relaxed);
                if self.plan.sum.as_ref().is_some_and(|sum| sum.bad == BadChecksum::Close) {
                    return Err(refused("the checksum of a frame is wrong"));
                }
                self.count_junk(total)
            }
        }
    }

    /// These bytes were no frame.
    fn skip(&mut self, count: usize, why: Why) -> Result<(), PeerError> {
        self.plan.counters.junk_bytes.fetch_add(count as u64, Ordering::Relaxed);
        if self.plan.junk == Junk::Close || (self.plan.start.is_empty() && !self.plan.finds_again()) {
            return Err(refused(why.text()));
        }
        self.count_junk(count)
    }

    fn count_junk(&mut self, count: usize) -> Result<(), PeerError> {
        let Junk::Skip { limit } = self.plan.junk else { return Ok(()) };
        self.junk = self.junk.saturating_add(count);
        match self.junk > limit {
            true => Err(refused("too many bytes in a row were no frame")),
            false => Ok(()),
        }
    }

    /// A datagram is whole, and nothing of it is left for the next.
    fn take_datagram(&mut self, input: &mut [u8], sink: &mut dyn FnMut(Piece<'_>)) -> Result<(), PeerError> {
        let mut rest = input;
        while !rest.is_empty() {
            let plan = Arc::clone(&self.plan);
            let (count, end) = match plan.end.is_empty() {
                true => (rest.len(), rest.len()),
                false => match memchr::memmem::find(rest, &plan.end) {
                    Some(end) => (end + plan.end.len(), end),
                    None => (rest.len(), rest.len()), // The last needs no end.
                },
            };
            let (frame, after) = rest.split_at_mut(count);
            rest = after;
            if end == 0 && !plan.end.is_empty() {
                sink(Piece::Nothing(count));
            } else if !frame.starts_with(&plan.start) || end < plan.start.len() {
                sink(Piece::Junk(count, Why::Start));
                self.skip(count, Why::Start)?;
            } else {
                match plan.open(frame, plan.start.len()..end, self.max) {
                    Ok(message) => {
                        self.junk = 0;
                        sink(Piece::Message(count, &frame[message]));
                    }
                    Err(fault) => {
                        sink(Piece::Bad(count, fault));
                        self.drop_frame(count, fault)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Whether the next frame can be found although this one was none, without start bytes.
    fn finds_again(&self) -> bool {
        matches!(self.cut, Cut::Marks(_) | Cut::Datagram)
    }
}

impl Why {
    /// What is wrong, for the device's owner.
    pub fn text(self) -> &'static str {
        match self {
            Self::Start => "the bytes do not begin as a frame does",
            Self::End => "the end bytes do not stand where the frame ends",
            Self::Length => "the length of a frame is less than what it counts at least",
            Self::Again => "a frame begins before the one before it ends",
            Self::TooLong => "a message is longer than the limit",
            Self::Escape => "an escape byte stands before a byte that is never escaped",
        }
    }
}

fn refused(reason: &'static str) -> PeerError {
    PeerError::Refused(Disconnect::BAD_REQUEST.with_reason(reason))
}

impl Deframer for FrameReader {
    fn feed(&mut self, input: &mut [u8], sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError> {
        self.feed_pieces(input, &mut |piece| {
            if let Piece::Message(_, message) = piece {
                sink(Incoming::Message(MessageKind::Binary, message));
            }
        })
    }

    fn held_bytes(&self) -> usize {
        self.held.len()
    }
}
