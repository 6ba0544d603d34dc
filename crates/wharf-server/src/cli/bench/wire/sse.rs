//! Server-sent events: messages come in a response that does not end, commands go by POST to `/emulation`.

use std::borrow::Cow;

use anyhow::{Context as _, bail};
use memchr::memrchr;
use serde::Deserialize;

use super::{Busy, Out, Target, Unit};
use crate::cli::bench::http::{self, Chunk, Head, Length};

const PATH: &str = "/connection/sse";
const EMULATION: &str = "/emulation";

#[derive(Default)]
pub struct Sse {
    /// How the body is divided, once its head has come.
    body: Option<Length>,
    /// The begin of a line whose rest comes in a later chunk.
    line: Vec<u8>,
    /// To whom commands are posted: session and node, as JSON texts.
    session: Option<(String, String)>,
}

/// Asks for the response, with the first command in its address.
pub fn greet(connect: &str, target: &Target, out: &mut Out) {
    let request = format!(
        "GET {PATH}?cf_connect={} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
        encode(connect),
        target.host
    );
    out.here.extend_from_slice(request.as_bytes());
}

/// Percent-encodes all but letters, digits and `.`, `-`, `_` (RFC 3986 section 2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl Sse {
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<Option<(Unit<'a>, usize)>> {
        let (data, used) = match self.body {
            None => {
                let Some(head) = Head::parse(bytes)? else { return Ok(None) };
                if head.status == 503 {
                    bail!(Busy);
                }
                if head.status != 200 {
                    bail!("the server refused an event stream with status {}", head.status);
                }
                self.body = Some(head.length);
                return Ok(Some((Unit::Handled, head.bytes)));
            }
            Some(Length::Chunked) => match Chunk::parse(bytes)? {
                None => return Ok(None),
                Some(Chunk { data: b"", .. }) => bail!("the server ended an event stream"),
                Some(Chunk { data, bytes }) => (data, bytes),
            },
            Some(_) if bytes.is_empty() => return Ok(None),
            Some(_) => (bytes, bytes.len()),
        };
        Ok(Some((self.whole_lines(data), used)))
    }

    /// The lines that end in this piece. Their field names stay, which is how messages are found in them.
    fn whole_lines<'a>(&mut self, piece: &'a [u8]) -> Unit<'a> {
        let end = memrchr(b'\n', piece).map_or(0, |at| at + 1);
        let (whole, rest) = piece.split_at(end);
        let unit = if end == 0 {
            Unit::Handled
        } else if self.line.is_empty() {
            Unit::Messages(Cow::Borrowed(whole))
        } else {
            let mut joined = std::mem::take(&mut self.line);
            joined.extend_from_slice(whole);
            Unit::Messages(Cow::Owned(joined))
        };
        self.line.extend_from_slice(rest);
        unit
    }

    pub fn connected(&mut self, reply: &[u8]) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Reply {
            connect: Connected,
        }
        #[derive(Deserialize)]
        struct Connected {
            session: String,
            node: String,
        }
        let Reply { connect } = serde_json::from_slice(reply)
            .context("the server told no session on the event stream, so no command can be sent")?;
        self.session = Some((quoted(&connect.session), quoted(&connect.node)));
        Ok(())
    }

    /// Posts the command.
    pub fn say(&self, command: &[u8], target: &Target, out: &mut Out) -> anyhow::Result<()> {
        let (session, node) = self.session.as_ref().context("a command came before its session")?;
        let data = quoted(&String::from_utf8_lossy(command));
        let body = format!(r#"{{"session":{session},"node":{node},"data":{data}}}"#);
        let head = http::post(EMULATION, &target.host, "", body.len());
        out.aside.push((head + &body).into_bytes());
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n\r\n\r\n9\r\ndata: {}\n\r\n\
                            1\r\n\n\r\n6\r\ndata: \r\n4\r\n{1}\n\r\n";

    /// What is heard of the stream when it comes in two pieces.
    fn heard(cut: usize) -> String {
        let (mut sse, mut heard, mut at) = (Sse::default(), Vec::new(), 0);
        for end in [cut, STREAM.len()] {
            while let Some((unit, used)) = sse.take(&STREAM[at..end]).expect("a stream") {
                if let Unit::Messages(lines) = unit {
                    heard.extend_from_slice(&lines);
                }
                at += used;
            }
        }
        String::from_utf8(heard).expect("text")
    }

    #[test]
    fn lines_are_heard_whole_wherever_the_bytes_and_chunks_are_cut() {
        for cut in 0..=STREAM.len() {
            assert_eq!(heard(cut), "\r\ndata: {}\n\ndata: {1}\n", "cut at {cut}");
        }
    }

    #[test]
    fn commands_are_posted_to_the_session_that_the_server_named() {
        let (target, mut out, mut sse) = (Target::loopback(1), Out::default(), Sse::default());
        assert!(sse.say(b"{}", &target, &mut out).is_err(), "no session yet");
        sse.connected(br#"{"id":1,"connect":{"session":"s","node":"n"}}"#).expect("a session");
        sse.say(br#"{"id":2}"#, &target, &mut out).expect("a session");
        let post = String::from_utf8(out.aside.remove(0)).expect("text");
        assert!(post.starts_with("POST /emulation HTTP/1.1\r\n"), "{post}");
        assert!(post.ends_with(r#"{"session":"s","node":"n","data":"{\"id\":2}"}"#), "{post}");
    }

    #[test]
    fn the_first_command_stands_in_the_address() {
        let (target, mut out) = (Target::loopback(1), Out::default());
        greet(r#"{"id":1}"#, &target, &mut out);
        assert!(out.here.starts_with(b"GET /connection/sse?cf_connect=%7B%22id%22%3A1%7D HTTP/1.1\r\n"));
    }
}
