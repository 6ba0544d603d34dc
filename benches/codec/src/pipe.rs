//! A connection in memory. What it costs is what a socket costs at least: one copy of what is read, and one of what
//! is written.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one write can leave in the memory that stands for the kernel's.
const SENT_BYTES: usize = 64 * 1024;

/// Gives the same bytes again and again, and takes whatever is written.
#[derive(Debug)]
pub struct Pipe {
    input: Arc<[u8]>,
    taken: usize,
    sent: Vec<u8>,
    sent_bytes: Arc<AtomicU64>,
}

impl Pipe {
    /// A connection whose peer says `input` whenever it is read. No read reaches beyond the end of `input`, as if
    /// the peer waited there for a moment.
    pub fn new(input: Arc<[u8]>) -> Self {
        Self { input, taken: 0, sent: vec![0; SENT_BYTES], sent_bytes: Arc::default() }
    }

    /// Counts the bytes that are written, for whoever has given the pipe away.
    pub fn sent_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent_bytes)
    }

    fn take(&mut self, most: usize) -> &[u8] {
        if self.taken == self.input.len() {
            self.taken = 0;
        }
        let start = self.taken;
        self.taken += most.min(self.input.len() - start);
        &self.input[start..self.taken]
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(SENT_BYTES) {
            self.sent[..piece.len()].copy_from_slice(piece);
        }
        // There is one writer: nothing is lost between the two, and neither costs more than a plain addition.
        let before = self.sent_bytes.load(Ordering::Relaxed);
        self.sent_bytes.store(before + bytes.len() as u64, Ordering::Relaxed);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.take(buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().for_each(|slice| self.send(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.get_mut().take(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write(self.get_mut(), bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write_vectored(self.get_mut(), slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
