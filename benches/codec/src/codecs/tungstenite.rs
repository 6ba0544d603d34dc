//! tungstenite: a blocking stream, its reading buffer at the default of 128 KiB, messages that share their bytes.

use std::hint::black_box;

use bytes::Bytes;
use tungstenite::{
    Message, Utf8Bytes, WebSocket,
    protocol::{Role, WebSocketConfig},
};

use super::READ_BUFFER_BYTES;
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

fn socket(role: Role, pipe: Pipe) -> WebSocket<Pipe> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

pub struct Reader(WebSocket<Pipe>);

impl super::Reader for Reader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Server,
            Direction::ToClient => Role::Client,
        };
        Self(socket(role, pipe))
    }

    fn read(&mut self, messages: usize) -> usize {
        // The input is right, and a pipe does not fail.
        (0..messages).map(|_| black_box(self.0.read().unwrap()).len()).sum()
    }
}

pub struct Writer {
    socket: WebSocket<Pipe>,
    message: Message,
}

impl super::Writer for Writer {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Client,
            Direction::ToClient => Role::Server,
        };
        let bytes = Bytes::copy_from_slice(payload);
        let message = match kind {
            Kind::Text => Message::Text(Utf8Bytes::try_from(bytes).unwrap()), // The payload is text.
            Kind::Binary => Message::Binary(bytes),
        };
        Self { socket: socket(role, pipe), message }
    }

    fn write(&mut self, messages: usize) {
        for _ in 0..messages {
            self.socket.write(black_box(&self.message).clone()).unwrap(); // A pipe does not fail.
        }
        self.socket.flush().unwrap(); // Nor here.
    }
}
