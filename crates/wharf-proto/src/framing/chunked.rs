//! Another framing inside HTTP/1.1 chunked transfer coding, for responses that are held open outside of an
//! HTTP library. Response heads, and trailers, are not its business.

use bytes::{BufMut, BytesMut};

use super::plain::Discard;
use crate::{
    Disconnect,
    wire::{DeframeLimits, Deframer, Framing, MessageKind},
};

/// Puts what `inner` writes for one message into one chunk (RFC 9112 section 7.1). What the client sends after
/// its request is discarded.
#[derive(Debug, Clone, Copy)]
pub struct Chunked<F> {
    name: &'static str,
    inner: F,
}

/// Room for the longest chunk size (16 hexadecimal digits of a u64) and its CR LF.
const SIZE_LINE_BYTES: usize = 18;

impl<F: Framing> Chunked<F> {
    /// Wraps `inner`; `name` is the pair's name in logs, metrics and configuration.
    pub const fn new(name: &'static str, inner: F) -> Self {
        Self { name, inner }
    }
}

/// Appends what `write` appends, as one chunk. Nothing written is no chunk: a chunk of size 0 would end the body.
pub fn chunk(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(0, SIZE_LINE_BYTES);
    write(out);
    let body = start + SIZE_LINE_BYTES..out.len();
    if body.is_empty() {
        out.truncate(start);
        return;
    }
    // RFC 9112 section 7.1: chunk-size is 1*HEXDIG; written without leading zeros, which strict parsers refuse.
    let size = body.len();
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4) as usize;
    for place in 0..digits {
        let digit = (size >> (4 * (digits - 1 - place))) & 0xf;
        out[start + place] = b"0123456789abcdef"[digit];
    }
    out[start + digits..start + digits + 2].copy_from_slice(b"\r\n");
    out.copy_within(body, start + digits + 2);
    out.truncate(start + digits + 2 + size);
    out.put_slice(b"\r\n");
}

impl<F: Framing> Framing for Chunked<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn frame(&self, kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        chunk(out, |out| self.inner.frame(kind, message, out));
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn deframer(&self, _limits: DeframeLimits) -> Box<dyn Deframer> {
        Box::new(Discard)
    }

    fn carries_disconnect(&self) -> bool {
        self.inner.carries_disconnect()
    }

    fn end(&self, disconnect: &Disconnect, out: &mut BytesMut) {
        chunk(out, |out| self.inner.end(disconnect, out));
        // RFC 9112 section 7.1: last-chunk, an empty trailer section, and the end.
        out.put_slice(b"0\r\n\r\n");
    }

    fn ping(&self, out: &mut BytesMut) {
        chunk(out, |out| self.inner.ping(out));
    }

    fn pong(&self, payload: &[u8], out: &mut BytesMut) {
        chunk(out, |out| self.inner.pong(payload, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{Lines, Plain, Sse};

    fn framed(framing: &dyn Framing, message: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::from(&b"head"[..]);
        framing.frame(MessageKind::Text, message, &mut out);
        out[4..].to_vec()
    }

    /// Reads chunks as RFC 9112 section 7.1 says, and gives the bodies.
    fn read_chunks(mut stream: &[u8]) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        loop {
            let end = stream.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&stream[..end]).unwrap(), 16).unwrap();
            let body = &stream[end + 2..end + 2 + size];
            assert_eq!(&stream[end + 2 + size..end + 4 + size], b"\r\n");
            stream = &stream[end + 4 + size..];
            if size == 0 {
                assert!(stream.is_empty(), "bytes after the last chunk");
                return bodies;
            }
            bodies.push(body.to_vec());
        }
    }

    #[test]
    fn a_message_is_one_chunk_in_its_inner_framing() {
        assert_eq!(framed(&Chunked::new("c", Lines), b"{\"id\":1}"), b"9\r\n{\"id\":1}\n\r\n");
        assert_eq!(framed(&Chunked::new("c", Sse), b"{}"), b"a\r\ndata: {}\n\n\r\n");
    }

    #[test]
    fn chunk_sizes_of_every_number_of_digits_read_back() {
        let framing = Chunked::new("c", Plain);
        for size in [1, 15, 16, 255, 256, 4_095, 4_096, 65_535, 65_536, 1_048_576] {
            let message = vec![b'm'; size];
            let mut out = BytesMut::new();
            framing.frame(MessageKind::Text, &message, &mut out);
            framing.end(&Disconnect::SHUTDOWN, &mut out);
            assert_eq!(read_chunks(&out), [message]);
            assert_ne!(out[0], b'0', "a leading zero at size {size}");
        }
    }

    #[test]
    fn an_empty_message_does_not_end_the_body() {
        let framing = Chunked::new("c", Plain);
        assert_eq!(framed(&framing, b""), b"");
        let mut out = BytesMut::new();
        framing.ping(&mut out);
        assert!(out.is_empty(), "the inner framing has no ping of its own");
    }

    #[test]
    fn the_end_is_the_last_chunk() {
        let mut out = BytesMut::new();
        Chunked::new("c", Lines).end(&Disconnect::SHUTDOWN, &mut out);
        assert_eq!(&out[..], b"0\r\n\r\n");
    }

    #[test]
    fn what_the_inner_framing_says_at_its_end_is_a_chunk_too() {
        struct Farewell;
        impl Framing for Farewell {
            fn name(&self) -> &'static str {
                "farewell"
            }
            fn frame(&self, _: MessageKind, _: &[u8], _: &mut BytesMut) {}
            fn deframer(&self, _: DeframeLimits) -> Box<dyn Deframer> {
                Box::new(Discard)
            }
            fn end(&self, _: &Disconnect, out: &mut BytesMut) {
                out.put_slice(b"bye");
            }
        }
        let mut out = BytesMut::new();
        Chunked::new("c", Farewell).end(&Disconnect::SHUTDOWN, &mut out);
        assert_eq!(read_chunks(&out), [b"bye".to_vec()]);
    }
}
