//! The socket of an HTTP/1 connection, shared by hyper's adapter and by a request that waits: hyper itself does
//! not look at the socket while a request is in flight.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use super::stream::Stream;

/// One read of the socket takes so much at most. LIMITS.md, `http_read_bytes`.
const READ_BYTES: usize = 8 * 1024;

/// A socket, and what came from it and nobody has judged yet.
pub struct Side {
    pub stream: Stream,
    pub buffer: BytesMut,
}

/// A shared [`Side`]. All who have it are polled by the same task, so the lock is never waited for.
#[derive(Clone)]
pub struct Peer(Arc<Mutex<Side>>);

impl Peer {
    pub fn new(stream: Stream, buffer: BytesMut) -> Self {
        Self(Arc::new(Mutex::new(Side { stream, buffer })))
    }

    pub fn side(&self) -> MutexGuard<'_, Side> {
        // A panic in a read or write leaves a socket that fails next, and no state of ours.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket, if nobody else has a share in it.
    pub fn into_side(self) -> Option<Side> {
        Arc::into_inner(self.0).map(|side| side.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the client ends its half or is gone. What it sends meanwhile is kept for the guard; once
    /// [`READ_BYTES`] of that wait, the client counts as there.
    pub async fn gone(&self) {
        std::future::poll_fn(|context| {
            let mut side = self.side();
            while side.buffer.len() < READ_BYTES {
                match side.poll_fill(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                }
            }
            Poll::Pending
        })
        .await;
    }
}

impl Side {
    /// Reads what is there into the buffer; 0 is the end of the peer's half.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [MaybeUninit::uninit(); READ_BYTES];
        let mut piece = ReadBuf::uninit(&mut piece);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
        self.buffer.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }
}
