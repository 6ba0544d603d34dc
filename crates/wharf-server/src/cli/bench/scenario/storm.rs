//! Everybody is cut off at one moment, and comes back at once.

use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Args;

use super::{Fact, Generator, Round, Sample, Scenario, Side, Transport, open_subscribers};
use crate::cli::bench::{connection::Positions, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Storm {
    /// So many publications are missed in each channel, and recovered by each that comes back. With 0 nothing is
    /// recovered, as suits a server without history.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=100))]
    missed: u16,
    /// How the connections come.
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    transport: Transport,
}

impl Scenario for Storm {
    fn name(&self) -> &'static str {
        "reconnect storm"
    }

    fn operation(&self) -> Option<&'static str> {
        Some("reconnect")
    }

    fn facts(&self) -> Vec<Fact> {
        vec![("missed", f64::from(self.missed))]
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn opens_many(&self) -> bool {
        true
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        ensure!(
            self.missed == 0 || self.transport != Transport::Device,
            "a device asks for nothing that it missed: measure by --missed 0 without recovery"
        );
        if self.missed > 0 {
            generator.shared.positions.noted = vec![None; generator.channels()];
        }
        open_subscribers(generator, connections)?;
        generator.open_publisher()
    }

    /// One storm after the other until the time is over.
    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let recovers = side.recovers;
        let mut samples = Vec::new();
        loop {
            samples.push(side.measure(|generator| self.storm(generator, round.connections, recovers))?);
            round.progress.tick((samples.len() * round.connections) as u64);
            if begun.elapsed() >= round.time
                && let Some(sum) = Sample::sum(&samples)
            {
                return Ok(sum);
            }
        }
    }
}

impl Storm {
    fn storm(&self, generator: &mut Generator, connections: usize, recovers: bool) -> anyhow::Result<Done> {
        let cut_ns = generator.shared.now_ns();
        generator.cut_all()?;
        if self.missed > 0 {
            let Positions { from, noted } = &mut generator.shared.positions;
            *from = std::mem::replace(noted, vec![None; from.len().max(noted.len())]);
            if from.iter().any(Option::is_none) {
                bail!(
                    "the server keeps no history from which these channels recover: configure one for them \
                     (`bench-*`), or measure by --missed 0 without recovery"
                );
            }
            for channel in 0..generator.channels() {
                generator.publish(channel, u64::from(self.missed), cut_ns)?;
            }
            let published = generator.channels() as u64 * u64::from(self.missed);
            generator.wait_for(published, "publications are not acknowledged", |generator| {
                generator.shared.tally.acknowledged
            })?;
        }
        // All are due at the moment of the cut, so the longest latency is the time until all are back.
        let mut schedule = Schedule::since(cut_ns);
        generator.open_subscribers(connections, connections, &mut schedule)?;
        let (recovered, missed) =
            (generator.shared.tally.recovered, connections as u64 * u64::from(self.missed));
        ensure!(
            !recovers || recovered == missed,
            "of {missed} publications that were missed {recovered} were recovered"
        );
        Ok(Done::all(connections as u64))
    }
}
