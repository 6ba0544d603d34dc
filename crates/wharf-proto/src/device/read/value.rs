//! A value that was read from a frame.

use std::{borrow::Cow, fmt};

use bytes::{BufMut, BytesMut};

use crate::json;

#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(i128),
    /// Finite.
    Float(f64),
    /// A number as JSON writes it.
    Decimal(Cow<'a, str>),
}

impl Value<'_> {
    pub fn write_json(&self, out: &mut BytesMut) {
        match self {
            Self::Text(text) => json::string(text, out),
            Self::Integer(number) => json::number(*number, out),
            Self::Float(number) => out.put_slice(number.to_string().as_bytes()),
            Self::Decimal(text) => out.put_slice(text.as_bytes()),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Decimal(text) => formatter.write_str(text),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number}"),
        }
    }
}
