//! A client's side of the Centrifuge protocol: commands out, what the server said in, positions kept.
//!
//! It is told things and asked for bytes. It knows no socket and no transport, and time comes in as an argument. A
//! lost connection is told by [`Conversation::handle_lost`], and the next one by [`Conversation::handle_open`]: then
//! it connects again and resumes every subscription from its position.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use wharf_proto::{
    dialect::centrifuge_json::client::{
        answer::{
            Connected, Published, ServerError, ServerMessage, ServerPush, ServerReply, Subscribed,
            decode_frame,
        },
        encode_command, encode_pong,
    },
    message::{Command, ConnectRequest, Request, SubscribeRequest},
};

use super::{
    backoff,
    event::{Ending, Event},
};

/// A command that is not answered for so long ends the connection, and the next one tries again.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How much later than promised a ping may come.
pub const PING_SLACK: Duration = Duration::from_secs(10);

/// What a subscription asks for.
#[derive(Debug, Clone, Default)]
pub struct SubscribeOptions {
    /// Tell who joins and leaves.
    pub join_leave: bool,
    /// Begin with what came after this position, as far as the history reaches.
    pub since: Option<Position>,
}

/// A place in a channel's history, as text that the server gave. An empty epoch is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The last publication seen.
    pub offset: u64,
    /// The life of the history that the offset counts in.
    pub epoch: String,
}

/// A client's side of the protocol, over any number of connections one after the other.
pub struct Conversation {
    connect: ConnectRequest,
    state: State,
    last_id: u32,
    subscriptions: BTreeMap<String, Subscription>,
    unanswered: BTreeMap<u32, Unanswered>,
    outgoing: BytesMut,
    events: VecDeque<Event>,
}

enum State {
    /// There is no connection.
    Down,
    /// The connect command is not answered yet.
    Connecting,
    Up(Up),
}

struct Up {
    session: String,
    node: String,
    /// The server wants its pings answered.
    pong: bool,
    /// A ping, or anything else, must come until then; none if the server does not ping.
    silent_until: Option<Instant>,
    ping: Duration,
}

struct Subscription {
    options: SubscribeOptions,
    state: Membership,
    /// Kept while the server keeps the subscription's position too.
    position: Option<Position>,
    /// Refusals in a row that may pass.
    refusals: u32,
}

#[derive(PartialEq)]
enum Membership {
    /// To be asked for as soon as the connection is up.
    Wanted,
    /// To be asked for again then.
    WantedAt(Instant),
    Asked,
    Joined,
}

struct Unanswered {
    deadline: Instant,
    kind: Kind,
}

enum Kind {
    Connect,
    Subscribe(String),
    Unsubscribe,
    Request,
}

impl Conversation {
    /// A conversation that has not begun. `connect` is sent on each connection.
    pub fn new(connect: ConnectRequest) -> Self {
        Self {
            connect,
            state: State::Down,
            last_id: 0,
            subscriptions: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            outgoing: BytesMut::new(),
            events: VecDeque::new(),
        }
    }

    /// Joins a channel, now or as soon as the connection is up, and again after each loss of the connection.
    pub fn subscribe(&mut self, channel: &str, options: SubscribeOptions, now: Instant) {
        let position = options.since.clone();
        let subscription = Subscription { options, state: Membership::Wanted, position, refusals: 0 };
        self.subscriptions.insert(channel.to_owned(), subscription);
        self.ask_for_subscriptions(now);
    }

    /// Leaves a channel and forgets its position.
    pub fn unsubscribe(&mut self, channel: &str, now: Instant) {
        let known = self.subscriptions.remove(channel);
        if known.is_some_and(|known| matches!(known.state, Membership::Asked | Membership::Joined)) {
            self.send(Request::Unsubscribe { channel: channel.into() }, Kind::Unsubscribe, now);
        }
    }

    /// Asks anything else; the answer comes as [`Event::Answer`] with the returned number. None while the connection
    /// is not up: nothing is kept for later.
    pub fn request(&mut self, request: Request, now: Instant) -> Option<u32> {
        matches!(self.state, State::Up(_)).then(|| self.send(request, Kind::Request, now))
    }

    /// A new connection is there, or is about to be: begins with `connect`. Whatever was before it is lost.
    pub fn handle_open(&mut self, now: Instant) {
        self.handle_lost();
        self.state = State::Connecting;
        let connect = Request::Connect(Box::new(self.connect.clone()));
        self.send(connect, Kind::Connect, now);
    }

    /// The connection is gone. Whatever was asked on it will not be answered.
    pub fn handle_lost(&mut self) {
        self.state = State::Down;
        self.outgoing.clear();
        for (id, unanswered) in std::mem::take(&mut self.unanswered) {
            if matches!(unanswered.kind, Kind::Request) {
                let error =
                    ServerError { code: 1, message: "the connection was lost".to_owned(), temporary: true };
                self.events.push_back(Event::Answer { id, result: Err(error) });
            }
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.state = Membership::Wanted;
        }
    }

    /// The server said something: one or more messages. An error ends the connection.
    pub fn handle_frame(&mut self, frame: &[u8], now: Instant) -> Result<(), Ending> {
        let mut messages = Vec::new();
        let read = decode_frame(frame, &mut messages);
        if let State::Up(up) = &mut self.state {
            up.hear(now);
        }
        for message in messages {
            match message {
                ServerMessage::Reply { id, result } => self.handle_reply(id, result, now)?,
                ServerMessage::Push(push) => self.handle_push(*push, now)?,
                ServerMessage::Ping => self.handle_ping(),
            }
        }
        read.map_err(|error| Ending::unreadable(error.to_string()))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.unanswered.values().map(|unanswered| unanswered.deadline);
        let (silence, up) = match &self.state {
            State::Up(up) => (up.silent_until, true),
            _ => (None, false),
        };
        let retries = self.subscriptions.values().filter_map(|subscription| match subscription.state {
            Membership::WantedAt(at) if up => Some(at),
            _ => None,
        });
        answers.chain(silence).chain(retries).min()
    }

    /// Time has passed. An error ends the connection.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Ending> {
        if let Some(late) = self.unanswered.values().find(|unanswered| unanswered.deadline <= now) {
            return Err(Ending::no_answer(match &late.kind {
                Kind::Connect => "connect",
                Kind::Subscribe(_) => "subscribe",
                Kind::Unsubscribe => "unsubscribe",
                Kind::Request => "a command",
            }));
        }
        if let State::Up(Up { silent_until: Some(until), .. }) = &self.state
            && *until <= now
        {
            return Err(Ending::no_ping());
        }
        self.ask_for_subscriptions(now);
        Ok(())
    }

    /// What is to be sent: commands, one a line.
    pub fn poll_outgoing(&mut self) -> Option<Bytes> {
        (!self.outgoing.is_empty()).then(|| self.outgoing.split().freeze())
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Session and node, by which other requests reach the session; none where the connection carries all.
    pub fn session(&self) -> Option<(&str, &str)> {
        match &self.state {
            State::Up(up) if !up.session.is_empty() => Some((&up.session, &up.node)),
            _ => None,
        }
    }

    fn send(&mut self, request: Request, kind: Kind, now: Instant) -> u32 {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let id = self.last_id;
        let command = Command { id, request };
        let start = self.outgoing.len();
        if start > 0 {
            self.outgoing.put_u8(b'\n');
        }
        match encode_command(&command, &mut self.outgoing) {
            Ok(()) => {
                self.unanswered.insert(id, Unanswered { deadline: now + ANSWER_TIMEOUT, kind });
            }
            Err(inexpressible) => {
                self.outgoing.truncate(start);
                let error = ServerError { code: 107, message: inexpressible.to_string(), temporary: false };
                self.events.push_back(Event::Answer { id, result: Err(error) });
            }
        }
        id
    }

    fn ask_for_subscriptions(&mut self, now: Instant) {
        if !matches!(self.state, State::Up(_)) {
            return;
        }
        let due: Vec<_> = self
            .subscriptions
            .iter_mut()
            .filter(|(_, subscription)| match subscription.state {
                Membership::Wanted => true,
                Membership::WantedAt(at) => at <= now,
                Membership::Asked | Membership::Joined => false,
            })
            .map(|(channel, subscription)| {
                subscription.state = Membership::Asked;
                (channel.clone(), subscription.request(channel))
            })
            .collect();
        for (channel, request) in due {
            self.send(Request::Subscribe(Box::new(request)), Kind::Subscribe(channel), now);
        }
    }

    fn handle_reply(
        &mut self,
        id: u32,
        result: Result<Box<ServerReply>, ServerError>,
        now: Instant,
    ) -> Result<(), Ending> {
        // An answer to nothing is passed over, as a client of other servers must.
        let Some(unanswered) = self.unanswered.remove(&id) else { return Ok(()) };
        match (unanswered.kind, result) {
            (Kind::Connect, Ok(reply)) => {
                self.handle_connected(reply.connect.unwrap_or_default(), now);
                Ok(())
            }
            (Kind::Connect, Err(error)) => Err(Ending::refused(&error)),
            (Kind::Subscribe(channel), Ok(reply)) => {
                self.handle_subscribed(&channel, reply.subscribe.unwrap_or_default())
            }
            (Kind::Subscribe(channel), Err(error)) => {
                self.handle_subscribe_refused(channel, error, now);
                Ok(())
            }
            (Kind::Unsubscribe, _) => Ok(()),
            (Kind::Request, result) => {
                self.events.push_back(Event::Answer { id, result });
                Ok(())
            }
        }
    }

    fn handle_connected(&mut self, connected: Connected, now: Instant) {
        let Connected { client, version, ping, pong, session, node, .. } = connected;
        let ping = Duration::from_secs(ping.into());
        let mut up = Up { session, node, pong, silent_until: None, ping };
        up.hear(now);
        self.state = State::Up(up);
        self.events.push_back(Event::Connected { client, version });
        self.ask_for_subscriptions(now);
    }

    fn handle_subscribed(&mut self, channel: &str, subscribed: Subscribed) -> Result<(), Ending> {
        // Left while the question was on its way: the unsubscribe follows it.
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return Ok(()) };
        let Subscribed { recoverable, positioned, epoch, offset, publications, recovered, was_recovering } =
            subscribed;
        subscription.state = Membership::Joined;
        subscription.refusals = 0;
        subscription.position = (recoverable || positioned).then_some(Position { offset, epoch });
        self.events.push_back(Event::Subscribed {
            channel: channel.to_owned(),
            recovered,
            was_recovering,
            position: subscription.position.clone(),
        });
        publications.into_iter().try_for_each(|publication| self.handle_publication(channel, publication))
    }

    fn handle_subscribe_refused(&mut self, channel: String, error: ServerError, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(&channel) else { return };
        if error.temporary {
            subscription.state = Membership::WantedAt(now + backoff::ceiling(subscription.refusals));
            subscription.refusals += 1;
        } else {
            self.subscriptions.remove(&channel);
            self.events.push_back(Event::Unsubscribed { channel, code: error.code, reason: error.message });
        }
    }

    fn handle_push(&mut self, push: ServerPush, now: Instant) -> Result<(), Ending> {
        let channel = push.channel;
        if let Some(publication) = push.publication {
            return self.handle_publication(&channel, publication);
        }
        if let Some(join) = push.join {
            self.events.push_back(Event::Join { channel, info: join.info });
        } else if let Some(leave) = push.leave {
            self.events.push_back(Event::Leave { channel, info: leave.info });
        } else if let Some(ended) = push.unsubscribe {
            self.handle_unsubscribed(channel, ended.code, ended.reason, now);
        } else if let Some(message) = push.message {
            self.events.push_back(Event::Message { data: message.data });
        } else if let Some(ended) = push.disconnect {
            return Err(Ending::by_server(ended.code, ended.reason));
        }
        Ok(())
    }

    fn handle_unsubscribed(&mut self, channel: String, code: u32, reason: String, now: Instant) {
        // Centrifuge protocol, unsubscribe push codes: from 2500 on the client subscribes again.
        if code >= 2500 {
            if let Some(subscription) = self.subscriptions.get_mut(&channel) {
                subscription.state = Membership::Wanted;
            }
        } else {
            self.subscriptions.remove(&channel);
        }
        self.events.push_back(Event::Unsubscribed { channel, code, reason });
        self.ask_for_subscriptions(now);
    }

    /// Passes a publication on once: what the position covers already is dropped, and a gap ends the connection, so
    /// that the next one recovers what is missing.
    fn handle_publication(&mut self, channel: &str, publication: Published) -> Result<(), Ending> {
        let position =
            self.subscriptions.get_mut(channel).and_then(|subscription| subscription.position.as_mut());
        if let Some(position) = position
            && publication.offset > 0
        {
            if publication.offset <= position.offset {
                return Ok(());
            }
            if publication.offset > position.offset + 1 {
                return Err(Ending::gap(channel, position.offset, publication.offset));
            }
            position.offset = publication.offset;
        }
        self.events.push_back(Event::Publication { channel: channel.to_owned(), publication });
        Ok(())
    }

    fn handle_ping(&mut self) {
        if matches!(&self.state, State::Up(up) if up.pong) {
            if !self.outgoing.is_empty() {
                self.outgoing.put_u8(b'\n');
            }
            encode_pong(&mut self.outgoing);
        }
    }
}

impl Up {
    fn hear(&mut self, now: Instant) {
        self.silent_until = (!self.ping.is_zero()).then(|| now + self.ping + PING_SLACK);
    }
}

impl Subscription {
    fn request(&self, channel: &str) -> SubscribeRequest {
        let position = self.position.clone();
        let recover = position.is_some();
        let position = position.unwrap_or_default();
        SubscribeRequest {
            channel: channel.into(),
            recover,
            offset: position.offset,
            epoch: position.epoch.into(),
            positioned: true,
            recoverable: true,
            join_leave: self.options.join_leave,
            ..SubscribeRequest::default()
        }
    }
}

#[cfg(test)]
mod tests;
