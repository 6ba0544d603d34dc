//! The request target: what may stand in it, and where its authority and path are.

use std::ops::Range;

use super::{Host, Refusal};

/// The form of a request target (RFC 9112 section 3.2), with offsets into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// `/path?query`.
    Origin,
    /// `http://authority/path?query`.
    Absolute { scheme: usize, authority: Range<usize> },
    /// `*`, for OPTIONS.
    Asterisk,
}

/// Finds the form of `target`, which is not empty.
pub(super) fn judge(method: &[u8], target: &[u8]) -> Result<Form, Refusal> {
    // RFC 9112 section 3.2.3: the authority form is for CONNECT alone, and CONNECT is for proxies.
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    if !target.iter().all(|&byte| is_target_byte(byte)) {
        return Err(Refusal::TargetByte);
    }
    match target {
        [b'/', ..] => Ok(Form::Origin),
        b"*" if method == b"OPTIONS" => Ok(Form::Asterisk),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<Form, Refusal> {
    let scheme = ["http", "https"]
        .iter()
        .find(|scheme| {
            target.split_at_checked(scheme.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(scheme.as_bytes()) && rest.starts_with(b"://")
            })
        })
        .map(|scheme| scheme.len())
        .ok_or(Refusal::TargetForm)?;
    let start = scheme + "://".len();
    let length =
        target[start..].iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(target.len() - start);
    let authority = start..start + length;
    // RFC 9110 section 4.2.4: user information in a request is treated as an error.
    Host::parse(&target[authority.clone()]).ok_or(Refusal::HostInvalid)?;
    Ok(Form::Absolute { scheme, authority })
}

/// What may stand in a path and a query: RFC 3986, and the brackets, braces, bars, carets, back quotes and
/// backslashes that browsers send without encoding them in queries. No fragment, and nothing outside of ASCII.
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_known_by_its_start() {
        assert_eq!(judge(b"GET", b"/a?b"), Ok(Form::Origin));
        assert_eq!(judge(b"OPTIONS", b"*"), Ok(Form::Asterisk));
        assert_eq!(judge(b"GET", b"HTTP://a:1/b"), Ok(Form::Absolute { scheme: 4, authority: 7..10 }));
        assert_eq!(judge(b"GET", b"https://a?b"), Ok(Form::Absolute { scheme: 5, authority: 8..9 }));
    }

    #[test]
    fn a_target_in_no_form_is_refused() {
        for (method, target, refusal) in [
            ("CONNECT", "a:443", Refusal::Connect),
            ("CONNECT", "/", Refusal::Connect),
            ("GET", "*", Refusal::TargetForm),
            ("OPTIONS", "*a", Refusal::TargetForm),
            ("GET", "a:443", Refusal::TargetForm),
            ("GET", "a/b", Refusal::TargetForm),
            ("GET", "ftp://a/", Refusal::TargetForm),
            ("GET", "http:/a", Refusal::TargetForm),
            ("GET", "http", Refusal::TargetForm),
            ("GET", "http:///a", Refusal::HostInvalid),
            ("GET", "http://me@a/", Refusal::HostInvalid),
            ("GET", "http://a:x/", Refusal::HostInvalid),
            ("GET", "/a#b", Refusal::TargetByte),
            ("GET", "/a\tb", Refusal::TargetByte),
            ("GET", "/a\0b", Refusal::TargetByte),
            ("GET", "/\u{e9}", Refusal::TargetByte),
            ("GET", "/\"<>", Refusal::TargetByte),
        ] {
            assert_eq!(judge(method.as_bytes(), target.as_bytes()), Err(refusal), "{method} {target}");
        }
    }
}
