//! Who may join, what the join is answered with, and how a membership ends.

use std::{borrow::Cow, sync::Arc};

use wharf_proto::{
    Disconnect,
    message::{
        Channel, ChannelNameError, ErrorReply, Position, Push, ReplyBody, SubscribeRequest, SubscribeResult,
    },
};

use super::{Action, Phase, Session, Ticket, action::Subject, broker_error, recovery, rules::Rules};
use crate::{
    broker::{BrokerError, HistoryFilter, HistoryPage},
    hub::Seat,
    namespace::ChannelOptions,
};

/// Push code: removed by the server for good.
pub const UNSUBSCRIBED_BY_SERVER: u32 = 2000;
/// Push code: something was missed; the client subscribes again and recovers.
pub const INSUFFICIENT_STATE: u32 = 2500;

/// One channel of one client.
#[derive(Debug)]
pub struct Subscription {
    /// Which channel.
    pub channel: Channel,
    /// Where the hub has the member; kept here by the driver while it is one.
    pub seat: Option<Seat>,
    /// How far it has come.
    pub state: SubscriptionState,
    /// Which of the session's attempts it is.
    pub(super) attempt: u16,
    /// What was granted.
    pub grant: Grant,
}

/// How far a [`Subscription`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// The engine was asked.
    Subscribing,
    /// A member.
    Subscribed,
}

/// What was granted to a [`Subscription`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// Gaps are noticed and told.
    pub positioned: bool,
    /// May recover later.
    pub recoverable: bool,
    /// Hears who joins and leaves.
    pub hears_joins: bool,
    /// Is listed as present.
    pub presence: bool,
    /// Its joining and leaving are announced.
    pub announced: bool,
    /// The server's, not the client's: losing it ends the connection.
    pub server_side: bool,
    /// Present without hearing what is said: the hub has no member for it.
    pub silent: bool,
}

impl Session {
    pub(super) fn subscribe(
        &mut self,
        id: u32,
        request: Box<SubscribeRequest>,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) {
        let Some(channel) = self.channel(id, &request.channel, actions) else { return };
        match self.may_subscribe(&channel, &request, rules) {
            Ok(options) => self.begin_subscription(id, channel, request, &options, rules, actions),
            Err(error) => self.reply(id, Err(error), actions),
        }
    }

    /// The channel that a command names. A missing name ends the connection (Centrifuge protocol section 4); a
    /// bad one is answered with error 107. None in both cases.
    pub(super) fn channel(&mut self, id: u32, name: &str, actions: &mut Vec<Action>) -> Option<Channel> {
        match Channel::parse(name) {
            Ok(channel) => return Some(channel),
            Err(ChannelNameError::Empty) => self.refuse("the command names no channel", actions),
            Err(error) => {
                self.reply(id, Err(ErrorReply::BAD_REQUEST.with_message(error.to_string())), actions)
            }
        }
        None
    }

    pub(super) fn may_subscribe(
        &self,
        channel: &Channel,
        request: &SubscribeRequest,
        rules: &Rules,
    ) -> Result<ChannelOptions, ErrorReply> {
        if request.unsupported {
            return Err(ErrorReply::NOT_AVAILABLE);
        }
        let options = rules.namespaces.options(channel).ok_or(ErrorReply::UNKNOWN_CHANNEL)?;
        if self.subscriptions.iter().any(|subscription| subscription.channel == *channel) {
            return Err(ErrorReply::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= rules.channels_per_client {
            return Err(ErrorReply::LIMIT_EXCEEDED);
        }
        if self.is_vouched() {
            return Ok(*options);
        }
        // `$` marks channels that need a subscription token, and this server checks none.
        let needs_token = channel.as_str().starts_with('$') || !request.token.is_empty();
        if needs_token && !rules.development {
            return Err(ErrorReply::PERMISSION_DENIED);
        }
        let anonymous_kept_out = self.is_anonymous() && !options.allow_subscribe_for_anonymous;
        if !options.allow_subscribe_for_client || anonymous_kept_out {
            return Err(ErrorReply::PERMISSION_DENIED);
        }
        Ok(*options)
    }

    pub(super) fn begin_subscription(
        &mut self,
        id: u32,
        channel: Channel,
        request: Box<SubscribeRequest>,
        options: &ChannelOptions,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) {
        let grant = grant(&request, options, self.subscribes_for_client());
        if self.subscriptions.is_empty() {
            self.subscriptions.reserve_exact(1); // Most clients have one channel; a vector grows by four.
        }
        let state = SubscriptionState::Subscribing;
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = self.attempts;
        self.subscriptions.push(Subscription { channel: channel.clone(), seat: None, state, attempt, grant });
        let recovers = request.recover && grant.recoverable;
        let filter = HistoryFilter {
            limit: if recovers { rules.history_answer } else { 0 },
            since_offset: recovers.then_some(request.offset),
            reverse: false,
        };
        let read = options.history.keeps_history().then_some((filter, options.history));
        let ticket = Ticket { id, subject: Subject::Subscribe { attempt, request } };
        actions.push(Action::Subscribe { channel, read, grant, ticket });
    }

    pub(super) fn subscribed(
        &mut self,
        id: u32,
        channel: &Channel,
        attempt: u16,
        request: &SubscribeRequest,
        page: Result<Option<HistoryPage>, BrokerError>,
        actions: &mut Vec<Action>,
    ) {
        let current = self.subscription_mut(channel).filter(|current| current.attempt == attempt);
        let Some(grant) = current.map(|current| current.grant) else {
            return self.subscribed_in_vain(id, channel, actions);
        };
        let outcome = outcome(request, grant, page);
        if outcome.is_err() {
            self.remove(channel, actions);
        }
        if grant.server_side {
            return self.subscribed_server_side(channel, outcome.ok());
        }
        match outcome {
            Err(error) => self.reply(id, Err(error), actions),
            Ok((result, top)) => {
                let result = Ok(ReplyBody::Subscribe(Box::new(result)));
                self.reply_about(channel.clone(), id, result, actions);
                self.activate(channel, top, actions);
            }
        }
    }

    /// The membership was given up before the engine answered; its seat went with it. The command is answered all
    /// the same: whoever counts answers must not wait for ever, and a client that subscribed anew since knows the
    /// answers apart by their numbers.
    fn subscribed_in_vain(&mut self, id: u32, channel: &Channel, actions: &mut Vec<Action>) {
        if self.phase == Phase::Connecting {
            return self.subscribed_server_side(channel, None);
        }
        let error = ErrorReply::INTERNAL.with_message("unsubscribed before the subscribing was done");
        self.reply(id, Err(error), actions);
    }

    /// The reply has been said: the client is a member, present and announced.
    pub(super) fn activate(
        &mut self,
        channel: &Channel,
        reached: Option<Position>,
        actions: &mut Vec<Action>,
    ) {
        let info = self.info.clone();
        let Some(subscription) = self.subscription_mut(channel) else { return };
        subscription.state = SubscriptionState::Subscribed;
        let grant = subscription.grant;
        actions.push(Action::Activate { channel: channel.clone(), reached });
        let Some(info) = info else { return };
        if grant.presence {
            actions.push(Action::RenewPresence { channel: channel.clone(), info: Arc::clone(&info) });
        }
        if grant.announced {
            actions.push(Action::AnnounceJoin { channel: channel.clone(), info });
        }
    }

    pub(super) fn unsubscribe(&mut self, id: u32, name: &str, actions: &mut Vec<Action>) {
        let Some(channel) = self.channel(id, name, actions) else { return };
        // Centrifuge protocol section 4.3: not being subscribed is no error.
        self.remove(&channel, actions);
        self.reply(id, Ok(ReplyBody::Unsubscribe), actions);
    }

    /// The server removes the client from a channel: for good, or since something was missed there. Losing a
    /// subscription of the server's that way ends the connection, since the client cannot ask for it again.
    pub fn handle_unsubscribed(
        &mut self,
        channel: &Channel,
        code: u32,
        reason: impl Into<Cow<'static, str>>,
        actions: &mut Vec<Action>,
    ) {
        let Some(subscription) = self.subscription_mut(channel) else { return };
        if subscription.grant.server_side && code >= INSUFFICIENT_STATE {
            return self.disconnect(&Disconnect::INSUFFICIENT_STATE, actions);
        }
        self.remove(channel, actions);
        if self.phase == Phase::Connecting {
            return self.forget_server_side(channel);
        }
        actions.push(Action::Push(Push::Unsubscribe {
            channel: channel.clone(),
            code,
            reason: reason.into(),
        }));
    }

    fn remove(&mut self, channel: &Channel, actions: &mut Vec<Action>) {
        let at = self.subscriptions.iter().position(|subscription| subscription.channel == *channel);
        if let Some(at) = at {
            let subscription = self.subscriptions.swap_remove(at);
            self.leave(subscription, actions);
        }
    }

    pub(super) fn leave(&self, subscription: Subscription, actions: &mut Vec<Action>) {
        let Subscription { channel, seat, state, grant, .. } = subscription;
        actions.push(Action::Vacate { channel: channel.clone(), seat });
        if state != SubscriptionState::Subscribed {
            return; // Neither present nor announced yet.
        }
        if grant.presence {
            actions.push(Action::RemovePresence { channel: channel.clone(), client: self.client });
        }
        if let (true, Some(info)) = (grant.announced, &self.info) {
            actions.push(Action::AnnounceLeave { channel, info: Arc::clone(info) });
        }
    }

    pub(super) fn renew_presence(&self, actions: &mut Vec<Action>) {
        let Some(info) = &self.info else { return };
        for subscription in &self.subscriptions {
            if subscription.grant.presence && subscription.state == SubscriptionState::Subscribed {
                let channel = subscription.channel.clone();
                actions.push(Action::RenewPresence { channel, info: Arc::clone(info) });
            }
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.info.as_ref().is_none_or(|info| info.user.is_empty())
    }

    pub(super) fn is_subscribed(&self, channel: &Channel) -> bool {
        let is = |subscription: &Subscription| {
            subscription.channel == *channel && subscription.state == SubscriptionState::Subscribed
        };
        self.phase == Phase::Connected && self.subscriptions.iter().any(is)
    }
}

pub(super) fn grant(request: &SubscribeRequest, options: &ChannelOptions, server_side: bool) -> Grant {
    let keeps = options.history.keeps_history();
    let recoverable =
        keeps && (options.force_recovery || options.allow_recovery && (request.recoverable || server_side));
    let wishes_position = options.allow_positioning && request.positioned;
    Grant {
        recoverable,
        positioned: recoverable || keeps && (options.force_positioning || wishes_position),
        hears_joins: options.force_push_join_leave || options.join_leave && request.join_leave,
        presence: options.presence,
        announced: options.join_leave || options.force_push_join_leave,
        server_side,
        silent: false,
    }
}

/// The subscribe result and the newest position it covers (none where the channel keeps no history), or the error to answer with.
fn outcome(
    request: &SubscribeRequest,
    grant: Grant,
    page: Result<Option<HistoryPage>, BrokerError>,
) -> Result<(SubscribeResult, Option<Position>), ErrorReply> {
    let Some(page) = page.map_err(broker_error)? else {
        return Ok((SubscribeResult::default(), None));
    };
    let top = page.position;
    let result = recovery::result(request, grant, page);
    if request.fail_unrecoverable && result.was_recovering && !result.recovered {
        return Err(ErrorReply::UNRECOVERABLE_POSITION);
    }
    Ok((result, Some(top)))
}
