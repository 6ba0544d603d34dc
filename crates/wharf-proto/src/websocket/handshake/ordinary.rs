//! An HTTP answer that opens no WebSocket: what of it can be told to whoever asked for one.

use super::client::{MAX_ANSWER_HEADERS, read_final_head};

/// What an answer with another status than 101 says of itself
/// ([`AnswerError::Status`](super::AnswerError::Status)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrdinaryAnswer<'a> {
    /// How long the head is, in bytes, interim answers counted: what follows it is the body.
    pub head_bytes: usize,
    /// HTTP's status.
    pub status: u16,
    /// How long the body is, where the head says so in the plain way.
    pub content_length: Option<usize>,
    /// The body is in a transfer coding, such as chunked, and so no plain text.
    pub is_coded: bool,
    /// Where a redirect points to.
    pub location: Option<&'a str>,
    /// RFC 6455 section 4.4: the versions of the protocol that the server speaks, where it did not speak ours.
    pub versions: Option<&'a str>,
}

impl<'a> OrdinaryAnswer<'a> {
    /// Reads the head at the start of `received`. `None`: it is not whole, is no HTTP answer, or is one of 101.
    pub fn read(received: &'a [u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
        let (answer, head_bytes) = read_final_head(received, &mut headers).ok()??;
        let status = answer.code.filter(|status| *status != 101)?;
        let find = |name: &str| {
            let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        Some(Self {
            head_bytes,
            status,
            content_length: find("content-length").and_then(|length| length.parse().ok()),
            is_coded: find("transfer-encoding").is_some(),
            location: find("location"),
            versions: find("sec-websocket-version"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_answer_says_of_itself() {
        let head =
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 13\r\nContent-Length: 5\r\n\r\n";
        let expected = OrdinaryAnswer {
            head_bytes: head.len(),
            status: 426,
            content_length: Some(5),
            is_coded: false,
            location: None,
            versions: Some("8, 13"),
        };
        let received = format!("{head}later");
        for end in 0..head.len() {
            assert_eq!(OrdinaryAnswer::read(&received.as_bytes()[..end]), None, "first {end} bytes");
        }
        assert_eq!(OrdinaryAnswer::read(received.as_bytes()), Some(expected));
    }

    #[test]
    fn reads_the_answer_behind_interim_ones() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let moved =
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://b/\r\nTransfer-Encoding: chunked\r\n\r\n";
        let received = [interim, moved].concat();
        let answer = OrdinaryAnswer::read(received.as_bytes()).expect("a whole answer");
        assert_eq!((answer.status, answer.head_bytes), (308, received.len()));
        assert_eq!((answer.location, answer.is_coded), (Some("https://b/"), true));
    }

    #[test]
    fn an_answer_that_switches_protocols_is_none() {
        assert_eq!(OrdinaryAnswer::read(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), None);
        assert_eq!(OrdinaryAnswer::read(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
    }
}
