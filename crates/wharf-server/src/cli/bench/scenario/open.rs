//! Connect and subscribe.

use std::time::Instant;

use clap::Args;

use super::{Fact, Generator, Round, Sample, Scenario, Side, Transport};
use crate::cli::bench::{flags::parse_rate, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Open {
    /// So many are being opened at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// So many connections a second, by schedule; latency counts from when one was due. Without it, from dialing.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Connect and subscribe in one WebSocket frame, which is one exchange less.
    #[arg(long, conflicts_with = "transport")]
    one_frame: bool,
    /// How the connections come.
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    transport: Transport,
}

impl Scenario for Open {
    fn name(&self) -> &'static str {
        if self.one_frame { "open and subscribe in one frame" } else { "open and subscribe" }
    }

    fn operation(&self) -> Option<&'static str> {
        Some("open")
    }

    fn facts(&self) -> Vec<Fact> {
        [("window", f64::from(self.window))].into_iter().chain(self.rate.map(|rate| ("rate", rate))).collect()
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn opens_in_one_frame(&self) -> bool {
        self.one_frame
    }

    fn opens_many(&self) -> bool {
        true
    }

    fn connections_stay(&self) -> bool {
        false
    }

    fn prepare(&self, _: &mut Generator, _: usize) -> anyhow::Result<()> {
        Ok(())
    }

    /// Opens all again and again until the time is over. Closing is not measured.
    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let (count, window) = (round.connections, usize::from(self.window));
        let mut samples = Vec::new();
        loop {
            samples.push(side.measure(|generator| {
                let mut schedule = Schedule::endless(generator.shared.now_ns(), self.rate);
                generator.open_subscribers(count, window, &mut schedule)?;
                Ok(Done::all(count as u64))
            })?);
            side.generator.close_all();
            round.progress.tick((samples.len() * count) as u64);
            if begun.elapsed() >= round.time
                && let Some(sum) = Sample::sum(&samples)
            {
                return Ok(sum);
            }
        }
    }
}
