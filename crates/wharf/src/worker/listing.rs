//! Who is connected, and who was: the worker's part of the server API's `connections`. A question is answered in pages,
//! so that a walk over a hundred thousand connections keeps no tick waiting.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::oneshot;
use wharf_core::{session::Phase, time::Millis};
use wharf_proto::message::{Channel, ClientId};

use super::{Worker, connection::Connection};
use crate::{
    ledger::{Ended, Network, Origin, Verdict},
    transport::Vitals,
};

/// A page looks at so many entries at the most, and the next page goes on from there. LIMITS.md, `WALKED_A_PAGE`.
pub const WALKED_A_PAGE: usize = 1_024;

/// The most channels of one connection that are named; all are counted. LIMITS.md, `CHANNELS_NAMED`.
pub const CHANNELS_NAMED: usize = 16;

/// Whom a question means. Empty fields match all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A user; the empty one is the anonymous one.
    pub user: Option<Box<str>>,
    /// A connection.
    pub client: Option<ClientId>,
    /// Members of a channel; only while they are connected.
    pub channel: Option<Channel>,
    /// A kind of connection, as in metrics.
    pub kind: Option<Box<str>>,
    /// A client network.
    pub network: Option<Network>,
    /// What became of it; only of those that ended.
    pub verdict: Option<Verdict>,
}

/// Which come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they lie: with a cursor, all can be had.
    Unordered,
    /// The longest connected.
    Oldest,
    /// The shortest connected.
    Newest,
    /// Those with the most bytes waiting.
    Queued,
    /// Those that were not heard for the longest.
    Silent,
}

/// A page of who is connected.
pub struct ListConnections {
    /// Whom.
    pub filter: Arc<Filter>,
    /// Which come first.
    pub order: Order,
    /// From this entry of the slab on.
    pub from: u32,
    /// The most rows.
    pub limit: usize,
    /// Where an order has enough rows already: those that come before this rank are wanted.
    pub better_than: Option<u64>,
    /// Where the page goes. Dropped by the caller when nobody waits for it any more.
    pub answer: oneshot::Sender<ConnectionsPage>,
}

/// What a worker says of its connections.
#[derive(Debug)]
pub struct ConnectionsPage {
    /// With the rank in the order that was asked for; the smallest comes first.
    pub rows: Vec<(u64, Live)>,
    /// From which entry the next page goes on; none behind the last.
    pub next: Option<u32>,
}

/// A page of who was connected, the newest first.
pub struct ListEnded {
    /// Whom.
    pub filter: Arc<Filter>,
    /// From the one before this on.
    pub before: u64,
    /// The most rows.
    pub limit: usize,
    /// Where the page goes.
    pub answer: oneshot::Sender<EndedPage>,
}

/// What a worker says of its ledger.
#[derive(Debug)]
pub struct EndedPage {
    /// With their numbers.
    pub rows: Vec<(u64, Ended)>,
    /// Before which number the next page goes on; none behind the oldest that is remembered.
    pub next: Option<u64>,
}

/// One connection.
#[derive(Debug)]
#[allow(missing_docs)] // As in `Ended`.
pub struct Live {
    pub client: ClientId,
    pub user: Option<Arc<str>>,
    pub kind: &'static str,
    /// What moves its bytes: `tcp`, `tls`, `unix`, `tunnel`, `body`; none for polls.
    pub transport: Option<&'static str>,
    pub origin: Origin,
    pub peer: Option<SocketAddr>,
    /// `opening`, `connected` or `closing`.
    pub state: &'static str,
    pub age_ms: u64,
    /// Since something came, and since something went.
    pub heard_ms: u64,
    pub spoke_ms: u64,
    /// The longest silence that is known to have done no harm.
    pub survived_ms: u64,
    /// Between pings.
    pub ping_ms: u64,
    /// Bytes that wait to be written.
    pub queue_bytes: usize,
    pub messages_in: u32,
    pub messages_out: u32,
    /// The first [`CHANNELS_NAMED`], and how many there are.
    pub channels: Vec<Channel>,
    pub channel_count: usize,
    pub vitals: Vitals,
}

impl Filter {
    fn means(&self, connection: &Connection) -> bool {
        let session = &connection.session;
        let user = session.info().map(|info| &*info.user);
        let of_network = |network: &Network| connection.origin().network == Some(*network);
        let in_channel = |channel: &Channel| {
            session.subscriptions().iter().any(|subscription| subscription.channel == *channel)
        };
        self.user.as_ref().is_none_or(|wanted| user == Some(&**wanted))
            && self.client.is_none_or(|client| session.client() == client)
            && self.kind.as_ref().is_none_or(|kind| connection.kind.name() == &**kind)
            && self.network.as_ref().is_none_or(of_network)
            && self.channel.as_ref().is_none_or(in_channel)
    }

    fn meant(&self, ended: &Ended) -> bool {
        self.user.as_ref().is_none_or(|user| ended.user.as_ref().is_some_and(|other| **other == **user))
            && self.client.is_none_or(|client| ended.client == client)
            && self.kind.as_ref().is_none_or(|kind| ended.kind == &**kind)
            && self.network.is_none_or(|network| ended.origin.network == Some(network))
            && self.verdict.is_none_or(|verdict| ended.verdict == verdict)
    }
}

impl Order {
    /// Where the connection stands in the order; the smallest comes first.
    fn rank(self, connection: &Connection, now: Millis) -> u64 {
        let [opened, ..] = connection.traffic.moments();
        match self {
            Self::Unordered => 0,
            Self::Oldest => opened.0,
            Self::Newest => u64::MAX - opened.0,
            Self::Queued => u64::MAX - connection.outbox.backlog_bytes() as u64,
            Self::Silent => connection.heard(now).0,
        }
    }
}

impl Worker {
    pub(super) fn list_connections(&mut self, question: ListConnections) {
        let ListConnections { filter, order, from, limit, better_than, answer } = question;
        let mut chosen: Vec<(u64, u32)> = Vec::new();
        let (now, end) = (self.now, self.connections.end());
        let mut next = from;
        let until = from.saturating_add(WALKED_A_PAGE as u32).min(end);
        while next < until && (order != Order::Unordered || chosen.len() < limit) {
            let index = next;
            next += 1;
            let Some(connection) = self.connections.at(index) else { continue };
            let rank = order.rank(connection, now);
            if better_than.is_none_or(|worst| rank < worst) && filter.means(connection) {
                chosen.push((rank, index));
            }
        }
        chosen.sort_unstable();
        chosen.truncate(limit);
        let rows = chosen.into_iter().filter_map(|(rank, index)| Some((rank, self.describe(index)?)));
        let rows = rows.collect();
        // Whoever asked may be gone.
        let _ = answer.send(ConnectionsPage { rows, next: (next < end).then_some(next) });
    }

    fn describe(&mut self, index: u32) -> Option<Live> {
        let now = self.now;
        let connection = self.connections.at(index)?;
        let Connection { session, traffic, transport, .. } = &*connection;
        let transport = transport.as_ref();
        let [opened, _, spoke] = traffic.moments();
        let subscriptions = session.subscriptions();
        let channels = subscriptions.iter().take(CHANNELS_NAMED);
        Some(Live {
            client: session.client(),
            user: session.info().map(|info| Arc::clone(&info.user)),
            kind: connection.kind.name(),
            transport: transport.map(|transport| transport.name()),
            origin: connection.origin(),
            peer: transport.and_then(|transport| transport.peer()),
            state: match session.phase() {
                Phase::Opening | Phase::Connecting => "opening",
                Phase::Connected => "connected",
                Phase::Ended => "closing",
            },
            age_ms: now.ms_since(opened),
            heard_ms: now.ms_since(connection.heard(now)),
            spoke_ms: now.ms_since(spoke),
            survived_ms: traffic.survived_ms(),
            ping_ms: session.liveness_policy().interval_ms.into(),
            queue_bytes: connection.outbox.backlog_bytes(),
            messages_in: traffic.messages_in,
            messages_out: traffic.messages_out,
            channels: channels.map(|subscription| subscription.channel.clone()).collect(),
            channel_count: subscriptions.len(),
            vitals: transport.map_or_else(Vitals::default, |transport| transport.vitals()),
        })
    }

    pub(super) fn list_ended(&mut self, question: ListEnded) {
        let ListEnded { filter, before, limit, answer } = question;
        let mut rows = Vec::new();
        let mut last = before;
        for (number, ended) in self.ledger.newest_before(before).take(WALKED_A_PAGE) {
            if rows.len() >= limit {
                break;
            }
            last = number;
            if filter.meant(ended) {
                rows.push((number, ended.clone()));
            }
        }
        let more = self.ledger.newest_before(last).next().is_some();
        let _ = answer.send(EndedPage { rows, next: more.then_some(last) }); // Whoever asked may be gone.
    }
}
