//! What waits to be sent. Knows where each message ends, so that a beat can go out between two of them, and a message
//! that was cut short can go out again whole.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

/// What each waiting message counts beside its bytes, so that empty ones have a bound too.
pub const MESSAGE_COST: usize = 64;

/// How many answers to the peer's beats and pings may wait; the next are not given. LIMITS.md, `answers_waiting`.
pub const ANSWERS_WAITING: usize = 16;

/// What goes out, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    waiting: VecDeque<Piece>,
    /// Bytes of the first piece that were handed over.
    begun: usize,
    /// The messages' bytes, and [`MESSAGE_COST`] for each.
    cost: usize,
    /// How many pieces of each of the other kinds wait.
    beats: usize,
    answers: usize,
    /// Something was handed over that the transport may still hold.
    unflushed: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What the user of the socket wrote.
    Message,
    Greeting,
    Beat,
    Answer,
}

impl Outgoing {
    /// Whether another message may wait; one that is longer than the bound may wait alone.
    pub fn has_room(&self, queue_bytes: usize) -> bool {
        self.cost < queue_bytes
    }

    /// A message waits behind all others.
    pub fn push(&mut self, bytes: Bytes) {
        self.cost += bytes.len() + MESSAGE_COST;
        self.waiting.push_back(Piece { bytes, kind: Kind::Message });
    }

    /// What is said first on a connection of which nothing was said yet.
    pub fn greet(&mut self, greeting: impl DoubleEndedIterator<Item = Bytes>) {
        for bytes in greeting.rev() {
            self.waiting.push_front(Piece { bytes, kind: Kind::Greeting });
        }
    }

    /// A beat goes out before the messages, unless one waits already: a peer that takes nothing needs no second.
    pub fn beat(&mut self, bytes: Bytes) {
        if self.beats == 0 {
            self.beats = 1;
            self.advance(Piece { bytes, kind: Kind::Beat });
        }
    }

    /// An answer to the peer goes out before the messages. False where too many wait.
    pub fn answer(&mut self, bytes: Bytes) -> bool {
        let has_room = self.answers < ANSWERS_WAITING;
        if has_room {
            self.answers += 1;
            self.advance(Piece { bytes, kind: Kind::Answer });
        }
        has_room
    }

    /// Puts a piece behind the one that was begun and others of its kind, and before all messages.
    fn advance(&mut self, piece: Piece) {
        let begun = usize::from(self.begun > 0);
        let ahead = self.waiting.iter().skip(begun).take_while(|piece| piece.kind != Kind::Message);
        let at = (begun + ahead.count()).min(self.waiting.len());
        self.waiting.insert(at, piece);
    }

    /// Everything was handed over and the transport holds nothing.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && !self.unflushed
    }

    /// Nothing waits to be handed over.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many messages wait.
    pub fn messages(&self) -> usize {
        self.waiting.iter().filter(|piece| piece.kind == Kind::Message).count()
    }

    /// Whether the transport is to be asked to hand on what it holds.
    pub fn wants_flush(&self) -> bool {
        self.unflushed
    }

    /// The transport holds nothing.
    pub fn flushed(&mut self) {
        self.unflushed = false;
    }

    /// What is to be written next, in order; how many slices that is.
    pub fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, piece) in into.iter_mut().zip(&self.waiting) {
            let skip = if count == 0 { self.begun } else { 0 };
            *slot = IoSlice::new(&piece.bytes[skip..]);
            count += 1;
        }
        count
    }

    /// The first piece, for transports that take messages whole.
    pub fn first(&self) -> Option<&Bytes> {
        self.waiting.front().map(|piece| &piece.bytes)
    }

    /// So many bytes were written; how many messages came to their end by that.
    pub fn written(&mut self, count: usize) -> u64 {
        self.unflushed = true;
        self.begun += count;
        let mut messages = 0;
        while let Some(first) = self.waiting.front()
            && self.begun >= first.bytes.len()
        {
            self.begun -= first.bytes.len();
            messages += u64::from(first.kind == Kind::Message);
            self.pop();
        }
        messages
    }

    /// The first piece has gone whole; how many messages that were.
    pub fn sent(&mut self) -> u64 {
        let messages = self.waiting.front().is_some_and(|first| first.kind == Kind::Message);
        self.pop();
        messages.into()
    }

    fn pop(&mut self) {
        if let Some(piece) = self.waiting.pop_front() {
            self.forget(&piece);
        }
    }

    fn forget(&mut self, piece: &Piece) {
        match piece.kind {
            Kind::Message => self.cost -= piece.bytes.len() + MESSAGE_COST,
            Kind::Beat => self.beats -= 1,
            Kind::Answer => self.answers -= 1,
            Kind::Greeting => {}
        }
    }

    /// The connection is gone. What was for that peer alone goes with it, and so do the messages unless they are kept;
    /// how many those were. The one that was begun is whole again.
    pub fn lose(&mut self, keep: bool) -> usize {
        (self.begun, self.unflushed) = (0, false);
        let mut dropped = 0;
        let waiting = std::mem::take(&mut self.waiting);
        for piece in waiting {
            if keep && piece.kind == Kind::Message {
                self.waiting.push_back(piece);
            } else {
                dropped += usize::from(piece.kind == Kind::Message);
                self.forget(&piece);
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything, `count` bytes a write.
    fn drain(outgoing: &mut Outgoing, count: usize) -> String {
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = outgoing.slices(&mut slices);
            let bytes: Vec<u8> =
                slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(count).collect();
            outgoing.written(bytes.len());
            all.extend(bytes);
        }
        String::from_utf8(all).unwrap()
    }

    fn of(messages: &[&'static str]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        messages.iter().for_each(|message| outgoing.push(Bytes::from_static(message.as_bytes())));
        outgoing
    }

    #[test]
    fn whatever_the_kernel_takes_at_once_the_order_is_kept() {
        for count in 1..12 {
            assert_eq!(drain(&mut of(&["one ", "", "two ", "three ", "four"]), count), "one two three four");
        }
    }

    #[test]
    fn beats_and_answers_go_before_messages_but_never_into_one() {
        let mut outgoing = of(&["[message]", "[second]"]);
        outgoing.written(3);
        outgoing.beat(Bytes::from_static(b"beat "));
        assert!(outgoing.answer(Bytes::from_static(b"answer ")));
        outgoing.beat(Bytes::from_static(b"not while one waits"));
        assert_eq!(drain(&mut outgoing, 5), "ssage]beat answer [second]");
        outgoing.beat(Bytes::from_static(b"beat"));
        assert_eq!(drain(&mut outgoing, 5), "beat");
    }

    #[test]
    fn answers_have_a_bound() {
        let mut outgoing = of(&["message"]);
        for _ in 0..ANSWERS_WAITING {
            assert!(outgoing.answer(Bytes::from_static(b"a")));
        }
        assert!(!outgoing.answer(Bytes::from_static(b"a")));
        outgoing.written(1);
        assert!(outgoing.answer(Bytes::from_static(b"a")));
    }

    #[test]
    fn a_message_cut_short_is_whole_again_and_what_was_for_the_old_peer_is_gone() {
        let mut outgoing = of(&["[message]", "[second]"]);
        outgoing.written(3);
        outgoing.beat(Bytes::from_static(b"beat"));
        assert_eq!(outgoing.lose(true), 0);
        outgoing.greet([Bytes::from_static(b"one "), Bytes::from_static(b"two ")].into_iter());
        assert_eq!(drain(&mut outgoing, 4), "one two [message][second]");
        let mut refused = of(&["a", "b"]);
        refused.written(1);
        refused.push(Bytes::from_static(b"c"));
        assert_eq!((refused.lose(false), refused.messages(), refused.has_room(1)), (2, 0, true));
    }

    #[test]
    fn empty_messages_fill_the_queue_too() {
        let mut outgoing = Outgoing::default();
        let pushed = std::iter::repeat_with(|| outgoing.push(Bytes::new())).take(1_000).count();
        assert_eq!(
            (pushed, outgoing.has_room(1_000 * MESSAGE_COST), outgoing.has_room(1_000 * MESSAGE_COST + 1)),
            (1_000, false, true)
        );
    }
}
