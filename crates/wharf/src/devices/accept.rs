//! A socket that came in at a device listener: it shakes hands where its address speaks TLS, and then a worker has it.
//! Nothing of what tells protocols apart is in the way, since only one is spoken here.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use wharf_proto::{dialect::DialectId, framing::FramingId, wire::WireId};

use super::{certificate, policy};
use crate::{
    ledger::Origin,
    listener::{AcceptedSocket, RawSocket, Slot},
    node::Node,
    patience,
    settings::DeviceListener,
    transport::{Transport, tcp::TcpTransport, tls::TlsTransport, unix::UnixTransport},
    worker::{Attachment, DeviceOrigin, Opening, Parts, ToWorker},
};

/// By which address of which device listener a socket came in.
pub struct Entrance {
    /// Which of `Settings::devices`.
    pub listener: u16,
    /// TLS is spoken there.
    pub tls: bool,
    /// Counts the connection for its listener.
    pub slot: Slot,
}

/// Gives the socket to its worker, on whose runtime this must be called; after a handshake where one is needed.
pub fn admit(accepted: AcceptedSocket, entrance: Entrance, node: &Arc<Node>, worker: usize) {
    let AcceptedSocket { socket, origin, slot: counted, .. } = accepted;
    let Entrance { listener, tls, slot } = entrance;
    let device = DeviceOrigin { listener, names: None, slot: Some(slot) };
    match socket {
        RawSocket::Tcp(socket) if tls => {
            let node = Arc::clone(node);
            tokio::spawn(async move {
                // Counts the connection until its worker does.
                let _counted = counted;
                if let Some(stream) = handshake(socket, listener, &node).await {
                    attach_tls(stream, device, origin, &node, worker);
                }
            });
        }
        RawSocket::Tcp(socket) => {
            let transport = Box::new(TcpTransport::new(socket).from_origin(origin));
            attach(transport, "device_tcp", Bytes::new(), device, node, worker);
        }
        RawSocket::Unix(socket) => {
            let transport = Box::new(UnixTransport::new(socket).from_origin(origin));
            attach(transport, "device_unix", Bytes::new(), device, node, worker);
        }
    }
}

/// None: it failed, or took too long, and the socket is closed.
async fn handshake(
    socket: std::net::TcpStream,
    listener: u16,
    node: &Node,
) -> Option<TlsStream<tokio::net::TcpStream>> {
    let socket = tokio::net::TcpStream::from_std(socket).ok()?;
    let acceptor = TlsAcceptor::from(node.devices.tls(listener)?.config());
    let deadline = Instant::now() + Duration::from_millis(node.settings.times.http_head_ms);
    let reason = match patience::until(deadline, pin!(acceptor.accept(socket))).await {
        Some(Ok(stream)) => return Some(stream),
        Some(Err(error)) => format!("the TLS handshake failed: {error}"),
        None => "the TLS handshake did not end in time".to_owned(),
    };
    node.metrics.tls_failures.bump();
    let name = &node.settings.devices[usize::from(listener)].name;
    node.devices.refusals.tell(name, &reason, node.now());
    None
}

fn attach_tls(
    stream: TlsStream<tokio::net::TcpStream>,
    mut device: DeviceOrigin,
    origin: Origin,
    node: &Node,
    worker: usize,
) {
    let settings = &node.settings.devices[usize::from(device.listener)];
    let clients = settings.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    if clients.is_some_and(|clients| clients.name_is_device) {
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        device.names = Some(shown.map(certificate::names).unwrap_or_default());
    }
    match TlsTransport::new(stream) {
        Ok((transport, leftover)) => {
            let transport = Box::new(transport.from_origin(origin));
            attach(transport, "device_tls", leftover, device, node, worker);
        }
        Err(error) => tracing::debug!(%error, "a socket could not be taken out of the runtime"),
    }
}

fn attach(
    transport: Box<dyn Transport>,
    kind: &'static str,
    leftover: Bytes,
    device: DeviceOrigin,
    node: &Node,
    worker: usize,
) {
    let listener = &node.settings.devices[usize::from(device.listener)];
    let attachment = attachment(transport, kind, leftover, device, listener);
    if node.workers[worker].send(ToWorker::Attach(Box::new(attachment))).is_err() {
        // Dropped, which closes it; there are no words that every kind of device understands.
        node.metrics.turned_away.bump();
    }
}

/// A connection of a device listener for a worker to own.
pub fn attachment(
    transport: Box<dyn Transport>,
    kind: &'static str,
    leftover: Bytes,
    device: DeviceOrigin,
    listener: &DeviceListener,
) -> Attachment {
    let policy = policy(listener.profile.heartbeat(), transport.is_datagrams());
    Attachment {
        transport,
        wire: WireId::new(DialectId::Device, FramingId::Plain),
        deflate: None,
        prelude: Bytes::new(),
        leftover,
        opening: Opening::Peer,
        heartbeat: policy.heartbeat,
        policy: Some(policy),
        emulated: false,
        one_way: false,
        max_age_ms: None,
        kind,
        parts: Some(Parts {
            deframer: listener.profile.deframer(),
            conversation: listener.profile.conversation(),
        }),
        device: Some(device),
    }
}
