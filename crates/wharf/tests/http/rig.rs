//! A server of a test's own, and a client that speaks bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use wharf::{
    server::{Server, serve},
    settings::{ListenAddress, Settings},
};

/// Longer than anything here takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Rig {
    pub server: Server,
}

/// Development mode, on a port of the kernel's choice.
pub fn settings() -> Settings {
    Settings {
        listen: vec![ListenAddress::Tcp(([127, 0, 0, 1], 0).into())],
        workers: 2,
        ..Settings::development()
    }
}

pub fn start() -> Rig {
    start_with(settings())
}

pub fn start_with(settings: Settings) -> Rig {
    Rig { server: serve(settings).unwrap() }
}

impl Rig {
    pub fn address(&self) -> SocketAddr {
        match self.server.addresses() {
            [ListenAddress::Tcp(address), ..] => *address,
            other => panic!("no TCP address in {other:?}"),
        }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address()).unwrap())
    }

    /// Sends one request on a connection of its own and reads the answer.
    pub fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// POSTs JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, "", body)
    }

    /// The same with more header lines.
    pub fn post_with(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.ask(&post(path, headers, body))
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// A connection, and what came on it and was not looked at yet.
pub struct Client {
    socket: TcpStream,
    held: Vec<u8>,
}

impl Client {
    pub fn new(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, held: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends although the server may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Ends the client's half.
    pub fn finish(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    fn read_more(&mut self) -> usize {
        let mut piece = [0; 4096];
        let count = self.socket.read(&mut piece).expect("the server said nothing in time");
        self.held.extend_from_slice(&piece[..count]);
        count
    }

    /// Everything up to and with `end`.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.held.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.held.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.held, rest)).unwrap();
            }
            let so_far = String::from_utf8_lossy(&self.held).into_owned();
            assert!(self.read_more() > 0, "the connection ended before {end:?}, after {so_far:?}");
        }
    }

    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            assert!(self.read_more() > 0, "the connection ended early");
        }
        let rest = self.held.split_off(count);
        std::mem::replace(&mut self.held, rest)
    }

    /// Everything up to the server's end.
    pub fn rest(&mut self) -> String {
        let mut piece = [0; 4096];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => self.held.extend_from_slice(&piece[..count]),
                // What was not read before the close resets the connection, behind the answer.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// One answer with a Content-Length, or without a body.
    pub fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n");
        let answer = Answer { head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = String::from_utf8(self.exactly(length)).unwrap();
        Answer { body, ..answer }
    }

    /// The head of an answer whose body goes on.
    pub fn head(&mut self) -> Answer {
        Answer { head: self.until("\r\n\r\n"), body: String::new() }
    }

    /// The data of one chunk.
    pub fn chunk(&mut self) -> String {
        let size = usize::from_str_radix(self.until("\r\n").trim_end(), 16).unwrap();
        let data = String::from_utf8(self.exactly(size)).unwrap();
        assert_eq!(self.exactly(2), b"\r\n");
        data
    }
}

pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (sent, value) = line.split_once(": ")?;
            sent.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The message of an error in JSON, whose code is the status.
    pub fn error(&self) -> String {
        let error = &self.json()["error"];
        assert_eq!(error["code"], self.status());
        error["message"].as_str().unwrap().to_owned()
    }
}
