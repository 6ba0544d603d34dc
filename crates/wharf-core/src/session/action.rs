//! What a session asks of whoever drives it, and what it is told in return.

use std::sync::Arc;

use wharf_proto::{
    Disconnect,
    message::{
        Channel, ClientId, ClientInfo, Data, HistoryRequest, Position, PresenceStats, Push, Reply,
        SubscribeRequest,
    },
};

use super::Grant;
use crate::{
    broker::{BrokerError, HistoryFilter, HistoryPage, HistoryPolicy, PublishRequest, Published},
    hub::Seat,
};

/// What a session asks of whoever drives it. Actions are carried out in their order.
#[derive(Debug)]
pub enum Action {
    /// Say this.
    Reply {
        /// What.
        reply: Reply,
        /// The channel of which it tells what was said or who is there; none where it tells nothing of the kind, and
        /// for a connect reply, which names the channels itself.
        about: Option<Channel>,
    },
    /// Say this.
    Push(Push),
    /// Say the framing's own ping.
    PingFrame,
    /// Seat the client in the channel, holding back what is broadcast there, then read the history as `read`
    /// says; the outcome is [`Outcome::Subscribed`].
    Subscribe {
        /// Which channel.
        channel: Channel,
        /// None where the channel keeps no history.
        read: Option<(HistoryFilter, HistoryPolicy)>,
        /// What the member is to hear.
        grant: Grant,
        /// Given back with the outcome.
        ticket: Ticket,
    },
    /// The subscribe reply has been said: let through what was held back, from after `reached` on.
    Activate {
        /// Which channel.
        channel: Channel,
        /// The last position that the reply covered; none where the channel keeps no history.
        reached: Option<Position>,
    },
    /// Give up the seat in the channel, if there is one.
    Vacate {
        /// Which channel.
        channel: Channel,
        /// Where the member sat.
        seat: Option<Seat>,
    },
    /// Publish; the outcome is [`Outcome::Published`].
    Publish {
        /// Where.
        channel: Channel,
        /// What.
        request: PublishRequest,
        /// Given back with the outcome.
        ticket: Ticket,
    },
    /// Read the past; the outcome is [`Outcome::History`].
    History {
        /// Where.
        channel: Channel,
        /// Which part.
        filter: HistoryFilter,
        /// What the channel keeps.
        policy: HistoryPolicy,
        /// Given back with the outcome.
        ticket: Ticket,
    },
    /// Ask who is there; the outcome is [`Outcome::Presence`].
    Presence {
        /// Where.
        channel: Channel,
        /// Given back with the outcome.
        ticket: Ticket,
    },
    /// Ask how many are there; the outcome is [`Outcome::PresenceStats`].
    PresenceStats {
        /// Where.
        channel: Channel,
        /// Given back with the outcome.
        ticket: Ticket,
    },
    /// Add the client to the channel's presence or renew its lease; no outcome.
    RenewPresence {
        /// Where.
        channel: Channel,
        /// Who.
        info: Arc<ClientInfo>,
    },
    /// Remove the client from the channel's presence; no outcome.
    RemovePresence {
        /// Where.
        channel: Channel,
        /// Who.
        client: ClientId,
    },
    /// Tell the members that wish it that the client joined; no outcome.
    AnnounceJoin {
        /// Where.
        channel: Channel,
        /// Who.
        info: Arc<ClientInfo>,
    },
    /// Tell the members that wish it that the client left; no outcome.
    AnnounceLeave {
        /// Where.
        channel: Channel,
        /// Who.
        info: Arc<ClientInfo>,
    },
    /// Be the one connection of this device, which the listener vouches for; no outcome. Whoever carries it out
    /// drops what the session left behind it and calls [`Session::end_unclaimed`](super::Session::end_unclaimed) instead
    /// if the device is not this connection's.
    Claim {
        /// The device's identifier.
        device: Arc<str>,
    },
    /// The session that claimed a device has ended.
    Release {
        /// The device's identifier.
        device: Arc<str>,
    },
    /// The client answered what it was asked under this number.
    Answered {
        /// The number of the question.
        id: u32,
        /// The answer.
        data: Data,
    },
    /// End the connection. The session has ended.
    Disconnect(Disconnect),
}

/// What an engine call's outcome needs to become a reply; travels with the call.
#[derive(Debug)]
pub struct Ticket {
    /// The command's number.
    pub(super) id: u32,
    /// The question, where the answer depends on it.
    pub(super) subject: Subject,
}

#[derive(Debug)]
pub(super) enum Subject {
    Subscribe {
        /// Which of the session's attempts it is.
        attempt: u16,
        request: Box<SubscribeRequest>,
    },
    History(Channel, Box<HistoryRequest>),
    Presence(Channel),
    Other,
}

/// What an engine call came to.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Outcome {
    /// The page is none where the channel keeps no history.
    Subscribed {
        channel: Channel,
        page: Result<Option<HistoryPage>, BrokerError>,
    },
    Published(Result<Published, BrokerError>),
    History(Result<HistoryPage, BrokerError>),
    Presence(Result<Vec<Arc<ClientInfo>>, BrokerError>),
    PresenceStats(Result<PresenceStats, BrokerError>),
}
