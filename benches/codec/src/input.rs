//! What is read and written: payloads and frames, the same for every crate.

use std::sync::Arc;

use bytes::BytesMut;
use wharf_proto::websocket::{FrameHeader, Opcode, apply_mask};

/// The payload sizes, in bytes.
pub const SIZES: [usize; 6] = [16, 128, 1 << 10, 16 << 10, 128 << 10, 1 << 20];

/// What a chat says: mostly ASCII, with letters of two bytes, a character of three and one of four.
const CHAT: &str = r#"{"channel":"chat:harbour","user":"ingrid","text":"Die Fähre läuft um 9 € aus, größer als gestern. ⛴ 🌊"},"#;

/// The two kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

impl Kind {
    /// As the rows' names say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Which way the frames go, and so whether they are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Masked.
    ToServer,
    /// Not masked.
    ToClient,
}

impl Direction {
    /// As the rows' names say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToServer => "masked",
            Self::ToClient => "unmasked",
        }
    }
}

/// The bytes that a reader is given again and again, and what it must find in them.
#[derive(Debug, Clone)]
pub struct Batch {
    pub wire: Arc<[u8]>,
    pub messages: usize,
    pub payload_bytes: usize,
}

/// A payload of `len` bytes. Text is valid UTF-8 to the last byte.
pub fn payload(kind: Kind, len: usize) -> Vec<u8> {
    match kind {
        Kind::Binary => {
            // A linear congruential generator: bytes without a pattern, the same in each run.
            let mut state = 0x2545_f491_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..len).map(|_| next()).collect()
        }
        Kind::Text => {
            let mut text: String = CHAT.chars().cycle().take(len).collect();
            while text.len() > len {
                text.pop();
            }
            text.extend(std::iter::repeat_n('.', len - text.len()));
            text.into_bytes()
        }
    }
}

/// One message of `len` bytes in one frame.
pub fn single(kind: Kind, direction: Direction, len: usize) -> Batch {
    batch(direction, &[(kind, len)], 1)
}

/// 64 messages of 16 to 128 bytes, text and binary in turn: what a busy connection brings in one read.
pub fn burst(direction: Direction) -> Batch {
    let messages: Vec<_> =
        (0..64).map(|at| (if at % 2 == 0 { Kind::Text } else { Kind::Binary }, 16 + at * 37 % 113)).collect();
    batch(direction, &messages, 1)
}

/// A message of 16 KiB in 16 frames, cut at places that mind no character.
pub fn fragmented(kind: Kind, direction: Direction) -> Batch {
    batch(direction, &[(kind, 16 << 10)], 16)
}

fn batch(direction: Direction, messages: &[(Kind, usize)], fragments: usize) -> Batch {
    let mut wire = BytesMut::new();
    for &(kind, len) in messages {
        let payload = payload(kind, len);
        let pieces = payload.chunks(len.div_ceil(fragments));
        let last = pieces.len() - 1;
        for (at, piece) in pieces.enumerate() {
            let opcode = if at == 0 { kind.opcode() } else { Opcode::Continuation };
            let mask = (direction == Direction::ToServer).then_some([0x37, 0xfa, 0x21, 0x3d]);
            let payload_len = piece.len() as u64;
            FrameHeader { fin: at == last, rsv1: false, opcode, mask, payload_len }.write(&mut wire);
            let start = wire.len();
            wire.extend_from_slice(piece);
            if let Some(key) = mask {
                apply_mask(&mut wire[start..], key, 0);
            }
        }
    }
    let payload_bytes = messages.iter().map(|(_, len)| len).sum();
    Batch { wire: wire.to_vec().into(), messages: messages.len(), payload_bytes }
}
