//! Which frames are meant, and what is read from them: by a pattern over text, by places over bytes, or both.
//!
//! Reading takes time in proportion to the message, whatever it holds, and never fails but by saying that another frame
//! must be meant.

mod field;
mod pattern;
#[cfg(test)]
mod tests;
mod value;

pub(super) use self::value::Value;
use self::{field::Field, pattern::Pattern};
use super::{error::ProfileError, spec::FrameSpec};

/// The most values that one frame is read into. LIMITS.md, `FIELDS`.
pub const FIELDS: usize = 64;
/// The longest name of a field, in bytes. LIMITS.md, `FIELD_NAME_BYTES`.
pub const FIELD_NAME_BYTES: usize = 64;

/// A [`FrameSpec`] that was checked.
#[derive(Debug)]
pub(super) struct FrameRule {
    pattern: Option<Pattern>,
    bytes: Vec<(i64, Box<[u8]>)>,
    length: Option<(usize, usize)>,
    fields: Vec<Field>,
}

/// What was read from a frame: names and values, in the order of the description.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading<'a>(pub Vec<(&'a str, Value<'a>)>);

impl Reading<'_> {
    pub fn value(&self, name: &str) -> Option<&Value<'_>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Why a frame is not the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mismatch<'a> {
    /// Its length.
    Length,
    /// The bytes at this place.
    Bytes(i64),
    /// The pattern fits up to this place.
    Pattern(usize),
    /// This field stands beyond the message, or cannot be read as its kind.
    Field(&'a str),
}

impl FrameRule {
    pub fn new(spec: &FrameSpec) -> Result<Self, ProfileError> {
        let pattern = spec.pattern.as_deref().map(Pattern::new).transpose();
        let pattern = pattern.map_err(|message| ProfileError::new("pattern", message))?;
        let mut fields = Vec::new();
        for (at, field) in spec.fields.iter().enumerate() {
            fields.push(Field::new(field).map_err(|error| error.below(&format!("fields[{at}]")))?);
        }
        if let Some((from, to)) = spec.length.filter(|(from, to)| from > to) {
            return Err(ProfileError::new("length", format!("from {from} to {to} is no length")));
        }
        if let Some((at, _)) =
            spec.bytes.iter().find(|(at, bytes)| *at < 0 && at.unsigned_abs() < bytes.len() as u64)
        {
            return Err(ProfileError::new(
                "match",
                format!("the bytes at {at} stand beyond the end of a message"),
            ));
        }
        let bytes = spec.bytes.iter().map(|(at, bytes)| (*at, bytes.as_slice().into())).collect();
        let rule = Self { pattern, bytes, length: spec.length, fields };
        rule.check_names()?;
        Ok(rule)
    }

    fn check_names(&self) -> Result<(), ProfileError> {
        let names = self.names();
        if names.len() > FIELDS {
            return Err(ProfileError::new(
                "fields",
                format!("are {}; at most {FIELDS} are read", names.len()),
            ));
        }
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(ProfileError::new(
                    "fields",
                    format!("{name:?} is read twice; give one another name"),
                ));
            }
        }
        Ok(())
    }

    /// What the values are called.
    pub fn names(&self) -> Vec<&str> {
        let captured = self.pattern.iter().flat_map(Pattern::names);
        captured.chain(self.fields.iter().map(Field::name)).collect()
    }

    /// Whether every frame is meant.
    pub fn is_any(&self) -> bool {
        self.pattern.is_none() && self.bytes.is_empty() && self.length.is_none() && self.fields.is_empty()
    }

    /// What the frame says, if it is one that is meant.
    pub fn read<'a>(&'a self, message: &'a [u8]) -> Result<Reading<'a>, Mismatch<'a>> {
        if self.length.is_some_and(|(from, to)| !(from..=to).contains(&message.len())) {
            return Err(Mismatch::Length);
        }
        for (at, bytes) in &self.bytes {
            let found = place(*at, message.len()).and_then(|at| message.get(at..at + bytes.len()));
            if found != Some(bytes) {
                return Err(Mismatch::Bytes(*at));
            }
        }
        let mut values = Vec::new();
        if let Some(pattern) = &self.pattern {
            pattern.read(message, &mut values)?;
        }
        for field in &self.fields {
            let value = field.read(message).ok_or(Mismatch::Field(field.name()))?;
            values.push((field.name(), value));
        }
        Ok(Reading(values))
    }

    /// In words, for `wharf check`.
    pub fn explain(&self) -> String {
        let mut words = Vec::new();
        if let Some(pattern) = &self.pattern {
            words.push(format!("that are {:?}", pattern.text()));
        }
        for (at, bytes) in &self.bytes {
            words.push(format!("with {} at {at}", super::hex(bytes)));
        }
        match self.length {
            Some((from, to)) if from == to => words.push(format!("of {from} bytes")),
            Some((from, to)) => words.push(format!("of {from} to {to} bytes")),
            None => {}
        }
        if words.is_empty() { "of any kind".to_owned() } else { words.join(", ") }
    }
}

/// A place counted from the front, or from behind the end if it is negative.
fn place(at: i64, length: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
    }
}

/// Whether a field can have this name: it stands in templates between braces, and before a colon.
fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match name.len() {
        1..=FIELD_NAME_BYTES if name.bytes().all(good) => Ok(()),
        _ => Err(format!(
            "{name:?} cannot name a field; write 1 to {FIELD_NAME_BYTES} letters, digits, `_` or `-`"
        )),
    }
}
