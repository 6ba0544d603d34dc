//! Bytes as a hostile client sends them, and what comes back to it.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    client::Client,
    http::{self, Response},
    server::Server,
    socket::{Address, Socket},
    websocket::WebSocket,
};

/// How long a hostile client waits between two drips.
const DRIP: Duration = Duration::from_millis(25);

impl Address {
    /// The address of a TCP listener as text.
    pub fn tcp(&self) -> &str {
        match self {
            Self::Tcp(address) => address,
            _ => panic!("{self:?} is no TCP address of this network"),
        }
    }
}

/// Opens a TCP connection whose every write is a segment of its own, and which takes little from the network
/// before it is read.
#[track_caller]
pub fn connect(address: &Address) -> TcpStream {
    let socket = TcpStream::connect(address.tcp()).expect("the server accepts");
    socket.set_nodelay(true).expect("an option of every socket");
    socket.set_read_timeout(Some(super::PATIENCE)).expect("a time that is not zero");
    socket.set_write_timeout(Some(super::PATIENCE)).expect("a time that is not zero");
    socket
}

/// Makes the next close a reset: a peer that crashed, as the server sees it.
pub fn reset(socket: TcpStream) {
    let socket = socket2::Socket::from(socket);
    socket.set_linger(Some(Duration::ZERO)).expect("an option of every TCP socket");
}

/// The same for a connection of the common clients.
pub fn reset_socket(socket: &Socket) {
    if let Socket::Tcp(socket) = socket {
        let options = socket2::SockRef::from(socket);
        options.set_linger(Some(Duration::ZERO)).expect("an option of every TCP socket");
    }
}

/// Sends as much as the server takes: one that refuses early may close before all was sent.
pub fn offer(socket: &mut impl Write, bytes: &[u8]) {
    // What matters is the answer, which is read next.
    let _ = socket.write_all(bytes);
}

/// Sends each byte in a segment of its own, as much as the server takes.
pub fn offer_byte_by_byte(socket: &mut impl Write, bytes: &[u8]) {
    for byte in bytes {
        if socket.write_all(std::slice::from_ref(byte)).is_err() {
            return;
        }
    }
}

/// Everything until the server closes. Panics if it does not.
#[track_caller]
pub fn until_closed(socket: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
            panic!("the server did not close: {error}; it sent {:?}", String::from_utf8_lossy(&bytes))
        }
        _ => bytes,
    }
}

/// Sends the next of `bytes` now and then, repeating the last, until the server closes. What it sent, and when it
/// closed.
#[track_caller]
pub fn drip(socket: &mut TcpStream, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let started = Instant::now();
    let mut next = bytes.iter().chain(std::iter::repeat(&bytes[bytes.len() - 1]));
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    socket.set_read_timeout(Some(DRIP)).expect("a time that is not zero");
    while started.elapsed() < super::PATIENCE {
        match socket.read(&mut piece) {
            Ok(0) => return (heard, started.elapsed()),
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let byte = next.next().expect("it repeats");
                offer(socket, std::slice::from_ref(byte));
            }
            Err(_) => return (heard, started.elapsed()),
        }
    }
    panic!("the server did not close; it sent {:?}", String::from_utf8_lossy(&heard));
}

/// Sends bytes on a connection of their own, and reads the answers until the server closes it.
#[track_caller]
pub fn exchange(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    let mut socket = connect(server.address());
    offer(&mut socket, bytes.as_ref());
    answers(&until_closed(&mut socket))
}

/// Reads the answers that stand one behind another.
#[track_caller]
pub fn answers(bytes: &[u8]) -> Vec<Response> {
    let mut rest = bytes;
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(rest)));
        let head = std::str::from_utf8(&rest[..end]).expect("a head is ASCII");
        rest = &rest[end + 4..];
        let mut lines = head.split("\r\n");
        let line = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = line.and_then(|line| line.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        let headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        let mut answer = Response { status, headers, body: Vec::new() };
        // Of a stream, and behind an upgrade, everything is the body.
        let length = answer.header("content-length").map(|length| length.parse().expect("a number"));
        let length = if status == 204 { 0 } else { length.unwrap_or(rest.len()) };
        assert!(length <= rest.len(), "the body is cut off: {:?}", String::from_utf8_lossy(bytes));
        answer.body = rest[..length].to_vec();
        rest = &rest[length..];
        answers.push(answer);
    }
    answers
}

/// One WebSocket frame, masked, whose first byte and length the test decides.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The mask of [`frame`]s; for one that the test writes itself.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Somebody who does nothing wrong while others do.
pub struct Bystander {
    subscriber: Client<WebSocket>,
    heard: u32,
}

impl Bystander {
    /// Connects and subscribes.
    #[track_caller]
    pub fn join(server: &Server) -> Self {
        let mut subscriber = server.websocket();
        subscriber.connect();
        subscriber.subscribe("bystanders");
        Self { subscriber, heard: 0 }
    }

    /// Whoever came before is still served, and so is whoever comes now.
    #[track_caller]
    pub fn assert_unharmed(&mut self, server: &Server) {
        self.heard += 1;
        server.api("publish", &json!({"channel": "bystanders", "data": self.heard}));
        assert_eq!(self.subscriber.publications(1), [json!(self.heard)]);
    }
}

/// A POST of JSON to the server API, as it stands on the wire.
pub fn api_request(method: &str, parameters: &serde_json::Value) -> String {
    let body = parameters.to_string();
    http::head("POST", &format!("/api/{method}"), &[("Content-Type", "application/json")], &body) + &body
}

/// A request that publishes to [`SMUGGLED`]; to be put where the server must not find it.
pub fn smuggled() -> String {
    api_request("publish", &json!({"channel": SMUGGLED, "data": "smuggled"}))
}

/// Where [`smuggled`] publishes.
pub const SMUGGLED: &str = "smuggled";

/// Nothing was published by a request that must not have been seen.
#[track_caller]
pub fn assert_nothing_smuggled(server: &Server) {
    let history = server.api("history", &json!({"channel": SMUGGLED, "limit": 10}));
    assert_eq!(history["publications"], json!([]), "{history}");
}

/// For a [`Socket`] of the common clients: writes go out at once.
pub fn without_delay(socket: &Socket) {
    if let Socket::Tcp(socket) = socket {
        socket.set_nodelay(true).expect("an option of every TCP socket");
    }
}
