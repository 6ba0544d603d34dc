//! A channel of which something was missed on this worker is served again from history: read once for all its
//! members, since they all stand at the same offset.

use std::sync::Arc;

use wharf_core::{
    broker::{BrokerError, Context, HistoryFilter, HistoryPage, Pending},
    hub::{
        SharedBroadcast,
        local::{HELD_BACK_BROADCASTS, Lost},
    },
    session::INSUFFICIENT_STATE,
};
use wharf_proto::message::{Broadcast, BroadcastBody, Channel, Position};

use super::{Worker, request::Completed};

/// The most publications read at once. LIMITS.md, `CATCH_UP_PAGE`.
pub const CATCH_UP_PAGE: usize = 1_024;

impl Worker {
    /// The inbox was full and has dropped something of this channel's. A join or leave may be among it, which
    /// no history holds: whoever hears those subscribes again.
    pub(super) fn handle_lost(&mut self, channel: &Channel) {
        match self.hub.handle_lost(channel) {
            Lost::Nobody | Lost::BeingRead => {}
            Lost::Unknowable => self.start_over(channel, |member| !member.is_being_seated()),
            Lost::CatchUp(from) => {
                self.start_over(channel, |member| member.hears_joins());
                self.catch_up(channel, from);
            }
        }
    }

    /// Reads what came after `from`.
    pub(super) fn catch_up(&mut self, channel: &Channel, from: Position) {
        let policy =
            self.node.rules.namespaces.options(channel).map(|options| options.history).unwrap_or_default();
        let filter = HistoryFilter { limit: CATCH_UP_PAGE, since_offset: Some(from.offset), reverse: false };
        let mut context = Context { now: self.now, rng: &mut self.rng };
        match self.node.engine.history(channel, filter, policy, &mut context) {
            Pending::Ready(page) => self.caught_up(channel, from, page),
            Pending::Later(page) => {
                let channel = channel.clone();
                self.spawn(async move { Completed::History { channel, from, page: page.await } });
            }
        }
    }

    /// What came after `from` was read, or cannot be.
    pub(super) fn caught_up(
        &mut self,
        channel: &Channel,
        from: Position,
        page: Result<HistoryPage, BrokerError>,
    ) {
        if !self.hub.is_catching_up_from(channel, from) {
            return; // The channel was left by all meanwhile, or its members have started over.
        }
        let Some(page) = page.ok().filter(|page| follows(from, page)) else {
            return self.lost_position(channel);
        };
        let top = page.position;
        let mut reached = from;
        for publication in page.publications {
            reached.offset = publication.offset;
            let body = BroadcastBody::Publication { publication, epoch: Some(top.epoch) };
            let broadcast = Arc::new(SharedBroadcast::new(Broadcast { channel: channel.clone(), body }));
            self.hub.delivered_from_history(&broadcast);
            self.deliver(&broadcast);
        }
        if reached.offset < top.offset {
            return self.catch_up(channel, reached);
        }
        self.release_held(channel, top);
    }

    /// What was missed cannot be had: all members subscribe again, and learn from their own recovery what can.
    /// Who is just being seated has a reading of its own under way, and is told when that is answered.
    pub(super) fn lost_position(&mut self, channel: &Channel) {
        self.hub.forget_position(channel);
        self.start_over(channel, |member| !member.is_being_seated());
    }

    fn release_held(&mut self, channel: &Channel, top: Position) {
        let held = self.hub.caught_up(channel, top);
        let overflowed = held.len() >= HELD_BACK_BROADCASTS;
        for broadcast in &held {
            self.handle_broadcast(broadcast);
        }
        if overflowed {
            self.handle_lost(channel);
        }
    }

    fn start_over(&mut self, channel: &Channel, who: impl Fn(&wharf_core::hub::Member) -> bool) {
        let members: Vec<u32> = self
            .hub
            .members(channel)
            .iter()
            .filter(|member| who(member))
            .map(|member| member.entry)
            .collect();
        for index in members {
            self.unsubscribe(index, channel, INSUFFICIENT_STATE, "insufficient state".to_owned());
        }
    }
}

/// Whether the page goes on where `from` ends, without a hole.
fn follows(from: Position, page: &HistoryPage) -> bool {
    let first = page.publications.first().map_or(from.offset, |first| first.offset - 1);
    let complete = !page.publications.is_empty() || page.position.offset == from.offset;
    page.position.epoch == from.epoch && first == from.offset && complete
}
