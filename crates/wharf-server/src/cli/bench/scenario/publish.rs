//! Publications through the server's HTTP API.

use clap::Args;

use super::{Fact, Generator, Round, Sample, Scenario, Side};
use crate::cli::bench::{flags::parse_rate, message::Template, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Publish {
    /// So many requests a second in all, by schedule; latency counts from when a request was due. Without it each
    /// connection asks again as soon as it is answered, and latency counts from sending.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// So many publications in one request, by the API's method `batch`.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
}

impl Scenario for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn operation(&self) -> Option<&'static str> {
        Some("publication")
    }

    fn facts(&self) -> Vec<Fact> {
        [("batch", f64::from(self.batch))].into_iter().chain(self.rate.map(|rate| ("rate", rate))).collect()
    }

    fn way(&self) -> &'static str {
        "http"
    }

    fn connections(&self) -> usize {
        16
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        generator.open_callers(connections)
    }

    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        side.measure(|generator| {
            let each = u64::from(self.batch);
            let mut requests = self.requests(generator);
            let mut schedule = Schedule::new(generator.shared.now_ns(), round.time, self.rate);
            let (mut expected, mut channel) = (0, 0);
            while !schedule.is_over(generator.shared.now_ns()) {
                while generator.callers.idle() > 0
                    && let Some(due_ns) = schedule.take(generator.shared.now_ns())
                {
                    generator.callers.publish(Some(due_ns), each, requests[channel].stamped(due_ns))?;
                    channel = (channel + 1) % requests.len();
                    expected += each;
                }
                generator.turn(schedule.wait(generator.shared.now_ns()))?;
                round.progress.tick(generator.shared.tally.acknowledged);
            }
            generator.wait_for(expected, "publications are not acknowledged", |generator| {
                generator.shared.tally.acknowledged
            })?;
            Ok(Done { operations: expected, left_out: schedule.left_out() * each })
        })
    }
}

impl Publish {
    /// A request for each channel.
    fn requests(&self, generator: &Generator) -> Vec<Template> {
        let channels = 0..generator.channels() as u32;
        let request = |channel| {
            Template::api(
                &generator.shared.target,
                channel,
                generator.payload_bytes(),
                usize::from(self.batch),
            )
        };
        channels.map(request).collect()
    }
}
