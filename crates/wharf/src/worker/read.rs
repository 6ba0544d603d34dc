//! Bytes become messages, messages become commands, and commands are carried out, in their order.

use std::io;

use wharf_core::session::Phase;
use wharf_proto::{
    Disconnect, PeerError,
    message::{Command, ErrorReply, Reply, Request},
    wire::{Incoming, MessageKind},
};

use super::{
    Worker,
    connection::{Peer, State},
    device::LOGIN_BYTES,
};
use crate::settings::Limits;

/// The most reads of one connection in a tick; more waits for the next, so that no connection starves others.
/// LIMITS.md, `READS_A_TICK`.
pub const READS_A_TICK: usize = 4;

/// Pings are left unanswered while more than this waits to be written (RFC 6455 section 5.5.3 allows to answer
/// only the latest). LIMITS.md, `PONG_BACKLOG_BYTES`.
pub const PONG_BACKLOG_BYTES: usize = 16 * 1024;

/// The list of what one read brought keeps room for so many; a flood's memory is given back.
const SAID_KEPT: usize = 1_024;

/// What a client may say before it is connected: a `connect` in the most fragments, each with its header, and as much
/// again of what else a framing carries. LIMITS.md, `early_bytes`.
fn early_bytes(limits: &Limits) -> usize {
    let fragments = usize::try_from(limits.fragments_per_message).unwrap_or(usize::MAX);
    limits.message_bytes.saturating_add(fragments.saturating_mul(HEADER_BYTES)).saturating_mul(2)
}

/// RFC 6455 section 5.2: the longest header of a frame.
const HEADER_BYTES: usize = 14;

const CONNECT_SOONER: &str = "too much was said before connect";

/// One thing that the peer said.
pub(super) enum Said {
    Command(Command),
    Ping(Box<[u8]>),
    PongFrame,
    /// A rule was broken. What follows may be readable.
    Broke(PeerError),
}

/// What a read came to.
enum Progress {
    /// There may be more.
    More,
    /// The next event will say when there is more.
    Drained,
}

impl Worker {
    /// The connection may be read: reads what is there, up to its budget.
    pub(super) fn read(&mut self, key: u64) {
        let Some(index) = self.connections.resolve(key) else { return };
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let drained =
            (0..READS_A_TICK).any(|_| matches!(self.read_once(index, &mut buffer), Progress::Drained));
        self.read_buffer = buffer;
        if !drained {
            self.unread.push_back(key);
        }
        self.schedule(index);
    }

    fn read_once(&mut self, index: u32, buffer: &mut [u8]) -> Progress {
        let Some(connection) = self.connections.at(index) else { return Progress::Drained };
        let Some(transport) = &mut connection.transport else { return Progress::Drained };
        let state = connection.state;
        let datagrams = transport.is_datagrams();
        match transport.try_read(buffer) {
            Ok(0) => {
                self.peer_finished(index);
                Progress::Drained
            }
            Ok(count) => {
                if !datagrams {
                    connection.session.handle_traffic(self.now);
                }
                self.metrics().bytes_in.add(count as u64);
                self.note_heard(index);
                match state {
                    State::Open => self.receive(index, &mut buffer[..count]),
                    State::Closing { peer: Peer::Farewell, .. } => {
                        self.await_farewell(index, &mut buffer[..count]);
                    }
                    // RFC 6455 section 1.4: what comes after the peer's farewell is not looked at.
                    State::Closing { .. } => {}
                }
                // Events are edge-triggered, and a short read has taken everything there was, but for an end.
                let ends = self.connections.at(index).is_some_and(|connection| connection.read_closed);
                if count < buffer.len() && !ends && !datagrams { Progress::Drained } else { Progress::More }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::More,
            Err(error) => {
                self.drop_connection(index, Disconnect::CONNECTION_CLOSED.code, &error);
                Progress::Drained
            }
        }
    }

    /// Takes bytes of the peer's.
    pub(super) fn receive(&mut self, index: u32, bytes: &mut [u8]) {
        let Some(connection) = self.connections.at(index) else { return };
        let mut said = std::mem::take(&mut self.said);
        let mut messages = 0_u32;
        let conversation = &mut connection.conversation;
        let commands = &mut self.commands;
        let mut broken = false;
        let mut farewell = None;
        let fed = connection.deframer.feed(bytes, &mut |incoming| match incoming {
            Incoming::Message(..) if broken => {}
            Incoming::Message(kind, message) => {
                messages += 1;
                let decoded = conversation.decode(kind, message, commands);
                said.extend(commands.drain(..).map(Said::Command));
                if let Err(error) = decoded {
                    broken = true;
                    said.push(Said::Broke(error));
                }
            }
            Incoming::Ping(payload) => said.push(Said::Ping(payload.into())),
            Incoming::Pong(_) => said.push(Said::PongFrame),
            Incoming::Close(code, _) => farewell = Some(code),
        });
        if let Err(error) = fed {
            said.push(Said::Broke(error));
        }
        // A datagram that breaks a rule may be another's, and must not keep a session alive that has lost its peer.
        if connection.is_datagrams() && !said.iter().any(|said| matches!(said, Said::Broke(_))) {
            connection.session.handle_traffic(self.now);
        }
        connection.traffic.messages_in = connection.traffic.messages_in.saturating_add(messages);
        self.metrics().messages_in.add(messages.into());
        for said in said.drain(..) {
            self.handle_said(index, said);
        }
        if said.capacity() <= SAID_KEPT {
            self.said = said;
        }
        self.count_early(index, bytes.len());
        // It stands behind all of that, what broke a rule too.
        self.hear_farewell(index, farewell);
    }

    /// Row 53: whoever has said so much and is not connected is refused. The time to connect bounds only how long
    /// somebody may flood.
    fn count_early(&mut self, index: u32, bytes: usize) {
        let Some(connection) = self.connections.at(index) else { return };
        // A login is one short frame.
        let limit = match connection.device() {
            Some(_) => LOGIN_BYTES,
            None => early_bytes(&self.node.settings.limits),
        };
        if connection.session.phase() != Phase::Opening || !connection.is_open() {
            return;
        }
        let early = &mut connection.rare.get_or_insert_default().early_bytes;
        *early = early.saturating_add(bytes);
        if *early > limit {
            self.end_connection(index, &Disconnect::BAD_REQUEST.with_reason(CONNECT_SOONER));
        }
    }

    /// What was read has ended with the peer's farewell, if there is one.
    fn hear_farewell(&mut self, index: u32, farewell: Option<Option<u16>>) {
        match farewell {
            Some(code) => self.peer_closed(index, code),
            None => self.give_up_farewell(index),
        }
    }

    /// Our farewell is said: nothing that the peer says is looked at but its own, and pings.
    fn await_farewell(&mut self, index: u32, bytes: &mut [u8]) {
        let Some(connection) = self.connections.at(index) else { return };
        let mut farewell = None;
        let mut pings: Vec<Box<[u8]>> = Vec::new();
        // What is wrong needs no word any more: ours is said.
        let _ = connection.deframer.feed(bytes, &mut |incoming| match incoming {
            Incoming::Close(code, _) => farewell = Some(code),
            Incoming::Ping(payload) => pings.push(payload.into()),
            Incoming::Message(..) | Incoming::Pong(_) => {}
        });
        // RFC 6455 section 5.5.2: a ping is answered unless the peer's close came before it. Ours is no reason not to:
        // section 5.5.1 forbids data frames after it, and a pong is none.
        for payload in pings {
            self.answer_ping(index, &payload);
        }
        self.hear_farewell(index, farewell);
    }

    /// Takes one whole message that came beside the connection's own bytes.
    pub(super) fn receive_message(&mut self, index: u32, message: &[u8]) {
        let Some(connection) = self.connections.at(index) else { return };
        let mut commands = std::mem::take(&mut self.commands);
        let decoded = connection.conversation.decode(MessageKind::Text, message, &mut commands);
        connection.traffic.messages_in = connection.traffic.messages_in.saturating_add(1);
        self.metrics().messages_in.bump();
        for command in commands.drain(..) {
            self.handle_said(index, Said::Command(command));
        }
        self.commands = commands;
        if let Err(error) = decoded {
            self.handle_said(index, Said::Broke(error));
        }
    }

    fn handle_said(&mut self, index: u32, said: Said) {
        let Some(connection) = self.connections.at(index) else { return };
        // Our farewell may be an answer to what came before this in one read.
        let counts = match connection.state {
            State::Open => true,
            State::Closing { peer, .. } => peer == Peer::Farewell && matches!(said, Said::Ping(_)),
        };
        if !counts {
            return;
        }
        match said {
            Said::Command(command) => self.handle_command(index, command),
            Said::Ping(payload) => self.answer_ping(index, &payload),
            Said::PongFrame => {
                let now = self.now;
                connection.session.handle_pong_frame(now);
            }
            // Anybody may send a datagram from the address of a device: it must not end that device's session. A peer
            // that is not let in has none to lose.
            Said::Broke(_) if connection.is_datagrams() && connection.session.phase() == Phase::Connected => {
                self.node.devices.wrong_datagrams.bump();
            }
            Said::Broke(error) => self.end_connection(index, &error.disconnect()),
        }
    }

    /// Carries out one command and everything it leads to.
    pub(super) fn handle_command(&mut self, index: u32, command: Command) {
        let now = self.now;
        let busy = self.engine_is_busy();
        // The number of an answer is that of our question: nothing is replied to it, and it costs the engine nothing.
        let is_replied = command.id != 0 && !matches!(command.request, Request::Answer { .. });
        let Some(connection) = self.connections.at(index) else { return };
        if let Some(poll) = connection.poll_mut() {
            poll.command_came(&command);
        }
        if busy && is_replied {
            let result = Err(ErrorReply::INTERNAL);
            return self.say_reply(index, Reply { id: command.id, result }, None);
        }
        let limit = self.node.settings.limits.outbox_bytes;
        let Some(connection) = self.connections.at(index) else { return };
        if connection.outbox.backlog_bytes() > limit && is_replied {
            // It asks for more than it reads; later it may. Errors count against the limit, answers do not.
            let result = Err(ErrorReply::TOO_MANY_REQUESTS.with_message("read the answers first"));
            return self.say_reply(index, Reply { id: command.id, result }, None);
        }
        connection.session.handle_command(command, &self.node.rules, now, &mut self.actions);
        self.perform(index);
    }

    fn answer_ping(&mut self, index: u32, payload: &[u8]) {
        let Some(connection) = self.connections.at(index) else { return };
        if connection.outbox.backlog_bytes() <= PONG_BACKLOG_BYTES {
            let mut pong = bytes::BytesMut::new();
            connection.wire.framing().pong(payload, &mut pong);
            self.push(index, pong.freeze());
        }
    }
}
