//! How a connection ends: a farewell, our half, the peer's half, and the descriptor; each within a time.

use std::io;

use bytes::BytesMut;
use wharf_core::time::Millis;
use wharf_proto::{
    Disconnect,
    message::Push,
    wire::{Encoded, Event},
};

use super::{
    Worker,
    connection::{Peer, State},
    moment::Moment,
    request::Selector,
};
use crate::ledger::Cause;

impl Worker {
    /// Ends the session and then, with a farewell, the connection.
    pub(super) fn end_connection(&mut self, index: u32, disconnect: &Disconnect) {
        self.end_because(index, disconnect, Cause::Ended(disconnect.code));
    }

    fn end_because(&mut self, index: u32, disconnect: &Disconnect, cause: Cause) {
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.end(&mut self.actions);
        self.perform(index);
        self.farewell(index, disconnect, cause);
    }

    /// Says why and ends our half when that is written. What has waited for long is dropped in its favour: the
    /// client reconnects and recovers, and a farewell behind a full outbox would never arrive.
    pub(super) fn farewell(&mut self, index: u32, disconnect: &Disconnect, cause: Cause) {
        let deadline = self.closing_until();
        let slow = disconnect.code == Disconnect::SLOW.code;
        if !self.connections.at(index).is_some_and(|connection| connection.is_open()) {
            return;
        }
        self.book(index, cause, disconnect.code, disconnect.reason.clone());
        self.note_refusal(index, disconnect);
        let Some(connection) = self.connections.at(index) else { return };
        if slow {
            self.outbox_bytes -= connection.outbox.drop_unbegun();
        }
        let framing = connection.wire.framing();
        let mut farewell = BytesMut::new();
        // Centrifuge protocol section 1.1: where the framing carries the code, there is no push beside it, but
        // for one-way clients, which may not see the frame (section 1.5).
        if !framing.carries_disconnect() || connection.one_way {
            let mut message = BytesMut::new();
            let push = Push::Disconnect(disconnect.clone());
            if let Ok(Encoded::Message(kind)) =
                connection.conversation.encode(Event::Push(&push), &mut message)
            {
                // Never compressed: with takeover it would refer to what was dropped above.
                framing.frame(kind, &message, &mut farewell);
            }
        }
        framing.end(disconnect, &mut farewell);
        let peer = if framing.carries_disconnect() { Peer::Farewell } else { Peer::End };
        connection.state = State::Closing { peer, finished: false };
        connection.end_at = deadline;
        self.push(index, farewell.freeze());
        self.after_farewell(index);
    }

    /// Ends our half without the peer's farewell, if it can't come any more: it is not known where its frames end. What
    /// it sends is read and thrown away until it ends.
    ///
    /// Otherwise its farewell is waited for, whatever broke the rule: a peer that is in the middle of a long message
    /// has not read ours, and what stands between may end the whole connection as soon as it sees our half end. RFC
    /// 6455 section 7.1.7: nothing that it says is processed or answered; its farewell only says that it has read ours.
    pub(super) fn give_up_farewell(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        let State::Closing { peer: peer @ Peer::Farewell, .. } = &mut connection.state else { return };
        if connection.deframer.awaits_close() {
            return;
        }
        *peer = Peer::End;
        if connection.outbox.is_empty() {
            self.finish(index);
        }
    }

    /// The response has been held open for long enough: it ends without a word, and the client resumes.
    fn end_stream(&mut self, index: u32) {
        let deadline = self.closing_until();
        self.book(index, Cause::Aged, Disconnect::CONNECTION_CLOSED.code, "".into());
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.end(&mut self.actions);
        let mut end = BytesMut::new();
        connection.wire.framing().end(&Disconnect::CONNECTION_CLOSED, &mut end);
        connection.state = State::Closing { peer: Peer::End, finished: false };
        connection.end_at = deadline;
        self.perform(index);
        self.push(index, end.freeze());
        self.after_farewell(index);
    }

    fn after_farewell(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        if connection.poll().is_some() {
            return self.end_poll(index);
        }
        if connection.outbox.is_empty() {
            self.finish(index);
        }
        self.schedule(index);
    }

    /// The peer said its farewell by the framing (RFC 6455 section 5.5.1: it is answered, and that is the end).
    pub(super) fn peer_closed(&mut self, index: u32, code: Option<u16>) {
        let deadline = self.closing_until();
        let Some(connection) = self.connections.at(index) else { return };
        match connection.state {
            State::Closing { finished, .. } => {
                connection.state = State::Closing { peer: Peer::Nothing, finished };
                if connection.outbox.is_empty() {
                    self.finish(index);
                }
            }
            State::Open => {
                self.book(index, Cause::Farewell, code.unwrap_or(NO_CODE), "".into());
                let Some(connection) = self.connections.at(index) else { return };
                connection.session.end(&mut self.actions);
                let mut answer = BytesMut::new();
                // The peer's own code comes back to it.
                let disconnect = Disconnect { code: code.unwrap_or(NO_CODE), reason: "".into() };
                connection.wire.framing().end(&disconnect, &mut answer);
                connection.state = State::Closing { peer: Peer::Nothing, finished: false };
                connection.end_at = deadline;
                self.perform(index);
                self.push(index, answer.freeze());
                self.after_farewell(index);
            }
        }
    }

    /// The peer ended its half: what waits is still written, and then it is over.
    pub(super) fn peer_finished(&mut self, index: u32) {
        let deadline = self.closing_until();
        let Some(connection) = self.connections.at(index) else { return };
        if connection.is_open() {
            let told = connection.wire.framing().carries_disconnect();
            let reason = if told { "without a farewell" } else { "" };
            self.book(index, Cause::Finished, Disconnect::CONNECTION_CLOSED.code, reason.into());
            let Some(connection) = self.connections.at(index) else { return };
            connection.session.end(&mut self.actions);
            connection.state = State::Closing { peer: Peer::Nothing, finished: false };
            connection.end_at = deadline;
            self.perform(index);
        } else if let State::Closing { peer, .. } = &mut connection.state {
            *peer = Peer::Nothing;
        }
        let written = self.connections.at(index).is_some_and(|connection| connection.outbox.is_empty());
        if written {
            self.remove(index);
        } else {
            self.schedule(index);
        }
    }

    /// Everything is written: our half ends. The peer's rest is read and thrown away until it ends, since a
    /// socket that is closed with unread bytes resets the connection and takes our last words with it.
    pub(super) fn finish(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        let State::Closing { peer, finished } = connection.state else { return };
        match peer {
            // RFC 6455 section 7.1.1: the server ends TCP after the peer's close frame, or the deadline.
            Peer::Farewell => return,
            Peer::Nothing => return self.remove(index),
            Peer::End if finished => return,
            Peer::End => {}
        }
        connection.state = State::Closing { peer, finished: true };
        if let Some(transport) = &mut connection.transport {
            transport.finish();
        }
        let key = self.connections.key_of(index);
        self.unread.push_back(key);
    }

    /// Time has come to `now` for this connection, and what came by then was read.
    pub(super) fn handle_deadline(&mut self, index: u32, now: Millis) {
        let stall_ms = self.node.settings.times.write_stall_ms;
        let draining = self.draining;
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.is_open() {
            if connection.end_at.time() <= now {
                self.remove(index);
            }
            return;
        }
        let stalled = connection.outbox.blocked_since().is_some_and(|since| since.after_ms(stall_ms) <= now);
        if stalled {
            self.metrics().slow_closes.bump();
            return self.end_connection(index, &Disconnect::SLOW);
        }
        if connection.end_at.time() <= now {
            return if draining {
                self.end_connection(index, &Disconnect::SHUTDOWN)
            } else {
                self.end_stream(index)
            };
        }
        self.end_overdue_asks(index);
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.handle_timeout(&self.node.rules, now, &mut self.actions);
        self.perform(index);
        self.answer_poll(index);
    }

    /// The connection is gone without a word.
    pub(super) fn drop_connection(&mut self, index: u32, code: u16, error: &io::Error) {
        let Some(connection) = self.connections.at(index) else { return };
        if connection.is_open() {
            connection.session.end(&mut self.actions);
            self.book(index, Cause::Broke(error.kind()), code, error.to_string().into());
        }
        self.perform(index);
        self.remove(index);
    }

    /// Gives the entry and the descriptor back. The session has ended.
    pub(super) fn remove(&mut self, index: u32) {
        let Some(mut connection) = self.connections.remove(index) else { return };
        self.metrics().compressed.closed.add(u64::from(connection.wire.compresses()));
        self.outbox_bytes -= connection.outbox.backlog_bytes();
        connection.outbox.take_all(&mut self.spare_backlogs);
        if let Some(mut transport) = connection.transport {
            transport.close();
        }
        self.inbox().count_connections(self.connections.len());
    }

    /// When a connection that is being closed from now on is closed at the latest.
    fn closing_until(&self) -> Moment {
        Moment::not_before(self.now.after_ms(self.node.settings.times.close_handshake_ms))
    }

    /// Ends all connections that the selector means.
    pub(super) fn disconnect_selected(&mut self, selector: &Selector, disconnect: &Disconnect) {
        for index in self.selected(selector) {
            self.end_because(index, disconnect, Cause::Asked);
        }
    }

    /// The connections that a selector means.
    pub(super) fn selected(&mut self, selector: &Selector) -> Vec<u32> {
        if let Some(key) = selector.session {
            return self.resolve_session(key).into_iter().collect();
        }
        let means = |session: &wharf_core::session::Session| {
            let user = selector
                .user
                .as_ref()
                .is_none_or(|user| session.info().is_some_and(|info| *info.user == **user));
            let client = selector.client.is_none_or(|client| session.client() == client);
            user && client && !selector.spared.contains(&session.client())
        };
        let chosen = self.connections.iter().filter(|(_, connection)| means(&connection.session));
        chosen.map(|(index, _)| index).collect()
    }

    /// Ends all connections within a time, spread out, so that they do not all come back at once.
    pub(super) fn drain(&mut self, within_ms: u64) {
        self.draining = true;
        for index in self.connections.indices() {
            let spread = rand::Rng::next_u32(&mut self.rng);
            let spread_ms = within_ms * u64::from(spread) / (u64::from(u32::MAX) + 1);
            let end_at = Moment::not_before(self.now.after_ms(spread_ms));
            if let Some(connection) = self.connections.at(index).filter(|connection| connection.is_open()) {
                connection.end_at = connection.end_at.min(end_at);
            }
            self.schedule(index);
        }
    }
}

/// RFC 6455 section 7.1.5: a close frame without a code.
const NO_CODE: u16 = 1005;
