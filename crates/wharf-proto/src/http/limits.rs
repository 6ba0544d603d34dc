//! The bounds of the guard, and the search for a line's end within them.

use super::Refusal;

/// What a client may send on one HTTP/1.x connection. The guard itself holds no bytes: these bound the caller's
/// buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// The most bytes of a head, from the method to the blank line behind the fields. Over it: 431.
    pub head_bytes: usize,
    /// The most header fields of a request. Over it: 431.
    pub header_fields: usize,
    /// The most bytes of a request target. Over it: 414.
    pub target_bytes: usize,
    /// The most bytes of a body, without its chunk framing. Over it: 413.
    pub body_bytes: u64,
    /// The most bytes of a chunk-size line. Over it: 400.
    pub chunk_line_bytes: usize,
    /// The most bytes of a trailer section, without its blank line. Over it: 431.
    pub trailer_bytes: usize,
    /// The most fields in a trailer section. Over it: 431.
    pub trailer_fields: usize,
    /// The most blank lines that are skipped before a request. Over it: 400.
    pub leading_blank_lines: usize,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            header_fields: 64,
            target_bytes: 8 * 1024,
            body_bytes: 16 * 1024 * 1024,
            chunk_line_bytes: 256,
            trailer_bytes: 4 * 1024,
            trailer_fields: 16,
            leading_blank_lines: 4,
        }
    }
}

/// The most bytes of a method; the longest that is registered (UPDATEREDIRECTREF) has 17. Over it: 501.
pub(super) const METHOD_BYTES: usize = 32;

/// What searching for a line's end came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A whole line, without its CR LF.
    Whole(&'a [u8]),
    /// Its end has not come.
    Partial,
    /// It does not end before the limit.
    TooLong,
}

/// Searches `buffer[*scanned..limit]` for the end of the line that starts at `start`, and moves `scanned` past
/// all it has seen, so that no byte is searched twice however the bytes drip in.
pub(super) fn line<'a>(
    buffer: &'a [u8],
    start: usize,
    scanned: &mut usize,
    limit: usize,
) -> Result<Line<'a>, Refusal> {
    let seen = &buffer[..buffer.len().min(limit)];
    let Some(found) = memchr::memchr(b'\n', seen.get(*scanned..).unwrap_or_default()) else {
        *scanned = seen.len().max(*scanned);
        return Ok(if buffer.len() >= limit { Line::TooLong } else { Line::Partial });
    };
    let line = &seen[start..*scanned + found];
    *scanned += found + 1;
    // RFC 9112 section 2.2: a recipient MAY take a lone LF as a line's end; this one does not, for others don't.
    line.strip_suffix(b"\r").map(Line::Whole).ok_or(Refusal::BareLineFeed)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row 12.
    #[test]
    fn a_dripped_line_is_searched_once() {
        let bytes = [b'a'; 1000];
        let mut scanned = 0;
        for end in 1..=bytes.len() {
            assert_eq!(line(&bytes[..end], 0, &mut scanned, 2000), Ok(Line::Partial));
            assert_eq!(scanned, end, "the next search starts where this one ended");
        }
    }

    #[test]
    fn a_line_may_end_with_the_limits_last_byte_and_not_behind_it() {
        assert_eq!(line(b"abc\r\n", 0, &mut 0, 5), Ok(Line::Whole(b"abc")));
        assert_eq!(line(b"abc\r\n", 0, &mut 0, 4), Ok(Line::TooLong));
        assert_eq!(line(b"abc\r", 0, &mut 0, 4), Ok(Line::TooLong));
        assert_eq!(line(b"abc\n", 0, &mut 0, 9), Err(Refusal::BareLineFeed));
    }
}
