//! The grammar of a chunk-size line (RFC 9112 section 7.1).

use super::{Refusal, field};

/// What a chunk-size line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkLine {
    /// How many leading bytes are the size; the rest is an extension.
    pub(super) digits: usize,
    /// How many bytes of data follow; 0 in the last chunk.
    pub(super) size: u64,
}

/// As many as 64 bits have.
const SIZE_DIGITS: usize = 16;

/// Judges a line, without its CR LF.
pub(super) fn judge(line: &[u8]) -> Result<ChunkLine, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !(1..=SIZE_DIGITS).contains(&digits) {
        return Err(Refusal::ChunkSize);
    }
    let size = line[..digits].iter().fold(0u64, |sum, &byte| {
        // A hexadecimal digit has a value, and sixteen of them fit 64 bits.
        sum << 4 | u64::from(char::from(byte).to_digit(16).unwrap_or_default())
    });
    match line.get(digits) {
        None => {}
        Some(b';' | b' ' | b'\t') => judge_extensions(&line[digits..])?,
        Some(_) => return Err(Refusal::ChunkSize),
    }
    Ok(ChunkLine { digits, size })
}

/// RFC 9112 section 7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
fn judge_extensions(mut rest: &[u8]) -> Result<(), Refusal> {
    while !rest.is_empty() {
        rest = skip_space(rest).strip_prefix(b";").ok_or(Refusal::ChunkExtension)?;
        rest = skip_token(skip_space(rest))?;
        if let Some(value) = skip_space(rest).strip_prefix(b"=") {
            let value = skip_space(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => skip_quoted(quoted)?,
                None => skip_token(value)?,
            };
        }
    }
    Ok(())
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[count..]
}

fn skip_token(bytes: &[u8]) -> Result<&[u8], Refusal> {
    match field::token_length(bytes) {
        0 => Err(Refusal::ChunkExtension),
        length => Ok(&bytes[length..]),
    }
}

/// Skips to behind the closing quote (RFC 9110 section 5.6.4).
fn skip_quoted(mut bytes: &[u8]) -> Result<&[u8], Refusal> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', escaped, rest @ ..] if field::is_field_value(&[*escaped]) => rest,
            [b'\\', ..] => return Err(Refusal::ChunkExtension),
            [byte, rest @ ..] if field::is_field_value(&[*byte]) => rest,
            _ => return Err(Refusal::ChunkExtension),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal_and_reach_64_bits() {
        for (line, size) in [("0", 0), ("1a", 26), ("1A", 26), ("000f", 15), ("ffffffffffffffff", u64::MAX)] {
            assert_eq!(judge(line.as_bytes()), Ok(ChunkLine { digits: line.len(), size }), "{line}");
        }
    }

    // Row 57.
    #[test]
    fn a_size_with_sign_prefix_space_or_overflow_is_refused() {
        for line in ["", "+5", "-5", "0x5", "5h", "g", ";a", "5,", "5.0", "00000000000000005", "5\r", "5\0"] {
            assert_eq!(judge(line.as_bytes()), Err(Refusal::ChunkSize), "{line:?}");
        }
        for line in ["5 ", "5\t", "5 5"] {
            assert_eq!(judge(line.as_bytes()), Err(Refusal::ChunkExtension), "{line:?}");
        }
        assert_eq!(judge(b" 5"), Err(Refusal::ChunkSize));
    }

    #[test]
    fn an_extension_has_a_name_and_perhaps_a_value() {
        for line in ["5;a", "5 ; a", "5;a=b", "5;a = b;c", "5;a=\"b \\\" ; \\\\\"", "5;a=\"\";b=\"\t\""] {
            assert_eq!(judge(line.as_bytes()), Ok(ChunkLine { digits: 1, size: 5 }), "{line:?}");
        }
        for line in [
            "5;",
            "5; ",
            "5;=b",
            "5;a=",
            "5;a=b c",
            "5;a b",
            "5;a=\"b",
            "5;a=\"b\\\"",
            "5;a=\"b\"c",
            "5;a;;b",
            "5;a ",
            "5;a=\"\0\"",
            "5;a=\"\\\0\"",
            "5;a\0",
            "5;a=\"\r\"",
            "5;a=\"\n\"",
            "5;\u{e9}",
        ] {
            assert_eq!(judge(line.as_bytes()), Err(Refusal::ChunkExtension), "{line:?}");
        }
    }
}
