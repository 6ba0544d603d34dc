//! wharf-proto: a deframer that is fed what was read, and frames appended to a buffer.

use std::{
    hint::black_box,
    io::{IoSlice, Read, Write},
};

use bytes::BytesMut;
use wharf_proto::websocket::{
    DeframeLimits, Opcode, Role, WebsocketDeframer, WebsocketEvent, apply_mask, write_frame, write_header,
};

use super::READ_BUFFER_BYTES;
use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

/// From this size on an unmasked payload goes out from where it lies.
const COPIED_BYTES: usize = 1024;

/// What a reading buffer holds that one thread shares among all its connections.
const ROOMY_BYTES: usize = 2 << 20;

/// What goes out at once of a masked payload that is masked as it goes.
const PIECE_BYTES: usize = 64 * 1024;

/// Reads into a buffer as large as the peers'.
pub struct Reader {
    deframer: WebsocketDeframer,
    buffer: Vec<u8>,
    pipe: Pipe,
}

impl Reader {
    fn with_buffer(direction: Direction, pipe: Pipe, bytes: usize) -> Self {
        let role = match direction {
            Direction::ToServer => Role::Server,
            Direction::ToClient => Role::Client,
        };
        let limits = DeframeLimits { message_bytes: 16 << 20, fragments: 1024 };
        Self { deframer: WebsocketDeframer::new(role, limits), buffer: vec![0; bytes], pipe }
    }
}

impl super::Reader for Reader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        Self::with_buffer(direction, pipe, READ_BUFFER_BYTES)
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

/// Reads into a buffer that is longer than the message, so that none is copied.
pub struct RoomyReader(Reader);

impl super::Reader for RoomyReader {
    fn new(direction: Direction, pipe: Pipe) -> Self {
        Self(Reader::with_buffer(direction, pipe, ROOMY_BYTES))
    }

    fn read(&mut self, messages: usize) -> usize {
        self.0.read(messages)
    }
}

/// Appends whole frames to a buffer, and writes that.
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

/// Masks a long payload piece by piece, and writes each, so that there is never a second copy of the whole.
pub struct PieceWriter(Writer);

impl super::Writer for PieceWriter {
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self {
        Self(Writer::new(direction, kind, payload, pipe))
    }

    fn write(&mut self, messages: usize) {
        let Writer { opcode, payload, out, pipe, .. } = &mut self.0;
        for _ in 0..messages {
            let key = rand::random();
            write_header(out, *opcode, payload.len(), Some(key));
            let mut phase = 0;
            for piece in black_box(&payload[..]).chunks(PIECE_BYTES) {
                let start = out.len();
                out.extend_from_slice(piece);
                apply_mask(&mut out[start..], key, phase);
                phase += piece.len();
                pipe.write_all(out).unwrap(); // A pipe does not fail.
                out.clear();
            }
        }
    }
}
