//! UDP: the datagrams of one peer's address as a transport. The socket is its listener's, who hands each peer's
//! datagrams to its connection; readiness reaches the worker by its inbox.
//!
//! What UDP may lose is lost here too, rather than waited for: a datagram for a peer whose queue is full, and one that
//! the kernel does not take.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use hashbrown::HashMap;

use super::{Transport, Vitals};
use crate::{ledger::Origin, listener::Slot, metrics::Counter};

/// The most datagrams that wait for the worker. LIMITS.md, `peer_datagrams`.
pub const PEER_DATAGRAMS: usize = 64;

/// All peers of one UDP address, and its socket.
pub struct Peers {
    socket: UdpSocket,
    table: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    /// Datagrams that were thrown away, in either direction.
    lost: Arc<Counter>,
}

/// What came from one peer.
pub struct Peer {
    worker: u16,
    incoming: Mutex<Incoming>,
}

#[derive(Default)]
struct Incoming {
    datagrams: VecDeque<Bytes>,
    /// The slab entry, learnt when the worker owns the transport.
    entry: Option<u64>,
    /// The worker was told, and has not read all since.
    told: bool,
}

impl Peer {
    fn locked(&self) -> MutexGuard<'_, Incoming> {
        // Nothing panics while it holds the lock, so the state is whole even if the lock says otherwise.
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram has come. `tell` tells the worker that its entry is ready, and says false if it cannot. False: the
    /// datagram is lost.
    pub fn push(&self, datagram: &[u8], tell: impl FnOnce(u16, u64) -> bool) -> bool {
        let mut incoming = self.locked();
        if incoming.datagrams.len() >= PEER_DATAGRAMS {
            return false;
        }
        incoming.datagrams.push_back(Bytes::copy_from_slice(datagram));
        // One that is not attached yet is read when it is.
        let Some(entry) = incoming.entry.filter(|_| !incoming.told) else { return true };
        incoming.told = tell(self.worker, entry);
        if !incoming.told {
            incoming.datagrams.pop_back();
        }
        incoming.told
    }
}

impl Peers {
    /// The peers of this socket, which must not block.
    pub fn new(socket: UdpSocket, lost: Arc<Counter>) -> Arc<Self> {
        Arc::new(Self { socket, table: Mutex::default(), lost })
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Peer>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of this address.
    pub fn find(&self, address: SocketAddr) -> Option<Arc<Peer>> {
        self.locked().get(&address).cloned()
    }

    /// A transport for a new peer, which this worker will own. `counted` counts it until the worker does.
    pub fn open(self: &Arc<Self>, address: SocketAddr, worker: u16, counted: Slot) -> UdpTransport {
        let peer = Arc::new(Peer { worker, incoming: Mutex::default() });
        self.locked().insert(address, Arc::clone(&peer));
        UdpTransport {
            peers: Arc::clone(self),
            peer,
            address,
            is_open: true,
            counted: Some(counted),
            origin: Origin::UNKNOWN,
            read: 0,
            written: 0,
        }
    }

    /// Sends one datagram; what the kernel does not take is lost.
    pub fn send(&self, datagram: &[u8], address: SocketAddr) {
        if self.socket.send_to(datagram, address).is_err() {
            self.lost.bump();
        }
    }

    fn forget(&self, address: SocketAddr, peer: &Arc<Peer>) {
        let mut table = self.locked();
        if table.get(&address).is_some_and(|known| Arc::ptr_eq(known, peer)) {
            table.remove(&address);
        }
    }
}

/// The datagrams of one peer.
pub struct UdpTransport {
    peers: Arc<Peers>,
    peer: Arc<Peer>,
    address: SocketAddr,
    is_open: bool,
    counted: Option<Slot>,
    origin: Origin,
    read: u64,
    written: u64,
}

impl UdpTransport {
    /// The same, and where it came from.
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    fn check_open(&self) -> io::Result<()> {
        if self.is_open { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }
}

impl Transport for UdpTransport {
    /// Reads one datagram.
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check_open()?;
        let mut incoming = self.peer.locked();
        let Some(datagram) = incoming.datagrams.pop_front() else {
            incoming.told = false;
            // A peer that is silent holds no memory for what may come.
            incoming.datagrams = VecDeque::new();
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = datagram.len().min(into.len());
        into[..count].copy_from_slice(&datagram[..count]);
        self.read += count as u64;
        Ok(count)
    }

    /// Sends the first slice as a datagram.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_open()?;
        let Some(first) = slices.iter().find(|slice| !slice.is_empty()) else { return Ok(0) };
        self.peers.send(first, self.address);
        self.written += first.len() as u64;
        Ok(first.len())
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }

    fn attached(&mut self, entry: u64) {
        self.counted = None;
        self.peer.locked().entry = Some(entry);
    }

    fn is_datagrams(&self) -> bool {
        true
    }

    fn close(&mut self) {
        if self.is_open {
            self.is_open = false;
            self.peers.forget(self.address, &self.peer);
        }
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn vitals(&self) -> Vitals {
        Vitals { bytes: Some((self.read, self.written)), path: None }
    }

    fn name(&self) -> &'static str {
        "udp"
    }
}

impl Drop for UdpTransport {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "peer";

    struct Rig {
        peers: Arc<Peers>,
        transport: UdpTransport,
        peer: UdpSocket,
        lost: Arc<Counter>,
    }

    fn rig() -> Rig {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect(PEER);
        let (socket, peer) = (bind(), bind());
        let lost = Arc::<Counter>::default();
        let peers = Peers::new(socket, Arc::clone(&lost));
        let transport = peers.open(peer.local_addr().unwrap(), 3, Slot::take(&Arc::default()));
        Rig { peers, transport, peer, lost }
    }

    fn read(transport: &mut UdpTransport) -> io::Result<Vec<u8>> {
        let mut into = [0; 100];
        let count = transport.try_read(&mut into)?;
        Ok(into[..count].to_vec())
    }

    #[test]
    fn every_read_is_one_datagram_and_every_slice_goes_as_one() {
        let mut rig = rig();
        let address = rig.peer.local_addr().unwrap();
        let peer = rig.peers.find(address).unwrap();
        assert!(peer.push(b"one", |_, _| panic!("nobody owns it yet")) && peer.push(b"two", |_, _| false));
        assert_eq!(read(&mut rig.transport).unwrap(), b"one");
        assert_eq!(read(&mut rig.transport).unwrap(), b"two");
        assert_eq!(read(&mut rig.transport).unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let mut slices = &mut [IoSlice::new(b"first"), IoSlice::new(b"second")][..];
        while !slices.is_empty() {
            let written = rig.transport.try_write(slices).unwrap();
            IoSlice::advance_slices(&mut slices, written);
        }
        let mut into = [0; 100];
        for expected in [&b"first"[..], b"second"] {
            let count = rig.peer.recv(&mut into).unwrap();
            assert_eq!(&into[..count], expected);
        }
    }

    #[test]
    fn the_worker_is_told_once_until_it_has_read_all() {
        let mut rig = rig();
        let peer = rig.peers.find(rig.peer.local_addr().unwrap()).unwrap();
        rig.transport.attached(7);
        let told = std::cell::Cell::new(0);
        let tell = |worker, entry| {
            told.set(told.get() + 1);
            (worker, entry) == (3, 7)
        };
        assert!(peer.push(b"a", tell) && peer.push(b"b", tell));
        assert_eq!(told.get(), 1);
        while read(&mut rig.transport).is_ok() {}
        assert!(peer.push(b"c", tell));
        assert_eq!(told.get(), 2);
    }

    #[test]
    fn what_a_peer_sends_past_its_bound_is_lost_and_no_more_is_kept() {
        let mut rig = rig();
        let peer = rig.peers.find(rig.peer.local_addr().unwrap()).unwrap();
        rig.transport.attached(7);
        let kept = (0..1_000).filter(|_| peer.push(b"x", |_, _| true)).count();
        assert_eq!(kept, PEER_DATAGRAMS);
        while read(&mut rig.transport).is_ok() {}
        // The worker's inbox is full.
        assert!(!peer.push(b"x", |_, _| false));
        assert_eq!(read(&mut rig.transport).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_closed_peer_is_a_stranger_and_a_newer_one_of_its_address_stays() {
        let mut rig = rig();
        let address = rig.peer.local_addr().unwrap();
        let newer = rig.peers.open(address, 3, Slot::take(&Arc::default()));
        rig.transport.close();
        assert!(rig.peers.find(address).is_some());
        assert!(read(&mut rig.transport).is_err() && rig.transport.try_write(&[IoSlice::new(b"x")]).is_err());
        drop(newer);
        assert!(rig.peers.find(address).is_none());
    }

    #[test]
    fn a_datagram_that_the_kernel_does_not_take_is_lost_and_counted() {
        let mut rig = rig();
        let long = vec![0; 70_000]; // Longer than any datagram over IPv4.
        assert_eq!(rig.transport.try_write(&[IoSlice::new(&long)]).unwrap(), long.len());
        assert_eq!(rig.lost.total(), 1);
    }
}
