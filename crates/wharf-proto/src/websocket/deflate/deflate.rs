//! Writes compressed messages (RFC 7692 section 7.2.1).

use std::cell::Cell;

use bytes::BytesMut;
use flate2::{Compress, Compression as Level, FlushCompress};

use super::{Compression, Reservation, TAIL, WindowBits};
use crate::websocket::{FrameHeader, MAX_HEADER_BYTES, Opcode, apply_mask, write_frame};

/// Shorter messages are sent as they are: neither their size nor the time to send them would win. LIMITS.md:
/// `min_deflated_bytes`.
pub const MIN_DEFLATED_BYTES: usize = 128;

/// zlib's fastest. On messages of a few KB higher levels win few bytes and cost several times the time.
pub const DEFAULT_LEVEL: u8 = 1;

/// Compresses messages: with context takeover those of one connection, without those of as many as agreed on a
/// window at least as large.
///
/// Without takeover it holds no memory: it works on a context that the thread keeps, of which there is one for
/// each window in use. With takeover it takes its own with the first message.
#[derive(Debug)]
pub struct Deflater {
    compression: Compression,
    level: u8,
    min_bytes: usize,
    /// With takeover, from the first compressed message on.
    context: Option<Box<Compress>>,
    /// Given back with the deflater.
    _reservation: Option<Reservation>,
}

impl Deflater {
    /// Writes by `compression`. With a window of 8 bits nothing is compressed (see the [module](super)).
    pub fn new(compression: Compression) -> Self {
        Self::reserved(compression, None)
    }

    pub(super) fn reserved(compression: Compression, reservation: Option<Reservation>) -> Self {
        let (level, min_bytes) = (DEFAULT_LEVEL, MIN_DEFLATED_BYTES);
        Self { compression, level, min_bytes, context: None, _reservation: reservation }
    }

    /// zlib's level, 1 (fast) to 9 (small).
    pub fn with_level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// Sends messages shorter than this as they are, instead of [`MIN_DEFLATED_BYTES`]. With 0 every message with a
    /// byte in it is compressed, also one that becomes longer: for receivers that cannot read both kinds mixed.
    pub fn with_min_bytes(mut self, min_bytes: usize) -> Self {
        self.min_bytes = min_bytes;
        self
    }

    /// Whether one who agreed on `receiver` may be sent what this writes for others.
    pub fn serves(&self, receiver: Compression) -> bool {
        !self.compression.context_takeover && self.compression.window_bits <= receiver.window_bits
    }

    /// Appends one frame that is a whole message, marked by RSV1 if it is compressed, or a control frame, which
    /// never is (RFC 7692 section 5). A client gives a mask, as to [`write_frame`].
    ///
    /// # Panics
    /// If a control frame is given a payload of more than 125 bytes.
    pub fn write_frame(&mut self, out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
        if !self.write_deflated_frame(out, opcode, payload, mask) {
            write_frame(out, opcode, payload, mask);
        }
    }

    /// Appends one compressed frame that is a whole message and says true; or says false and appends nothing, if it
    /// is to be sent as it is. What was appended must be sent, as of [`Deflater::deflate`].
    pub fn write_deflated_frame(
        &mut self,
        out: &mut BytesMut,
        opcode: Opcode,
        payload: &[u8],
        mask: Option<[u8; 4]>,
    ) -> bool {
        // The header's length is known when the payload's is: it is written last, in front of room for the longest.
        let start = out.len();
        out.resize(start + MAX_HEADER_BYTES, 0);
        if !matches!(opcode, Opcode::Text | Opcode::Binary) || !self.deflate(payload, out) {
            out.truncate(start);
            return false;
        }
        let deflated = start + MAX_HEADER_BYTES;
        let payload_len = out.len() - deflated;
        if let Some(key) = mask {
            apply_mask(&mut out[deflated..], key, 0);
        }
        let header_at = out.len();
        // RFC 7692 section 6.1: RSV1 on the first frame, which is the only one, marks a compressed message.
        FrameHeader { fin: true, rsv1: true, opcode, mask, payload_len: payload_len as u64 }.write(out);
        let payload_at = start + (out.len() - header_at);
        out.copy_within(header_at.., start);
        out.copy_within(deflated..header_at, payload_at);
        out.truncate(payload_at + payload_len);
        true
    }

    /// Appends the compressed payload of `message` and says true; or says false and appends nothing, if it is to
    /// be sent as it is. What was appended must be sent: with takeover the next message may refer to it.
    pub fn deflate(&mut self, message: &[u8], out: &mut BytesMut) -> bool {
        let Compression { context_takeover, window_bits } = self.compression;
        if message.is_empty() || message.len() < self.min_bytes || window_bits == WindowBits::MIN {
            return false;
        }
        let start = out.len();
        let level = self.level;
        let mut context = match self.context.take() {
            Some(context) => context,
            None if context_takeover => new_context(level, window_bits),
            None => borrow_context(level, window_bits),
        };
        let written = write_payload(&mut context, message, out);
        // With takeover the receiver must be sent what the next message may refer to, also if it won nothing.
        let sends_all = context_takeover || self.min_bytes == 0;
        let sends = written && (sends_all || out.len() - start < message.len());
        if !sends {
            out.truncate(start);
        }
        if !written {
            // The next message begins on a new context, and so refers to nothing: that is right for any receiver.
        } else if context_takeover {
            self.context = Some(context);
        } else {
            give_context_back(context, level, window_bits);
        }
        sends
    }
}

/// Appends `message`, compressed and without the tail. False if the context did not do what zlib promises; then
/// `out` holds anything.
fn write_payload(context: &mut Compress, message: &[u8], out: &mut BytesMut) -> bool {
    let (begun_in, mut end) = (context.total_in(), out.len());
    loop {
        let taken = (context.total_in() - begun_in) as usize; // At most the message's length.
        let rest = &message[taken..];
        out.resize(end + longest_deflated(rest.len()), 0);
        let before_out = context.total_out();
        // RFC 7692 section 7.2.1: a sync flush ends with an empty block, and no block is marked final.
        if context.compress(rest, &mut out[end..], FlushCompress::Sync).is_err() {
            return false;
        }
        let wrote = (context.total_out() - before_out) as usize; // At most the room there was.
        end += wrote;
        let all_taken = context.total_in() - begun_in == message.len() as u64;
        // zlib's manual: a flush is complete when room is left.
        if all_taken && end < out.len() {
            break;
        }
        if wrote == 0 && !all_taken {
            return false;
        }
    }
    out.truncate(end);
    if !out.ends_with(&TAIL) {
        return false;
    }
    out.truncate(end - TAIL.len());
    true
}

/// As much as `len` bytes and a flush need at zlib's worst settings.
fn longest_deflated(len: usize) -> usize {
    len + len / 8 + len / 64 + 64
}

/// The most contexts that a thread keeps: one for each window that can be written with, 9 to 15 bits. LIMITS.md:
/// `spare_contexts`.
const SPARE_CONTEXTS: usize = 7;

/// A context that can be lent, and its level.
type Spare = Cell<Option<(u8, Box<Compress>)>>;

thread_local! {
    /// The contexts that this thread is not using now, by window.
    static SPARES: [Spare; SPARE_CONTEXTS] = const { [const { Cell::new(None) }; SPARE_CONTEXTS] };
}

fn new_context(level: u8, window_bits: WindowBits) -> Box<Compress> {
    Box::new(Compress::new_with_window_bits(Level::new(level.into()), false, window_bits.bits()))
}

fn spare_index(window_bits: WindowBits) -> usize {
    usize::from(window_bits.bits()).saturating_sub(9)
}

/// A context with nothing in it. One of another level is replaced: a process uses one.
fn borrow_context(level: u8, window_bits: WindowBits) -> Box<Compress> {
    let spare = SPARES.try_with(|spares| spares[spare_index(window_bits)].take()).ok().flatten();
    match spare {
        Some((same, mut context)) if same == level => {
            context.reset();
            context
        }
        _ => new_context(level, window_bits),
    }
}

fn give_context_back(context: Box<Compress>, level: u8, window_bits: WindowBits) {
    // A thread that ends has no place to keep it.
    let _ = SPARES.try_with(|spares| spares[spare_index(window_bits)].set(Some((level, context))));
}

#[cfg(test)]
mod tests;
