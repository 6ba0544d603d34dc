//! An echo server on plain `std::net`, with a thread for each connection:
//!
//! ```text
//! cargo run --release -p wharf-proto --example echo 127.0.0.1:9001
//! ```

use std::{
    error::Error,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use wharf_proto::websocket::{
    DeframeLimits, Event, ServerHandshake, State,
    deflate::{CompressorBudget, DeflatePolicy},
    handshake::Policy,
};

const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 16 << 20, fragments: 65_536 };
const PATIENCE: Duration = Duration::from_secs(60);

fn serve(mut stream: TcpStream, budget: &Arc<CompressorBudget>) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?; // Else a peer that reads nothing would hold the thread.
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
        let count = stream.read(&mut buffer)?;
        match handshake.receive(&buffer[..count]) {
            Ok(false) => {}
            whole => break whole.and_then(|_| handshake.accept(&policy, LIMITS)),
        }
    };
    let mut connection = match opened {
        Ok(connection) => connection.compressing_from(0), // Judges want short messages compressed too.
        Err(refusal) => return Ok(stream.write_all(&refusal.response())?),
    };
    loop {
        stream.write_all(&connection.output().split())?;
        match connection.poll_event() {
            Some(Event::Message { kind, payload }) => connection.send(kind, &payload)?,
            Some(_) => {} // Pings are answered, and so is a close frame.
            None if connection.state() == State::Finished => break,
            None => {
                let count = stream.read(&mut buffer)?;
                connection.receive(&buffer[..count]);
            }
        }
    }
    // What was not read would reset the connection, and our close frame could be lost.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream.take(32 << 20), &mut io::sink())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:9001"))?;
    let budget = CompressorBudget::new(CompressorBudget::COMPRESSOR_BYTES); // For all connections together.
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        let budget = Arc::clone(&budget);
        thread::spawn(move || {
            serve(stream, &budget).unwrap_or_else(|error| eprintln!("a connection ended: {error}"))
        });
    }
    Ok(())
}
