//! Calls of the engine: their outcomes come at once, or later by the inbox.

use std::{future::Future, sync::Arc};

use wharf_core::{
    broker::{BrokerError, Pending},
    session::{Outcome, Ticket},
};

use super::{
    ENGINE_CALLS, Worker,
    request::{Completed, Completion},
};

impl Worker {
    /// Takes the outcome of a call now, or when it comes.
    pub(super) fn call<T: Send + 'static>(
        &mut self,
        index: u32,
        pending: Pending<T>,
        ticket: Ticket,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) {
        match pending {
            Pending::Ready(result) => self.handle_outcome(index, ticket, outcome(result)),
            Pending::Later(call) => {
                // The key of an entry that is gone would be the next connection's.
                let Some(key) = self.connections.key_at(index) else { return };
                self.spawn(async move { Completed::Session { key, ticket, outcome: outcome(call.await) } });
            }
        }
    }

    pub(super) fn call_unanswered(&mut self, what: &'static str, pending: Pending<Result<(), BrokerError>>) {
        match pending {
            Pending::Ready(Ok(())) => {}
            Pending::Ready(Err(error)) => tracing::warn!(%error, "could not {what}"),
            Pending::Later(call) => self.spawn(async move {
                if let Err(error) = call.await {
                    tracing::warn!(%error, "could not {what}");
                }
                Completed::Unanswered
            }),
        }
    }

    /// Runs a call beside the worker; its outcome comes back by the inbox.
    pub(super) fn spawn(&mut self, call: impl Future<Output = Completed> + Send + 'static) {
        self.engine_calls += 1;
        let inbox = Arc::clone(self.inbox());
        self.world.spawn(Box::pin(async move {
            let kind = call.await;
            inbox.complete(Completion { kind });
        }));
    }

    pub(super) fn engine_is_busy(&self) -> bool {
        self.engine_calls >= ENGINE_CALLS
    }

    pub(super) fn handle_outcome(&mut self, index: u32, ticket: Ticket, outcome: Outcome) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.handle_outcome(ticket, outcome, &self.node.rules, now, &mut self.actions);
        self.perform(index);
    }
}
