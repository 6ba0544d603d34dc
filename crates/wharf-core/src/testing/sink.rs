//! A broker's sink that remembers what it heard.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use wharf_proto::message::{Channel, ClientInfo, Epoch, Publication};

use crate::broker::BrokerSink;

/// One thing heard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Heard {
    Publication(Arc<Publication>, Option<Epoch>),
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}

/// Remembers everything in the order in which it was handed over, by channel.
#[derive(Debug, Default)]
pub struct RecordingSink {
    heard: Mutex<HashMap<Channel, Vec<Heard>>>,
    changed: Condvar,
}

/// How long [`RecordingSink::wait_for`] waits for an engine that hands over later.
const PATIENCE: Duration = Duration::from_secs(10);

impl RecordingSink {
    /// Has heard nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What was heard of a channel up to now.
    pub fn heard(&self, channel: &Channel) -> Vec<Heard> {
        self.heard.lock().expect("no recorder panicked").get(channel).cloned().unwrap_or_default()
    }

    /// What was heard of a channel once it is at least `count` things; panics if they don't come in 10 s. An
    /// engine that hands over before it answers is never waited for.
    pub fn wait_for(&self, channel: &Channel, count: usize) -> Vec<Heard> {
        let few = |heard: &mut HashMap<Channel, Vec<Heard>>| heard.get(channel).map_or(0, Vec::len) < count;
        let heard = self.heard.lock().expect("no recorder panicked");
        let (heard, waited) =
            self.changed.wait_timeout_while(heard, PATIENCE, few).expect("no recorder panicked");
        let heard = heard.get(channel).cloned().unwrap_or_default();
        assert!(!waited.timed_out(), "heard {} of {count} things in {channel}: {heard:?}", heard.len());
        heard
    }

    /// The publications among [`heard`](Self::heard), once they are at least `count`.
    pub fn wait_for_publications(&self, channel: &Channel, count: usize) -> Vec<Arc<Publication>> {
        self.wait_for(channel, count)
            .into_iter()
            .filter_map(|heard| match heard {
                Heard::Publication(publication, _) => Some(publication),
                Heard::Join(_) | Heard::Leave(_) => None,
            })
            .collect()
    }

    fn record(&self, channel: &Channel, heard: Heard) {
        self.heard.lock().expect("no recorder panicked").entry(channel.clone()).or_default().push(heard);
        self.changed.notify_all();
    }
}

impl BrokerSink for RecordingSink {
    fn handle_publication(&self, channel: &Channel, publication: Arc<Publication>, epoch: Option<Epoch>) {
        self.record(channel, Heard::Publication(publication, epoch));
    }

    fn handle_join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.record(channel, Heard::Join(info));
    }

    fn handle_leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.record(channel, Heard::Leave(info));
    }
}
