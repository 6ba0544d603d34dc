//! Publications through the server's HTTP API, or of its clients and devices.

use clap::{Args, ValueEnum};

use super::{Fact, Generator, OPENING_WINDOW, Round, Sample, Scenario, Side, Transport, asking};
use crate::cli::bench::{flags::parse_rate, message::Template, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Publish {
    /// So many requests a second in all, by schedule; latency counts from when a request was due. Without it each
    /// connection asks again as soon as it is answered, and latency counts from sending.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// So many publications in one request, by the API's method `batch`.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "transport", value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Who publishes. Clients and devices have one publication on the way at a time, each.
    #[arg(long, value_enum, default_value_t = By::Http)]
    transport: By,
}

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A backend, through the server API.
    Http,
    Websocket,
    /// JSON lines over TCP.
    Tcp,
    /// Lines of a device, which the server's configuration describes.
    Device,
}

impl Scenario for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn operation(&self) -> Option<&'static str> {
        Some("publication")
    }

    fn facts(&self) -> Vec<Fact> {
        let batch = (!self.publishes()).then_some(("batch", f64::from(self.batch)));
        batch.into_iter().chain(self.rate.map(|rate| ("rate", rate))).collect()
    }

    fn transport(&self) -> Transport {
        match self.transport {
            By::Http | By::Websocket => Transport::Websocket,
            By::Tcp => Transport::Tcp,
            By::Device => Transport::Device,
        }
    }

    fn way(&self) -> &'static str {
        if self.publishes() { self.transport().name() } else { "http" }
    }

    fn publishes(&self) -> bool {
        self.transport != By::Http
    }

    fn connections(&self) -> usize {
        if self.publishes() { 1_000 } else { 16 }
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        if self.publishes() {
            return generator.open_askers(connections, OPENING_WINDOW);
        }
        generator.open_callers(connections)
    }

    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        if self.publishes() {
            return asking::measure(side, self.rate, round);
        }
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
