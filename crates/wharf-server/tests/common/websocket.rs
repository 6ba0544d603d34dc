//! A WebSocket client whose frames a test can make and see.

use std::{collections::VecDeque, io::Read};

use bytes::BytesMut;
use wharf_proto::{
    websocket::{
        CloseCode, Opcode, Role, WebsocketDeframer, WebsocketEvent,
        deflate::{Compression, Inflater, WindowBits},
        write_close, write_frame,
    },
    wire::DeframeLimits,
};

use super::{
    client::{End, Wire},
    http,
    socket::{Address, Socket},
};

/// RFC 6455 section 1.3: a key and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Masks need be unforeseeable only where a browser runs foreign scripts.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The longest message that a test may be sent.
const MESSAGE_BYTES: usize = 4 << 20;

/// What came in one frame or message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Message(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// An open WebSocket connection.
#[derive(Debug)]
pub struct WebSocket {
    pub socket: Socket,
    /// What the server answered to the extensions that were offered.
    pub extensions: Option<String>,
    deframer: WebsocketDeframer,
    waiting: VecDeque<Incoming>,
}

impl WebSocket {
    /// Connects and shakes hands at `path`.
    #[track_caller]
    pub fn open(address: &Address, path: &str) -> Self {
        Self::shake_hands(address, path, &[])
    }

    /// As [`WebSocket::open`], with an offer of extensions. If one is taken up, compressed messages are read.
    #[track_caller]
    pub fn offering(address: &Address, path: &str, offer: &str) -> Self {
        Self::shake_hands(address, path, &[("Sec-WebSocket-Extensions", offer)])
    }

    #[track_caller]
    fn shake_hands(address: &Address, path: &str, more: &[(&str, &str)]) -> Self {
        let mut socket = address.open();
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        socket.send(http::head("GET", path, &[&headers, more].concat(), ""));
        let head = read_head(&mut socket);
        assert!(head.starts_with("HTTP/1.1 101 "), "the handshake is refused: {head}");
        assert!(head.contains(ACCEPT), "the answer to the key is missing: {head}");
        let extensions = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        let limits = DeframeLimits { message_bytes: MESSAGE_BYTES, ..DeframeLimits::default() };
        let mut deframer = WebsocketDeframer::new(Role::Client, limits);
        if let Some(extensions) = extensions {
            let context_takeover = !extensions.contains("server_no_context_takeover");
            let server = Compression { context_takeover, window_bits: WindowBits::MAX };
            deframer = deframer.with_inflater(Inflater::new(server));
        }
        Self { socket, extensions: extensions.map(str::to_owned), deframer, waiting: VecDeque::new() }
    }

    /// Sends one masked frame with FIN set.
    pub fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        write_frame(&mut out, opcode, payload, Some(MASK));
        self.socket.send(out);
    }

    /// Sends a close frame.
    pub fn send_close(&mut self, code: u16, reason: &str) {
        let mut out = BytesMut::new();
        write_close(&mut out, CloseCode::new(code), reason, Some(MASK));
        self.socket.send(out);
    }

    /// Waits for what comes next; none when the connection ended without a close frame.
    #[track_caller]
    pub fn next(&mut self) -> Option<Incoming> {
        let mut buffer = [0; 16_384];
        while self.waiting.is_empty() {
            let count = match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                outcome => outcome.expect("the server says something in time"),
            };
            let waiting = &mut self.waiting;
            let read = self.deframer.feed(&mut buffer[..count], &mut |event| waiting.push_back(owned(event)));
            read.expect("the server keeps to RFC 6455");
        }
        self.waiting.pop_front()
    }
}

/// Reads byte by byte, so that nothing behind the head is taken.
#[track_caller]
fn read_head(socket: &mut Socket) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            outcome => panic!("{outcome:?} within the head {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn owned(event: WebsocketEvent<'_>) -> Incoming {
    match event {
        WebsocketEvent::Message { payload, .. } => {
            Incoming::Message(String::from_utf8_lossy(payload).into_owned())
        }
        WebsocketEvent::Ping(payload) => Incoming::Ping(payload.to_vec()),
        WebsocketEvent::Pong(payload) => Incoming::Pong(payload.to_vec()),
        WebsocketEvent::Close { code, reason } => {
            Incoming::Close(code.map(CloseCode::number), reason.to_owned())
        }
    }
}

impl Wire for WebSocket {
    fn send(&mut self, text: &str) {
        self.send_frame(Opcode::Text, text.as_bytes());
    }

    fn receive(&mut self) -> Result<String, End> {
        loop {
            match self.next() {
                Some(Incoming::Message(text)) => return Ok(text),
                Some(Incoming::Ping(payload)) => self.send_frame(Opcode::Pong, &payload),
                Some(Incoming::Pong(_)) => {}
                Some(Incoming::Close(code, reason)) => return Err(End { code, reason }),
                None => return Err(End { code: None, reason: String::new() }),
            }
        }
    }
}
