//! Binding: TCP addresses and Unix paths.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::RawSocket;
use crate::settings::ListenAddress;

/// Connections that the kernel holds before they are accepted; the kernel's own limit may be lower
/// (`net.core.somaxconn`). LIMITS.md, `accept_backlog`.
const BACKLOG: i32 = 4_096;

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
}

/// Addresses that are bound and not accepted from yet.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
}

impl Listeners {
    /// Binds all addresses or none. Must be called inside the runtime that will accept.
    pub fn bind(addresses: &[ListenAddress]) -> Result<Self, BindError> {
        let bound = addresses.iter().map(Bound::new).collect::<Result<_, _>>()?;
        Ok(Self { bound })
    }

    /// The addresses as the kernel has them: port 0 has become a port.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.bound.iter().map(|bound| bound.address.clone()).collect()
    }

    pub(super) fn into_bound(self) -> Vec<Bound> {
        self.bound
    }
}

#[derive(Debug)]
pub(super) struct Bound {
    address: ListenAddress,
    socket: BoundSocket,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    fn new(address: &ListenAddress) -> Result<Self, BindError> {
        match address {
            ListenAddress::Tcp(address) => {
                let (listener, address) = bind_tcp(*address).map_err(|cause| tcp_error(*address, cause))?;
                Ok(Self { address: ListenAddress::Tcp(address), socket: BoundSocket::Tcp(listener) })
            }
            ListenAddress::Unix(path) => {
                let listener = bind_unix(path)
                    .map_err(|cause| BindError::Unix { path: path.clone(), cause: cause.into() })?;
                Ok(Self { address: ListenAddress::Unix(path.clone()), socket: BoundSocket::Unix(listener) })
            }
        }
    }

    pub async fn accept(&self) -> io::Result<RawSocket> {
        match &self.socket {
            BoundSocket::Tcp(listener) => Ok(RawSocket::Tcp(listener.accept().await?.0.into_std()?)),
            BoundSocket::Unix(listener) => Ok(RawSocket::Unix(listener.accept().await?.0.into_std()?)),
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

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn tcp_error(address: SocketAddr, cause: io::Error) -> BindError {
    let mend = match cause.kind() {
        io::ErrorKind::AddrInUse => "another process has it: stop that, or choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher port",
        _ => "choose another address with --listen",
    };
    BindError::Tcp { address, cause, mend }
}

/// A socket file on which nobody answers is left over from a process that was killed, and is replaced. Anything
/// else at the path is left alone.
fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(
                "something other than a socket is there; choose another path or move it away".to_owned()
            );
        }
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)
                    .map_err(|error| format!("the stale socket file cannot be removed: {error}"))?;
            }
            Ok(_) => {
                return Err("another process answers on it; stop that, or choose another path".to_owned());
            }
            Err(error) => return Err(format!("the socket file there cannot be tried: {error}; remove it")),
        }
    }
    UnixListener::bind(path).map_err(|error| format!("{error}; the directory must exist and be writable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wharf.sock");
        // What a killed process leaves: a file without a listener.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let address = [ListenAddress::Unix(path.clone())];
        let listeners = Listeners::bind(&address).unwrap();
        let error = Listeners::bind(&address).unwrap_err().to_string();
        assert!(error.contains("another process answers"), "{error}");
        drop(listeners);
        assert!(!path.exists(), "the socket file outlives its listener");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "precious").unwrap();
        assert!(Listeners::bind(&[ListenAddress::Unix(path.clone())]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_mend_and_port_0_becomes_a_port() {
        let listeners = Listeners::bind(&[ListenAddress::Tcp(([127, 0, 0, 1], 0).into())]).unwrap();
        let [address @ ListenAddress::Tcp(tcp)] = &listeners.addresses()[..] else { panic!() };
        assert_ne!(tcp.port(), 0);
        let error = Listeners::bind(std::slice::from_ref(address)).unwrap_err().to_string();
        assert!(error.contains(&tcp.to_string()) && error.contains("choose another port"), "{error}");
    }
}
