//! Messages that bring their own end, written as they are; and [`Discard`], the reading side of every framing
//! that only the server writes.

use bytes::{BufMut, BytesMut};

use crate::{
    PeerError,
    wire::{DeframeLimits, Deframer, Framing, Incoming, MessageKind},
};

/// The message's bytes and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Framing for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn frame(&self, _kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        out.put_slice(message);
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn deframer(&self, _limits: DeframeLimits) -> Box<dyn Deframer> {
        Box::new(Discard)
    }
}

/// Takes whatever comes and finds nothing in it: a client of a one-way stream has nothing to say. Takes no
/// memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Deframer for Discard {
    fn feed(&mut self, _input: &mut [u8], _sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError> {
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_bytes_as_they_are() {
        let mut out = BytesMut::from(&b"before "[..]);
        Plain.frame(MessageKind::Binary, b"\x00\r\n\xff", &mut out);
        assert_eq!(&out[..], b"before \x00\r\n\xff");
    }

    #[test]
    fn whatever_a_client_of_a_one_way_stream_says_is_discarded() {
        let mut deframer = Plain.deframer(DeframeLimits::default());
        let mut input = vec![b'x'; 100_000];
        deframer.feed(&mut input, &mut |incoming| panic!("found {incoming:?}")).unwrap();
        assert_eq!(deframer.held_bytes(), 0);
    }
}
