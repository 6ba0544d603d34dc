//! Masking (RFC 6455 section 5.3): each payload byte is combined with a byte of a four-byte key by exclusive or.

use bytes::BufMut;
use fearless_simd::{Level, Simd, dispatch};

/// From this length on it pays to ask which vectors the processor has, in bytes.
const WIDE_FROM: usize = 256;
/// From this length on it pays to begin at a line of the cache: no vector then lies across two.
const ALIGNED_FROM: usize = 4096;
/// A line of the cache, and the widest vector.
const LINE: usize = 64;

/// Masks `bytes` in place, or takes the mask off: the two are the same. `phase` says how many bytes of the
/// payload came before these, so that a payload can be handled in pieces.
///
/// Works at the speed of memory: with the widest vectors that the processor has, found when the program runs.
#[inline]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    let key = rotated(key, phase);
    if bytes.len() < WIDE_FROM {
        mask_by::<16>(bytes, key);
    } else {
        mask_wide(bytes, key);
    }
}

#[inline(never)]
fn mask_wide(bytes: &mut [u8], key: [u8; 4]) {
    dispatch!(Level::new(), simd => mask_aligned(simd, bytes, key));
}

/// Compiled once for each kind of vectors: all that it calls must be inlined for that.
#[inline(always)]
fn mask_aligned<S: Simd>(_: S, bytes: &mut [u8], key: [u8; 4]) {
    let unaligned = match bytes.len() {
        ALIGNED_FROM.. => bytes.as_ptr().align_offset(LINE).min(bytes.len()),
        _ => 0,
    };
    let (head, body) = bytes.split_at_mut(unaligned);
    mask_by::<16>(head, key);
    mask_by::<{ 4 * LINE }>(body, rotated(key, unaligned));
}

/// Appends `payload` to `out`, masked, in one pass: what lies between is in registers alone. `out` grows by what it
/// lacks; who knows the whole length reserves it first.
pub(super) fn append_masked(out: &mut impl BufMut, payload: &[u8], key: [u8; 4], phase: usize) {
    let key = rotated(key, phase);
    let (blocks, rest) = payload.as_chunks::<{ 4 * LINE }>();
    if !blocks.is_empty() {
        dispatch!(Level::new(), simd => append_blocks(simd, out, blocks, key));
    }
    let (blocks, rest) = rest.as_chunks::<16>();
    blocks.iter().for_each(|block| append_block(out, block, key));
    let mut last = [0; 16];
    let last = &mut last[..rest.len()];
    last.copy_from_slice(rest);
    mask_by::<16>(last, key);
    out.put_slice(last);
}

/// Compiled once for each kind of vectors: all that it calls must be inlined for that.
#[inline(always)]
fn append_blocks<S: Simd>(_: S, out: &mut impl BufMut, blocks: &[[u8; 4 * LINE]], key: [u8; 4]) {
    blocks.iter().for_each(|block| append_block(out, block, key));
}

#[inline(always)]
fn append_block<const N: usize>(out: &mut impl BufMut, block: &[u8; N], key: [u8; 4]) {
    let mut masked = *block;
    mask_words(&mut masked, key);
    out.put_slice(&masked);
}

/// The key as it applies `phase` bytes further on.
#[inline(always)]
fn rotated(key: [u8; 4], phase: usize) -> [u8; 4] {
    // The first byte is the lowest; a rotation to the right brings the next one there.
    u32::from_le_bytes(key).rotate_right(8 * (phase % 4) as u32).to_le_bytes()
}

/// Masks as many blocks of `N` bytes as there are, then the rest. `N` is a multiple of 16, so that each part begins
/// at the key's first byte.
#[inline(always)]
fn mask_by<const N: usize>(bytes: &mut [u8], key: [u8; 4]) {
    let (blocks, rest) = bytes.as_chunks_mut::<N>();
    blocks.iter_mut().for_each(|block| mask_words(block, key));
    let (blocks, rest) = rest.as_chunks_mut::<16>();
    blocks.iter_mut().for_each(|block| mask_words(block, key));
    let (words, rest) = rest.as_chunks_mut::<4>();
    words.iter_mut().for_each(|word| mask_words(word, key));
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The length is known to the compiler, which makes of it as many vectors as it takes, and no loop.
#[inline(always)]
fn mask_words<const N: usize>(block: &mut [u8; N], key: [u8; 4]) {
    let key = u32::from_ne_bytes(key);
    for word in block.as_chunks_mut::<4>().0 {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Masks `length` bytes that begin `offset` bytes after a line of the cache, and looks at what lies around.
    fn check(length: usize, phase: usize, offset: usize) {
        let mut buffer: Vec<u8> = (0..length + 3 * LINE).map(|at| at as u8 ^ 0x5a).collect();
        let plain = buffer.clone();
        let start = buffer.as_ptr().align_offset(LINE) + offset;
        apply_mask(&mut buffer[start..start + length], KEY, phase);
        // RFC 6455 section 5.3: j = i MOD 4; transformed[i] = original[i] XOR key[j].
        let masked = |at: usize| plain[at] ^ KEY[(at - start + phase) % 4];
        let within = start..start + length;
        let expected: Vec<u8> =
            (0..plain.len()).map(|at| if within.contains(&at) { masked(at) } else { plain[at] }).collect();
        assert!(buffer == expected, "length {length}, phase {phase}, offset {offset}");
        let mut appended = b"before".to_vec();
        append_masked(&mut appended, &plain[within.clone()], KEY, phase);
        assert!(
            appended.strip_prefix(b"before") == Some(&expected[within.clone()]),
            "{length}, {phase}: appended"
        );
        apply_mask(&mut buffer[within], KEY, phase);
        assert!(buffer == plain, "length {length}, phase {phase}, offset {offset}, twice");
    }

    #[test]
    fn agrees_with_the_definition_at_every_short_length_and_phase() {
        for length in 0..3 * WIDE_FROM {
            for phase in 0..9 {
                check(length, phase, length % LINE);
            }
        }
    }

    #[test]
    fn agrees_with_the_definition_at_every_place_in_a_line_of_the_cache() {
        for offset in 0..LINE {
            for length in [ALIGNED_FROM - 1, ALIGNED_FROM, ALIGNED_FROM + 1, ALIGNED_FROM + 4 * LINE + 23] {
                check(length, offset + 1, offset);
            }
        }
    }

    #[test]
    fn masks_the_example_of_the_rfc() {
        // RFC 6455 section 5.7: a single-frame masked text message "Hello".
        let mut hello = *b"Hello";
        apply_mask(&mut hello, KEY, 0);
        assert_eq!(hello, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
