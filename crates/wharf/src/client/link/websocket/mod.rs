//! A WebSocket to a server: the socket and the clock of a [`Connection`].

mod connection;
mod handshake;

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncWriteExt, ReadBuf},
    time::{Instant, sleep_until},
};
use wharf_proto::{
    websocket::{
        CloseCode,
        deflate::{DeflateOffer, MIN_DEFLATED_BYTES},
    },
    wire::{DeframeLimits, MessageKind},
};

use self::connection::Connection;
pub use self::connection::{CLOSE_TIMEOUT, END_TIMEOUT};
use super::{CLIENT_MESSAGE_BYTES, Incoming, LinkError, Wire, dial, within};
use crate::client::address::Endpoint;

/// Where the Centrifuge protocol has its WebSocket.
const TARGET: &str = "/connection/websocket";

/// The most fragments of one message that a client takes. See LIMITS.md, `client_fragments`.
pub const CLIENT_FRAGMENTS: u32 = 1_024;

/// Bytes that are read at once.
const READ_BYTES: usize = 32 * 1024;

/// What a client asks for, and bears, beside the address.
#[derive(Debug, Clone)]
pub struct WebsocketOptions {
    /// The subprotocols that the client speaks, the best first.
    pub subprotocols: Vec<String>,
    /// Further headers of the handshake, such as `Origin` and `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Offers to compress messages (RFC 7692). A connection that remembers its messages takes up to 392 KiB for it.
    pub deflate: Option<DeflateOffer>,
    /// Messages shorter than this are sent as they are.
    pub min_deflated_bytes: usize,
    /// The bounds of a message; past them the client closes with 1009.
    pub limits: DeframeLimits,
}

/// No subprotocol, header or compression; messages of at most [`CLIENT_MESSAGE_BYTES`] in [`CLIENT_FRAGMENTS`].
impl Default for WebsocketOptions {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            headers: Vec::new(),
            deflate: None,
            min_deflated_bytes: MIN_DEFLATED_BYTES,
            limits: DeframeLimits { message_bytes: CLIENT_MESSAGE_BYTES, fragments: CLIENT_FRAGMENTS },
        }
    }
}

/// An established WebSocket.
pub struct WebsocketLink {
    stream: Box<dyn Wire>,
    connection: Connection,
    buffer: Box<[u8]>,
}

impl WebsocketLink {
    /// Dials and shakes hands. `target` is path and query, `/connection/websocket` where none is given.
    pub async fn open(
        endpoint: &Endpoint,
        target: Option<&str>,
        options: &WebsocketOptions,
    ) -> Result<Self, LinkError> {
        let stream = dial(endpoint).await?;
        Self::over(stream, &endpoint.host(), target.unwrap_or(TARGET), options).await
    }

    /// Shakes hands over a stream.
    async fn over(
        mut stream: Box<dyn Wire>,
        host: &str,
        target: &str,
        options: &WebsocketOptions,
    ) -> Result<Self, LinkError> {
        let codec = handshake::shake_hands(&mut stream, host, target, options).await?;
        Ok(Self { stream, connection: Connection::new(codec), buffer: vec![0; READ_BYTES].into() })
    }

    /// The subprotocol that the server chose of those offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.connection.subprotocol()
    }

    /// Whether both sides agreed to compress messages.
    pub fn compresses(&self) -> bool {
        self.connection.compresses()
    }

    /// The next message, ping or pong. Pings are answered, first if the socket takes it. After the last one the error
    /// says how the connection ended, when it has: a close of the server's is answered, and its end of TCP awaited,
    /// for at most [`END_TIMEOUT`]. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        loop {
            self.write_some().await;
            if let Some(incoming) = self.connection.poll_incoming(now()) {
                return Ok(incoming);
            }
            self.check_open()?;
            self.step().await;
        }
    }

    /// Sends one text message. What comes meanwhile is kept.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), LinkError> {
        self.send_message(MessageKind::Text, message).await
    }

    /// Sends one message. What comes meanwhile is kept, so that two sides who both write do not wait for each other.
    pub async fn send_message(&mut self, kind: MessageKind, message: &[u8]) -> Result<(), LinkError> {
        // Where the server has closed already, `receive` says why; the message is lost like one on its way.
        self.connection.send(kind, message, now());
        while !self.connection.output().is_empty() {
            self.check_open()?;
            self.step().await;
        }
        Ok(())
    }

    /// Ends the connection with 1000: says so, waits for the server's word and its end of TCP, each for a bounded
    /// time ([`CLOSE_TIMEOUT`], [`END_TIMEOUT`]). What comes meanwhile is dropped.
    pub async fn close(&mut self) {
        self.close_with(CloseCode::NORMAL, "").await;
    }

    /// The same with a code and a reason of at most 123 bytes.
    pub async fn close_with(&mut self, code: CloseCode, reason: &str) {
        self.connection.close(code, reason, now());
        while self.connection.ending().is_none() {
            while self.connection.poll_incoming(now()).is_some() {}
            self.step().await;
        }
        // The connection is over either way.
        let _ = within(self.stream.shutdown()).await;
    }

    fn check_open(&self) -> Result<(), LinkError> {
        self.connection.ending().map_or(Ok(()), |ending| Err(ending.clone().into()))
    }

    /// Writes what the socket takes at once.
    async fn write_some(&mut self) {
        let Self { stream, connection, .. } = self;
        poll_fn(|context| {
            while poll_write(&mut **stream, connection, context) {}
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until something was read or written, or a deadline passed. May be dropped while it waits.
    async fn step(&mut self) {
        let Self { stream, connection, buffer, .. } = self;
        let deadline = connection.poll_timeout().map(Instant::from_std);
        let progress = poll_fn(|context| poll_progress(&mut **stream, connection, buffer, context));
        let Some(deadline) = deadline else { return progress.await };
        tokio::select! {
            () = progress => {}
            () = sleep_until(deadline) => connection.handle_timeout(now()),
        }
    }
}

/// Writes some of what is to be written; false if there is nothing, or it does not go on now.
fn poll_write(stream: &mut dyn Wire, connection: &mut Connection, context: &mut Context<'_>) -> bool {
    if connection.output().is_empty() {
        return false;
    }
    match Pin::new(stream).poll_write(context, connection.output()) {
        Poll::Ready(Ok(0)) => connection.handle_write_error(&io::ErrorKind::WriteZero.into(), now()),
        Poll::Ready(Ok(count)) => connection.handle_written(count, now()),
        Poll::Ready(Err(error)) => connection.handle_write_error(&error, now()),
        Poll::Pending => return false,
    }
    true
}

/// Writes or reads, and is ready as soon as one of the two went on.
fn poll_progress(
    stream: &mut dyn Wire,
    connection: &mut Connection,
    buffer: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<()> {
    if poll_write(stream, connection, context) {
        return Poll::Ready(());
    }
    if !connection.wants_input() {
        return Poll::Pending;
    }
    let mut read = ReadBuf::new(buffer);
    match ready!(Pin::new(stream).poll_read(context, &mut read)) {
        Ok(()) if read.filled().is_empty() => connection.handle_end(now()),
        Ok(()) => connection.handle_bytes(read.filled()),
        Err(error) => connection.handle_read_error(&error, now()),
    }
    Poll::Ready(())
}

/// The runtime's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
