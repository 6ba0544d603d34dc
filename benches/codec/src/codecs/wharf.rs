//! wharf-proto: a deframer that is fed what was read, and frames appended to a buffer.

use std::{
    hint::black_box,
    io::{IoSlice, Read, Write},
};

use bytes::BytesMut;
use wharf_proto::{
    websocket::{Opcode, Role, WebsocketDeframer, WebsocketEvent, write_frame, write_header},
    wire::DeframeLimits,
};

use super::READ_BUFFER_BYTES;
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

/// From this size on an unmasked payload goes out from where it lies.
const COPIED_BYTES: usize = 1024;

pub struct Reader {
    deframer: WebsocketDeframer,
    buffer: Vec<u8>,
    pipe: Pipe,
}

impl super::Reader for Reader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Server,
            Direction::ToClient => Role::Client,
        };
        let limits = DeframeLimits { message_bytes: 16 << 20, fragments: 1024 };
        Self { deframer: WebsocketDeframer::new(role, limits), buffer: vec![0; READ_BUFFER_BYTES], pipe }
    }

    fn read(&mut self, messages: usize) -> usize {
        let (mut found, mut bytes) = (0, 0);
        while found < messages {
            let count = self.pipe.read(&mut self.buffer).unwrap(); // A pipe does not fail.
            let fed = self.deframer.feed(&mut self.buffer[..count], &mut |event| {
                if let WebsocketEvent::Message { payload, .. } = event {
                    found += 1;
                    bytes += black_box(payload).len();
                }
            });
            fed.unwrap(); // The input is right.
        }
        bytes
    }
}

pub struct Writer {
    opcode: Opcode,
    masks: bool,
    payload: Vec<u8>,
    out: BytesMut,
    pipe: Pipe,
}

impl super::Writer for Writer {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        let opcode = match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let masks = direction == Direction::ToServer;
        Self { opcode, masks, payload: payload.to_vec(), out: BytesMut::new(), pipe }
    }

    fn write(&mut self, messages: usize) {
        for _ in 0..messages {
            let payload = black_box(&self.payload[..]);
            if self.masks || payload.len() <= COPIED_BYTES {
                write_frame(&mut self.out, self.opcode, payload, self.masks.then(rand::random));
            } else {
                write_header(&mut self.out, self.opcode, payload.len(), None);
                let slices = [IoSlice::new(&self.out), IoSlice::new(payload)];
                self.pipe.write_vectored(&slices).unwrap(); // A pipe takes all.
                self.out.clear();
            }
        }
        if !self.out.is_empty() {
            self.pipe.write_all(&self.out).unwrap(); // A pipe does not fail.
            self.out.clear();
        }
    }
}
