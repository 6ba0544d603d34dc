//! HTTP/1.1 in as few words as possible, so that a test sees what is on the wire.

use std::io::{BufRead, BufReader, Read};

use super::socket::{Address, Socket};

/// An answer whose body has come whole.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends a POST with a JSON body on a connection of its own.
#[track_caller]
pub fn post(address: &Address, path: &str, body: &str) -> Response {
    request(address, "POST", path, &[("Content-Type", "application/json")], body)
}

/// Sends a GET on a connection of its own.
#[track_caller]
pub fn get(address: &Address, path: &str) -> Response {
    request(address, "GET", path, &[], "")
}

/// Sends a request on a connection of its own, which the server is asked to close.
#[track_caller]
pub fn request(
    address: &Address,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut socket = address.open();
    let mut with_close = headers.to_vec();
    with_close.push(("Connection", "close"));
    socket.send(head(method, path, &with_close, body) + body);
    let mut stream = Stream::begin(socket);
    let body = stream.rest();
    Response { status: stream.status, headers: stream.headers, body }
}

/// The bytes of a request up to its body.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head + "\r\n"
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct Stream {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    body: BufReader<Body>,
}

impl Stream {
    /// Sends a request and reads the head of the answer.
    #[track_caller]
    pub fn open(address: &Address, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut socket = address.open();
        socket.send(head(method, path, headers, body) + body);
        Self::begin(socket)
    }

    /// Reads the head of the answer to a request that was sent on `socket`.
    #[track_caller]
    pub fn begin(socket: Socket) -> Self {
        let mut reader = BufReader::new(socket);
        let first = line(&mut reader);
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {first:?}"));
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader);
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let left = match header(&headers, "content-length") {
            _ if status == 204 || status == 304 => Left::Bytes(0),
            Some(length) => Left::Bytes(length.parse().expect("a length is a number")),
            None if header(&headers, "transfer-encoding").is_some_and(|coding| coding == "chunked") => {
                Left::Chunk(0)
            }
            None => Left::UntilClose,
        };
        Self { status, headers, body: BufReader::new(Body { reader, left }) }
    }

    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body's next line without its end; none at the body's end.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.body.read_line(&mut line).expect("the next line comes in time, in UTF-8");
        (count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// All that is left of the body.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).expect("the body ends in time");
        bytes
    }

    /// The connection below, for a test that cuts it or says more on it.
    pub fn socket(&mut self) -> &mut Socket {
        self.body.get_mut().reader.get_mut()
    }
}

#[track_caller]
fn line(reader: &mut BufReader<Socket>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the head comes in time");
    let text = line.strip_suffix("\r\n");
    text.unwrap_or_else(|| panic!("the server ended within a head line: {line:?}")).to_owned()
}

/// How much of a body is still to come.
#[derive(Debug, Clone, Copy)]
enum Left {
    Bytes(usize),
    /// Of the chunk being read; at 0 the next size line follows.
    Chunk(usize),
    UntilClose,
}

/// A body without its transfer coding.
#[derive(Debug)]
struct Body {
    reader: BufReader<Socket>,
    left: Left,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Left::Chunk(0) = self.left {
            let size = line(&mut self.reader);
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
            self.left = if size == 0 { Left::Bytes(0) } else { Left::Chunk(size) };
            if size == 0 {
                assert_eq!(line(&mut self.reader), "", "no trailers are expected");
            }
        }
        let (Left::Bytes(most) | Left::Chunk(most)) = self.left else { return self.reader.read(into) };
        let most = most.min(into.len());
        if most == 0 {
            return Ok(0); // A buffered reader asked for nothing would wait for the next answer.
        }
        let count = self.reader.read(&mut into[..most])?;
        assert!(count > 0, "the connection ended within a body");
        match &mut self.left {
            Left::Bytes(left) => *left -= count,
            Left::Chunk(left) => {
                *left -= count;
                if *left == 0 {
                    assert_eq!(line(&mut self.reader), "", "a chunk ends with CR LF");
                }
            }
            Left::UntilClose => {}
        }
        Ok(count)
    }
}
