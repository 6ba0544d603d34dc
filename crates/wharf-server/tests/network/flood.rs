//! Many at once who mean no good: half-open connections, and resets.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Instant,
};

use serde_json::json;

use crate::{
    common::{
        PATIENCE,
        client::{Client, Lines},
        eventually,
        network::{self, Fault, Namespace, Network, PORT, SERVER, within},
        server::Server,
        websocket::WebSocket,
    },
    crowd::{SLACK, Times},
};

/// More than wait to be accepted: `backlog` of LIMITS.md, 4,096.
const HALF_OPEN: u32 = 6_000;
/// Where the flood says that it comes from.
const NOWHERE: &str = "10.99.0.0/16";

/// A connection request of a peer in [`NOWHERE`], with its IP header (RFC 791, RFC 9293 section 3.1).
fn request(number: u32) -> [u8; 40] {
    let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, 0, 0)) + number % 50_000 + 1).octets();
    let to = SERVER.parse::<Ipv4Addr>().expect("an address").octets();
    let mut packet = [0; 40];
    packet[0] = 0x45;
    packet[3] = 40;
    packet[8] = 64;
    packet[9] = libc::IPPROTO_TCP as u8;
    packet[12..16].copy_from_slice(&from);
    packet[16..20].copy_from_slice(&to);
    let segment = &mut packet[20..];
    segment[0..2].copy_from_slice(&(10_000 + (number % 50_000) as u16).to_be_bytes());
    segment[2..4].copy_from_slice(&PORT.to_be_bytes());
    segment[4..8].copy_from_slice(&number.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = 0x02; // SYN
    segment[14..16].copy_from_slice(&64_000_u16.to_be_bytes());
    // The kernel fills in IP's checksum; this one is over the addresses, the protocol, the length and the segment.
    let words = [&from[..], &to, &[0, 6, 0, 20], segment].concat();
    let sum: u32 = words.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    segment[16..18].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    packet
}

/// Sends the flood from a machine.
fn flood(machine: &Namespace) {
    within(&machine.path(), || {
        // SAFETY: the call takes no memory of ours, and the descriptor that it makes is nobody else's.
        let socket = unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW);
            assert!(socket >= 0, "no raw socket: {}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(socket)
        };
        let to = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(SERVER.parse::<Ipv4Addr>().expect("one")).to_be() },
            sin_zero: [0; 8],
        };
        for number in 0..HALF_OPEN {
            let packet = request(number);
            // SAFETY: both pointers are to values that live through the call, with their sizes.
            let sent = unsafe {
                let to = (&raw const to).cast();
                let size = size_of::<libc::sockaddr_in>() as u32;
                libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0, to, size)
            };
            assert_eq!(sent, 40, "the flood does not flow: {}", io::Error::last_os_error());
        }
    });
}

/// A counter of a machine's TCP, as `SyncookiesSent`.
fn tcp_counter(machine: &Namespace, name: &str) -> u64 {
    let text = within(&machine.path(), || fs::read_to_string("/proc/thread-self/net/netstat"));
    let text = text.expect("every Linux has it");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (mut names, mut values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names.position(|other| other == name).expect("a counter of this name");
    values.nth(at).and_then(|value| value.parse().ok()).expect("a number")
}

// Row 48.
#[test]
fn a_flood_of_half_open_connections_keeps_nobody_out() {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    // What the server answers to nowhere comes to nobody, and nobody says so.
    network.router.run(&format!("nft add rule inet faults passing ip daddr {NOWHERE} drop"));
    network.router.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.client.rp_filter=0");
    let server = network.setup().start();
    let mut before = Client::new(WebSocket::open(&network.address(), "/connection/websocket"));
    before.connect();
    before.subscribe("rooms");
    let (memory_kib, descriptors) = (server.memory_kib(), server.descriptors());
    flood(&network.client);
    // Or the flood was none.
    eventually("cookies are sent", PATIENCE, || tcp_counter(&network.server, "SyncookiesSent") > 0);

    let since = Instant::now();
    let mut late = Client::new(WebSocket::open(&network.address(), "/connection/websocket"));
    late.connect();
    late.subscribe("rooms");
    let took = since.elapsed();
    assert!(took < SLACK, "{took:?} to get in");
    assert!(tcp_counter(&network.server, "SyncookiesRecv") > 0, "it came in by a cookie");
    late.publish("rooms", json!("ahoy"));
    assert_eq!(before.publications(1), [json!("ahoy")]);
    assert_eq!(late.publications(1), [json!("ahoy")]);
    // Half-open ones are the kernel's alone.
    assert!(server.memory_kib() < memory_kib + 1_024, "{memory_kib} KiB before");
    assert!(server.descriptors() <= descriptors + 1, "{descriptors} descriptors before");
    println!("came in after {took:?}");
}

/// So many subscribe, and the path then resets each of them at the same moment.
#[track_caller]
fn come_and_be_reset(network: &Network, server: &Server, count: usize) {
    let crowd: Vec<_> = (0..count)
        .map(|_| {
            let mut client = Client::new(Lines::open(&network.address()));
            client.connect();
            client.subscribe("rooms");
            client
        })
        .collect();
    let presence = || server.api("presence_stats", &json!({"channel": "rooms"}))["num_clients"].clone();
    assert_eq!(presence(), count);
    network.fault(Fault::Reset);
    let since = Instant::now();
    // All are written to at once, and the router answers each with a reset.
    server.api("publish", &json!({"channel": "rooms", "data": "ahoy"}));
    eventually("presence loses them", SLACK, || presence() == 0);
    println!("{count} resets: gone after {:?}", since.elapsed());
    eventually("connections are given back", PATIENCE, || server.metric("wharf_connections") == 0);
    network.heal();
    drop(crowd);
}

// Row 46.
#[test]
fn a_path_that_resets_hundreds_at_once_leaves_nothing_of_them() {
    const COUNT: usize = 300;
    if network::left_out() {
        return;
    }
    let network = Network::new();
    let server = Times::pinging_each(600).of(network.setup()).start();
    // What the server takes for its first crowd it keeps.
    come_and_be_reset(&network, &server, COUNT);
    let (descriptors, memory_kib) = (server.descriptors(), server.memory_kib());
    come_and_be_reset(&network, &server, COUNT);
    eventually("descriptors are given back", PATIENCE, || server.descriptors() <= descriptors);
    assert!(server.memory_kib() < memory_kib + 512, "{memory_kib} KiB before");
    let mut late = Client::new(Lines::open(&network.address()));
    late.connect();
    late.publish("rooms", json!("still here"));
}
