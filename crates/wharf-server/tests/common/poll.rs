//! A client that polls: one request after the other, each on a connection of its own.

use std::collections::VecDeque;

use super::{
    client::{End, Wire},
    http,
    socket::Address,
};

/// How long one long poll waits, in seconds.
const WAIT: u32 = 10;

/// A session at `/connection/poll`. Nothing is asked but when a test sends or waits.
#[derive(Debug)]
pub struct Poll {
    address: Address,
    session: Option<String>,
    /// What the last answer's `Wharf-Seq` carried, acknowledged by the next request.
    last: Option<String>,
    lines: VecDeque<String>,
}

impl Poll {
    pub fn open(address: &Address) -> Self {
        Self { address: address.clone(), session: None, last: None, lines: VecDeque::new() }
    }

    /// One request; how it ended if the server knows the session no more.
    #[track_caller]
    pub fn ask(&mut self, wait: u32, commands: &str) -> Result<(), End> {
        let mut headers = Vec::new();
        headers.extend(self.session.as_deref().map(|session| ("Wharf-Session", session)));
        headers.extend(self.last.as_deref().map(|last| ("Wharf-Ack", last)));
        let path = format!("/connection/poll?wait={wait}");
        let answer = http::request(&self.address, "POST", &path, &headers, commands);
        if answer.status == 404 {
            return Err(End { code: Some(404), reason: answer.text() });
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.lines.extend(answer.text().lines().map(str::to_owned));
        self.session = answer.header("wharf-session").map(str::to_owned).or(self.session.take());
        self.last = answer.header("wharf-seq").map(str::to_owned);
        Ok(())
    }
}

impl Wire for Poll {
    #[track_caller]
    fn send(&mut self, text: &str) {
        self.ask(0, text).expect("the session is known");
    }

    #[track_caller]
    fn receive(&mut self) -> Result<String, End> {
        while self.lines.is_empty() {
            self.ask(WAIT, "")?;
        }
        Ok(self.lines.pop_front().expect("waited until there was one"))
    }
}
