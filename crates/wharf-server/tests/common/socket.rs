//! A socket of either kind that the server listens on, and the address of one.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use super::{PATIENCE, network};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// As `127.0.0.1:8000`.
    Tcp(String),
    Unix(PathBuf),
    /// A TCP address as it is reached from a network namespace, which is named by its file.
    Within {
        namespace: PathBuf,
        address: String,
    },
}

impl Address {
    /// Reads what the server prints: `127.0.0.1:8000` or `unix:/path`.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.to_owned()),
        }
    }

    /// Opens a connection on which reads and writes fail after [`PATIENCE`].
    pub fn open(&self) -> Socket {
        let socket = match self {
            Self::Tcp(address) => TcpStream::connect(address).map(Socket::Tcp),
            Self::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
            Self::Within { namespace, address } => {
                network::within(namespace, || TcpStream::connect(address)).map(Socket::Tcp)
            }
        };
        let socket = socket.unwrap_or_else(|error| panic!("cannot connect to {self:?}: {error}"));
        socket.set_patience(PATIENCE);
        socket
    }
}

/// A connection over TCP or a Unix path.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// After this time a read or write that waits fails.
    pub fn set_patience(&self, patience: Duration) {
        let patience = Some(patience);
        match self {
            Self::Tcp(socket) => {
                socket.set_read_timeout(patience).and_then(|()| socket.set_write_timeout(patience))
            }
            Self::Unix(socket) => {
                socket.set_read_timeout(patience).and_then(|()| socket.set_write_timeout(patience))
            }
        }
        .expect("a time that is not zero can be set");
    }

    /// Says that no more will be sent (a FIN); what the server sends can still be read.
    pub fn finish_writing(&self) {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
        }
        .expect("the socket is open");
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Everything until the server closes. A reset counts as a close: the server may close while it has not read
    /// all that was sent.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                panic!("the server did not close: {error}; it sent {:?}", String::from_utf8_lossy(&bytes))
            }
            _ => bytes,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
