//! One whole connection, sans-IO: bytes in, events out; messages in, bytes out. It answers pings, and carries the
//! closing handshake through (RFC 6455 section 7) in either role.
//!
//! | to | use |
//! |---|---|
//! | open one as server | [`ServerHandshake`] |
//! | open one as client | [`ClientHandshake`] |
//! | go on with one that something else opened (an HTTP server's upgrade) | [`Connection::server`], [`Connection::client`] |
//!
//! # The loop around it
//!
//! ```text
//!      socket ──bytes──> receive ──> poll_event ──> what your program does
//!                                        │                    │
//!      socket <──bytes── output <── pongs, close      send, ping, close
//! ```
//!
//! 1. Take events by [`poll_event`](Connection::poll_event) until there is none, and act on each.
//! 2. Write all of [`output`](Connection::output).
//! 3. If [`state`](Connection::state) says [`State::Finished`], shut down the writing half of the socket, read it to
//!    its end or for a short time, and drop it. (A socket that is dropped with bytes unread resets the connection,
//!    and the peer may never see the close frame.)
//! 4. Read, and hand what came to [`receive`](Connection::receive): nothing at the end of the stream, as `read` says.
//!
//! Where a write fails, say so by [`handle_write_error`](Connection::handle_write_error) and read on for a short time: the peer may
//! have closed before, and its close frame says why. Where a read fails, that is the end of the stream.
//!
//! # Time
//!
//! A connection has no clock. The caller bounds three waits, each as long as it likes: for the handshake (drop it),
//! for the peer's answer while the state is [`State::Closing`] ([`handle_timeout`](Connection::handle_timeout)), and
//! for the end of the stream after [`State::Finished`] (drop the socket). Whether a silent peer is alive is asked by
//! [`ping`](Connection::ping).
//!
//! # What it costs
//!
//! A message is copied once on its way to the event that owns it, and a connection keeps its two buffers. A server of
//! a hundred thousand connections uses the parts: [`WebsocketDeframer`] reads without a copy from a buffer that all
//! share, and frames are written once for many receivers.

mod event;
mod open;
mod output;

use std::fmt;

use bytes::{Buf, BytesMut};

pub use event::{End, Event};
pub use open::{ClientHandshake, ServerHandshake};
pub use output::PONG_BYTES;
use output::{Masks, Output};

#[cfg(feature = "deflate")]
use super::deflate::Agreement;
use super::{
    CloseCode, DeframeLimits, FrameError, MAX_CONTROL_BYTES, MessageKind, Opcode, Role, WebsocketDeframer,
};

/// One connection after its handshake. See the [module](self) for the loop around it.
pub struct Connection {
    role: Role,
    deframer: WebsocketDeframer,
    subprotocol: Option<Box<str>>,
    /// What came and was not looked at.
    input: BytesMut,
    output: Output,
    /// The peer will say no more.
    input_ended: bool,
    phase: Phase,
}

/// How far a connection is on its way to its end (RFC 6455 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame was written, the peer's has not come.
    CloseWritten,
    /// Both were exchanged, and we are the client: the server ends the stream (section 7.1.1).
    AwaitsEnd,
    Finished,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Messages go in both directions.
    Open,
    /// A close frame was written. Write the output and go on reading, within a time of the caller's.
    Closing,
    /// Nothing more will be read or said. Write the output, then shut down the writing half of the socket.
    Finished,
}

/// Why something cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// RFC 6455 section 5.5.1: no data frame follows a close frame; and none can follow the end of the stream.
    #[error("the connection is closing, and nothing more can be sent")]
    Closing,
    /// The socket takes nothing any more ([`Connection::handle_write_error`]).
    #[error("the stream can't be written any more, so nothing can be sent")]
    Unwritable,
    /// RFC 6455 section 5.5: the payload of a control frame.
    #[error("a ping of {0} bytes: it may carry at most {MAX_CONTROL_BYTES}")]
    PingTooLong(usize),
}

impl Connection {
    /// The server's end of a connection whose handshake is done.
    pub fn server(limits: DeframeLimits) -> Self {
        Self::new(Role::Server, limits, None)
    }

    /// The client's end of a connection whose handshake is done. `masks` gives four bytes for each frame, from a
    /// strong source of entropy (RFC 6455 section 5.3), for example `|| rand::random()`.
    pub fn client(limits: DeframeLimits, masks: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        Self::new(Role::Client, limits, Some(Box::new(masks)))
    }

    fn new(role: Role, limits: DeframeLimits, masks: Option<Masks>) -> Self {
        Self {
            role,
            deframer: WebsocketDeframer::new(role, limits),
            subprotocol: None,
            input: BytesMut::new(),
            output: Output::new(masks),
            input_ended: false,
            phase: Phase::Open,
        }
    }

    /// Compresses messages as the handshake agreed. To be called before anything is received.
    #[cfg(feature = "deflate")]
    pub fn with_deflate(mut self, agreement: Agreement) -> Self {
        let (inflater, deflater) = agreement.into_halves(self.role());
        self.deframer = self.deframer.with_inflater(inflater);
        self.output.deflater = Some(deflater);
        self
    }

    /// Compresses messages from this length on, where compression was agreed on, instead of from
    /// [`MIN_DEFLATED_BYTES`](super::deflate::MIN_DEFLATED_BYTES).
    #[cfg(feature = "deflate")]
    pub fn compressing_from(mut self, bytes: usize) -> Self {
        self.output.deflater = self.output.deflater.map(|deflater| deflater.with_min_bytes(bytes));
        self
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The subprotocol that the handshake agreed on, if any.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether the handshake agreed to compress messages (RFC 7692).
    pub fn compresses(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.output.deflater.is_some();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// What the connection waits for.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Open => State::Open,
            Phase::CloseWritten | Phase::AwaitsEnd => State::Closing,
            Phase::Finished => State::Finished,
        }
    }

    /// Takes what was read from the peer. Nothing means the end of the stream, as it does for a `read`.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self.phase {
            _ if bytes.is_empty() => self.input_ended = true,
            Phase::Open | Phase::CloseWritten => self.input.extend_from_slice(bytes),
            // RFC 6455 section 5.5.1: what follows a close frame is not looked at.
            Phase::AwaitsEnd | Phase::Finished => {}
        }
        if self.input_ended && self.phase == Phase::AwaitsEnd {
            self.phase = Phase::Finished;
        }
    }

    /// How much was received and not looked at. Each event is looked for when it is asked for, so whoever receives
    /// faster than it polls can bound by this what waits.
    pub fn unread_bytes(&self) -> usize {
        self.input.len()
    }

    /// What was found next in what was received, or nothing until more is. The last event is [`Event::Ended`].
    ///
    /// A ping is answered, and so is a close frame, before the event says that it came: the answer is in
    /// [`output`](Self::output). What is sent on an event goes out before anything that comes of the bytes behind it.
    /// While [`PONG_BYTES`] of pongs wait to be written, only the latest ping is answered (RFC 6455 section 5.5.3).
    pub fn poll_event(&mut self) -> Option<Event> {
        while matches!(self.phase, Phase::Open | Phase::CloseWritten) {
            if self.input.is_empty() {
                return if self.input_ended { Some(self.finish(End::Lost)) } else { None };
            }
            let mut found = None;
            let taken =
                self.deframer.feed_one(&mut self.input, &mut |event| found = Some(Event::from(event)));
            match taken {
                Ok(taken) => self.input.advance(taken),
                Err(error) => return Some(self.fail(error)),
            }
            match found {
                None => {}
                Some(Event::Ended(End::Closed { code, reason })) => {
                    return Some(self.answer_close(code, reason));
                }
                Some(Event::Ping(payload)) => {
                    // RFC 6455 section 5.5.2: a ping is answered unless the peer's close frame came before it. Ours is
                    // no reason not to: section 5.5.1 forbids data frames after it, and a pong is none.
                    self.output.write_pong(&payload);
                    return Some(Event::Ping(payload));
                }
                Some(event) => return Some(event),
            }
        }
        None
    }

    /// What is to be written to the peer, in its order. Take off what was written, all or a part:
    /// `stream.write_all(&connection.output().split())`, or tokio's `stream.write_all_buf(connection.output())`.
    ///
    /// It grows by what is sent, so it is written before more is sent; answers to pings are at most [`PONG_BYTES`] and
    /// two of the longest.
    pub fn output(&mut self) -> &mut BytesMut {
        self.output.bytes()
    }

    /// Nothing can be written to the peer any more: the socket said so. What waits is dropped, and nothing is sent or
    /// answered from here on.
    ///
    /// What was received, and can still be, is read on, for a time of the caller's: the peer's close frame may be in it,
    /// and tells by [`End::Closed`] why the peer takes nothing.
    pub fn handle_write_error(&mut self) {
        self.output.break_off();
    }

    /// Sends a message of text or bytes, in one frame. Text must be valid UTF-8: see [`send_text`](Self::send_text).
    pub fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        self.check_open()?;
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        self.output.write(opcode, payload);
        Ok(())
    }

    /// Sends a message of text.
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send(MessageKind::Text, text.as_bytes())
    }

    /// Sends a ping, which the peer answers by [`Event::Pong`] with the same payload of at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_open()?;
        if payload.len() > MAX_CONTROL_BYTES {
            return Err(SendError::PingTooLong(payload.len()));
        }
        self.output.write(Opcode::Ping, payload);
        Ok(())
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2); nothing happens if it has begun. Messages that the peer
    /// sent before it heard of this still come. A reason longer than 123 bytes is cut at a character's boundary.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.phase == Phase::Open {
            self.output.write_close(Some(code), reason);
            self.phase = Phase::CloseWritten;
        }
    }

    /// Waits no longer: the peer has not said in time what the state waits for. Returns the last event, if it was not
    /// told before. To tell the peer, [`close`](Self::close) first.
    pub fn handle_timeout(&mut self) -> Option<Event> {
        match self.phase {
            Phase::Open | Phase::CloseWritten => Some(self.finish(End::TimedOut)),
            Phase::AwaitsEnd | Phase::Finished => {
                self.phase = Phase::Finished;
                None
            }
        }
    }

    fn check_open(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Open if self.output.is_broken() => Err(SendError::Unwritable),
            Phase::Open => Ok(()),
            _ => Err(SendError::Closing),
        }
    }

    fn answer_close(&mut self, code: Option<CloseCode>, reason: Box<str>) -> Event {
        if self.phase == Phase::Open {
            // RFC 6455 section 5.5.1: the answer typically echoes the code.
            self.output.write_close(code, "");
        }
        let event = self.finish(End::Closed { code, reason });
        // RFC 6455 section 7.1.1: the server ends the stream first, and the client waits for that.
        if self.role() == Role::Client && !self.input_ended {
            self.phase = Phase::AwaitsEnd;
        }
        event
    }

    /// RFC 6455 section 7.1.7: to fail the connection, say why, and end the stream without waiting for an answer.
    fn fail(&mut self, error: FrameError) -> Event {
        if self.phase == Phase::Open {
            self.output.write_close(CloseCode::new(error.close_code()), &error.to_string());
        }
        self.finish(End::Failed(error))
    }

    fn finish(&mut self, end: End) -> Event {
        self.phase = Phase::Finished;
        self.input = BytesMut::new();
        Event::Ended(end)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state())
            .field("input_bytes", &self.input.len())
            .field("output_bytes", &self.output.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
