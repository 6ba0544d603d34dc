//! Making a connection: a name's addresses in order, each with a time limit, and a TLS handshake where one belongs.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket, UnixStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    address::{Address, Transport},
    end::End,
    io::{DatagramIo, Descriptor, Io},
    parts::{Bounds, KernelWatch},
    shared::About,
    tls,
};
use crate::client::address::Endpoint;

/// How many addresses of a name are tried. LIMITS.md, `addresses_tried`.
const ADDRESSES_TRIED: usize = 16;

/// A connection that was made.
pub struct Dialled {
    pub io: Io,
    pub about: About,
}

/// Makes the connections of one socket, one after the other.
pub enum Dialer {
    Network { host: String, port: u16, how: How, limit: Duration, kernel: KernelWatch },
    Path { path: PathBuf, limit: Duration },
}

/// What is made of an address.
pub enum How {
    Tcp,
    Tls { connector: TlsConnector, name: ServerName<'static> },
    Udp,
}

impl Dialer {
    /// For an address, with what TLS needs if it is one of TLS.
    pub fn new(
        address: Address,
        secure: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
        bounds: Bounds,
        kernel: KernelWatch,
    ) -> Self {
        let limit = bounds.dial;
        match address.endpoint {
            Endpoint::Unix(path) => Self::Path { path, limit },
            Endpoint::Tcp { host, port } => {
                let how = match (address.transport, secure) {
                    (Transport::Udp, _) => How::Udp,
                    (_, Some((config, name))) => How::Tls { connector: config.into(), name },
                    (_, None) => How::Tcp,
                };
                Self::Network { host, port, how, limit, kernel }
            }
        }
    }

    /// Makes a connection. May be dropped while it waits.
    pub async fn dial(&self) -> Result<Dialled, End> {
        match self {
            Self::Path { path, limit } => {
                let dialled = timeout(*limit, UnixStream::connect(path)).await;
                let stream = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let stream = stream.map_err(|error| path_error(path, &error))?;
                Ok(Dialled { io: Io::Stream(Box::new(stream), None), about: About::default() })
            }
            Self::Network { host, port, how, limit, kernel } => {
                let addresses = resolve(host, *port, *limit).await?;
                match how {
                    How::Udp => udp(&addresses).await,
                    How::Tcp => {
                        let stream = tcp(&addresses, *limit, kernel).await?;
                        let (about, descriptor) = (about(&stream), Descriptor::of(&stream));
                        Ok(Dialled { io: Io::Stream(Box::new(stream), Some(descriptor)), about })
                    }
                    How::Tls { connector, name } => {
                        let stream = tcp(&addresses, *limit, kernel).await?;
                        secure(stream, connector, name, *limit).await
                    }
                }
            }
        }
    }
}

fn path_error(path: &std::path::Path, error: &io::Error) -> End {
    let place = format!("unix:{}", path.display());
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            End::Refused(format!("{place}: the process that made this path is gone").into())
        }
        io::ErrorKind::NotFound => End::Unreachable(format!("{place}: there is no such path").into()),
        _ => End::Unreachable(format!("{place}: {error}").into()),
    }
}

async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, End> {
    let unknown = |why: String| End::Unreachable(format!("the name {host} cannot be resolved: {why}").into());
    let found = match timeout(limit, lookup_host((host, port))).await {
        Ok(found) => found.map_err(|error| unknown(error.to_string()))?,
        Err(_) => return Err(unknown(format!("no answer in {limit:?}"))),
    };
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_TRIED).collect();
    if addresses.is_empty() { Err(unknown("it has no address".into())) } else { Ok(addresses) }
}

/// The first address that answers.
async fn tcp(addresses: &[SocketAddr], limit: Duration, kernel: &KernelWatch) -> Result<TcpStream, End> {
    let mut tried = Tried::default();
    for &address in addresses {
        let attempt = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            kernel.apply(&SockRef::from(&socket))?;
            socket.connect(address).await
        };
        match timeout(limit, attempt).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => tried.failed(address, &error),
            Err(_) => tried.silent(address, limit),
        }
    }
    Err(tried.into_end())
}

/// The first address to which there is a way. Whether anybody listens there shows only when something is sent.
async fn udp(addresses: &[SocketAddr]) -> Result<Dialled, End> {
    let mut tried = Tried::default();
    for &address in addresses {
        let attempt = async {
            let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            Ok(socket)
        };
        match attempt.await {
            Ok(socket) => {
                let about = About { local: socket.local_addr().ok(), peer: Some(address), certificate: None };
                return Ok(Dialled { io: Io::Datagrams(DatagramIo::new(socket)), about });
            }
            Err(error) => tried.failed(address, &error),
        }
    }
    Err(tried.into_end())
}

/// Which addresses were tried, and why none would do.
#[derive(Default)]
struct Tried {
    why: Vec<String>,
    refused: usize,
}

impl Tried {
    fn failed(&mut self, address: SocketAddr, error: &io::Error) {
        self.refused += usize::from(error.kind() == io::ErrorKind::ConnectionRefused);
        self.why.push(format!("{address}: {error}"));
    }

    fn silent(&mut self, address: SocketAddr, limit: Duration) {
        self.why.push(format!("{address}: no answer in {limit:?}"));
    }

    fn into_end(self) -> End {
        let why = self.why.join("; ").into();
        if self.refused == self.why.len() { End::Refused(why) } else { End::Unreachable(why) }
    }
}

fn about(stream: &TcpStream) -> About {
    About { local: stream.local_addr().ok(), peer: stream.peer_addr().ok(), certificate: None }
}

async fn secure(
    stream: TcpStream,
    connector: &TlsConnector,
    name: &ServerName<'static>,
    limit: Duration,
) -> Result<Dialled, End> {
    let (mut about, descriptor) = (about(&stream), Descriptor::of(&stream));
    let mut stream = match timeout(limit, connector.connect(name.clone(), stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(tls::refusal(&error)),
        Err(_) => {
            return Err(End::Tls(format!("no handshake in {limit:?}; does the peer speak TLS?").into()));
        }
    };
    let (_, connection) = stream.get_mut();
    connection.set_buffer_limit(Some(tls::TLS_HELD_BYTES));
    about.certificate = tls::first(connection.peer_certificates());
    Ok(Dialled { io: Io::Stream(Box::new(stream), Some(descriptor)), about })
}

impl KernelWatch {
    /// Sets a TCP socket's options, and that what is written goes out at once.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        if let Some(time) = self.keepalive {
            let probes = socket2::TcpKeepalive::new().with_time(time).with_interval(time);
            socket.set_tcp_keepalive(&probes)?;
        }
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(self.user_timeout)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn free_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// A listener whose queue is full answers no handshake: an address that says nothing.
    fn silent() -> (socket2::Socket, Vec<std::net::TcpStream>) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let held = std::iter::from_fn(|| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        });
        let held = held.take(64).collect();
        (socket, held)
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_in_order_each_with_its_time() {
        let (full, _held) = silent();
        let full = full.local_addr().unwrap().as_socket().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = free_port();
        let limit = Duration::from_millis(100);
        let kernel = KernelWatch::default();
        let stream = tcp(&[closed, full, good], limit, &kernel).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let end = tcp(&[closed, full], limit, &kernel).await.unwrap_err();
        let End::Unreachable(why) = &end else { panic!("{end}") };
        assert!(why.contains(&format!("{closed}: Connection refused")), "{why}");
        assert!(why.contains(&format!("{full}: no answer in 100ms")), "{why}");
        let end = tcp(&[closed], limit, &kernel).await.unwrap_err();
        assert_eq!(end.name(), "refused", "{end}");
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_told() {
        let end = resolve("no-such-host.invalid", 1, Duration::from_secs(5)).await.unwrap_err();
        assert!(end.to_string().contains("no-such-host.invalid cannot be resolved"), "{end}");
    }

    #[tokio::test]
    async fn a_dialled_socket_has_the_options_of_its_watch() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let watch = KernelWatch {
            user_timeout: Some(Duration::from_secs(7)),
            keepalive: Some(Duration::from_secs(9)),
        };
        let stream = tcp(&[listener.local_addr().unwrap()], Duration::from_secs(5), &watch).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(9));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    }
}
