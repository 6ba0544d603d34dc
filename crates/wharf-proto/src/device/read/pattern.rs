//! Patterns over text: what stands there as it is, and fields between. A field ends where what stands behind it in the
//! pattern first stands in the message, so a message is looked at once, from front to back.
//!
//! ```text
//! HQ,{id:digits},V1,{time},{valid},{lat:degrees},{ns},{_}
//! ```

use std::borrow::Cow;

use memchr::memmem;

use super::{Mismatch, Value, check_name};

#[derive(Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(Box<[u8]>),
    /// None where nobody wants to know.
    Field(Option<Box<str>>, Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Digits alone, as text.
    Digits,
    /// A decimal number.
    Number,
    /// `ddmm.mmmm`, as degrees.
    Degrees,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((field, after)) = after.split_once('}').filter(|_| brace == "{") else {
                return Err(format!(
                    "a `{brace}` stands alone; a field is {{name}}, and a brace itself is {brace}{brace}"
                ));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into_bytes().into()));
            } else if matches!(parts.last(), Some(Part::Field(..))) {
                return Err(format!("nothing stands before {{{field}}} that ends the field before it"));
            }
            parts.push(Self::field(field)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into_bytes().into()));
        }
        if parts.is_empty() {
            return Err("is empty; leave it out for every frame".to_owned());
        }
        Ok(Self { text: text.into(), parts })
    }

    fn field(text: &str) -> Result<Part, String> {
        let (name, kind) = text.split_once(':').unwrap_or((text, "text"));
        let kind = match kind {
            "text" => Kind::Text,
            "digits" => Kind::Digits,
            "number" => Kind::Number,
            "degrees" => Kind::Degrees,
            _ => {
                return Err(format!(
                    "{kind:?} is no kind of field; known here: text, digits, number, degrees"
                ));
            }
        };
        if name == "_" {
            return Ok(Part::Field(None, kind));
        }
        check_name(name)?;
        Ok(Part::Field(Some(name.into()), kind))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name, _) => name.as_deref(),
            Part::Literal(_) => None,
        })
    }

    pub fn read<'a>(
        &'a self,
        message: &'a [u8],
        values: &mut Vec<(&'a str, Value<'a>)>,
    ) -> Result<(), Mismatch<'a>> {
        let mut at = 0;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal) if message[at..].starts_with(literal) => at += literal.len(),
                Part::Literal(_) => return Err(Mismatch::Pattern(at)),
                Part::Field(name, kind) => {
                    let end = match parts.peek() {
                        Some(Part::Literal(literal)) => memmem::find(&message[at..], literal),
                        _ => Some(message.len() - at),
                    };
                    let end = at + end.ok_or(Mismatch::Pattern(at))?;
                    let value = kind.read(&message[at..end]).ok_or(Mismatch::Pattern(at))?;
                    if let Some(name) = name {
                        values.push((name, value));
                    }
                    at = end;
                }
            }
        }
        if at == message.len() { Ok(()) } else { Err(Mismatch::Pattern(at)) }
    }
}

impl Kind {
    fn read(self, bytes: &[u8]) -> Option<Value<'_>> {
        match self {
            Self::Text => Some(Value::Text(String::from_utf8_lossy(bytes))),
            Self::Digits if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) => {
                Some(Value::Text(String::from_utf8_lossy(bytes)))
            }
            Self::Digits => None,
            Self::Number => decimal(std::str::from_utf8(bytes).ok()?).map(Value::Decimal),
            Self::Degrees => degrees(std::str::from_utf8(bytes).ok()?).map(Value::Float),
        }
    }
}

/// A decimal number as JSON writes it: no plus sign, no zeros in front, a digit before the point.
fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits == "." || !all_digits(whole) || !fraction.is_none_or(all_digits) {
        return None;
    }
    let trimmed = whole.trim_start_matches('0');
    let trimmed = if trimmed.is_empty() { "0" } else { trimmed };
    match fraction.filter(|fraction| !fraction.is_empty()) {
        None if text == trimmed => Some(Cow::Borrowed(text)),
        None => Some(Cow::Owned(format!("{sign}{trimmed}"))),
        Some(fraction) => Some(Cow::Owned(format!("{sign}{trimmed}.{fraction}"))),
    }
}

/// `ddmm.mmmm` or `dddmm.mmmm`: degrees and minutes (NMEA 0183), in degrees to a tenth of a metre.
fn degrees(text: &str) -> Option<f64> {
    let point = text.find('.').unwrap_or(text.len());
    let minutes_at = point.checked_sub(2)?;
    let all_digits = text.bytes().filter(|byte| *byte != b'.').all(|byte| byte.is_ascii_digit());
    if !all_digits || point > 5 {
        return None;
    }
    let whole: f64 = if minutes_at == 0 { 0.0 } else { text[..minutes_at].parse().ok()? };
    let minutes: f64 = text[minutes_at..].parse().ok()?;
    (minutes < 60.0 && whole <= 180.0).then(|| ((whole + minutes / 60.0) * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_json_has_them() {
        for (text, json) in [
            ("007", "7"),
            ("-0012.50", "-12.50"),
            ("+3", "3"),
            ("0", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1.0", "1.0"),
        ] {
            assert_eq!(decimal(text).as_deref(), Some(json), "{text}");
        }
        for text in ["", "-", ".", "1e5", "0x1", "1 ", "1.2.3", "--1", "NaN"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn degrees_and_minutes_are_degrees() {
        assert_eq!(degrees("2234.4669"), Some(22.574448));
        assert_eq!(degrees("11403.0000"), Some(114.05));
        assert_eq!(degrees("00.0"), Some(0.0));
        for text in ["", "5", "2260.0", "18100.0", "-1200.0", "12ab.0", "123456.0", "1.2.3"] {
            assert_eq!(degrees(text), None, "{text}");
        }
    }
}
