//! A socket while the runtime still has it, and the way out to a worker.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

use crate::{
    listener::RawSocket,
    settings::Times,
    transport::{Transport, tcp::TcpTransport, tls::TlsTransport, unix::UnixTransport},
};

/// Idle time before the kernel's first keep-alive probe, and between probes: a second line of defence behind
/// heartbeats, which see a peer that is dead although its kernel is not.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Bytes of one connection, in the runtime.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Takes an accepted socket into the runtime and sets its options.
    pub fn open(socket: RawSocket, times: &Times) -> io::Result<Self> {
        match socket {
            RawSocket::Tcp(socket) => {
                set_options(&socket, times)?;
                Ok(Self::Tcp(TcpStream::from_std(socket)?))
            }
            RawSocket::Unix(socket) => Ok(Self::Unix(UnixStream::from_std(socket)?)),
        }
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

fn set_options(socket: &std::net::TcpStream, times: &Times) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    // Without it a peer that vanished while something was being sent to it stays open for a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_millis(times.tcp_user_timeout_ms)))?;
    #[cfg(not(target_os = "linux"))]
    let _ = times;
    Ok(())
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
