//! What a connected client may ask beside joining: publish, presence, history, rpc, refresh.

use wharf_proto::{
    Disconnect,
    message::{Channel, Data, ErrorReply, HistoryRequest, HistoryResult, ReplyBody},
};

use super::{Action, Session, Ticket, action::Subject, rules::Rules};
use crate::{
    broker::{BrokerError, HistoryFilter, HistoryPage, PublishRequest},
    namespace::ChannelOptions,
};

/// Who may do one thing in a channel.
struct Permission {
    client: bool,
    subscriber: bool,
    anonymous: bool,
}

impl Session {
    pub(super) fn publish(
        &mut self,
        id: u32,
        name: &str,
        data: Data,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) {
        let Some((channel, options)) = self.known_channel(id, name, rules, actions) else { return };
        let permission = Permission {
            client: options.allow_publish_for_client,
            subscriber: options.allow_publish_for_subscriber,
            anonymous: options.allow_publish_for_anonymous,
        };
        if data.bytes().is_empty() {
            let error = ErrorReply::BAD_REQUEST.with_message("publish has no data");
            return self.reply(id, Err(error), actions);
        }
        if !self.is_vouched() && !self.permits(&channel, &permission) {
            return self.reply(id, Err(ErrorReply::PERMISSION_DENIED), actions);
        }
        let request = PublishRequest {
            data,
            info: self.info.clone(),
            tags: None,
            idempotency_key: None,
            history: options.history,
        };
        actions.push(Action::Publish { channel, request, ticket: ticket(id) });
    }

    pub(super) fn presence(&mut self, id: u32, name: &str, rules: &Rules, actions: &mut Vec<Action>) {
        if let Some(channel) = self.may_ask_presence(id, name, rules, actions) {
            let ticket = Ticket { id, subject: Subject::Presence(channel.clone()) };
            actions.push(Action::Presence { channel, ticket });
        }
    }

    pub(super) fn presence_stats(&mut self, id: u32, name: &str, rules: &Rules, actions: &mut Vec<Action>) {
        if let Some(channel) = self.may_ask_presence(id, name, rules, actions) {
            actions.push(Action::PresenceStats { channel, ticket: ticket(id) });
        }
    }

    fn may_ask_presence(
        &mut self,
        id: u32,
        name: &str,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) -> Option<Channel> {
        let (channel, options) = self.known_channel(id, name, rules, actions)?;
        let permission = Permission {
            client: options.allow_presence_for_client,
            subscriber: options.allow_presence_for_subscriber,
            anonymous: options.allow_presence_for_anonymous,
        };
        if !options.presence {
            self.reply(id, Err(ErrorReply::NOT_AVAILABLE), actions);
        } else if !self.permits(&channel, &permission) {
            self.reply(id, Err(ErrorReply::PERMISSION_DENIED), actions);
        } else {
            return Some(channel);
        }
        None
    }

    pub(super) fn history(
        &mut self,
        id: u32,
        request: HistoryRequest,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) {
        let Some((channel, options)) = self.known_channel(id, &request.channel, rules, actions) else {
            return;
        };
        let permission = Permission {
            client: options.allow_history_for_client,
            subscriber: options.allow_history_for_subscriber,
            anonymous: options.allow_history_for_anonymous,
        };
        if !options.history.keeps_history() {
            return self.reply(id, Err(ErrorReply::NOT_AVAILABLE), actions);
        }
        if !self.permits(&channel, &permission) {
            return self.reply(id, Err(ErrorReply::PERMISSION_DENIED), actions);
        }
        match history_filter(&request, rules.history_answer) {
            Err(error) => self.reply(id, Err(error), actions),
            Ok(filter) => {
                let ticket = Ticket { id, subject: Subject::History(channel.clone(), Box::new(request)) };
                actions.push(Action::History { channel, filter, policy: options.history, ticket });
            }
        }
    }

    pub(super) fn historied(
        &self,
        id: u32,
        channel: Channel,
        request: &HistoryRequest,
        result: Result<HistoryPage, BrokerError>,
        actions: &mut Vec<Action>,
    ) {
        let page = match result {
            Ok(page) => page,
            Err(error) => return self.answer(id, Err(error), actions),
        };
        let answer = match check_epoch(request, &page) {
            Ok(()) => Ok(ReplyBody::History(HistoryResult {
                publications: page.publications,
                position: page.position,
            })),
            Err(error) => Err(error),
        };
        self.reply_about(channel, id, answer, actions);
    }

    pub(super) fn rpc(&self, id: u32, method: &str, data: Data, rules: &Rules, actions: &mut Vec<Action>) {
        let result = match (rules.rpc_echo, method) {
            (true, "echo") => Ok(ReplyBody::Rpc(data)),
            // With any handler an unknown method is 104, with none at all rpc itself is off.
            (true, _) => Err(ErrorReply::METHOD_NOT_FOUND),
            (false, _) => Err(ErrorReply::NOT_AVAILABLE),
        };
        self.reply(id, result, actions);
    }

    /// Centrifuge protocol section 4.4. This server checks no tokens, so that no token is a valid one.
    pub(super) fn refresh(&mut self, token: &str, actions: &mut Vec<Action>) {
        if token.is_empty() {
            self.refuse("refresh has no token", actions);
        } else {
            self.disconnect(&Disconnect::INVALID_TOKEN, actions);
        }
    }

    /// As [`Session::refresh`], for one subscription.
    pub(super) fn sub_refresh(&mut self, id: u32, name: &str, token: &str, actions: &mut Vec<Action>) {
        let Some(channel) = self.channel(id, name, actions) else { return };
        if token.is_empty() {
            self.reply(id, Err(ErrorReply::BAD_REQUEST.with_message("sub_refresh has no token")), actions);
        } else if !self.is_subscribed(&channel) {
            self.reply(id, Err(ErrorReply::PERMISSION_DENIED), actions);
        } else {
            self.disconnect(&Disconnect::INVALID_TOKEN, actions);
        }
    }

    fn known_channel(
        &mut self,
        id: u32,
        name: &str,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) -> Option<(Channel, ChannelOptions)> {
        let channel = self.channel(id, name, actions)?;
        match rules.namespaces.options(&channel) {
            Some(options) => Some((channel, *options)),
            None => {
                self.reply(id, Err(ErrorReply::UNKNOWN_CHANNEL), actions);
                None
            }
        }
    }

    fn permits(&self, channel: &Channel, permission: &Permission) -> bool {
        let here = permission.client || permission.subscriber && self.is_subscribed(channel);
        here && (permission.anonymous || !self.is_anonymous())
    }
}

fn ticket(id: u32) -> Ticket {
    Ticket { id, subject: Subject::Other }
}

/// What part of the past a request means (Centrifuge protocol section 4.3).
///
/// # Errors
/// 107 for a reverse reading from before the first publication.
pub fn history_filter(request: &HistoryRequest, most: usize) -> Result<HistoryFilter, ErrorReply> {
    let since_offset = request.since.as_ref().map(|(offset, _)| *offset);
    if request.reverse && since_offset == Some(0) {
        return Err(ErrorReply::BAD_REQUEST.with_message("nothing lies before offset 0: leave `since` out"));
    }
    let limit = usize::try_from(request.limit).map_or(most, |limit| limit.min(most));
    Ok(HistoryFilter { limit, since_offset, reverse: request.reverse })
}

/// Whether the request's epoch is still the channel's.
///
/// # Errors
/// 112 if not.
pub fn check_epoch(request: &HistoryRequest, page: &HistoryPage) -> Result<(), ErrorReply> {
    match &request.since {
        Some((_, epoch)) if !epoch.is_empty() && **epoch != *page.position.epoch.as_str() => {
            Err(ErrorReply::UNRECOVERABLE_POSITION)
        }
        _ => Ok(()),
    }
}
