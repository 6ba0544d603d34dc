//! The contracts between Wharf and what keeps its channels: [`Broker`] (who else must hear), [`HistoryStore`]
//! (what was said) and [`PresenceStore`] (who is there). The embedded engine in [`crate::memory`] is the
//! reference; Redis and NATS implement the same, and all pass the suite in `testing::contract`.
//!
//! Calls may finish at once or later ([`Pending`]), and may fail ([`BrokerError`]). A caller never waits while
//! it holds anything.

use std::{future::Future, pin::Pin, sync::Arc};

use rand_core::Rng;
use wharf_proto::message::{
    Channel, ClientId, ClientInfo, Data, Epoch, Position, PresenceStats, Publication, Tags,
};

use crate::time::Millis;

/// The outcome of a call that finished at once, or will finish later. The embedded engine always answers at
/// once, and then nothing is allocated.
pub enum Pending<T> {
    /// Finished.
    Ready(T),
    /// To be awaited on the caller's runtime.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T: Send + 'static> Pending<T> {
    /// The same with its outcome changed.
    pub fn map<U: Send + 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Pending<U> {
        match self {
            Self::Ready(outcome) => Pending::Ready(change(outcome)),
            Self::Later(call) => Pending::Later(Box::pin(async move { change(call.await) })),
        }
    }

    /// Awaits the outcome.
    pub async fn outcome(self) -> T {
        match self {
            Self::Ready(outcome) => outcome,
            Self::Later(call) => call.await,
        }
    }
}

/// The world failed, not the caller: retry or degrade.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The engine cannot be reached.
    #[error("the engine is not available: {0}")]
    Unavailable(Box<str>),
    /// The engine is full: a bound of LIMITS.md was reached.
    #[error("the engine's limit {limit} is reached")]
    Full {
        /// The bound's name in LIMITS.md.
        limit: &'static str,
    },
}

/// What a call of a broker gets beside its arguments: the time, and randomness for new epochs.
pub struct Context<'a> {
    /// The moment of the call.
    pub now: Millis,
    /// Where new epochs come from.
    pub rng: &'a mut dyn Rng,
}

/// How much of a channel's past is kept. A size of 0 keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryPolicy {
    /// The most publications kept.
    pub size: u32,
    /// How long a publication is kept, in milliseconds.
    pub ttl_ms: u64,
    /// How long the position (epoch and newest offset) is kept after the last use, in milliseconds.
    pub meta_ttl_ms: u64,
}

impl HistoryPolicy {
    /// Whether anything is kept at all.
    pub fn keeps_history(&self) -> bool {
        self.size > 0 && self.ttl_ms > 0
    }
}

/// What is to be published.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// The content.
    pub data: Data,
    /// Who publishes; none for the server API.
    pub info: Option<Arc<ClientInfo>>,
    /// Labels.
    pub tags: Tags,
    /// The same key in the same channel within [`IDEMPOTENCY_MS`] publishes nothing and has the first outcome.
    pub idempotency_key: Option<Box<str>>,
    /// What the channel keeps.
    pub history: HistoryPolicy,
}

/// How long a publish key is remembered, in milliseconds. See LIMITS.md, `idempotency_ms`.
pub const IDEMPOTENCY_MS: u64 = 5 * 60 * 1000;

/// What an acknowledged publish came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where it is in the history; none where the channel keeps none.
    pub position: Option<Position>,
    /// The key was known: nothing was published now.
    pub duplicate: bool,
}

/// Passes publications on, here and elsewhere.
pub trait Broker: Send + Sync + 'static {
    /// Gives the publication its position, stores it as `request.history` says, and hands it to the sink, in
    /// one order for each channel: position and hand-over happen under one lock, so that no two callers'
    /// publications are handed over in another order than their offsets.
    fn publish(
        &self,
        channel: &Channel,
        request: PublishRequest,
        context: &mut Context<'_>,
    ) -> Pending<Result<Published, BrokerError>>;
    /// Tells the members that wish it that a client joined. A client's leave never overtakes its join.
    fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>>;
    /// Tells the members that wish it that a client left.
    fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Pending<Result<(), BrokerError>>;
    /// This node has a member of the channel: from the outcome on, the sink hears of it. Called for each member,
    /// so that each waits for the same beginning; all but the first cost nothing.
    fn subscribe(&self, channel: &Channel) -> Pending<Result<(), BrokerError>>;
    /// This node has lost its last member of the channel.
    fn unsubscribe(&self, channel: &Channel) -> Pending<Result<(), BrokerError>>;
}

/// Where a broker hands over what it heard. Called in the channel's order; never blocks.
pub trait BrokerSink: Send + Sync + 'static {
    /// A publication; with its epoch where the channel keeps history.
    fn handle_publication(&self, channel: &Channel, publication: Arc<Publication>, epoch: Option<Epoch>);
    /// A client joined.
    fn handle_join(&self, channel: &Channel, info: Arc<ClientInfo>);
    /// A client left.
    fn handle_leave(&self, channel: &Channel, info: Arc<ClientInfo>);
}

/// Which part of the past is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryFilter {
    /// At most so many; 0 for the position alone.
    pub limit: usize,
    /// Only those strictly after this offset, or strictly before it if `reverse`. The caller has compared the
    /// epoch, or compares it with the page's.
    pub since_offset: Option<u64>,
    /// Newest first.
    pub reverse: bool,
}

/// A part of the past, and the newest position at the moment it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The publications that the filter chose.
    pub publications: Vec<Arc<Publication>>,
    /// The newest position. A channel that never had a publication has offset 0 and an epoch already.
    pub position: Position,
}

/// Keeps what was said.
pub trait HistoryStore: Send + Sync + 'static {
    /// Reads a part of the past. Makes the channel's epoch if there is none yet.
    fn history(
        &self,
        channel: &Channel,
        filter: HistoryFilter,
        policy: HistoryPolicy,
        context: &mut Context<'_>,
    ) -> Pending<Result<HistoryPage, BrokerError>>;
    /// Forgets the publications; the position stays.
    fn history_remove(&self, channel: &Channel) -> Pending<Result<(), BrokerError>>;
}

/// Keeps who is there, as leases: an entry that is not renewed in time is gone, whatever became of its owner.
pub trait PresenceStore: Send + Sync + 'static {
    /// Adds an entry or renews its lease, until `now + lease_ms`.
    fn renew(
        &self,
        channel: &Channel,
        info: &Arc<ClientInfo>,
        lease_ms: u64,
        now: Millis,
    ) -> Pending<Result<(), BrokerError>>;
    /// Removes an entry.
    fn remove(&self, channel: &Channel, client: ClientId) -> Pending<Result<(), BrokerError>>;
    /// Everybody whose lease has not run out.
    fn presence(&self, channel: &Channel, now: Millis) -> Pending<Result<Vec<Arc<ClientInfo>>, BrokerError>>;
    /// How many they are.
    fn presence_stats(&self, channel: &Channel, now: Millis) -> Pending<Result<PresenceStats, BrokerError>>;
}

/// The three contracts together: what a node is started with.
pub trait Engine: Broker + HistoryStore + PresenceStore {}
impl<T: Broker + HistoryStore + PresenceStore> Engine for T {}
