//! Where the generator connects to, and from where.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// What a generator connects to.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Where devices connect.
    pub devices: Option<SocketAddr>,
    pub host: String,
    /// Path and query of its WebSocket, if it is another than Centrifugo's.
    pub path: Option<String>,
    /// A key of the server API.
    pub api_key: Option<String>,
    /// Connections come from so many addresses of the loopback net, each with ports of its own. 0: from what the
    /// kernel chooses.
    pub source_addresses: u8,
}

impl Target {
    /// Begins to connect.
    pub fn dial(&self, index: usize) -> anyhow::Result<TcpStream> {
        self.dial_at(self.address, index)
    }

    /// Begins to connect to this one of its addresses.
    pub fn dial_at(&self, address: SocketAddr, index: usize) -> anyhow::Result<TcpStream> {
        self.try_dial(address, index).map_err(|error| explain(error, index, address))
    }

    fn try_dial(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if self.source_addresses > 0 {
            socket.bind(&source(index, self.source_addresses).into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            outcome => outcome?,
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}

/// The address that a connection comes from: 127.0.0.1 and its neighbours in turn.
fn source(index: usize, addresses: u8) -> SocketAddr {
    let host = 1 + (index % usize::from(addresses)) as u8;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0)
}

fn explain(error: io::Error, open: usize, address: SocketAddr) -> anyhow::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "no descriptor is left: raise the limit with `ulimit -n`, or ask for fewer --connections"
                .to_owned()
        }
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => {
            "no port is left: spread the connections by --source-addresses, or wait a minute for closed ones"
                .to_owned()
        }
        _ => format!("is a server listening on {address}?"),
    };
    anyhow::Error::new(error).context(format!("connection {} cannot be opened; {advice}", open + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Target {
        /// A port of this machine.
        pub fn loopback(port: u16) -> Self {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            Self {
                address,
                devices: None,
                host: address.to_string(),
                path: None,
                api_key: None,
                source_addresses: 0,
            }
        }
    }

    #[test]
    fn sources_take_turns_within_the_loopback_net() {
        let hosts: Vec<String> = (0..4).map(|index| source(index, 3).ip().to_string()).collect();
        assert_eq!(hosts, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]);
        assert_eq!(source(254, 254).ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn a_full_table_of_descriptors_names_ulimit() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let text = format!("{:#}", explain(error, 1019, ([127, 0, 0, 1], 1).into()));
        assert!(text.starts_with("connection 1020 cannot be opened; no descriptor is left"), "{text}");
        assert!(text.contains("`ulimit -n`"), "{text}");
    }
}
