//! A descriptor whose readiness to be read the runtime watches.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// What owns one descriptor, open, and keeps it as long as it is only shared.
pub trait OneDescriptor: AsRawFd {}

impl OneDescriptor for OwnedFd {}
impl OneDescriptor for mio::net::TcpListener {}
impl OneDescriptor for mio::net::UnixListener {}
impl OneDescriptor for mio::net::UdpSocket {}

/// A descriptor that the runtime watches. Never given out mutably.
#[derive(Debug)]
pub struct Watched<T: OneDescriptor>(AsyncFd<T>);

impl<T: OneDescriptor> Watched<T> {
    /// Registers the descriptor, which must be non-blocking, with the current runtime.
    pub fn new(source: T) -> io::Result<Self> {
        // SAFETY: the descriptor must stay open and name the same description as long as the `AsyncFd` lives. The
        // `AsyncFd` owns its owner, which keeps it (`OneDescriptor`), as it is never given out mutably.
        #[allow(unsafe_code)]
        let watched = unsafe { AsyncFd::register_with_interest(source, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Calls `read` whenever there may be something, until it does not say [`io::ErrorKind::WouldBlock`].
    pub async fn read<R>(&self, read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.0.async_io(Interest::READABLE, read).await
    }

    /// Waits until the descriptor has become ready since it was last asked: what is there then must be taken to the
    /// end before the next wait.
    pub async fn became_ready(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
