//! Where a socket is, as a person writes it: `tcp://host:7000`, `tls://host:7443`, `udp://host:7000`,
//! `unix:/run/meter.sock`.

use std::{fmt, path::Path, str::FromStr};

use crate::client::address::{AddressError, Endpoint};

/// A transport and a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What carries the bytes.
    pub transport: Transport,
    /// Where to dial or to listen: a path for [`Transport::Unix`], a host and a port for the others.
    pub endpoint: Endpoint,
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream over TCP.
    Tcp,
    /// A stream over TLS 1.2 or 1.3 over TCP.
    Tls,
    /// Datagrams.
    Udp,
    /// A stream over a Unix path.
    Unix,
}

impl Transport {
    /// The name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Unix => "unix",
        }
    }
}

impl Address {
    /// The Unix path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.endpoint {
            Endpoint::Unix(path) => Some(path),
            Endpoint::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Unix(_) => self.endpoint.fmt(formatter),
            Endpoint::Tcp { .. } => write!(formatter, "{}://{}", self.transport.name(), self.endpoint),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(AddressError(
                    "the path after `unix:` is empty; write unix:/run/meter.sock".into(),
                ));
            }
            return Ok(Self { transport: Transport::Unix, endpoint: Endpoint::Unix(path.into()) });
        }
        let Some((scheme, place)) = text.split_once("://") else {
            let mend = format!("{text:?} has no scheme; write tcp://{text}, tls://, udp:// or unix:/path");
            return Err(AddressError(mend));
        };
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => Transport::Tcp,
            "tls" | "ssl" => Transport::Tls,
            "udp" => Transport::Udp,
            "http" | "https" | "ws" | "wss" => {
                let mend = format!("{scheme}:// is more than a socket; use wharf::client for it");
                return Err(AddressError(mend));
            }
            other => {
                let mend = format!("unknown scheme {other:?}; write tcp://, tls://, udp:// or unix:/path");
                return Err(AddressError(mend));
            }
        };
        let (host, port) = host_and_port(scheme, place.strip_suffix('/').unwrap_or(place))?;
        Ok(Self { transport, endpoint: Endpoint::Tcp { host, port } })
    }
}

/// Takes `host:port` apart; an IPv6 address stands in brackets.
fn host_and_port(scheme: &str, place: &str) -> Result<(String, u16), AddressError> {
    let unreadable =
        || AddressError(format!("{place:?} is not a host and port; write {scheme}://127.0.0.1:7000"));
    let portless = || AddressError(format!("{place:?} has no port; write {scheme}://{place}:7000"));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(unreadable)?;
            (host, rest.strip_prefix(':').ok_or_else(portless)?)
        }
        None => place.rsplit_once(':').ok_or_else(portless)?,
    };
    let bare_ipv6 = host.contains(':') && !place.starts_with('[');
    if bare_ipv6 {
        return Err(AddressError(format!(
            "an IPv6 address stands in brackets: write {scheme}://[{place}]:7000"
        )));
    }
    let strange = |character: char| character.is_whitespace() || "/?#@[]".contains(character);
    if host.is_empty() || host.contains(strange) {
        return Err(unreadable());
    }
    let port = port.parse().map_err(|_| {
        AddressError(format!(
            "{port:?} is no port: a number from 1 to 65535, or 0 to listen on any that is free"
        ))
    })?;
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_writes_it_again() {
        for (text, transport, host, port) in [
            ("tcp://127.0.0.1:7000", Transport::Tcp, "127.0.0.1", 7000),
            ("tls://meter.example:7443", Transport::Tls, "meter.example", 7443),
            ("udp://[::1]:5", Transport::Udp, "::1", 5),
            ("tcp://localhost:0", Transport::Tcp, "localhost", 0),
        ] {
            let endpoint = Endpoint::Tcp { host: host.to_owned(), port };
            let address = Address { transport, endpoint };
            assert_eq!(text.parse(), Ok(address.clone()));
            assert_eq!(address.to_string(), text);
        }
        for text in ["unix:/run/meter.sock", "unix:///run/meter.sock"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.path().unwrap().to_str(), Some("/run/meter.sock"));
            assert_eq!(address.to_string(), "unix:/run/meter.sock");
        }
        assert_eq!("TCP://h:1/".parse::<Address>().unwrap().to_string(), "tcp://h:1");
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (text, mend) in [
            ("127.0.0.1:7000", "write tcp://127.0.0.1:7000"),
            ("tcp://h", "write tcp://h:7000"),
            ("tcp://[::1]", "has no port"),
            ("tcp://::1:7000", "stands in brackets"),
            ("tcp://:7000", "is not a host and port"),
            ("tcp://h:70000", "\"70000\" is no port"),
            ("tcp://h/x:1", "is not a host and port"),
            ("ws://h:1", "use wharf::client"),
            ("ftp://h:1", "unknown scheme \"ftp\""),
            ("unix:", "write unix:/run/meter.sock"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(mend), "{text}: {error}");
        }
    }
}
