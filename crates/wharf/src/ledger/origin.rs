//! Where a connection came from, as far as the ledger wants to know: the listener, and the client's network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A client's network: the first 24 bits of an IPv4 address, or the first 48 of an IPv6 address. Clients of one such
/// network mostly share what stands between them and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// 24 bits.
    V4([u8; 3]),
    /// 48 bits.
    V6([u8; 6]),
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

impl Network {
    /// Reads an address, or what [`Network`] displays: the network that it is in.
    pub fn parse(text: &str) -> Option<Self> {
        let address: IpAddr = text.split('/').next()?.parse().ok()?;
        Some(Self::of(address))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(formatter, "{}/24", Ipv4Addr::new(*a, *b, *c, 0)),
            Self::V6(first) => {
                let mut octets = [0; 16];
                octets[..6].copy_from_slice(first);
                write!(formatter, "{}/48", Ipv6Addr::from(octets))
            }
        }
    }
}

/// Where a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The number of the listener ([`crate::node::Node::listener_name`]).
    pub listener: u8,
    /// The client's network; none for Unix paths.
    pub network: Option<Network>,
}

impl Origin {
    /// Nobody knows: a poll session, which no connection carries.
    pub const UNKNOWN: Self = Self { listener: u8::MAX, network: None };

    /// A connection that a listener has taken: an address of `Settings::listen` by its number, or behind those a device
    /// listener by its own.
    pub fn new(listener: usize, address: Option<IpAddr>) -> Self {
        // Who has more than 254 addresses finds the rest under one name.
        let listener = u8::try_from(listener).unwrap_or(u8::MAX);
        Self { listener, network: address.map(Network::of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        Network::of(address.parse().unwrap()).to_string()
    }

    #[test]
    fn an_address_shows_as_its_network() {
        assert_eq!(network("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("2001:db8:7:8::9"), "2001:db8:7::/48");
        assert_eq!(network("::ffff:203.0.113.77"), "203.0.113.0/24", "IPv4 by an IPv6 socket");
    }

    #[test]
    fn a_network_reads_back_as_it_shows() {
        for text in ["203.0.113.0/24", "2001:db8:7::/48"] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Network::parse("home"), None);
    }

    #[test]
    fn an_origin_is_small_enough_to_lie_beside_a_socket() {
        assert_eq!(size_of::<Origin>(), 8);
    }
}
