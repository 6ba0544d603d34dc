//! The JSON of applications: passed on as it came, never parsed into a tree, and checked once at the edge so
//! that no subscriber's parser and no framing can be hurt by it.
//!
//! Grammar is the business of the JSON reader before this. What it leaves open is checked here, in one pass.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

/// The deepest nesting of arrays and objects in a payload. See LIMITS.md, `json_depth`. Many parsers recurse,
/// and a publisher must not be able to overflow the stack of its subscribers.
pub const JSON_DEPTH: usize = 128;

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The text is not JSON; the text says where and why.
    #[error("the data is not JSON: {0}")]
    Grammar(Box<str>),
    /// Arrays and objects are nested deeper than [`JSON_DEPTH`].
    #[error("the data is nested deeper than {JSON_DEPTH} at byte {at}")]
    TooDeep {
        /// The place in the payload, counted from 0.
        at: usize,
    },
    /// A `\u` escape is one half of a surrogate pair: no text can hold it (RFC 8259 section 8.2).
    #[error("the data holds half of a surrogate pair at byte {at}")]
    LoneSurrogate {
        /// The place in the payload, counted from 0.
        at: usize,
    },
}

/// Reads one JSON text of which nothing is known, as given on a command line or in a body.
pub fn parse(text: &str) -> Result<Bytes, PayloadError> {
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| PayloadError::Grammar(error.to_string().into()))?;
    from_raw(raw)
}

/// Checks a value that a JSON reader has already passed over, and copies it. Raw CRs and LFs, which in JSON are
/// only white space between tokens, are left out: a framing by lines could not carry them.
pub fn from_raw(raw: &RawValue) -> Result<Bytes, PayloadError> {
    check(raw.get())?;
    Ok(match without_line_ends(raw.get()) {
        Cow::Borrowed(text) => Bytes::copy_from_slice(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    })
}

/// One pass over a text of valid JSON grammar.
fn check(text: &str) -> Result<(), PayloadError> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = check_string(bytes, at + 1)?;
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH {
                    return Err(PayloadError::TooDeep { at });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Passes over a string whose content begins at `at`, and gives the place after its closing quote.
fn check_string(bytes: &[u8], mut at: usize) -> Result<usize, PayloadError> {
    loop {
        let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) else {
            return Ok(bytes.len());
        };
        at += found;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at = match surrogate(bytes, at) {
            None => at + 2,
            // RFC 8259 section 7: a character beyond the first plane is a high and then a low surrogate.
            Some(Surrogate::High) if surrogate(bytes, at + 6) == Some(Surrogate::Low) => at + 12,
            Some(_) => return Err(PayloadError::LoneSurrogate { at }),
        };
    }
}

#[derive(PartialEq)]
enum Surrogate {
    High,
    Low,
}

/// Whether the six bytes at `at` are the escape of a surrogate.
fn surrogate(bytes: &[u8], at: usize) -> Option<Surrogate> {
    // D800-DBFF are high and DC00-DFFF low: the second hexadecimal digit tells.
    match bytes.get(at..at + 6)? {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => Some(Surrogate::High),
        [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => Some(Surrogate::Low),
        _ => None,
    }
}

/// Inside of a JSON string a raw CR or LF is not allowed, so all that there are stand between tokens.
fn without_line_ends(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(['\r', '\n']).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    // Row 69.
    #[test]
    fn nesting_to_the_limit_passes_and_beyond_is_refused() {
        assert!(parse(&nested(JSON_DEPTH)).is_ok());
        assert_eq!(parse(&nested(JSON_DEPTH + 1)), Err(PayloadError::TooDeep { at: JSON_DEPTH }));
        assert!(matches!(parse(&nested(100_000)), Err(PayloadError::TooDeep { .. })));
        let siblings = format!("[{}{{}}]", "{},".repeat(1_000));
        assert!(parse(&siblings).is_ok(), "neighbours are not nesting");
    }

    #[test]
    fn brackets_inside_strings_are_not_nesting() {
        let text = format!(r#"{{"a\"{}":"\\"}}"#, "[{".repeat(200));
        assert_eq!(parse(&text).unwrap(), text);
    }

    // Row 69.
    #[test]
    fn lone_surrogates_are_refused_and_pairs_pass() {
        for (text, at) in [
            (r#""\ud800""#, 1),
            (r#""a\uDBFFb""#, 2),
            (r#""\udc00""#, 1),
            (r#"{"\uD83D\uD83D":1}"#, 2),
            (r#""\ud83d\n""#, 1),
            (r#""\ud83d\ude00\ude00""#, 13),
        ] {
            assert_eq!(parse(text), Err(PayloadError::LoneSurrogate { at }), "{text}");
        }
        for text in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#""\uD7FF\uE000""#, r#""\\\ud83D\uDE00""#] {
            assert_eq!(parse(text).unwrap(), text);
        }
    }

    #[test]
    fn raw_line_ends_are_left_out_and_other_space_stays() {
        assert_eq!(parse("{\r\n  \"a\\n\": [1,\n2]\r}").unwrap(), "{  \"a\\n\": [1,2]}");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{\"a\":1,}", "nul", "1 2", "\"a\nb\"", "\"\u{1}\"", "'a'"] {
            assert!(matches!(parse(text), Err(PayloadError::Grammar(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn strings_pass_exactly_when_their_escapes_are_whole_characters(
            units in proptest::collection::vec(prop_oneof![
                Just(0xd7ff_u16), Just(0xd800), Just(0xdbff), Just(0xdc00), Just(0xdfff), Just(0xe000), Just(0x41)
            ], 0..8),
            upper in any::<bool>(),
        ) {
            let escapes: String = units
                .iter()
                .map(|unit| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") })
                .collect();
            let whole = char::decode_utf16(units.iter().copied()).all(|unit| unit.is_ok());
            prop_assert_eq!(parse(&format!("\"{escapes}\"")).is_ok(), whole);
        }
    }
}
