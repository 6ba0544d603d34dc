//! One connection of the generator's: it opens step by step, then counts what it hears and answers what it must.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    time::Instant,
};

use anyhow::{Context as _, anyhow, bail};
use bytes::BytesMut;
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use wharf_proto::websocket::{CloseCode, Opcode, handshake::ClientRequest, parse_close, write_frame};

use super::message::{self, CONNECT_ID, Frame, Heard, SUBSCRIBE_ID, Template};

/// The longest latency that is told apart from longer ones: a minute, in nanoseconds.
const LONGEST_LATENCY_NS: u64 = 60_000_000_000;

/// What all connections of a generator share: what they say, and the tally.
pub struct Shared {
    epoch: Instant,
    host: String,
    target: String,
    key: [u8; 16],
    pub mask: [u8; 4],
    handshake: BytesMut,
    connect: BytesMut,
    pong: BytesMut,
    /// Whether each answer to an echo is followed by the next question.
    pub asking: bool,
    pub echo: Template,
    /// One frame that is written from here, or several.
    pub frames: BytesMut,
    pub tally: Tally,
}

/// What was counted since it was last cleared.
#[derive(Debug)]
pub struct Tally {
    /// Publications and echoes that came.
    pub delivered: u64,
    /// Connections that came to the end of their opening.
    pub opened: u64,
    /// From the stamp of a message to its arrival; for an opening, from dialing to its last answer. Nanoseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Self {
        // Three digits of a minute in nanoseconds are bounds that the histogram allows.
        let latency = Histogram::new_with_bounds(1, LONGEST_LATENCY_NS, 3).expect("valid bounds");
        Self { delivered: 0, opened: 0, latency }
    }

    fn took(&mut self, since_ns: u64, now_ns: u64) {
        self.latency.saturating_record(now_ns.saturating_sub(since_ns).max(1));
    }
}

impl Shared {
    pub fn new(host: String, target: String, payload_bytes: usize) -> anyhow::Result<Self> {
        let mask = rand::random();
        let masked = |text: &str| {
            let mut frame = BytesMut::new();
            write_frame(&mut frame, Opcode::Text, text.as_bytes(), Some(mask));
            frame
        };
        let mut shared = Self {
            epoch: Instant::now(),
            host,
            target,
            key: rand::random(),
            mask,
            handshake: BytesMut::new(),
            connect: masked(message::CONNECT),
            pong: masked("{}"),
            asking: false,
            echo: Template::echo(payload_bytes),
            frames: BytesMut::new(),
            tally: Tally::new(),
        };
        let mut handshake = BytesMut::new();
        shared.request().write(&mut handshake)?;
        shared.handshake = handshake;
        Ok(shared)
    }

    /// Nanoseconds since the generator began: what stamps are made of.
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// One key serves all requests: nobody stands between a bench and what it measures.
    fn request(&self) -> ClientRequest<'_> {
        let (host, target) = (self.host.as_str(), self.target.as_str());
        ClientRequest { host, target, key: self.key, subprotocols: &[], deflate: None, headers: &[] }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Dialing,
    Handshake,
    Connect,
    Subscribe,
    Ready,
}

pub struct Connection {
    stream: TcpStream,
    stage: Stage,
    /// The channel that it subscribes to, if any.
    channel: Option<u32>,
    dialed_ns: u64,
    /// The begin of a frame whose rest has not come.
    partial: Vec<u8>,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream, channel: Option<u32>, shared: &Shared) -> Self {
        let dialed_ns = shared.now_ns();
        Self { stream, stage: Stage::Dialing, channel, dialed_ns, partial: Vec::new(), unsent: Vec::new() }
    }

    /// The socket can be written, or has failed to open.
    pub fn handle_writable(&mut self, shared: &Shared) -> anyhow::Result<()> {
        if self.stage == Stage::Dialing {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("a connection cannot be opened; does the server run?");
            }
            match self.stream.peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                outcome => outcome?,
            };
            self.stage = Stage::Handshake;
            return self.send(&shared.handshake);
        }
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }

    /// Reads what is there. Events are edge-triggered, and a short read has taken everything there was.
    pub fn handle_readable(&mut self, buffer: &mut [u8], shared: &mut Shared) -> anyhow::Result<()> {
        loop {
            let before = self.partial.len();
            if before == buffer.len() {
                bail!("the server sent a frame of more than {before} bytes");
            }
            buffer[..before].copy_from_slice(&self.partial);
            let count = match self.stream.read(&mut buffer[before..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a connection was lost"),
            };
            let end = before + count;
            self.partial.clear();
            let used = self.hear(&buffer[..end], shared)?;
            self.partial.extend_from_slice(&buffer[used..end]);
            if end < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Takes whole answers and frames; says how many bytes they were.
    fn hear(&mut self, bytes: &[u8], shared: &mut Shared) -> anyhow::Result<usize> {
        let mut used = 0;
        if self.stage == Stage::Handshake {
            let Some(answer) = shared.request().check(bytes)? else { return Ok(0) };
            used = answer.head_bytes;
            self.stage = Stage::Connect;
            self.send(&shared.connect)?;
        }
        let now_ns = shared.now_ns();
        while let Some(frame) = message::first_frame(&bytes[used..])? {
            self.handle_frame(&frame, now_ns, shared)?;
            used += frame.length;
        }
        Ok(used)
    }

    fn handle_frame(&mut self, frame: &Frame<'_>, now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        let Frame { header, payload, .. } = frame;
        match header.opcode {
            Opcode::Text if header.fin => {
                message::messages(payload).try_for_each(|message| self.handle(message, now_ns, shared))
            }
            Opcode::Ping => {
                let mut pong = BytesMut::new();
                write_frame(&mut pong, Opcode::Pong, payload, Some(shared.mask));
                self.send(&pong)
            }
            Opcode::Pong => Ok(()),
            Opcode::Close => {
                let (code, reason) = parse_close(payload)?;
                let code = code.map_or(1005, CloseCode::number);
                bail!("the server closed a connection with code {code}: {reason}")
            }
            Opcode::Text | Opcode::Continuation | Opcode::Binary => {
                bail!(
                    "the server sent a fragment or a binary frame, and the bench speaks JSON in whole frames"
                )
            }
        }
    }

    fn handle(&mut self, text: &[u8], now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        match (message::hear(text), self.stage) {
            (Heard::Stamped(sent_ns), _) => {
                shared.tally.delivered += 1;
                shared.tally.took(sent_ns, now_ns);
                if shared.asking { self.ask(shared) } else { Ok(()) }
            }
            (Heard::Ping, _) => self.send(&shared.pong),
            (Heard::Reply(CONNECT_ID), Stage::Connect) => match self.channel {
                Some(channel) => {
                    self.stage = Stage::Subscribe;
                    let mut frame = BytesMut::new();
                    let command = message::subscribe(channel);
                    write_frame(&mut frame, Opcode::Text, command.as_bytes(), Some(shared.mask));
                    self.send(&frame)
                }
                None => self.become_ready(now_ns, shared),
            },
            (Heard::Reply(SUBSCRIBE_ID), Stage::Subscribe) => self.become_ready(now_ns, shared),
            (Heard::Refused(text), _) => {
                Err(anyhow!("the server refused a command: {}", String::from_utf8_lossy(text)))
            }
            (Heard::Reply(_) | Heard::Other, _) => Ok(()),
        }
    }

    fn become_ready(&mut self, now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        self.stage = Stage::Ready;
        shared.tally.opened += 1;
        shared.tally.took(self.dialed_ns, now_ns);
        Ok(())
    }

    /// Asks for an echo.
    pub fn ask(&mut self, shared: &mut Shared) -> anyhow::Result<()> {
        let now_ns = shared.now_ns();
        shared.frames.clear();
        shared.echo.write(now_ns, shared.mask, &mut shared.frames);
        self.send(&shared.frames)
    }

    /// Writes bytes, or keeps those that the kernel does not take until the socket can be written again.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a connection was lost"),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }
}
