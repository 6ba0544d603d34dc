//! Sockets and listeners to be: an address, and the parts that are put on it.

use std::{
    future::{Future, IntoFuture},
    io,
    pin::Pin,
    sync::Arc,
};

use wharf_proto::wire::Framing;

use super::{
    address::{Address, Transport},
    dial::Dialer,
    drive::{drive, drive_open},
    end::End,
    handle::Socket,
    io::Io,
    listener::{self, Listener},
    machine::{Carrier, Machine},
    parts::{Bounds, Heartbeat, KernelWatch, Parts, Reconnect},
    shared::Shared,
    tls::{ClientTls, ServerTls},
};
use crate::{
    client::{
        address::{AddressError, Endpoint},
        link::Wire,
    },
    tls::TlsError,
};

/// Why there is no socket, or no listener.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The parts do not fit; the text says the mend.
    #[error("{0}")]
    Parts(&'static str),
    /// TLS has not what it needs.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection came about.
    #[error("cannot connect to {address}: {end}")]
    Connect {
        /// Where.
        address: Box<str>,
        /// Why not.
        end: End,
    },
    /// The address cannot be listened to.
    #[error("cannot listen on {address}: {cause}; {mend}")]
    Bind {
        /// Where.
        address: Box<str>,
        /// What the system says.
        cause: Box<str>,
        /// What to do.
        mend: &'static str,
    },
}

/// A socket or a listener to be. It becomes one when it is awaited.
#[must_use = "it becomes a socket when it is awaited"]
pub struct Builder<Kind> {
    parts: Parts,
    kind: Kind,
}

/// A socket that dials; made by [`Socket::connect`].
pub struct Dialling {
    address: Result<Address, AddressError>,
    tls: ClientTls,
}

/// A listener; made by [`Listener::bind`].
pub struct Binding {
    address: Result<Address, AddressError>,
    tls: Option<ServerTls>,
    udp_peers: usize,
}

/// A socket over a stream that is there; made by [`Socket::over`].
pub struct Given {
    stream: Box<dyn Wire>,
}

impl Socket {
    /// A socket to `tcp://host:port`, `tls://host:port`, `udp://host:port` or `unix:/path`.
    ///
    /// A name may have several addresses, which are tried in order, each for [`Bounds::dial`]. May be dropped while it
    /// waits, and leaves nothing behind.
    pub fn connect(address: &str) -> Builder<Dialling> {
        let kind = Dialling { address: address.parse(), tls: ClientTls::default() };
        Builder { parts: Parts::default(), kind }
    }

    /// A socket over a stream that is there already: a serial port, a pipe, what a proxy's handshake left.
    pub fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    ) -> Builder<Given> {
        Builder { parts: Parts::default(), kind: Given { stream: Box::new(stream) } }
    }
}

impl Listener {
    /// Listens on `tcp://host:port`, `tls://host:port`, `udp://host:port` or `unix:/path`; port 0 is any that is free. The
    /// parts are put on every socket that it accepts.
    pub fn bind(address: &str) -> Builder<Binding> {
        let kind = Binding { address: address.parse(), tls: None, udp_peers: listener::UDP_PEERS };
        Builder { parts: Parts::default(), kind }
    }
}

impl<Kind> Builder<Kind> {
    /// Says where messages end. Without it a stream's bytes are read as they come, and a datagram is a message.
    pub fn framing(mut self, framing: impl Framing) -> Self {
        self.parts.framing = Some(Arc::new(framing));
        self
    }

    /// Watches whether the peer is there.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.parts.heartbeat = Some(heartbeat);
        self
    }

    /// Other bounds than the default.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.parts.bounds = bounds;
        self
    }

    /// What the kernel does to notice that a TCP peer is gone.
    pub fn kernel_watch(mut self, watch: KernelWatch) -> Self {
        self.parts.kernel = watch;
        self
    }
}

impl Builder<Dialling> {
    /// Comes back after each end of a connection.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.parts.reconnect = Some(reconnect);
        self
    }

    /// For `tls://`: whom to trust and what to show, other than the default.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.kind.tls = tls;
        self
    }

    async fn open(self) -> Result<Socket, OpenError> {
        let Dialling { address, tls } = self.kind;
        let address = address?;
        let secure = match (&address.endpoint, address.transport) {
            (Endpoint::Tcp { host, .. }, Transport::Tls) => Some((tls.config()?, tls.name(host)?)),
            _ => None,
        };
        let carrier = carrier(address.transport);
        let parts = checked(self.parts, carrier)?;
        let place = address.to_string().into_boxed_str();
        let dialer = Dialer::new(address, secure, parts.bounds, parts.kernel);
        let shared = Shared::new(Machine::dialing(parts, carrier, rand::random()));
        let socket = Socket::of(shared.clone());
        tokio::spawn(drive(shared.clone(), dialer));
        match shared.opened().await {
            Ok(()) => Ok(socket),
            Err(end) => Err(OpenError::Connect { address: place, end }),
        }
    }
}

impl Builder<Binding> {
    /// For `tls://`, which cannot do without: the certificate, and which clients are let in.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.kind.tls = Some(tls);
        self
    }

    /// For `udp://`: how many peers may be there at once. 1,024.
    pub fn udp_peers(mut self, peers: usize) -> Self {
        self.kind.udp_peers = peers;
        self
    }

    async fn open(self) -> Result<Listener, OpenError> {
        let Binding { address, tls, udp_peers } = self.kind;
        let address = address?;
        let parts = checked(self.parts, carrier(address.transport))?;
        let secure = match (address.transport, tls) {
            (Transport::Tls, None) => {
                return Err(OpenError::Parts(
                    "tls:// cannot listen without a certificate; give one by .tls(ServerTls::showing(file, key))",
                ));
            }
            (Transport::Tls, Some(tls)) => Some(tls.config()?),
            _ => None,
        };
        listener::listen(address, secure, parts, udp_peers).await
    }
}

impl Builder<Given> {
    /// Makes the socket, inside a runtime.
    pub fn open(self) -> Result<Socket, OpenError> {
        let parts = checked(self.parts, Carrier::Stream)?;
        Ok(opened(parts, Carrier::Stream, Io::Stream(self.kind.stream, None)))
    }
}

/// A socket whose connection is there.
pub fn opened(parts: Arc<Parts>, carrier: Carrier, io: Io) -> Socket {
    let shared = Shared::new(Machine::dialing(parts, carrier, rand::random()));
    shared.with(|machine, now| machine.handle_open(now));
    tokio::spawn(drive_open(shared.clone(), io));
    Socket::of(shared)
}

fn carrier(transport: Transport) -> Carrier {
    match transport {
        Transport::Udp => Carrier::Datagrams,
        Transport::Tcp | Transport::Tls | Transport::Unix => Carrier::Stream,
    }
}

/// The parts, if they go together.
fn checked(parts: Parts, carrier: Carrier) -> Result<Arc<Parts>, OpenError> {
    if parts.framing.as_ref().is_some_and(|framing| framing.is_one_way()) {
        return Err(OpenError::Parts(
            "this framing is one in which a server speaks and does not listen; leave .framing(...) out to read bytes as they \
             come, or use Lines or a DeviceFraming",
        ));
    }
    let has_messages = parts.framing.is_some() || carrier == Carrier::Datagrams;
    if let Some(heartbeat) = &parts.heartbeat {
        if heartbeat.reads_messages() && !has_messages {
            return Err(OpenError::Parts(
                "a heartbeat that looks into messages needs to know where they end; put a .framing(...) on the socket, or let \
                 any traffic count",
            ));
        }
        if heartbeat.interval.is_zero() {
            return Err(OpenError::Parts("a heartbeat cannot beat every 0 s; give it an interval"));
        }
    }
    Ok(Arc::new(parts))
}

impl IntoFuture for Builder<Dialling> {
    type Output = Result<Socket, OpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl IntoFuture for Builder<Binding> {
    type Output = Result<Listener, OpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl OpenError {
    /// What the system says of an address that is to be listened to, and the mend.
    pub(super) fn bind(address: &Address, cause: &io::Error) -> Self {
        let mend = match cause.kind() {
            io::ErrorKind::AddrInUse => "another process has it: stop that, or choose another port",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: choose one of its own, or 0.0.0.0"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher port",
            _ => "choose another address",
        };
        Self::Bind { address: address.to_string().into(), cause: cause.to_string().into(), mend }
    }
}
