//! Compressed messages: read and checked at little cost, and what it costs to compress one.

use std::time::Instant;

use bytes::BytesMut;
use wharf_proto::websocket::{
    FrameError, MessageKind,
    deflate::{Compression, Deflater, Inflater, WindowBits},
};

use super::generator::READ_BYTES;

/// What every subscriber is sent is compressed once, so that the same bytes come to all. LIMITS.md: `REMEMBERED`.
const REMEMBERED: usize = 256;

/// Each message is compressed by itself.
const ALONE: Compression = Compression { context_takeover: false, window_bits: WindowBits::MAX };

/// Reads compressed messages. One that came already, to whomever, is known by its bytes and not inflated again.
pub struct Inflated {
    inflater: Inflater,
    known: Vec<Known>,
    /// Where the next message is expected: what one subscriber was sent comes to the next in the same order.
    next: usize,
}

#[derive(Default)]
struct Known {
    payload: Vec<u8>,
    message: Vec<u8>,
}

impl Default for Inflated {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflated {
    pub fn new() -> Self {
        Self { inflater: Inflater::new(ALONE), known: Vec::new(), next: 0 }
    }

    /// The message whose compressed payload this is.
    pub fn read(&mut self, payload: &[u8]) -> Result<&[u8], FrameError> {
        let count = self.known.len();
        let found =
            (0..count).map(|step| (self.next + step) % count).find(|at| self.known[*at].payload == payload);
        let at = match found {
            Some(at) => at,
            None => self.learn(payload)?,
        };
        self.next = at + 1;
        Ok(&self.known[at].message)
    }

    /// Some message that came compressed.
    pub fn example(&self) -> Option<&[u8]> {
        self.known.last().map(|known| &known.message[..]).filter(|message| !message.is_empty())
    }

    /// Inflates it, in the place of what was expected next once there is no room beside.
    fn learn(&mut self, payload: &[u8]) -> Result<usize, FrameError> {
        let at = if self.known.len() < REMEMBERED {
            self.known.push(Known::default());
            self.known.len() - 1
        } else {
            self.next % REMEMBERED
        };
        let known = &mut self.known[at];
        // Not to be found, should this fail.
        known.payload.clear();
        self.inflater.inflate(payload, MessageKind::Text, READ_BYTES, &mut known.message)?;
        known.payload.extend_from_slice(payload);
        Ok(at)
    }
}

/// What one compression is, for whoever compares.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub us: f64,
    pub message_bytes: usize,
    pub deflated_bytes: usize,
}

impl Cost {
    /// Compresses a message as the server does by default, but in this process; takes the least time of several.
    pub fn measure(message: &[u8]) -> Self {
        const TRIES: usize = 20;
        const TIMES: usize = 50;
        let mut deflater = Deflater::new(ALONE);
        let mut out = BytesMut::new();
        let mut least_us = f64::INFINITY;
        for _ in 0..TRIES {
            let begun = Instant::now();
            for _ in 0..TIMES {
                out.clear();
                std::hint::black_box(deflater.deflate(std::hint::black_box(message), &mut out));
            }
            least_us = least_us.min(begun.elapsed().as_secs_f64() * 1e6 / TIMES as f64);
        }
        Self { us: least_us, message_bytes: message.len(), deflated_bytes: out.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::message::Template;

    fn deflated(message: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        assert!(Deflater::new(ALONE).with_min_bytes(0).deflate(message, &mut out));
        out.to_vec()
    }

    #[test]
    fn what_came_is_read_again_without_inflating_it_and_the_memory_of_it_is_bounded() {
        let message = |at: usize| format!("{{\"push\":{at}}}").into_bytes();
        let mut inflated = Inflated::new();
        assert!(inflated.example().is_none());
        for at in 0..REMEMBERED + 5 {
            assert_eq!(inflated.read(&deflated(&message(at))).expect("a message"), message(at));
        }
        assert_eq!(inflated.known.len(), REMEMBERED);
        assert!(inflated.example().is_some());
        let before = inflated.next;
        assert_eq!(inflated.read(&deflated(&message(9))).expect("a message"), message(9));
        assert_eq!((inflated.next, before), (10, 5), "it was found where it was put");
        // The first five made room.
        assert_eq!(inflated.read(&deflated(&message(2))).expect("a message"), message(2));
        assert_eq!(inflated.next, 11, "it was put where another was expected");
    }

    #[test]
    fn what_does_not_inflate_is_an_error_each_time() {
        let mut inflated = Inflated::new();
        for _ in 0..2 {
            assert!(inflated.read(b"\xff\xff\xff").is_err());
        }
    }

    #[test]
    fn payloads_compress_as_messages_of_people_do() {
        // docs/compression.md: 1,024 bytes of a chat to 43 %, 256 to 75 %.
        for (bytes, percent) in [(1_024, 35..55), (256, 50..80)] {
            let mut message = Template::publish(0, bytes);
            let cost = Cost::measure(message.stamped(0x1234_5678_9abc));
            let found = 100 * cost.deflated_bytes / cost.message_bytes;
            assert!(percent.contains(&found), "{bytes} bytes become {found} %: {cost:?}");
        }
    }
}
