//! How a connection's bytes carry messages: one file for each transport.

pub mod device;
mod lines;
mod poll;
mod sse;
mod websocket;

use std::borrow::Cow;

use bytes::BytesMut;
use clap::ValueEnum;

use super::dial::Target;

/// The way by which clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    Websocket,
    /// JSON lines over TCP.
    Tcp,
    /// Server-sent events; commands go by POST to /emulation.
    Sse,
    /// Long polls: each answer is a request of its own.
    Poll,
    /// Lines of a device over TCP, to a listener that the server's configuration describes.
    Device,
}

impl Transport {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Tcp => "tcp",
            Self::Sse => "sse",
            Self::Poll => "poll",
            Self::Device => "device",
        }
    }
}

/// The server has too much to do for one more connection (503), which may come again.
#[derive(Debug)]
pub struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the server has too much to do (503)")
    }
}

impl std::error::Error for Busy {}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Out {
    /// On the connection itself.
    pub here: BytesMut,
    /// HTTP requests on connections of their own.
    pub aside: Vec<Vec<u8>>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Unit<'a> {
    /// The server agreed to speak WebSocket.
    Upgraded,
    /// Messages, a line each.
    Messages(Cow<'a, [u8]>),
    /// The same, compressed by itself.
    Deflated(&'a [u8]),
    /// It was for the wire alone, which has put its answer into [`Out::here`], if there is one.
    Handled,
}

/// The state of one connection's wire.
pub enum Wire {
    Websocket(websocket::Websocket),
    Lines,
    Sse(sse::Sse),
    Poll(poll::Poll),
    /// The device with this number.
    Device(usize),
}

impl Wire {
    /// `deflate`: whether a WebSocket offers compression. `index`: what tells a device from the others.
    pub fn new(transport: Transport, deflate: bool, index: usize) -> Self {
        match transport {
            Transport::Websocket => Self::Websocket(websocket::Websocket::new(deflate)),
            Transport::Tcp => Self::Lines,
            Transport::Sse => Self::Sse(sse::Sse::default()),
            Transport::Poll => Self::Poll(poll::Poll::default()),
            Transport::Device => Self::Device(index),
        }
    }

    /// The first that is said. A WebSocket asks for an upgrade first, and `connect` is said when it is there; the
    /// others say it at once, and then this is true.
    pub fn greet(&mut self, connect: &str, target: &Target, out: &mut Out) -> anyhow::Result<bool> {
        match self {
            Self::Websocket(websocket) => websocket.greet(target, out).map(|()| false),
            Self::Sse(_) => {
                sse::greet(connect, target, out);
                Ok(true)
            }
            Self::Device(id) => {
                device::greet(*id, out);
                Ok(true)
            }
            Self::Lines | Self::Poll(_) => {
                self.say(connect.as_bytes(), target, out)?;
                self.flush(target, out);
                Ok(true)
            }
        }
    }

    /// The first unit of what came, and its length in bytes; `None` if it is not whole yet.
    pub fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        target: &Target,
        out: &mut Out,
    ) -> anyhow::Result<Option<(Unit<'a>, usize)>> {
        match self {
            Self::Websocket(websocket) => websocket.take(bytes, target, out),
            Self::Lines | Self::Device(_) => Ok(lines::take(bytes)),
            Self::Sse(sse) => sse.take(bytes),
            Self::Poll(poll) => poll.take(bytes),
        }
    }

    /// Says one command.
    pub fn say(&mut self, command: &[u8], target: &Target, out: &mut Out) -> anyhow::Result<()> {
        match self {
            Self::Websocket(websocket) => websocket.say(command, out),
            Self::Lines | Self::Device(_) => lines::say(command, out),
            Self::Sse(sse) => return sse.say(command, target, out),
            Self::Poll(poll) => poll.say(command),
        }
        Ok(())
    }

    /// All that came was heard: whoever polls asks again.
    pub fn flush(&mut self, target: &Target, out: &mut Out) {
        if let Self::Poll(poll) = self {
            poll.flush(target, out);
        }
    }

    /// Whether it is subscribed once it is connected, without a command: a device's configuration says to what.
    pub fn is_subscribed(&self) -> bool {
        matches!(self, Self::Device(_))
    }

    /// Sees the reply to `connect`: it names the session to which commands go aside.
    pub fn connected(&mut self, reply: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Sse(sse) => sse.connected(reply),
            _ => Ok(()),
        }
    }
}
