//! The framings that need no description: what programs ask for that have a peer to speak to and no kind of device to
//! describe.

use super::DeviceFraming;
use crate::device::{
    error::ProfileError,
    spec::{Counts, CutSpec, Endian, FramingSpec, Junk, LengthSpec},
};

impl DeviceFraming {
    /// Each message ends with these bytes, which it does not hold.
    ///
    /// # Errors
    /// Too many bytes or none, or a longest message out of bounds.
    pub fn delimited(end: &[u8], max_bytes: usize) -> Result<Self, ProfileError> {
        let cut = CutSpec::Marks { escape: None };
        Self::new(&FramingSpec { end: end.to_owned(), ..bare(cut, max_bytes) })
    }

    /// Before each message stands its length in bytes, itself not counted, as a number of 1 to 4 or 8 bytes.
    ///
    /// # Errors
    /// Another width, or a longest message that does not fit it.
    pub fn length_prefixed(bytes: usize, endian: Endian, max_bytes: usize) -> Result<Self, ProfileError> {
        let length = LengthSpec { at: 0, bytes, endian, counts: Counts::Message, plus: 0 };
        Self::new(&bare(CutSpec::Length(length), max_bytes))
    }

    /// Each message has so many bytes.
    ///
    /// # Errors
    /// None, or more than there may be.
    pub fn fixed(bytes: usize) -> Result<Self, ProfileError> {
        Self::new(&bare(CutSpec::Fixed { bytes }, bytes))
    }
}

/// Nothing around a message, and no byte that belongs to none.
fn bare(cut: CutSpec, max_bytes: usize) -> FramingSpec {
    FramingSpec { cut, start: Vec::new(), end: Vec::new(), checksum: None, max_bytes, junk: Junk::Close }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::{DeframeLimits, Framing, Incoming, MessageKind};

    fn written(framing: &DeviceFraming, message: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        framing.frame_checked(MessageKind::Binary, message, &mut out).unwrap();
        let mut read = Vec::new();
        let mut deframer = framing.deframer(DeframeLimits::default());
        let mut keep = |found: Incoming<'_>| match found {
            Incoming::Message(_, message) => read.push(message.to_vec()),
            other => panic!("{other:?}"),
        };
        out.to_vec()
            .iter_mut()
            .for_each(|byte| deframer.feed(std::slice::from_mut(byte), &mut keep).unwrap());
        assert_eq!(read, [message]);
        out.to_vec()
    }

    #[test]
    fn each_is_what_its_name_says() {
        let delimited = DeviceFraming::delimited(b"\r\n", 100).unwrap();
        assert_eq!(written(&delimited, b"ahoy"), b"ahoy\r\n");
        let prefixed = DeviceFraming::length_prefixed(2, Endian::Big, 100).unwrap();
        assert_eq!(written(&prefixed, b"ahoy"), b"\0\x04ahoy");
        let prefixed = DeviceFraming::length_prefixed(4, Endian::Little, 100).unwrap();
        assert_eq!(written(&prefixed, b"ahoy"), b"\x04\0\0\0ahoy");
        let fixed = DeviceFraming::fixed(4).unwrap();
        assert_eq!(written(&fixed, b"ahoy"), b"ahoy");
    }

    #[test]
    fn what_cannot_be_is_an_error_that_names_it() {
        for (made, key) in [
            (DeviceFraming::delimited(b"", 100), "framing.end"),
            (DeviceFraming::length_prefixed(5, Endian::Big, 100), "framing.length.bytes"),
            (DeviceFraming::fixed(0), "framing"),
        ] {
            let error = made.unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
