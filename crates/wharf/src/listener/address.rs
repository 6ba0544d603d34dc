//! Binding: TCP addresses and Unix paths.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, SockRef, Socket, Type};

use super::RawSocket;
use crate::{
    devices::udp::UdpListener,
    settings::{DeviceAddress, DeviceListener, ListenAddress, Times},
    socket::KernelWatch,
    watched::Watched,
};

/// Connections that the kernel holds before they are accepted; the kernel's own limit may be lower
/// (`net.core.somaxconn`). LIMITS.md, `accept_backlog`.
const BACKLOG: i32 = 4_096;

/// Idle time before the kernel's first keep-alive probe, and between probes: a second line of defence behind
/// heartbeats, which see a peer that is dead although its kernel is not.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// An address that cannot be listened to. Names it and the mend.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refuses the address.
    #[error("cannot listen on {address}: {cause}; {mend}")]
    Tcp {
        /// Which.
        address: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
        /// What to do.
        mend: &'static str,
    },
    /// The path cannot be used.
    #[error("cannot listen on unix:{path}: {cause}", path = path.display())]
    Unix {
        /// Which.
        path: PathBuf,
        /// What is wrong, and the mend.
        cause: Box<str>,
    },
    /// An address of a device listener.
    #[error("device listener {name:?}: {cause}")]
    Device {
        /// Which listener.
        name: Box<str>,
        /// What is wrong with its address.
        cause: Box<BindError>,
    },
}

/// Addresses that are bound and not accepted from yet.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    /// UDP addresses, each of which of the device listeners.
    udp: Vec<(u16, UdpListener)>,
}

/// Which device listener an address belongs to, and whether TLS is spoken there.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundDevice {
    pub listener: u16,
    pub tls: bool,
}

impl Listeners {
    /// Binds all addresses or none. Must be called inside the runtime that will accept.
    pub fn bind(
        addresses: &[ListenAddress],
        devices: &[DeviceListener],
        times: &Times,
    ) -> Result<Self, BindError> {
        let bound =
            addresses.iter().map(|address| Bound::new(address, None, times)).collect::<Result<_, _>>()?;
        let mut listeners = Self { bound, udp: Vec::new() };
        for (index, device) in devices.iter().enumerate() {
            for address in &device.listen {
                // The number of device listeners is bounded by the configuration, far below this.
                listeners.bind_device(index as u16, address, times).map_err(|cause| BindError::Device {
                    name: device.name.clone(),
                    cause: Box::new(cause),
                })?;
            }
        }
        Ok(listeners)
    }

    fn bind_device(
        &mut self,
        listener: u16,
        address: &DeviceAddress,
        times: &Times,
    ) -> Result<(), BindError> {
        let (address, tls) = match address {
            DeviceAddress::Udp(address) => {
                let socket = UdpListener::bind(*address).map_err(|cause| ip_error(*address, cause, true))?;
                self.udp.push((listener, socket));
                return Ok(());
            }
            DeviceAddress::Tcp(address) => (ListenAddress::Tcp(*address), false),
            DeviceAddress::Tls(address) => (ListenAddress::Tcp(*address), true),
            DeviceAddress::Unix(path) => (ListenAddress::Unix(path.clone()), false),
        };
        self.bound.push(Bound::new(&address, Some(BoundDevice { listener, tls }), times)?);
        Ok(())
    }

    /// The addresses as the kernel has them: port 0 has become a port.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        let open = self.bound.iter().filter(|bound| bound.device.is_none());
        open.map(|bound| bound.address.clone()).collect()
    }

    /// The addresses of devices, each with the number of its listener.
    pub fn device_addresses(&self) -> Vec<(u16, DeviceAddress)> {
        let streams = self.bound.iter().filter_map(|bound| {
            let BoundDevice { listener, tls } = bound.device?;
            let address = match (&bound.address, tls) {
                (ListenAddress::Tcp(address), false) => DeviceAddress::Tcp(*address),
                (ListenAddress::Tcp(address), true) => DeviceAddress::Tls(*address),
                (ListenAddress::Unix(path), _) => DeviceAddress::Unix(path.clone()),
            };
            Some((listener, address))
        });
        let udp = self.udp.iter().map(|(listener, socket)| (*listener, DeviceAddress::Udp(socket.address())));
        streams.chain(udp).collect()
    }

    pub(super) fn into_bound(self) -> (Vec<Bound>, Vec<(u16, UdpListener)>) {
        (self.bound, self.udp)
    }
}

#[derive(Debug)]
pub(super) struct Bound {
    address: ListenAddress,
    device: Option<BoundDevice>,
    socket: BoundSocket,
}

/// Accepts by itself rather than by the runtime, which would watch each new socket before its worker does.
#[derive(Debug)]
enum BoundSocket {
    Tcp(Watched<TcpListener>),
    Unix(Watched<UnixListener>),
}

impl Bound {
    fn new(address: &ListenAddress, device: Option<BoundDevice>, times: &Times) -> Result<Self, BindError> {
        let (address, socket) = match address {
            ListenAddress::Tcp(address) => {
                let (listener, address) =
                    bind_tcp(*address, times).map_err(|cause| ip_error(*address, cause, device.is_some()))?;
                (ListenAddress::Tcp(address), BoundSocket::Tcp(listener))
            }
            ListenAddress::Unix(path) => {
                let listener = bind_unix(path)
                    .map_err(|cause| BindError::Unix { path: path.clone(), cause: cause.into() })?;
                (ListenAddress::Unix(path.clone()), BoundSocket::Unix(listener))
            }
        };
        Ok(Self { address, device, socket })
    }

    /// Which device listener it belongs to; none where all protocols are spoken.
    pub fn device(&self) -> Option<BoundDevice> {
        self.device
    }

    /// The next connection, non-blocking and with its options set, and its peer's address if it has one.
    pub async fn accept(&self) -> io::Result<(RawSocket, Option<IpAddr>)> {
        match &self.socket {
            BoundSocket::Tcp(listener) => {
                let (socket, peer) = listener.read(TcpListener::accept).await?;
                Ok((RawSocket::Tcp(socket.into()), Some(peer.ip())))
            }
            BoundSocket::Unix(listener) => {
                let (socket, _) = listener.read(UnixListener::accept).await?;
                Ok((RawSocket::Unix(socket.into()), None))
            }
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let ListenAddress::Unix(path) = &self.address {
            // Somebody may have removed it before.
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr, times: &Times) -> io::Result<(Watched<TcpListener>, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    set_inherited(&socket, times)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into());
    let address = listener.local_addr()?;
    Ok((Watched::new(listener)?, address))
}

/// Sets what each accepted socket inherits from its listener, so that a connection costs no calls for it.
fn set_inherited(socket: &Socket, times: &Times) -> io::Result<()> {
    // Without it a peer that vanished while something was being sent to it stays open for a quarter of an hour.
    let user_timeout = Some(Duration::from_millis(times.tcp_user_timeout_ms));
    KernelWatch { user_timeout, keepalive: Some(KEEPALIVE) }.apply(&SockRef::from(socket))
}

fn ip_error(address: SocketAddr, cause: io::Error, is_device: bool) -> BindError {
    let mend = match cause.kind() {
        io::ErrorKind::AddrInUse if is_device => {
            "another process has it, or another address of this configuration: choose another port"
        }
        io::ErrorKind::AddrInUse => "another process has it: stop that, or choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher port",
        _ if is_device => "choose another address",
        _ => "choose another address with --listen",
    };
    BindError::Tcp { address, cause, mend }
}

/// A socket file on which nobody answers is left over from a process that was killed, and is replaced. Anything
/// else at the path is left alone.
fn bind_unix(path: &Path) -> Result<Watched<UnixListener>, String> {
    clear_stale(path)?;
    UnixListener::bind(path)
        .and_then(Watched::new)
        .map_err(|error| format!("{error}; the directory must exist and be writable"))
}

/// Makes a path free, if what is there is a socket file on which nobody answers.
pub(crate) fn clear_stale(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err("something other than a socket is there; choose another path or move it away".to_owned());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("the stale socket file cannot be removed: {error}"))
        }
        Ok(_) => Err("another process answers on it; stop that, or choose another path".to_owned()),
        Err(error) => Err(format!("the socket file there cannot be tried: {error}; remove it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn bind(addresses: &[ListenAddress]) -> Result<Listeners, BindError> {
        Listeners::bind(addresses, &[], &Settings::development().times)
    }

    #[tokio::test]
    async fn accepted_sockets_have_the_options_of_their_listener() {
        let listeners = bind(&[ListenAddress::Tcp(([127, 0, 0, 1], 0).into())]).unwrap();
        let [ListenAddress::Tcp(address)] = listeners.addresses()[..] else { panic!() };
        let _peer = std::net::TcpStream::connect(address).unwrap();
        let (RawSocket::Tcp(accepted), Some(peer)) = listeners.bound[0].accept().await.unwrap() else {
            panic!()
        };
        assert!(peer.is_loopback());
        let mut byte = [0];
        let read = std::io::Read::read(&mut &accepted, &mut byte);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE);
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().unwrap().unwrap().as_millis(),
            u128::from(Settings::development().times.tcp_user_timeout_ms)
        );
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wharf.sock");
        // What a killed process leaves: a file without a listener.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let address = [ListenAddress::Unix(path.clone())];
        let listeners = bind(&address).unwrap();
        let error = bind(&address).unwrap_err().to_string();
        assert!(error.contains("another process answers"), "{error}");
        drop(listeners);
        assert!(!path.exists(), "the socket file outlives its listener");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&[ListenAddress::Unix(path.clone())]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_mend_and_port_0_becomes_a_port() {
        let listeners = bind(&[ListenAddress::Tcp(([127, 0, 0, 1], 0).into())]).unwrap();
        let [address @ ListenAddress::Tcp(tcp)] = &listeners.addresses()[..] else { panic!() };
        assert_ne!(tcp.port(), 0);
        let error = bind(std::slice::from_ref(address)).unwrap_err().to_string();
        assert!(error.contains(&tcp.to_string()) && error.contains("choose another port"), "{error}");
    }
}
