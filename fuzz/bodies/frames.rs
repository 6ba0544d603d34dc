//! The WebSocket deframer, given any bytes in any pieces: the same events and the same error, within its memory,
//! and what it read can be written and read again. Behind the error there may be a close and nothing else.
//!
//! Input: a byte of flags (1: client, 2: RSV1 allowed), the message limit divided by four, the fragment limit, a
//! seed for the cuts; then the stream.

use bytes::BytesMut;
use wharf_proto::websocket::{
    CloseCode, DeframeLimits, FrameError, FrameHeader, MessageKind, Opcode, Role, WebsocketDeframer,
    WebsocketEvent, apply_mask, write_close, write_frame,
};

/// An event that outlives the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Message { text: bool, marked: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, String),
    Broken(FrameError),
}

struct Case {
    role: Role,
    rsv1: bool,
    limits: DeframeLimits,
}

/// Returns what was seen, for the test that replays the corpus; panics where a promise is broken.
pub fn run(data: &[u8]) -> Vec<Seen> {
    let Some((&[flags, message_limit, fragments, seed], stream)) = data.split_first_chunk::<4>() else {
        return Vec::new();
    };
    let case = Case {
        role: if flags & 1 == 0 { Role::Server } else { Role::Client },
        rsv1: flags & 2 != 0,
        limits: DeframeLimits { message_bytes: usize::from(message_limit) * 4, fragments: fragments.into() },
    };
    let seen = case.feed([stream]);
    assert_eq!(case.feed(stream.chunks(1)), seen, "in single bytes");
    assert_eq!(case.feed(cut(stream, seed)), seen, "cut by seed {seed}");
    case.check_round_trip(&seen);
    seen
}

impl Case {
    /// Feeds pieces of a stream, and holds the promises about memory meanwhile. Of errors only the first is seen.
    fn feed<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let mut deframer = WebsocketDeframer::new(self.role, self.limits);
        if self.rsv1 {
            deframer = deframer.allow_rsv1();
        }
        let (mut seen, mut broken) = (Vec::new(), None);
        let mut fed = 0;
        for piece in pieces {
            fed += piece.len();
            let before = seen.len();
            let result = deframer.feed(&mut piece.to_vec(), &mut |event| seen.push(self.check(event)));
            let payload_memory = deframer.memory_bytes().saturating_sub(WebsocketDeframer::OVERHEAD_BYTES);
            assert!(payload_memory <= self.limits.message_bytes.min(2 * fed), "{payload_memory} after {fed}");
            assert!(deframer.held_bytes() <= deframer.memory_bytes());
            match broken {
                None => {
                    broken = result.err();
                    if let Some(error) = broken {
                        // No error follows a close, so a close of this call stands behind the error.
                        let behind =
                            seen[before..].last().is_some_and(|seen| matches!(seen, Seen::Close(..)));
                        assert!(error.leaves_boundaries() || !behind && deframer.has_ended());
                        seen.insert(seen.len() - usize::from(behind), Seen::Broken(error));
                    }
                }
                Some(_) => assert!(seen[before..].iter().all(|seen| matches!(seen, Seen::Close(..)))),
            }
            assert!(broken.is_none() || payload_memory == 0, "{payload_memory} after an error");
            assert!(!deframer.has_ended() || deframer.memory_bytes() == 0);
        }
        seen
    }

    /// What each event promises by itself.
    fn check(&self, event: WebsocketEvent<'_>) -> Seen {
        match event {
            WebsocketEvent::Message { kind, payload, rsv1 } => {
                let text = kind == MessageKind::Text;
                assert!(payload.len() <= self.limits.message_bytes);
                assert!(self.rsv1 || !rsv1);
                assert!(!text || rsv1 || std::str::from_utf8(payload).is_ok());
                Seen::Message { text, marked: rsv1, payload: payload.to_vec() }
            }
            WebsocketEvent::Ping(payload) => {
                assert!(payload.len() <= 125);
                Seen::Ping(payload.to_vec())
            }
            WebsocketEvent::Pong(payload) => {
                assert!(payload.len() <= 125);
                Seen::Pong(payload.to_vec())
            }
            WebsocketEvent::Close { code, reason } => {
                assert!(code.is_some() || reason.is_empty());
                Seen::Close(code, reason.to_owned())
            }
        }
    }

    /// What was read, written again as the peer would write it, is read as the same.
    fn check_round_trip(&self, seen: &[Seen]) {
        let mask = (self.role == Role::Server).then_some([0x5a, 0x00, 0xff, 0x81]);
        let mut out = BytesMut::new();
        let mut expected = seen.to_vec();
        expected.retain(|seen| !matches!(seen, Seen::Broken(_)));
        for seen in &expected {
            match seen {
                Seen::Message { text, marked, payload } => {
                    let opcode = if *text { Opcode::Text } else { Opcode::Binary };
                    let payload_len = payload.len() as u64;
                    FrameHeader { fin: true, rsv1: *marked, opcode, mask, payload_len }.write(&mut out);
                    let start = out.len();
                    out.extend_from_slice(payload);
                    apply_mask(&mut out[start..], mask.unwrap_or_default(), 0);
                }
                Seen::Ping(payload) => write_frame(&mut out, Opcode::Ping, payload, mask),
                Seen::Pong(payload) => write_frame(&mut out, Opcode::Pong, payload, mask),
                Seen::Close(code, reason) => write_close(&mut out, *code, reason, mask),
                Seen::Broken(_) => {}
            }
        }
        assert_eq!(self.feed([&out[..]]), expected, "written and read again");
    }
}

/// Pieces of 0 to 15 bytes, by a small generator.
fn cut(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed) + 1;
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, rest) = stream.split_at(stream.len().min((state >> 28) as usize));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
