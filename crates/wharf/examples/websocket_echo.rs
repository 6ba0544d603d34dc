//! Echoes WebSocket messages over Wharf's own workers, for judges of the protocol:
//!
//! ```text
//! cargo run --release --example websocket_echo 127.0.0.1:9001
//! ```
//!
//! Any path and any origin will do, and compression is on. Messages may be far longer than a server of Wharf's takes by default.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use wharf::{
    server::{ServeError, Signals, serve},
    settings::{Compression, Limits, ListenAddress, Settings, Times, WebsocketRoute},
};
use wharf_proto::dialect::DialectId;

fn main() -> ExitCode {
    let address = match std::env::args().nth(1).as_deref().map(str::parse) {
        Some(Ok(address)) => address,
        _ => {
            eprintln!("usage: websocket_echo ADDRESS, for example 127.0.0.1:9001");
            return ExitCode::FAILURE;
        }
    };
    match run(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("websocket_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: SocketAddr) -> Result<(), ServeError> {
    let signals = Signals::install()?;
    let server = serve(settings(address))?;
    for address in server.addresses() {
        if let ListenAddress::Tcp(address) = address {
            println!("listening on {address}");
        }
    }
    server.run_until(signals);
    Ok(())
}

fn settings(address: SocketAddr) -> Settings {
    Settings {
        listen: vec![ListenAddress::Tcp(address)],
        development: false,
        allowed_origins: vec!["*".to_owned()],
        compression: Compression {
            enabled: true,
            server_context_takeover: true,
            client_context_takeover: true,
            // Judges send short messages too, and some cannot read compressed and uncompressed ones mixed.
            min_deflated_bytes: 0,
            ..Compression::default()
        },
        websocket_routes: Arc::new([WebsocketRoute { path: "*".into(), dialect: DialectId::Echo }]),
        limits: Limits {
            message_bytes: 16 * 1024 * 1024,
            fragments_per_message: 65_536,
            outbox_bytes: 64 * 1024 * 1024,
            ..Limits::default()
        },
        // A judge must see no frame that its case did not ask for.
        times: Times { ping_interval_ms: 3_600_000, drain_ms: 1_000, ..Times::default() },
        ..Settings::development()
    }
}
