//! The server's half of the handshake over HTTP/2 (RFC 8441 section 5): an extended CONNECT request whose stream
//! becomes a WebSocket. There is no `Upgrade`, and nothing to prove by a key.

use super::{
    Policy, Refusal, Single, VERSION,
    server::{Fields, Negotiated},
};
use crate::websocket::deflate::Agreement;

/// The pseudo-headers of an extended CONNECT request, beside `:path`, which the caller looks up.
#[derive(Debug, Clone, Copy)]
pub struct ConnectHead<'h> {
    /// `:protocol`.
    pub protocol: &'h str,
    /// `:scheme`.
    pub scheme: Option<&'h str>,
    /// `:authority`.
    pub authority: Option<&'h str>,
}

impl ConnectHead<'_> {
    /// Whether a WebSocket is asked for, and not another protocol.
    pub fn is_websocket(&self) -> bool {
        // RFC 9110 section 16.7: names of protocols are compared without regard to case.
        self.protocol.eq_ignore_ascii_case("websocket")
    }
}

/// An extended CONNECT request that becomes a WebSocket. Answer it with status 200 and [`headers`](Self::headers).
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedConnect<'p>(Negotiated<'p>);

impl<'p> AcceptedConnect<'p> {
    /// The subprotocol that was chosen: the client offered it, and the server speaks it.
    pub fn subprotocol(&self) -> Option<&'p str> {
        self.0.subprotocol
    }

    /// The agreement on compression, to read and write by. It holds the memory that was set aside.
    pub fn into_deflate(self) -> Option<Agreement> {
        self.0.into_deflate()
    }

    /// The headers of the answer.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.headers()
    }
}

/// Why an extended CONNECT request does not become a WebSocket. The text is the body of the answer: what is wrong,
/// and what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectRefusal {
    /// RFC 9220 section 3: a `:protocol` that is not supported is answered with 501.
    #[error("this :protocol is not served; CONNECT opens a WebSocket with :protocol websocket")]
    Protocol,
    /// RFC 8441 section 5: `http` stands for `ws`, and `https` for `wss`.
    #[error("the :scheme of a WebSocket over HTTP/2 is http or https")]
    Scheme,
    /// RFC 8441 section 4 with RFC 9113 section 8.3.1: the request says which host it means.
    #[error("the request names no host, or two; send :authority")]
    Authority,
    /// What is wrong with the headers.
    #[error(transparent)]
    Handshake(#[from] Refusal),
}

impl ConnectRefusal {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Protocol => 501,
            Self::Scheme | Self::Authority => 400,
            // RFC 9113 section 8.6: HTTP/2 has no `Upgrade`, which a 426 must name.
            Self::Handshake(refusal) if refusal.status() == 426 => 400,
            Self::Handshake(refusal) => refusal.status(),
        }
    }

    /// The headers that belong to the status, beside those of any answer with a body.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 6455 section 4.4.
            Self::Handshake(Refusal::Version) => &[("sec-websocket-version", VERSION)],
            _ => &[],
        }
    }
}

/// Judges an extended CONNECT request for a WebSocket by its pseudo-headers and headers, as an HTTP/2 library read
/// them. Subprotocols, extensions and the origin are agreed on as by [`accept`](super::accept).
///
/// RFC 8441 section 5: `Sec-WebSocket-Key` is not looked at, for the stream itself is the proof that both sides mean
/// a WebSocket. Does not look at the path, nor at what the authority says: these are the caller's.
pub fn accept_connect<'h, 'p>(
    head: ConnectHead<'_>,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    policy: &Policy<'p>,
) -> Result<AcceptedConnect<'p>, ConnectRefusal> {
    if !head.is_websocket() {
        return Err(ConnectRefusal::Protocol);
    }
    let fields = Fields::gather(headers, policy);
    if head.authority.is_none_or(str::is_empty) && !matches!(fields.host, Single::Once(_)) {
        return Err(ConnectRefusal::Authority);
    }
    if head.scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(ConnectRefusal::Scheme);
    }
    if !fields.version.is(VERSION) {
        return Err(Refusal::Version.into());
    }
    Ok(AcceptedConnect(fields.negotiate(policy)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: ConnectHead<'static> =
        ConnectHead { protocol: "websocket", scheme: Some("https"), authority: Some("example.com") };

    fn check<'h>(
        head: ConnectHead<'_>,
        headers: &[(&'h str, &'h [u8])],
    ) -> Result<AcceptedConnect<'static>, ConnectRefusal> {
        let policy = Policy {
            subprotocols: &["chat", "centrifuge-json"],
            origin_allowed: &|origin| origin.is_none_or(|origin| origin == "https://example.com"),
            deflate: None,
        };
        accept_connect(head, headers.iter().copied(), &policy)
    }

    fn check_headers<'h>(
        headers: &[(&'h str, &'h [u8])],
    ) -> Result<AcceptedConnect<'static>, ConnectRefusal> {
        let version = ("sec-websocket-version", &b"13"[..]);
        check(HEAD, &[&[version], headers].concat())
    }

    #[test]
    fn accepts_the_request_of_the_rfc() {
        // RFC 8441 section 5.1.
        let accepted = check_headers(&[
            ("sec-websocket-protocol", b"chat, superchat"),
            ("sec-websocket-extensions", b"permessage-deflate"),
            ("origin", b"https://example.com"),
        ])
        .unwrap();
        assert_eq!(accepted.subprotocol(), Some("chat"));
        assert_eq!(accepted.headers().collect::<Vec<_>>(), [("Sec-WebSocket-Protocol", "chat")]);
        assert!(accepted.into_deflate().is_none(), "the policy has none");
    }

    #[test]
    fn a_key_is_neither_needed_nor_looked_at() {
        assert!(check_headers(&[]).is_ok());
        assert!(check_headers(&[("sec-websocket-key", b"x"), ("sec-websocket-key", b"y")]).is_ok());
    }

    // Row 2.
    #[test]
    fn another_version_is_told_the_right_one_without_an_upgrade() {
        for versions in [&[][..], &[&b"12"[..]], &[b"99"], &[b"13", b"13"]] {
            let headers: Vec<_> =
                versions.iter().map(|version| ("sec-websocket-version", *version)).collect();
            let refusal = check(HEAD, &headers).unwrap_err();
            assert_eq!(refusal, ConnectRefusal::Handshake(Refusal::Version));
            assert_eq!(refusal.status(), 400, "a 426 must name an Upgrade");
            assert_eq!(refusal.headers(), [("sec-websocket-version", "13")]);
        }
    }

    #[test]
    fn other_protocols_schemes_and_requests_without_a_host_are_refused() {
        let version = [("sec-websocket-version", &b"13"[..])];
        for (head, expected, status) in [
            (ConnectHead { protocol: "connect-udp", ..HEAD }, ConnectRefusal::Protocol, 501),
            (ConnectHead { protocol: "", ..HEAD }, ConnectRefusal::Protocol, 501),
            (ConnectHead { scheme: Some("wss"), ..HEAD }, ConnectRefusal::Scheme, 400),
            (ConnectHead { authority: None, ..HEAD }, ConnectRefusal::Authority, 400),
            (ConnectHead { authority: Some(""), ..HEAD }, ConnectRefusal::Authority, 400),
        ] {
            let refusal = check(head, &version).unwrap_err();
            assert_eq!((refusal, refusal.status()), (expected, status));
            assert_eq!(refusal.headers(), []);
        }
        assert!(check(ConnectHead { protocol: "WebSocket", ..HEAD }, &version).is_ok());
        let host = [version[0], ("host", &b"example.com"[..])];
        assert!(check(ConnectHead { authority: None, scheme: None, ..HEAD }, &host).is_ok());
    }

    // Rows 3, 4, 8 and 9.
    #[test]
    fn origins_and_subprotocols_are_judged_as_over_http_1() {
        let refused = |headers: &[(&'static str, &'static [u8])]| check_headers(headers).unwrap_err();
        for origin in [&b"null"[..], b"https://example.com.evil", b"\xff"] {
            let refusal = refused(&[("origin", origin)]);
            assert_eq!((refusal, refusal.status()), (Refusal::Origin.into(), 403));
        }
        let refusal = refused(&[("sec-websocket-protocol", b"\xc3\xa4")]);
        assert_eq!((refusal, refusal.status()), (Refusal::Subprotocol.into(), 400));
        let unknown = check_headers(&[("sec-websocket-protocol", b"mqtt")]).unwrap();
        assert_eq!((unknown.subprotocol(), unknown.headers().count()), (None, 0));
    }
}
