//! The memory engine as one behind a network: joining, reading and publishing finish later, in any order.

use std::sync::Arc;

use rand::{SeedableRng, rngs::StdRng};
use wharf_core::{
    broker::{
        Broker, BrokerError, Context, HistoryFilter, HistoryPage, HistoryPolicy, HistoryStore, Pending,
        PresenceStore, PublishRequest, Published,
    },
    memory::MemoryEngine,
    time::Millis,
};
use wharf_proto::message::{Channel, ClientId, ClientInfo, PresenceStats};

pub struct SlowEngine(pub Arc<MemoryEngine>);

type Outcome<T> = Pending<Result<T, BrokerError>>;

/// Runs the call after some polls of its future, and answers after some more.
fn later<T: Send + 'static>(call: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    Pending::Later(Box::pin(async move {
        pause().await;
        let outcome = call().outcome().await;
        pause().await;
        outcome
    }))
}

async fn pause() {
    let mut polls = 2;
    std::future::poll_fn(move |_| {
        polls -= 1;
        if polls == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// The call's own randomness and its moment.
fn owned(context: &mut Context<'_>) -> (Millis, StdRng) {
    (context.now, StdRng::seed_from_u64(context.rng.next_u64()))
}

impl Broker for SlowEngine {
    fn publish(
        &self,
        channel: &Channel,
        request: PublishRequest,
        context: &mut Context<'_>,
    ) -> Outcome<Published> {
        let (engine, channel, (now, mut rng)) = (self.0.clone(), channel.clone(), owned(context));
        later(move || engine.publish(&channel, request, &mut Context { now, rng: &mut rng }))
    }
    fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Outcome<()> {
        self.0.publish_join(channel, info)
    }
    fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Outcome<()> {
        self.0.publish_leave(channel, info)
    }
    fn subscribe(&self, _: &Channel) -> Outcome<()> {
        later(|| Pending::Ready(Ok(())))
    }
    fn unsubscribe(&self, _: &Channel) -> Outcome<()> {
        later(|| Pending::Ready(Ok(())))
    }
}

impl HistoryStore for SlowEngine {
    fn history(
        &self,
        channel: &Channel,
        filter: HistoryFilter,
        policy: HistoryPolicy,
        context: &mut Context<'_>,
    ) -> Outcome<HistoryPage> {
        let (engine, channel, (now, mut rng)) = (self.0.clone(), channel.clone(), owned(context));
        later(move || engine.history(&channel, filter, policy, &mut Context { now, rng: &mut rng }))
    }
    fn history_remove(&self, channel: &Channel) -> Outcome<()> {
        self.0.history_remove(channel)
    }
}

impl PresenceStore for SlowEngine {
    fn renew(&self, channel: &Channel, info: &Arc<ClientInfo>, lease_ms: u64, now: Millis) -> Outcome<()> {
        self.0.renew(channel, info, lease_ms, now)
    }
    fn remove(&self, channel: &Channel, client: ClientId) -> Outcome<()> {
        self.0.remove(channel, client)
    }
    fn presence(&self, channel: &Channel, now: Millis) -> Outcome<Vec<Arc<ClientInfo>>> {
        self.0.presence(channel, now)
    }
    fn presence_stats(&self, channel: &Channel, now: Millis) -> Outcome<PresenceStats> {
        self.0.presence_stats(channel, now)
    }
}
