//! Masking (RFC 6455 section 5.3): each payload byte is combined with a byte of a four-byte key by exclusive or.

/// Masks `bytes` in place, or takes the mask off: the two are the same. `phase` says how many bytes of the
/// payload came before these, so that a payload can be handled in pieces.
///
/// Works on eight bytes at a time in a loop that the compiler turns into vector instructions.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    let mut key = key;
    key.rotate_left(phase % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    // The chunks are whole multiples of the key's length, so the rest begins at the key's first byte.
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn agrees_with_the_definition_at_every_length_and_phase() {
        for length in 0..70 {
            for phase in 0..9 {
                let plain: Vec<u8> = (0..length).map(|at| at as u8 ^ 0x5a).collect();
                // RFC 6455 section 5.3: j = i MOD 4; transformed[i] = original[i] XOR key[j].
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(at, byte)| byte ^ KEY[(at + phase) % 4]).collect();
                let mut masked = plain.clone();
                apply_mask(&mut masked, KEY, phase);
                assert_eq!(masked, expected, "length {length}, phase {phase}");
                apply_mask(&mut masked, KEY, phase);
                assert_eq!(masked, plain, "length {length}, phase {phase}, twice");
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
