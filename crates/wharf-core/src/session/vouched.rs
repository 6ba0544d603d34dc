//! Sessions that the configuration of their listener vouches for: devices.
//!
//! A device is admitted without a token, since its login was judged before it came here, and needs no permission of
//! a namespace, since its profile has named its channels. In all else (history, presence, limits) it is a client
//! like any other. It claims its name on the node, so that the driver can hold it to one connection.

use std::sync::Arc;

use wharf_proto::message::{Channel, SubscribeRequest, Vouched};

use super::{Action, Phase, Session, Standing, Subscription, SubscriptionState, rules::Rules, subscribe};

impl Session {
    /// Whether the listener's configuration vouches for the client: it is a device.
    pub fn is_vouched(&self) -> bool {
        self.standing == Standing::Device
    }

    /// The client's subscriptions come with its connect, and are the server's.
    pub(super) fn subscribes_for_client(&self) -> bool {
        self.standing != Standing::Client
    }

    /// Claims the device's name, and notes the channels that it attends. A channel that cannot be is left out
    /// silently, like a subscription of the server's.
    pub(super) fn claim(&mut self, vouched: &Vouched, rules: &Rules, actions: &mut Vec<Action>) {
        if let Some(info) = &self.info {
            actions.push(Action::Claim { device: Arc::clone(&info.user) });
        }
        self.subscriptions.reserve_exact(vouched.attends.len().min(rules.channels_per_client));
        for name in &vouched.attends {
            if let Ok(channel) = Channel::parse(name) {
                self.attend(channel, rules);
            }
        }
    }

    /// The claim was refused, and none of the actions that came behind it was carried out: there is nothing to give
    /// back, and nobody who was told of the device.
    pub fn end_unclaimed(&mut self) {
        self.phase = Phase::Ended;
        self.connecting = None;
        self.subscriptions = Vec::new();
    }

    /// Gives the name back, if it was claimed.
    pub(super) fn release(&mut self, actions: &mut Vec<Action>) {
        if self.is_vouched()
            && let Some(info) = &self.info
        {
            actions.push(Action::Release { device: Arc::clone(&info.user) });
        }
    }

    fn attend(&mut self, channel: Channel, rules: &Rules) {
        let request = SubscribeRequest::default();
        let Ok(options) = self.may_subscribe(&channel, &request, rules) else { return };
        let mut grant = subscribe::grant(&request, &options, true);
        if !grant.presence && !grant.announced {
            return; // Nobody would see it there.
        }
        grant.silent = true;
        self.attempts = self.attempts.wrapping_add(1);
        self.subscriptions.push(Subscription {
            channel,
            seat: None,
            state: SubscriptionState::Subscribing,
            attempt: self.attempts,
            grant,
        });
    }

    /// The connect reply has been said: the device is present where it attends.
    pub(super) fn appear(&mut self, actions: &mut Vec<Action>) {
        let Some(info) = &self.info else { return };
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.grant.silent) {
            subscription.state = SubscriptionState::Subscribed;
            if subscription.grant.presence {
                let channel = subscription.channel.clone();
                actions.push(Action::RenewPresence { channel, info: Arc::clone(info) });
            }
            if subscription.grant.announced {
                let channel = subscription.channel.clone();
                actions.push(Action::AnnounceJoin { channel, info: Arc::clone(info) });
            }
        }
    }
}
