//! Finds where a frame ends in bytes that begin where a frame should. Looks, and changes nothing.

use std::ops::Range;

use memchr::memmem;

use super::{Cut, Escape, Plan, number};

/// What stands at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It cannot be told before there are so many bytes; 0 where nobody knows how many.
    Need(usize),
    /// A frame of so many bytes, and where in it what stands between start and end.
    Frame(usize, Range<usize>),
    /// So many bytes that say nothing.
    Nothing(usize),
    /// So many bytes that are no frame.
    Junk(usize, Why),
    /// A message that is too long.
    TooLong,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// They do not begin with the start bytes.
    Start,
    /// The end bytes do not stand where the frame ends.
    End,
    /// The length is less than what it counts at least.
    Length,
    /// Another frame begins before this one ends.
    Again,
    /// The message is too long.
    TooLong,
    /// An escape that nobody writes.
    Escape,
}

impl Plan {
    /// `max` is the longest message. `scan` bytes were looked at before and hold no end. `synced` is false where a
    /// mark must come first.
    pub(super) fn find(&self, bytes: &[u8], max: usize, scan: &mut usize, synced: bool) -> Found {
        if !synced {
            return self.find_mark(bytes);
        }
        if !self.is_between_marks() && !bytes.starts_with(&self.start) {
            return match self.start.starts_with(bytes) {
                true => Found::Need(self.start.len()),
                false => Found::Junk(self.next_start(bytes), Why::Start),
            };
        }
        match &self.cut {
            Cut::Marks(None) => self.find_end(bytes, max, scan),
            Cut::Marks(Some(escape)) => self.find_unescaped_end(bytes, max, scan, escape),
            Cut::Length { head, width, endian, extra } => {
                let field = self.start.len() + head..self.start.len() + head + width;
                let Some(value) = bytes.get(field.clone()) else { return Found::Need(field.end) };
                let behind = i128::from(number(value, *endian)) - i128::from(*extra);
                match usize::try_from(behind) {
                    Err(_) if behind < 0 => Found::Junk(self.next_start(bytes), Why::Length),
                    Ok(behind) if behind <= max.saturating_sub(*head) => {
                        self.sized(bytes, field.end + behind + self.sum_bytes())
                    }
                    _ => Found::TooLong,
                }
            }
            Cut::Fixed(count) => self.sized(bytes, self.start.len() + count + self.sum_bytes()),
            // Taken whole by the reader, which asks nobody where it ends.
            Cut::Datagram => Found::Frame(bytes.len(), self.start.len()..bytes.len()),
        }
    }

    /// A frame whose end bytes stand at `end`.
    fn sized(&self, bytes: &[u8], end: usize) -> Found {
        let total = end + self.end.len();
        match bytes.get(end..total) {
            None => Found::Need(total),
            Some(found) if *found == *self.end => Found::Frame(total, self.start.len()..end),
            Some(_) => Found::Junk(self.next_start(bytes), Why::End),
        }
    }

    /// Where content begins.
    fn content_at(&self) -> usize {
        if self.is_between_marks() { 0 } else { self.start.len() }
    }

    /// A frame whose end bytes stand at `end`, if its checksum is there too.
    fn marked(&self, bytes: &[u8], end: usize, longest: usize) -> Found {
        let from = self.content_at();
        let behind = if self.sum_is_behind_end() { self.sum_bytes() } else { 0 };
        let total = end + self.end.len() + behind;
        if end - from > longest {
            Found::TooLong
        } else if end == from && self.is_between_marks() {
            Found::Nothing(total)
        } else if bytes.len() < total {
            Found::Need(total)
        } else {
            Found::Frame(total, from..end)
        }
    }

    fn sum_within(&self) -> usize {
        if self.sum_is_behind_end() { 0 } else { self.sum_bytes() }
    }

    fn find_end(&self, bytes: &[u8], max: usize, scan: &mut usize) -> Found {
        let longest = max + self.sum_within();
        let from = self.content_at();
        let at = from.max(*scan);
        // An end behind the longest frame is none of this one: to look so far for each place where a frame may begin
        // would cost the square of what is read.
        let near = &bytes[..bytes.len().min(from + longest + self.end.len())];
        if let Some(end) = near.get(at..).and_then(|rest| memmem::find(rest, &self.end)) {
            return self.marked(bytes, at + end, longest);
        }
        // The last bytes may be the first of an end.
        *scan = at.max(near.len().saturating_sub(self.end.len() - 1));
        if *scan - from > longest { Found::TooLong } else { Found::Need(0) }
    }

    fn find_unescaped_end(&self, bytes: &[u8], max: usize, scan: &mut usize, escape: &Escape) -> Found {
        let longest = 2 * (max + self.sum_within());
        let from = self.content_at();
        let first = self.end[0];
        let again = if self.is_between_marks() { first } else { self.start[0] };
        let mut at = from.max(*scan);
        // As above: nothing that stands further away can end this frame.
        let farthest = from + longest + self.end.len().max(self.start.len()) + 2;
        let near = &bytes[..bytes.len().min(farthest)];
        while let Some(found) =
            near.get(at..).and_then(|rest| memchr::memchr3(escape.byte, first, again, rest))
        {
            at += found;
            let rest = &near[at..];
            if rest[0] == escape.byte {
                if escape.hides() && rest.len() < 2 {
                    break;
                }
                at += if escape.hides() { 2 } else { 1 };
            } else if rest.starts_with(&self.end) {
                return self.marked(bytes, at, longest);
            } else if !self.is_between_marks() && rest.starts_with(&self.start) {
                return if at - from > longest { Found::TooLong } else { Found::Junk(at, Why::Again) };
            } else if self.end.starts_with(rest) || (!self.is_between_marks() && self.start.starts_with(rest))
            {
                break;
            } else {
                at += 1;
            }
        }
        // Either nothing more is there, or what is there may be the first byte of something.
        let is_open = near.get(at..).is_some_and(|rest| {
            rest.first() == Some(&escape.byte) || self.end.starts_with(rest) || self.start.starts_with(rest)
        }) && at < near.len();
        *scan = if is_open { at } else { at.max(near.len()) };
        if *scan - from > longest { Found::TooLong } else { Found::Need(0) }
    }

    /// Looks for the first mark of a stream, or the next one behind something unreadable.
    fn find_mark(&self, bytes: &[u8]) -> Found {
        match memmem::find(bytes, &self.end) {
            Some(0) => Found::Nothing(self.end.len()),
            Some(at) => Found::Junk(at, Why::Start),
            None => match bytes.len() - partial(bytes, &self.end) {
                0 => Found::Need(self.end.len()),
                junk => Found::Junk(junk, Why::Start),
            },
        }
    }

    /// How many bytes stand before the next place where a frame may begin, the first byte left out.
    pub(super) fn next_start(&self, bytes: &[u8]) -> usize {
        let rest = &bytes[1.min(bytes.len())..];
        let before = memmem::find(rest, &self.start).unwrap_or(rest.len() - partial(rest, &self.start));
        before + bytes.len() - rest.len()
    }
}

/// How many bytes at the end of `bytes` are the first of `mark`, if not all of it is there.
fn partial(bytes: &[u8], mark: &[u8]) -> usize {
    let most = mark.len().saturating_sub(1).min(bytes.len());
    (1..=most).rev().find(|count| mark.starts_with(&bytes[bytes.len() - count..])).unwrap_or(0)
}
