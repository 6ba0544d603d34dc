//! TCP, and Unix paths: sockets whose bytes go to the kernel as they are.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
};

use super::Transport;

/// A socket of the kernel's, `mio`'s TCP or Unix stream. Takes ownership of the descriptor, which must be
/// non-blocking already.
pub struct SocketTransport<S> {
    /// None once it is closed.
    socket: Option<S>,
}

/// Bytes over TCP.
pub type TcpTransport = SocketTransport<mio::net::TcpStream>;

impl TcpTransport {
    /// Takes a socket that is non-blocking and that nothing else watches.
    pub fn new(socket: std::net::TcpStream) -> Self {
        Self::from_mio(mio::net::TcpStream::from_std(socket))
    }
}

impl<S> SocketTransport<S> {
    pub(super) fn from_mio(socket: S) -> Self {
        Self { socket: Some(socket) }
    }

    fn open(&mut self) -> io::Result<&mut S> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
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
        self.open()?.read(into)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = self.open()?;
        match slices {
            // write(2) is cheaper than writev(2) of one slice.
            [only] => socket.write(only),
            several => socket.write_vectored(several),
        }
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        self.socket.as_mut().map(|socket| socket as &mut dyn mio::event::Source)
    }

    fn finish(&mut self) {
        if let Some(socket) = &self.socket {
            // A peer that is gone already makes this fail, and reads say so next.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self) {
        // The kernel ends both halves of what nobody has open.
        self.socket = None;
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
        Rig::new(Box::new(TcpTransport::new(socket)), Box::new(peer))
    }

    #[test]
    fn tcp_keeps_the_contract() {
        contract::holds(rig);
    }
}
