//! Device listeners: addresses at which devices speak in a format of their own.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use wharf_proto::device::Profile;

use super::TlsFiles;

/// One kind of device, and where its devices connect.
#[derive(Debug, Clone)]
pub struct DeviceListener {
    /// The name in logs and in the server API.
    pub name: Box<str>,
    /// How they frame, log in, show life and speak.
    pub profile: Arc<Profile>,
    /// Where its devices connect.
    pub listen: Vec<DeviceAddress>,
    /// A second connection of a device ends the first (code 3520); or else it is refused (code 3420).
    pub replaces: bool,
    /// Certificates of its `tls://` addresses.
    pub tls: Option<DeviceTls>,
    /// The most connections and UDP peers of all its addresses together.
    pub connections: usize,
}

/// Where devices connect. Nothing else is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceAddress {
    /// A TCP address; port 0 asks the kernel for one.
    Tcp(SocketAddr),
    /// TLS over TCP, from the first byte.
    Tls(SocketAddr),
    /// UDP: each peer's address is a connection.
    Udp(SocketAddr),
    /// A Unix path.
    Unix(PathBuf),
}

/// The certificates of a device listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTls {
    /// The server's own.
    pub files: TlsFiles,
    /// Devices must show a certificate too.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of devices are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// A PEM file with the authorities that have signed them.
    pub authority: PathBuf,
    /// The common name, or a DNS name among the alternative names (which cannot be a number), must be the device's
    /// identifier.
    pub name_is_device: bool,
}

/// The most connections of a device listener, unless the operator says otherwise. LIMITS.md, `device_connections`.
pub const DEVICE_CONNECTIONS: usize = 10_000;
