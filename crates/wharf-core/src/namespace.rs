//! What channels are like: options by namespace (the text before the first `:`).

use std::collections::HashMap;

use wharf_proto::message::Channel;

use crate::broker::HistoryPolicy;

/// What a channel offers and who may do what in it. The names are Centrifugo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct ChannelOptions {
    /// Who is there is kept and may be asked.
    pub presence: bool,
    /// Joins and leaves are told to members that wish it.
    pub join_leave: bool,
    /// Joins and leaves are told to every member.
    pub force_push_join_leave: bool,
    /// What is said there, and who is there, is never compressed: secrets beside text of an attacker's choice would
    /// be told by the compressed length.
    pub uncompressed: bool,
    /// What is kept of the past.
    pub history: HistoryPolicy,
    /// Members are pinged at least this often, in milliseconds; 0: as often as everybody.
    pub ping_interval_ms: u32,
    /// Every member's position is watched / may be watched on its wish.
    pub force_positioning: bool,
    pub allow_positioning: bool,
    /// Every member may recover / may on its wish.
    pub force_recovery: bool,
    pub allow_recovery: bool,
    /// Who may do what: any client; clients that are members; also those without a user.
    pub allow_subscribe_for_client: bool,
    pub allow_subscribe_for_anonymous: bool,
    pub allow_publish_for_client: bool,
    pub allow_publish_for_subscriber: bool,
    pub allow_publish_for_anonymous: bool,
    pub allow_presence_for_client: bool,
    pub allow_presence_for_subscriber: bool,
    pub allow_presence_for_anonymous: bool,
    pub allow_history_for_client: bool,
    pub allow_history_for_subscriber: bool,
    pub allow_history_for_anonymous: bool,
}

impl ChannelOptions {
    /// Development mode: everything is on and everybody may do everything; joins and leaves go to those who ask.
    pub const DEVELOPMENT: Self = Self {
        presence: true,
        join_leave: true,
        force_push_join_leave: false,
        uncompressed: false,
        history: HistoryPolicy { size: 300, ttl_ms: 600_000, meta_ttl_ms: 30 * 24 * 3_600_000 },
        ping_interval_ms: 0,
        force_positioning: false,
        allow_positioning: true,
        force_recovery: true,
        allow_recovery: true,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_subscriber: true,
        allow_publish_for_anonymous: true,
        allow_presence_for_client: true,
        allow_presence_for_subscriber: true,
        allow_presence_for_anonymous: true,
        allow_history_for_client: true,
        allow_history_for_subscriber: true,
        allow_history_for_anonymous: true,
    };
}

/// The options of every channel.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    /// Channels without a `:`, and all channels where no namespace is configured.
    pub without_namespace: ChannelOptions,
    /// Channels `name:rest`.
    pub named: HashMap<Box<str>, ChannelOptions>,
}

impl Namespaces {
    /// A channel's options; none if its namespace is unknown (error 102). With no namespaces configured any
    /// `prefix:name` is served.
    pub fn options(&self, channel: &Channel) -> Option<&ChannelOptions> {
        match channel.namespace() {
            Some(namespace) if !self.named.is_empty() => self.named.get(namespace),
            _ => Some(&self.without_namespace),
        }
    }

    /// Whether what tells of this channel may be compressed; of one whose namespace is unknown it may not.
    pub fn may_compress(&self, channel: &Channel) -> bool {
        self.options(channel).is_some_and(|options| !options.uncompressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row 39.
    #[test]
    fn compression_is_switched_off_for_one_namespace_and_for_those_that_nobody_knows() {
        let secret = ChannelOptions { uncompressed: true, ..ChannelOptions::DEVELOPMENT };
        let named = [("bank", secret), ("chat", ChannelOptions::DEVELOPMENT)];
        let namespaces = Namespaces {
            without_namespace: ChannelOptions::DEVELOPMENT,
            named: named.map(|(name, options)| (name.into(), options)).into(),
        };
        for (name, may) in [("bank:1", false), ("chat:1", true), ("news", true), ("unknown:1", false)] {
            let channel = Channel::parse(name).unwrap();
            assert_eq!(namespaces.may_compress(&channel), may, "{name}");
        }
    }
}
