//! Bytes go to outboxes, and outboxes to transports: each connection once a tick.

use std::io;

use bytes::{Bytes, BytesMut};
use wharf_proto::{
    Disconnect,
    message::{Channel, Reply},
    wire::{Encoded, Event, Inexpressible, MessageKind},
};

use super::{
    Worker,
    connection::Connection,
    outbox::{Flushed, Turn},
    slab::index_of,
};
use crate::ring::Sending;

/// What a message is made in keeps so many bytes of memory; the memory of a longer one is given back or away.
const WORKED_BYTES: usize = 16 * 1024;

/// From so many connections on they are written in one call of the kernel; below it the call costs more than it saves.
const TOGETHER_AT_LEAST: usize = 16;

/// What was written, and the buffer is empty again: of what is long and fills its memory the memory itself, of all else
/// a copy. What waits is counted by its length, and so must not keep the room that compression has left.
fn taken(buffer: &mut BytesMut) -> Bytes {
    let is_long = buffer.capacity() > WORKED_BYTES;
    if is_long && buffer.len() > buffer.capacity() / 2 {
        return std::mem::take(buffer).freeze();
    }
    let bytes = Bytes::copy_from_slice(buffer);
    match is_long {
        true => *buffer = BytesMut::new(),
        false => buffer.clear(),
    }
    bytes
}

impl Worker {
    /// Says something to one connection alone; compressed only if it may be.
    pub(super) fn say(&mut self, index: u32, event: Event<'_>, may_compress: bool) {
        match self.try_say(index, event, may_compress) {
            Ok(Encoded::Message(_) | Encoded::Nothing) => {}
            Ok(Encoded::Disconnect(code)) => {
                let disconnect = Disconnect::of_code(code);
                self.end_connection(index, &disconnect);
            }
            Err(Inexpressible) => self.end_connection(index, &Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }

    /// Says something to one connection alone, if it can be said and the connection is open.
    pub(super) fn try_say(
        &mut self,
        index: u32,
        event: Event<'_>,
        may_compress: bool,
    ) -> Result<Encoded, Inexpressible> {
        let connection = self.connections.at(index).filter(|connection| connection.is_open());
        let Some(connection) = connection else { return Ok(Encoded::Nothing) };
        let mut message = std::mem::take(&mut self.message);
        let encoded = connection.conversation.encode(event, &mut message);
        if let Ok(Encoded::Message(kind)) = encoded {
            let bytes = self.frame(index, kind, &message, may_compress);
            let asked_for = matches!(event, Event::Reply(Reply { result: Ok(_), .. }));
            let excused = if asked_for { bytes.len() } else { 0 };
            self.push_excused(index, bytes, excused);
        }
        message.clear();
        if message.capacity() <= WORKED_BYTES {
            self.message = message;
        }
        encoded
    }

    /// One message's bytes for one connection, which must be sent: with context takeover what follows refers to them.
    pub(super) fn frame(
        &mut self,
        index: u32,
        kind: MessageKind,
        message: &[u8],
        may_compress: bool,
    ) -> Bytes {
        let Some(connection) = self.connections.at(index) else { return Bytes::new() };
        let metrics = self.node.metrics.worker(usize::from(self.index));
        let wire = connection.wire_for(may_compress);
        let own = connection.rare.as_mut().and_then(|rare| rare.deflater.as_mut());
        self.compressor.writer(wire, own, metrics).frame(kind, message, &mut self.framed);
        metrics.messages_out.bump();
        connection.traffic.messages_out = connection.traffic.messages_out.saturating_add(1);
        taken(&mut self.framed)
    }

    /// Whether what tells of this channel may be compressed; what tells of none may. Row 39.
    pub(super) fn may_compress(&self, channel: Option<&Channel>) -> bool {
        channel.is_none_or(|channel| self.node.rules.namespaces.may_compress(channel))
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
        self.push_excused(index, bytes, 0);
    }

    fn push_excused(&mut self, index: u32, bytes: Bytes, excused: usize) {
        if bytes.is_empty() {
            return;
        }
        let limit = self.node.settings.limits.outbox_bytes;
        let Some(connection) = self.connections.at(index) else { return };
        self.outbox_bytes += bytes.len();
        let list = connection.outbox.push(bytes, &mut self.spare_backlogs);
        connection.outbox.excuse(excused);
        let full = connection.outbox.is_over(limit) && connection.is_open();
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

    /// Ends the connections that can't be told what they should be. One whose outbox is full is written first: many
    /// broadcasts in one tick are no slowness of the peer's.
    pub(super) fn end_slow(&mut self) {
        let limit = self.node.settings.limits.outbox_bytes;
        while let Some((key, disconnect)) = self.doomed.pop() {
            if disconnect.code == Disconnect::SLOW.code {
                if !self.is_over(key, limit) {
                    continue;
                }
                self.flush(key);
                if !self.is_over(key, limit) {
                    continue;
                }
                self.metrics().slow_closes.bump();
            }
            if let Some(index) = self.connections.resolve(key) {
                self.end_connection(index, &disconnect);
            }
        }
    }

    fn is_over(&mut self, key: u64, limit: usize) -> bool {
        let connection = self.connections.resolve(key).and_then(|index| self.connections.at(index));
        connection.is_some_and(|connection| connection.is_open() && connection.outbox.is_over(limit))
    }

    /// Ends the largest waiters while all outboxes together are over their budget, after everything was written
    /// that could be.
    pub(super) fn end_over_budget(&mut self) {
        while let Some((key, disconnect)) = self.over_budget() {
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
        let waits = |connection: &Connection| connection.is_open() && !connection.outbox.is_empty();
        let open = self.connections.iter().filter(|(_, connection)| waits(connection));
        let (index, _) = open.max_by_key(|(_, connection)| connection.outbox.backlog_bytes())?;
        Some((
            self.connections.key_of(index),
            Disconnect::SLOW.with_reason("slow: the server's outbox budget is spent"),
        ))
    }

    /// Writes each connection that has something to say, once: many in one call where that is cheaper.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        if dirty.len() >= TOGETHER_AT_LEAST && self.world.sends_together() {
            self.send_together(&mut dirty);
        }
        for key in dirty.drain(..) {
            self.flush(key);
        }
        self.dirty = dirty;
    }

    /// Sends to all of the list for whom one piece waits, and leaves the others on it.
    fn send_together(&mut self, dirty: &mut Vec<u64>) {
        let mut sends = std::mem::take(&mut self.sends);
        dirty.retain(|&key| {
            let Some(index) = self.connections.resolve(key) else { return false };
            self.settle_silence(index);
            let Some(connection) = self.connections.at(index) else { return false };
            let Some(descriptor) = connection.transport.as_ref().and_then(|transport| transport.descriptor())
            else {
                return true;
            };
            match connection.outbox.begin_send() {
                Turn::Nothing => false,
                Turn::Alone => true,
                Turn::Send(bytes) => {
                    sends.push(Sending { key, descriptor, bytes, outcome: None });
                    false
                }
            }
        });
        self.world.send_all(&mut sends);
        for Sending { key, outcome, .. } in sends.drain(..) {
            match outcome {
                Some(outcome) => self.sent(key, outcome),
                None => self.flush(key),
            }
        }
        self.sends = sends;
    }

    /// A connection's only piece was sent together with those of others.
    fn sent(&mut self, key: u64, outcome: io::Result<usize>) {
        let Some(index) = self.connections.resolve(key) else { return };
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        let before = connection.outbox.backlog_bytes();
        if let (Ok(count), Some(transport)) = (&outcome, &mut connection.transport) {
            transport.sent_beside(*count);
        }
        let sent = connection.outbox.sent(outcome, now, &mut self.spare_backlogs);
        match sent {
            Ok(false) if connection.outbox.is_empty() => self.wrote(index, before, Ok(Flushed::Empty)),
            Ok(false) => self.wrote(index, before, Ok(Flushed::Blocked)),
            Ok(true) => {
                self.count_written(index, before);
                self.flush(key);
            }
            Err(error) => self.wrote(index, before, Err(error)),
        }
    }

    /// Writes what the transport takes.
    pub(super) fn flush(&mut self, key: u64) {
        let Some(index) = self.connections.resolve(key) else { return };
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        if connection.poll().is_some() {
            return self.answer_poll(index);
        }
        self.settle_silence(index);
        let Some(connection) = self.connections.at(index) else { return };
        let Some(transport) = &mut connection.transport else { return };
        let before = connection.outbox.backlog_bytes();
        let flushed = connection.outbox.flush(&mut **transport, now, &mut self.spare_backlogs);
        self.wrote(index, before, flushed);
    }

    /// Of the `before` bytes that waited some were written, also where that failed in the end.
    fn wrote(&mut self, index: u32, before: usize, flushed: io::Result<Flushed>) {
        self.count_written(index, before);
        let is_open = self.connections.at(index).is_some_and(|connection| connection.is_open());
        match flushed {
            Ok(Flushed::Empty) if is_open => {}
            Ok(Flushed::Empty) => self.finish(index),
            Ok(Flushed::Blocked) => self.schedule(index),
            Err(error) => self.drop_connection(index, Disconnect::WRITE_ERROR.code, &error),
        }
    }

    fn count_written(&mut self, index: u32, before: usize) {
        let Some(connection) = self.connections.at(index) else { return };
        let written = before - connection.outbox.backlog_bytes();
        if written > 0 {
            connection.traffic.handle_spoke(self.now);
        }
        self.outbox_bytes -= written;
        self.metrics().bytes_out.add(written as u64);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_keeps_little_more_memory_than_its_own_length() {
        // Compression needs room for a message that does not compress, and then leaves most of it.
        for (room, length) in [(100_000, 300), (100_000, 90_000), (20_000, 1), (1_000, 100)] {
            let mut buffer = BytesMut::zeroed(room);
            buffer.truncate(length);
            let bytes = taken(&mut buffer);
            assert_eq!((bytes.len(), buffer.len()), (length, 0));
            assert!(buffer.capacity() <= WORKED_BYTES, "the worker keeps {}", buffer.capacity());
            let kept = bytes.try_into_mut().unwrap().capacity(); // Nobody else has them.
            assert!(kept <= 2 * length, "{length} bytes keep {kept}");
        }
    }
}
