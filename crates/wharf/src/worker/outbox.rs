//! What waits to be written to one connection: references to shared bytes, in order. An empty outbox is one
//! null pointer.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf, Bytes};
use wharf_core::time::Millis;

use crate::transport::Transport;

/// The most slices of one vectored write.
const SLICES: usize = 128;

/// What waits for one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    backlog: Option<Box<Backlog>>,
}

/// The part of an outbox that exists while something waits.
#[derive(Debug, Default)]
pub struct Backlog {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Of all bytes since nothing waited, those that the client asked for.
    asked_for: usize,
    /// A part of the front was written: it must be finished before anything else is said.
    front_begun: bool,
    /// The transport took nothing at this moment and will say when it does.
    blocked_since: Option<Millis>,
    /// On the worker's list of connections to write.
    dirty: bool,
}

/// Backlogs that no connection needs at the moment. Boxed, since an outbox holds one by pointer.
#[allow(clippy::vec_box)]
pub type Spare = Vec<Box<Backlog>>;

/// What flushing came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more. The memory can serve another connection.
    Empty,
    /// The transport takes no more for now.
    Blocked,
}

/// What a batch of sends is to make of one connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it has been written.
    Nothing,
    /// These bytes are all that waits.
    Send(Bytes),
    /// Several pieces wait, for one vectored write of its own.
    Alone,
}

impl Outbox {
    /// Adds bytes. True if the connection must be put on the list of those to write.
    pub fn push(&mut self, bytes: Bytes, spare: &mut Spare) -> bool {
        let backlog = self.backlog.get_or_insert_with(|| spare.pop().unwrap_or_default());
        backlog.bytes += bytes.len();
        if backlog.queue.capacity() == 0 {
            // Mostly one message waits, and the memory is kept for the next connection.
            backlog.queue.reserve_exact(1);
        }
        backlog.queue.push_back(bytes);
        // A blocked connection is written when it becomes writable, not before.
        let list = !backlog.dirty && backlog.blocked_since.is_none();
        backlog.dirty |= list;
        list
    }

    /// So many of the bytes that were just added are what the client asked for: they are no sign of slowness.
    pub fn excuse(&mut self, bytes: usize) {
        if let Some(backlog) = &mut self.backlog {
            backlog.asked_for += bytes;
        }
    }

    /// Whether more waits than the limit allows, beside what the client asked for.
    pub fn is_over(&self, limit: usize) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.bytes > limit.saturating_add(backlog.asked_for))
    }

    /// Bytes that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.bytes)
    }

    /// Since when the transport has taken nothing.
    pub fn blocked_since(&self) -> Option<Millis> {
        self.backlog.as_ref().and_then(|backlog| backlog.blocked_since)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.backlog.is_none()
    }

    /// Writes as much as the transport takes.
    pub fn flush(
        &mut self,
        transport: &mut dyn Transport,
        now: Millis,
        spare: &mut Spare,
    ) -> io::Result<Flushed> {
        let Some(backlog) = &mut self.backlog else { return Ok(Flushed::Empty) };
        backlog.dirty = false;
        while !backlog.queue.is_empty() {
            match backlog.write(transport) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    backlog.advance(count);
                    backlog.blocked_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    backlog.blocked_since.get_or_insert(now);
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(backlog) = self.backlog.take() {
            backlog.give_back(spare);
        }
        Ok(Flushed::Empty)
    }

    /// What a batch of sends is to make of a connection that is on the list to write. Where it says
    /// [`Turn::Send`], [`Outbox::sent`] must follow before anything else is written.
    pub fn begin_send(&mut self) -> Turn {
        match &mut self.backlog {
            Some(backlog) if backlog.dirty => match backlog.queue.front() {
                Some(only) if backlog.queue.len() == 1 => {
                    backlog.dirty = false;
                    Turn::Send(Bytes::clone(only))
                }
                _ => Turn::Alone,
            },
            // It was written since it was listed.
            _ => Turn::Nothing,
        }
    }

    /// What became of the send that [`Outbox::begin_send`] began. True if something is left that may be written now.
    pub fn sent(&mut self, outcome: io::Result<usize>, now: Millis, spare: &mut Spare) -> io::Result<bool> {
        let Some(backlog) = &mut self.backlog else { return Ok(false) };
        match outcome {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => backlog.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                backlog.blocked_since.get_or_insert(now);
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !backlog.queue.is_empty() {
            return Ok(true);
        }
        if let Some(backlog) = self.backlog.take() {
            backlog.give_back(spare);
        }
        Ok(false)
    }

    /// It was taken off the list of connections to write without being written.
    pub fn unlist(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.dirty = false;
        }
    }

    /// Drops everything that has not begun to be written, so that a farewell still fits. Returns the bytes
    /// dropped.
    pub fn drop_unbegun(&mut self) -> usize {
        let Some(backlog) = &mut self.backlog else { return 0 };
        let kept = usize::from(backlog.front_begun);
        let dropped = backlog.queue.drain(kept..).map(|bytes| bytes.len()).sum();
        backlog.bytes -= dropped;
        dropped
    }

    /// Takes everything out as one piece, for an answer that has an end.
    pub fn take_all(&mut self, spare: &mut Spare) -> Bytes {
        let Some(mut backlog) = self.backlog.take() else { return Bytes::new() };
        let bytes = match backlog.queue.len() {
            1 => backlog.queue.pop_front().unwrap_or_default(),
            _ => backlog.queue.iter().fold(Vec::with_capacity(backlog.bytes), join).into(),
        };
        backlog.give_back(spare);
        bytes
    }

    /// Puts bytes back in front of everything.
    pub fn put_back(&mut self, bytes: Bytes, spare: &mut Spare) {
        if !bytes.is_empty() {
            let backlog = self.backlog.get_or_insert_with(|| spare.pop().unwrap_or_default());
            backlog.bytes += bytes.len();
            backlog.queue.push_front(bytes);
        }
    }
}

fn join(mut joined: Vec<u8>, bytes: &Bytes) -> Vec<u8> {
    joined.extend_from_slice(bytes);
    joined
}

impl Backlog {
    fn write(&self, transport: &mut dyn Transport) -> io::Result<usize> {
        // Most writes are of one message, and then the slices need not be laid out.
        if let (Some(only), 1) = (self.queue.front(), self.queue.len()) {
            return transport.try_write(&[IoSlice::new(only)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.queue.len().min(SLICES);
        for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(bytes);
        }
        transport.try_write(&slices[..count])
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.front_begun |= count > 0;
                return;
            }
            count -= front.len();
            self.queue.pop_front();
            self.front_begun = false;
        }
    }

    /// Keeps the memory for the next connection that has something to say, unless there is plenty.
    fn give_back(mut self: Box<Self>, spare: &mut Spare) {
        let small = self.queue.capacity() <= SPARE_CAPACITY;
        self.queue.clear();
        let queue = std::mem::take(&mut self.queue);
        *self = Self { queue, ..Self::default() };
        if spare.len() < SPARE_BACKLOGS && small {
            spare.push(self);
        }
    }
}

/// The most unused backlogs that a worker keeps. LIMITS.md, `SPARE_BACKLOGS`.
pub const SPARE_BACKLOGS: usize = 1_024;
/// The largest queue, in messages, that is kept for another connection.
const SPARE_CAPACITY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes in all, then blocks.
    struct Narrow {
        room: usize,
        written: Vec<u8>,
    }

    impl Transport for Narrow {
        fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let before = self.written.len();
            for slice in slices {
                let taken = slice.len().min(self.room);
                self.written.extend_from_slice(&slice[..taken]);
                self.room -= taken;
            }
            match self.written.len() - before {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                count => Ok(count),
            }
        }
        fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
            None
        }
        fn close(&mut self) {}
        fn name(&self) -> &'static str {
            "narrow"
        }
    }

    #[test]
    fn an_empty_outbox_is_one_pointer() {
        assert_eq!(size_of::<Outbox>(), size_of::<usize>());
    }

    #[test]
    fn writes_everything_in_order_however_little_is_taken_at_a_time() {
        let (mut outbox, mut spare) = (Outbox::default(), Vec::new());
        let mut expected = Vec::new();
        for number in 0..500_u32 {
            let message = format!("message {number};");
            expected.extend_from_slice(message.as_bytes());
            outbox.push(message.into(), &mut spare);
        }
        let mut transport = Narrow { room: 0, written: Vec::new() };
        let mut rounds = 0;
        while !outbox.is_empty() {
            transport.room = 7;
            outbox.flush(&mut transport, Millis(0), &mut spare).unwrap();
            rounds += 1;
            assert!(rounds < 10_000);
        }
        assert!(transport.written == expected);
        assert_eq!(outbox.backlog_bytes(), 0);
    }

    #[test]
    fn a_blocked_connection_is_not_listed_again_until_it_is_writable() {
        let (mut outbox, mut spare) = (Outbox::default(), Vec::new());
        assert!(outbox.push(Bytes::from_static(b"one"), &mut spare));
        assert!(!outbox.push(Bytes::from_static(b"two"), &mut spare), "listed already");
        let mut transport = Narrow { room: 1, written: Vec::new() };
        assert_eq!(outbox.flush(&mut transport, Millis(5), &mut spare).unwrap(), Flushed::Blocked);
        assert_eq!(outbox.blocked_since(), Some(Millis(5)));
        assert!(!outbox.push(Bytes::from_static(b"three"), &mut spare));
        assert_eq!(outbox.backlog_bytes(), 10);
    }

    #[test]
    fn a_message_that_was_begun_is_finished_before_the_farewell() {
        let (mut outbox, mut spare) = (Outbox::default(), Vec::new());
        outbox.push(Bytes::from_static(b"begun"), &mut spare);
        outbox.push(Bytes::from_static(b"dropped"), &mut spare);
        let mut transport = Narrow { room: 2, written: Vec::new() };
        outbox.flush(&mut transport, Millis(0), &mut spare).unwrap();
        assert_eq!(outbox.drop_unbegun(), 7);
        outbox.push(Bytes::from_static(b"bye"), &mut spare);
        transport.room = 100;
        outbox.flush(&mut transport, Millis(1), &mut spare).unwrap();
        assert_eq!(transport.written, b"begunbye");
    }

    #[test]
    fn memory_of_a_drained_outbox_serves_the_next() {
        let (mut outbox, mut spare) = (Outbox::default(), Vec::new());
        let mut transport = Narrow { room: 100, written: Vec::new() };
        outbox.push(Bytes::from_static(b"a"), &mut spare);
        outbox.flush(&mut transport, Millis(0), &mut spare).unwrap();
        assert_eq!(spare.len(), 1);
        outbox.push(Bytes::from_static(b"b"), &mut spare);
        assert_eq!(spare.len(), 0);
    }
}
