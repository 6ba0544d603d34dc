//! Bytes go to outboxes, and outboxes to transports: each connection once a tick.

use bytes::{Bytes, BytesMut};
use wharf_proto::{
    Disconnect,
    wire::{Encoded, Event, Inexpressible},
};

use super::{Worker, connection::State, outbox::Flushed, slab::index_of};

impl Worker {
    /// Says something to one connection alone.
    pub(super) fn say(&mut self, index: u32, event: Event<'_>) {
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.is_open() {
            return;
        }
        let mut message = BytesMut::new();
        match connection.conversation.encode(event, &mut message) {
            Ok(Encoded::Message(kind)) => {
                let mut framed = BytesMut::with_capacity(message.len() + 16);
                connection.wire.framing().frame(kind, &message, &mut framed);
                self.metrics().messages_out.bump();
                self.push(index, framed.freeze());
            }
            Ok(Encoded::Nothing) => {}
            Ok(Encoded::Disconnect(code)) => {
                let disconnect = Disconnect::of_code(code);
                self.end_connection(index, &disconnect);
            }
            Err(Inexpressible) => self.end_connection(index, &Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }

    pub(super) fn say_ping_frame(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        let mut ping = BytesMut::new();
        connection.wire.framing().ping(&mut ping);
        self.push(index, ping.freeze());
    }

    /// Puts bytes on a connection's outbox. One that is full ends the connection as slow, at the end of the
    /// tick.
    pub(super) fn push(&mut self, index: u32, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let limit = self.node.settings.limits.outbox_bytes;
        let Some(connection) = self.connections.at(index) else { return };
        self.outbox_bytes += bytes.len();
        let list = connection.outbox.push(bytes, &mut self.spare_backlogs);
        let full = connection.outbox.backlog_bytes() > limit && connection.is_open();
        if list || full {
            let key = self.connections.key_of(index);
            if list {
                self.dirty.push(key);
            }
            if full {
                self.doomed.push((key, Disconnect::SLOW));
            }
        }
    }

    /// Ends the connections that were found to be slow, and the largest waiters while all outboxes together are
    /// over their budget.
    pub(super) fn end_doomed(&mut self) {
        while let Some((key, disconnect)) = self.doomed.pop().or_else(|| self.over_budget()) {
            if let Some(index) = self.connections.resolve(key) {
                self.metrics().slow_closes.bump();
                self.end_connection(index, &disconnect);
            }
        }
    }

    fn over_budget(&self) -> Option<(u64, Disconnect)> {
        if self.outbox_bytes <= self.node.settings.limits.outbox_total_bytes {
            return None;
        }
        let open = self.connections.iter().filter(|(_, connection)| connection.is_open());
        let (index, _) = open.max_by_key(|(_, connection)| connection.outbox.backlog_bytes())?;
        Some((
            self.connections.key_of(index),
            Disconnect::SLOW.with_reason("slow: the server's outbox budget is spent"),
        ))
    }

    /// Writes each connection that has something to say, once.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.flush(key);
        }
        self.dirty = dirty;
    }

    /// Writes what the transport takes.
    pub(super) fn flush(&mut self, key: u64) {
        let Some(index) = self.connections.resolve(key) else { return };
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        if connection.poll().is_some() {
            return self.answer_poll(index);
        }
        let Some(transport) = &mut connection.transport else { return };
        match connection.outbox.flush(&mut **transport, now, &mut self.spare_backlogs) {
            Ok(flushed) => {
                let (Flushed::Empty(written) | Flushed::Blocked(written)) = flushed;
                let done = matches!(flushed, Flushed::Empty(_)) && connection.state != State::Open;
                self.outbox_bytes -= written;
                self.metrics().bytes_out.add(written as u64);
                if done {
                    self.finish(index);
                } else if matches!(flushed, Flushed::Blocked(_)) {
                    self.schedule(index);
                }
            }
            Err(_) => self.drop_connection(index, Disconnect::WRITE_ERROR.code),
        }
    }

    /// A transport became ready. Both directions are tried, since one event may mean both.
    pub(super) fn handle_writable(&mut self, key: u64) {
        let waits =
            self.connections.at(index_of(key)).is_some_and(|connection| !connection.outbox.is_empty());
        if waits {
            self.flush(key);
        }
    }
}
