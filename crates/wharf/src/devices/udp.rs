//! The task of one UDP address of a device listener: it takes each datagram from the kernel, and gives it to the
//! connection of its peer.
//!
//! Anybody can put any source address on a datagram. So nothing is kept of one that does not log in: it is read by
//! a conversation that is thrown away, and only a login makes a connection, of which there are no more than the
//! listener may have. Before that nothing is answered but a login that is refused, and with no more than
//! `ANSWER_TIMES` its length, so that nobody can be flooded by our answers.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use wharf_proto::{
    Disconnect, PeerError,
    device::Profile,
    message::{Push, Request},
    wire::{Event, Incoming},
};

use super::accept::attachment;
use crate::{
    ledger::Origin,
    listener::Slot,
    node::Node,
    transport::udp::Peers,
    watched::Watched,
    worker::{DeviceOrigin, ToWorker},
};

/// A stranger is answered with at most so many times the bytes that came (RFC 9000 section 8.1 holds QUIC's servers to
/// the same). LIMITS.md, `answer_times`.
const ANSWER_TIMES: usize = 3;

/// The longest datagram over IPv4 or IPv6.
const DATAGRAM_BYTES: usize = 65_536;

/// Pause after an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(10);

/// A UDP address that is bound.
#[derive(Debug)]
pub struct UdpListener {
    watched: Watched<mio::net::UdpSocket>,
    socket: std::net::UdpSocket,
    address: SocketAddr,
}

impl UdpListener {
    /// Binds the address. Must be called inside the runtime that will read it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        // Thousands of devices may send in the same second. The kernel gives what `net.core.rmem_max` allows.
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket: std::net::UdpSocket = socket.into();
        let watched = Watched::new(mio::net::UdpSocket::from_std(socket.try_clone()?))?;
        let address = socket.local_addr()?;
        Ok(Self { watched, socket, address })
    }

    /// The address as the kernel has it: port 0 has become a port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the address until it is dropped.
    /// `number` is the listener's among all of the node's.
    pub async fn serve(self, listener: u16, number: usize, node: &Arc<Node>) {
        let peers = Peers::new(self.socket, Arc::clone(&node.devices.lost_datagrams));
        let gate = Gate { peers, listener, number, node };
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            match self.watched.read(|socket| socket.recv_from(&mut buffer)).await {
                Ok((count, from)) => gate.handle_datagram(&buffer[..count], from),
                // Linux tells of what an earlier datagram met with on its way; none is lost by that.
                Err(error) => {
                    tracing::debug!(%error, "a UDP socket has an error");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// How much the kernel may hold of what was not read yet. LIMITS.md, `buffer_bytes`.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

struct Gate<'n> {
    peers: Arc<Peers>,
    listener: u16,
    number: usize,
    node: &'n Arc<Node>,
}

impl Gate<'_> {
    fn handle_datagram(&self, datagram: &[u8], from: SocketAddr) {
        match self.peers.find(from) {
            // An empty datagram says nothing, and would be read as an end.
            _ if datagram.is_empty() => self.node.devices.strange_datagrams.bump(),
            None => self.handle_stranger(datagram, from),
            Some(peer) => {
                let tell = |worker: u16, entry| {
                    self.node.workers[usize::from(worker)].send(ToWorker::Ready { entry }).is_ok()
                };
                if !peer.push(datagram, tell) {
                    self.node.devices.lost_datagrams.bump();
                }
            }
        }
    }

    fn handle_stranger(&self, datagram: &[u8], from: SocketAddr) {
        let settings = &self.node.settings.devices[usize::from(self.listener)];
        let refused = |reason: &str| {
            let reason = format!("{from}: {reason}");
            self.node.devices.refusals.tell(&settings.name, &reason, self.node.now());
        };
        match judge(&settings.profile, datagram) {
            Judged::Login if self.node.is_full() => {
                self.node.metrics.turned_away.bump();
                refused("the server has as many connections as it may");
            }
            Judged::Login => match self.node.devices.enter(self.listener, settings) {
                Some(slot) => self.open(datagram, from, slot),
                None => {
                    self.node.metrics.turned_away.bump();
                    refused("the listener has as many connections as it may");
                }
            },
            Judged::Refused(disconnect, answer) => {
                refused(&disconnect.to_string());
                if !answer.is_empty() && answer.len() <= ANSWER_TIMES * datagram.len() {
                    self.peers.send(&answer, from);
                }
            }
            Judged::Strange => self.node.devices.strange_datagrams.bump(),
        }
    }

    /// The datagram logs in: its peer gets a connection, which reads it anew.
    fn open(&self, datagram: &[u8], from: SocketAddr, slot: Slot) {
        let worker =
            (0..self.node.workers.len()).min_by_key(|&worker| self.node.occupancy(worker)).unwrap_or(0);
        let settings = &self.node.settings.devices[usize::from(self.listener)];
        let origin = Origin::new(self.number, Some(from.ip()));
        let counted = Slot::take(&self.node.in_gate[worker]);
        let device = DeviceOrigin { listener: self.listener, names: None, slot: Some(slot) };
        let transport = Box::new(self.peers.open(from, worker as u16, counted).from_origin(origin));
        let leftover = Bytes::copy_from_slice(datagram);
        let attachment = attachment(transport, "device_udp", leftover, device, settings);
        self.node.metrics.accepted.bump();
        if self.node.workers[worker].send(ToWorker::Attach(Box::new(attachment))).is_err() {
            self.node.metrics.turned_away.bump();
        }
    }
}

/// What a stranger's datagram is.
enum Judged {
    /// The login of a device that is let in.
    Login,
    /// One of a device that is not, and what it is to be told.
    Refused(Disconnect, BytesMut),
    /// Anything else.
    Strange,
}

fn judge(profile: &Arc<Profile>, datagram: &[u8]) -> Judged {
    let (mut deframer, mut conversation) = (profile.deframer(), profile.conversation());
    let mut commands = Vec::new();
    let mut refused = None;
    // A framing may change bytes in place, and they are read once more.
    let mut bytes = datagram.to_vec();
    // What else is in it, or wrong with it, its connection finds.
    let _ = deframer.feed(&mut bytes, &mut |incoming| {
        if let (Incoming::Message(kind, message), true) = (incoming, commands.is_empty() && refused.is_none())
        {
            let decoded = conversation.decode(kind, message, &mut commands);
            if let Err(PeerError::Refused(disconnect)) = decoded {
                refused = Some(disconnect);
            }
        }
    });
    if commands.iter().any(|command| matches!(command.request, Request::Connect(_))) {
        return Judged::Login;
    }
    match refused {
        None => Judged::Strange,
        Some(disconnect) => {
            let mut answer = BytesMut::new();
            // One without words for it is told nothing.
            let _ = conversation.encode(Event::Push(&Push::Disconnect(disconnect.clone())), &mut answer);
            Judged::Refused(disconnect, answer)
        }
    }
}
