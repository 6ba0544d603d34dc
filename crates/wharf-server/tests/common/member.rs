//! A member of a channel, whichever way it came.

use serde_json::{Value, json};

use super::{
    client::{Client, Wire},
    javascript::Javascript,
};

/// What every kind of client can do in its one channel.
pub trait Member: Send {
    /// Publishes and waits until it is acknowledged.
    fn publish(&mut self, channel: &str, data: Value);
    /// Waits for the next `count` publications; what was published.
    fn publications(&mut self, count: usize) -> Vec<Value>;
    /// The identifiers of everybody in the channel, in order.
    fn presence(&mut self, channel: &str) -> Vec<String>;
}

impl<W: Wire + Send> Member for Client<W> {
    #[track_caller]
    fn publish(&mut self, channel: &str, data: Value) {
        Client::publish(self, channel, data);
    }

    #[track_caller]
    fn publications(&mut self, count: usize) -> Vec<Value> {
        Client::publications(self, count)
    }

    #[track_caller]
    fn presence(&mut self, channel: &str) -> Vec<String> {
        Client::presence(self, channel)
    }
}

/// The SDK stands in the one channel that it was started with.
impl Member for Javascript {
    #[track_caller]
    fn publish(&mut self, _: &str, data: Value) {
        self.call(json!({"op": "publish", "data": data}));
    }

    #[track_caller]
    fn publications(&mut self, count: usize) -> Vec<Value> {
        Javascript::publications(self, count)
    }

    #[track_caller]
    fn presence(&mut self, _: &str) -> Vec<String> {
        identifiers(&self.call(json!({"op": "presence"})))
    }
}

/// The keys of a presence map, in order.
pub fn identifiers(presence: &Value) -> Vec<String> {
    let mut ids: Vec<String> = presence.as_object().into_iter().flatten().map(|(id, _)| id.clone()).collect();
    ids.sort();
    ids
}
