//! One message to a line: JSON lines over TCP and Unix paths, and the answers of polls and streams.
//!
//! Knows nothing of what a line means. A message with a raw LF in it would be cut in two at the peer, so a
//! dialect for this framing writes none (JSON never needs one).

use bytes::{BufMut, BytesMut};

use crate::{
    PeerError,
    wire::{DeframeLimits, Deframer, Framing, Incoming, MessageKind},
};

/// A message and a LF. Reading also accepts CR LF, and skips empty lines, so that a person at `nc` may press
/// enter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn frame(&self, _kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        out.reserve(message.len() + 1);
        out.put_slice(message);
        out.put_u8(b'\n');
    }

    fn frame_checked(&self, kind: MessageKind, message: &[u8], out: &mut BytesMut) -> Result<(), Box<str>> {
        match message {
            [] => return Err("it is empty, and empty lines are passed over".into()),
            [.., b'\r'] => return Err("it ends in CR, which would belong to the line's end".into()),
            _ if memchr::memchr(b'\n', message).is_some() => {
                return Err("it holds LF, at which a line ends".into());
            }
            _ => self.frame(kind, message, out),
        }
        Ok(())
    }

    fn deframer(&self, limits: DeframeLimits) -> Box<dyn Deframer> {
        Box::new(LineDeframer::new(limits.message_bytes))
    }
}

/// Cuts a stream at its LFs.
#[derive(Debug)]
pub struct LineDeframer {
    limit: usize,
    held: Vec<u8>,
}

impl LineDeframer {
    /// For lines of at most `limit` bytes, the line end not counted.
    pub fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new() }
    }

    /// Passes on one line that has ended; `line` has no LF any more.
    fn emit(&self, line: &[u8], sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.limit {
            return Err(PeerError::MessageTooLong { limit: self.limit });
        }
        if !line.is_empty() {
            sink(Incoming::Message(MessageKind::Text, line));
        }
        Ok(())
    }

    /// Whether the unfinished line of `held` and `rest` is too long whatever follows. One byte over the limit
    /// may still turn out to be the CR of the line end.
    fn is_too_long(&self, rest: &[u8]) -> bool {
        let bytes = self.held.len() + rest.len();
        let ends_in_cr = rest.last().or(self.held.last()) == Some(&b'\r');
        bytes > self.limit + usize::from(ends_in_cr)
    }
}

impl Deframer for LineDeframer {
    fn feed(&mut self, input: &mut [u8], sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError> {
        let mut rest: &[u8] = input;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.held.is_empty() {
                self.emit(line, sink)?;
            } else {
                if self.is_too_long(line) {
                    return Err(PeerError::MessageTooLong { limit: self.limit });
                }
                let mut whole = std::mem::take(&mut self.held);
                whole.extend_from_slice(line);
                self.emit(&whole, sink)?;
            }
            rest = after;
        }
        if self.is_too_long(rest) {
            return Err(PeerError::MessageTooLong { limit: self.limit });
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::testing::{feed_in_pieces, feed_split_everywhere};

    fn lines(limit: usize, input: &[u8]) -> (Vec<Vec<u8>>, Option<PeerError>) {
        feed_split_everywhere(&mut || Box::new(LineDeframer::new(limit)), input)
    }

    #[test]
    fn a_message_that_would_be_read_as_something_else_is_not_framed() {
        let mut out = BytesMut::new();
        for (message, why) in [(&b""[..], "empty"), (b"two\nlines", "LF"), (b"end\r", "CR")] {
            let error = Lines.frame_checked(MessageKind::Text, message, &mut out).unwrap_err();
            assert!(error.contains(why) && out.is_empty(), "{error}");
        }
        Lines.frame_checked(MessageKind::Text, b"a\rline", &mut out).unwrap();
        assert_eq!(lines(10, &out).0, [b"a\rline"]);
    }

    #[test]
    fn frames_a_message_as_a_line() {
        let mut out = BytesMut::new();
        Lines.frame(MessageKind::Text, b"{\"id\":1}", &mut out);
        assert_eq!(&out[..], b"{\"id\":1}\n");
    }

    #[test]
    fn cuts_at_line_feeds_and_skips_empty_lines() {
        let (messages, error) = lines(100, b"{}\n\r\n\n{\"id\":1}\r\nlast without an end");
        assert_eq!(messages, [b"{}".to_vec(), b"{\"id\":1}".to_vec()]);
        assert_eq!(error, None);
    }

    #[test]
    fn a_carriage_return_inside_a_line_stays() {
        assert_eq!(lines(100, b"a\rb\r\r\n").0, [b"a\rb\r".to_vec()]);
    }

    #[test]
    fn a_line_of_the_limit_passes_with_either_line_end() {
        let (messages, error) = lines(4, b"abcd\nefgh\r\n");
        assert_eq!((messages.len(), error), (2, None));
    }

    #[test]
    fn a_line_over_the_limit_ends_the_stream_after_the_lines_before_it() {
        for tail in [&b"abcde"[..], b"abcde\n", b"abcd\r\r\n", b"abcde\r\n"] {
            let (messages, error) = lines(4, &[b"ok\n", tail].concat());
            assert_eq!(messages, [b"ok".to_vec()]);
            assert_eq!(error, Some(PeerError::MessageTooLong { limit: 4 }), "{tail:?}");
        }
    }

    // Row 67.
    #[test]
    fn eight_megabytes_of_line_ends_are_no_message_and_hold_no_memory() {
        let mut deframer = LineDeframer::new(64);
        let mut input = vec![b'\n'; 8 << 20];
        deframer.feed(&mut input, &mut |incoming| panic!("a message out of nothing: {incoming:?}")).unwrap();
        assert_eq!((deframer.held_bytes(), deframer.held.capacity()), (0, 0));
    }

    #[test]
    fn a_line_over_the_limit_is_not_kept() {
        let mut deframer = LineDeframer::new(1_000);
        let error = deframer.feed(&mut vec![b'x'; 1 << 20], &mut |_| ()).unwrap_err();
        assert_eq!(error, PeerError::MessageTooLong { limit: 1_000 });
        assert_eq!(deframer.held_bytes(), 0);
    }

    #[test]
    fn no_buffer_is_held_between_messages() {
        let mut deframer = LineDeframer::new(100);
        feed_in_pieces(&mut deframer, &[b"{\"id", b"\":1}\n"]).0.unwrap();
        assert_eq!(deframer.held.capacity(), 0);
    }
}
