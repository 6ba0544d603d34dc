//! A network of a test's own: a client's machine, a router and a server's machine, in network namespaces of the
//! kernel. The router drops, resets, translates and forgets as it is told; nothing of it touches another network.

mod namespace;

use super::{server::Setup, socket::Address, suite};

pub use self::namespace::{Namespace, within};

/// The client's address, and the router's on its side.
pub const CLIENT: &str = "10.77.1.2";
const ROUTER_TO_CLIENT: &str = "10.77.1.1";
/// The server's address, and the router's on its side: the one that clients seem to have behind a NAT.
pub const SERVER: &str = "10.77.2.2";
const ROUTER_TO_SERVER: &str = "10.77.2.1";
/// The server's port.
pub const PORT: u16 = 8000;

/// Whether tests on networks are to be left out, which `cargo xtask test` has then said loudly.
pub fn left_out() -> bool {
    // Not `any`, which would say only the first.
    ["iproute2", "nftables", "conntrack"].map(suite::left_out).contains(&true)
}

/// Three machines in a row.
#[derive(Debug)]
pub struct Network {
    pub client: Namespace,
    pub router: Namespace,
    pub server: Namespace,
}

impl Network {
    /// Everything passes.
    #[track_caller]
    pub fn new() -> Self {
        let network = Self {
            client: Namespace::make("client"),
            router: Namespace::make("router"),
            server: Namespace::make("server"),
        };
        let sides = [
            (&network.client, "client", CLIENT, ROUTER_TO_CLIENT),
            (&network.server, "server", SERVER, ROUTER_TO_SERVER),
        ];
        for (machine, side, address, router) in sides {
            let name = machine.name();
            network.router.run(&format!("ip link add {side} type veth peer name wire netns {name}"));
            network.router.run(&format!("ip address add {router}/24 dev {side}"));
            network.router.run(&format!("ip link set {side} up"));
            machine.run(&format!("ip address add {address}/24 dev wire"));
            machine.run("ip link set wire up");
            machine.run(&format!("ip route add default via {router}"));
        }
        network.router.run("sysctl -qw net.ipv4.ip_forward=1");
        network.router.rules(
            "table inet faults {
                 chain passing { type filter hook forward priority -10; }
             }",
        );
        network
    }

    /// A server that is to run on the server's machine, without development mode, which keeps to loopback. Everybody
    /// may do everything.
    pub fn setup(&self) -> Setup {
        Setup::new().within(&self.server, &format!("{SERVER}:{PORT}"))
    }

    /// The server as it is reached from the client's machine.
    pub fn address(&self) -> Address {
        Address::Within { namespace: self.client.path(), address: format!("{SERVER}:{PORT}") }
    }

    /// The same as the beginning of a URL, for a program that runs there.
    pub fn url(&self) -> String {
        format!("http://{SERVER}:{PORT}")
    }

    /// From now on the router does so with what it should pass on.
    #[track_caller]
    pub fn fault(&self, fault: Fault) {
        self.router.run(&format!("nft add rule inet faults passing {}", fault.rule()));
    }

    /// From now on everything passes again.
    #[track_caller]
    pub fn heal(&self) {
        self.router.run("nft flush chain inet faults passing");
    }

    /// The router hides the client behind its own address, and forgets a connection on which nothing passed for
    /// `idle_s` seconds. What belongs to no connection that it knows, it answers as `stranger` says.
    #[track_caller]
    pub fn translate(&self, idle_s: u32, stranger: Stranger) {
        for setting in [
            format!("nf_conntrack_tcp_timeout_established={idle_s}"),
            // A packet from the middle of a conversation does not make the router remember it.
            "nf_conntrack_tcp_loose=0".to_owned(),
        ] {
            self.router.run(&format!("sysctl -qw net.netfilter.{setting}"));
        }
        let verdict = match stranger {
            Stranger::Dropped => "drop",
            Stranger::Reset => "reject with tcp reset",
        };
        self.router.rules(&format!(
            "table ip translation {{
                 chain leaving {{ type nat hook postrouting priority srcnat; oifname server masquerade; }}
                 chain passing {{
                     type filter hook forward priority filter;
                     meta l4proto tcp ct state invalid {verdict};
                 }}
                 chain coming {{
                     type filter hook input priority filter;
                     iifname server meta l4proto tcp {verdict};
                 }}
             }}"
        ));
    }

    /// The router forgets every connection at once, as when its firewall is loaded anew.
    #[track_caller]
    pub fn forget(&self) {
        self.router.run("conntrack -F");
    }

    /// How many connections the router remembers.
    #[track_caller]
    pub fn remembered(&self) -> usize {
        let output = self.router.command("conntrack").args(["-L", "-p", "tcp"]).output();
        let output = output.expect("conntrack is installed");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    /// The client's machine loses its power, as the others see it: nothing comes from it and nothing arrives.
    #[track_caller]
    pub fn cut_off(&self) {
        self.client.run("ip link set wire down");
    }
}

/// What a router can do with what it should pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing arrives anywhere.
    Blackhole,
    /// Nothing of the client's arrives at the server.
    TowardsServer,
    /// Nothing of the server's arrives at the client.
    TowardsClient,
    /// Whoever sends is told that there is no such connection.
    Reset,
}

impl Fault {
    fn rule(self) -> &'static str {
        match self {
            Self::Blackhole => "drop",
            Self::TowardsServer => "iifname client drop",
            Self::TowardsClient => "iifname server drop",
            Self::Reset => "meta l4proto tcp reject with tcp reset",
        }
    }
}

/// How a router treats what belongs to no connection that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Most do.
    Dropped,
    Reset,
}
