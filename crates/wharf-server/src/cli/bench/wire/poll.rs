//! Long polling: commands go in a request's body, replies and pushes come in its answer, and then it is asked again.

use super::{Busy, Out, Target, Unit};
use crate::cli::bench::http::{self, Answer};

/// The server answers after so many seconds at the latest, so that a session stays alive.
const PATH: &str = "/connection/poll?wait=25";

#[derive(Default)]
pub struct Poll {
    session: Option<String>,
    /// The number of the newest answer, which the next request acknowledges.
    seq: Option<String>,
    /// Commands for the next request.
    commands: Vec<u8>,
    under_way: bool,
}

impl Poll {
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<Option<(Unit<'a>, usize)>> {
        let Some(answer) = Answer::parse(bytes)? else { return Ok(None) };
        anyhow::ensure!(answer.head.status != 503, Busy);
        // A body may hold a reply that refuses a command; who asked hears it.
        anyhow::ensure!(
            answer.head.status == 200,
            "the server refused a poll with status {}: {}",
            answer.head.status,
            String::from_utf8_lossy(&answer.body)
        );
        self.under_way = false;
        self.session = answer.head.session.or(self.session.take());
        self.seq = answer.head.seq;
        Ok(Some((Unit::Messages(answer.body), answer.bytes)))
    }

    pub fn say(&mut self, command: &[u8]) {
        self.commands.extend_from_slice(command);
        self.commands.push(b'\n');
    }

    pub fn flush(&mut self, target: &Target, out: &mut Out) {
        if std::mem::replace(&mut self.under_way, true) {
            return;
        }
        let mut headers = String::new();
        for (name, value) in [("Wharf-Session", &self.session), ("Wharf-Ack", &self.seq)] {
            if let Some(value) = value {
                headers.extend([name, ": ", value, "\r\n"]);
            }
        }
        let head = http::post(PATH, &target.host, &headers, self.commands.len());
        out.here.extend_from_slice(head.as_bytes());
        out.here.extend_from_slice(&self.commands);
        self.commands.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn each_answer_is_acknowledged_by_the_next_request_with_the_commands_that_waited() {
        let (target, mut out, mut poll) = (Target::loopback(1), Out::default(), Poll::default());
        poll.say(b"first");
        poll.flush(&target, &mut out);
        let first = out.here.split();
        assert!(first.ends_with(b"Content-Length: 6\r\n\r\nfirst\n"), "{first:?}");
        poll.say(b"second");
        poll.flush(&target, &mut out);
        assert!(out.here.is_empty(), "one request at a time");
        let answer = b"HTTP/1.1 200 OK\r\nWharf-Session: s\r\nWharf-Seq: 1\r\nContent-Length: 3\r\n\r\n{}\n";
        let expected = (Unit::Messages(Cow::Borrowed(b"{}\n".as_slice())), answer.len());
        assert_eq!(poll.take(answer).expect("an answer"), Some(expected));
        poll.flush(&target, &mut out);
        let second = String::from_utf8(out.here.to_vec()).expect("text");
        assert!(second.contains("Wharf-Session: s\r\nWharf-Ack: 1\r\n"), "{second}");
        assert!(second.ends_with("\r\n\r\nsecond\n"), "{second}");
    }
}
