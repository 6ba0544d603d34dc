//! What is known of paths, shared by all workers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_core::{
    path::{Bounds, Estimate, PathTable},
    time::Millis,
};

use super::{Ended, Origin};
use crate::{node::Node, settings::Settings};

/// The paths of a node. Asked at each connect, told of each end that was an idle kill, and once or twice in the life of
/// a connection of the silences that it survived.
#[derive(Debug)]
pub struct Paths {
    table: Mutex<PathTable<Origin>>,
    usual_ms: u32,
    grows: bool,
}

impl Paths {
    /// Nothing is known; none where it is not wanted.
    pub fn new(settings: &Settings) -> Option<Self> {
        let estimate = settings.paths;
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        let usual_ms = ms(settings.times.ping_interval_ms);
        let longest_ms = estimate.longest_ping_ms.map_or(usual_ms, ms);
        let shortest_ms = ms(estimate.shortest_ping_ms).min(longest_ms);
        let table = Mutex::new(PathTable::new(Bounds { usual_ms, shortest_ms, longest_ms }));
        estimate.enabled.then_some(Self { table, usual_ms, grows: longest_ms > usual_ms })
    }

    /// The ping interval that was found for a path, if it is shorter than that of the kind of connection. A longer one
    /// is told where it may grow, to those that have no interval of their own.
    pub fn interval_ms(&self, origin: Origin, usual_ms: u32, now: Millis) -> Option<u32> {
        origin.network?;
        let found = self.lock().interval_ms(origin, now)?;
        let may_be_longer = self.grows && usual_ms == self.usual_ms;
        (found < usual_ms || may_be_longer && found > usual_ms).then_some(found)
    }

    /// A connection has survived such a silence.
    pub fn handle_survived(&self, origin: Origin, silence_ms: u64, now: Millis) {
        if origin.network.is_some() {
            self.lock().handle_survived(origin, silence_ms, now);
        }
    }

    /// A silence has killed.
    pub fn handle_killed(&self, node: &Node, ended: &Ended) {
        let Some(network) = ended.origin.network else { return };
        let moved = self.lock().handle_killed(ended.origin, ended.quiet_ms, ended.ended);
        if let Some(estimate) = moved {
            let seconds = |ms: u32| f64::from(ms) / 1_000.0;
            tracing::info!(
                %network,
                listener = node.listener_name(ended.origin.listener),
                kills_after_s = seconds(estimate.kills_at_ms),
                ping_interval_s = seconds(estimate.interval_ms),
                "something between these clients and this server forgets idle connections; the next are pinged more often"
            );
        }
    }

    /// All that is known, as the paths come in their order.
    pub fn estimates(&self) -> Vec<(Origin, Estimate)> {
        let mut estimates: Vec<_> = self.lock().estimates().collect();
        estimates.sort_unstable_by_key(|(origin, _)| *origin);
        estimates
    }

    fn lock(&self) -> MutexGuard<'_, PathTable<Origin>> {
        // Nothing panics while it holds the lock, so the table is whole even if the lock says otherwise.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
