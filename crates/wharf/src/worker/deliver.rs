//! Broadcasts reach the members: the bytes are made once for each wire, and each member's outbox gets a
//! reference.

use std::sync::Arc;

use bytes::Bytes;
use wharf_core::hub::{SharedBroadcast, local::Verdict};
use wharf_proto::{
    Disconnect,
    message::{BroadcastBody, Push},
    wire::{Event, Inexpressible},
};

use super::Worker;

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
            let encoded = self.encoded[connection.wire.index()]
                .get_or_insert_with(|| broadcast.encoded(connection.wire));
            match encoded {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    deliveries += 1;
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
        self.delivered += deliveries as usize + private.len();
        for index in private {
            self.say_privately(index, broadcast);
        }
    }

    /// Puts a broadcast on one member's outbox.
    pub(super) fn deliver_to(&mut self, index: u32, broadcast: &Arc<SharedBroadcast>) {
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.shares_broadcasts {
            return self.say_privately(index, broadcast);
        }
        self.metrics().deliveries.bump();
        let Some(connection) = self.connections.at(index) else { return };
        match broadcast.encoded(connection.wire) {
            Ok(bytes) => self.push(index, bytes),
            Err(Inexpressible) => self.end_connection(index, &Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }

    /// For a conversation whose bytes are its own.
    fn say_privately(&mut self, index: u32, broadcast: &Arc<SharedBroadcast>) {
        self.metrics().private_encodings.bump();
        let push = Push::Broadcast(Arc::new(broadcast.broadcast().clone()));
        self.say(index, Event::Push(&push));
    }
}
