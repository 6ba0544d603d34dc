//! Members sit down in the hub, start to hear, and stand up again.

use std::sync::Arc;

use wharf_core::{
    broker::{BrokerError, Context, HistoryFilter, HistoryPage, HistoryPolicy, Pending},
    hub::{Seat, local::Missed},
    session::{Grant, INSUFFICIENT_STATE, Outcome, Ticket},
};
use wharf_proto::message::{Channel, Position};

use super::Worker;
use crate::node::Node;

/// What of the past a new member wants; none where the channel keeps no history.
type Read = Option<(HistoryFilter, HistoryPolicy)>;

impl Worker {
    /// Seats the member, then reads the history as far as it is wanted. What is published in between is held
    /// back for the member by the hub, so that nothing falls between the two.
    pub(super) fn join(&mut self, index: u32, channel: Channel, read: Read, grant: Grant, ticket: Ticket) {
        let Some(connection) = self.connections.at(index) else { return };
        let Some(subscription) = connection.session.subscription_mut(&channel) else { return };
        subscription.seat = Some(self.hub.sit_down(&channel, index, grant));
        self.node.directory.subscribe(&channel, self.index);
        let page = match self.node.engine.subscribe(&channel) {
            Pending::Ready(Ok(())) => {
                let mut context = Context { now: self.now, rng: &mut self.rng };
                read_page(&self.node, &channel, read, &mut context)
            }
            Pending::Ready(Err(error)) => Pending::Ready(Err(error)),
            Pending::Later(subscribed) => {
                let (node, channel) = (Arc::clone(&self.node), channel.clone());
                Pending::Later(Box::pin(async move {
                    subscribed.await?;
                    let page = node.with_context(|context| read_page(&node, &channel, read, context));
                    page.outcome().await
                }))
            }
        };
        self.call(index, page, ticket, |page| Outcome::Subscribed { channel, page });
    }

    /// The member's subscribe reply has been said: it hears what was held back, and all that follows.
    pub(super) fn activate(&mut self, index: u32, channel: &Channel, reached: Option<Position>) {
        let Some(seat) = self.seat(index, channel) else { return };
        match self.hub.activate(seat, reached) {
            Ok(held) => held.iter().for_each(|broadcast| self.deliver_to(index, broadcast)),
            Err(Missed::OtherEpoch) => self.lost_position(channel),
            Err(missed) => self.unsubscribe(index, channel, INSUFFICIENT_STATE, missed.to_string()),
        }
    }

    pub(super) fn seat(&mut self, index: u32, channel: &Channel) -> Option<Seat> {
        self.connections.at(index)?.session.subscription_mut(channel)?.seat
    }

    pub(super) fn vacate(&mut self, index: u32, seat: Option<Seat>) {
        let Some(seat) = seat else { return };
        let Some(departure) = self.hub.stand_up(seat, index) else { return };
        if let Some((entry, seat)) = departure.moved
            && let Some(connection) = self.connections.at(entry)
            && let Some(subscription) = connection.session.subscription_mut(&departure.channel)
        {
            subscription.seat = Some(seat);
        }
        if self.node.directory.unsubscribe(&departure.channel, self.index) {
            let pending = self.node.engine.unsubscribe(&departure.channel);
            self.call_unanswered("leave a channel", pending);
            // Another worker may have seated a first member in between.
            if self.node.directory.members(&departure.channel) > 0 {
                let pending = self.node.engine.subscribe(&departure.channel);
                self.call_unanswered("enter a channel", pending);
            }
        }
    }

    /// The server removes a client from a channel.
    pub(super) fn unsubscribe(&mut self, index: u32, channel: &Channel, code: u32, reason: String) {
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.handle_unsubscribed(channel, code, reason, &mut self.actions);
        self.perform(index);
    }
}

fn read_page(
    node: &Node,
    channel: &Channel,
    read: Read,
    context: &mut Context<'_>,
) -> Pending<Result<Option<HistoryPage>, BrokerError>> {
    let Some((filter, policy)) = read else { return Pending::Ready(Ok(None)) };
    node.engine.history(channel, filter, policy, context).map(|page| page.map(Some))
}
