//! TCP, and Unix paths: sockets whose bytes go to the kernel as they are.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

use super::{Transport, Vitals, kernel::tcp_vitals};
use crate::ledger::Origin;

/// A socket of the kernel's, `mio`'s TCP or Unix stream. Takes ownership of the descriptor, which must be
/// non-blocking already.
pub struct SocketTransport<S: Socket> {
    /// None once it is closed.
    socket: Option<S>,
    origin: Origin,
    counted: S::Count,
}

/// Bytes over TCP.
pub type TcpTransport = SocketTransport<mio::net::TcpStream>;

impl TcpTransport {
    /// Takes a socket that is non-blocking and that nothing else watches.
    pub fn new(socket: std::net::TcpStream) -> Self {
        Self::from_mio(mio::net::TcpStream::from_std(socket))
    }
}

impl<S: Socket> SocketTransport<S> {
    pub(super) fn from_mio(socket: S) -> Self {
        Self { socket: Some(socket), origin: Origin::UNKNOWN, counted: S::Count::default() }
    }

    /// The same, and where it came from.
    pub fn from_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    fn open(&mut self) -> io::Result<&mut S> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// What `mio`'s stream types have in common beside reading and writing.
pub trait Socket: Read + Write + AsRawFd + mio::event::Source + Send + 'static {
    /// The name in logs and metrics.
    const NAME: &'static str;
    /// There is a network between the two ends, of which the kernel keeps account.
    const HAS_PATH: bool;
    /// What must be counted here, since the kernel does not.
    type Count: Count;
    /// `shutdown(2)`.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    /// The peer's address, where it has one.
    fn peer(&self) -> Option<SocketAddr>;
    /// What the kernel has counted.
    fn vitals(&self) -> Vitals;
}

/// Counts bytes, or leaves it to the kernel.
pub trait Count: Default + Send + 'static {
    /// So many came.
    fn read(&mut self, count: usize);
    /// So many went.
    fn written(&mut self, count: usize);
    /// From the peer, and to it.
    fn bytes(&self) -> Option<(u64, u64)>;
}

/// The kernel counts.
impl Count for () {
    fn read(&mut self, _: usize) {}
    fn written(&mut self, _: usize) {}
    fn bytes(&self) -> Option<(u64, u64)> {
        None
    }
}

impl Socket for mio::net::TcpStream {
    const NAME: &'static str = "tcp";
    const HAS_PATH: bool = true;
    type Count = ();
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        mio::net::TcpStream::shutdown(self, how)
    }
    fn peer(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
    fn vitals(&self) -> Vitals {
        tcp_vitals(self)
    }
}

impl<S: Socket> Transport for SocketTransport<S> {
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.open()?.read(into)?;
        self.counted.read(count);
        Ok(count)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = self.open()?;
        let count = match slices {
            // write(2) is cheaper than writev(2) of one slice.
            [only] => socket.write(only),
            several => socket.write_vectored(several),
        }?;
        self.counted.written(count);
        Ok(count)
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        self.socket.as_mut().map(|socket| socket as &mut dyn mio::event::Source)
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    fn sent_beside(&mut self, count: usize) {
        self.counted.written(count);
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

    fn origin(&self) -> Origin {
        self.origin
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.as_ref().and_then(S::peer)
    }

    fn vitals(&self) -> Vitals {
        let vitals = self.socket.as_ref().map_or_else(Vitals::default, S::vitals);
        Vitals { bytes: self.counted.bytes().or(vitals.bytes), ..vitals }
    }

    /// Without the system call by which the kernel would say the same.
    fn has_path(&self) -> bool {
        S::HAS_PATH && self.socket.is_some()
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
