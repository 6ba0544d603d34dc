//! HTTP/1.1 as far as the generator speaks it: requests with a body, and answers read from bytes.

use std::borrow::Cow;

use anyhow::{Context as _, bail};
use memchr::memmem;

/// The most headers of an answer. LIMITS.md: `MOST_HEADERS`.
const MOST_HEADERS: usize = 64;

/// The head of a POST whose body is JSON. `headers` are whole lines.
pub fn post(path: &str, host: &str, headers: &str, body_bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {body_bytes}\r\n\r\n"
    )
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Known(usize),
    Chunked,
    /// With the connection's end.
    Unknown,
}

/// What stands before a body.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub length: Length,
    /// `Wharf-Session` and `Wharf-Seq`.
    pub session: Option<String>,
    pub seq: Option<String>,
    pub bytes: usize,
}

impl Head {
    /// Reads the head of an answer; `None` if it is not whole yet.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(end) =
            answer.parse(bytes).context("the server's answer is not HTTP")?
        else {
            return Ok(None);
        };
        let status = answer.code.unwrap_or(0);
        // RFC 9110 section 15.3.5: an answer with 204 has no body.
        let length = if status == 204 { Length::Known(0) } else { Length::Unknown };
        let mut head = Self { status, length, session: None, seq: None, bytes: end };
        for header in answer.headers.iter() {
            let value = || std::str::from_utf8(header.value).map(|value| value.trim().to_owned());
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    head.length =
                        Length::Known(value()?.parse().context("the length of an answer is no number")?);
                }
                "transfer-encoding" => head.length = Length::Chunked,
                "wharf-session" => head.session = Some(value()?),
                "wharf-seq" => head.seq = Some(value()?),
                _ => {}
            }
        }
        Ok(Some(head))
    }
}

/// One chunk of a chunked body (RFC 9112 section 7.1).
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Empty in the last chunk.
    pub data: &'a [u8],
    pub bytes: usize,
}

impl<'a> Chunk<'a> {
    /// The first chunk; `None` if it is not whole yet. Trailers are not read.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let (begin, length) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => bail!("the server sent a chunk without a size"),
        };
        let length = usize::try_from(length).context("a chunk is longer than memory")?;
        let end = begin.saturating_add(length);
        let Some(after) = bytes.get(end..end.saturating_add(2)) else { return Ok(None) };
        if after != b"\r\n" {
            bail!("a chunk does not end where its size says");
        }
        Ok(Some(Self { data: &bytes[begin..end], bytes: end + 2 }))
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer<'a> {
    pub head: Head,
    pub body: Cow<'a, [u8]>,
    /// The bytes of both.
    pub bytes: usize,
}

impl<'a> Answer<'a> {
    /// Reads the first answer; `None` if it is not whole yet.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let Some(head) = Head::parse(bytes)? else { return Ok(None) };
        let rest = &bytes[head.bytes..];
        let (body, length) = match head.length {
            Length::Known(length) => match rest.get(..length) {
                Some(body) => (Cow::Borrowed(body), length),
                None => return Ok(None),
            },
            Length::Chunked => match join_chunks(rest)? {
                Some((body, length)) => (Cow::Owned(body), length),
                None => return Ok(None),
            },
            Length::Unknown => bail!("an answer of the server's does not say how long it is"),
        };
        let bytes = head.bytes + length;
        Ok(Some(Self { head, body, bytes }))
    }

    /// Fails with what the server said, unless it said yes.
    pub fn accepted(&self) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&self.body);
        match self.head.status {
            200 | 204 if memmem::find(&self.body, b"\"error\":{").is_none() => Ok(()),
            200 | 204 => bail!("the server refused a request: {text}"),
            401 => bail!("the server wants an API key, or another: give --api-key ({text})"),
            status => bail!("the server refused a request with status {status}: {text}"),
        }
    }
}

fn join_chunks(bytes: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(chunk) = Chunk::parse(&bytes[at..])? {
        at += chunk.bytes;
        if chunk.data.is_empty() {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(chunk.data);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[u8] =
        b"HTTP/1.1 200 OK\r\nWharf-Session: s\r\nwharf-seq: 4\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_whole_only_with_its_last_byte() {
        for text in [KNOWN, CHUNKED] {
            for cut in 0..text.len() {
                assert!(Answer::parse(&text[..cut]).expect("a begin").is_none(), "cut at {cut}");
            }
            let more = [text, b"HTTP"].concat();
            let answer = Answer::parse(&more).expect("an answer").expect("a whole one");
            assert_eq!((answer.body.as_ref(), answer.bytes), (b"hello".as_slice(), text.len()));
        }
        let head = Head::parse(KNOWN).expect("a head").expect("a whole one");
        assert_eq!((head.session.as_deref(), head.seq.as_deref()), (Some("s"), Some("4")));
    }

    #[test]
    fn refusals_are_told_with_the_mend() {
        let refusal = |text: &str| {
            let answer = Answer::parse(text.as_bytes()).expect("an answer").expect("a whole one");
            answer.accepted().expect_err("a refusal").to_string()
        };
        assert!(refusal("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").contains("--api-key"));
        assert!(
            refusal("HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"error\":{\"code\":102}}")
                .contains("102")
        );
        let empty =
            Answer::parse(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer").expect("a whole one");
        assert!(empty.accepted().is_ok());
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        assert!(Answer::parse(b"{\"id\":1}\n").is_err());
        assert!(Chunk::parse(b"2\r\nhello").is_err());
    }
}
