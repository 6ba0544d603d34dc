//! One non-blocking socket of the generator's, with what it holds of a message that is not whole.

use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use socket2::SockRef;

pub struct Socket {
    stream: TcpStream,
    dialed: bool,
    /// The begin of a message whose rest has not come.
    partial: Vec<u8>,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, dialed: false, partial: Vec::new(), unsent: Vec::new() }
    }

    /// The socket can be written, or has failed to open. True at the first time that it can.
    pub fn handle_writable(&mut self) -> anyhow::Result<bool> {
        if !self.dialed {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("a connection cannot be opened; is a server listening there?");
            }
            match self.stream.peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                outcome => outcome?,
            };
            self.dialed = true;
            return Ok(true);
        }
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        Ok(false)
    }

    /// Reads once, behind what was kept; says where the bytes end. `None`: nothing is there.
    pub fn fill(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<usize>> {
        let before = self.partial.len();
        if before == buffer.len() {
            bail!("the server sent a message of more than {before} bytes");
        }
        buffer[..before].copy_from_slice(&self.partial);
        loop {
            match self.stream.read(&mut buffer[before..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => {
                    self.partial.clear();
                    return Ok(Some(before + count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a connection was lost"),
            }
        }
    }

    /// Keeps bytes of a message that is not whole until more come.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
    }

    /// Writes bytes, or keeps those that the kernel does not take until the socket can be written again.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a connection was lost"),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// Has the end of this socket be a reset, as when a network fails; it leaves no port behind that must wait.
    pub fn cut(self) -> std::io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO))
    }
}
