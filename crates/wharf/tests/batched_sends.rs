//! Broadcasts to many connections at once, with and without io_uring: nobody misses a byte, whoever reads slowly, stops
//! reading or is gone.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use wharf::{
    server::{Server, serve},
    settings::{ListenAddress, Settings},
};

const SUBSCRIBERS: usize = 40;
const PUBLICATIONS: usize = 40;
/// More than a socket's buffers take of all publications, so that sends take parts of messages.
const PAYLOAD_BYTES: usize = 60_000;

fn server(batched_sends: bool) -> (Server, SocketAddr) {
    let mut settings = Settings::development();
    settings.listen = vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
    settings.workers = 1;
    settings.batched_sends = batched_sends;
    // What waits for one who does not read at all meanwhile.
    settings.limits.outbox_bytes = 16 << 20;
    let server = serve(settings).expect("a server");
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("a TCP address") };
    (server, address)
}

/// A JSON-line client that has joined the channel.
fn subscriber(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let mut lines = BufReader::new(stream);
    let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n";
    lines.get_mut().write_all(commands.as_bytes()).expect("room for two commands");
    for _ in 0..2 {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a reply");
        assert!(!line.contains("error"), "{line}");
    }
    lines
}

fn publish(publisher: &mut BufReader<TcpStream>, number: usize) {
    let data = format!("{number:-<PAYLOAD_BYTES$}");
    let command =
        format!("{{\"id\":{},\"publish\":{{\"channel\":\"news\",\"data\":\"{data}\"}}}}\n", number + 3);
    publisher.get_mut().write_all(command.as_bytes()).expect("the server reads");
    // Its reply says that the publication is on its way to everybody; one at a time makes one batch each.
    let mut line = String::new();
    publisher.read_line(&mut line).expect("a reply");
    assert!(!line.contains("error"), "{line}");
}

/// The next publication's number. Pings are passed over.
fn next(lines: &mut BufReader<TcpStream>) -> usize {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "the server ended a reader");
        if let Some((_, data)) = line.split_once("\"data\":\"") {
            let (number, rest) = data.split_once('-').expect("a number and its filling");
            let filling = rest.bytes().take_while(|byte| *byte == b'-').count();
            assert_eq!(number.len() + 1 + filling, PAYLOAD_BYTES, "the whole payload");
            return number.parse().expect("a number");
        }
    }
}

fn everybody_hears_everything(batched_sends: bool) {
    let (_server, address) = server(batched_sends);
    let mut publisher = BufReader::new(TcpStream::connect(address).expect("a connection"));
    publisher.get_mut().write_all(b"{\"id\":1,\"connect\":{}}\n").expect("room for a command");
    publisher.read_line(&mut String::new()).expect("a reply");
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| subscriber(address)).collect();
    // These go without a word, in the middle of a batch.
    let gone = subscribers.split_off(SUBSCRIBERS - 10);
    for number in 0..PUBLICATIONS {
        publish(&mut publisher, number);
        if number == PUBLICATIONS / 2 {
            gone.iter().for_each(|lines| lines.get_ref().shutdown(std::net::Shutdown::Both).expect("an end"));
        }
        // A third reads as it comes, the others only in the end: their sockets are full by then.
        for lines in subscribers.iter_mut().step_by(3) {
            assert_eq!(next(lines), number, "batched: {batched_sends}");
        }
    }
    for (at, lines) in subscribers.iter_mut().enumerate().filter(|(at, _)| at % 3 != 0) {
        for number in 0..PUBLICATIONS {
            assert_eq!(next(lines), number, "subscriber {at}, batched: {batched_sends}");
        }
    }
    drop(gone);
}

#[test]
fn everybody_hears_everything_whether_or_not_sends_are_batched() {
    everybody_hears_everything(true);
    everybody_hears_everything(false);
}

/// One whose half of the socket is reset ends alone, and the batch goes on.
#[test]
fn a_batch_survives_a_connection_that_is_reset_under_it() {
    let (_server, address) = server(true);
    let mut publisher = subscriber(address);
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| subscriber(address)).collect();
    for round in 0..20 {
        publisher
            .get_mut()
            .write_all(
                format!("{{\"id\":{},\"publish\":{{\"channel\":\"news\",\"data\":{round}}}}}\n", round + 3)
                    .as_bytes(),
            )
            .expect("the server reads");
        // Closed with unread bytes: a reset, which the server meets in its next batch.
        drop(subscribers.pop());
    }
    for lines in &mut subscribers {
        let mut heard = 0;
        while heard < 20 {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("a line") > 0, "the server ended a reader");
            if line.contains("\"pub\"") {
                assert!(line.contains(&format!("\"data\":{heard}")), "{line}");
                heard += 1;
            }
        }
    }
    // And the server still answers.
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
