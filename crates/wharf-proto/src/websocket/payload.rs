//! What happens to a payload that comes in pieces: the mask is taken off, text is checked, and it is kept until its
//! message is whole. Each piece goes through all of it block by block, so that what one pass brought into the first
//! level of the processor's cache is still there for the next.

use super::{InvalidUtf8, Utf8Stream, mask::append_masked};

/// A block: well within 32 KiB, the smallest first level of today's processors, and a multiple of the mask's length.
const BLOCK_BYTES: usize = 8 * 1024;

/// Appends a piece of a payload, `phase` bytes after its beginning, to `kept`, takes the mask off on the way, and
/// checks it as the next piece of `text`.
pub(super) fn keep_piece(
    kept: &mut Vec<u8>,
    piece: &[u8],
    mask: Option<[u8; 4]>,
    phase: usize,
    mut text: Option<&mut Utf8Stream>,
) -> Result<(), InvalidUtf8> {
    for block in piece.chunks(BLOCK_BYTES) {
        let start = kept.len();
        match mask {
            Some(key) => append_masked(kept, block, key, phase), // Blocks are multiples of the mask's length.
            None => kept.extend_from_slice(block),
        }
        if let Some(text) = &mut text {
            text.feed(&kept[start..])?;
        }
    }
    Ok(())
}

/// Makes room for `more` bytes. Memory doubles as bytes come, but not past `most`, the length that can be reached.
pub(super) fn reserve(buffer: &mut Vec<u8>, more: usize, most: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let target = needed.max(most.min(buffer.capacity() * 2));
        buffer.reserve_exact(target - buffer.len());
    }
}
