//! JSON lines on a bare TCP connection or Unix path: one message, one line.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{CLIENT_MESSAGE_BYTES, Incoming, LinkError, Wire, dial, within};
use crate::client::address::Endpoint;

/// A socket that carries lines.
pub struct LinesLink {
    stream: Box<dyn Wire>,
    input: LineBuffer,
}

impl LinesLink {
    /// Dials.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, LinkError> {
        Ok(Self { stream: dial(endpoint).await?, input: LineBuffer::default() })
    }

    /// The next line. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        loop {
            if let Some(line) = self.input.pop()? {
                return Ok(Incoming::text(line));
            }
            let read = self.stream.read_buf(&mut self.input.bytes).await;
            if read.map_err(|error| LinkError::cut(&error))? == 0 {
                return Err(LinkError::closed());
            }
        }
    }

    /// Sends lines.
    pub async fn send(&mut self, lines: &[u8]) -> Result<(), LinkError> {
        let whole = [lines, b"\n"].concat();
        within(self.stream.write_all(&whole)).await.map_err(|error| LinkError::cut(&error))
    }

    /// Says that this side is done.
    pub async fn close(&mut self) {
        // The connection is over either way.
        let _ = within(self.stream.shutdown()).await;
    }
}

/// Cuts bytes into lines; empty ones are passed over.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    pub(super) bytes: BytesMut,
    /// How many bytes are known to hold no line end.
    searched: usize,
}

impl LineBuffer {
    pub(super) fn pop(&mut self) -> Result<Option<Bytes>, LinkError> {
        while let Some(at) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.bytes.split_to(self.searched + at + 1).freeze();
            self.searched = 0;
            let line = line.slice_ref(line.trim_ascii());
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.bytes.len();
        if self.searched > CLIENT_MESSAGE_BYTES { Err(LinkError::too_long()) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Bytes> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in pieces {
            buffer.bytes.extend_from_slice(piece);
            lines.extend(std::iter::from_fn(|| buffer.pop().expect("short lines")));
        }
        lines
    }

    #[test]
    fn cuts_lines_however_the_bytes_come() {
        let whole = b"one\r\n\n\n two\nthree";
        for at in 0..whole.len() {
            assert_eq!(lines(&[&whole[..at], &whole[at..]]), ["one", "two"], "split at {at}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let mut buffer = LineBuffer::default();
        buffer.bytes.extend_from_slice(&vec![b'x'; CLIENT_MESSAGE_BYTES + 1]);
        assert!(buffer.pop().is_err());
    }
}
