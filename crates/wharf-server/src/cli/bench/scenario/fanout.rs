//! One publication to many subscribers.

use std::time::{Duration, Instant};

use clap::Args;

use super::{Fact, Generator, Round, Sample, Scenario, Side, Transport, open_subscribers};
use crate::cli::bench::{flags::parse_rate, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Fanout {
    /// So many publications a second, by schedule.
    #[arg(long, value_name = "N", default_value_t = 20.0, conflicts_with = "saturate", value_parser = parse_rate)]
    rate: f64,
    /// So many publications at once, then a pause that keeps the rate.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "saturate", value_parser = clap::value_parser!(u64).range(1..=4096))]
    burst: u64,
    /// Publish as fast as deliveries come. Without a schedule, latency counts from sending.
    #[arg(long)]
    saturate: bool,
    /// With --saturate: so many publications are on the way at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    window: u64,
    /// Agree with the subscribers on permessage-deflate without context takeover, and measure beside it a server that
    /// compresses nothing. A server of --server must have it switched on, and is measured alone. The floor compresses
    /// nothing.
    #[arg(long, conflicts_with = "transport")]
    compress: bool,
    /// How the subscribers come.
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    transport: Transport,
}

impl Scenario for Fanout {
    fn name(&self) -> &'static str {
        match self {
            Self { saturate: true, compress: true, .. } => "fanout, saturated and compressed",
            Self { burst: 1, compress: true, .. } => "fanout, sparse and compressed",
            Self { compress: true, .. } => "fanout, in bursts and compressed",
            Self { saturate: true, .. } => "fanout, saturated",
            Self { burst: 1, .. } => "fanout, sparse",
            _ => "fanout, in bursts",
        }
    }

    fn operation(&self) -> Option<&'static str> {
        Some("delivery")
    }

    fn facts(&self) -> Vec<Fact> {
        match self {
            Self { saturate: true, window, .. } => vec![("window", *window as f64)],
            Self { burst: 1, rate, .. } => vec![("rate", *rate)],
            Self { burst, rate, .. } => vec![("rate", *rate), ("burst", *burst as f64)],
        }
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn compresses(&self) -> bool {
        self.compress
    }

    fn shares_connections(&self) -> bool {
        true
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        open_subscribers(generator, connections)?;
        generator.open_publisher()
    }

    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        side.measure(|generator| {
            if self.saturate { self.saturated(generator, round) } else { self.scheduled(generator, round) }
        })
    }
}

impl Fanout {
    /// Each burst at its time. The channels take turns.
    fn scheduled(&self, generator: &mut Generator, round: &Round<'_>) -> anyhow::Result<Done> {
        let bursts_a_second = self.rate / self.burst as f64;
        let mut schedule = Schedule::new(generator.shared.now_ns(), round.time, Some(bursts_a_second));
        let (mut expected, mut channel) = (0, 0);
        while !schedule.is_over(generator.shared.now_ns()) {
            while let Some(due_ns) = schedule.take(generator.shared.now_ns()) {
                expected += generator.publish(channel, self.burst, due_ns)?;
                channel = (channel + 1) % generator.channels();
            }
            generator.turn(schedule.wait(generator.shared.now_ns()))?;
            round.progress.tick(generator.delivered());
        }
        generator.drain(expected)?;
        Ok(Done { operations: expected, left_out: schedule.left_out() * self.burst })
    }

    fn saturated(&self, generator: &mut Generator, round: &Round<'_>) -> anyhow::Result<Done> {
        let begun = Instant::now();
        let (mut expected, mut channel) = (0, 0);
        while begun.elapsed() < round.time || expected == 0 {
            let each = generator.members(channel).max(1);
            let room = self.window.saturating_sub((expected - generator.delivered()) / each);
            if room > 0 {
                expected += generator.publish(channel, room, generator.shared.now_ns())?;
                channel = (channel + 1) % generator.channels();
            }
            generator.turn(Duration::from_millis(10))?;
            round.progress.tick(generator.delivered());
        }
        generator.drain(expected)?;
        Ok(Done::all(expected))
    }
}
