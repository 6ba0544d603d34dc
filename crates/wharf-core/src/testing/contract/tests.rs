//! The suite on an engine whose every call finishes later, on another thread, as a remote engine's does.

use std::{
    sync::mpsc,
    task::{Context as TaskContext, Poll},
    thread,
};

use wharf_proto::message::PresenceStats;

use super::*;
use crate::{
    broker::{Broker, HistoryStore, PresenceStore},
    memory::{MemoryEngine, MemoryLimits},
    testing::clock::SimulatedClock,
};

/// The memory engine, answering late.
struct Late(MemoryEngine);

#[derive(Default)]
struct LateSubject(SimulatedClock);

impl Subject for LateSubject {
    fn start(&self, sink: Arc<dyn BrokerSink>) -> Arc<dyn Engine> {
        Arc::new(Late(MemoryEngine::new(sink, MemoryLimits::default())))
    }

    fn now(&self) -> Millis {
        self.0.now()
    }

    fn pass_ms(&self, ms: u64) {
        self.0.advance_ms(ms);
    }
}

crate::engine_contract!(late, LateSubject::default());

/// An outcome that another thread sends when it is first asked for.
struct Answer<T> {
    outcome: Option<T>,
    arriving: Option<mpsc::Receiver<T>>,
}

impl<T: Send + Unpin + 'static> Future for Answer<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<T> {
        if let Some(outcome) = self.outcome.take() {
            let (sender, receiver) = mpsc::channel();
            let waker = context.waker().clone();
            thread::spawn(move || {
                sender.send(outcome).expect("the asker waits");
                waker.wake();
            });
            self.arriving = Some(receiver);
            return Poll::Pending;
        }
        match self.arriving.as_ref().expect("was asked before").try_recv() {
            Ok(outcome) => Poll::Ready(outcome),
            Err(_) => Poll::Pending,
        }
    }
}

fn late<T: Send + Unpin + 'static>(pending: Pending<T>) -> Pending<T> {
    let Pending::Ready(outcome) = pending else { return pending };
    Pending::Later(Box::pin(Answer { outcome: Some(outcome), arriving: None }))
}

impl Broker for Late {
    fn publish(
        &self,
        channel: &Channel,
        request: PublishRequest,
        context: &mut Context<'_>,
    ) -> Pending<Result<Published, BrokerError>> {
        late(self.0.publish(channel, request, context))
    }

    fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>> {
        late(self.0.publish_join(channel, info))
    }

    fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>> {
        late(self.0.publish_leave(channel, info))
    }

    fn subscribe(&self, channel: &Channel) -> Pending<Result<(), BrokerError>> {
        late(self.0.subscribe(channel))
    }

    fn unsubscribe(&self, channel: &Channel) -> Pending<Result<(), BrokerError>> {
        late(self.0.unsubscribe(channel))
    }
}

impl HistoryStore for Late {
    fn history(
        &self,
        channel: &Channel,
        filter: HistoryFilter,
        policy: HistoryPolicy,
        context: &mut Context<'_>,
    ) -> Pending<Result<HistoryPage, BrokerError>> {
        late(self.0.history(channel, filter, policy, context))
    }

    fn history_remove(&self, channel: &Channel) -> Pending<Result<(), BrokerError>> {
        late(self.0.history_remove(channel))
    }
}

impl PresenceStore for Late {
    fn renew(
        &self,
        channel: &Channel,
        info: &Arc<ClientInfo>,
        lease_ms: u64,
        now: Millis,
    ) -> Pending<Result<(), BrokerError>> {
        late(self.0.renew(channel, info, lease_ms, now))
    }

    fn remove(&self, channel: &Channel, client: ClientId) -> Pending<Result<(), BrokerError>> {
        late(self.0.remove(channel, client))
    }

    fn presence(&self, channel: &Channel, now: Millis) -> Pending<Result<Vec<Arc<ClientInfo>>, BrokerError>> {
        late(self.0.presence(channel, now))
    }

    fn presence_stats(&self, channel: &Channel, now: Millis) -> Pending<Result<PresenceStats, BrokerError>> {
        late(self.0.presence_stats(channel, now))
    }
}
