//! Appends JSON objects to a buffer, member by member, without building anything first.

use std::fmt;

use bytes::{BufMut, BytesMut};

/// An object that is being written. Centrifuge protocol, framing: members whose value is zero, empty or false
/// are left out, so each method but [`Object::key`] and [`Object::raw`] leaves them out.
pub struct Object<'a> {
    out: &'a mut BytesMut,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub fn open(out: &'a mut BytesMut) -> Self {
        out.put_u8(b'{');
        Self { out, is_empty: true }
    }

    /// Writes a member's name, which must need no escapes, and gives the buffer for its value.
    pub fn key(&mut self, name: &'static str) -> &mut BytesMut {
        self.separate();
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
        self.out
    }

    /// Writes a member's name, whatever it is, and gives the buffer for its value.
    pub fn escaped_key(&mut self, name: &str) -> &mut BytesMut {
        self.separate();
        string(name, self.out);
        self.out.put_u8(b':');
        self.out
    }

    /// A member whose value is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &[u8]) {
        self.key(name).put_slice(json);
    }

    /// A string, if it is not empty.
    pub fn text(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            string(value, self.key(name));
        }
    }

    /// A number, if it is not 0.
    pub fn number(&mut self, name: &'static str, value: impl Into<i128>) {
        let value = value.into();
        if value != 0 {
            number(value, self.key(name));
        }
    }

    /// `true`, if it is.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        if value {
            self.raw(name, b"true");
        }
    }

    /// Ends the object.
    pub fn close(self) {
        self.out.put_u8(b'}');
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.put_u8(b',');
        }
    }
}

/// Appends a number.
pub fn number(value: i128, out: &mut BytesMut) {
    let mut digits = itoa::Buffer::new();
    // Half as wide a number takes a fraction of the time, and nearly all are.
    let text = match u64::try_from(value) {
        Ok(small) => digits.format(small),
        Err(_) => digits.format(value),
    };
    out.put_slice(text.as_bytes());
}

/// Appends a JSON string of what `value` displays, which must need no escapes (an identifier).
pub fn display(value: impl fmt::Display, out: &mut BytesMut) {
    use fmt::Write;
    let _grows = write!(out, "\"{value}\""); // Fails only where a buffer of fixed size is full.
}

/// Appends a JSON string of `text` (RFC 8259 section 7): quotes, backslashes and control characters escaped.
pub fn string(text: &str, out: &mut BytesMut) {
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.put_slice(&rest[..at]);
        escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

fn escape(byte: u8, out: &mut BytesMut) {
    match byte {
        b'"' => out.put_slice(b"\\\""),
        b'\\' => out.put_slice(b"\\\\"),
        b'\n' => out.put_slice(b"\\n"),
        b'\r' => out.put_slice(b"\\r"),
        b'\t' => out.put_slice(b"\\t"),
        control => {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
            out.put_slice(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 0xf)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_string_reads_back_as_it_was(text in any::<String>(), controls in "[\\x00-\\x22\\\\]*") {
            for text in [text, controls] {
                let mut out = BytesMut::new();
                string(&text, &mut out);
                prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
                prop_assert!(out.iter().all(|byte| *byte >= 0x20), "a raw control character");
            }
        }
    }

    #[test]
    fn leaves_out_what_is_zero_empty_or_false() {
        let mut out = BytesMut::new();
        let mut object = Object::open(&mut out);
        object.text("a", "");
        object.number("b", 0);
        object.flag("c", false);
        object.number("d", u64::MAX);
        object.number("e", -1);
        object.text("f", "x");
        object.flag("g", true);
        object.escaped_key("h\"").put_slice(b"null");
        object.close();
        assert_eq!(&out[..], br#"{"d":18446744073709551615,"e":-1,"f":"x","g":true,"h\"":null}"#);
    }
}
