//! fastwebsockets: frames joined by its collector, vectored writes for what is longer than its threshold. Its
//! reading buffer of 8 KiB cannot be chosen.

use std::hint::black_box;

use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};

use super::now;
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

pub struct Reader(FragmentCollector<Pipe>);

impl super::Reader for Reader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Server,
            Direction::ToClient => Role::Client,
        };
        Self(FragmentCollector::new(WebSocket::after_handshake(pipe, role)))
    }

    fn read(&mut self, messages: usize) -> usize {
        // The input is right, and a pipe does not fail.
        (0..messages).map(|_| black_box(now(self.0.read_frame()).unwrap()).payload.len()).sum()
    }
}

pub struct Writer {
    socket: WebSocket<Pipe>,
    opcode: OpCode,
    payload: Vec<u8>,
}

impl super::Writer for Writer {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Client,
            Direction::ToClient => Role::Server,
        };
        let mut socket = WebSocket::after_handshake(pipe, role);
        socket.set_writev(true);
        let opcode = match kind {
            Kind::Text => OpCode::Text,
            Kind::Binary => OpCode::Binary,
        };
        Self { socket, opcode, payload: payload.to_vec() }
    }

    fn write(&mut self, messages: usize) {
        for _ in 0..messages {
            let payload = Payload::Borrowed(black_box(&self.payload));
            let frame = Frame::new(true, self.opcode, None, payload);
            now(self.socket.write_frame(frame)).unwrap(); // A pipe does not fail.
        }
        now(self.socket.flush()).unwrap(); // Nor here.
    }
}
