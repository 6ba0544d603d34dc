//! What a connection writes: frames in their order, masked and compressed as its role and its handshake want, and a
//! bounded number of pongs among them.

use bytes::{Bytes, BytesMut};

#[cfg(feature = "deflate")]
use crate::websocket::deflate::Deflater;
use crate::websocket::{CloseCode, MAX_CONTROL_BYTES, Opcode, write_close, write_frame};

/// What pongs may take of what waits to be written, in bytes; of the pings beyond it only the latest is answered. See
/// LIMITS.md, `pong_bytes`.
pub const PONG_BYTES: usize = 16 * 1024;

/// The longest pong of a client's: header, mask and payload.
const MAX_PONG_BYTES: usize = 2 + 4 + MAX_CONTROL_BYTES;

/// A client's source of masks: four bytes for each frame, from a strong source of entropy (RFC 6455 section 5.3), for
/// example `|| rand::random()`.
pub(super) type Masks = Box<dyn FnMut() -> [u8; 4] + Send>;

pub(super) struct Output {
    #[cfg(feature = "deflate")]
    pub(super) deflater: Option<Deflater>,
    /// A client's; a server's frames are not masked (RFC 6455 section 5.1).
    masks: Option<Masks>,
    bytes: BytesMut,
    /// No fewer of the bytes than are pongs.
    pong_bytes: usize,
    /// The latest ping, if there was no room for its pong.
    unanswered: Option<Bytes>,
    /// Nothing can be written any more.
    is_broken: bool,
}

impl Output {
    pub(super) fn new(masks: Option<Masks>) -> Self {
        Self {
            #[cfg(feature = "deflate")]
            deflater: None,
            masks,
            bytes: BytesMut::new(),
            pong_bytes: 0,
            unanswered: None,
            is_broken: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is to be written. The pong to the latest ping is in it, unless more pongs wait than one round of reading
    /// can leave; then it comes once these were taken off.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        self.answer_latest(PONG_BYTES + MAX_PONG_BYTES);
        &mut self.bytes
    }

    /// Takes nothing any more, and drops what waits.
    pub(super) fn break_off(&mut self) {
        self.is_broken = true;
        self.bytes = BytesMut::new();
        self.unanswered = None;
    }

    pub(super) fn write(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.is_broken {
            return;
        }
        let mask = self.masks.as_mut().map(|masks| masks());
        #[cfg(feature = "deflate")]
        if let Some(deflater) = &mut self.deflater {
            return deflater.write_frame(&mut self.bytes, opcode, payload, mask);
        }
        write_frame(&mut self.bytes, opcode, payload, mask);
    }

    /// RFC 6455 section 5.5.3: whoever has not sent the pongs to earlier pings may answer only the latest.
    pub(super) fn write_pong(&mut self, payload: &Bytes) {
        self.unanswered = Some(payload.clone());
        self.answer_latest(PONG_BYTES);
    }

    pub(super) fn write_close(&mut self, code: Option<CloseCode>, reason: &str) {
        if self.is_broken {
            return;
        }
        // What was asked before the end is answered before it.
        self.answer_latest(usize::MAX);
        let mask = self.masks.as_mut().map(|masks| masks());
        write_close(&mut self.bytes, code, reason, mask);
    }

    /// Answers the ping that waits for its pong, if fewer bytes of pongs than `most` wait to be written.
    fn answer_latest(&mut self, most: usize) {
        // It is not known what was taken off; but there are no more pongs than bytes.
        self.pong_bytes = self.pong_bytes.min(self.bytes.len());
        if self.pong_bytes < most
            && let Some(payload) = self.unanswered.take()
        {
            let before = self.bytes.len();
            self.write(Opcode::Pong, &payload);
            self.pong_bytes += self.bytes.len() - before;
        }
    }
}
