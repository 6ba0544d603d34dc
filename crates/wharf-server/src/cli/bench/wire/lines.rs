//! JSON lines over TCP: a message is a line.

use std::borrow::Cow;

use memchr::memrchr;

use super::{Out, Unit};

/// All whole lines of what came.
pub fn take(bytes: &[u8]) -> Option<(Unit<'_>, usize)> {
    let end = memrchr(b'\n', bytes)? + 1;
    Some((Unit::Messages(Cow::Borrowed(&bytes[..end])), end))
}

pub fn say(command: &[u8], out: &mut Out) {
    out.here.extend_from_slice(command);
    out.here.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_heard_when_it_ends() {
        assert_eq!(take(b"{}"), None);
        assert_eq!(take(b"{}\n{\"id\""), Some((Unit::Messages(Cow::Borrowed(b"{}\n")), 3)));
    }
}
