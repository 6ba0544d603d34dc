//! Long and short polling: commands in, replies and pushes out, one request after the other.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::{task::JoinHandle, time::Instant};

use super::{HttpAnswer, HttpClient, Incoming, LinkError};
use crate::client::{address::Endpoint, event::Ending};

/// How long a long poll waits.
pub const LONG_POLL_WAIT: Duration = Duration::from_secs(25);

/// The time between short polls.
pub const SHORT_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The most requests under way: past it a command waits for an answer. A newer request makes the server answer the
/// older at once, so that there are seldom more than two.
const REQUESTS_UNDER_WAY: usize = 8;

/// A session that is polled.
pub struct PollLink {
    http: HttpClient,
    target: String,
    /// Zero for short polls.
    wait: Duration,
    session: Option<String>,
    /// The number of the newest answer received.
    seq: Option<String>,
    /// Requests under way, the oldest first.
    under_way: VecDeque<Request>,
    /// Bodies of answers that came while a command waited.
    received: VecDeque<Bytes>,
    next_poll: Instant,
}

/// A request that is given up when it is dropped.
struct Request(JoinHandle<Result<HttpAnswer, LinkError>>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PollLink {
    /// A session that begins with the first command sent.
    pub fn new(endpoint: &Endpoint, target: Option<&str>, wait: Duration) -> Self {
        let path = target.unwrap_or("/connection/poll");
        let separator = if path.contains('?') { '&' } else { '?' };
        Self {
            http: HttpClient::new(endpoint),
            target: format!("{path}{separator}wait={}", wait.as_secs()),
            wait,
            session: None,
            seq: None,
            under_way: VecDeque::new(),
            received: VecDeque::new(),
            next_poll: Instant::now(),
        }
    }

    /// Sends commands at once, beside a poll that waits. The first waits for its answer, which holds the session.
    pub async fn send(&mut self, commands: Bytes) -> Result<(), LinkError> {
        while self.under_way.len() >= REQUESTS_UNDER_WAY {
            self.take_answer().await?;
        }
        self.request(commands);
        if self.session.is_none() {
            self.take_answer().await?;
        }
        Ok(())
    }

    /// The body of the next answer that is not empty. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        loop {
            if let Some(body) = self.received.pop_front() {
                return Ok(Incoming::text(body));
            }
            if self.under_way.is_empty() {
                if self.wait.is_zero() {
                    tokio::time::sleep_until(self.next_poll).await;
                }
                self.request(Bytes::new());
            }
            self.take_answer().await?;
        }
    }

    fn request(&mut self, commands: Bytes) {
        let mut headers = vec![("Content-Type", "application/x-ndjson".to_owned())];
        headers.extend(self.session.clone().map(|session| ("Wharf-Session", session)));
        // While an older request is under way its answer is not received yet, and naming the one before would have
        // it sent again. Should it be lost, its request fails, and the channels are recovered by position.
        if self.under_way.is_empty() {
            headers.extend(self.seq.clone().map(|seq| ("Wharf-Ack", seq)));
        }
        let (http, target, wait) = (self.http.clone(), self.target.clone(), self.wait);
        self.under_way.push_back(Request(tokio::spawn(async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            http.post(&target, &headers, commands, wait).await?.accepted(&target)
        })));
    }

    /// Takes the answer to the oldest request. May be dropped while it waits.
    async fn take_answer(&mut self) -> Result<(), LinkError> {
        let Some(request) = self.under_way.front_mut() else { return Ok(()) };
        let outcome = (&mut request.0).await;
        self.under_way.pop_front();
        self.next_poll = Instant::now() + SHORT_POLL_INTERVAL;
        let answer = outcome.map_err(|error| Ending::transport_closed(error.to_string()))??;
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.session = header("wharf-session").or(self.session.take());
        self.seq = header("wharf-seq");
        if !answer.body.is_empty() {
            self.received.push_back(answer.body);
        }
        Ok(())
    }
}
