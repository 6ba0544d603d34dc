//! Which frames are published where, and as what.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};

use super::{
    error::ProfileError,
    hex,
    login::ChannelName,
    read::{FrameRule, Reading},
    spec::{Publish, UpSpec},
    template::{Scope, Template},
};
use crate::{dialect::centrifuge_json::payload, json, message::Data};

/// An [`UpSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Up {
    pub rule: FrameRule,
    pub channel: ChannelName,
    pub publish: Publish,
    with: Vec<(Box<str>, Box<str>)>,
    pub answer: Option<Template>,
    pub error: Option<Template>,
}

impl Up {
    pub fn new(spec: &UpSpec) -> Result<Self, ProfileError> {
        let rule = FrameRule::new(&spec.frame)?;
        let names = rule.names();
        if spec.publish == Publish::Fields && names.is_empty() && spec.with.is_empty() {
            return Err(ProfileError::new(
                "publish",
                "publishes fields, and none is read; name some, or write \"text\" or \"hex\"",
            ));
        }
        if let Some((name, _)) = spec.with.iter().find(|(name, _)| names.contains(&name.as_str())) {
            return Err(ProfileError::new(
                "with",
                format!("{name:?} is a field of the frame; give it another name"),
            ));
        }
        if spec.publish != Publish::Fields && !spec.with.is_empty() {
            return Err(ProfileError::new(
                "with",
                "adds members to an object of fields; write publish = \"fields\"",
            ));
        }
        let scope = Scope { fields: &names, has_data: false };
        let template = |key: &str, spec: &Option<_>| {
            let template = spec.as_ref().map(|spec| Template::new(spec, scope)).transpose();
            template.map_err(|error| error.below(key))
        };
        let (answer, error) = (template("answer", &spec.answer)?, template("error", &spec.error)?);
        let channel = ChannelName::new(&spec.channel).map_err(|error| error.below("channel"))?;
        let with =
            spec.with.iter().map(|(name, text)| (name.as_str().into(), text.as_str().into())).collect();
        Ok(Self { rule, channel, publish: spec.publish, with, answer, error })
    }

    /// What is published of this frame; or why nothing can be.
    pub fn data(&self, message: &[u8], reading: &Reading<'_>) -> Result<Data, String> {
        data(self.publish, message, reading, &self.with)
    }
}

/// A frame as data of a channel, or of an answer.
pub(super) fn data(
    publish: Publish,
    message: &[u8],
    reading: &Reading<'_>,
    with: &[(Box<str>, Box<str>)],
) -> Result<Data, String> {
    let mut out = BytesMut::new();
    match publish {
        Publish::Fields => fields(reading, with, &mut out),
        Publish::Text => json::string(utf8(message)?, &mut out),
        Publish::Base64 => json::string(&STANDARD.encode(message), &mut out),
        Publish::Hex => json::string(&hex(message), &mut out),
        Publish::Json => return json(message).map(Data::Json),
    }
    Ok(Data::Json(out.freeze()))
}

fn fields(reading: &Reading<'_>, with: &[(Box<str>, Box<str>)], out: &mut BytesMut) {
    let mut object = json::Object::open(out);
    for (name, text) in with {
        json::string(text, object.escaped_key(name));
    }
    for (name, value) in &reading.0 {
        // The names of hidden fields begin so.
        if !name.starts_with('_') {
            value.write_json(object.escaped_key(name));
        }
    }
    object.close();
}

fn utf8(message: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(message).map_err(|error| format!("the byte at {} is no UTF-8", error.valid_up_to()))
}

fn json(message: &[u8]) -> Result<Bytes, String> {
    payload::parse(utf8(message)?).map_err(|error| error.to_string())
}

impl Publish {
    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Fields => "an object of their fields",
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Hex => "hexadecimal digits",
            Self::Json => "the JSON that they are",
        }
    }
}
