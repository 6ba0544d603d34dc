//! A client's WebSocket from the end of its handshake to its own, without a socket or a clock: bytes and the time go
//! in, messages, bytes to write and deadlines come out. It knows nothing of what the messages mean.
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

use bytes::{Buf, Bytes, BytesMut};
use rand::{Rng, RngExt, rngs::StdRng};
use wharf_proto::{
    websocket::{
        CloseCode, FrameError, Opcode, Role, WebsocketDeframer, WebsocketEvent,
        deflate::{Agreement, Deflater, Parameters},
        write_close, write_frame,
    },
    wire::MessageKind,
};

use super::{
    super::{Incoming, STEP_TIMEOUT},
    WebsocketOptions,
};
use crate::client::event::Ending;

/// How long the server's answer to our close may take. See LIMITS.md, `close_timeout`.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to end TCP after both closes; then we do. See LIMITS.md, `end_timeout`.
pub const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that may wait to be looked at, as they do while a message is sent; past it nothing more is read. See
/// LIMITS.md, `backlog_bytes`.
pub const BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// What pongs may take until everything is written; pings beyond it stay without one. See LIMITS.md,
/// `pong_bytes`.
pub const PONG_BYTES: usize = 16 * 1024;

/// A WebSocket, as one end of it sees it.
pub struct Connection {
    deframer: WebsocketDeframer,
    deflater: Option<Deflater>,
    /// RFC 6455 section 5.3: a mask comes from a strong source of entropy, new for each frame.
    masks: StdRng,
    state: State,
    output: BytesMut,
    /// Bytes of pongs among the output.
    pong_bytes: usize,
    /// When the output is taken to be stuck.
    stuck_at: Option<Instant>,
    /// Why nothing can be written any more. What came before that is read on: it may hold the server's close.
    unwritable: Option<String>,
    /// Bytes that came and were not looked at. One thing at a time is taken out of them, so that what is said in
    /// answer to a message goes out before what comes of the bytes behind it.
    unread: BytesMut,
    /// What ends the connection once these are taken.
    end: Option<Input>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Open,
    /// We said that it ends; the server's word must come until then.
    Closing {
        until: Instant,
    },
    /// All is said. What waits is written, and the server ends TCP, until then.
    Finishing {
        until: Instant,
        ending: Ending,
        ended_by_peer: bool,
    },
    Over(Ending),
}

/// What can happen to the state.
enum Input {
    Close { code: CloseCode, reason: String },
    PeerClose { code: Option<CloseCode>, reason: String },
    PeerFault(FrameError),
    PeerEnd,
    Cut(String),
    Timeout,
}

impl Connection {
    /// A connection whose handshake agreed on `deflate`. `masks` must be seeded by the system's entropy.
    pub fn new(options: &WebsocketOptions, deflate: Option<Parameters>, masks: StdRng) -> Self {
        let mut deframer = WebsocketDeframer::new(Role::Client, options.limits);
        let mut deflater = None;
        if let Some(parameters) = deflate {
            let (reading, writing) = Agreement::new(parameters).into_halves(Role::Client);
            deframer = deframer.with_inflater(reading);
            deflater = Some(writing.with_min_bytes(options.min_deflated_bytes));
        }
        Self {
            deframer,
            deflater,
            masks,
            state: State::Open,
            output: BytesMut::new(),
            pong_bytes: 0,
            stuck_at: None,
            unwritable: None,
            unread: BytesMut::new(),
            end: None,
        }
    }

    /// Takes bytes from the server, for [`Self::poll_incoming`].
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The server ended its half: nothing more will come.
    pub fn handle_end(&mut self, now: Instant) {
        self.end = Some(Input::PeerEnd);
        self.end_input(now);
    }

    /// The connection cannot be read any more.
    pub fn handle_read_error(&mut self, error: &io::Error, now: Instant) {
        self.end = Some(Input::Cut(error.to_string()));
        self.end_input(now);
    }

    /// What came before the end is taken first.
    fn end_input(&mut self, now: Instant) {
        if self.unread.is_empty()
            && let Some(end) = self.end.take()
        {
            self.change(end, now);
        }
    }

    /// The connection cannot be written any more; it is read on for [`END_TIMEOUT`], or until it ends.
    pub fn handle_write_error(&mut self, error: &io::Error, now: Instant) {
        self.unwritable = Some(error.to_string());
        self.stuck_at = Some(now + END_TIMEOUT);
        self.discard_unwritable();
        self.end_if_done();
    }

    /// What is to be written, as far as it goes.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of the output were written.
    pub fn handle_written(&mut self, count: usize, now: Instant) {
        self.output.advance(count);
        self.stuck_at = None;
        if self.output.is_empty() {
            self.pong_bytes = 0;
            self.end_if_done();
        }
        self.expect_progress(now);
    }

    /// Whether more bytes of the server's are wanted now.
    pub fn wants_input(&self) -> bool {
        let ended = matches!(self.state, State::Over(_) | State::Finishing { ended_by_peer: true, .. });
        !ended && self.end.is_none() && self.unread.len() < BACKLOG_BYTES
    }

    /// The next message, ping or pong. Pings are answered already.
    pub fn poll_incoming(&mut self, now: Instant) -> Option<Incoming> {
        while !self.unread.is_empty() {
            let incoming = self.read_one(now);
            if incoming.is_some() {
                return incoming;
            }
        }
        self.end_input(now);
        None
    }

    /// How it ended, once it has: the socket is of no use any more.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.state {
            State::Over(ending) => Some(ending),
            _ => None,
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Open => self.stuck_at,
            State::Closing { until } | State::Finishing { until, .. } => Some(*until),
            State::Over(_) => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.change(Input::Timeout, now);
        }
    }

    /// Sends a message. False: it cannot be sent, since one of the two sides said that it ends (RFC 6455 section
    /// 5.5.1: no data follows a close frame).
    pub fn send(&mut self, kind: MessageKind, message: &[u8], now: Instant) -> bool {
        if self.state != State::Open || self.unwritable.is_some() {
            return false;
        }
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        let mask = Some(self.masks.random());
        match &mut self.deflater {
            Some(deflater) => deflater.write_frame(&mut self.output, opcode, message, mask),
            None => write_frame(&mut self.output, opcode, message, mask),
        }
        self.expect_progress(now);
        true
    }

    /// Says that the connection ends, once. A reason longer than 123 bytes is cut.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        self.change(Input::Close { code, reason: reason.to_owned() }, now);
    }

    /// All transitions. RFC 6455 section 7.1.
    fn change(&mut self, input: Input, now: Instant) {
        let over = |reason: String| State::Over(Ending::without_close(reason));
        let (until, close_until) = (now + END_TIMEOUT, now + CLOSE_TIMEOUT);
        let finishing = |ending| State::Finishing { until, ending, ended_by_peer: false };
        let state = std::mem::replace(&mut self.state, State::Open);
        self.state = match (state, input) {
            (over @ State::Over(_), _) => over,

            (State::Open, Input::Close { code, reason }) => {
                self.write_close(Some(code), &reason);
                State::Closing { until: close_until }
            }
            // Section 5.5.1: a close frame is answered by one, which as a rule echoes the code; and once.
            (State::Open, Input::PeerClose { code, reason }) => {
                self.write_close(code, "");
                finishing(Ending::of_close(code, reason))
            }
            (State::Closing { .. }, Input::PeerClose { code, reason }) => {
                finishing(Ending::of_close(code, reason))
            }
            // Section 7.1.7: whoever finds a fault says so by a close frame and reads nothing more.
            (State::Open, Input::PeerFault(error)) => {
                self.write_close(CloseCode::new(error.close_code()), &error.to_string());
                finishing(Ending::broken_rule(&error))
            }
            (State::Closing { .. }, Input::PeerFault(error)) => finishing(Ending::broken_rule(&error)),
            (State::Open, Input::PeerEnd) => {
                let ending = Ending::without_close("the server ended the connection without a close frame");
                State::Finishing { until, ending, ended_by_peer: true }
            }
            (State::Closing { .. }, Input::PeerEnd) => {
                over("the server ended the connection without an answer to our close frame".into())
            }
            (State::Finishing { until, ending, .. }, Input::PeerEnd) => {
                State::Finishing { until, ending, ended_by_peer: true }
            }
            (State::Open | State::Closing { .. }, Input::Cut(error)) => {
                over(format!("the connection was cut: {error}"))
            }
            (State::Open, Input::Timeout) => over(match self.unwritable.take() {
                Some(error) => format!("the connection was cut: {error}"),
                None => format!("the server took no byte for {} s", STEP_TIMEOUT.as_secs()),
            }),
            (State::Closing { .. }, Input::Timeout) => {
                let seconds = CLOSE_TIMEOUT.as_secs();
                over(format!("the server did not answer our close frame within {seconds} s"))
            }
            // Section 7.1.1: the client ends TCP itself only where the server does not.
            (State::Finishing { ending, .. }, Input::Timeout | Input::Cut(_)) => State::Over(ending),
            (state, Input::Close { .. } | Input::PeerClose { .. } | Input::PeerFault(_)) => state,
        };
        self.discard_unwritable();
        self.end_if_done();
    }

    fn discard_unwritable(&mut self) {
        if self.unwritable.is_some() {
            self.output.clear();
        }
    }

    /// Nothing is left to be read or written.
    fn end_if_done(&mut self) {
        if let State::Finishing { ending, ended_by_peer: true, .. } = &self.state
            && self.output.is_empty()
        {
            self.state = State::Over(ending.clone());
        }
    }

    fn write_close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mask = self.masks.random();
        write_close(&mut self.output, code, reason, Some(mask));
    }

    /// Takes one thing, or the beginning of one, out of what came.
    fn read_one(&mut self, now: Instant) -> Option<Incoming> {
        let Self { deframer, masks, output, pong_bytes, unread, .. } = self;
        let (mut found, mut close) = (None, None);
        let result = deframer.feed_one(unread, &mut |event| match event {
            WebsocketEvent::Message { kind, payload, .. } => {
                found = Some(Incoming::Message(kind, Bytes::copy_from_slice(payload)));
            }
            WebsocketEvent::Ping(payload) => {
                // Section 5.5.2: answered unless a close frame came, which the deframer reads nothing after; also when
                // we have closed, since a pong is no data.
                write_pong(output, pong_bytes, payload, masks);
                found = Some(Incoming::Ping(Bytes::copy_from_slice(payload)));
            }
            WebsocketEvent::Pong(payload) => found = Some(Incoming::Pong(Bytes::copy_from_slice(payload))),
            WebsocketEvent::Close { code, reason } => {
                close = Some(Input::PeerClose { code, reason: reason.to_owned() });
            }
        });
        self.discard_unwritable();
        match result {
            Ok(taken) => self.unread.advance(taken),
            Err(error) => close = Some(Input::PeerFault(error)),
        }
        if let Some(input) = close {
            self.change(input, now);
        }
        if self.deframer.has_ended() {
            // Section 5.5.1: nothing that follows is looked at.
            self.unread.clear();
        }
        self.expect_progress(now);
        found
    }

    /// Whatever is to be written must go on within [`STEP_TIMEOUT`].
    fn expect_progress(&mut self, now: Instant) {
        if !self.output.is_empty() {
            self.stuck_at.get_or_insert(now + STEP_TIMEOUT);
        }
    }
}

fn write_pong(output: &mut BytesMut, pong_bytes: &mut usize, payload: &[u8], masks: &mut impl Rng) {
    if *pong_bytes < PONG_BYTES {
        let before = output.len();
        write_frame(output, Opcode::Pong, payload, Some(masks.random()));
        *pong_bytes += output.len() - before;
    }
}

#[cfg(test)]
mod tests;
