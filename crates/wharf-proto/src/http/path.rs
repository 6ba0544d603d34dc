//! Which paths mean what they say: no way up, nothing hidden in percent-encoding.

/// Whether a router may look at `path` (as it stands on the wire, without the query). False, to be answered with
/// 404, for dot segments, backslashes, broken percent-encoding, and encoded slashes, backslashes and controls:
/// all that a router and a decoder behind it could read differently.
pub fn is_normal_path(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(is_normal_segment)
}

fn is_normal_segment(segment: &str) -> bool {
    let (mut decoded_bytes, mut only_dots) = (0, true);
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return false,
            },
            byte => byte,
        };
        if matches!(byte, b'/' | b'\\' | 0..=31 | 127) {
            return false;
        }
        decoded_bytes += 1;
        only_dots &= byte == b'.';
    }
    // RFC 3986 section 3.3: the segments `.` and `..` move; `...` is a name.
    !(only_dots && (1..=2).contains(&decoded_bytes))
}

fn hex_digit(byte: u8) -> Option<u8> {
    // `to_digit(16)` is below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_normal() {
        for path in [
            "/",
            "/connection/websocket",
            "/api/publish/",
            "/a.b/..c/...",
            "/a%20b",
            "/%C3%A9",
            "/a%2eb",
            "//",
        ] {
            assert!(is_normal_path(path), "{path}");
        }
    }

    // Row 66.
    #[test]
    fn paths_that_climb_or_hide_are_not_normal() {
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/b",
            "/.%2E/b",
            "/%2e",
            "/..%2f",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/%",
            "/%2",
            "/%zz",
            "/%+1",
            "/a\0b",
        ] {
            assert!(!is_normal_path(path), "{path:?}");
        }
    }
}
