//! The WebSocket inflater, given any bytes as the compressed messages of one connection: within the limit and its
//! memory, what it reads is what zlib reads, and can be deflated and inflated again.
//!
//! Input: a byte of flags (1: context takeover, 2: text; the upper four bits: level), the window's bits beyond 8,
//! the message limit divided by sixteen; then messages, each with its length in two bytes, low one first, before it.

use bytes::BytesMut;
use flate2::{Decompress, FlushDecompress, Status};
use wharf_proto::websocket::{
    FrameError, MessageKind,
    deflate::{Compression, Deflater, Inflater, WindowBits},
};

struct Case {
    compression: Compression,
    kind: MessageKind,
    level: u8,
    limit: usize,
}

/// Returns what was read up to the first error, for the test that replays the corpus; panics where a promise is
/// broken.
pub fn run(data: &[u8]) -> Vec<Result<Vec<u8>, FrameError>> {
    let Some((&[flags, bits, limit], stream)) = data.split_first_chunk::<3>() else { return Vec::new() };
    let window_bits = WindowBits::new(8 + bits % 8).expect("8 to 15 bits");
    let case = Case {
        compression: Compression { context_takeover: flags & 1 != 0, window_bits },
        kind: if flags & 2 != 0 { MessageKind::Text } else { MessageKind::Binary },
        level: flags >> 4,
        limit: usize::from(limit) * 16,
    };
    let read = case.read(&messages(stream));
    case.check_round_trip(&read);
    read
}

/// The payloads that a stream holds; the last may be cut off.
fn messages(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((&len, rest)) = stream.split_first_chunk::<2>() {
        let (payload, rest) = rest.split_at(usize::from(u16::from_le_bytes(len)).min(rest.len()));
        found.push(payload);
        stream = rest;
    }
    found
}

impl Case {
    fn read(&self, payloads: &[&[u8]]) -> Vec<Result<Vec<u8>, FrameError>> {
        let mut inflater = Inflater::new(self.compression);
        let mut zlib = Some(Decompress::new(false));
        let mut seen = Vec::new();
        for payload in payloads {
            let mut out = Vec::new();
            let result = inflater.inflate(payload, self.kind, self.limit, &mut out);
            assert!(out.capacity() <= self.limit, "room for {} of {}", out.capacity(), self.limit);
            let remembers =
                if self.compression.context_takeover { self.compression.window_bits.bytes() } else { 0 };
            assert!(inflater.memory_bytes() <= remembers);
            if let Err(error) = result {
                assert!(matches!(error.close_code(), 1007 | 1009));
                seen.push(Err(error));
                break;
            }
            assert!(self.kind == MessageKind::Binary || std::str::from_utf8(&out).is_ok());
            zlib = zlib.and_then(|zlib| self.compare(zlib, payload, &out));
            seen.push(Ok(out));
        }
        seen
    }

    /// What was read, zlib reads as well, by RFC 7692 section 7.2.2 to the letter. Up to a block marked final,
    /// after which zlib's context says no more.
    fn compare(&self, mut zlib: Decompress, payload: &[u8], expected: &[u8]) -> Option<Decompress> {
        if !self.compression.context_takeover {
            zlib.reset(false);
        }
        let mut found = Vec::with_capacity(self.limit + 1);
        let begun = zlib.total_in();
        for part in [payload, &[0x00, 0x00, 0xff, 0xff]] {
            let status = zlib.decompress_vec(part, &mut found, FlushDecompress::Sync).expect("zlib reads it");
            if status == Status::StreamEnd {
                assert!(expected.starts_with(&found));
                return None;
            }
        }
        assert_eq!(zlib.total_in() - begun, payload.len() as u64 + 4);
        assert_eq!(found, expected, "as zlib reads it");
        Some(zlib)
    }

    /// What was read, written again, is read as the same.
    fn check_round_trip(&self, read: &[Result<Vec<u8>, FrameError>]) {
        let mut deflater = Deflater::new(self.compression).with_level(self.level).with_min_bytes(0);
        let mut inflater = Inflater::new(self.compression);
        for message in read.iter().flatten() {
            let mut payload = BytesMut::new();
            if deflater.deflate(message, &mut payload) {
                assert!(!payload.ends_with(&[0x00, 0x00, 0xff, 0xff]));
                let mut out = Vec::new();
                inflater.inflate(&payload, self.kind, self.limit, &mut out).expect("what we wrote");
                assert_eq!(&out, message, "written and read again");
            } else {
                assert!(payload.is_empty());
            }
        }
    }
}
