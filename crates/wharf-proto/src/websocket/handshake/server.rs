//! The server's half of the handshake (RFC 6455 section 4.2): what a request must hold to become a WebSocket.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
};
use bytes::BytesMut;

use super::{
    AcceptKey, MAX_REQUEST_HEAD_BYTES, MAX_REQUEST_HEADERS, Single, VERSION, elements, lists, token,
};
use crate::websocket::deflate::{Agreement, DeflatePolicy, ExtensionsValue, Negotiation};

/// A key is a nonce that nobody reads: what its unused last bits hold is of no matter.
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What the server wants of a request beyond what the RFC wants.
#[derive(Clone, Copy)]
pub struct Policy<'p> {
    /// The subprotocols that the server speaks here. Of the client's list, the first of these is chosen.
    pub subprotocols: &'p [&'p str],
    /// Whether a page from this origin may connect; `None` for a request without `Origin`, which does not come
    /// from a page (RFC 6455 section 10.2). Is not asked about an origin that is repeated or not text: that is
    /// refused.
    pub origin_allowed: &'p (dyn Fn(Option<&str>) -> bool + Sync),
    /// Whether and how messages are compressed; `None` declines what the client offers.
    pub deflate: Option<DeflatePolicy<'p>>,
}

/// No subprotocol, no compression, and no pages: only programs, which send no `Origin`.
impl Default for Policy<'_> {
    fn default() -> Self {
        Self { subprotocols: &[], origin_allowed: &|origin| origin.is_none(), deflate: None }
    }
}

impl fmt::Debug for Policy<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("subprotocols", &self.subprotocols)
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}

/// A request that becomes a WebSocket. Answer it with status 101, by [`write_response`](Self::write_response) or
/// with [`headers`](Self::headers).
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted<'p> {
    accept_key: AcceptKey,
    negotiated: Negotiated<'p>,
}

impl<'p> Accepted<'p> {
    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept_key(&self) -> &str {
        self.accept_key.as_str()
    }

    /// The subprotocol that was chosen: the client offered it, and the server speaks it.
    pub fn subprotocol(&self) -> Option<&'p str> {
        self.negotiated.subprotocol
    }

    /// What was agreed on of compression (RFC 7692), if anything.
    pub fn deflate(&self) -> Option<&Agreement> {
        self.negotiated.deflate.as_ref().map(|(agreement, _)| agreement)
    }

    /// The agreement on compression, to read and write by. It holds the memory that was set aside.
    pub fn into_deflate(self) -> Option<Agreement> {
        self.negotiated.into_deflate()
    }

    /// The headers of the answer.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fixed = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", self.accept_key()),
        ];
        fixed.into_iter().chain(self.negotiated.headers())
    }

    /// Appends the whole head of the answer. The next byte belongs to the first frame.
    pub fn write_response(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in self.headers() {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What was agreed on, whatever version of HTTP carries the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Negotiated<'p> {
    pub(super) subprotocol: Option<&'p str>,
    pub(super) deflate: Option<(Agreement, ExtensionsValue)>,
}

impl Negotiated<'_> {
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let subprotocol = self.subprotocol.map(|chosen| ("Sec-WebSocket-Protocol", chosen));
        let extensions = self.deflate.as_ref().map(|(_, value)| ("Sec-WebSocket-Extensions", value.as_str()));
        subprotocol.into_iter().chain(extensions)
    }

    pub(super) fn into_deflate(self) -> Option<Agreement> {
        self.deflate.map(|(agreement, _)| agreement)
    }
}

/// Why a request does not become a WebSocket. The text is the body of the answer: what is wrong, and what would be
/// right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// RFC 6455 section 4.1, item 2: the method is GET.
    #[error("a WebSocket is opened by GET; send the handshake by this method")]
    Method,
    /// RFC 6455 section 4.1, item 2, and RFC 9110 section 7.8: HTTP/1.0 has no `Upgrade`, so it is ignored there.
    #[error(
        "this address speaks WebSocket, which needs HTTP/1.1; if the client spoke it, a proxy on the way speaks HTTP/1.0"
    )]
    HttpVersion,
    /// RFC 6455 section 4.2.1, item 3.
    #[error(
        "this address speaks WebSocket: ask for it with the headers Upgrade: websocket and Connection: Upgrade; \
         if the client sent them, a proxy on the way removes them"
    )]
    NoUpgrade,
    /// RFC 6455 section 4.2.1, item 4. Often a proxy removed it, so that falling back to HTTP is the way on.
    #[error(
        "the header Connection: Upgrade is missing; if the client sent it, a proxy on the way removes it"
    )]
    NoConnectionUpgrade,
    /// RFC 6455 section 4.2.1, item 2.
    #[error("a request has exactly one Host header; send the one of the URL")]
    Host,
    /// RFC 6455 section 4.4: the answer names the versions that the server speaks.
    #[error("the WebSocket version must be 13: send one header Sec-WebSocket-Version: 13")]
    Version,
    /// RFC 6455 section 4.2.1, item 5.
    #[error("the header Sec-WebSocket-Key is missing; send base64 of 16 random bytes")]
    KeyMissing,
    /// RFC 6455 section 11.3.1: the header must not appear more than once.
    #[error("the header Sec-WebSocket-Key stands there more than once; send it once")]
    KeyRepeated,
    /// RFC 6455 section 4.2.1, item 5.
    #[error("the header Sec-WebSocket-Key must be base64 of 16 bytes")]
    KeyInvalid,
    /// RFC 6455 section 4.2.2, item 4: an origin that the server does not accept is answered with 403.
    #[error("pages from this origin may not connect; the server's configuration lists the origins that may")]
    Origin,
    /// RFC 6455 section 11.3.4: a subprotocol's name is a token.
    #[error("the header Sec-WebSocket-Protocol must be a comma-separated list of ASCII tokens")]
    Subprotocol,
    /// RFC 6455 section 9.1: whoever receives a list of extensions that is none fails the connection. Looked at
    /// only with [`Policy::deflate`].
    #[error("the header Sec-WebSocket-Extensions must be a list such as: permessage-deflate; name=value")]
    Extensions,
    /// The head did not end within [`MAX_REQUEST_HEAD_BYTES`], or has more than [`MAX_REQUEST_HEADERS`] headers. Only
    /// [`Request::read`](super::Request::read) says so, like the two that follow.
    #[error(
        "the head of the request is longer than {MAX_REQUEST_HEAD_BYTES} bytes or {MAX_REQUEST_HEADERS} headers"
    )]
    HeadTooLong,
    /// RFC 9112 section 3: the bytes are no request of HTTP/1.
    #[error("this address speaks WebSocket, and what came is no HTTP/1.1 request")]
    Malformed,
    /// RFC 6455 section 4.1: what follows the request are frames, so there is no place for a body.
    #[error("a WebSocket handshake has no body; send none")]
    Body,
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion | Self::NoUpgrade | Self::NoConnectionUpgrade | Self::Version => 426,
            Self::Host | Self::KeyMissing | Self::KeyRepeated | Self::KeyInvalid => 400,
            Self::Subprotocol | Self::Extensions | Self::Malformed | Self::Body => 400,
            Self::Origin => 403,
            Self::HeadTooLong => 431,
        }
    }

    /// Whether a proxy that does not let WebSocket through may have made the request what it is. A client that
    /// gets this answer should fall back to plain HTTP, and whoever answers may say at which address.
    pub fn suggests_fallback(self) -> bool {
        matches!(self, Self::HttpVersion | Self::NoUpgrade | Self::NoConnectionUpgrade)
    }

    /// The headers that belong to the status, beside those of any answer with a body.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 9110 section 15.5.6.
            Self::Method => &[("Allow", "GET")],
            // RFC 9110 section 15.5.22: a 426 says what to upgrade to, and section 7.8: beside `Connection`.
            _ if self.status() == 426 => {
                &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", VERSION)]
            }
            _ => &[],
        }
    }
}

impl Refusal {
    /// The whole answer, with its text as the body. Write it, then close the connection.
    pub fn response(self) -> Vec<u8> {
        let body = format!("{self}\n");
        let reason = match self.status() {
            403 => "Forbidden",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            _ => "Bad Request",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status());
        let mut connection = "close".to_owned();
        for (name, value) in self.headers() {
            match *name {
                // RFC 9110 section 7.6.1: one list of options.
                "Connection" => connection = format!("{value}, close"),
                name => head += &format!("{name}: {value}\r\n"),
            }
        }
        head += &format!("Connection: {connection}\r\nContent-Type: text/plain; charset=utf-8\r\n");
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        (head + &body).into_bytes()
    }
}

/// Judges a request for a WebSocket: its method, the `x` of its HTTP/1.x, and its headers, as an HTTP parser read
/// them. Takes time linear in the headers' length.
///
/// Does not look at the target, nor at what `Host` says: these are the caller's, who knows what is served where.
/// Of the extensions that the client offers, permessage-deflate is taken up if the policy has it. Bytes that came
/// after the head are frames only if the request is accepted.
pub fn accept<'h, 'p>(
    method: &str,
    minor_version: u8,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    policy: &Policy<'p>,
) -> Result<Accepted<'p>, Refusal> {
    if method != "GET" {
        return Err(Refusal::Method);
    }
    if minor_version == 0 {
        return Err(Refusal::HttpVersion);
    }
    let fields = Fields::gather(headers, policy);
    if !fields.upgrade {
        return Err(Refusal::NoUpgrade);
    }
    if !fields.connection {
        return Err(Refusal::NoConnectionUpgrade);
    }
    if !matches!(fields.host, Single::Once(_)) {
        return Err(Refusal::Host);
    }
    if !fields.version.is(VERSION) {
        return Err(Refusal::Version);
    }
    let accept_key = accept_key(fields.key)?;
    Ok(Accepted { accept_key, negotiated: fields.negotiate(policy)? })
}

fn accept_key(key: Single<'_>) -> Result<AcceptKey, Refusal> {
    let key = match key {
        Single::Absent => return Err(Refusal::KeyMissing),
        Single::Repeated => return Err(Refusal::KeyRepeated),
        Single::Once(key) => key,
    };
    // 24 characters are base64 of 16 to 18 bytes. The length is checked first, so nothing long is decoded.
    let mut decoded = [0; 18];
    match key.len() {
        24 if KEY_BASE64.decode_slice(key, &mut decoded) == Ok(16) => Ok(AcceptKey::of(key)),
        _ => Err(Refusal::KeyInvalid),
    }
}

fn is_origin_allowed(origin: Single<'_>, policy: &Policy<'_>) -> bool {
    match origin {
        Single::Absent => (policy.origin_allowed)(None),
        Single::Once(origin) => {
            std::str::from_utf8(origin).is_ok_and(|text| (policy.origin_allowed)(Some(text)))
        }
        Single::Repeated => false,
    }
}

/// What the headers say, gathered in one pass.
pub(super) struct Fields<'h, 'p> {
    upgrade: bool,
    connection: bool,
    pub(super) host: Single<'h>,
    pub(super) version: Single<'h>,
    key: Single<'h>,
    origin: Single<'h>,
    subprotocol: Option<&'p str>,
    subprotocols_valid: bool,
    extensions: Negotiation<'p>,
}

impl<'h, 'p> Fields<'h, 'p> {
    pub(super) fn gather(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        policy: &Policy<'p>,
    ) -> Self {
        let mut fields = Self {
            upgrade: false,
            connection: false,
            host: Single::Absent,
            version: Single::Absent,
            key: Single::Absent,
            origin: Single::Absent,
            subprotocol: None,
            subprotocols_valid: true,
            extensions: Negotiation::new(policy.deflate),
        };
        for (name, value) in headers {
            let is = |header: &str| name.eq_ignore_ascii_case(header);
            if is("upgrade") {
                fields.upgrade |= lists(value, "websocket");
            } else if is("connection") {
                fields.connection |= lists(value, "upgrade");
            } else if is("host") {
                fields.host.add(value);
            } else if is("sec-websocket-version") {
                fields.version.add(value);
            } else if is("sec-websocket-key") {
                fields.key.add(value);
            } else if is("origin") {
                fields.origin.add(value);
            } else if is("sec-websocket-protocol") {
                fields.offer(value, policy.subprotocols);
            } else if is("sec-websocket-extensions") {
                fields.extensions.add(value);
            }
        }
        fields
    }

    /// What is agreed on by headers that are the same in every version of HTTP.
    pub(super) fn negotiate(self, policy: &Policy<'p>) -> Result<Negotiated<'p>, Refusal> {
        if !is_origin_allowed(self.origin, policy) {
            return Err(Refusal::Origin);
        }
        if !self.subprotocols_valid {
            return Err(Refusal::Subprotocol);
        }
        // Last, so that memory is set aside for nobody who is refused.
        let deflate = self.extensions.finish().map_err(|_| Refusal::Extensions)?;
        Ok(Negotiated { subprotocol: self.subprotocol, deflate })
    }

    /// RFC 6455 section 4.1, item 10: the client's list is in the order of its preference. Section 11.3.4: it may
    /// be spread over several headers.
    fn offer(&mut self, value: &[u8], supported: &[&'p str]) {
        for element in elements(value) {
            match token(element) {
                None => self.subprotocols_valid = false,
                Some(name) if self.subprotocol.is_none() => {
                    self.subprotocol = supported.iter().copied().find(|known| *known == name);
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
