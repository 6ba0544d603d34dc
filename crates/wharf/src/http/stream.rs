//! A socket while the runtime still has it, and the way out to a worker.

use std::{
    io::{self, IoSlice},
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
    listener::RawSocket,
    transport::{Transport, tcp::TcpTransport, tls::TlsTransport, unix::UnixTransport},
};

/// Bytes of one connection, in the runtime.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Takes an accepted socket into the runtime.
    pub fn open(socket: RawSocket) -> io::Result<Self> {
        Ok(match socket {
            RawSocket::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket)?),
            RawSocket::Unix(socket) => Self::Unix(UnixStream::from_std(socket)?),
        })
    }

    /// What JSON lines over this are called in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Tcp(_) | Self::Tls(_) => "tcp",
        }
    }

    /// Takes the socket out of the runtime. The bytes are those that TLS had already read from it.
    pub fn into_transport(self) -> io::Result<(Box<dyn Transport>, Bytes)> {
        Ok(match self {
            Self::Tcp(socket) => (Box::new(TcpTransport::new(socket)?), Bytes::new()),
            Self::Unix(socket) => (Box::new(UnixTransport::new(socket)?), Bytes::new()),
            Self::Tls(stream) => {
                let (transport, leftover) = TlsTransport::new(*stream)?;
                (Box::new(transport), leftover)
            }
        })
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
