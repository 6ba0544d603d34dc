//! The command line: one file for each command.

mod bench;
mod check;
mod connect;
mod connections;
mod log;
mod output;
mod publish;
mod serve;
mod subscribe;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use wharf::settings::ListenAddress;

use crate::config::{self, Configuration, Flags, LogFormat, LogLevel, value::parse_listen_address};

/// Where a server listens unless it is told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";

/// One realtime server for every kind of connection: raw sockets, HTTP and WebSocket in the same channels, on one port.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, args_conflicts_with_subcommands = true)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    /// `wharf` alone is `wharf serve`, with the same flags.
    #[command(flatten)]
    serve: ServerFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server. Without a configuration: development mode, on 127.0.0.1:8000.
    Serve(ServerFlags),
    /// Publish to a channel, by the server API. Prints the position that the publication got.
    Publish(publish::Flags),
    /// Subscribe to channels and print what happens in them, one line of JSON an event.
    ///
    /// Comes back after each loss of the connection and recovers what it missed.
    Subscribe(subscribe::Flags),
    /// Show who is connected and how they do, or with --ended what became of those that were, by the server API.
    Connections(connections::Flags),
    /// An interactive wire: type a message, see every frame with its time, direction and kind.
    Connect(connect::Flags),
    /// Put load on a server and measure it from outside, beside a floor of the same run. Linux only.
    Bench(bench::Flags),
    /// Check a configuration and say in words what it means; the exit code is 1 if it cannot be used.
    ///
    /// With --device and --hex, --text or --file: show how sample bytes of such a device are cut and read.
    Check(check::Flags),
}

/// What the server is started with. A flag wins over the environment (`WHARF_LIMITS__MESSAGE_BYTES=131072`), and that
/// over the file.
#[derive(Debug, Args)]
struct ServerFlags {
    /// Read this TOML file. By default `wharf.toml` in the working directory, if it is there.
    #[arg(long, short, value_name = "FILE", env = "WHARF_CONFIG")]
    config: Option<PathBuf>,
    /// Listen here: 127.0.0.1:8000 or unix:/path. May be given several times.
    #[arg(long, short, value_name = "ADDRESS", value_parser = parse_listen_address)]
    listen: Vec<ListenAddress>,
    /// Threads that own connections. By default one for each processor.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Development mode although there is a configuration: every client may do everything.
    #[arg(long)]
    development: bool,
    /// Let development mode listen beyond loopback. Everybody who reaches the address may then do everything.
    #[arg(long, env = "WHARF_INSECURE")]
    insecure: bool,
    /// How log lines look.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Which log lines are written.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

impl ServerFlags {
    fn load(self) -> anyhow::Result<Configuration> {
        let flags = Flags {
            config: self.config,
            listen: self.listen,
            workers: self.workers.map(usize::from),
            development: self.development,
            insecure: self.insecure,
            log_format: self.log_format,
            log_level: self.log_level,
        };
        Ok(config::load(&flags, std::env::vars_os(), std::path::Path::new(""))?)
    }
}

/// Runs the command that the arguments name. Errors go to stderr, as one sentence and its causes.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let outcome = match line.command {
        None => line.serve.load().and_then(serve::run),
        Some(Command::Serve(flags)) => flags.load().and_then(serve::run),
        Some(Command::Publish(flags)) => publish::run(&flags),
        Some(Command::Subscribe(flags)) => subscribe::run(&flags),
        Some(Command::Connections(flags)) => connections::run(&flags),
        Some(Command::Connect(flags)) => connect::run(&flags),
        Some(Command::Bench(flags)) => bench::run(flags),
        Some(Command::Check(flags)) => check::run(flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote what a server or a file says, in lines of its own.
            let text = format!("{error:#}");
            let lines: Vec<_> = text.lines().map(|line| output::visible(line.as_bytes())).collect();
            eprintln!("wharf: {}", lines.join("\n"));
            ExitCode::FAILURE
        }
    }
}

/// One thread is enough for a client.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Waits for SIGINT or SIGTERM, which end a command that would go on for ever, and end it well.
async fn ended_by_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
