//! Bytes between one connection and the machine, as many as can be moved without waiting.

use std::{
    cell::RefCell,
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, Interest, ReadBuf, Ready},
    net::{TcpStream, UdpSocket},
};
use wharf_core::time::Millis;

use super::{
    machine::{Machine, Step},
    udp::Peers,
};
use crate::{client::link::Wire, transport::tcp_vitals};

/// How much is read at once, and the longest datagram. One such buffer a thread. LIMITS.md, `read_at_once`.
const READ_AT_ONCE: usize = 64 * 1024;

/// How many messages are written at once.
const WRITE_SLICES: usize = 16;

/// Reads, and writes, before deadlines are looked at. LIMITS.md, `calls_a_turn`.
const CALLS_A_TURN: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_AT_ONCE].into());
}

/// One connection.
pub enum Io {
    /// A stream: TCP, TLS, a Unix path, or what the user brought.
    Stream(Box<dyn Wire>, Option<Descriptor>),
    /// A UDP socket with one peer.
    Datagrams(DatagramIo),
    /// One peer of a UDP socket that has many. What comes of it the listener hands in.
    Peer(PeerIo),
}

/// The TCP socket in a stream that this stands beside.
pub struct Descriptor(RawFd);

impl Descriptor {
    pub fn of(stream: &TcpStream) -> Self {
        Self(stream.as_raw_fd())
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A UDP socket with one peer.
pub struct DatagramIo {
    socket: Arc<UdpSocket>,
    /// Something is to arrive, or to fail.
    waiting: Option<Waiting<Ready>>,
}

/// What is polled until a socket is ready.
type Waiting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// One peer of a UDP socket that has many.
pub struct PeerIo {
    pub socket: Arc<UdpSocket>,
    pub peer: SocketAddr,
    pub peers: Arc<Peers>,
    /// The socket's kernel buffer is full.
    pub waiting: Option<Waiting<()>>,
}

impl Io {
    /// Moves what can be moved. Ready if something was, or if the connection has ended.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>, machine: &mut Machine, now: Millis) -> Poll<()> {
        let mut moved = false;
        for _ in 0..CALLS_A_TURN {
            if machine.step() != Step::Converse {
                return Poll::Ready(());
            }
            match self.poll_write(cx, machine, now) {
                Poll::Ready(true) => moved = true,
                Poll::Ready(false) | Poll::Pending => break,
            }
        }
        for _ in 0..CALLS_A_TURN {
            if !machine.wants_read() || self.poll_read(cx, machine, now).is_pending() {
                break;
            }
            moved = true;
        }
        if moved || machine.step() != Step::Converse { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Before a peer's silence is judged: takes what may still wait for it in a socket that it shares, and says whether
    /// the kernel waits in vain for its machine to acknowledge something.
    pub fn look(&self) -> bool {
        match self {
            Self::Stream(_, Some(descriptor)) => {
                let path = tcp_vitals(descriptor).path;
                path.is_some_and(|path| path.unacknowledged > 0 || path.unanswered > 0)
            }
            Self::Peer(peer) => {
                peer.peers.receive(&peer.socket);
                false
            }
            Self::Stream(_, None) | Self::Datagrams(_) => false,
        }
    }

    /// Makes one call. False where there is nothing to do.
    fn poll_write(&mut self, cx: &mut Context<'_>, machine: &mut Machine, now: Millis) -> Poll<bool> {
        let sent = match self {
            Self::Stream(stream, _) => return poll_write_stream(stream.as_mut(), cx, machine, now),
            _ if machine.wants_finish() => {
                machine.handle_finished();
                return Poll::Ready(true);
            }
            Self::Datagrams(io) => {
                let Some(datagram) = machine.poll_datagram() else { return Poll::Ready(false) };
                std::task::ready!(io.socket.poll_send(cx, &datagram))
            }
            Self::Peer(peer) => {
                let Some(datagram) = machine.poll_datagram() else { return Poll::Ready(false) };
                std::task::ready!(peer.poll_send(cx, &datagram))
            }
        };
        match sent {
            Ok(_) => machine.handle_datagram_sent(true),
            // The path takes no datagram of that length, and the next may be shorter.
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => machine.handle_datagram_sent(false),
            Err(error) => machine.handle_io_error(&error, now),
        }
        machine.handle_flushed();
        Poll::Ready(true)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, machine: &mut Machine, now: Millis) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = match self {
                Self::Stream(stream, _) => std::task::ready!(Pin::new(stream).poll_read(cx, &mut buffer)),
                Self::Datagrams(io) => std::task::ready!(io.poll_receive(cx, &mut buffer)),
                Self::Peer(_) => return Poll::Pending,
            };
            match (read, &self) {
                (Err(error), _) => machine.handle_io_error(&error, now),
                (Ok(()), Self::Stream(..)) if buffer.filled().is_empty() => machine.handle_peer_finished(now),
                (Ok(()), Self::Stream(..)) => machine.handle_bytes(buffer.filled_mut(), now),
                (Ok(()), _) => machine.handle_datagram(buffer.filled_mut(), now),
            }
            Poll::Ready(())
        })
    }
}

fn poll_write_stream(
    stream: &mut dyn Wire,
    cx: &mut Context<'_>,
    machine: &mut Machine,
    now: Millis,
) -> Poll<bool> {
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
    let count = machine.slices(&mut slices);
    let outcome = if count > 0 {
        let written = std::task::ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..count]));
        written.and_then(|written| match written {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => {
                machine.handle_written(written, now);
                Ok(())
            }
        })
    } else if machine.wants_flush() {
        let flushed = std::task::ready!(Pin::new(stream).poll_flush(cx));
        flushed.map(|()| machine.handle_flushed())
    } else if machine.wants_finish() {
        // A peer that is gone already makes this fail, and its end is read next.
        let _ = std::task::ready!(Pin::new(stream).poll_shutdown(cx));
        machine.handle_finished();
        Ok(())
    } else {
        return Poll::Ready(false);
    };
    if let Err(error) = outcome {
        machine.handle_write_error(&error, now);
    }
    Poll::Ready(true)
}

impl DatagramIo {
    pub fn new(socket: UdpSocket) -> Self {
        Self { socket: Arc::new(socket), waiting: None }
    }

    /// Receives, or takes the error that a datagram came to (ICMP): of that the runtime's own `poll_recv` is not woken.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.socket.try_recv(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let failed = self.socket.try_io(Interest::ERROR, || match self.socket.take_error() {
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                Ok(Some(error)) | Err(error) => Ok(error),
            });
            if let Ok(error) = failed {
                return Poll::Ready(Err(error));
            }
            let waiting = self.waiting.get_or_insert_with(|| {
                let socket = self.socket.clone();
                Box::pin(async move { socket.ready(Interest::READABLE | Interest::ERROR).await })
            });
            let ready = std::task::ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            if let Err(error) = ready {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl Drop for PeerIo {
    fn drop(&mut self) {
        self.peers.forget(self.peer);
    }
}

impl PeerIo {
    /// Sends. Several tasks share the socket, of which its own `poll_send_to` would wake the last alone.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                let ready = std::task::ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
                if let Err(error) = ready {
                    return Poll::Ready(Err(error));
                }
            }
            match self.socket.try_send_to(datagram, self.peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let socket = self.socket.clone();
                    self.waiting = Some(Box::pin(async move { socket.writable().await }));
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}
