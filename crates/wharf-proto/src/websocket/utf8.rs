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
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            // No length of the error: the text ends within a character that is valid so far.
            Err(error) if error.error_len().is_none() => {
                let tail = &rest[error.valid_up_to()..];
                self.tail[..tail.len()].copy_from_slice(tail);
                self.tail_len = tail.len() as u8; // At most three bytes, or the character were whole.
                Ok(())
            }
            Err(_) => Err(InvalidUtf8),
        }
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
            let end = usize::from(self.tail_len);
            self.tail[end] = byte;
            match std::str::from_utf8(&self.tail[..=end]) {
                Ok(_) => self.tail_len = 0,
                Err(error) if error.error_len().is_none() => self.tail_len += 1,
                Err(_) => return Err(InvalidUtf8),
            }
        }
        Ok(rest)
    }
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
    fn refuses_text_that_ends_within_a_character() {
        assert_eq!(feed_all([&b"abc\xf0\x9f\x98"[..]]), Err(InvalidUtf8));
        assert_eq!(feed_all([&b"abc\xf0"[..], b"\x9f", b"\x98"]), Err(InvalidUtf8));
    }
}
