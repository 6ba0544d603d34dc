//! Who may connect, and with which subscriptions of the server's.

use std::sync::{Arc, LazyLock};

use wharf_proto::{
    Disconnect,
    message::{
        Channel, ClientInfo, ConnectRequest, ConnectResult, Position, ReplyBody, SubscribeRequest,
        SubscribeResult,
    },
};

use super::{Action, Heartbeat, Phase, Session, Standing, rules::Rules};
use crate::time::Millis;

/// A connect that waits for the outcome of its subscriptions.
#[derive(Debug)]
pub(super) struct Connecting {
    id: u32,
    result: ConnectResult,
    /// The newest position that each of `result.subs` covers; none where the channel keeps no history.
    tops: Vec<Option<Position>>,
    /// Outcomes still to come.
    waiting: usize,
}

/// The user of clients without a token: one for all, so that it costs nothing for each connection.
static ANONYMOUS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

impl Session {
    pub(super) fn connect(
        &mut self,
        id: u32,
        request: ConnectRequest,
        rules: &Rules,
        now: Millis,
        actions: &mut Vec<Action>,
    ) {
        if let Err(disconnect) = admit(&request, rules) {
            return self.disconnect(&disconnect, actions);
        }
        let ConnectRequest { subs, vouched, ping, .. } = request;
        if let Some(wish) = ping {
            self.keepalive.wish(wish, rules, now);
        }
        let user = match &vouched {
            Some(vouched) => Arc::from(&*vouched.user),
            None => Arc::clone(&ANONYMOUS),
        };
        self.info =
            Some(Arc::new(ClientInfo { user, client: self.client, conn_info: None, chan_info: None }));
        self.phase = Phase::Connecting;
        if let Some(vouched) = vouched {
            self.standing = Standing::Device;
            self.claim(&vouched, rules, actions);
        }
        let result = self.connect_result(rules);
        let subs = if self.subscribes_for_client() { subs } else { Vec::new() };
        // A vector that grows by itself grows to four.
        self.subscriptions.reserve_exact(subs.len().min(rules.channels_per_client));
        let started = subs.into_iter().filter(|sub| self.begin_server_side(sub, rules, actions)).count();
        self.connecting = Some(Box::new(Connecting { id, result, tops: Vec::new(), waiting: started }));
        self.finish_connecting(rules, now, actions);
    }

    fn connect_result(&self, rules: &Rules) -> ConnectResult {
        ConnectResult {
            client: self.client,
            version: rules.version.into(),
            subs: Vec::new(),
            ping_s: 0, // Its subscriptions have a say in it.
            pong: self.keepalive.policy().heartbeat == Heartbeat::Pong,
            session: Box::default(),
            node: Box::default(),
        }
    }

    /// Starts one subscription of the server's. A channel that may not be joined is left out silently
    /// (Centrifuge protocol section 1.5); false then.
    fn begin_server_side(
        &mut self,
        request: &SubscribeRequest,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Ok(channel) = Channel::parse(&request.channel) else { return false };
        let Ok(options) = self.may_subscribe(&channel, request, rules) else { return false };
        self.begin_subscription(0, channel, Box::new(request.clone()), &options, rules, actions);
        true
    }

    /// The outcome of one subscription of the server's, with the newest position it covers; none if it failed.
    pub(super) fn subscribed_server_side(
        &mut self,
        channel: &Channel,
        outcome: Option<(SubscribeResult, Option<Position>)>,
    ) {
        let Some(connecting) = &mut self.connecting else { return };
        connecting.waiting -= 1;
        if let Some((result, top)) = outcome {
            connecting.result.subs.push((channel.clone(), result));
            connecting.tops.push(top);
        }
    }

    /// The server removed the client from a channel before the client knew of it: the connect reply leaves it out.
    pub(super) fn forget_server_side(&mut self, channel: &Channel) {
        let Some(connecting) = &mut self.connecting else { return };
        if let Some(at) = connecting.result.subs.iter().position(|(name, _)| name == channel) {
            connecting.result.subs.remove(at);
            connecting.tops.remove(at);
        }
    }

    /// With the last outcome the client is told, and then hears its channels. Until then the time for the
    /// connect runs on, so that an engine that never answers keeps no connection open.
    pub(super) fn finish_connecting(&mut self, rules: &Rules, now: Millis, actions: &mut Vec<Action>) {
        let Some(connecting) = self.connecting.take_if(|connecting| connecting.waiting == 0) else { return };
        let Connecting { id, mut result, tops, .. } = *connecting;
        result.ping_s = self.keepalive.advertised_ping_s();
        let spread = self.spread();
        self.keepalive.connected(spread, rules, now);
        let channels: Vec<Channel> = result.subs.iter().map(|(channel, _)| channel.clone()).collect();
        self.phase = Phase::Connected;
        self.reply(id, Ok(ReplyBody::Connect(Box::new(result))), actions);
        for (channel, top) in channels.iter().zip(tops) {
            self.activate(channel, top, actions);
        }
        self.appear(actions);
    }
}

/// Who may connect. This server checks no tokens: in development they are ignored, else refused.
fn admit(request: &ConnectRequest, rules: &Rules) -> Result<(), Disconnect> {
    if rules.development || request.vouched.is_some() {
        Ok(())
    } else if !request.token.is_empty() {
        Err(Disconnect::INVALID_TOKEN
            .with_reason("invalid token: this server has no key to check tokens with"))
    } else if !rules.allow_anonymous_connect {
        Err(Disconnect::BAD_REQUEST.with_reason("no credentials: anonymous clients may not connect"))
    } else {
        Ok(())
    }
}
