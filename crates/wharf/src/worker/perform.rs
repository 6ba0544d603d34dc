//! Carries out what a session asks for.

use wharf_core::{
    broker::Context,
    session::{Action, Outcome},
};
use wharf_proto::{
    message::{Channel, Push, Reply, ReplyBody},
    wire::Event,
};

use super::Worker;
use crate::ledger::Cause;

impl Worker {
    /// Carries out the actions that a session has just left, and all that follow from them, in their order.
    pub(super) fn perform(&mut self, index: u32) {
        self.queue.extend(self.actions.drain(..).map(|action| (index, action)));
        if self.performing {
            return; // The loop below, further up the stack, comes to them.
        }
        self.performing = true;
        while let Some((index, action)) = self.queue.pop_front() {
            self.carry_out(index, action);
        }
        self.performing = false;
    }

    fn carry_out(&mut self, index: u32, action: Action) {
        match action {
            Action::Reply { reply, about } => self.say_reply(index, reply, about.as_ref()),
            Action::Push(push) => self.say_push(index, &push),
            Action::PingFrame => self.say_ping_frame(index),
            Action::Subscribe { channel, read, grant, ticket } => {
                self.join(index, channel, read, grant, ticket)
            }
            Action::Activate { channel, reached } => self.activate(index, &channel, reached),
            Action::Vacate { seat, .. } => self.vacate(index, seat),
            Action::Publish { channel, request, ticket } => {
                self.metrics().publications.bump();
                let pending = self.node.engine.publish(
                    &channel,
                    request,
                    &mut Context { now: self.now, rng: &mut self.rng },
                );
                self.call(index, pending, ticket, Outcome::Published);
            }
            Action::History { channel, filter, policy, ticket } => {
                let context = &mut Context { now: self.now, rng: &mut self.rng };
                let pending = self.node.engine.history(&channel, filter, policy, context);
                self.call(index, pending, ticket, Outcome::History);
            }
            Action::Presence { channel, ticket } => {
                let pending = self.node.engine.presence(&channel, self.now);
                self.call(index, pending, ticket, Outcome::Presence);
            }
            Action::PresenceStats { channel, ticket } => {
                let pending = self.node.engine.presence_stats(&channel, self.now);
                self.call(index, pending, ticket, Outcome::PresenceStats);
            }
            Action::RenewPresence { channel, info } => {
                let lease_ms = self.node.rules.presence_lease_ms;
                let pending = self.node.engine.renew(&channel, &info, lease_ms, self.now);
                self.call_unanswered("renew presence", pending);
            }
            Action::RemovePresence { channel, client } => {
                let pending = self.node.engine.remove(&channel, client);
                self.call_unanswered("remove presence", pending);
            }
            Action::AnnounceJoin { channel, info } => {
                let pending = self.node.engine.publish_join(&channel, info);
                self.call_unanswered("announce a join", pending);
            }
            Action::AnnounceLeave { channel, info } => {
                let pending = self.node.engine.publish_leave(&channel, info);
                self.call_unanswered("announce a leave", pending);
            }
            Action::Claim { device } => self.claim(index, &device),
            Action::Release { device } => self.release(index, &device),
            Action::Answered { id, data } => self.answered(index, id, data),
            Action::Disconnect(disconnect) => {
                self.farewell(index, &disconnect, Cause::Ended(disconnect.code));
            }
        }
    }

    /// `about` is the channel of which the reply tells, if it tells of one.
    pub(super) fn say_reply(&mut self, index: u32, mut reply: Reply, about: Option<&Channel>) {
        if let Ok(ReplyBody::Connect(result)) = &mut reply.result
            && let Some(key) = self.session_key(index)
        {
            result.session = key.encode().into();
            result.node = self.node.id.clone();
        }
        if let Some(poll) = self.connections.at(index).and_then(|connection| connection.poll_mut()) {
            poll.reply_went(&reply);
        }
        let may_compress = match &reply.result {
            Ok(ReplyBody::Connect(result)) => {
                result.subs.iter().all(|(channel, _)| self.may_compress(Some(channel)))
            }
            _ => self.may_compress(about),
        };
        self.say(index, Event::Reply(&reply), may_compress);
    }

    pub(super) fn say_push(&mut self, index: u32, push: &Push) {
        let may_compress = self.may_compress(push.channel());
        self.say(index, Event::Push(push), may_compress);
    }
}
