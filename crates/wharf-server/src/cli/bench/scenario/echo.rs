//! An RPC that is answered with its own payload; of a plain WebSocket server, a message that comes back.

use std::time::Instant;

use clap::Args;

use super::{Fact, Generator, OPENING_WINDOW, Round, Sample, Scenario, Side, Transport};
use crate::cli::bench::{flags::parse_rate, patience::Patience, schedule::Schedule, side::Done};

#[derive(Debug, Args)]
pub struct Echo {
    /// So many echoes a second in all, by schedule; latency counts from when an echo was due. Without it each
    /// connection asks again as soon as it is answered, and latency counts from sending.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// The server is any that sends a WebSocket message back as it came, at the path of --server.
    #[arg(long, requires = "server", conflicts_with = "transport")]
    plain: bool,
    /// How the connections come: websocket or tcp.
    #[arg(long, value_parser = parse_transport, default_value = "websocket")]
    transport: Transport,
}

/// Commands of the other transports go aside, so that there is no echo on one connection.
fn parse_transport(text: &str) -> Result<Transport, String> {
    match text {
        "websocket" => Ok(Transport::Websocket),
        "tcp" => Ok(Transport::Tcp),
        _ => Err("an echo goes over websocket or tcp".to_owned()),
    }
}

impl Scenario for Echo {
    fn name(&self) -> &'static str {
        if self.plain { "plain echo" } else { "echo" }
    }

    fn operation(&self) -> Option<&'static str> {
        Some("echo")
    }

    fn facts(&self) -> Vec<Fact> {
        self.rate.map(|rate| ("rate", rate)).into_iter().collect()
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn is_plain(&self) -> bool {
        self.plain
    }

    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
        generator.open_askers(connections, OPENING_WINDOW)
    }

    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample> {
        side.measure(|generator| match self.rate {
            Some(rate) => scheduled(generator, rate, round),
            None => closed(generator, round),
        })
    }
}

/// Each echo at its time, on whichever connection waits for none.
fn scheduled(generator: &mut Generator, rate: f64, round: &Round<'_>) -> anyhow::Result<Done> {
    let mut schedule = Schedule::new(generator.shared.now_ns(), round.time, Some(rate));
    let mut asked = 0;
    while !schedule.is_over(generator.shared.now_ns()) {
        while !generator.shared.idle.is_empty()
            && let Some(due_ns) = schedule.take(generator.shared.now_ns())
        {
            generator.ask(due_ns)?;
            asked += 1;
        }
        generator.turn(schedule.wait(generator.shared.now_ns()))?;
        round.progress.tick(generator.delivered());
    }
    generator.drain(asked)?;
    Ok(Done { operations: asked, left_out: schedule.left_out() })
}

/// Every connection asks, and asks again when it is answered, until the time is over and the last answer came.
fn closed(generator: &mut Generator, round: &Round<'_>) -> anyhow::Result<Done> {
    generator.shared.asking = true;
    let mut under_way = 0;
    while generator.ask(generator.shared.now_ns())? {
        under_way += 1;
    }
    let end = Instant::now() + round.time;
    let mut patience = Patience::new();
    while Instant::now() < end {
        generator.turn(round.time)?;
        patience.watch(generator.delivered(), || "no echo comes any more".to_owned())?;
        round.progress.tick(generator.delivered());
    }
    generator.shared.asking = false;
    generator.drain(generator.delivered() + under_way)?;
    Ok(Done::all(generator.delivered()))
}
