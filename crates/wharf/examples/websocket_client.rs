//! Judges the client's WebSocket: asks a fuzzing server of Autobahn's kind how many cases it has, echoes whatever each
//! of them sends, and has the server write its report.
//!
//! ```text
//! kosoku --mode fuzzingserver 127.0.0.1:9002
//! cargo run --release --example websocket_client 127.0.0.1:9002
//! ```
//!
//! Compression is offered. Messages may be far longer than a client of Wharf's takes by default.

use std::process::ExitCode;

use wharf::client::{
    Endpoint, LinkError, ServerAddress, WebsocketOptions,
    link::{Incoming, WebsocketLink},
};
use wharf_proto::{websocket::deflate::DeflateOffer, wire::DeframeLimits};

/// What the report calls this client.
const AGENT: &str = "wharf";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).and_then(|address| format!("ws://{address}").parse().ok());
    let Some(ServerAddress { endpoint, .. }) = address else {
        eprintln!("usage: websocket_client ADDRESS, for example 127.0.0.1:9002");
        return ExitCode::FAILURE;
    };
    match run(&endpoint).await {
        Ok(cases) => {
            println!("{cases} cases run");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("websocket_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(endpoint: &Endpoint) -> Result<u32, LinkError> {
    let cases = case_count(endpoint).await?;
    for case in 1..=cases {
        let link = open(endpoint, &format!("/runCase?case={case}&agent={AGENT}")).await;
        // A case may be about a handshake that fails, or any end; what it found is in the report.
        if let Err(error) = echo(link).await {
            eprintln!("case {case}: {error}");
        }
    }
    // The server says nothing here but its close, which is how the connection ends.
    let mut link = open(endpoint, &format!("/updateReports?agent={AGENT}")).await?;
    while link.receive().await.is_ok() {}
    Ok(cases)
}

async fn open(endpoint: &Endpoint, target: &str) -> Result<WebsocketLink, LinkError> {
    let options = WebsocketOptions {
        // The server declines an offer without this in 54 cases, in which it wants to choose it.
        deflate: Some(DeflateOffer { client_no_context_takeover: true, ..DeflateOffer::default() }),
        min_deflated_bytes: 0,
        limits: DeframeLimits { message_bytes: 16 * 1024 * 1024, fragments: 65_536 },
        ..WebsocketOptions::default()
    };
    WebsocketLink::open(endpoint, Some(target), &options).await
}

/// The first message of `/getCaseCount` is a number.
async fn case_count(endpoint: &Endpoint) -> Result<u32, LinkError> {
    let mut link = open(endpoint, "/getCaseCount").await?;
    let mut count = None;
    while let Ok(incoming) = link.receive().await {
        if let Incoming::Message(_, message) = incoming {
            count = std::str::from_utf8(&message).ok().and_then(|text| text.parse().ok());
        }
    }
    count.ok_or_else(|| {
        LinkError::Handshake("the server told no number of cases: is it a fuzzing server?".into())
    })
}

/// Sends every message back until the connection ends.
async fn echo(link: Result<WebsocketLink, LinkError>) -> Result<(), LinkError> {
    let mut link = link?;
    loop {
        match link.receive().await {
            Ok(Incoming::Message(kind, message)) => link.send_message(kind, &message).await?,
            Ok(Incoming::Ping(_) | Incoming::Pong(_)) => {}
            // Every case ends so.
            Err(_) => return Ok(()),
        }
    }
}
