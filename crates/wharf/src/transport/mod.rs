//! How bytes move. To add a transport: a file beside this that implements [`Transport`], and whatever accepts
//! it hands it to a worker in an [`crate::worker::Attachment`].

pub mod body;
#[cfg(test)]
pub(crate) mod contract;
mod kernel;
pub mod tcp;
pub mod tls;
pub mod tunnel;
pub mod udp;
pub mod unix;

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::RawFd,
};

pub(crate) use self::kernel::tcp_vitals;
pub use self::kernel::{PathState, Vitals};
use crate::ledger::Origin;

/// One connection's bytes, owned by one worker. Never blocks: what cannot be done now is
/// [`io::ErrorKind::WouldBlock`].
///
/// Contract (tested for each implementation; UDP, which has neither streams nor ends, has tests of its own): a write
/// takes a prefix of the slices, in order, and says how long it was; a read of 0 bytes is the peer's half-close; after
/// `close` the peer reads an end and every call fails.
pub trait Transport: Send + 'static {
    /// Reads what is there into `into`; 0 is the end of the peer's half.
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Writes a prefix of what is given.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// What the worker registers with its event set; none for transports whose readiness reaches the worker
    /// by its inbox.
    fn source(&mut self) -> Option<&mut dyn mio::event::Source>;
    /// The kernel's socket, where a write of ours is `send(2)` of the same bytes: then several connections may be
    /// written in one call.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }
    /// So many bytes were sent by [`Transport::descriptor`], beside `try_write`.
    fn sent_beside(&mut self, count: usize) {
        let _ = count;
    }
    /// The worker has made it the slab entry `entry`; matters only to transports without a source, which name
    /// the entry when they are ready.
    fn attached(&mut self, entry: u64) {
        let _ = entry;
    }
    /// Whether a read gives one datagram, so that a short one is no sign that there is no more.
    fn is_datagrams(&self) -> bool {
        false
    }
    /// Ends our half: the peer reads what was written and then an end, and reads go on until it ends its own.
    /// A transport whose halves cannot end apart ends both.
    fn finish(&mut self) {
        self.close();
    }
    /// Ends both halves. The descriptor itself is closed on drop.
    fn close(&mut self);
    /// Where the peer came from, as far as it is known.
    fn origin(&self) -> Origin {
        Origin::UNKNOWN
    }
    /// The peer's address, while the connection is there. Costs a system call.
    fn peer(&self) -> Option<SocketAddr> {
        None
    }
    /// What has moved, and how the path does; also after the end. Costs a system call at the most.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
    /// Whether [`Transport::vitals`] tell of a path. Asked for each ping that is answered.
    fn has_path(&self) -> bool {
        self.vitals().path.is_some()
    }
    /// The name in logs and metrics.
    fn name(&self) -> &'static str;
}
