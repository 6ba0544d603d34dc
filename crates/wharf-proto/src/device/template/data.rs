//! A publication on its way to a device.

use std::borrow::Cow;

use crate::message::Data;

/// The content of a publication, read once.
#[derive(Debug)]
pub(in crate::device) enum Content {
    Json(serde_json::Value),
    /// Not JSON; shown as it is where it is UTF-8.
    Binary(Box<str>),
}

impl Content {
    pub fn new(data: &Data) -> Self {
        match data {
            Data::Json(bytes) => match serde_json::from_slice(bytes) {
                Ok(value) => Self::Json(value),
                Err(_) => Self::Json(serde_json::Value::Null), // Without data, or not checked at the edge.
            },
            Data::Binary(bytes) => Self::Binary(String::from_utf8_lossy(bytes).into()),
        }
    }

    /// The text of a string, and JSON of anything else.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Json(value) => text(value),
            Self::Binary(text) => Cow::Borrowed(text),
        }
    }

    /// The same of a member.
    pub fn member(&self, path: &[Box<str>]) -> Option<Cow<'_, str>> {
        let Self::Json(value) = self else { return None };
        path.iter().try_fold(value, |value, name| value.get(&**name)).map(text)
    }
}

fn text(value: &serde_json::Value) -> Cow<'_, str> {
    match value {
        serde_json::Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}
