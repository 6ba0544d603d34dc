//! An RPC that is answered with its own payload; of a plain WebSocket server, a message that comes back.

use clap::Args;

use super::{Fact, Generator, OPENING_WINDOW, Round, Sample, Scenario, Side, Transport, asking};
use crate::cli::bench::flags::parse_rate;

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
        "device" => Err("a device asks for no echo; what it says is published and acknowledged: \
                         `wharf bench publish --transport device`"
            .to_owned()),
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
        asking::measure(side, self.rate, round)
    }
}
