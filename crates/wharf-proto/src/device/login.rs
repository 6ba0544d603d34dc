//! Which frame names the device, and who is let in.

use subtle::ConstantTimeEq;

use super::{
    error::ProfileError,
    read::{FrameRule, Reading},
    spec::{LoginSpec, TokenSpec},
    template::{Scope, Template},
};
use crate::{Disconnect, message::Channel};

/// The longest id of a device, in bytes. LIMITS.md, `ID_BYTES`.
pub const ID_BYTES: usize = 64;

/// A [`LoginSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Login {
    pub rule: FrameRule,
    id: Box<str>,
    token: Option<TokenSpec>,
    allow: Vec<Box<str>>,
    pub seen_in: Vec<ChannelName>,
    pub answer: Option<Template>,
    pub refusal: Option<Template>,
    pub strict: bool,
}

impl Login {
    pub fn new(spec: &LoginSpec) -> Result<Self, ProfileError> {
        let rule = FrameRule::new(&spec.frame)?;
        let names = rule.names();
        let is_read = |key: &str, field: &str| match names.contains(&field) {
            true => Ok(()),
            false => Err(ProfileError::new(
                key,
                format!("no field of the frame is called {field:?}; it has: {}", names.join(", ")),
            )),
        };
        is_read("id", &spec.id)?;
        if let Some(token) = &spec.token {
            is_read("token.field", &token.field)?;
            if token.shared.is_none() && token.by_id.is_empty() {
                return Err(ProfileError::new(
                    "token",
                    "says nothing to compare with; give `shared` or `by_id`",
                ));
            }
            if token.shared.iter().chain(token.by_id.iter().map(|(_, secret)| secret)).any(String::is_empty) {
                return Err(ProfileError::new(
                    "token",
                    "an empty secret proves nothing; write a long random one",
                ));
            }
        }
        if spec.allow.is_empty() {
            let mend = "says who may come: ids, `*` in them for any characters; [\"*\"] lets every device in";
            return Err(ProfileError::new("allow", mend));
        }
        let scope = Scope { fields: &names, has_data: false };
        let template = |key: &str, spec: &Option<_>| {
            let template = spec.as_ref().map(|spec| Template::new(spec, scope)).transpose();
            template.map_err(|error| error.below(key))
        };
        let answer = template("answer", &spec.answer)?;
        let refusal = template("refusal", &spec.refusal)?;
        let mut seen_in = Vec::new();
        for channel in &spec.seen_in {
            seen_in.push(ChannelName::new(channel).map_err(|error| error.below("seen_in"))?);
        }
        let allow = spec.allow.iter().map(|id| id.as_str().into()).collect();
        let (id, token, strict) = (spec.id.as_str().into(), spec.token.clone(), spec.strict);
        Ok(Self { rule, id, token, allow, seen_in, answer, refusal, strict })
    }

    /// Who the frame says that it is.
    pub fn name(&self, reading: &Reading<'_>) -> Option<String> {
        reading.value(&self.id).map(ToString::to_string)
    }

    /// Whether this device may come, with what its frame says beside its name.
    pub fn admit(&self, id: &str, reading: &Reading<'_>) -> Result<(), Disconnect> {
        check_id(id)?;
        if !self.allow.iter().any(|pattern| fits(pattern, id)) {
            return Err(
                Disconnect::PERMISSION_DENIED.with_reason(format!("no device {id:?} is allowed here"))
            );
        }
        let Some(token) = &self.token else { return Ok(()) };
        let said = reading.value(&token.field).map(ToString::to_string).unwrap_or_default();
        let own = token.by_id.iter().find(|(known, _)| known == id).map(|(_, secret)| secret);
        let proves = |secret: &String| bool::from(secret.as_bytes().ct_eq(said.as_bytes()));
        match own.or(token.shared.as_ref()).is_some_and(proves) {
            true => Ok(()),
            false => {
                Err(Disconnect::INVALID_TOKEN.with_reason(format!("the token of device {id:?} is wrong")))
            }
        }
    }

    pub fn explain_allowed(&self) -> String {
        match self.allow.iter().any(|pattern| **pattern == *"*") {
            true => "every id may come".to_owned(),
            false if self.allow.len() > 5 => format!("{} ids or patterns may come", self.allow.len()),
            false => format!("{} may come", self.allow.join(", ")),
        }
    }

    pub fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }
}

/// An id becomes a part of channel names and of log lines, so it may hold nothing that means something there.
fn check_id(id: &str) -> Result<(), Disconnect> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match id.len() {
        1..=ID_BYTES if id.bytes().all(good) => Ok(()),
        _ => Err(Disconnect::PERMISSION_DENIED.with_reason(format!(
            "the device's id must be 1 to {ID_BYTES} letters, digits, `.`, `_` or `-`"
        ))),
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any characters. Takes time in proportion to both.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

/// A channel whose name holds the device's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelName(Box<str>);

impl ChannelName {
    pub fn new(text: &str) -> Result<Self, ProfileError> {
        let name = Self(text.into());
        let longest = "x".repeat(ID_BYTES);
        let left = text.replace("{id}", "");
        if left.contains(['{', '}']) {
            return Err(ProfileError::new("", format!("{text:?} may hold {{id}} and no other field")));
        }
        match Channel::parse(&name.of(&longest)) {
            Ok(_) => Ok(name),
            Err(error) => Err(ProfileError::new("", format!("{text:?} with an id in it: {error}"))),
        }
    }

    /// The channel of this device.
    pub fn of(&self, id: &str) -> String {
        self.0.replace("{id}", id)
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("35*", "35"),
            ("35*", "3512"),
            ("*-a", "x-a"),
            ("a*b*c", "a1b2bc"),
            ("a*a", "aa"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("35", "351"), ("35*", "53"), ("*-a", "x-ab"), ("a*a", "a"), ("a*b*c", "acb"), ("", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    // Row 91: an id cannot reach into another channel, a wildcard or a log line.
    #[test]
    fn an_id_is_letters_and_digits() {
        for id in ["355488020123456", "meter-7.a_B"] {
            assert!(check_id(id).is_ok());
        }
        for id in ["", "a/b", "../x", "a*", ">", "a b", "a\n", "\u{fc}", "a:b", &"x".repeat(65)] {
            assert_eq!(check_id(id).unwrap_err().code, 3507, "{id:?}");
        }
    }
}
