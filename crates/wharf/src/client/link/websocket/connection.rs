//! A client's WebSocket from the end of its handshake to its own, without a socket or a clock: bytes and the time go
//! in, messages, bytes to write and deadlines come out. It knows nothing of what the messages mean.
//!
//! What is said and when is the codec's connection's ([`wharf_proto::websocket::connection`]). Here it gets its deadlines, a
//! bound on what came and was not taken, and the words for its end.
//!
//! How it ends (RFC 6455 section 7), and how long each step may take:
//!
//! | what happens | what is told as the ending |
//! |---|---|
//! | the server closes: answered once, then it ends TCP within [`END_TIMEOUT`] | its code and reason |
//! | we close: it answers within [`CLOSE_TIMEOUT`], then ends TCP within [`END_TIMEOUT`] | its code and reason |
//! | we close and it does not answer, or TCP ends first | 1006 |
//! | TCP ends, or is cut, without a close frame | 1006 |
//! | the server breaks a rule: told which, then as above | the rule |

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Buf;
use wharf_proto::{
    websocket::{CloseCode, Connection as Codec, End, Event},
    wire::MessageKind,
};

use super::super::{Incoming, STEP_TIMEOUT};
use crate::client::event::Ending;

/// How long the server's answer to our close may take. See LIMITS.md, `close_timeout`.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to end TCP after both closes; then we do. See LIMITS.md, `end_timeout`.
pub const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that may wait to be looked at, as they do while a message is sent; past it nothing more is read. See
/// LIMITS.md, `backlog_bytes`.
pub const BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// A WebSocket, as one end of it sees it.
pub struct Connection {
    codec: Codec,
    stage: Stage,
    /// How the server's half ended.
    input_end: Option<InputEnd>,
    /// Why nothing can be written any more. What came before that is read on: it may hold the server's close.
    unwritable: Option<String>,
    /// When the output is taken to be stuck.
    stuck_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Open,
    /// We said that it ends; the server's word must come until then.
    Closing {
        until: Instant,
    },
    /// All is said. What waits is written, and the server ends TCP, until then.
    Finishing {
        until: Instant,
        ending: Ending,
    },
    Over(Ending),
}

enum InputEnd {
    Finished,
    Cut(String),
}

impl Connection {
    /// What follows a handshake. What came behind the server's answer is in it already.
    pub fn new(codec: Codec) -> Self {
        Self { codec, stage: Stage::Open, input_end: None, unwritable: None, stuck_at: None }
    }

    /// The subprotocol that the server chose of those offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.codec.subprotocol()
    }

    /// Whether both sides agreed to compress messages.
    pub fn compresses(&self) -> bool {
        self.codec.compresses()
    }

    /// Takes bytes from the server, for [`Self::poll_incoming`].
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.codec.receive(bytes);
        }
    }

    /// The server ended its half: nothing more will come.
    pub fn handle_end(&mut self, now: Instant) {
        self.end_input(InputEnd::Finished, now);
    }

    /// The connection cannot be read any more, and what is written to it does not arrive.
    pub fn handle_read_error(&mut self, error: &io::Error, now: Instant) {
        self.codec.handle_write_error();
        self.end_input(InputEnd::Cut(error.to_string()), now);
    }

    fn end_input(&mut self, end: InputEnd, now: Instant) {
        self.input_end = Some(end);
        self.codec.receive(b"");
        // What came before the end is taken first, by the owner.
        if self.codec.unread_bytes() == 0
            && let Some(Event::Ended(end)) = self.codec.poll_event()
        {
            self.finish(end, now);
        }
        self.end_if_done();
    }

    /// The connection cannot be written any more; it is read on for [`END_TIMEOUT`], or until it ends.
    pub fn handle_write_error(&mut self, error: &io::Error, now: Instant) {
        self.codec.handle_write_error();
        self.unwritable = Some(error.to_string());
        self.stuck_at = Some(now + END_TIMEOUT);
        self.end_if_done();
    }

    /// What is to be written, as far as it goes.
    pub fn output(&mut self) -> &[u8] {
        self.codec.output()
    }

    /// So many bytes of the output were written.
    pub fn handle_written(&mut self, count: usize, now: Instant) {
        self.codec.output().advance(count);
        self.stuck_at = None;
        self.end_if_done();
        self.expect_progress(now);
    }

    /// Whether more bytes of the server's are wanted now.
    pub fn wants_input(&self) -> bool {
        let is_over = matches!(self.stage, Stage::Over(_));
        !is_over && self.input_end.is_none() && self.codec.unread_bytes() < BACKLOG_BYTES
    }

    /// The next message, ping or pong. Pings are answered already.
    pub fn poll_incoming(&mut self, now: Instant) -> Option<Incoming> {
        let incoming = match self.codec.poll_event()? {
            Event::Message { kind, payload } => Some(Incoming::Message(kind, payload)),
            Event::Ping(payload) => Some(Incoming::Ping(payload)),
            Event::Pong(payload) => Some(Incoming::Pong(payload)),
            Event::Ended(end) => {
                self.finish(end, now);
                self.end_if_done();
                None
            }
        };
        self.expect_progress(now);
        incoming
    }

    /// How it ended, once it has: the socket is of no use any more.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.stage {
            Stage::Over(ending) => Some(ending),
            _ => None,
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Open => self.stuck_at,
            Stage::Closing { until } | Stage::Finishing { until, .. } => Some(*until),
            Stage::Over(_) => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let ending = match (&self.stage, &self.unwritable) {
            // RFC 6455 section 7.1.1: the client ends TCP itself only where the server does not.
            (Stage::Finishing { ending, .. } | Stage::Over(ending), _) => ending.clone(),
            (Stage::Closing { .. }, _) => {
                let seconds = CLOSE_TIMEOUT.as_secs();
                let reason = format!("the server did not answer our close frame within {seconds} s");
                Ending::without_close(reason)
            }
            (Stage::Open, Some(error)) => Ending::without_close(format!("the connection was cut: {error}")),
            (Stage::Open, None) => {
                let seconds = STEP_TIMEOUT.as_secs();
                Ending::without_close(format!("the server took no byte for {seconds} s"))
            }
        };
        self.codec.handle_timeout();
        self.stage = Stage::Over(ending);
    }

    /// Sends a message. False: it cannot be sent, since one of the two sides said that it ends (RFC 6455 section
    /// 5.5.1: no data follows a close frame), or since nothing can be written.
    pub fn send(&mut self, kind: MessageKind, message: &[u8], now: Instant) -> bool {
        let is_sent = self.codec.send(kind, message).is_ok();
        self.expect_progress(now);
        is_sent
    }

    /// Says that the connection ends, once. A reason longer than 123 bytes is cut.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        if self.stage == Stage::Open {
            self.codec.close(code, reason);
            self.stage = Stage::Closing { until: now + CLOSE_TIMEOUT };
        }
    }

    /// All is said: in words, and with the time in which the server is to end TCP.
    fn finish(&mut self, end: End, now: Instant) {
        let ending = match end {
            End::Closed { code, reason } => Ending::of_close(code, reason),
            End::Failed(error) => Ending::broken_rule(&error),
            End::Lost | End::TimedOut => Ending::without_close(match (&self.input_end, &self.stage) {
                (Some(InputEnd::Cut(error)), _) => format!("the connection was cut: {error}"),
                (_, Stage::Closing { .. }) => {
                    "the server ended the connection without an answer to our close frame".to_owned()
                }
                _ => "the server ended the connection without a close frame".to_owned(),
            }),
        };
        self.stage = Stage::Finishing { until: now + END_TIMEOUT, ending };
    }

    /// Nothing is left to be read or written.
    fn end_if_done(&mut self) {
        if let Stage::Finishing { ending, .. } = &self.stage
            && self.input_end.is_some()
            && self.codec.output().is_empty()
        {
            self.stage = Stage::Over(ending.clone());
        }
    }

    /// Whatever is to be written must go on within [`STEP_TIMEOUT`].
    fn expect_progress(&mut self, now: Instant) {
        if !self.codec.output().is_empty() {
            self.stuck_at.get_or_insert(now + STEP_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests;
