//! One UDP socket with many peers: each address that sends something becomes a [`Socket`], up to a bound.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::{Notify, mpsc},
};

use super::{
    drive::drive_open,
    end::End,
    handle::Socket,
    io::{Io, PeerIo},
    machine::{Carrier, Machine},
    parts::{Heartbeat, Parts},
    shared::{About, Shared},
};

/// How long a peer without a heartbeat of its own may be silent: nothing else ends it, and another may need its place.
/// LIMITS.md, `udp_idle`.
const UDP_IDLE: Duration = Duration::from_secs(60);

/// Datagrams that are taken before others have a turn; about twice what a kernel's default buffer holds of short ones.
/// LIMITS.md, `datagrams_a_turn`.
const DATAGRAMS_A_TURN: usize = 512;

/// Longer than the longest datagram.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// The peers of one UDP socket.
pub struct Peers {
    table: Mutex<Table>,
    /// Rung when a peer has gone.
    gone: Notify,
}

struct Table {
    peers: HashMap<SocketAddr, Arc<Shared>>,
    /// How many there may be.
    most: usize,
    parts: Arc<Parts>,
    /// Where new peers wait to be taken. Gone with the task that receives, which the peers' own tasks may outlive.
    accepted: mpsc::WeakSender<Socket>,
    refused: Arc<AtomicU64>,
    /// Holds one datagram.
    buffer: Box<[u8]>,
}

/// A peer that has just come, with the place where it waits to be taken.
struct Fresh {
    shared: Arc<Shared>,
    peer: SocketAddr,
    place: mpsc::OwnedPermit<Socket>,
}

/// Receives for a listener and its peers, until all of them are gone.
pub async fn receive_all(
    socket: Arc<UdpSocket>,
    mut parts: Arc<Parts>,
    most: usize,
    accepted: mpsc::Sender<Socket>,
    refused: Arc<AtomicU64>,
) {
    if parts.heartbeat.is_none() {
        let idle = Heartbeat::every(UDP_IDLE).within(Duration::ZERO);
        Arc::make_mut(&mut parts).heartbeat = Some(idle);
    }
    let peers = Arc::new(Peers::new(parts, most, &accepted, refused));
    loop {
        tokio::select! {
            ready = socket.readable() => {
                if ready.is_err() {
                    return;
                }
                peers.receive(&socket);
                // More may have come than one turn takes.
                tokio::task::yield_now().await;
            }
            () = accepted.closed(), if !accepted.is_closed() => {}
            () = peers.gone.notified() => {}
        }
        if accepted.is_closed() && peers.table().peers.is_empty() {
            return;
        }
    }
}

impl Peers {
    fn new(parts: Arc<Parts>, most: usize, accepted: &mpsc::Sender<Socket>, refused: Arc<AtomicU64>) -> Self {
        let buffer = vec![0; DATAGRAM_BYTES].into();
        let accepted = accepted.downgrade();
        let table = Table { peers: HashMap::new(), most, parts, accepted, refused, buffer };
        Self { table: Mutex::new(table), gone: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A closure of the user's that panicked left the table as it was.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands what has come to whom it is for, whoever of those that share the socket asks.
    pub fn receive(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        for _ in 0..DATAGRAMS_A_TURN {
            let received = self.table().receive_one(socket);
            match received {
                Ok(Some(fresh)) => self.welcome(fresh, socket),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of a peer that is gone, of which its own silence will tell.
                Err(_) => {}
            }
        }
    }

    /// Begins a peer's task. The table is not held, since a runtime that ends drops the task at once.
    fn welcome(self: &Arc<Self>, fresh: Fresh, socket: &Arc<UdpSocket>) {
        let Fresh { shared, peer, place } = fresh;
        shared.set_about(About { local: socket.local_addr().ok(), peer: Some(peer), certificate: None });
        let io = PeerIo { socket: socket.clone(), peer, peers: self.clone(), waiting: None };
        tokio::spawn(drive_open(shared.clone(), Io::Peer(io)));
        place.send(Socket::of(shared));
    }

    /// A peer's socket has ended; its next datagram makes another.
    pub fn forget(&self, peer: SocketAddr) {
        self.table().peers.remove(&peer);
        self.gone.notify_one();
    }
}

impl Table {
    fn receive_one(&mut self, socket: &UdpSocket) -> io::Result<Option<Fresh>> {
        let (length, peer) = socket.try_recv_from(&mut self.buffer)?;
        let datagram = &mut self.buffer[..length];
        if let Some(shared) = self.peers.get(&peer) {
            hand_in(shared, datagram);
            return Ok(None);
        }
        let has_room = self.peers.len() < self.most;
        let accepted = self.accepted.upgrade().filter(|_| has_room);
        let place = accepted.and_then(|accepted| accepted.try_reserve_owned().ok());
        let Some(place) = place else {
            self.refused.fetch_add(1, Relaxed);
            return Ok(None);
        };
        let machine = Machine::dialing(self.parts.clone(), Carrier::Datagrams, rand::random());
        let shared = Shared::new(machine);
        shared.with(|machine, now| machine.handle_open(now));
        hand_in(&shared, datagram);
        self.peers.insert(peer, shared.clone());
        Ok(Some(Fresh { shared, peer, place }))
    }
}

/// Hands a datagram to its peer's machine. A closure of the user's that panics over it ends that peer, and not the task that
/// receives for all of them.
fn hand_in(shared: &Shared, datagram: &mut [u8]) {
    let handed = catch_unwind(AssertUnwindSafe(|| {
        shared.ask(|machine, now| machine.handle_datagram(datagram, now));
    }));
    if handed.is_err() {
        let end = End::Failed("a closure of the heartbeat panicked".into());
        shared.ask(|machine, _| machine.abandon(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_strangers_first_datagram_is_taken_in_by_whoever_looks_at_the_socket() {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (accepted, mut receiver) = mpsc::channel(1);
        let refused = Arc::new(AtomicU64::new(0));
        let peers = Arc::new(Peers::new(Arc::default(), 2, &accepted, refused.clone()));
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(b"hello", socket.local_addr().unwrap()).await.unwrap();
        socket.readable().await.unwrap();
        // A peer that is there already is to be judged.
        let peer = "127.0.0.1:9".parse().unwrap();
        assert!(!Io::Peer(PeerIo { socket, peer, peers, waiting: None }).look());
        let taken = receiver.try_recv().expect("the stranger has a place");
        assert_eq!(taken.read().await.unwrap().as_deref(), Some(&b"hello"[..]));
        assert_eq!(refused.load(Relaxed), 0);
    }
}
