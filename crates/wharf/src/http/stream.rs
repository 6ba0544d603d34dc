//! A socket while the runtime still has it, and the way out to a worker.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

use crate::{
    ledger::Origin,
    listener::RawSocket,
    transport::{Transport, tcp::TcpTransport, tls::TlsTransport, unix::UnixTransport},
};

/// Bytes of one connection, in the runtime.
pub enum Stream {
    /// Not watched by the runtime yet: a request that is there already is read without, and if it is for a worker the
    /// runtime never needs to.
    Fresh(Fresh),
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A socket as it was accepted.
pub struct Fresh {
    /// None if watching it failed.
    socket: Option<RawSocket>,
    /// One read was done. The runtime does the others, so that a peer that sends without end takes turns with the rest.
    was_read: bool,
}

impl Stream {
    /// An accepted socket, non-blocking.
    pub fn new(socket: RawSocket) -> Self {
        Self::Fresh(Fresh { socket: Some(socket), was_read: false })
    }

    /// Has the runtime watch the socket, if it does not yet.
    pub fn watch(&mut self) -> io::Result<()> {
        if let Self::Fresh(fresh) = self {
            *self = match fresh.socket.take().ok_or(io::ErrorKind::NotConnected)? {
                RawSocket::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket)?),
                RawSocket::Unix(socket) => Self::Unix(UnixStream::from_std(socket)?),
            };
        }
        Ok(())
    }

    /// Reads what is there already, without the runtime. False if nothing is, or the runtime watches the socket.
    fn read_now(&mut self, into: &mut ReadBuf<'_>) -> io::Result<bool> {
        let Self::Fresh(Fresh { socket: Some(socket), was_read: was_read @ false }) = self else {
            return Ok(false);
        };
        let free = into.initialize_unfilled();
        let read = match socket {
            RawSocket::Tcp(socket) => socket.read(free),
            RawSocket::Unix(socket) => socket.read(free),
        };
        match read {
            Ok(count) => into.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        *was_read = true;
        Ok(true)
    }

    /// What JSON lines over this are called in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unix(_) | Self::Fresh(Fresh { socket: Some(RawSocket::Unix(_)), .. }) => "unix",
            Self::Tcp(_) | Self::Tls(_) | Self::Fresh(_) => "tcp",
        }
    }

    /// Takes the socket out of the runtime. The bytes are those that TLS had already read from it.
    pub fn into_transport(self, origin: Origin) -> io::Result<(Box<dyn Transport>, Bytes)> {
        Ok(match self {
            Self::Fresh(fresh) => match fresh.socket.ok_or(io::ErrorKind::NotConnected)? {
                RawSocket::Tcp(socket) => (tcp(socket, origin), Bytes::new()),
                RawSocket::Unix(socket) => (unix(socket, origin), Bytes::new()),
            },
            Self::Tcp(socket) => (tcp(socket.into_std()?, origin), Bytes::new()),
            Self::Unix(socket) => (unix(socket.into_std()?, origin), Bytes::new()),
            Self::Tls(stream) => {
                let (transport, leftover) = TlsTransport::new(*stream)?;
                (Box::new(transport.from_origin(origin)), leftover)
            }
        })
    }
}

fn tcp(socket: std::net::TcpStream, origin: Origin) -> Box<dyn Transport> {
    Box::new(TcpTransport::new(socket).from_origin(origin))
}

fn unix(socket: std::os::unix::net::UnixStream, origin: Origin) -> Box<dyn Transport> {
    Box::new(UnixTransport::new(socket).from_origin(origin))
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {{
        let this = $self.get_mut();
        this.watch()?;
        match this {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }};
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_now(into)? {
            return Poll::Ready(Ok(()));
        }
        each!(self, stream => Pin::new(stream).poll_read(context, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
