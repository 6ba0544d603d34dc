//! Where a server is: `http://127.0.0.1:8000`, `ws://host:8000/path`, `tcp://host:8000`, `unix:/run/wharf.sock`.

use std::{fmt, path::PathBuf, str::FromStr};

/// A server's address, as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// What the address asks for.
    pub scheme: Scheme,
    /// Where to dial.
    pub endpoint: Endpoint,
    /// Path and query, if the address holds more than `/`.
    pub target: Option<String>,
}

/// What an address asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http://`: any transport that begins with HTTP.
    Http,
    /// `ws://`
    Websocket,
    /// `tcp://`, `unix:`: JSON lines, unless a transport is asked for by name.
    Lines,
}

/// Where to dial. Every endpoint of a server speaks every protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host, which may be a name, and a port.
    Tcp {
        /// Without brackets, also where it is an IPv6 address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix path.
    Unix(PathBuf),
}

impl Endpoint {
    /// The value of the header `Host`.
    pub fn host(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { .. } => formatter.write_str(&self.host()),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// An address that cannot be used; the text says the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(pub(crate) String);

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(AddressError(
                    "the path after `unix:` is empty; write unix:/run/wharf.sock".to_owned(),
                ));
            }
            return Ok(Self { scheme: Scheme::Lines, endpoint: Endpoint::Unix(path.into()), target: None });
        }
        let mend = || {
            AddressError(format!("{text:?} has no scheme; write http://{text}, ws://, tcp:// or unix:/path"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(mend)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, Some(80)),
            "ws" => (Scheme::Websocket, Some(80)),
            "tcp" => (Scheme::Lines, None),
            secure @ ("https" | "wss") => {
                let plain = if secure == "https" { "http" } else { "ws" };
                return Err(AddressError(format!(
                    "this client does not speak TLS; use {plain}://{rest}, which a server with TLS answers on the same \
                     port"
                )));
            }
            other => {
                return Err(AddressError(format!(
                    "unknown scheme {other:?}; write http://, ws://, tcp:// or unix:/path"
                )));
            }
        };
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let target = match target {
            "" | "/" => None,
            query if query.starts_with('?') => Some(format!("/{query}")),
            path => Some(path.to_owned()),
        };
        let authority: http::uri::Authority = authority.parse().map_err(|_| {
            AddressError(format!("{authority:?} is not a host and port; write 127.0.0.1:8000"))
        })?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().or(default_port);
        let port =
            port.ok_or_else(|| AddressError(format!("{text:?} has no port; write tcp://{host}:8000")))?;
        Ok(Self { scheme, endpoint: Endpoint::Tcp { host, port }, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn reads_every_form() {
        for (text, scheme, endpoint, target) in [
            ("http://127.0.0.1:8000", Scheme::Http, tcp("127.0.0.1", 8000), None),
            ("http://example.com/", Scheme::Http, tcp("example.com", 80), None),
            ("HTTP://[::1]:8000/events?channel=a", Scheme::Http, tcp("::1", 8000), Some("/events?channel=a")),
            ("ws://h:1?format=json", Scheme::Websocket, tcp("h", 1), Some("/?format=json")),
            ("tcp://h:1", Scheme::Lines, tcp("h", 1), None),
            ("unix:/run/w.sock", Scheme::Lines, Endpoint::Unix("/run/w.sock".into()), None),
        ] {
            let target = target.map(str::to_owned);
            assert_eq!(text.parse(), Ok(ServerAddress { scheme, endpoint, target }), "{text}");
        }
        assert_eq!(tcp("::1", 8000).host(), "[::1]:8000");
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (text, mend) in [
            ("127.0.0.1:8000", "write http://127.0.0.1:8000"),
            ("wss://h/x", "use ws://h/x"),
            ("ftp://h", "unknown scheme \"ftp\""),
            ("tcp://h", "write tcp://h:8000"),
            ("http://", "is not a host and port"),
            ("unix:", "unix:/run/wharf.sock"),
        ] {
            let error = text.parse::<ServerAddress>().expect_err("an error").to_string();
            assert!(error.contains(mend), "{error}");
        }
    }
}
