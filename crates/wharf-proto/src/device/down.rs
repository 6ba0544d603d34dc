//! What is said to a device of what is published to its channel.

use super::{
    error::ProfileError,
    login::ChannelName,
    spec::{DownSpec, MessageSpec},
    template::{Content, Scope, Template},
};

/// A [`DownSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Down {
    pub channel: ChannelName,
    pub messages: Vec<DownMessage>,
}

#[derive(Debug)]
pub(super) struct DownMessage {
    pub when: Option<(Box<str>, Box<str>)>,
    pub template: Template,
}

impl Down {
    pub fn new(spec: &DownSpec) -> Result<Self, ProfileError> {
        let channel = ChannelName::new(&spec.channel).map_err(|error| error.below("channel"))?;
        if spec.messages.is_empty() {
            return Err(ProfileError::new(
                "template",
                "says nothing; give a template, or leave [device.down] out",
            ));
        }
        let mut messages = Vec::new();
        for (at, spec) in spec.messages.iter().enumerate() {
            messages.push(DownMessage::new(spec).map_err(|error| error.below(&format!("messages[{at}]")))?);
        }
        Ok(Self { channel, messages })
    }

    /// How this publication is written; none where no condition holds.
    pub fn message(&self, content: &Content) -> Option<&DownMessage> {
        self.messages.iter().find(|message| {
            message.when.as_ref().is_none_or(|(member, value)| {
                content.member(std::slice::from_ref(member)).is_some_and(|found| *found == **value)
            })
        })
    }
}

impl DownMessage {
    fn new(spec: &MessageSpec) -> Result<Self, ProfileError> {
        let scope = Scope { fields: &[], has_data: true };
        let template = Template::new(&spec.template, scope).map_err(|error| error.below("template"))?;
        let when = spec.when.as_ref().map(|(member, value)| (member.as_str().into(), value.as_str().into()));
        Ok(Self { when, template })
    }
}
