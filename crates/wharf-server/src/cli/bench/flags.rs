//! The flags of `wharf bench`, and the plan that they make.

use std::{net::ToSocketAddrs as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use wharf::client::{Endpoint, ServerAddress};

use super::{
    PATH,
    generator::Target,
    message::{LEAST_PAYLOAD_BYTES, MOST_CHANNELS, MOST_PAYLOAD_BYTES},
    side::Shape,
    work::Work,
};

/// Opening and closing leaves each port unusable for a minute, so openings are spread over more addresses.
const OPEN_SOURCE_ADDRESSES: u8 = 16;

#[derive(Debug, Args)]
pub struct Flags {
    #[command(subcommand)]
    pub load: Load,
}

#[derive(Debug, Subcommand)]
pub enum Load {
    /// One publication to many subscribers: the server's time for each delivery.
    Fanout {
        /// So many publications a second, so that each delivery is alone in its write.
        #[arg(long, value_name = "N", default_value_t = 20.0, conflicts_with = "saturate", value_parser = parse_rate)]
        rate: f64,
        /// Publish as fast as deliveries come.
        #[arg(long)]
        saturate: bool,
        /// With --saturate: so many publications are on the way at a time.
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
        window: u64,
        #[command(flatten)]
        options: Options,
    },
    /// An RPC that is answered with its own payload, one at a time on each connection: the server's time for each.
    Echo(Options),
    /// Connect and subscribe at full speed: the server's time for each (handshake, connect, subscribe).
    Open {
        /// So many are being opened at a time.
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
        window: u16,
        #[command(flatten)]
        options: Options,
    },
    /// Subscribed connections that do nothing: memory of each, and the server's share of a processor.
    Idle(Options),
    /// The floor itself, which the others start.
    #[command(hide = true)]
    FloorServer,
}

#[derive(Debug, Args)]
pub struct Options {
    /// Measure a server that runs already: http://HOST:PORT. Without it, this program starts one with one worker.
    #[arg(long, short, value_name = "URL")]
    server: Option<ServerAddress>,
    /// The process of that server, if it runs on this machine: for its time and memory.
    #[arg(long, requires = "server", value_name = "PID")]
    pid: Option<u32>,
    /// By default 1,000; for `idle` 10,000.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: Option<u32>,
    /// Subscribers are spread over so many channels.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_CHANNELS as i64))]
    channels: u32,
    /// Size of what is published or echoed: a JSON string, its quotes counted.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = parse_payload)]
    payload: usize,
    /// How long each side is measured, such as 500ms, 5s or 1m. By default 5s; for `idle` 1m.
    #[arg(long, short, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// The time is divided into so many rounds, in which floor and server take turns.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Connect from so many addresses (127.0.0.1 and up), each with ports of its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=250))]
    source_addresses: Option<u8>,
    /// Save all numbers to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A run, fully decided.
#[derive(Debug)]
pub struct Plan {
    pub work: Work,
    pub server: Option<Target>,
    pub pid: Option<u32>,
    pub connections: usize,
    pub shape: Shape,
    pub duration: Duration,
    pub rounds: u32,
    pub json: Option<PathBuf>,
}

impl Plan {
    /// Decides what the flags leave open. `None`: this process is to be the floor.
    pub fn new(load: Load) -> anyhow::Result<Option<Self>> {
        let (kind, options) = match load {
            Load::Fanout { saturate: true, window, options, .. } => (Work::Saturated { window }, options),
            Load::Fanout { rate, options, .. } => (Work::Sparse { rate }, options),
            Load::Echo(options) => (Work::Echo, options),
            Load::Open { window, options } => {
                (Work::Open { connections: 0, window: usize::from(window) }, options)
            }
            Load::Idle(options) => (Work::Idle, options),
            Load::FloorServer => return Ok(None),
        };
        let (default_connections, default_duration) = match kind {
            Work::Idle => (10_000, Duration::from_secs(60)),
            _ => (1_000, Duration::from_secs(5)),
        };
        let connections = options.connections.unwrap_or(default_connections) as usize;
        let work = match kind {
            Work::Open { window, .. } => Work::Open { connections, window },
            other => other,
        };
        if options.channels as usize > connections {
            bail!(
                "{} channels need as many --connections at least; there are {connections}",
                options.channels
            );
        }
        let server = options.server.map(|server| target(server, options.source_addresses)).transpose()?;
        let default_sources = if matches!(work, Work::Open { .. }) { OPEN_SOURCE_ADDRESSES } else { 0 };
        let source_addresses = options.source_addresses.unwrap_or(default_sources);
        let shape = Shape { channels: options.channels, payload_bytes: options.payload, source_addresses };
        let duration = options.duration.unwrap_or(default_duration);
        let rounds = if matches!(work, Work::Idle) { 1 } else { options.rounds };
        let Options { pid, json, .. } = options;
        Ok(Some(Self { work, server, pid, connections, shape, duration, rounds, json }))
    }
}

fn target(server: ServerAddress, source_addresses: Option<u8>) -> anyhow::Result<Target> {
    let host = server.endpoint.host();
    let Endpoint::Tcp { host: name, port } = server.endpoint else {
        bail!("the bench measures TCP only: name the server as http://HOST:PORT");
    };
    let address = (name.as_str(), port)
        .to_socket_addrs()
        .with_context(|| format!("the address of {name} is not known"))?
        .next()
        .with_context(|| format!("{name} has no address"))?;
    let loopback = address.is_ipv4() && address.ip().is_loopback();
    if source_addresses.is_some() && !loopback {
        bail!("--source-addresses are those of the loopback net, and {address} cannot be reached from there");
    }
    let source_addresses = source_addresses.unwrap_or(0);
    let path = server.target.unwrap_or_else(|| PATH.to_owned());
    Ok(Target { address, host, path, source_addresses })
}

fn parse_payload(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "write a number of bytes".to_owned())?;
    if (LEAST_PAYLOAD_BYTES..=MOST_PAYLOAD_BYTES).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!(
            "a payload holds a time stamp, and fits a message: {LEAST_PAYLOAD_BYTES} to {MOST_PAYLOAD_BYTES} bytes"
        ))
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number of publications a second, from 0.01 to 100000".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let teach = || "write a number with a unit, such as 500ms, 5s or 1m; at most 24 hours".to_owned();
    let (number, unit_ms) = [("ms", 1.0), ("s", 1e3), ("m", 6e4)]
        .into_iter()
        .find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)))
        .ok_or_else(teach)?;
    let ms = number.parse::<f64>().map_err(|_| teach())? * unit_ms;
    if (1.0..=86_400_000.0).contains(&ms) { Ok(Duration::from_secs_f64(ms / 1e3)) } else { Err(teach()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: Flags,
    }

    fn plan(arguments: &[&str]) -> anyhow::Result<Plan> {
        let line = Line::try_parse_from([&["bench"], arguments].concat())?;
        Ok(Plan::new(line.bench.load)?.expect("a load"))
    }

    #[test]
    fn each_load_has_its_defaults() {
        let sparse = plan(&["fanout"]).expect("a plan");
        assert!(matches!(sparse.work, Work::Sparse { rate: 20.0 }));
        assert_eq!(
            (sparse.connections, sparse.duration.as_secs(), sparse.shape.payload_bytes),
            (1_000, 5, 128)
        );
        assert!(matches!(
            plan(&["fanout", "--saturate"]).expect("a plan").work,
            Work::Saturated { window: 64 }
        ));
        let idle = plan(&["idle"]).expect("a plan");
        assert_eq!((idle.connections, idle.duration.as_secs(), idle.rounds), (10_000, 60, 1));
        let open = plan(&["open", "-n", "50"]).expect("a plan");
        assert!(matches!(open.work, Work::Open { connections: 50, window: 64 }));
        assert_eq!(open.shape.source_addresses, OPEN_SOURCE_ADDRESSES);
    }

    #[test]
    fn a_running_server_is_measured_where_it_is_named() {
        let plan = plan(&["echo", "--server", "http://127.0.0.1:9", "--pid", "7"]).expect("a plan");
        let target = plan.server.expect("a target");
        assert_eq!((target.address.to_string(), target.path.as_str()), ("127.0.0.1:9".to_owned(), PATH));
        assert_eq!(plan.pid, Some(7));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_mend() {
        for (arguments, words) in [
            (&["fanout", "--saturate", "--rate", "3"][..], "cannot be used with"),
            (&["fanout", "--payload", "3"], "19 to 60000 bytes"),
            (&["fanout", "--rate", "0"], "publications a second"),
            (&["echo", "--duration", "5"], "500ms, 5s or 1m"),
            (&["echo", "--pid", "5"], "--server"),
            (&["echo", "--server", "unix:/a"], "http://HOST:PORT"),
            (&["echo", "-n", "2", "--channels", "3"], "3 channels need as many --connections"),
            (&["open", "--server", "http://192.0.2.1:80", "--source-addresses", "2"], "loopback"),
        ] {
            let error = plan(arguments).expect_err("cannot be done").to_string();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, ms) in [("300ms", 300), ("0.3s", 300), ("5s", 5_000), ("1m", 60_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "5", "-1s", "0s", "NaNs", "25h", "9e9m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
