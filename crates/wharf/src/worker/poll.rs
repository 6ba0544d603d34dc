//! Sessions that ask by HTTP. Between requests such a session is an entry of the slab without a transport: what
//! is said to it waits in its outbox, bounded like everybody's.
//!
//! One request is answered at a time. An answer that the client does not acknowledge is said again.

use bytes::Bytes;
use tokio::sync::oneshot;
use wharf_core::{
    session::{Heartbeat, Phase, Session},
    time::Millis,
};
use wharf_proto::{
    Disconnect, PeerError,
    dialect::DialectId,
    framing::FramingId,
    message::{Command, Reply},
    wire::{MessageKind, WireId},
};

use super::{
    Worker,
    connection::{Connection, NEVER, Rare, State},
    moment::Moment,
    outbox::Outbox,
    request::{PollAnswer, PollRequest},
    slab::index_of,
    traffic::Traffic,
};
use crate::metrics::Kind;
use crate::node::{random_bits, random_client};

/// What a poll session has beside a session.
#[derive(Default)]
pub struct PollState {
    /// The number of the last answer.
    seq: u64,
    /// The last answer's body, until it is acknowledged.
    unacknowledged: Bytes,
    waiting: Option<Waiting>,
    /// Commands that are not answered yet.
    owed: usize,
}

/// The request that waits for something to say.
struct Waiting {
    answer: oneshot::Sender<PollAnswer>,
    /// With nothing to say the answer is empty at this moment.
    until: Millis,
    /// While commands are unanswered the answer waits for them, until this moment.
    commands_until: Millis,
}

impl PollState {
    /// When the waiting request must be answered.
    pub fn deadline(&self) -> Millis {
        let Some(waiting) = &self.waiting else { return NEVER };
        if self.owed > 0 { waiting.commands_until } else { waiting.until }
    }

    pub fn command_came(&mut self, command: &Command) {
        self.owed += usize::from(command.id != 0);
    }

    pub fn reply_went(&mut self, reply: &Reply) {
        self.owed -= usize::from(reply.id != 0 && self.owed > 0);
    }

    /// Whether the waiting request is to be answered now, with so many bytes to say.
    fn is_due(&self, bytes: usize, now: Millis) -> bool {
        let Some(waiting) = &self.waiting else { return false };
        if self.owed > 0 { waiting.commands_until <= now } else { bytes > 0 || waiting.until <= now }
    }
}

impl Worker {
    /// Serves one request of a poll session.
    pub(super) fn poll(&mut self, request: PollRequest) {
        let index = match request.session {
            None => Some(self.begin_poll_session()),
            Some(key) => self.resolve_session(key).filter(|index| {
                self.connections.at(*index).is_some_and(|connection| connection.poll().is_some())
            }),
        };
        match index {
            Some(index) => self.serve_poll(index, request),
            // Whoever asked may be gone; then nobody needs the answer.
            None => {
                request.answer.send(PollAnswer::UnknownSession).ok();
            }
        }
    }

    fn begin_poll_session(&mut self) -> u32 {
        let wire = WireId::new(DialectId::CentrifugeJson, FramingId::Lines);
        let client = random_client(&mut self.rng);
        let secret = random_bits(&mut self.rng);
        let policy = self.node.rules.heartbeat_policy(Heartbeat::Asking);
        let conversation = wire.dialect().open();
        let kind = Kind::named("poll");
        let key = self.connections.insert(Connection {
            transport: None,
            session: Session::new(client, policy, false, &self.node.rules, self.now),
            deframer: wire.framing().deframer(self.deframe_limits()),
            shares_broadcasts: conversation.shares_broadcasts(),
            conversation,
            outbox: Outbox::default(),
            rare: Some(Box::new(Rare {
                secret: Some(secret),
                poll: Some(Box::default()),
                ..Rare::default()
            })),
            end_at: Moment::NEVER,
            scheduled_at: Moment::NEVER,
            traffic: Traffic::opened(self.now),
            kind,
            wire,
            state: State::Open,
            read_closed: false,
            one_way: false,
        });
        self.metrics().kind(kind).opened.bump();
        self.inbox().count_connections(self.connections.len());
        index_of(key)
    }

    fn serve_poll(&mut self, index: u32, request: PollRequest) {
        let PollRequest { session, ack, body, wait_ms, answer } = request;
        self.answer_older_poll(index);
        self.take_acknowledgement(index, ack);
        let times = self.node.settings.times;
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.handle_asked();
        connection.traffic.handle_heard(now);
        let Some(poll) = connection.poll_mut() else { return };
        poll.waiting = Some(Waiting {
            answer,
            until: now.after_ms(wait_ms.min(times.poll_wait_max_ms)),
            commands_until: now.after_ms(times.poll_commands_ms),
        });
        if let Err(error) = self.receive_poll_body(index, &body) {
            return self.refuse_poll(index, &error.disconnect());
        }
        // The first request must hold `connect`, or there is no session to speak of.
        let began = session.is_some()
            || self
                .connections
                .at(index)
                .is_some_and(|connection| connection.session.phase() != Phase::Opening);
        if !began {
            return self.refuse_poll(index, &Disconnect::BAD_REQUEST.with_reason(FIRST_POLL));
        }
        self.answer_poll(index);
        self.schedule(index);
    }

    fn receive_poll_body(&mut self, index: u32, body: &Bytes) -> Result<(), PeerError> {
        let Some(connection) = self.connections.at(index) else { return Ok(()) };
        let Some(content) = trim(body) else { return Ok(()) };
        let mut commands = Vec::new();
        connection.traffic.messages_in = connection.traffic.messages_in.saturating_add(1);
        let decoded = connection.conversation.decode(MessageKind::Text, content, &mut commands);
        for command in commands {
            self.handle_command(index, command);
        }
        decoded
    }

    /// A second request while one waits: the older is answered at once, empty.
    fn answer_older_poll(&mut self, index: u32) {
        let Some(session) = self.session_key(index) else { return };
        let Some(poll) = self.connections.at(index).and_then(Connection::poll_mut) else { return };
        if let Some(older) = poll.waiting.take() {
            let seq = poll.seq;
            older.answer.send(PollAnswer::Lines { session, seq, body: Bytes::new() }).ok();
        }
    }

    /// Without an acknowledgement receipt is assumed. An older number means that the last answer never came: it
    /// is put in front of what is to be said.
    fn take_acknowledgement(&mut self, index: u32, ack: Option<u64>) {
        let Some(connection) = self.connections.at(index) else { return };
        let Some(poll) = connection.poll_mut() else { return };
        let last = std::mem::take(&mut poll.unacknowledged);
        if ack.is_some_and(|ack| ack < poll.seq) {
            self.outbox_bytes += last.len();
            connection.outbox.put_back(last, &mut self.spare_backlogs);
        }
    }

    /// Answers the waiting request, if it is time and anybody waits.
    pub(super) fn answer_poll(&mut self, index: u32) {
        let now = self.now;
        let Some(session) = self.session_key(index) else { return };
        let Some(connection) = self.connections.at(index) else { return };
        connection.outbox.unlist();
        let bytes = connection.outbox.backlog_bytes();
        let Some(poll) = connection.poll_mut() else { return };
        if !poll.is_due(bytes, now) {
            return;
        }
        let Some(waiting) = poll.waiting.take() else { return };
        poll.seq += 1;
        let seq = poll.seq;
        let body = connection.outbox.take_all(&mut self.spare_backlogs);
        self.outbox_bytes -= body.len();
        let sent = waiting.answer.send(PollAnswer::Lines { session, seq, body: body.clone() });
        connection.session.handle_answered(now);
        connection.traffic.handle_spoke(now);
        if sent.is_err() {
            // Nobody waited any more: what was to be said waits for the next request.
            self.outbox_bytes += body.len();
            connection.outbox.put_back(body, &mut self.spare_backlogs);
        } else if let Some(poll) = connection.poll_mut() {
            poll.unacknowledged = body;
        }
        self.schedule(index);
    }

    /// The session has ended: the waiting request learns why, and the entry is given back.
    pub(super) fn end_poll(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        let body = connection.outbox.take_all(&mut self.spare_backlogs);
        self.outbox_bytes -= body.len();
        if let Some(waiting) = connection.poll_mut().and_then(|poll| poll.waiting.take()) {
            waiting.answer.send(PollAnswer::Ended { body }).ok();
        }
        self.remove(index);
    }

    fn refuse_poll(&mut self, index: u32, disconnect: &Disconnect) {
        let Some(connection) = self.connections.at(index) else { return };
        if let Some(waiting) = connection.poll_mut().and_then(|poll| poll.waiting.take()) {
            waiting.answer.send(PollAnswer::Refused(disconnect.clone())).ok();
        }
        self.end_connection(index, disconnect);
    }

    /// Commands for an emulated session. False if the session is not known.
    pub(super) fn emulate(&mut self, session: super::SessionKey, data: &Bytes) -> bool {
        let Some(index) = self.resolve_session(session) else { return false };
        let is_open = self.connections.at(index).is_some_and(|connection| connection.is_open());
        let is_poll = self.connections.at(index).is_some_and(|connection| connection.poll().is_some());
        if !is_open || is_poll {
            return false;
        }
        let now = self.now;
        if let Some(connection) = self.connections.at(index) {
            connection.session.handle_traffic(now);
        }
        self.receive_message(index, data);
        self.schedule(index);
        true
    }
}

const FIRST_POLL: &str = "the first poll must hold a connect command";

/// The body without line ends around it; none if nothing is left.
fn trim(body: &Bytes) -> Option<&[u8]> {
    let content = body.trim_ascii();
    (!content.is_empty()).then_some(content)
}
