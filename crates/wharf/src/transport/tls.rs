//! TLS outside of the runtime: the handshake was done by tokio-rustls, what follows is driven by a worker.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use rustls::ServerConnection;

use super::{Transport, Vitals, kernel::tcp_vitals};
use crate::ledger::Origin;

/// The most plain bytes that are encrypted before the kernel has taken the ciphertext of those before.
/// LIMITS.md, `tls_write_bytes`.
const WRITE_BYTES: usize = 64 * 1024;

/// Bytes over TLS over TCP.
///
/// Ciphertext that the kernel did not take stays in here, where the worker does not see it. So that the worker
/// waits for the socket all the same, the last plain byte of such a write is not reported as written: it is
/// *owed*. The worker offers it again with the next write, as it must after any partial write, and it is then
/// skipped.
pub struct TlsTransport {
    socket: mio::net::TcpStream,
    connection: Box<ServerConnection>,
    origin: Origin,
    owed: bool,
    open: bool,
}

impl TlsTransport {
    /// Takes a connection out of the runtime after its handshake. Also gives the plain bytes that arrived
    /// already: they are the first of what the peer said.
    pub fn new(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> io::Result<(Self, Bytes)> {
        let (socket, connection) = stream.into_inner();
        let mut transport = Self::from_parts(mio::net::TcpStream::from_std(socket.into_std()?), connection);
        let mut leftover = BytesMut::new();
        transport.take_plain(&mut leftover)?;
        Ok((transport, leftover.freeze()))
    }

    fn from_parts(socket: mio::net::TcpStream, mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(WRITE_BYTES));
        let connection = Box::new(connection);
        Self { socket, connection, origin: Origin::UNKNOWN, owed: false, open: true }
    }

    /// The same, and where it came from.
    pub fn from_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    fn take_plain(&mut self, into: &mut BytesMut) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            match self.connection.reader().read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => into.extend_from_slice(&piece[..count]),
                // An end without close_notify shows again at the worker's first read.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands ciphertext to the kernel. Whether all of it was taken.
    fn flush(&mut self) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Encrypts a prefix of the slices without their first `skip` bytes; how long it was, without these.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], mut skip: usize) -> io::Result<usize> {
        if skip == 0 {
            return self.connection.writer().write_vectored(slices);
        }
        let mut rest = Vec::with_capacity(slices.len());
        for slice in slices {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            rest.push(IoSlice::new(&slice[skipped..]));
        }
        self.connection.writer().write_vectored(&rest)
    }

    fn check_open(&self) -> io::Result<()> {
        if self.open { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }
}

impl Transport for TlsTransport {
    /// Fills `into` unless the socket has nothing more, so that a short read means a drained socket here too.
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check_open()?;
        let mut filled = 0;
        while filled < into.len() {
            match self.connection.reader().read(&mut into[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(count) => {
                    filled += count;
                    continue;
                }
                // The peer's TCP half ended without close_notify: an end all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(filled),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.connection.read_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
            let processed = self.connection.process_new_packets();
            // Answers of TLS itself (key updates, alerts). What the kernel does not take goes with the next write.
            let flushed = self.flush();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            flushed?;
        }
        Ok(filled)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_open()?;
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        let owed = usize::from(self.owed);
        let written = owed + self.encrypt(slices, owed)?;
        self.owed = false;
        if self.flush()? {
            return Ok(written);
        }
        self.owed = true;
        if written == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written - 1) }
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        Some(&mut self.socket)
    }

    fn finish(&mut self) {
        self.connection.send_close_notify();
        // What was written before is at the kernel already, or its last byte would be owed.
        let _ = self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.connection.send_close_notify();
            // A peer that is gone or reads nothing misses the close_notify; its TCP end comes either way.
            let _ = self.flush();
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// The bytes are those on the wire, encrypted.
    fn has_path(&self) -> bool {
        true
    }

    fn vitals(&self) -> Vitals {
        tcp_vitals(&self.socket)
    }

    fn name(&self) -> &'static str {
        "tls"
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        sync::Arc,
    };

    use rustls::{ClientConnection, StreamOwned};

    use super::*;
    use crate::{
        tls::testing,
        transport::contract::{self, Peer, Rig},
    };

    impl Peer for StreamOwned<ClientConnection, TcpStream> {
        fn end(&mut self) {
            self.conn.send_close_notify();
            self.flush().unwrap();
            self.sock.shutdown(Shutdown::Write).unwrap();
        }
    }

    fn rig() -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let certificate = testing::certificate();
        let client = ClientConnection::new(
            Arc::new(testing::client_config(&certificate)),
            "localhost".try_into().unwrap(),
        )
        .unwrap();
        let handshake = std::thread::spawn(move || {
            let mut peer = StreamOwned::new(client, socket);
            peer.conn.complete_io(&mut peer.sock).unwrap();
            peer
        });
        let (mut socket, _) = listener.accept().unwrap();
        let mut server = ServerConnection::new(Arc::new(testing::server_config(&certificate))).unwrap();
        while server.is_handshaking() {
            server.complete_io(&mut socket).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        let transport = TlsTransport::from_parts(mio::net::TcpStream::from_std(socket), server);
        Rig::new(Box::new(transport), Box::new(handshake.join().unwrap()))
    }

    #[test]
    fn tls_keeps_the_contract() {
        contract::holds(rig);
    }
}
