//! The client's half of the handshake (RFC 6455 section 4.1): what is asked, and what the answer must hold.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;

use super::{AcceptKey, Single, VERSION, head_bytes, lists, token};
use crate::websocket::deflate::{DeflateOffer, Parameters};

/// The longest head of an answer, in bytes. LIMITS.md: `max_answer_head_bytes`.
pub const MAX_ANSWER_HEAD_BYTES: usize = 16_384;

const EXTENSIONS: &str = "sec-websocket-extensions";

/// The most headers of an answer. LIMITS.md: `max_answer_headers`.
pub const MAX_ANSWER_HEADERS: usize = 64;

/// A request for a WebSocket. [`write`](Self::write) it, then [`check`](Self::check) what comes back.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    /// The server's name, and its port unless it is the scheme's own.
    pub host: &'a str,
    /// Path and query; begins with `/`.
    pub target: &'a str,
    /// 16 random bytes, new for each request.
    pub key: [u8; 16],
    /// The subprotocols that the client speaks, the best first.
    pub subprotocols: &'a [&'a str],
    /// Offers to compress messages (RFC 7692).
    pub deflate: Option<DeflateOffer>,
    /// Further headers, such as `Origin` and `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A request that cannot be written: what it holds would change the meaning of the head around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The host is empty or holds white space, control or non-ASCII characters.
    #[error("the host {0:?} must be printable ASCII without spaces")]
    Host(Box<str>),
    /// The target does not begin with `/`, or holds a fragment, or what no URI may hold.
    #[error(
        "the target {0:?} must begin with '/', end before a '#', and be ASCII without spaces, quotes and angle \
         brackets; encode others by %"
    )]
    Target(Box<str>),
    /// A subprotocol is not a token, or is offered twice.
    #[error("the subprotocol {0:?} must be an ASCII token, and offered once")]
    Subprotocol(Box<str>),
    /// A header's name is not a token, or the handshake writes this header itself.
    #[error("the header {0:?} cannot be set: its name is not a token, or belongs to the handshake")]
    HeaderName(Box<str>),
    /// A header's value holds a line end or another control character.
    #[error("the value of the header {0:?} must not hold control characters")]
    HeaderValue(Box<str>),
}

/// The server's yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// How long the head is, in bytes: what follows it is frames.
    pub head_bytes: usize,
    /// The subprotocol that the server chose of those offered, if any.
    pub subprotocol: Option<&'a str>,
    /// What the server agreed on of compression, if it was offered and the server takes it.
    pub deflate: Option<Parameters>,
}

/// An answer that does not open a WebSocket. Close the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The stream ended before the answer was whole.
    #[error("the server ended the connection before its answer was whole")]
    Ended,
    /// No head ended within [`MAX_ANSWER_HEAD_BYTES`].
    #[error("the head of the answer is longer than {MAX_ANSWER_HEAD_BYTES} bytes")]
    TooLong,
    /// The head is not that of an HTTP/1.1 answer, or has more than [`MAX_ANSWER_HEADERS`] headers.
    #[error(
        "the answer is not an HTTP/1.1 answer of at most {MAX_ANSWER_HEADERS} headers; is this a web server?"
    )]
    Malformed,
    /// RFC 6455 section 4.1, answer's item 1: any status but 101 is an ordinary HTTP answer.
    #[error("the server answered with status {0} and not with 101; is this the address of a WebSocket?")]
    Status(u16),
    /// Item 2.
    #[error("the answer lacks the header Upgrade: websocket")]
    NoUpgrade,
    /// Item 3.
    #[error("the answer lacks the header Connection: Upgrade")]
    NoConnectionUpgrade,
    /// Item 4.
    #[error("the header Sec-WebSocket-Accept does not answer this request; a cache may have")]
    AcceptKey,
    /// Item 5, and RFC 7692 section 5: parameters that do not answer the offer's.
    #[error("the server chose an extension, or parameters of it, that were not offered")]
    Extension,
    /// Item 6.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
}

impl<'a> ClientRequest<'a> {
    /// A request for `target` with nothing else. `key` is 16 random bytes, for example `rand::random()`.
    pub fn new(host: &'a str, target: &'a str, key: [u8; 16]) -> Self {
        Self { host, target, key, subprotocols: &[], deflate: None, headers: &[] }
    }

    /// Appends the head of the request, or nothing if it cannot be written.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), InvalidRequest> {
        self.validate()?;
        let mut key = [0; 24];
        // Base64 of 16 bytes is 24 bytes, so this cannot fail, and fills all of them.
        let _ = BASE64_STANDARD.encode_slice(self.key, &mut key);
        put(out, &[b"GET ", self.target.as_bytes(), b" HTTP/1.1\r\nHost: ", self.host.as_bytes()]);
        put(out, &[b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "]);
        put(out, &[VERSION.as_bytes(), b"\r\nSec-WebSocket-Key: ", &key, b"\r\n"]);
        if !self.subprotocols.is_empty() {
            put(out, &[b"Sec-WebSocket-Protocol: ", self.subprotocols.join(", ").as_bytes(), b"\r\n"]);
        }
        if let Some(offer) = &self.deflate {
            put(out, &[b"Sec-WebSocket-Extensions: ", offer.value().as_str().as_bytes(), b"\r\n"]);
        }
        for (name, value) in self.headers {
            put(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        put(out, &[b"\r\n"]);
        Ok(())
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        let is_graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_graphic(self.host) {
            return Err(InvalidRequest::Host(self.host.into()));
        }
        // RFC 6455 section 3: a fragment must not be used. RFC 3986 section 2: the others stand in no URI.
        let is_target = is_graphic(self.target) && !self.target.contains(['#', '"', '<', '>']);
        if !is_target || !self.target.starts_with('/') {
            return Err(InvalidRequest::Target(self.target.into()));
        }
        for (at, name) in self.subprotocols.iter().enumerate() {
            // RFC 6455 section 4.1, item 10: the elements are tokens, each unique.
            if token(name.as_bytes()).is_none() || self.subprotocols[..at].contains(name) {
                return Err(InvalidRequest::Subprotocol((*name).into()));
            }
        }
        for (name, value) in self.headers {
            if token(name.as_bytes()).is_none() || is_handshake_header(name) {
                return Err(InvalidRequest::HeaderName((*name).into()));
            }
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return Err(InvalidRequest::HeaderValue((*name).into()));
            }
        }
        Ok(())
    }

    /// Looks at all that came so far. `None`: the head is not whole, call again with more bytes after the same
    /// ones; by [`MAX_ANSWER_HEAD_BYTES`], interim answers counted, it has said yes or no.
    pub fn check(&self, received: &[u8]) -> Result<Option<Answer<'a>>, AnswerError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
        let Some((answer, head_bytes)) = read_final_head(received, &mut headers)? else { return Ok(None) };
        match (answer.version, answer.code) {
            (Some(1), Some(101)) => {}
            (_, Some(101)) | (_, None) => return Err(AnswerError::Malformed),
            (_, Some(status)) => return Err(AnswerError::Status(status)),
        }
        let (subprotocol, deflate) = self.check_headers(answer.headers)?;
        Ok(Some(Answer { head_bytes, subprotocol, deflate }))
    }

    /// RFC 6455 section 4.1, what the client checks of the answer, items 2 to 6. Returns what the server chose.
    fn check_headers(
        &self,
        headers: &[httparse::Header<'_>],
    ) -> Result<(Option<&'a str>, Option<Parameters>), AnswerError> {
        let (mut upgrade, mut accept, mut subprotocol) = (Single::Absent, Single::Absent, Single::Absent);
        let mut connection = false;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("upgrade") {
                upgrade.add(header.value);
            } else if is("connection") {
                connection |= lists(header.value, "upgrade");
            } else if is("sec-websocket-accept") {
                accept.add(header.value);
            } else if is("sec-websocket-protocol") {
                subprotocol.add(header.value);
            }
        }
        if !matches!(upgrade, Single::Once(value) if value.eq_ignore_ascii_case(b"websocket")) {
            return Err(AnswerError::NoUpgrade);
        }
        if !connection {
            return Err(AnswerError::NoConnectionUpgrade);
        }
        if !accept.is(AcceptKey::of(BASE64_STANDARD.encode(self.key).as_bytes()).as_str()) {
            return Err(AnswerError::AcceptKey);
        }
        let extensions = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(EXTENSIONS));
        let extensions = extensions.map(|header| header.value);
        let deflate = DeflateOffer::check_values(self.deflate.as_ref(), extensions)
            .map_err(|_| AnswerError::Extension)?;
        let subprotocol = match subprotocol {
            Single::Absent => None,
            Single::Once(chosen) => {
                let offered = self.subprotocols.iter().copied().find(|name| name.as_bytes() == chosen);
                Some(offered.ok_or(AnswerError::Subprotocol)?)
            }
            Single::Repeated => return Err(AnswerError::Subprotocol),
        };
        Ok((subprotocol, deflate))
    }
}

/// Reads the head of the answer that decides, and says where it ends in `received`.
///
/// RFC 9110 section 15.2: any number of interim answers (1xx) may come before it, asked for or not. Of those 101 is
/// none (RFC 6455 section 4.1: it is the answer itself).
pub(super) fn read_final_head<'h, 'b>(
    received: &'b [u8],
    headers: &'h mut [httparse::Header<'b>; MAX_ANSWER_HEADERS],
) -> Result<Option<(httparse::Response<'h, 'b>, usize)>, AnswerError> {
    let window = &received[..received.len().min(MAX_ANSWER_HEAD_BYTES)];
    let mut begun = 0;
    loop {
        let Some(bytes) = head_bytes(&window[begun..]) else {
            return if received.len() < MAX_ANSWER_HEAD_BYTES { Ok(None) } else { Err(AnswerError::TooLong) };
        };
        let head = &window[begun..begun + bytes];
        if !is_interim(head)? {
            let mut answer = httparse::Response::new(headers);
            parse_whole(&mut answer, head)?;
            return Ok(Some((answer, begun + head.len())));
        }
        begun += head.len();
    }
}

fn is_interim(head: &[u8]) -> Result<bool, AnswerError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    parse_whole(&mut answer, head)?;
    // RFC 9110 section 15.2: HTTP/1.0 has no interim answers.
    Ok(answer.version == Some(1) && matches!(answer.code, Some(100 | 102..=199)))
}

/// A parser that finds the end elsewhere (it takes a bare LF for a line end) is not believed.
fn parse_whole<'b>(answer: &mut httparse::Response<'_, 'b>, head: &'b [u8]) -> Result<(), AnswerError> {
    match answer.parse(head) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => Ok(()),
        _ => Err(AnswerError::Malformed),
    }
}

fn is_handshake_header(name: &str) -> bool {
    let websocket = name.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("sec-websocket-"));
    websocket || ["host", "upgrade", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
