//! The accepting side: one task that accepts, handshakes beside it, and a bounded number of sockets that wait for whoever
//! takes them.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustls::ServerConfig;
use socket2::{Domain, SockRef, Socket as RawSocket, Type};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket, UnixListener, lookup_host},
    sync::{Mutex, Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    address::{Address, Transport},
    builder::{OpenError, opened},
    handle::Socket,
    io::{Descriptor, Io},
    machine::Carrier,
    parts::{KernelWatch, Parts},
    shared::About,
    tls, udp,
};
use crate::{
    client::{address::Endpoint, link::Wire},
    listener::{backoff, clear_stale},
};

/// Accepted sockets that nobody took yet; then the kernel's queue fills, and datagrams of new peers are dropped. LIMITS.md,
/// `untaken_sockets`.
pub const UNTAKEN_SOCKETS: usize = 128;

/// TLS handshakes at once; the next wait in the kernel's queue. LIMITS.md, `handshakes`.
const HANDSHAKES: usize = 128;

/// Peers of one UDP socket, unless another number is asked for. LIMITS.md, `udp_peers`.
pub const UDP_PEERS: usize = 1_024;

/// Connections that the kernel holds before they are accepted. LIMITS.md, `backlog`.
const BACKLOG: i32 = 4_096;

/// Takes connections of others. Dropping it closes the address; the sockets that it accepted go on.
#[derive(Debug)]
pub struct Listener {
    accepted: Mutex<mpsc::Receiver<Socket>>,
    address: Address,
    refused: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
    _path: Option<OwnedPath>,
}

impl Listener {
    /// The next socket. None once the runtime is about to end. Over TLS its handshake is done. Over UDP a peer becomes a
    /// socket by its first datagram.
    ///
    /// May be dropped while it waits: no socket is lost. Several tasks may accept.
    pub async fn accept(&self) -> Option<Socket> {
        self.accepted.lock().await.recv().await
    }

    /// The address as the kernel has it, in the form in which it can be dialled: port 0 has become a port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many were turned away: connections by a TLS handshake that failed, and datagrams of new peers over UDP for whom
    /// there was no place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// A path of ours, which goes when its listener does.
#[derive(Debug)]
struct OwnedPath(PathBuf);

impl Drop for OwnedPath {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds an address and begins to accept.
pub async fn listen(
    mut address: Address,
    secure: Option<Arc<ServerConfig>>,
    parts: Arc<Parts>,
    udp_peers: usize,
) -> Result<Listener, OpenError> {
    let (accepted, receiver) = mpsc::channel(UNTAKEN_SOCKETS);
    let refused = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let mut owned = None;
    if let Some(path) = address.path().map(PathBuf::from) {
        let bound =
            clear_stale(&path).and_then(|()| UnixListener::bind(&path).map_err(|error| error.to_string()));
        let listener = bound.map_err(|cause| OpenError::Bind {
            address: address.to_string().into(),
            cause: cause.into(),
            mend: "the directory must exist and be writable, and nobody else may have the path",
        })?;
        owned = Some(OwnedPath(path));
        tasks.spawn(accept_all(
            Door { source: Source::Unix(listener), secure: None, parts, refused: refused.clone() },
            accepted,
        ));
    } else {
        let place = resolve(&address).await.map_err(|error| OpenError::bind(&address, &error))?;
        let bound = if address.transport == Transport::Udp {
            UdpSocket::bind(place).await.and_then(|socket| {
                let local = socket.local_addr()?;
                // Goes on for the peers that are there when the listener is gone.
                tokio::spawn(udp::receive_all(Arc::new(socket), parts, udp_peers, accepted, refused.clone()));
                Ok(local)
            })
        } else {
            bind_tcp(place, &parts.kernel).and_then(|listener| {
                let local = listener.local_addr()?;
                let source = Source::Tcp(listener);
                let secure = secure.map(TlsAcceptor::from);
                tasks.spawn(accept_all(Door { source, secure, parts, refused: refused.clone() }, accepted));
                Ok(local)
            })
        };
        let local = bound.map_err(|error| OpenError::bind(&address, &error))?;
        let Endpoint::Tcp { port, .. } = &mut address.endpoint else {
            unreachable!("a path was bound above")
        };
        *port = local.port();
    }
    Ok(Listener { accepted: Mutex::new(receiver), address, refused, _tasks: tasks, _path: owned })
}

async fn resolve(address: &Address) -> io::Result<SocketAddr> {
    let Endpoint::Tcp { host, port } = &address.endpoint else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let found = lookup_host((host.as_str(), *port)).await?.next();
    found.ok_or_else(|| io::Error::other("the name has no address"))
}

fn bind_tcp(place: SocketAddr, kernel: &KernelWatch) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(place), Type::STREAM, None)?;
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    // What is accepted inherits these.
    kernel.apply(&SockRef::from(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&place.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Where streams come from, and what is made of them.
struct Door {
    source: Source,
    secure: Option<TlsAcceptor>,
    parts: Arc<Parts>,
    refused: Arc<AtomicU64>,
}

enum Source {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What was accepted.
enum Stream {
    Tcp(TcpStream),
    Unix(Box<dyn Wire>),
}

impl Source {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(Box::new(stream))),
        }
    }
}

async fn accept_all(door: Door, accepted: mpsc::Sender<Socket>) {
    let mut pauses = backoff::Backoff::default();
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut shaking = JoinSet::new();
    // The receiver goes with the listener, and this task too.
    while let Ok(place) = accepted.clone().reserve_owned().await {
        while shaking.try_join_next().is_some() {}
        match door.source.accept().await {
            Ok(Stream::Unix(stream)) => {
                place.send(opened(door.parts.clone(), Carrier::Stream, Io::Stream(stream, None)));
            }
            Ok(Stream::Tcp(stream)) => match door.secure.clone() {
                None => {
                    let about = About {
                        local: stream.local_addr().ok(),
                        peer: stream.peer_addr().ok(),
                        certificate: None,
                    };
                    let descriptor = Descriptor::of(&stream);
                    let io = Io::Stream(Box::new(stream), Some(descriptor));
                    place.send(opened_with(door.parts.clone(), io, about));
                }
                Some(acceptor) => {
                    // One that waits for its handshake has no place yet: those that are done come first.
                    drop(place);
                    let Ok(turn) = handshakes.clone().acquire_owned().await else { return };
                    let (parts, refused, accepted) =
                        (door.parts.clone(), door.refused.clone(), accepted.clone());
                    shaking.spawn(async move {
                        let _turn = turn;
                        match secured(stream, acceptor, parts).await {
                            Some(socket) => drop(accepted.send(socket).await),
                            None => drop(refused.fetch_add(1, Relaxed)),
                        }
                    });
                }
            },
            Err(error) if backoff::is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: what comes waits in the kernel's queue.
                let pause = pauses.next_pause();
                if pauses.is_first() {
                    tracing::error!(%error, "cannot accept; raise the limit on open files (ulimit -n)");
                }
                sleep(pause).await;
                continue;
            }
        }
        pauses.reset();
    }
}

/// Does the handshake within its time.
async fn secured(stream: TcpStream, acceptor: TlsAcceptor, parts: Arc<Parts>) -> Option<Socket> {
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    let descriptor = Descriptor::of(&stream);
    let shaken = timeout(parts.bounds.dial, acceptor.accept(stream)).await;
    let mut stream =
        shaken.ok()?.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()?;
    let (_, connection) = stream.get_mut();
    connection.set_buffer_limit(Some(tls::TLS_HELD_BYTES));
    let certificate = tls::first(connection.peer_certificates());
    Some(opened_with(
        parts,
        Io::Stream(Box::new(stream), Some(descriptor)),
        About { local, peer, certificate },
    ))
}

fn opened_with(parts: Arc<Parts>, io: Io, about: About) -> Socket {
    let socket = opened(parts, Carrier::Stream, io);
    socket.set_about(about);
    socket
}
