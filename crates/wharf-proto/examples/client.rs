//! A client on plain `std::net`: sends each argument as a message, prints as many answers, and closes:
//!
//! ```text
//! cargo run -p wharf-proto --example client 127.0.0.1:9001 ahoy "ship in sight"
//! ```

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use wharf_proto::websocket::{
    ClientHandshake, CloseCode, DeframeLimits, Event, State, deflate::DeflateOffer, handshake::ClientRequest,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: client ADDRESS [MESSAGE]...")?;
    let messages: Vec<String> = arguments.collect();

    let mut stream = TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = ClientRequest {
        deflate: Some(DeflateOffer::default()),
        ..ClientRequest::new(&address, "/", rand::random())
    };
    let mut buffer = vec![0; 65_536];
    let mut handshake = ClientHandshake::new(request)?;
    stream.write_all(&handshake.output().split())?;
    let mut connection = loop {
        let count = stream.read(&mut buffer)?;
        if handshake.receive(&buffer[..count])? {
            break handshake.open(DeframeLimits::default(), rand::random)?;
        }
    };
    for message in &messages {
        connection.send_text(message)?;
    }
    let mut awaited = messages.len();
    loop {
        if awaited == 0 {
            connection.close(CloseCode::NORMAL, "");
        }
        stream.write_all(&connection.output().split())?;
        match connection.poll_event() {
            Some(Event::Message { payload, .. }) => {
                println!("{}", String::from_utf8_lossy(&payload));
                awaited = awaited.saturating_sub(1);
            }
            Some(Event::Ended(end)) => println!("closed: {} {end:?}", end.code()),
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            None if connection.state() == State::Finished => return Ok(()),
            None => {
                let count = stream.read(&mut buffer)?;
                connection.receive(&buffer[..count]);
            }
        }
    }
}
