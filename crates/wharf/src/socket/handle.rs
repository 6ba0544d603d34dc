//! What a program holds of a socket: the whole, or its reading and its writing half.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;

use super::{
    end::{End, WriteError},
    event::Event,
    machine::Tally,
    shared::{About, Shared},
};

/// A connection, or with [`Reconnect`](super::Reconnect) one after the other: messages in, messages out. Made by
/// [`Socket::connect`], [`Listener::accept`](super::Listener::accept) and [`Socket::over`].
///
/// A task of the runtime does the work behind it: heartbeats go out and dead peers are found whether anybody reads or not.
/// All methods take `&self`, so that one task may read while another writes; [`split`](Self::split) gives each its own half.
///
/// Dropping it closes it in the background: what was written is still sent, within [`Bounds::close`](super::Bounds::close).
#[derive(Debug)]
pub struct Socket {
    reader: Reader,
    writer: Writer,
}

/// The reading half. Once it is dropped, what comes is thrown away; heartbeats go on.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// The writing half. Once it is dropped, this side's half ends as by [`finish`](Self::finish).
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Socket {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { reader: Reader { shared: shared.clone() }, writer: Writer { shared } }
    }

    pub(super) fn set_about(&self, about: About) {
        self.reader.shared.set_about(about);
    }

    /// The next message; see [`Reader::read`].
    pub async fn read(&self) -> Result<Option<Bytes>, End> {
        self.reader.read().await
    }

    /// The next message, or the next coming or going of a connection; see [`Reader::next_event`].
    pub async fn next_event(&self) -> Result<Option<Event>, End> {
        self.reader.next_event().await
    }

    /// Sends a message; see [`Writer::write`].
    pub async fn write(&self, message: &[u8]) -> Result<(), WriteError> {
        self.writer.write(message).await
    }

    /// Waits until everything that was written is with the kernel; see [`Writer::flush`].
    pub async fn flush(&self) -> Result<(), End> {
        self.writer.flush().await
    }

    /// Ends this side's half; see [`Writer::finish`].
    pub fn finish(&self) {
        self.writer.finish();
    }

    /// Sends what waits, ends this side's half, waits for the peer's end, and throws away what it says meanwhile; all within
    /// [`Bounds::close`](super::Bounds::close). An error says how the connection ended instead, or how many messages were
    /// not sent. May be dropped while it waits: the socket closes all the same.
    pub async fn close(&self) -> Result<(), End> {
        let shared = &self.reader.shared;
        shared.ask(|machine, now| {
            machine.finish(now);
            machine.discard(now);
        });
        let end = shared.ended().await;
        if end.is_clean() { Ok(()) } else { Err(end) }
    }

    /// Takes the halves apart, for two tasks.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// How it ended; none while there is a connection, or another to come.
    pub fn ended(&self) -> Option<End> {
        self.reader.shared.machine().ended().cloned()
    }

    /// Whether there is a connection at the moment.
    pub fn is_open(&self) -> bool {
        self.reader.shared.machine().is_open()
    }

    /// The peer's address, of the last connection; none over a Unix path.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.reader.shared.about().peer
    }

    /// This side's address, of the last connection; none over a Unix path.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.reader.shared.about().local
    }

    /// The certificate that the peer showed (DER), over TLS.
    pub fn peer_certificate(&self) -> Option<Bytes> {
        self.reader.shared.about().certificate
    }

    /// What went through so far, over all connections.
    pub fn tally(&self) -> Tally {
        self.reader.shared.machine().tally()
    }
}

impl Reader {
    /// The next message; without a framing, the next piece of the stream, as long as it came. None once the peer has ended
    /// its half, or this side has closed the socket. An error is any other end, and is told after all messages that came
    /// before; asked again it is the same.
    ///
    /// A socket that comes back waits over the gap; [`next_event`](Self::next_event) tells of it.
    ///
    /// May be dropped while it waits, as in `select!`: no message is lost. Several tasks may read; each message goes to one.
    pub async fn read(&self) -> Result<Option<Bytes>, End> {
        while let Some(event) = self.next_event().await? {
            if let Event::Message(message) = event {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The next message, or the next coming or going of a connection. Ends as [`read`](Self::read) does, and may be dropped
    /// like it. Comings and goings that nobody took are told as one where no message lies between them.
    pub async fn next_event(&self) -> Result<Option<Event>, End> {
        self.shared.next_event().await
    }
}

impl Writer {
    /// Sends a message: it waits in the socket's queue when this returns, and the task sends it. Waits while the queue is full
    /// ([`Bounds::queue_bytes`](super::Bounds::queue_bytes)), as it is when the peer reads too slowly.
    ///
    /// An error says that nothing of it was or will be sent. That all is well does not say that the peer has it: what ends a
    /// connection is told by the next call, and by whoever reads.
    ///
    /// May be dropped while it waits: then nothing of the message is sent. Messages of several tasks do not mix.
    pub async fn write(&self, message: &[u8]) -> Result<(), WriteError> {
        self.shared.write(message).await
    }

    /// Waits until everything that was written is with the kernel, which is not yet with the peer. An error says how the
    /// connection ended with which some of it was lost, while this waited or since the last flush; over a socket that comes
    /// back, what [`Unsent::Keep`](super::Unsent::Keep) keeps is waited for. May be dropped while it waits, which changes
    /// nothing.
    pub async fn flush(&self) -> Result<(), End> {
        self.shared.flush().await
    }

    /// Ends this side's half behind what was written: the peer reads that and then the end, and may go on speaking. Nothing
    /// can be written any more, and a socket that comes back does so no more. A datagram socket has no halves, and ends.
    pub fn finish(&self) {
        self.shared.ask(|machine, now| machine.finish(now));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.ask(|machine, now| machine.discard(now));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}
