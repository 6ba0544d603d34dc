//! The host a request is for: a name or an address, and perhaps a port.

use core::net::{Ipv4Addr, Ipv6Addr};

/// A parsed `host[:port]`, as in the Host header, a URL or an Origin. Names compare without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// Without the port.
    pub name: HostName<'a>,
    /// `None` where none is written.
    pub port: Option<u16>,
}

/// The host without its port.
#[derive(Debug, Clone, Copy, Eq)]
#[allow(missing_docs)]
pub enum HostName<'a> {
    /// Labels of letters, digits, `-` and `_`, as written (perhaps with the root's dot at the end).
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// RFC 1035 section 2.3.4: the most bytes of a name, without the root's dot.
const NAME_BYTES: usize = 253;
/// RFC 1035 section 2.3.4: the most bytes of a label.
const LABEL_BYTES: usize = 63;

impl<'a> Host<'a> {
    /// Reads `host[:port]`. `None` for anything else: user information, percent-encoding, zone identifiers, an
    /// empty host or port, and the numbers that some parsers read as IPv4 (`127.1`, `0x7f.0.0.1`).
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return None,
            };
            return Some(Self { name: HostName::V6(address.parse().ok()?), port });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (text, None),
        };
        Some(Self { name: parse_name(name)?, port })
    }

    /// The rule of development mode: only `localhost`, `127.0.0.1` and `[::1]`, with any port. A foreign name
    /// that resolves to this machine (DNS rebinding) is not local.
    pub fn is_local(&self) -> bool {
        match self.name {
            HostName::Name(name) => name.eq_ignore_ascii_case("localhost"),
            HostName::V4(address) => address == Ipv4Addr::LOCALHOST,
            HostName::V6(address) => address == Ipv6Addr::LOCALHOST,
        }
    }

    /// Whether both name the same place for a URL of this scheme: a port that isn't written is the scheme's own.
    pub fn is_same_for(&self, scheme: &str, other: &Host<'_>) -> bool {
        let default = default_port(scheme);
        self.name == other.name && self.port.or(default) == other.port.or(default)
    }
}

impl PartialEq for HostName<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => one.eq_ignore_ascii_case(two),
            (Self::V4(one), Self::V4(two)) => one == two,
            (Self::V6(one), Self::V6(two)) => one == two,
            _ => false,
        }
    }
}

/// The port that a URL of this scheme means without saying so.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") {
        Some(443)
    } else {
        None
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a sign, and RFC 3986 section 3.2.3 does not.
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn parse_name(text: &str) -> Option<HostName<'_>> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    if labels.len() > NAME_BYTES || !labels.as_bytes().split(|byte| *byte == b'.').all(is_label) {
        return None;
    }
    let last = &labels[labels.as_bytes().iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1)..];
    // A name whose last label is a number is an IPv4 address or nothing (WHATWG URL, "ends in a number").
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").or(last.strip_prefix("0X")).is_some_and(is_hexadecimal);
    if numeric { text.parse().ok().map(HostName::V4) } else { Some(HostName::Name(text)) }
}

fn is_label(label: &[u8]) -> bool {
    (1..=LABEL_BYTES).contains(&label.len())
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> bool {
        Host::parse(text.as_bytes()).is_some_and(|host| host.is_local())
    }

    #[test]
    fn names_and_addresses_are_read_with_and_without_port() {
        assert_eq!(
            Host::parse(b"example.com:8000"),
            Some(Host { name: HostName::Name("EXAMPLE.com"), port: Some(8000) })
        );
        assert_eq!(
            Host::parse(b"10.0.0.1"),
            Some(Host { name: HostName::V4(Ipv4Addr::new(10, 0, 0, 1)), port: None })
        );
        assert_eq!(
            Host::parse(b"[2001:db8::1]:443"),
            Some(Host { name: HostName::V6("2001:db8::1".parse().unwrap()), port: Some(443) })
        );
        for good in ["a", "a_b.internal", "xn--bcher-kva.example", "example.com.", "1.example", "0x1.example"]
        {
            assert!(Host::parse(good.as_bytes()).is_some(), "{good}");
        }
    }

    // Row 59.
    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = "a.".repeat(130);
        for bad in [
            "",
            ".",
            ":80",
            "a:",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:8o",
            "a b",
            "a/b",
            "a@b",
            "user:pw@a",
            "a..b",
            ".a",
            "a%2eb",
            "a,b",
            "a:1:2",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[127.0.0.1]",
            "127.1",
            "2130706433",
            "0x7f.0.0.0x1",
            "0x7f000001",
            "256.0.0.1",
            "010.0.0.1",
            "1.2.3.4.5",
            "127.0.0.1.",
            "h\u{e9}",
            "a\0",
            "a?b",
            "a#b",
            &long_label,
            &long_name,
        ] {
            assert_eq!(Host::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Host::parse(b"\xff"), None);
    }

    // Rows 3 and 4: a page under a foreign name that resolves to the loopback address gets nothing.
    #[test]
    fn only_the_three_loopback_names_are_local() {
        for good in ["localhost", "LocalHost:1", "127.0.0.1:65535", "[::1]", "[0:0:0:0:0:0:0:1]:80"] {
            assert!(local(good), "{good}");
        }
        for bad in [
            "localhost.evil.org",
            "evil.localhost",
            "localhost.",
            "127.0.0.2",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "notlocalhost",
            "rebind.example:8000",
        ] {
            assert!(!local(bad), "{bad}");
        }
    }

    #[test]
    fn the_schemes_own_port_may_be_left_out() {
        let (bare, written) = (Host::parse(b"a").unwrap(), Host::parse(b"A:80").unwrap());
        assert!(bare.is_same_for("http", &written));
        assert!(!bare.is_same_for("https", &written));
        assert!(!bare.is_same_for("other", &written));
    }
}
