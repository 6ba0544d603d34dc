//! `/emulation`: what clients of the one-way streams say (Centrifuge protocol, emulation).

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{
    Context,
    answer::{self, Answer},
    body::Body,
    service::Way,
};
use crate::worker::{SessionKey, ToWorker};

pub const PATH: &str = "/emulation";

#[derive(Deserialize)]
struct EmulationRequest {
    session: String,
    node: String,
    /// Commands, joined by line ends.
    data: String,
}

/// Answers 204 once the session's worker has the commands; the replies to them go on the stream.
pub async fn answer(body: Body<'_>, mut way: Way, context: &Context) -> Answer {
    let node = &context.node;
    let body = match body.read(node.settings.limits.message_bytes).await {
        Ok(body) => body,
        Err(error) => return error.answer(),
    };
    let request: EmulationRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return answer::error(
                400,
                &format!("the body must be {{\"session\",\"node\",\"data\"}}: {error}"),
            );
        }
    };
    if *request.node != *node.id {
        return answer::error(404, "this node is not known; connect anew");
    }
    let unknown = || answer::error(500, "the session is not known; connect anew");
    let Some(session) = SessionKey::decode(&request.session) else { return unknown() };
    let Some(inbox) = node.workers.get(usize::from(session.worker)) else { return unknown() };
    if let Way::Shared(Some(turn)) = &mut way {
        turn.wait().await;
    }
    let (answer, answered) = oneshot::channel();
    if inbox.send(ToWorker::Emulate { session, data: Bytes::from(request.data), answer }).is_err() {
        return answer::busy("the server has too much to do; send it again in a second");
    }
    // The worker has it; the next may be sent.
    drop(way);
    match answered.await {
        Ok(true) => answer::empty(204),
        Ok(false) | Err(_) => unknown(),
    }
}

/// Keeps the commands of one HTTP/2 connection in the order in which their requests came, however their bodies
/// come. Over HTTP/1 there is one request at a time.
#[derive(Default)]
pub struct Turns {
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

/// The place of one request; ends the wait of the next when dropped.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _next: oneshot::Sender<()>,
}

impl Turns {
    /// Takes the next place.
    pub fn take(&self) -> Turn {
        let (next, ended) = oneshot::channel();
        // The value is replaced whole, so it is right whatever the lock says.
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(ended);
        Turn { before, _next: next }
    }
}

impl Turn {
    /// Waits until every earlier turn was dropped. Each reads its body within its own time, so this ends.
    pub async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            // An error is the drop that is waited for.
            let _ = before.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_had_in_the_order_in_which_they_were_taken() {
        let turns = Turns::default();
        let (first, second, third) = (turns.take(), turns.take(), turns.take());
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for (number, mut turn) in [(3, third), (2, second), (1, first)] {
            let said = said.clone();
            tokio::spawn(async move {
                turn.wait().await;
                said.send(number).unwrap();
            });
        }
        drop(said);
        let mut order = Vec::new();
        while let Some(number) = heard.recv().await {
            order.push(number);
        }
        assert_eq!(order, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_request_that_was_dropped_does_not_hold_the_next() {
        let turns = Turns::default();
        let (first, mut second) = (turns.take(), turns.take());
        drop(first);
        second.wait().await;
    }
}
