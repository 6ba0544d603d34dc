//! Which web pages may talk to this server: the Origin header against what the operator allows.

use super::host::{Host, HostName, default_port};

/// A serialised origin (RFC 6454 section 6.2): `scheme://host[:port]`, with nothing behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// As written; compares without regard to case in [`OriginRule::allows`].
    pub scheme: &'a str,
    /// Where the page came from.
    pub host: Host<'a>,
}

impl<'a> Origin<'a> {
    /// Reads one origin. `None` for `null`, for a list, and for everything else that is not one.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (scheme, host) = std::str::from_utf8(bytes).ok()?.split_once("://")?;
        is_scheme(scheme).then_some(())?;
        Some(Self { scheme, host: Host::parse(host.as_bytes())? })
    }

    fn port(&self) -> Option<u16> {
        self.host.port.or(default_port(self.scheme))
    }
}

/// Which origins may talk to this server. A request without an Origin comes from no web page, and is always
/// allowed; whoever asks must refuse a doubled Origin header before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// Development mode: `http` and `https` pages of [`Host::is_local`] hosts, with any port.
    Local,
    /// What the operator lists.
    Listed(Vec<OriginPattern>),
}

impl OriginRule {
    /// Whether a request with this value in its Origin header may be served.
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        let Some(bytes) = origin else { return true };
        match self {
            Self::Local => Origin::parse(bytes).is_some_and(|origin| {
                let web = ["http", "https"].iter().any(|scheme| origin.scheme.eq_ignore_ascii_case(scheme));
                web && origin.host.is_local()
            }),
            Self::Listed(patterns) => patterns.iter().any(|pattern| pattern.matches(bytes)),
        }
    }
}

/// One entry of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every well-formed origin, but not `null`.
    Any,
    /// `null`: pages without an origin of their own (files, sandboxed frames of *any* site).
    Null,
    /// `https://example.com`: this origin and no other.
    Exact(Box<str>),
    /// `https://*.example.com`: exactly one label before the rest. Holds `https://example.com`.
    Subdomain(Box<str>),
}

/// An entry of the allow-list that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin; write `https://example.com`, `https://*.example.com`, `null` or `*`")]
pub struct OriginPatternError(Box<str>);

impl std::str::FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || OriginPatternError(text.into());
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (scheme, host) = text.split_once("://").ok_or_else(error)?;
        if let Some(parent) = host.strip_prefix("*.") {
            let parent = format!("{scheme}://{parent}");
            let origin = Origin::parse(parent.as_bytes()).ok_or_else(error)?;
            return match origin.host.name {
                HostName::Name(_) => Ok(Self::Subdomain(parent.into())),
                _ => Err(error()),
            };
        }
        Origin::parse(text.as_bytes()).ok_or_else(error)?;
        Ok(Self::Exact(text.into()))
    }
}

impl OriginPattern {
    /// Whether the value of an Origin header is one that this entry allows.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        if bytes == b"null" {
            return *self == Self::Null;
        }
        let Some(origin) = Origin::parse(bytes) else { return false };
        match self {
            Self::Any => true,
            Self::Null => false,
            Self::Exact(listed) => {
                place(listed, &origin).is_some_and(|listed| listed.host.name == origin.host.name)
            }
            Self::Subdomain(parent) => {
                place(parent, &origin).is_some_and(|parent| is_child(origin.host.name, parent.host.name))
            }
        }
    }
}

/// `listed`, where it has the scheme and port of `origin`.
fn place<'a>(listed: &'a str, origin: &Origin<'_>) -> Option<Origin<'a>> {
    Origin::parse(listed.as_bytes())
        .filter(|listed| listed.scheme.eq_ignore_ascii_case(origin.scheme) && listed.port() == origin.port())
}

/// Whether `child` is one label, a dot and `parent`.
fn is_child(child: HostName<'_>, parent: HostName<'_>) -> bool {
    let (HostName::Name(child), HostName::Name(parent)) = (child, parent) else { return false };
    child.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(patterns: &[&str]) -> OriginRule {
        OriginRule::Listed(patterns.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(rule: &OriginRule, allowed: &[&str], refused: &[&str]) {
        for origin in allowed {
            assert!(rule.allows(Some(origin.as_bytes())), "{origin} is to be allowed");
        }
        for origin in refused {
            assert!(!rule.allows(Some(origin.as_bytes())), "{origin} is to be refused");
        }
    }

    // Rows 3 and 4.
    #[test]
    fn a_listed_origin_is_allowed_and_its_look_alikes_are_not() {
        check(
            &listed(&["https://example.com"]),
            &["https://example.com", "HTTPS://EXAMPLE.COM", "https://example.com:443"],
            &[
                "https://example.com.evil.org",
                "https://notexample.com",
                "https://www.example.com",
                "http://example.com",
                "https://example.com:8443",
                "https://example.com.",
                "https://example.com/",
                "https://example.com@evil.org",
                "https://user@example.com",
                "https://example.com#",
                "https://example.co",
                "https://evil.org?https://example.com",
                "https://example.com https://evil.org",
                "example.com",
                "//example.com",
                "://example.com",
                "null",
                "",
                "https://",
                "https:example.com",
            ],
        );
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        check(
            &listed(&["https://*.example.com"]),
            &["https://a.example.com", "https://A.Example.Com:443"],
            &[
                "https://example.com",
                "https://a.b.example.com",
                "https://aexample.com",
                "http://a.example.com",
                "https://.example.com",
                "https://a.example.com.evil.org",
                "https://a.example.com:444",
                "https://*.example.com",
                "null",
            ],
        );
        check(&listed(&["http://*.dev.test:8080"]), &["http://x.dev.test:8080"], &["http://x.dev.test"]);
    }

    // Row 4.
    #[test]
    fn null_is_refused_unless_it_is_listed() {
        check(
            &listed(&["*"]),
            &["https://any.example", "capacitor://localhost"],
            &["null", "NULL", "junk", ""],
        );
        check(&listed(&["null"]), &["null"], &["https://any.example", "Null"]);
        check(&OriginRule::Local, &[], &["null"]);
    }

    #[test]
    fn development_mode_allows_loopback_pages_only() {
        check(
            &OriginRule::Local,
            &["http://localhost", "https://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:5173"],
            &[
                "http://localhost.evil.org",
                "http://127.0.0.1.evil.org",
                "http://127.0.0.2",
                "ftp://localhost",
                "file://localhost",
                "http://evil.org",
                "http://localhost:99999",
                "http://localhost/",
            ],
        );
    }

    #[test]
    fn a_request_without_an_origin_is_no_web_page_and_is_allowed() {
        assert!(OriginRule::Local.allows(None));
        assert!(listed(&[]).allows(None));
        assert!(!listed(&[]).allows(Some(b"https://example.com")));
    }

    #[test]
    fn an_entry_that_is_no_origin_is_named_in_the_error() {
        for bad in [
            "",
            "example.com",
            "https://",
            "https://*",
            "https://*.*.com",
            "https://a.*.com",
            "https://*.",
            "*.com",
            "https://example.com/",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "NULL",
            "1https://a",
        ] {
            let error = bad.parse::<OriginPattern>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{bad}`")), "{error}");
        }
    }
}
