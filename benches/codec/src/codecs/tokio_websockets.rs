//! tokio-websockets: a stream and sink of messages. Its reading buffer begins at 8 KiB and cannot be chosen.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

use super::now;
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

pub struct Reader(WebSocketStream<Pipe>);

impl super::Reader for Reader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        Self(match direction {
            Direction::ToServer => ServerBuilder::new().serve(pipe),
            Direction::ToClient => ClientBuilder::new().take_over(pipe),
        })
    }

    fn read(&mut self, messages: usize) -> usize {
        // The input is right, and a pipe neither ends nor fails.
        (0..messages).map(|_| black_box(now(self.0.next()).unwrap().unwrap()).as_payload().len()).sum()
    }
}

pub struct Writer {
    socket: WebSocketStream<Pipe>,
    message: Message,
}

impl super::Writer for Writer {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        let socket = match direction {
            Direction::ToServer => ClientBuilder::new().take_over(pipe),
            Direction::ToClient => ServerBuilder::new().serve(pipe),
        };
        let payload = Bytes::copy_from_slice(payload);
        let message = match kind {
            Kind::Text => Message::text(payload),
            Kind::Binary => Message::binary(payload),
        };
        Self { socket, message }
    }

    fn write(&mut self, messages: usize) {
        for _ in 0..messages {
            now(self.socket.feed(black_box(&self.message).clone())).unwrap(); // A pipe does not fail.
        }
        now(self.socket.flush()).unwrap(); // Nor here.
    }
}
