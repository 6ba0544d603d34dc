//! A response body as a transport: for what must stay inside hyper (streams over HTTP/2, which share a
//! connection). It has no descriptor; its readiness reaches the worker by its inbox.

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};

use super::{Transport, Vitals};
use crate::ledger::Origin;

/// The most bytes between a worker and hyper. LIMITS.md, `body_pipe_bytes`.
pub const PIPE_BYTES: usize = 64 * 1024;

/// Tells the worker that the entry is ready again; false if the worker's inbox is full.
pub type OnReady = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// Makes a bounded pipe from a worker to hyper. `on_ready` is called when a write would succeed after one that
/// was refused, and when the body was dropped because its client is gone.
pub fn pipe(capacity: usize, on_ready: OnReady) -> (BodyTransport, PipeBody) {
    let pipe = Arc::new(Mutex::new(Pipe {
        buffer: BytesMut::new(),
        capacity,
        entry: None,
        awaited: false,
        ended: false,
        abandoned: false,
        reader: None,
    }));
    (BodyTransport { pipe: pipe.clone(), origin: Origin::UNKNOWN, written: 0 }, PipeBody { pipe, on_ready })
}

struct Pipe {
    buffer: BytesMut,
    capacity: usize,
    /// The slab entry, learnt when the worker owns the transport.
    entry: Option<u64>,
    /// The writer was refused, or its reader went: the worker is to be told.
    awaited: bool,
    /// The worker closed its end.
    ended: bool,
    /// hyper dropped the body.
    abandoned: bool,
    reader: Option<Waker>,
}

type Shared = Arc<Mutex<Pipe>>;

fn locked(pipe: &Shared) -> std::sync::MutexGuard<'_, Pipe> {
    // Nothing panics while it holds the lock, so the state is whole even if the lock says otherwise.
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The worker's end. Reads nothing: the request's body was read before.
pub struct BodyTransport {
    pipe: Shared,
    pub(super) origin: Origin,
    written: u64,
}

impl BodyTransport {
    /// The same, and where the connection came from that it is a part of.
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }
}

impl Transport for BodyTransport {
    fn attached(&mut self, entry: u64) {
        locked(&self.pipe).entry = Some(entry);
    }

    /// The client cannot speak on a response; its end shows as an end here.
    fn try_read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        let pipe = locked(&self.pipe);
        match (pipe.ended, pipe.abandoned) {
            (true, _) => Err(io::ErrorKind::NotConnected.into()),
            (false, true) => Ok(0),
            (false, false) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut pipe = locked(&self.pipe);
        if pipe.ended {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if pipe.abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut room = pipe.capacity.saturating_sub(pipe.buffer.len());
        if wanted > room {
            pipe.awaited = true;
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let before = pipe.buffer.len();
        for slice in slices {
            let taken = slice.len().min(room);
            pipe.buffer.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        let written = pipe.buffer.len() - before;
        self.written += written as u64;
        Ok(written)
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }

    fn close(&mut self) {
        let mut pipe = locked(&self.pipe);
        pipe.ended = true;
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn vitals(&self) -> Vitals {
        Vitals { bytes: Some((0, self.written)), path: None }
    }

    fn name(&self) -> &'static str {
        "body"
    }
}

impl Drop for BodyTransport {
    fn drop(&mut self) {
        self.close();
    }
}

/// hyper's end.
pub struct PipeBody {
    pipe: Shared,
    on_ready: OnReady,
}

impl PipeBody {
    /// Tells the worker if it waits. False if it waits on: its inbox is full, or the entry is not known yet.
    fn tell(&self) -> bool {
        let entry = {
            let mut pipe = locked(&self.pipe);
            match (pipe.awaited, pipe.entry) {
                (false, _) => return true,
                (true, None) => return false,
                (true, Some(entry)) => {
                    // Before the worker hears of it: a write that is refused from here on is told anew.
                    pipe.awaited = false;
                    entry
                }
            }
        };
        let told = (self.on_ready)(entry);
        if !told {
            locked(&self.pipe).awaited = true;
        }
        told
    }
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = {
            let mut pipe = locked(&self.pipe);
            if pipe.buffer.is_empty() && pipe.ended {
                return Poll::Ready(None);
            }
            if pipe.buffer.is_empty() {
                pipe.reader = Some(context.waker().clone());
            }
            std::mem::take(&mut pipe.buffer).freeze()
        };
        if !self.tell() && chunk.is_empty() {
            // The worker's inbox is full; the worker drains it each tick, so this asks again after one.
            context.waker().wake_by_ref();
        }
        if chunk.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(chunk)))) }
    }

    fn is_end_stream(&self) -> bool {
        let pipe = locked(&self.pipe);
        pipe.buffer.is_empty() && pipe.ended
    }
}

impl Drop for PipeBody {
    fn drop(&mut self) {
        {
            let mut pipe = locked(&self.pipe);
            pipe.abandoned = true;
            pipe.awaited = true;
            pipe.buffer = BytesMut::new();
        }
        // If the inbox is full the worker learns it from its next write, a ping at the latest.
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http_body_util::BodyExt;

    use super::*;

    fn rig(capacity: usize) -> (BodyTransport, PipeBody, mpsc::Receiver<u64>) {
        let (told, entries) = mpsc::channel();
        let (mut transport, body) = pipe(capacity, Box::new(move |entry| told.send(entry).is_ok()));
        transport.attached(7);
        (transport, body, entries)
    }

    fn write(transport: &mut BodyTransport, bytes: &[u8]) -> io::Result<usize> {
        transport.try_write(&[IoSlice::new(bytes)])
    }

    #[tokio::test]
    async fn a_full_pipe_takes_a_prefix_and_tells_the_worker_when_there_is_room() {
        let (mut transport, mut body, entries) = rig(4);
        assert_eq!(write(&mut transport, b"abcdef").unwrap(), 4);
        assert_eq!(write(&mut transport, b"ef").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(entries.try_recv().is_err());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abcd");
        assert_eq!(entries.try_recv(), Ok(7));
        assert_eq!(write(&mut transport, b"ef").unwrap(), 2);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ef");
        assert!(entries.try_recv().is_err(), "nobody waited");
    }

    #[tokio::test]
    async fn a_dropped_body_breaks_the_pipe_and_tells_the_worker() {
        let (mut transport, body, entries) = rig(4);
        drop(body);
        assert_eq!(entries.try_recv(), Ok(7));
        assert_eq!(write(&mut transport, b"a").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 0);
    }

    #[tokio::test]
    async fn closing_ends_the_body_after_what_was_written() {
        let (mut transport, mut body, _entries) = rig(4);
        write(&mut transport, b"ab").unwrap();
        transport.close();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(body.frame().await.is_none());
        assert_eq!(write(&mut transport, b"a").unwrap_err().kind(), io::ErrorKind::NotConnected);
    }

    #[tokio::test]
    async fn a_worker_whose_inbox_was_full_is_told_later() {
        let (full, is_full) = mpsc::channel();
        let answers = Mutex::new(vec![true, false]);
        let (mut transport, mut body) = pipe(
            2,
            Box::new(move |entry| {
                full.send(entry).unwrap();
                answers.lock().unwrap().pop().unwrap_or(true)
            }),
        );
        transport.attached(9);
        assert_eq!(write(&mut transport, b"abc").unwrap(), 2);
        body.frame().await.unwrap().unwrap();
        assert_eq!(is_full.try_recv(), Ok(9));
        write(&mut transport, b"c").unwrap();
        body.frame().await.unwrap().unwrap();
        assert_eq!(is_full.try_recv(), Ok(9), "asked again, as the first was refused");
    }
}
