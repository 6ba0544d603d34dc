//! One client's state machine. It is told commands, outcomes and the time, and answers with [`Action`]s.
//!
//! What this folder does not know: bytes, sockets, other clients, and where channels are kept. Actions are
//! appended to a list of the caller's, so a session that waits holds no queue. Whatever an engine call's outcome
//! needs travels in its [`Ticket`], so a session holds nothing for a call under way either.
//!
//! | file | decides |
//! |---|---|
//! | `connect` | who may connect, and with which subscriptions of the server's |
//! | `subscribe` | who may join, what is recovered, how a membership ends |
//! | `recovery` | whether what was missed can be had (pure) |
//! | `ask` | publish, presence, history, rpc, refresh |
//! | `keepalive` | pings, pongs, leases |
//! | `vouched` | what is different for a device, which its listener vouches for |

mod action;
mod ask;
mod connect;
mod keepalive;
mod recovery;
mod rules;
mod subscribe;
#[cfg(test)]
mod tests;
mod vouched;

use std::sync::Arc;

use wharf_proto::{
    Disconnect,
    message::{Channel, ClientId, ClientInfo, Command, ErrorReply, Reply, ReplyBody, Request},
};

pub use self::action::{Action, Outcome, Ticket};
pub use self::ask::{check_epoch, history_filter};
pub use self::rules::Rules;
pub use self::subscribe::{
    Grant, INSUFFICIENT_STATE, Subscription, SubscriptionState, UNSUBSCRIBED_BY_SERVER,
};
use self::{action::Subject, connect::Connecting, keepalive::Keepalive};
pub use crate::liveness::Heartbeat;
use crate::{broker::BrokerError, liveness::Policy, time::Millis};

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No `connect` yet.
    Opening,
    /// The `connect` waits for the outcome of its subscriptions.
    Connecting,
    /// Commands are served.
    Connected,
    /// Nothing is served any more: the connection is being closed.
    Ended,
}

/// What kind of client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It sends commands, and asks for its subscriptions.
    Client,
    /// It sends no commands; its subscriptions come with the connect request and are the server's.
    OneWay,
    /// The listener's configuration vouches for it: it needs no permission to publish and to subscribe, and its
    /// subscriptions are the server's. Known from the connect on.
    Device,
}

/// One client's state. An idle subscribed session costs this struct, one [`Subscription`] a channel and one
/// shared [`ClientInfo`]; a test holds the sizes.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    standing: Standing,
    /// Counts the subscriptions begun, so that the outcome of one that was given up is known as such.
    attempts: u16,
    keepalive: Keepalive,
    info: Option<Arc<ClientInfo>>,
    client: ClientId,
    subscriptions: Vec<Subscription>,
    connecting: Option<Box<Connecting>>,
}

impl Session {
    /// A session that waits for its `connect` until `now + rules.authenticate_ms`.
    pub fn new(client: ClientId, policy: Policy, one_way: bool, rules: &Rules, now: Millis) -> Self {
        Self {
            phase: Phase::Opening,
            standing: if one_way { Standing::OneWay } else { Standing::Client },
            attempts: 0,
            keepalive: Keepalive::opening(policy, rules, now),
            info: None,
            client,
            subscriptions: Vec::new(),
            connecting: None,
        }
    }

    /// How far the session has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The connection's identifier.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Who it is, once connected.
    pub fn info(&self) -> Option<&Arc<ClientInfo>> {
        self.info.as_ref()
    }

    /// How it shows life, and in what times.
    pub fn liveness_policy(&self) -> Policy {
        self.keepalive.policy()
    }

    /// The channels of the client.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// One channel of the client.
    pub fn subscription_mut(&mut self, channel: &Channel) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.channel == *channel)
    }

    /// Carries out one command. All commands go through here, in their order.
    pub fn handle_command(
        &mut self,
        command: Command,
        rules: &Rules,
        now: Millis,
        actions: &mut Vec<Action>,
    ) {
        let Command { id, request } = command;
        match (self.phase, request) {
            (Phase::Ended, _) => {}
            (Phase::Opening, Request::Connect(request)) => self.connect(id, *request, rules, now, actions),
            (Phase::Opening, _) => self.refuse(CONNECT_FIRST, actions),
            (_, Request::Connect(_)) => self.refuse(CONNECT_ONCE, actions),
            (_, Request::Pong) => self.handle_pong(now, actions),
            (_, Request::Heartbeat) => self.handle_heartbeat(id, now, actions),
            // A device need not await the answer to its login.
            (Phase::Connecting, request @ Request::Publish { .. }) if self.is_vouched() => {
                self.serve(id, request, rules, actions)
            }
            // Only sessions with subscriptions of the server's wait in this phase, and those have nothing to ask.
            (Phase::Connecting, _) => self.refuse(ONE_WAY, actions),
            (Phase::Connected, request) => self.serve(id, request, rules, actions),
        }
    }

    fn serve(&mut self, id: u32, request: Request, rules: &Rules, actions: &mut Vec<Action>) {
        match request {
            Request::Subscribe(request) => self.subscribe(id, request, rules, actions),
            Request::Unsubscribe { channel } => self.unsubscribe(id, &channel, actions),
            Request::Publish { channel, data } => self.publish(id, &channel, data, rules, actions),
            Request::Presence { channel } => self.presence(id, &channel, rules, actions),
            Request::PresenceStats { channel } => self.presence_stats(id, &channel, rules, actions),
            Request::History(request) => self.history(id, request, rules, actions),
            Request::Rpc { method, data } => self.rpc(id, &method, data, rules, actions),
            Request::Send { .. } => self.disconnect(&Disconnect::NOT_AVAILABLE, actions),
            Request::Refresh { token } => self.refresh(&token, actions),
            Request::SubRefresh { channel, token } => self.sub_refresh(id, &channel, &token, actions),
            Request::Unsupported => self.reply(id, Err(ErrorReply::NOT_AVAILABLE), actions),
            Request::Answer { data } if self.is_vouched() => actions.push(Action::Answered { id, data }),
            Request::Answer { .. } => self.refuse(NOT_ASKED, actions),
            // `handle_command` has served these.
            Request::Connect(_) | Request::Pong | Request::Heartbeat => {}
        }
    }

    /// Takes the outcome of an engine call.
    pub fn handle_outcome(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        rules: &Rules,
        now: Millis,
        actions: &mut Vec<Action>,
    ) {
        let id = ticket.id;
        match (outcome, ticket.subject) {
            (Outcome::Subscribed { channel, page }, Subject::Subscribe { attempt, request }) => {
                self.subscribed(id, &channel, attempt, &request, page, actions);
                self.follow_interval_of(&channel, rules, now);
                self.finish_connecting(rules, now, actions);
            }
            (Outcome::History(result), Subject::History(channel, request)) => {
                self.historied(id, channel, &request, result, actions)
            }
            (Outcome::Published(result), _) => self.answer(id, result.map(|_| ReplyBody::Publish), actions),
            (Outcome::Presence(result), Subject::Presence(channel)) => {
                let result = result.map(ReplyBody::Presence).map_err(broker_error);
                self.reply_about(channel, id, result, actions);
            }
            (Outcome::PresenceStats(result), _) => {
                self.answer(id, result.map(ReplyBody::PresenceStats), actions)
            }
            (Outcome::Subscribed { .. } | Outcome::History(_) | Outcome::Presence(_), _) => {
                debug_assert!(false, "a driver gave a ticket back with another call's outcome");
            }
        }
    }

    fn answer(&self, id: u32, result: Result<ReplyBody, BrokerError>, actions: &mut Vec<Action>) {
        self.reply(id, result.map_err(broker_error), actions);
    }

    fn reply(&self, id: u32, result: Result<ReplyBody, ErrorReply>, actions: &mut Vec<Action>) {
        self.say(None, id, result, actions);
    }

    /// A reply that tells what was said in the channel, or who is there.
    fn reply_about(
        &self,
        channel: Channel,
        id: u32,
        result: Result<ReplyBody, ErrorReply>,
        actions: &mut Vec<Action>,
    ) {
        self.say(Some(channel), id, result, actions);
    }

    fn say(
        &self,
        about: Option<Channel>,
        id: u32,
        result: Result<ReplyBody, ErrorReply>,
        actions: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Ended {
            actions.push(Action::Reply { reply: Reply { id, result }, about });
        }
    }

    fn refuse(&mut self, why: &'static str, actions: &mut Vec<Action>) {
        self.disconnect(&Disconnect::BAD_REQUEST.with_reason(why), actions);
    }

    /// Ends the session and asks for the end of its connection.
    pub fn disconnect(&mut self, disconnect: &Disconnect, actions: &mut Vec<Action>) {
        if self.phase != Phase::Ended {
            self.end(actions);
            actions.push(Action::Disconnect(disconnect.clone()));
        }
    }

    /// The connection is gone or about to be: gives up all memberships. Says nothing to the client.
    pub fn end(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Ended {
            self.release(actions);
        }
        self.phase = Phase::Ended;
        self.connecting = None;
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.leave(subscription, actions);
        }
    }

    /// When [`Session::handle_timeout`] wants to be called; `now` if something is overdue.
    pub fn poll_timeout(&self, now: Millis) -> Option<Millis> {
        match self.phase {
            Phase::Ended => None,
            phase => self.keepalive.due(phase, now),
        }
    }
}

fn broker_error(error: BrokerError) -> ErrorReply {
    match error {
        BrokerError::Unavailable(_) => ErrorReply::INTERNAL,
        BrokerError::Full { limit } => {
            ErrorReply::LIMIT_EXCEEDED.with_message(format!("the server's limit {limit} is reached"))
        }
    }
}

const CONNECT_FIRST: &str = "the first command must be connect";
const CONNECT_ONCE: &str = "connect was sent twice";
const NOT_ASKED: &str = "an answer came without a question";
const ONE_WAY: &str = "a one-way connection takes no commands";
