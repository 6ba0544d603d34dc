//! Reads compressed messages (RFC 7692 section 7.2.2), one whole payload at a time.
//!
//! What a connection remembers of earlier messages is their end, as plain bytes; zlib's context belongs to the
//! thread and is lent for the time of one message. So a connection that waits holds no context, an unfinished
//! message costs only what came of it, and the end of every message can be checked: a context that went on to the
//! next message could not say whether the last one was whole.

use std::{cell::Cell, fmt};

use flate2::{Decompress, FlushDecompress, Status};

use super::{Compression, Reservation, TAIL, WindowBits};
use crate::websocket::{FrameError, MessageKind, Utf8Stream};

/// Reads the compressed messages of one connection.
pub struct Inflater {
    context_takeover: bool,
    window_bits: WindowBits,
    /// With takeover, the end of what was read before, at most a window.
    remembered: Vec<u8>,
    /// Given back with the inflater.
    _reservation: Option<Reservation>,
}

impl Inflater {
    /// Reads what a peer writes by `compression`.
    pub fn new(compression: Compression) -> Self {
        Self::reserved(compression, None)
    }

    pub(super) fn reserved(compression: Compression, reservation: Option<Reservation>) -> Self {
        let Compression { context_takeover, window_bits } = compression;
        Self { context_takeover, window_bits, remembered: Vec::new(), _reservation: reservation }
    }

    /// Replaces what `out` holds by the message whose compressed payload, its fragments joined, is `payload`.
    /// Stops as soon as the message passes `limit` bytes, or is text and not UTF-8; `out` never has room for
    /// more than `limit` unless it had before.
    ///
    /// After an error the connection must end: what was remembered is not what the peer remembers.
    pub fn inflate(
        &mut self,
        payload: &[u8],
        kind: MessageKind,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        out.clear();
        let mut context = borrow_context();
        if !self.remembered.is_empty() {
            // Raw DEFLATE takes a dictionary at any time, so this cannot fail.
            context.set_dictionary(&self.remembered).map_err(|_| FrameError::InvalidDeflate)?;
        }
        let utf8 = (kind == MessageKind::Text).then(Utf8Stream::default);
        let mut reading = Reading { context: &mut context, out, limit, utf8, checked: 0, begun: None };
        reading.read(payload)?;
        let begun = reading.begun;
        give_context_back(context);
        if self.context_takeover {
            if let Some(begun) = begun {
                self.remembered.clear();
                self.remember(&out[begun..]);
            } else {
                self.remember(out);
            }
        }
        Ok(())
    }

    /// Memory taken beyond the inflater itself, in bytes: at most a window, and none without takeover.
    pub fn memory_bytes(&self) -> usize {
        self.remembered.capacity()
    }

    /// The longest payload that can be a message of `message_bytes` in `fragments`, in bytes: what zlib needs at
    /// its worst settings for what does not compress, and an empty block for each fragment. LIMITS.md:
    /// `longest_payload`.
    pub(in crate::websocket) fn longest_payload(&self, message_bytes: usize, fragments: u32) -> u64 {
        let bytes = message_bytes as u64;
        let stored = bytes.saturating_add(bytes / 8 + bytes / 64);
        stored.saturating_add(5 * u64::from(fragments) + 16)
    }

    /// Keeps the end of `bytes`, after that of what came before.
    fn remember(&mut self, bytes: &[u8]) {
        let window = self.window_bits.bytes();
        let bytes = &bytes[bytes.len().saturating_sub(window)..];
        let excess = (self.remembered.len() + bytes.len()).saturating_sub(window);
        self.remembered.drain(..excess);
        let needed = self.remembered.len() + bytes.len();
        if needed > self.remembered.capacity() {
            // Doubled, so that many small messages copy little, and never past the window.
            let target = needed.max(window.min(self.remembered.capacity() * 2));
            self.remembered.reserve_exact(target - self.remembered.len());
        }
        self.remembered.extend_from_slice(bytes);
    }
}

impl fmt::Debug for Inflater {
    /// Says nothing of what was read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inflater")
            .field("context_takeover", &self.context_takeover)
            .field("window_bits", &self.window_bits)
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

/// One message that is being read.
struct Reading<'r> {
    context: &'r mut Decompress,
    out: &'r mut Vec<u8>,
    limit: usize,
    /// For text: what was checked of it.
    utf8: Option<Utf8Stream>,
    checked: usize,
    /// Where the last block marked final ended: what comes after it refers to nothing before it.
    begun: Option<usize>,
}

/// What follows every payload: the block that was taken off it, and a final block by fixed codes without a byte in
/// it. The second is not of the RFC: it makes the context say that the payload ended where a block ended.
const END: [u8; 6] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x03, 0x00];

impl Reading<'_> {
    fn read(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let mut rest = payload;
        while let Some(taken) = self.inflate_up_to_final_block(rest)? {
            // RFC 7692 section 7.2.3.4: a peer may end a message by a block marked final. DEFLATE's stream ends
            // with it (RFC 1951 section 3.2.3), so the next block begins a new one, as zlib's own does.
            rest = &rest[taken..];
            self.context.reset(false);
            self.begun = Some(self.out.len());
            if rest.is_empty() {
                return self.finish_text();
            }
        }
        let before = self.out.len();
        let taken = self.inflate_up_to_final_block(&END)?;
        // The tail completes a block marked final, or stands by itself and is followed by the one added here.
        let at_end_of_block = match taken {
            Some(taken) if taken == TAIL.len() => {
                self.begun = Some(before);
                true
            }
            taken => taken == Some(END.len()),
        };
        // A payload that was cut off would take the tail for data.
        if !at_end_of_block || self.out.len() != before {
            return Err(FrameError::InvalidDeflate);
        }
        self.finish_text()
    }

    /// Inflates `input` to its end, or to that of a block marked final; then says how much that was.
    fn inflate_up_to_final_block(&mut self, input: &[u8]) -> Result<Option<usize>, FrameError> {
        let mut taken = 0;
        loop {
            let (before_in, before_out) = (self.context.total_in(), self.context.total_out());
            let status = self.inflate_some(&input[taken..])?;
            let read = (self.context.total_in() - before_in) as usize; // At most the input's length.
            let wrote = self.context.total_out() > before_out;
            taken += read;
            self.check_text()?;
            if status == Status::StreamEnd {
                return Ok(Some(taken));
            }
            if read == 0 && !wrote {
                // Nothing is left to read, or to write: what was read is used up. Else it cannot go on.
                return if taken == input.len() { Ok(None) } else { Err(FrameError::InvalidDeflate) };
            }
        }
    }

    /// Inflates until `input` or the room in `out` ends, and makes room first, of at most the limit.
    fn inflate_some(&mut self, input: &[u8]) -> Result<Status, FrameError> {
        let too_long = FrameError::MessageTooLong { limit: self.limit };
        if self.out.len() == self.out.capacity() {
            let target = (2 * self.out.capacity()).max(FIRST_OUT_BYTES).max(4 * input.len()).min(self.limit);
            self.out.reserve_exact(target.saturating_sub(self.out.len()));
        }
        if self.out.len() < self.limit {
            let status = self.context.decompress_vec(input, self.out, FlushDecompress::Sync);
            // The vector may have had more room than the limit.
            if self.out.len() > self.limit { Err(too_long) } else { status.map_err(corrupt) }
        } else {
            // At the limit blocks may still end; a byte more is too many.
            let mut surplus = [0];
            let before = self.context.total_out();
            let status = self.context.decompress(input, &mut surplus, FlushDecompress::Sync);
            if self.context.total_out() > before { Err(too_long) } else { status.map_err(corrupt) }
        }
    }

    /// RFC 6455 section 8.1, on what was inflated since the last time.
    fn check_text(&mut self) -> Result<(), FrameError> {
        if let Some(utf8) = &mut self.utf8 {
            utf8.feed(&self.out[self.checked..]).map_err(|_| FrameError::InvalidUtf8)?;
            self.checked = self.out.len();
        }
        Ok(())
    }

    fn finish_text(&mut self) -> Result<(), FrameError> {
        self.utf8.take().map_or(Ok(()), |utf8| utf8.finish().map_err(|_| FrameError::InvalidUtf8))
    }
}

fn corrupt(_: flate2::DecompressError) -> FrameError {
    FrameError::InvalidDeflate
}

/// The first room made for a message, in bytes, if its payload does not suggest more.
const FIRST_OUT_BYTES: usize = 256;

thread_local! {
    /// The context that this thread is not using now. One that is in use when another is wanted (a message that
    /// is read while another is delivered) makes a second one for that time.
    static SPARE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// A context of 15 bits, which reads every window, with nothing in it.
fn borrow_context() -> Box<Decompress> {
    let spare = SPARE.try_with(Cell::take).ok().flatten();
    spare.map_or_else(
        || Box::new(Decompress::new(false)),
        |mut context| {
            context.reset(false);
            context
        },
    )
}

/// After an error the context is dropped instead.
fn give_context_back(context: Box<Decompress>) {
    // A thread that ends has no place to keep it.
    let _ = SPARE.try_with(|spare| spare.set(Some(context)));
}

#[cfg(test)]
mod tests;
