//! How bytes that mean something to a framing stand within a message.

use bytes::{BufMut, BytesMut};

use crate::device::spec::EscapeHow;

/// Escapes that were checked: no escaped byte looks like a mark or an escape, and each reads back.
#[derive(Debug)]
pub(super) struct Escape {
    pub byte: u8,
    pub how: EscapeHow,
    /// The bytes that are escaped when a message is written.
    pub special: Box<[u8]>,
}

/// An escape that nobody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device) struct BadEscape;

impl Escape {
    /// Whether what follows the escape byte means itself, also where it looks like a mark.
    pub fn hides(&self) -> bool {
        self.how == EscapeHow::Literal
    }

    pub fn write(&self, bytes: &[u8], out: &mut BytesMut) {
        for byte in bytes {
            if self.special.contains(byte) {
                out.put_u8(self.byte);
                out.put_u8(self.changed(*byte));
            } else {
                out.put_u8(*byte);
            }
        }
    }

    pub fn changed(&self, byte: u8) -> u8 {
        match &self.how {
            EscapeHow::Xor(with) => byte ^ with,
            EscapeHow::Literal => byte,
            EscapeHow::Table(pairs) => {
                pairs.iter().find(|(raw, _)| *raw == byte).map_or(byte, |(_, changed)| *changed)
            }
        }
    }

    fn original(&self, changed: u8) -> Option<u8> {
        match &self.how {
            EscapeHow::Xor(with) => Some(changed ^ with),
            EscapeHow::Literal => Some(changed),
            EscapeHow::Table(pairs) => pairs.iter().find(|(_, other)| *other == changed).map(|(raw, _)| *raw),
        }
    }

    /// Takes the escapes out in place, and says how many bytes are left.
    pub fn undo(&self, bytes: &mut [u8]) -> Result<usize, BadEscape> {
        let Some(first) = memchr::memchr(self.byte, bytes) else { return Ok(bytes.len()) };
        let (mut from, mut to) = (first, first);
        while from < bytes.len() {
            bytes[to] = if bytes[from] == self.byte {
                from += 1;
                self.original(*bytes.get(from).ok_or(BadEscape)?).ok_or(BadEscape)?
            } else {
                bytes[from]
            };
            from += 1;
            to += 1;
        }
        Ok(to)
    }
}
