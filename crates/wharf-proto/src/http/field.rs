//! The grammar of one header or trailer line, and of values that are written into responses.

use super::Refusal;

/// Which bytes may stand in a token. RFC 9110 section 5.6.2: tchar.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether `bytes` is a token, which is never empty.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// How many leading bytes may stand in a token.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| TOKEN[usize::from(byte)]).count()
}

/// Whether `value` can stand in a header field without ending its line (RFC 9110 section 5.5: no CR, LF, NUL or
/// other control but HTAB). To be asked of everything that is reflected from a request into a response.
pub fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| !matches!(byte, 0..=8 | 10..=31 | 127))
}

/// Cuts one line, without its CR LF, into name and value. The value has no white space at its ends.
pub(super) fn judge(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    // RFC 9112 sections 2.2 and 5.2: no white space before the first field, no line folding.
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::FoldedLine);
    }
    let name_length = token_length(line);
    match line.get(name_length) {
        Some(b':') if name_length > 0 => {}
        // RFC 9112 section 5.1: white space between name and colon is answered with 400.
        Some(b' ' | b'\t') => return Err(Refusal::SpaceBeforeColon),
        _ => return Err(Refusal::FieldName),
    }
    let value = &line[name_length + 1..];
    if !is_field_value(value) {
        return Err(Refusal::FieldValue);
    }
    Ok((&line[..name_length], trim(value)))
}

/// Cuts a line that [`judge`] has let through.
pub(super) fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    (&line[..colon], trim(line.get(colon + 1..).unwrap_or_default()))
}

/// Takes optional white space (SP and HTAB) off both ends.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated value, trimmed; empty ones are left out (RFC 9110 section 5.6.1.2).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_cut_at_its_colon_and_trimmed() {
        assert_eq!(judge(b"Name: \t value with: colon \t"), Ok((&b"Name"[..], &b"value with: colon"[..])));
        assert_eq!(judge(b"Empty:"), Ok((&b"Empty"[..], &b""[..])));
        assert_eq!(judge("N: h\u{e9}".as_bytes()), Ok((&b"N"[..], "h\u{e9}".as_bytes())));
    }

    #[test]
    fn splitting_a_judged_line_gives_what_judging_gave() {
        for line in [&b"a:"[..], b"a:b", b"a:  b:c  ", b"!#$%&'*+-.^_`|~: x"] {
            assert_eq!(judge(line), Ok(split(line)));
        }
    }

    // Row 63.
    #[test]
    fn a_value_that_would_end_its_line_is_not_a_field_value() {
        for value in [&b"a\r\nSet-Cookie: x"[..], b"a\nb", b"a\rb", b"a\0b", b"\x7f", b"\x1b[31m"] {
            assert!(!is_field_value(value), "{value:?}");
        }
        for value in [&b""[..], b"a b\tc", b"https://example.com", b"\xc3\xa9"] {
            assert!(is_field_value(value), "{value:?}");
        }
    }
}
