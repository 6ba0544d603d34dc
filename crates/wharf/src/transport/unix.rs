//! Unix paths: the same socket calls as TCP, without a network.

use std::{io, net::Shutdown};

use super::tcp::{Socket, SocketTransport};

/// Bytes over a Unix path.
pub type UnixTransport = SocketTransport<mio::net::UnixStream>;

impl UnixTransport {
    /// Takes a socket out of the runtime.
    pub fn new(socket: tokio::net::UnixStream) -> io::Result<Self> {
        Ok(Self::from_mio(mio::net::UnixStream::from_std(socket.into_std()?)))
    }
}

impl Socket for mio::net::UnixStream {
    const NAME: &'static str = "unix";
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        mio::net::UnixStream::shutdown(self, how)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;
    use crate::transport::contract::{self, Peer, Rig};

    struct UnixPeer(UnixStream);

    impl Peer for UnixPeer {
        fn send(&mut self, bytes: &[u8]) {
            self.0.write_all(bytes).unwrap();
        }
        fn end(&mut self) {
            self.0.shutdown(Shutdown::Write).unwrap();
        }
        fn receive(&mut self, count: usize) -> Vec<u8> {
            let mut bytes = vec![0; count];
            self.0.read_exact(&mut bytes).unwrap();
            bytes
        }
        fn receive_end(&mut self) -> Vec<u8> {
            let mut bytes = Vec::new();
            self.0.read_to_end(&mut bytes).unwrap();
            bytes
        }
    }

    fn rig() -> Rig {
        let (peer, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let transport = UnixTransport::from_mio(mio::net::UnixStream::from_std(socket));
        Rig::new(Box::new(transport), Box::new(UnixPeer(peer)))
    }

    #[test]
    fn unix_paths_keep_the_contract() {
        contract::holds(rig);
    }
}
