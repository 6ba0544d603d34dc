//! One stream of a connection that is shared out (a WebSocket over HTTP/2) as a transport. It has no descriptor: a
//! task moves bytes between the stream and two bounded pipes, and readiness reaches the worker by its inbox.
//!
//! Each pipe is the flow control of its direction. While the worker does not read, the task does not, so that the
//! stream's window closes; while the peer does not read, writes are refused, and the rest waits in the connection's
//! outbox.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::{
    body::Body,
    rt::{Read, ReadBuf, Write},
};
use tokio::time::Sleep;

use super::{
    Transport, Vitals,
    body::{BodyTransport, PipeBody, pipe},
};
use crate::{ledger::Origin, listener::Slot};

/// The most bytes that wait for the worker; and on the way out the most that wait for the task, and that it has taken
/// and is handing on. LIMITS.md, `tunnel_bytes`.
pub const TUNNEL_BYTES: usize = 64 * 1024;

/// The most that is handed to the stream, or taken from it, at once: hyper copies what it is given, and holds up to
/// three such copies. LIMITS.md, `piece_bytes`.
const PIECE_BYTES: usize = 16 * 1024;

/// Makes a tunnel: the worker's end, and the task's. `on_ready` tells the worker that the entry is ready; it says
/// false if the worker's inbox is full, and is asked again then.
pub fn tunnel(on_ready: impl Fn(u64) -> bool + Clone + Send + Sync + 'static) -> (TunnelTransport, Tunnel) {
    let incoming: Shared = Arc::default();
    let (outgoing, outgoing_body) = pipe(TUNNEL_BYTES, Box::new(on_ready.clone()));
    let transport = TunnelTransport { incoming: incoming.clone(), outgoing, counted: None, read: 0 };
    let tunnel = Tunnel {
        incoming,
        on_ready: Box::new(on_ready),
        outgoing: Some(outgoing_body),
        taken: Bytes::new(),
        reads: true,
    };
    (transport, tunnel)
}

/// What comes from the peer, and what the two ends know of each other.
#[derive(Default)]
struct Incoming {
    buffer: BytesMut,
    /// How the peer's half ended.
    end: Option<End>,
    /// The slab entry, learnt when the worker owns the transport.
    entry: Option<u64>,
    /// There is something that the worker has not been told of.
    untold: bool,
    /// The worker closed its end.
    closed: bool,
    /// Wakes the task for what happens here and not in the stream.
    task: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Broken,
}

type Shared = Arc<Mutex<Incoming>>;

fn locked(incoming: &Shared) -> MutexGuard<'_, Incoming> {
    // Nothing panics while it holds the lock, so the state is whole even if the lock says otherwise.
    incoming.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    fn wake_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

/// The worker's end.
pub struct TunnelTransport {
    incoming: Shared,
    outgoing: BodyTransport,
    /// Counts the connection until the worker does.
    counted: Option<Slot>,
    read: u64,
}

impl TunnelTransport {
    /// Counts the connection in its worker's gate until the worker owns it.
    pub fn counted(mut self, slot: Slot) -> Self {
        self.counted = Some(slot);
        self
    }

    /// The same, and where the connection came from that it is a part of.
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.outgoing.origin = origin;
        self
    }
}

impl Transport for TunnelTransport {
    fn attached(&mut self, entry: u64) {
        self.outgoing.attached(entry);
        self.counted = None;
        let mut incoming = locked(&self.incoming);
        incoming.entry = Some(entry);
        incoming.wake_task();
    }

    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut incoming = locked(&self.incoming);
        if incoming.closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if incoming.buffer.is_empty() {
            return match incoming.end {
                None => Err(io::ErrorKind::WouldBlock.into()),
                Some(End::Finished) => Ok(0),
                Some(End::Broken) => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        let was_full = incoming.buffer.len() >= TUNNEL_BYTES;
        let count = incoming.buffer.len().min(into.len());
        into[..count].copy_from_slice(&incoming.buffer[..count]);
        incoming.buffer.advance(count);
        self.read += count as u64;
        if incoming.buffer.is_empty() {
            // A connection that waits holds no memory for what may come.
            incoming.buffer = BytesMut::new();
            // Whoever reads less than asked for reads no further, and so is told of the end anew.
            incoming.untold |= incoming.end.is_some();
        }
        if was_full || incoming.untold {
            incoming.wake_task();
        }
        Ok(count)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.outgoing.try_write(slices)
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }

    fn finish(&mut self) {
        self.outgoing.close();
    }

    fn close(&mut self) {
        self.outgoing.close();
        let mut incoming = locked(&self.incoming);
        incoming.closed = true;
        incoming.buffer = BytesMut::new();
        incoming.wake_task();
    }

    fn origin(&self) -> Origin {
        self.outgoing.origin()
    }

    fn vitals(&self) -> Vitals {
        let written = self.outgoing.vitals().bytes.map_or(0, |(_, written)| written);
        Vitals { bytes: Some((self.read, written)), path: None }
    }

    fn name(&self) -> &'static str {
        "tunnel"
    }
}

impl Drop for TunnelTransport {
    fn drop(&mut self) {
        self.close();
    }
}

/// The task's end.
pub struct Tunnel {
    incoming: Shared,
    on_ready: Box<dyn Fn(u64) -> bool + Send + Sync>,
    /// None once everything was written, or cannot be.
    outgoing: Option<PipeBody>,
    /// Taken from the pipe, and not yet by the stream.
    taken: Bytes,
    /// The peer's half has not ended.
    reads: bool,
}

impl Tunnel {
    /// Moves bytes until both halves have ended; once the worker has closed its end, for no longer than `linger`. False:
    /// the peer took nothing or did not end its half; whoever owns the stream should reset it.
    pub async fn run(mut self, stream: &mut (impl Read + Write + Unpin), linger: Duration) -> bool {
        let mut lingering: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if self.poll(stream, context).is_ready() {
                return Poll::Ready(true);
            }
            if !locked(&self.incoming).closed {
                return Poll::Pending;
            }
            let timer = lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(linger)));
            timer.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    /// Ends the tunnel without a stream: the worker finds it broken.
    pub async fn fail(mut self) {
        self.end(End::Broken);
        self.outgoing = None;
        poll_fn(|context| self.poll_tell(context)).await;
    }

    fn poll(&mut self, stream: &mut (impl Read + Write + Unpin), context: &mut Context<'_>) -> Poll<()> {
        // Kept before anything is looked at, so that no change between here and the end is missed.
        locked(&self.incoming).task = Some(context.waker().clone());
        if let Poll::Ready(Err(_)) = self.poll_outgoing(stream, context) {
            self.end(End::Broken);
        }
        self.poll_incoming(stream, context);
        let told = self.poll_tell(context);
        if self.reads || self.outgoing.is_some() { Poll::Pending } else { told }
    }

    /// Writes what the worker wrote, and then the end of our half. An error: the stream takes nothing any more.
    fn poll_outgoing(
        &mut self,
        stream: &mut (impl Write + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(outgoing) = &mut self.outgoing else { return Poll::Ready(Ok(())) };
        let written = loop {
            if self.taken.is_empty() {
                match ready!(Pin::new(&mut *outgoing).poll_frame(context)) {
                    Some(Ok(frame)) => self.taken = frame.into_data().unwrap_or_default(),
                    None => break ready!(Pin::new(&mut *stream).poll_shutdown(context)),
                }
            }
            let piece = &self.taken[..self.taken.len().min(PIECE_BYTES)];
            match ready!(Pin::new(&mut *stream).poll_write(context, piece)) {
                Ok(count) => self.taken.advance(count),
                Err(error) => break Err(error),
            }
        };
        self.outgoing = None;
        self.taken = Bytes::new();
        Poll::Ready(written)
    }

    /// Reads what the worker has room for, until the peer's half ends. Once the worker has closed its end, the rest is
    /// thrown away: a stream that is given up before it has ended is reset, and clients drop our last words for a reset.
    fn poll_incoming(&mut self, stream: &mut (impl Read + Unpin), context: &mut Context<'_>) {
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        while self.reads {
            let room = {
                let incoming = locked(&self.incoming);
                TUNNEL_BYTES.saturating_sub(incoming.buffer.len())
            };
            if room == 0 {
                return; // The worker's next read wakes the task.
            }
            let mut into = ReadBuf::uninit(&mut piece[..room.min(PIECE_BYTES)]);
            match Pin::new(&mut *stream).poll_read(context, into.unfilled()) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => self.end(End::Broken),
                Poll::Ready(Ok(())) if into.filled().is_empty() => self.end(End::Finished),
                Poll::Ready(Ok(())) => {
                    let mut incoming = locked(&self.incoming);
                    if !incoming.closed {
                        // Whoever is told reads until nothing is left.
                        incoming.untold |= incoming.buffer.is_empty();
                        incoming.buffer.extend_from_slice(into.filled());
                    }
                }
            }
        }
    }

    fn end(&mut self, end: End) {
        self.reads = false;
        let mut incoming = locked(&self.incoming);
        incoming.end = Some(end);
        incoming.untold = true;
    }

    /// Tells the worker if there is something to tell; ready once it knows all and has read all, or is gone.
    fn poll_tell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let entry = {
            let mut incoming = locked(&self.incoming);
            if incoming.closed || !incoming.untold && incoming.buffer.is_empty() {
                return Poll::Ready(());
            }
            if !incoming.untold {
                return Poll::Pending; // The worker's last read tells of the end, and wakes the task.
            }
            incoming.task = Some(context.waker().clone());
            // Not attached yet: `attached` wakes the task.
            let Some(entry) = incoming.entry else { return Poll::Pending };
            // What comes from here on is told anew.
            incoming.untold = false;
            entry
        };
        let told = (self.on_ready)(entry);
        let mut incoming = locked(&self.incoming);
        if !told {
            incoming.untold = true;
            // The worker's inbox is full; the worker drains it each tick, so this asks again after one.
            context.waker().wake_by_ref();
        }
        if told && incoming.buffer.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Tunnel {
    /// The task ended early, with its runtime or its stream: the worker finds the tunnel broken.
    fn drop(&mut self) {
        let mut incoming = locked(&self.incoming);
        incoming.end.get_or_insert(End::Broken);
    }
}

#[cfg(test)]
mod tests;
