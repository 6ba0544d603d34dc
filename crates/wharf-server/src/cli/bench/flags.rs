//! The flags that all loads of `wharf bench` share, and the plan that they make.

use std::{net::ToSocketAddrs as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{ArgAction, Args, builder::BoolishValueParser};
use wharf::client::{Endpoint, ServerAddress};

use super::{
    dial::Target,
    generator::Shape,
    message::{LEAST_PAYLOAD_BYTES, MOST_CHANNELS, MOST_PAYLOAD_BYTES, MOST_SUBSCRIPTIONS},
    scenario::{Load, OPENING_SOURCE_ADDRESSES, Scenario},
    wire::{Transport, device},
};

#[derive(Debug, Args)]
pub struct Flags {
    #[command(subcommand)]
    pub load: Load,
}

/// The flags of a scenario and those that all share.
#[derive(Debug, Args)]
pub struct With<S: Args> {
    #[command(flatten)]
    scenario: S,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
pub struct Options {
    /// Measure a server that runs already: http://HOST:PORT, of Wharf, Centrifugo or whatever speaks the protocol.
    /// Without it, this program starts one.
    #[arg(long, short, value_name = "URL")]
    server: Option<ServerAddress>,
    /// The process of that server, if it runs on this machine: for its time and memory.
    #[arg(long, requires = "server", value_name = "PID")]
    pid: Option<u32>,
    /// A key of that server's API. With it, publications go through the API instead of by a client. Without --server
    /// none is needed.
    #[arg(long, value_name = "KEY", env = "WHARF_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The server that is started has so many workers. They share this machine's cores with the generator and the
    /// floor: where cores are few, only the time for each operation and the workers' shares of it say anything.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "server", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// By default 1,000; for `idle` 10,000, for `publish` by HTTP 16.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: Option<u32>,
    /// Subscribers, or publications by HTTP, are spread over so many channels.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_CHANNELS as i64))]
    channels: u32,
    /// Each connection subscribes to so many of the channels; for `fanout` and `idle`.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_SUBSCRIPTIONS as i64))]
    subscriptions: u32,
    /// Size of what is published or echoed: a JSON string of words, its quotes counted.
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
    /// Whether the floor is measured beside the server.
    ///
    /// The floor is what any server must do at least: a bare epoll program in one thread, which writes one ready-made
    /// WebSocket frame to each socket by write(2) and knows no session, history or timer. It runs on this machine, in
    /// turns with the server, so that `x`, the server's time in times of the floor's, holds where times drift. Its
    /// connections are WebSockets also where the server's are not, and plain HTTP for `publish` by HTTP.
    #[arg(
        long, value_name = "yes|no", default_value = "yes", num_args = 0..=1, default_missing_value = "yes",
        action = ArgAction::Set, value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    floor: bool,
    /// Save all numbers to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the change to a run that was saved by --json.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// A run, fully decided.
#[derive(Debug)]
pub struct Plan {
    pub scenario: Box<dyn Scenario>,
    pub server: Option<Target>,
    pub pid: Option<u32>,
    pub workers: u16,
    pub floor: bool,
    /// The sides do not fit into this process's descriptors together: one is measured after the other.
    pub apart: bool,
    pub connections: usize,
    pub shape: Shape,
    pub source_addresses: u8,
    pub duration: Duration,
    pub rounds: u32,
    pub json: Option<PathBuf>,
    pub compare: Option<PathBuf>,
}

impl Plan {
    /// Decides what the flags leave open. `None`: this process is to be the floor.
    pub fn new(load: Load) -> anyhow::Result<Option<Self>> {
        match load {
            Load::Fanout(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::Echo(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::Open(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::Idle(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::Publish(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::Storm(With { scenario, options }) => Self::of(Box::new(scenario), options),
            Load::FloorServer => return Ok(None),
        }
        .map(Some)
    }

    fn of(scenario: Box<dyn Scenario>, options: Options) -> anyhow::Result<Self> {
        let connections = options.connections.map_or(scenario.connections(), |count| count as usize);
        // Requests of the server API may go to more channels than there are connections.
        let has_channels = scenario.operation() != Some("publication") || scenario.publishes();
        let Options { channels, subscriptions, .. } = options;
        if has_channels && channels as usize > connections * subscriptions as usize {
            bail!(
                "{channels} channels need as many --connections at least, or several --subscriptions on each; there \
                 are {connections} with {subscriptions}"
            );
        }
        if subscriptions > 1 && !scenario.shares_connections() {
            bail!("--subscriptions is for `fanout` and `idle`; here each connection has one channel");
        }
        if subscriptions > channels {
            bail!(
                "{subscriptions} subscriptions on each connection need as many --channels at least; there are {channels}"
            );
        }
        let wanted = options.source_addresses;
        let by_default = if scenario.opens_many() { OPENING_SOURCE_ADDRESSES } else { 0 };
        let shape = Shape {
            channels,
            subscriptions,
            payload_bytes: options.payload,
            transport: scenario.transport(),
            plain: scenario.is_plain(),
            publishes: scenario.publishes(),
            compress: scenario.compresses(),
            one_frame: scenario.opens_in_one_frame(),
        };
        if shape.transport == Transport::Device {
            device::check(&shape, connections, options.server.is_some())?;
        }
        let mut server = options.server.map(|server| target(server, wanted, by_default)).transpose()?;
        if let Some(server) = &mut server {
            server.api_key = options.api_key;
            if scenario.is_plain() && server.path.is_none() {
                server.path = Some("/".to_owned());
            }
        }
        let Options { pid, workers, floor, json, compare, .. } = options;
        Ok(Self {
            server,
            pid,
            workers,
            floor,
            apart: false,
            connections,
            shape,
            source_addresses: wanted.unwrap_or(by_default),
            duration: options.duration.unwrap_or(scenario.duration()),
            rounds: if scenario.takes_turns() { options.rounds } else { 1 },
            json,
            compare,
            scenario,
        })
    }
}

fn target(server: ServerAddress, wanted: Option<u8>, by_default: u8) -> anyhow::Result<Target> {
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
    if wanted.is_some() && !loopback {
        bail!("--source-addresses are those of the loopback net, and {address} cannot be reached from there");
    }
    let source_addresses = wanted.unwrap_or(if loopback { by_default } else { 0 });
    Ok(Target { address, devices: None, host, path: server.target, api_key: None, source_addresses })
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

/// Reads a number of operations a second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number a second, from 0.01 to 100000".to_owned()),
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
        for (line, name, connections, seconds, rounds) in [
            (&["fanout"][..], "fanout, sparse", 1_000, 5, 5),
            (&["fanout", "--saturate"], "fanout, saturated", 1_000, 5, 5),
            (&["fanout", "--burst", "4"], "fanout, in bursts", 1_000, 5, 5),
            (&["idle"], "idle", 10_000, 60, 1),
            (&["publish", "--channels", "64"], "publish", 16, 5, 5),
            (&["publish", "--transport", "device"], "publish", 1_000, 5, 5),
            (&["storm"], "reconnect storm", 1_000, 5, 5),
            (&["open", "-n", "50"], "open and subscribe", 50, 5, 5),
            (&["open", "--one-frame"], "open and subscribe in one frame", 1_000, 5, 5),
            (&["fanout", "--compress"], "fanout, sparse and compressed", 1_000, 5, 5),
        ] {
            let plan = plan(line).expect("a plan");
            let found = (plan.scenario.name(), plan.connections, plan.duration.as_secs(), plan.rounds);
            assert_eq!(found, (name, connections, seconds, rounds));
            assert!(plan.floor && plan.shape.payload_bytes == 128);
        }
        assert_eq!(plan(&["fanout"]).expect("a plan").scenario.facts(), [("rate", 20.0)]);
        assert_eq!(plan(&["open"]).expect("a plan").source_addresses, OPENING_SOURCE_ADDRESSES);
        assert!(!plan(&["echo", "--floor", "no"]).expect("a plan").floor);
        assert!(plan(&["echo", "--floor"]).expect("a plan").floor);
    }

    #[test]
    fn a_running_server_is_measured_where_it_is_named() {
        let named = ["--server", "http://127.0.0.1:9", "--pid", "7", "--api-key", "k"];
        let wharf = plan(&[&["echo"], &named[..]].concat()).expect("a plan");
        assert_eq!(wharf.pid, Some(7));
        let target = wharf.server.expect("a target");
        assert_eq!((target.address.to_string(), target.path), ("127.0.0.1:9".to_owned(), None));
        assert_eq!(target.api_key.as_deref(), Some("k"));
        let sources = |line: &[&str]| plan(line).expect("a plan").server.expect("a target").source_addresses;
        assert_eq!(sources(&["open", "--server", "http://127.0.0.1:9"]), OPENING_SOURCE_ADDRESSES);
        assert_eq!(sources(&["open", "--server", "http://192.0.2.1:9"]), 0, "the loopback net ends here");
        assert_eq!(sources(&["echo", "--server", "http://127.0.0.1:9"]), 0);
        let plain = plan(&[&["echo", "--plain"], &named[..]].concat()).expect("a plan");
        assert_eq!(plain.server.expect("a target").path.as_deref(), Some("/"));
        assert!(plain.shape.plain);
    }

    #[test]
    fn the_commands_of_the_documents_are_understood() {
        let readme = include_str!("../../../../../README.md");
        let performance = include_str!("../../../../../docs/performance.md");
        let mut count = 0;
        for line in readme.lines().chain(performance.lines()) {
            let line = line.strip_prefix("target/release/").unwrap_or(line);
            let Some(arguments) = line.strip_prefix("wharf bench ") else { continue };
            let arguments = arguments.split('#').next().unwrap_or_default();
            let arguments: Vec<_> = arguments.split_ascii_whitespace().collect();
            plan(&arguments).unwrap_or_else(|error| panic!("{line}: {error}"));
            count += 1;
        }
        assert!(count > 15, "{count} commands");
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_mend() {
        for (arguments, words) in [
            (&["fanout", "--saturate", "--rate", "3"][..], "cannot be used with"),
            (&["fanout", "--payload", "3"], "19 to 60000 bytes"),
            (&["fanout", "--rate", "0"], "a number a second"),
            (&["echo", "--duration", "5"], "500ms, 5s or 1m"),
            (&["echo", "--pid", "5"], "--server"),
            (&["idle", "--plain"], "--server"),
            (&["echo", "--transport", "sse"], "websocket or tcp"),
            (&["echo", "--transport", "device"], "wharf bench publish --transport device"),
            (&["fanout", "--transport", "device", "--server", "http://127.0.0.1:9"], "leave --server out"),
            (&["fanout", "--transport", "device", "--channels", "2"], "--channels 1 or --channels 1000"),
            (&["publish", "--transport", "tcp", "--batch", "2"], "cannot be used with"),
            (&["publish", "--transport", "tcp", "-n", "2", "--channels", "3"], "need as many --connections"),
            (&["echo", "--server", "unix:/a"], "http://HOST:PORT"),
            (&["echo", "-n", "2", "--channels", "3"], "3 channels need as many --connections"),
            (&["echo", "--channels", "9", "--subscriptions", "2"], "`fanout` and `idle`"),
            (&["idle", "--subscriptions", "2"], "need as many --channels"),
            (&["fanout", "--channels", "129", "--subscriptions", "129"], "not in 1..=128"),
            (&["fanout", "--compress", "--transport", "tcp"], "cannot be used with"),
            (&["open", "--one-frame", "--transport", "tcp"], "cannot be used with"),
            (&["echo", "--workers", "2", "--server", "http://127.0.0.1:9"], "cannot be used with"),
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
