//! What is said to a device: bytes with fields in braces, filled in when it is said.
//!
//! ```text
//! HQ,{id},R12,{now:%H%M%S}          in text
//! 05 01 {serial:u16be}              in hexadecimal digits
//! ```
//!
//! What comes from a publication is written so that it cannot say more than it should: without control characters into
//! text, and the framing refuses marks of its own.

mod data;
mod format;
mod parse;
#[cfg(test)]
mod tests;
mod time;

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

pub(super) use self::data::Content;
use self::{format::Format, time::TimeFormat};
use super::{error::ProfileError, read::Reading, spec::TemplateSpec};

/// A [`TemplateSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// Text: control characters are not for it.
    is_text: bool,
}

#[derive(Debug)]
enum Part {
    Literal(Box<[u8]>),
    Value(Source, Format),
    Time(TimeFormat),
}

/// Where a value comes from.
#[derive(Debug, PartialEq)]
enum Source {
    /// The device's id.
    Id,
    /// A number that counts what is said.
    Seq,
    /// A field of the frame that is answered.
    Field(Box<str>),
    /// The whole publication.
    Data,
    /// A member of the publication, which is an object.
    Member(Box<[Box<str>]>),
}

/// What a template may speak of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scope<'a> {
    /// The fields of a frame.
    pub fields: &'a [&'a str],
    /// A publication.
    pub has_data: bool,
}

/// What fields are filled with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filling<'a> {
    pub id: &'a str,
    pub seq: u32,
    pub unix_ms: u64,
    pub reading: Option<&'a Reading<'a>>,
    pub data: Option<&'a Content>,
}

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfillable {
    #[error("the data has no member `{0}`")]
    NoMember(String),
    #[error("{field} is {found}, and {expected} is needed")]
    Kind { field: String, found: String, expected: &'static str },
    #[error(
        "{0} holds control characters, which could say more than it should; write {{{0}:raw}} to allow them"
    )]
    Control(String),
}

impl Template {
    pub fn new(spec: &TemplateSpec, scope: Scope<'_>) -> Result<Self, ProfileError> {
        parse::template(spec, scope).map_err(|message| ProfileError::new("", message))
    }

    /// Whether it speaks of the time.
    pub fn tells_time(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Time(_)))
    }

    /// Whether it speaks of a number that counts.
    pub fn counts(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(Source::Seq, _)))
    }

    /// Appends the message.
    pub fn fill(&self, filling: &Filling<'_>, out: &mut BytesMut) -> Result<(), Unfillable> {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.put_slice(bytes),
                Part::Time(format) => format.write(filling.unix_ms, out),
                Part::Value(source, format) => {
                    let value = source.value(filling)?;
                    format.write(&value, &source.name(), self.is_text, out)?;
                }
            }
        }
        Ok(())
    }
}

impl Source {
    fn value<'a>(&self, filling: &Filling<'a>) -> Result<Cow<'a, str>, Unfillable> {
        match self {
            Self::Id => Ok(Cow::Borrowed(filling.id)),
            Self::Seq => Ok(Cow::Owned(filling.seq.to_string())),
            Self::Field(name) => {
                let value = filling.reading.and_then(|reading| reading.value(name));
                Ok(Cow::Owned(value.map(ToString::to_string).unwrap_or_default()))
            }
            Self::Data => Ok(filling.data.map(|data| data.text()).unwrap_or_default()),
            Self::Member(path) => {
                let found = filling.data.and_then(|data| data.member(path));
                found.ok_or_else(|| Unfillable::NoMember(path.join(".")))
            }
        }
    }

    /// As it stands in a template.
    fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Id => "id".into(),
            Self::Seq => "seq".into(),
            Self::Field(name) => (&**name).into(),
            Self::Data => "data".into(),
            Self::Member(path) => format!("data.{}", path.join(".")).into(),
        }
    }
}
