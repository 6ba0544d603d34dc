//! Two ends of a byte stream with the troubles that a network has, repeatable by its seed: short reads, short
//! writes, a full buffer, an end that closes, and a cut with or without notice.
//!
//! What was written and not yet read stands in one bounded buffer for each direction, as in the two kernels
//! between two sockets. It does not know what the bytes mean, and nothing takes time: who wants a delay does not
//! read.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How a link behaves while it is whole.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// How many bytes can be under way in each direction; at least 1.
    pub capacity: usize,
    /// Reads and writes take a random part of what they could. After a short read there may be more to read at
    /// once: whoever takes a short read for "drained" asks [`End::readable`] again, as a kernel would tell it of
    /// what arrived after.
    pub splits: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { capacity: 4_096, splits: true }
    }
}

/// The link as who troubles it sees it. Clones are the same link.
#[derive(Clone)]
pub struct Link(Arc<Mutex<State>>);

/// One end. Dropped, it is closed for both directions, as a socket is when its process ends.
pub struct End {
    link: Link,
    /// The index of the pipe that this end writes; it reads the other.
    writes: usize,
}

struct State {
    rng: StdRng,
    options: LinkOptions,
    fate: Fate,
    pipes: [Pipe; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    /// Nothing passes any more, and neither end is told.
    Cut,
    Reset,
}

#[derive(Default)]
struct Pipe {
    /// Written and not yet read.
    bytes: VecDeque<u8>,
    /// Written since the cut: it fills the writer's buffer and will never be read.
    swallowed: usize,
    /// The writer writes no more: a FIN.
    finished: bool,
    /// The reader is gone.
    abandoned: bool,
}

impl Link {
    /// A whole link and its two ends. The same seed and the same calls give the same outcomes.
    pub fn pair(seed: u64, options: LinkOptions) -> (End, End, Self) {
        assert!(options.capacity > 0, "a link without capacity passes nothing");
        let rng = StdRng::seed_from_u64(seed);
        let state = State { rng, options, fate: Fate::Whole, pipes: Default::default() };
        let link = Self(Arc::new(Mutex::new(state)));
        (End { link: link.clone(), writes: 0 }, End { link: link.clone(), writes: 1 }, link)
    }

    /// Cuts the link without notice, as a peer that loses power or a NAT that forgets. A random part of what is
    /// under way has arrived and can be read; then reads find nothing, for ever, and writes fill the buffer.
    pub fn cut(&self) {
        self.end(Fate::Cut);
    }

    /// Cuts the link with notice, as by an RST. A random part of what is under way can be read; then both ends
    /// get `ConnectionReset`.
    pub fn reset(&self) {
        self.end(Fate::Reset);
    }

    /// Whether the link was neither cut nor reset.
    pub fn is_whole(&self) -> bool {
        self.state().fate == Fate::Whole
    }

    fn end(&self, fate: Fate) {
        let state = &mut *self.state();
        if state.fate == Fate::Whole {
            for pipe in &mut state.pipes {
                let arrived = state.rng.random_range(0..=pipe.bytes.len());
                pipe.swallowed = pipe.bytes.len() - arrived;
                pipe.bytes.truncate(arrived);
            }
        }
        // A link that is cut can still be reset (the peer came back and knows nothing), and not the reverse.
        if state.fate != Fate::Reset {
            state.fate = fate;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no end of this link panicked")
    }
}

impl End {
    /// Reads what has arrived. `Ok(0)` is the end of what the peer wrote (or an empty `into`); `WouldBlock`
    /// where nothing has arrived; `ConnectionReset` after a reset.
    pub fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let state = &mut *self.link.state();
        let pipe = &mut state.pipes[1 - self.writes];
        let most = pipe.bytes.len().min(into.len());
        if most > 0 {
            let count = if state.options.splits { state.rng.random_range(1..=most) } else { most };
            for (place, byte) in into.iter_mut().zip(pipe.bytes.drain(..count)) {
                *place = byte;
            }
            return Ok(count);
        }
        match state.fate {
            _ if into.is_empty() => Ok(0),
            Fate::Reset => Err(ErrorKind::ConnectionReset.into()),
            Fate::Whole if pipe.finished => Ok(0),
            Fate::Whole | Fate::Cut => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes as much as the link takes at once. `WouldBlock` where the buffer is full; `BrokenPipe` where the
    /// peer is gone or this end is finished; `ConnectionReset` after a reset.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let state = &mut *self.link.state();
        let pipe = &mut state.pipes[self.writes];
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        match state.fate {
            Fate::Reset => return Err(ErrorKind::ConnectionReset.into()),
            _ if pipe.finished => return Err(ErrorKind::BrokenPipe.into()),
            Fate::Whole if pipe.abandoned => return Err(ErrorKind::BrokenPipe.into()),
            Fate::Whole | Fate::Cut => {}
        }
        let most = offered.min(pipe.room(state.options.capacity));
        if most == 0 {
            return if offered == 0 { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = if state.options.splits { state.rng.random_range(1..=most) } else { most };
        if state.fate == Fate::Cut {
            pipe.swallowed += count;
        } else {
            pipe.bytes.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        }
        Ok(count)
    }

    /// Whether [`try_read`](Self::try_read) would answer otherwise than `WouldBlock`.
    pub fn readable(&self) -> bool {
        let state = self.link.state();
        let pipe = &state.pipes[1 - self.writes];
        !pipe.bytes.is_empty()
            || match state.fate {
                Fate::Whole => pipe.finished,
                Fate::Cut => false,
                Fate::Reset => true,
            }
    }

    /// Whether [`try_write`](Self::try_write) of something would answer otherwise than `WouldBlock`.
    pub fn writable(&self) -> bool {
        let state = self.link.state();
        let pipe = &state.pipes[self.writes];
        let broken = pipe.finished || pipe.abandoned && state.fate == Fate::Whole;
        state.fate == Fate::Reset || broken || pipe.room(state.options.capacity) > 0
    }

    /// Writes no more, and still reads: the peer reads what is under way and then the end.
    pub fn finish(&mut self) {
        self.link.state().pipes[self.writes].finished = true;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // A test that has failed already may have poisoned the link; then nobody looks at it any more.
        if let Ok(mut state) = self.link.0.lock() {
            state.pipes[self.writes].finished = true;
            state.pipes[1 - self.writes].abandoned = true;
        }
    }
}

impl Pipe {
    fn room(&self, capacity: usize) -> usize {
        capacity.saturating_sub(self.bytes.len() + self.swallowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE_READS: LinkOptions = LinkOptions { capacity: 16, splits: false };

    fn write(end: &mut End, bytes: &[u8]) -> io::Result<usize> {
        end.try_write(&[IoSlice::new(bytes)])
    }

    fn read(end: &mut End) -> io::Result<Vec<u8>> {
        let mut into = [0; 64];
        end.try_read(&mut into).map(|count| into[..count].to_vec())
    }

    fn drain(end: &mut End) -> (Vec<u8>, io::Result<()>) {
        let mut all = Vec::new();
        loop {
            match read(end) {
                Ok(bytes) if bytes.is_empty() => return (all, Ok(())),
                Ok(bytes) => all.extend(bytes),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    /// Passes 10,000 bytes and answers the sizes of all reads and writes.
    fn passage(seed: u64) -> Vec<usize> {
        let (mut left, mut right, _link) = Link::pair(seed, LinkOptions { capacity: 100, splits: true });
        let sent: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
        let (mut written, mut received, mut sizes) = (0, Vec::new(), Vec::new());
        while received.len() < sent.len() {
            if left.writable() && written < sent.len() {
                let (first, second) = sent[written..].split_at((sent.len() - written) / 2);
                let count = left.try_write(&[IoSlice::new(first), IoSlice::new(second)]).unwrap();
                written += count;
                sizes.push(count);
            }
            while right.readable() {
                let bytes = read(&mut right).unwrap();
                sizes.push(bytes.len());
                received.extend(bytes);
            }
            assert_eq!(read(&mut right).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(received, sent);
        sizes
    }

    #[test]
    fn every_byte_passes_in_order_whatever_the_splits() {
        for seed in 0..20 {
            passage(seed);
        }
    }

    #[test]
    fn the_same_seed_splits_alike_and_another_otherwise() {
        assert_eq!(passage(1), passage(1));
        assert_ne!(passage(1), passage(2));
    }

    #[test]
    fn a_full_link_takes_no_more_until_it_is_read() {
        let (mut left, mut right, _link) = Link::pair(0, WHOLE_READS);
        assert_eq!(write(&mut left, &[1; 20]).unwrap(), 16);
        assert!(!left.writable());
        assert_eq!(write(&mut left, &[1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(read(&mut right).unwrap().len(), 16);
        assert!(left.writable() && !right.readable());
    }

    #[test]
    fn a_finished_end_still_reads_and_its_peer_reads_to_the_end() {
        let (mut left, mut right, _link) = Link::pair(0, WHOLE_READS);
        write(&mut left, b"last").unwrap();
        left.finish();
        assert_eq!(write(&mut left, b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (bytes, end) = drain(&mut right);
        assert_eq!((&bytes[..], end.is_ok(), right.readable()), (&b"last"[..], true, true));
        write(&mut right, b"answer").unwrap();
        assert_eq!(read(&mut left).unwrap(), b"answer");
    }

    #[test]
    fn a_dropped_end_ends_reading_and_refuses_writing() {
        let (mut left, mut right, _link) = Link::pair(0, WHOLE_READS);
        write(&mut left, b"last").unwrap();
        drop(left);
        assert_eq!(write(&mut right, b"too late").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (bytes, end) = drain(&mut right);
        assert_eq!((&bytes[..], end.is_ok()), (&b"last"[..], true));
    }

    #[test]
    fn a_cut_gives_no_notice_to_either_end() {
        for seed in 0..20 {
            let (mut left, mut right, link) = Link::pair(seed, WHOLE_READS);
            write(&mut left, b"under way").unwrap();
            link.cut();
            let (bytes, end) = drain(&mut right);
            assert!(b"under way".starts_with(&bytes), "{bytes:?}");
            assert_eq!(end.unwrap_err().kind(), ErrorKind::WouldBlock);
            while left.writable() {
                assert!(write(&mut left, b"into the void").unwrap() > 0);
            }
            assert_eq!(write(&mut left, b"!").unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(left);
            assert!(!right.readable() && right.writable() && !link.is_whole());
        }
    }

    #[test]
    fn a_cut_loses_a_random_part_of_what_is_under_way() {
        let arrived: std::collections::HashSet<usize> = (0..100)
            .map(|seed| {
                let (mut left, mut right, link) = Link::pair(seed, WHOLE_READS);
                write(&mut left, b"0123").unwrap();
                link.cut();
                drain(&mut right).0.len()
            })
            .collect();
        assert_eq!(arrived.len(), 5, "0 to 4 bytes arrive");
    }

    #[test]
    fn a_reset_is_told_to_both_ends_after_what_has_arrived() {
        let (mut left, mut right, link) = Link::pair(3, WHOLE_READS);
        write(&mut left, b"under way").unwrap();
        link.reset();
        let (bytes, end) = drain(&mut right);
        assert!(b"under way".starts_with(&bytes));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(write(&mut left, b"!").unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(left.readable() && left.writable() && right.readable() && right.writable());
    }

    #[test]
    fn a_link_that_was_cut_can_be_reset_and_stays_so() {
        let (mut left, _right, link) = Link::pair(0, WHOLE_READS);
        link.cut();
        link.reset();
        link.cut();
        assert_eq!(read(&mut left).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
