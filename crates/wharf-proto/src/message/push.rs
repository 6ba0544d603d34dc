//! Pushes: what the server says unasked.

use std::{borrow::Cow, sync::Arc};

use super::{Channel, ClientInfo, Data, Epoch, Publication, SubscribeResult};

/// What the server says unasked to one connection. What is said to all members of a channel alike is a
/// [`Broadcast`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Push {
    Broadcast(Arc<Broadcast>),
    /// Unsubscribed by the server. Codes from 2500 ask the client to subscribe again.
    Unsubscribe {
        channel: Channel,
        code: u32,
        reason: Cow<'static, str>,
    },
    /// Subscribed by the server.
    Subscribe {
        channel: Channel,
        result: SubscribeResult,
    },
    Message {
        data: Data,
    },
    /// A question to a client that answers with [`Request::Answer`](super::Request::Answer) under the same number. Says
    /// nothing where its answer could be taken for that of another open question
    /// ([`Profile::questions_at_once`](crate::device::Profile::questions_at_once)); a question is open until it is
    /// answered or forgotten ([`Conversation::forget_question`](crate::wire::Conversation::forget_question)).
    Ask {
        id: u32,
        data: Data,
    },
    /// The connection is about to be closed by the server.
    Disconnect(crate::Disconnect),
    Ping,
}

impl Push {
    /// The channel of which this tells, if it tells of one.
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Self::Broadcast(broadcast) => Some(&broadcast.channel),
            Self::Unsubscribe { channel, .. } | Self::Subscribe { channel, .. } => Some(channel),
            Self::Message { .. } | Self::Ask { .. } | Self::Disconnect(_) | Self::Ping => None,
        }
    }
}

/// What is said to the members of a channel, the same to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Where it is said.
    pub channel: Channel,
    /// What is said.
    pub body: BroadcastBody,
}

/// The kinds of [`Broadcast`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BroadcastBody {
    /// Carries the epoch of its offset; none where the channel keeps no history.
    Publication {
        publication: Arc<Publication>,
        epoch: Option<Epoch>,
    },
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}
