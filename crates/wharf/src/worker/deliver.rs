//! Broadcasts reach the members: the bytes are made once for each wire, and each member's outbox gets a
//! reference.

use std::sync::Arc;

use bytes::Bytes;
use wharf_core::hub::{SharedBroadcast, local::Verdict};
use wharf_proto::{
    Disconnect,
    message::{BroadcastBody, Push},
    wire::Inexpressible,
};

use super::{Worker, tick::PRIVATE_DELIVERY};

impl Worker {
    /// A broadcast came by the inbox.
    pub(super) fn handle_broadcast(&mut self, broadcast: &Arc<SharedBroadcast>) {
        match self.hub.handle_broadcast(broadcast) {
            Verdict::Deliver => self.deliver(broadcast),
            Verdict::Drop | Verdict::Hold => {}
            Verdict::CatchUp(from) => self.catch_up(&broadcast.broadcast().channel, from),
        }
    }

    /// Puts a broadcast on the outbox of every member that is to hear it.
    pub(super) fn deliver(&mut self, broadcast: &Arc<SharedBroadcast>) {
        let said = broadcast.broadcast();
        let offset = broadcast.position().map_or(0, |position| position.offset);
        let joins = !matches!(said.body, BroadcastBody::Publication { .. });
        let limit = self.node.settings.limits.outbox_bytes;
        let may_compress = self.may_compress(Some(&said.channel));
        let metrics = self.node.metrics.worker(usize::from(self.index));
        let mut private = Vec::new();
        let (mut deliveries, mut waiting) = (0, 0);
        for member in self.hub.members(&said.channel) {
            let hears = if joins { member.hears_joins() } else { member.hears(offset) };
            if !hears {
                continue;
            }
            let Some(connection) = self.connections.at(member.entry) else { continue };
            if !connection.shares_broadcasts {
                private.push(member.entry);
                continue;
            }
            let wire = connection.wire_for(may_compress);
            let encoded = self.encoded[wire.index()]
                .get_or_insert_with(|| self.compressor.encode(broadcast, wire, metrics));
            match encoded {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    deliveries += 1;
                    connection.traffic.messages_out = connection.traffic.messages_out.saturating_add(1);
                    waiting += bytes.len();
                    let list = connection.outbox.push(Bytes::clone(bytes), &mut self.spare_backlogs);
                    let full = connection.outbox.is_over(limit);
                    if list {
                        self.dirty.push(self.connections.key_of(member.entry));
                    }
                    if full {
                        self.doomed.push((self.connections.key_of(member.entry), Disconnect::SLOW));
                    }
                }
                Err(Inexpressible) => {
                    let key = self.connections.key_of(member.entry);
                    self.doomed.push((key, Disconnect::INAPPROPRIATE_PROTOCOL));
                }
            }
        }
        self.encoded.fill(None);
        self.outbox_bytes += waiting;
        self.metrics().deliveries.add(deliveries + private.len() as u64);
        self.metrics().messages_out.add(deliveries);
        self.delivered += deliveries as usize + PRIVATE_DELIVERY * private.len();
        for index in private {
            self.say_privately(index, broadcast);
        }
    }

    /// Puts a broadcast on one member's outbox.
    pub(super) fn deliver_to(&mut self, index: u32, broadcast: &Arc<SharedBroadcast>) {
        let may_compress = self.may_compress(Some(&broadcast.broadcast().channel));
        let metrics = self.node.metrics.worker(usize::from(self.index));
        let Some(connection) = self.connections.at(index) else { return };
        metrics.deliveries.bump();
        if !connection.shares_broadcasts {
            return self.say_privately(index, broadcast);
        }
        let wire = connection.wire_for(may_compress);
        match self.compressor.encode(broadcast, wire, metrics) {
            Ok(bytes) => self.push(index, bytes),
            Err(Inexpressible) => self.end_connection(index, &Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }

    /// For a connection whose bytes are its own: by a conversation that says even the message in its own way, or by
    /// compression alone.
    fn say_privately(&mut self, index: u32, broadcast: &Arc<SharedBroadcast>) {
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.conversation.shares_broadcasts() {
            self.metrics().private_encodings.bump();
            let push = Push::Broadcast(Arc::new(broadcast.broadcast().clone()));
            return self.say_push(index, &push);
        }
        match broadcast.message(connection.wire) {
            Ok(Some((kind, message))) => {
                let may_compress = self.may_compress(Some(&broadcast.broadcast().channel));
                let bytes = self.frame(index, kind, &message, may_compress);
                self.push(index, bytes);
            }
            Ok(None) => {}
            Err(Inexpressible) => self.end_connection(index, &Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }
}
