//! How a device is asked for something, and which of its frames answers.

use super::{
    error::ProfileError,
    read::{FrameRule, Reading},
    spec::{Publish, RequestSpec},
    template::{Scope, Template},
};

/// A [`RequestSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Asking {
    pub template: Template,
    pub answer: FrameRule,
    seq: Option<Box<str>>,
    mask: u32,
    pub publish: Publish,
}

impl Asking {
    pub fn new(spec: &RequestSpec) -> Result<Self, ProfileError> {
        let scope = Scope { fields: &[], has_data: true };
        let template = Template::new(&spec.template, scope).map_err(|error| error.below("template"))?;
        let answer = FrameRule::new(&spec.answer).map_err(|error| error.below("answer"))?;
        if answer.is_any() {
            return Err(ProfileError::new("answer", "every frame would be an answer; say which are"));
        }
        let names = answer.names();
        if let Some(seq) = &spec.seq {
            if !names.contains(&seq.as_str()) {
                let message =
                    format!("no field of the answer is called {seq:?}; it has: {}", names.join(", "));
                return Err(ProfileError::new("seq", message));
            }
            if !template.counts() {
                return Err(ProfileError::new(
                    "template",
                    "the answer holds the number {seq}, and nothing says it",
                ));
            }
        }
        if !(1..=32).contains(&spec.seq_bits) {
            return Err(ProfileError::new("seq_bits", "write a number from 1 to 32"));
        }
        if spec.publish == Publish::Fields && names.is_empty() {
            return Err(ProfileError::new("publish", "hands out fields, and none is read of the answer"));
        }
        let seq = spec.seq.as_deref().map(Into::into);
        Ok(Self { template, answer, seq, mask: u32::MAX >> (32 - spec.seq_bits), publish: spec.publish })
    }

    /// Whether an answer does not say what it answers.
    pub fn is_ordered(&self) -> bool {
        self.seq.is_none()
    }

    /// How many requests a device can tell apart.
    pub fn at_once(&self) -> usize {
        if self.is_ordered() { 1 } else { usize::try_from(self.mask).unwrap_or(usize::MAX).saturating_add(1) }
    }

    /// The number of a request, as the device is told it.
    pub fn shown(&self, number: u32) -> u32 {
        number & self.mask
    }

    /// Which number a frame answers: none where the device answers in order; an error where it says none.
    pub fn answered(&self, reading: &Reading<'_>) -> Option<Option<u32>> {
        let Some(seq) = &self.seq else { return Some(None) };
        let text = reading.value(seq)?.to_string();
        text.parse::<u64>()
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .map(|number| Some(number & self.mask))
    }

    pub fn explain(&self) -> String {
        match &self.seq {
            Some(seq) => format!("by the number in `{seq}`"),
            None => "in order, one at a time".to_owned(),
        }
    }
}
