//! yawc: a stream and sink of frames, with the buffers of its own benchmarks: 128 KiB to read, written out from
//! 64 KiB on.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::SinkExt;
use yawc::{Frame, Options, Role, WebSocket};

use super::{READ_BUFFER_BYTES, now};
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

fn socket(role: Role, pipe: Pipe) -> WebSocket<Pipe> {
    let options = Options::default()
        .with_utf8()
        .with_limits(16 << 20, 16 << 20)
        .with_read_buffer_capacity(READ_BUFFER_BYTES)
        .with_backpressure_boundary(64 * 1024);
    WebSocket::from_stream(pipe, role, options).unwrap() // No extension is asked for.
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
        (0..messages).map(|_| black_box(now(self.0.next_frame()).unwrap()).payload().len()).sum()
    }
}

pub struct Writer {
    socket: WebSocket<Pipe>,
    kind: Kind,
    payload: Bytes,
}

impl super::Writer for Writer {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Client,
            Direction::ToClient => Role::Server,
        };
        Self { socket: socket(role, pipe), kind, payload: Bytes::copy_from_slice(payload) }
    }

    fn write(&mut self, messages: usize) {
        for _ in 0..messages {
            let payload = black_box(&self.payload).clone();
            let frame = match self.kind {
                Kind::Text => Frame::text(payload),
                Kind::Binary => Frame::binary(payload),
            };
            now(self.socket.feed(frame)).unwrap(); // A pipe does not fail.
        }
        now(self.socket.flush()).unwrap(); // Nor here.
    }
}
