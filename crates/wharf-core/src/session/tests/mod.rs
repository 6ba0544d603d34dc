//! One session, told commands, outcomes and times, and asked for actions.

mod asking;
mod connecting;
mod keeping_alive;
mod recovering;
mod server_side;
mod sizes;
mod subscribing;
mod vouched;

use bytes::Bytes;
use wharf_proto::message::{
    ConnectRequest, Data, Epoch, HistoryRequest, Position, Publication, Push, SubscribeRequest,
    SubscribeResult,
};

use super::*;
use crate::{
    broker::{HistoryPage, HistoryPolicy},
    namespace::{ChannelOptions, Namespaces},
};

fn rules() -> Rules {
    Rules {
        namespaces: Namespaces { without_namespace: ChannelOptions::DEVELOPMENT, ..Namespaces::default() },
        development: true,
        allow_anonymous_connect: true,
        rpc_echo: true,
        channels_per_client: 128,
        history_answer: 300,
        authenticate_ms: 10_000,
        ping_interval_ms: 25_000,
        pong_timeout_ms: 10_000,
        ping_interval_least_ms: 5_000,
        ping_interval_most_ms: 120_000,
        presence_lease_ms: 60_000,
        presence_renew_ms: 20_000,
        version: "test",
    }
}

/// Rules whose one kind of channel is as `change` makes it.
fn rules_with(change: impl FnOnce(&mut ChannelOptions)) -> Rules {
    let mut rules = rules();
    change(&mut rules.namespaces.without_namespace);
    rules
}

const START: Millis = Millis(1_000_000);

/// A session and whoever drives it.
struct Driver {
    session: Session,
    rules: Rules,
    now: Millis,
}

impl Driver {
    fn new(rules: Rules, heartbeat: Heartbeat, one_way: bool) -> Self {
        let session = {
            let policy = rules.heartbeat_policy(heartbeat);
            Session::new(ClientId::from_random(7), policy, one_way, &rules, START)
        };
        Self { session, rules, now: START }
    }

    /// A client that is connected.
    fn connected(rules: Rules) -> Self {
        let mut driver = Self::new(rules, Heartbeat::Pong, false);
        let actions = driver.command(1, Request::Connect(Box::default()));
        assert!(matches!(replies(&actions)[..], [(1, Ok(ReplyBody::Connect(_)))]), "{actions:?}");
        driver
    }

    /// A client that is connected and a member of `news`.
    fn subscribed(rules: Rules) -> Self {
        let mut driver = Self::connected(rules);
        driver.subscribe("news", page(0, 0..0));
        driver
    }

    fn command(&mut self, id: u32, request: Request) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.handle_command(Command { id, request }, &self.rules, self.now, &mut actions);
        actions
    }

    fn outcome(&mut self, ticket: Ticket, outcome: Outcome) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.handle_outcome(ticket, outcome, &self.rules, self.now, &mut actions);
        actions
    }

    fn seated(&mut self, action: Action, page: HistoryPage) -> Vec<Action> {
        let Action::Subscribe { channel, read, ticket, .. } = action else { panic!("{action:?}") };
        self.outcome(ticket, Outcome::Subscribed { channel, page: Ok(read.map(|_| page)) })
    }

    fn subscribe(&mut self, channel: &str, page: HistoryPage) -> Vec<Action> {
        let action = only(self.command(2, subscribe(channel)));
        self.seated(action, page)
    }

    fn timeout(&mut self, now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = now;
        self.session.handle_timeout(&self.rules, now, &mut actions);
        actions
    }

    /// Lets time pass to the next moment at which something is due.
    fn next_timeout(&mut self) -> Vec<Action> {
        let due = self.session.poll_timeout(self.now).expect("a live session has a deadline");
        assert!(due > self.now, "the session does not get on: {due:?} at {:?}", self.now);
        self.timeout(due)
    }

    /// As [`Self::next_timeout`], past renewals of presence.
    fn next_ping_or_end(&mut self) -> Vec<Action> {
        loop {
            let mut actions = self.next_timeout();
            actions.retain(|action| !matches!(action, Action::RenewPresence { .. }));
            if !actions.is_empty() {
                return actions;
            }
        }
    }
}

fn subscribe(channel: &str) -> Request {
    subscribe_as(SubscribeRequest { channel: channel.into(), ..SubscribeRequest::default() })
}

fn subscribe_as(request: SubscribeRequest) -> Request {
    Request::Subscribe(Box::new(request))
}

fn json(text: &'static str) -> Data {
    Data::Json(Bytes::from_static(text.as_bytes()))
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn epoch() -> Epoch {
    Epoch::from_random(1)
}

fn at(offset: u64) -> Position {
    Position { offset, epoch: epoch() }
}

/// What a history with its newest at `top` answers.
fn page(top: u64, offsets: std::ops::Range<u64>) -> HistoryPage {
    let publication = |offset| Arc::new(Publication { data: json("1"), info: None, offset, tags: None });
    HistoryPage { publications: offsets.map(publication).collect(), position: at(top) }
}

fn only(mut actions: Vec<Action>) -> Action {
    assert_eq!(actions.len(), 1, "{actions:?}");
    actions.remove(0)
}

fn replies(actions: &[Action]) -> Vec<(u32, Result<&ReplyBody, u32>)> {
    let replies = actions.iter().filter_map(|action| match action {
        Action::Reply { reply, .. } => Some((reply.id, reply.result.as_ref().map_err(|error| error.code))),
        _ => None,
    });
    replies.collect()
}

/// The one reply's error code.
fn error(actions: &[Action]) -> u32 {
    match replies(actions)[..] {
        [(_, Err(code))] => code,
        _ => panic!("no error: {actions:?}"),
    }
}

fn disconnect(actions: &[Action]) -> u16 {
    match actions.last() {
        Some(Action::Disconnect(disconnect)) => disconnect.code,
        _ => panic!("no disconnect: {actions:?}"),
    }
}

fn subscribe_result(actions: &[Action]) -> &SubscribeResult {
    match replies(actions)[..] {
        [(_, Ok(ReplyBody::Subscribe(result)))] => result,
        _ => panic!("no subscribe reply: {actions:?}"),
    }
}

/// The kinds of actions, in order.
fn kinds(actions: &[Action]) -> Vec<&'static str> {
    let kind = |action: &Action| match action {
        Action::Reply { .. } => "reply",
        Action::Push(Push::Ping) => "ping",
        Action::Push(_) => "push",
        Action::PingFrame => "ping frame",
        Action::Subscribe { .. } => "subscribe",
        Action::Activate { .. } => "activate",
        Action::Vacate { .. } => "vacate",
        Action::Publish { .. } => "publish",
        Action::History { .. } => "history",
        Action::Presence { .. } => "presence",
        Action::PresenceStats { .. } => "presence stats",
        Action::RenewPresence { .. } => "renew",
        Action::RemovePresence { .. } => "remove",
        Action::AnnounceJoin { .. } => "join",
        Action::AnnounceLeave { .. } => "leave",
        Action::Claim { .. } => "claim",
        Action::Release { .. } => "release",
        Action::Answered { .. } => "answered",
        Action::Disconnect(_) => "disconnect",
    };
    actions.iter().map(kind).collect()
}
