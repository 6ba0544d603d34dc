//! TCP, and Unix paths: sockets whose bytes go to the kernel as they are.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
};

use super::Transport;

/// A socket of the kernel's, `mio`'s TCP or Unix stream. Takes ownership of the descriptor, which must be
/// non-blocking already.
pub struct SocketTransport<S> {
    socket: S,
    open: bool,
}

/// Bytes over TCP.
pub type TcpTransport = SocketTransport<mio::net::TcpStream>;

impl TcpTransport {
    /// Takes a socket out of the runtime.
    pub fn new(socket: tokio::net::TcpStream) -> io::Result<Self> {
        Ok(Self::from_mio(mio::net::TcpStream::from_std(socket.into_std()?)))
    }
}

impl<S> SocketTransport<S> {
    pub(super) fn from_mio(socket: S) -> Self {
        Self { socket, open: true }
    }

    fn check_open(&self) -> io::Result<()> {
        if self.open { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }
}

/// What `mio`'s stream types have in common beside reading and writing.
pub trait Socket: Read + Write + mio::event::Source + Send + 'static {
    /// The name in logs and metrics.
    const NAME: &'static str;
    /// `shutdown(2)`.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

impl Socket for mio::net::TcpStream {
    const NAME: &'static str = "tcp";
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        mio::net::TcpStream::shutdown(self, how)
    }
}

impl<S: Socket> Transport for SocketTransport<S> {
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check_open()?;
        self.socket.read(into)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_open()?;
        match slices {
            // write(2) is cheaper than writev(2) of one slice.
            [only] => self.socket.write(only),
            several => self.socket.write_vectored(several),
        }
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        Some(&mut self.socket)
    }

    fn finish(&mut self) {
        // A peer that is gone already makes this fail, and reads say so next.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn close(&mut self) {
        self.open = false;
        // A peer that is gone already makes this fail, and then there is nobody left to tell.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn name(&self) -> &'static str {
        S::NAME
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::transport::contract::{self, Peer, Rig};

    impl Peer for TcpStream {
        fn end(&mut self) {
            self.shutdown(Shutdown::Write).unwrap();
        }
    }

    fn rig() -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let transport = TcpTransport::from_mio(mio::net::TcpStream::from_std(socket));
        Rig::new(Box::new(transport), Box::new(peer))
    }

    #[test]
    fn tcp_keeps_the_contract() {
        contract::holds(rig);
    }
}
