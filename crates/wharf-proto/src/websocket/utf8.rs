//! UTF-8 validation of text that comes in pieces (RFC 6455 section 8.1), without keeping the text.

/// The bytes cannot become valid UTF-8, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not valid UTF-8")]
pub struct InvalidUtf8;

/// Validates a text that comes in pieces, cut anywhere. Remembers at most the three bytes of a character whose
/// end has not come yet.
///
/// Fails at the first byte that no valid text can have in its place, not at the end of the character or piece.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Stream {
    /// The beginning of a character; a fourth byte always completes or refutes it.
    tail: [u8; 4],
    tail_len: u8,
}

impl Utf8Stream {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let rest = self.complete_tail(piece)?;
        let (whole, cut) = rest.split_at(rest.len() - cut_character(rest));
        simdutf8::basic::from_utf8(whole).map_err(|_| InvalidUtf8)?;
        cut.iter().try_for_each(|&byte| self.push(byte))
    }

    /// The text has ended: fails if it ended within a character.
    pub fn finish(self) -> Result<(), InvalidUtf8> {
        if self.tail_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Gives the character that was cut the bytes it lacks. Returns what follows it.
    fn complete_tail<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        let mut rest = piece;
        while self.tail_len > 0 {
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            self.push(byte)?;
        }
        Ok(rest)
    }

    /// Takes a byte of a character that is not whole.
    fn push(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let end = usize::from(self.tail_len);
        self.tail[end] = byte;
        match std::str::from_utf8(&self.tail[..=end]) {
            Ok(_) => self.tail_len = 0,
            // No length of the error: the text ends within a character that is valid so far.
            Err(error) if error.error_len().is_none() => self.tail_len += 1,
            Err(_) => return Err(InvalidUtf8),
        }
        Ok(())
    }
}

/// How many bytes at the end of `text` begin a character that does not end there: at most three. Whether they are
/// right is not looked at, nor whether anything else is.
fn cut_character(text: &[u8]) -> usize {
    for (before, &byte) in text.iter().rev().take(3).enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
        };
        let there = before + 1;
        return if there < length { there } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of one to four bytes at the edges of their ranges.
    const EDGES: &str = "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}";

    fn feed_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), InvalidUtf8> {
        let mut stream = Utf8Stream::default();
        pieces.into_iter().try_for_each(|piece| stream.feed(piece))?;
        stream.finish()
    }

    #[test]
    fn accepts_valid_text_split_at_every_two_places() {
        let text = EDGES.as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(feed_all(pieces), Ok(()), "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn refuses_at_the_first_byte_that_cannot_be_right() {
        // The last byte of each is the one that decides.
        let cases: [&[u8]; 12] = [
            b"\x80",             // a continuation without a beginning
            b"\xc0",             // overlong by its first byte
            b"\xc1",             //
            b"\xe0\x9f",         // overlong, three bytes
            b"\xed\xa0",         // a surrogate
            b"\xf0\x8f",         // overlong, four bytes
            b"\xf4\x90",         // above U+10FFFF
            b"\xf5",             //
            b"\xff",             //
            b"\xc2a",            // a character that does not go on
            b"\xe2\x82a",        //
            b"\xf0\x90\x80\xc0", //
        ];
        for case in cases {
            let (last, before) = case.split_last().unwrap(); // Each case has a byte.
            let mut stream = Utf8Stream::default();
            for byte in before {
                assert_eq!(stream.feed(&[*byte]), Ok(()), "{case:x?}");
            }
            assert_eq!(stream.feed(&[*last]), Err(InvalidUtf8), "{case:x?}");
            assert_eq!(Utf8Stream::default().feed(case), Err(InvalidUtf8), "{case:x?} whole");
        }
    }

    #[test]
    fn fails_exactly_when_no_text_can_go_on_so_wherever_it_is_cut() {
        // The edges of the classes of bytes.
        const BYTES: [u8; 18] = [
            0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4,
            0xf5, 0xff,
        ];
        let can_go_on =
            |bytes: &[u8]| std::str::from_utf8(bytes).map_or_else(|e| e.error_len().is_none(), |_| true);
        for number in 0..BYTES.len().pow(4) {
            let text: [u8; 4] =
                std::array::from_fn(|at| BYTES[number / BYTES.len().pow(at as u32) % BYTES.len()]);
            for cut in 0..text.len() {
                let mut stream = Utf8Stream::default();
                let first = stream.feed(&text[..cut]).is_ok();
                assert_eq!(first, can_go_on(&text[..cut]), "{text:x?} to {cut}");
                if first {
                    let second = stream.feed(&text[cut..]).is_ok();
                    assert_eq!(second, can_go_on(&text), "{text:x?} cut at {cut}");
                    let whole = second && stream.finish().is_ok();
                    assert_eq!(whole, std::str::from_utf8(&text).is_ok(), "{text:x?} cut at {cut}, its end");
                }
            }
        }
    }

    #[test]
    fn refuses_text_that_ends_within_a_character() {
        assert_eq!(feed_all([&b"abc\xf0\x9f\x98"[..]]), Err(InvalidUtf8));
        assert_eq!(feed_all([&b"abc\xf0"[..], b"\x9f", b"\x98"]), Err(InvalidUtf8));
    }
}
