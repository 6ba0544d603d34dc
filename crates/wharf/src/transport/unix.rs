//! Unix paths: the same socket calls as TCP, without a network.

use std::{
    io,
    net::{Shutdown, SocketAddr},
};

use super::{
    Vitals,
    tcp::{Count, Socket, SocketTransport},
};

/// Bytes over a Unix path.
pub type UnixTransport = SocketTransport<mio::net::UnixStream>;

impl UnixTransport {
    /// Takes a socket that is non-blocking and that nothing else watches.
    pub fn new(socket: std::os::unix::net::UnixStream) -> Self {
        Self::from_mio(mio::net::UnixStream::from_std(socket))
    }
}

impl Socket for mio::net::UnixStream {
    const NAME: &'static str = "unix";
    const HAS_PATH: bool = false;
    type Count = Counted;
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        mio::net::UnixStream::shutdown(self, how)
    }
    fn peer(&self) -> Option<SocketAddr> {
        None
    }
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
}

/// The bytes of one connection: the kernel counts none on Unix paths.
#[derive(Default)]
pub struct Counted {
    read: u64,
    written: u64,
}

impl Count for Counted {
    fn read(&mut self, count: usize) {
        self.read += count as u64;
    }
    fn written(&mut self, count: usize) {
        self.written += count as u64;
    }
    fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.read, self.written))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::contract::{self, Peer, Rig};

    impl Peer for UnixStream {
        fn end(&mut self) {
            self.shutdown(Shutdown::Write).unwrap();
        }
    }

    fn rig() -> Rig {
        let (peer, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        Rig::new(Box::new(UnixTransport::new(socket)), Box::new(peer))
    }

    #[test]
    fn unix_paths_keep_the_contract() {
        contract::holds(rig);
    }
}
