//! Connections that do nothing but answer heartbeats.

use std::time::{Duration, Instant};

use clap::Args;

use super::{Generator, OPENING_WINDOW, Round, Sample, Scenario, Side, Transport, open_subscribers};
use crate::cli::bench::side::Done;

/// The progress line moves so often.
const STEP: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct Idle {
    /// The server is any that speaks WebSocket, at the path of --server.
    #[arg(long, requires = "server", conflicts_with = "transport")]
    plain: bool,
    /// How the connections come.
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    transport: Transport,
}

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        if self.plain { "plain idle" } else { "idle" }
    }

    fn operation(&self) -> Option<&'static str> {
        None
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn is_plain(&self) -> bool {
        self.plain
    }

    fn shares_connections(&self) -> bool {
        true
    }

    fn connections(&self) -> usize {
        10_000
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// So that only the connections of one side are open at a time.
    fn takes_turns(&self) -> bool {
        false
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        if self.plain {
            return generator.open_askers(connections, OPENING_WINDOW);
        }
        open_subscribers(generator, connections)
    }

    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        side.measure(|generator| {
            let end = Instant::now() + round.time;
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                generator.turn_for(left.min(STEP))?;
                round.progress.tick(0);
            }
            Ok(Done::all(0))
        })
    }
}
