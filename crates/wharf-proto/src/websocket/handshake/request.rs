//! The head of a request, read from bytes: for a server that has no HTTP parser beside its WebSocket.

use std::iter;

use super::{Accepted, Policy, Refusal, accept, head_bytes, trim};

/// The longest head of a request, in bytes. LIMITS.md: `max_request_head_bytes`.
pub const MAX_REQUEST_HEAD_BYTES: usize = 16_384;

/// The most headers of a request. LIMITS.md: `max_request_headers`.
pub const MAX_REQUEST_HEADERS: usize = 64;

/// A request head that is whole: of HTTP/1, with CR LF at the end of each line and without a body.
#[derive(Debug)]
pub struct Request<'r> {
    head_bytes: usize,
    method: &'r str,
    target: &'r str,
    minor_version: u8,
    headers: Vec<(&'r str, &'r [u8])>,
}

impl<'r> Request<'r> {
    /// Looks at all that came so far. `None`: the head is not whole, call again with more bytes after the same ones;
    /// by [`MAX_REQUEST_HEAD_BYTES`] it has said yes or no.
    pub fn read(received: &'r [u8]) -> Result<Option<Self>, Refusal> {
        let window = &received[..received.len().min(MAX_REQUEST_HEAD_BYTES)];
        let Some(head_bytes) = head_bytes(window) else {
            return if received.len() < MAX_REQUEST_HEAD_BYTES {
                Ok(None)
            } else {
                Err(Refusal::HeadTooLong)
            };
        };
        let head = &window[..head_bytes];
        // The parser takes a bare LF for a line end; whoever stands between us and the client may not.
        let before = iter::once(&b' ').chain(head);
        if before.zip(head).any(|(before, byte)| *byte == b'\n' && *before != b'\r') {
            return Err(Refusal::Malformed);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_REQUEST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head_bytes => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
            _ => return Err(Refusal::Malformed),
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Refusal::Malformed);
        };
        let headers: Vec<_> = request.headers.iter().map(|header| (header.name, header.value)).collect();
        // What follows the head are frames, and must not be what somebody on the way took for a body.
        let announces_body = |(name, value): &(&str, &[u8])| {
            name.eq_ignore_ascii_case("transfer-encoding")
                || name.eq_ignore_ascii_case("content-length") && trim(value) != b"0"
        };
        if headers.iter().any(announces_body) {
            return Err(Refusal::Body);
        }
        Ok(Some(Self { head_bytes, method, target, minor_version, headers }))
    }

    /// How long the head is, in bytes: what follows it is frames.
    pub fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Path and query, as they came.
    pub fn target(&self) -> &'r str {
        self.target
    }

    /// The value of the first header of this name, in any case, without the white space around it.
    pub fn header(&self, name: &str) -> Option<&'r [u8]> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| trim(value))
    }

    /// Judges it as a request for a WebSocket, by [`accept`].
    pub fn accept<'p>(&self, policy: &Policy<'p>) -> Result<Accepted<'p>, Refusal> {
        accept(self.method, self.minor_version, self.headers.iter().copied(), policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nX-Name:  a b \r\n\r\n";

    fn with(header: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n").into_bytes()
    }

    #[test]
    fn reads_a_head_when_it_is_whole_and_not_before() {
        for end in 0..HEAD.len() {
            assert!(Request::read(&HEAD[..end]).unwrap().is_none(), "first {end} bytes");
        }
        let followed = [HEAD, b"\x81\x80"].concat();
        let request = Request::read(&followed).unwrap().expect("a whole head");
        assert_eq!((request.head_bytes(), request.target()), (HEAD.len(), "/chat?room=1"));
        assert_eq!(request.header("x-name"), Some(&b"a b"[..]));
        assert_eq!(request.header("x-other"), None);
    }

    #[test]
    fn refuses_a_head_longer_than_its_bounds() {
        let endless = vec![b'a'; MAX_REQUEST_HEAD_BYTES];
        assert!(Request::read(&endless[1..]).unwrap().is_none());
        assert_eq!(Request::read(&endless).unwrap_err(), Refusal::HeadTooLong);
        let headers = |count: usize| with(&vec!["A: b"; count - 1].join("\r\n"));
        assert!(Request::read(&headers(MAX_REQUEST_HEADERS)).unwrap().is_some());
        assert_eq!(Request::read(&headers(MAX_REQUEST_HEADERS + 1)).unwrap_err(), Refusal::HeadTooLong);
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for head in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
            b"GET /\r\n\r\n",
        ] {
            let refusal = Request::read(head).err();
            assert_eq!(refusal, Some(Refusal::Malformed), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn refuses_a_body_and_takes_an_empty_one() {
        for header in
            ["Transfer-Encoding: chunked", "Content-Length: 5", "content-length: 0\r\nContent-Length: 5"]
        {
            assert_eq!(Request::read(&with(header)).unwrap_err(), Refusal::Body, "{header}");
        }
        assert!(Request::read(&with("Content-Length: 0")).unwrap().is_some());
    }
}
