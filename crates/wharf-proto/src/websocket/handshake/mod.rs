//! The opening handshake (RFC 6455 section 4): an HTTP request that asks for, and an answer that makes, a WebSocket.
//!
//! * [`accept`] is the server's half. It is given a request head that an HTTP parser has read, and says yes with
//!   what to answer, or no with the reason, the status and the headers that tell a client what to do instead.
//! * [`Request`] reads the head of a request, for a server without an HTTP parser of its own.
//! * [`accept_connect`] is the same over HTTP/2 (RFC 8441), where a WebSocket is opened by extended CONNECT.
//! * [`ClientRequest`] is the client's half: it writes the request, and checks the answer. Of an answer that opens
//!   no WebSocket, [`OrdinaryAnswer`] tells what a person needs to know.
//!
//! Over a stream of bytes, [`ServerHandshake`](super::ServerHandshake) and [`ClientHandshake`](super::ClientHandshake)
//! do the reading and buffering around them.

mod client;
mod connect;
mod ordinary;
mod request;
mod server;

pub use client::{
    Answer, AnswerError, ClientRequest, InvalidRequest, MAX_ANSWER_HEAD_BYTES, MAX_ANSWER_HEADERS,
};
pub use connect::{AcceptedConnect, ConnectHead, ConnectRefusal, accept_connect};
pub use ordinary::OrdinaryAnswer;
pub use request::{MAX_REQUEST_HEAD_BYTES, MAX_REQUEST_HEADERS, Request};
pub use server::{Accepted, Policy, Refusal, accept};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3: what the key is joined with, so that no server says yes by accident.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// RFC 6455 section 4.1: the only version there is.
const VERSION: &str = "13";

/// The value of `Sec-WebSocket-Accept`: base64 of 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// RFC 6455 section 4.2.2, item 5.4: SHA-1 of the key as it was sent, joined with the GUID.
    fn of(key: &[u8]) -> Self {
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let mut text = [b'='; 28];
        // Base64 of 20 bytes is 28 bytes, so this cannot fail, and fills all of them.
        let _ = BASE64_STANDARD.encode_slice(digest, &mut text);
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // Base64 is ASCII.
    }
}

/// The length of a head, with the empty line that ends it (RFC 9112 section 2.1); `None` if that has not come.
fn head_bytes(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
}

/// A header's value without the white space around it (RFC 9110 section 5.5).
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110 section 5.6.1.2). Each byte is looked at
/// a fixed number of times, however many spaces there are.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated list holds `token`, in any case.
fn lists(value: &[u8], token: &str) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// A token (RFC 9110 section 5.6.2), as text: what names of headers and subprotocols are made of.
pub(super) fn token(bytes: &[u8]) -> Option<&str> {
    (!bytes.is_empty() && bytes.iter().all(is_token_byte)).then(|| std::str::from_utf8(bytes).ok())?
}

/// A byte of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// The value of a header that may stand in a request or answer once.
#[derive(Debug, Clone, Copy, Default)]
enum Single<'h> {
    #[default]
    Absent,
    Once(&'h [u8]),
    Repeated,
}

impl<'h> Single<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Absent => Self::Once(trim(value)),
            _ => Self::Repeated,
        };
    }

    fn is(self, expected: &str) -> bool {
        matches!(self, Self::Once(value) if value == expected.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_accept_key_of_the_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(AcceptKey::of(b"dGhlIHNhbXBsZSBub25jZQ==").as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn finds_tokens_in_lists_in_any_case_but_never_within_a_token() {
        for list in ["Upgrade", "keep-alive, UPGRADE", ",, upgrade ,", "\tupgrade"] {
            assert!(lists(list.as_bytes(), "upgrade"), "{list:?}");
        }
        for list in ["", "keep-alive", "upgrades", "up grade", "h2c;upgrade"] {
            assert!(!lists(list.as_bytes(), "upgrade"), "{list:?}");
        }
    }
}
