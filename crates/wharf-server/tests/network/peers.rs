//! Peers that are reached, and nevertheless are not there: frozen, killed, not reading.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    common::{
        PATIENCE,
        client::{Client, Lines},
        eventually,
        network::{self, Fault, Network},
        raw,
        server::{Server, Setup},
        websocket::WebSocket,
    },
    crowd::{Crowd, POLLS, SLACK, Times, Way, every_way, unless_poll},
};

/// Every way but that of an EventSource, for which its kernel speaks alone.
fn ways_of_programs() -> Vec<Way> {
    every_way().into_iter().filter(|way| *way != Way::Events).collect()
}

#[test]
fn a_frozen_process_is_gone_in_time_although_its_kernel_answers_and_misses_nothing_once_it_thaws() {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::QUICK);
    let server = times.of(network.setup()).start();
    let crowd = Crowd::join(&network, &server, &ways_of_programs());
    crowd.signal("STOP");
    crowd.assert_gone_in_time(&server, &times, Instant::now());
    crowd.assert_verdicts(&server, unless_poll("missed_heartbeat"));
    crowd.publish(&server, "while frozen");
    crowd.signal("CONT");
    crowd.assert_hears("while frozen");
}

#[test]
fn a_killed_process_is_gone_at_once() {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::pinging_each(600));
    let server = times.of(network.setup()).start();
    let ways = ways_of_programs();
    let streams: Vec<Way> = ways.into_iter().filter(|way| !POLLS.contains(way)).collect();
    let crowd = Crowd::join(&network, &server, &streams);
    crowd.signal("KILL");
    crowd.assert_gone_between(&server, Instant::now(), |_| Duration::ZERO, |_| Duration::ZERO);
    crowd.assert_verdicts(&server, |_| "closed_by_peer");
}

/// The server's end of a client's connection is reset by the client's kernel.
#[test]
fn a_client_that_resets_is_gone_at_once() {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    let server = Times::pinging_each(600).of(network.setup()).start();
    let mut client = Client::new(Lines::open(&network.address()));
    client.connect();
    client.subscribe("rooms");
    let presence = || server.api("presence_stats", &json!({"channel": "rooms"}))["num_clients"].clone();
    assert_eq!(presence(), 1);
    let since = Instant::now();
    raw::reset_socket(client.wire.socket());
    drop(client);
    eventually("presence loses it", SLACK, || presence() == 0);
    println!("reset: gone after {:?}", since.elapsed());
    assert_eq!(only_verdict(&server), "reset");
}

/// What the ledger says of the one connection that was there.
#[track_caller]
fn only_verdict(server: &Server) -> Value {
    let mut answer = server.api("connections", &json!({"ended": true}));
    assert_eq!(answer["ended"].as_array().map(Vec::len), Some(1), "{answer}");
    answer["ended"][0]["verdict"].take()
}

/// Publishes until the window of a subscriber that reads nothing is shut, and something waits behind it.
#[track_caller]
fn shut_window(server: &Server) {
    let payload = "x".repeat(60 * 1024);
    let waits = || {
        let bytes = server.metric("wharf_deliveries_total") * payload.len() as u64;
        bytes > server.metric("wharf_sent_bytes_total") + (1 << 20)
    };
    for _ in 0..1_000 {
        if waits() {
            return;
        }
        server.api("publish", &json!({"channel": "rooms", "data": payload}));
    }
    panic!("the kernel takes everything");
}

/// A subscriber shuts its window, or the path to it is cut, and nothing but what `setup` sets to a second would find it.
#[track_caller]
fn assert_shut_window_found(cut: bool, setup: impl FnOnce(Setup) -> Setup, verdict: &str) {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    // So far away that the test would fail.
    let never = [
        ("PING_INTERVAL", "20m"),
        ("PONG_TIMEOUT", "10m"),
        ("WRITE_STALL", "10m"),
        ("TCP_USER_TIMEOUT", "10m"),
        ("PRESENCE_LEASE", "40m"),
    ];
    let never = never
        .into_iter()
        .fold(network.setup(), |setup, (name, time)| setup.variable(&format!("WHARF_TIMES__{name}"), time));
    let server = setup(never.variable("WHARF_LIMITS__OUTBOX_BYTES", "67108864")).start();
    let mut slow = Client::new(WebSocket::open(&network.address(), "/connection/websocket"));
    slow.connect();
    slow.subscribe("rooms");
    if cut {
        network.fault(Fault::Blackhole);
    }
    shut_window(&server);
    let since = Instant::now();
    let presence = || server.api("presence_stats", &json!({"channel": "rooms"}))["num_clients"].clone();
    eventually("presence loses it", PATIENCE, || presence() == 0);
    let took = since.elapsed();
    println!("window shut: gone after {took:?}");
    assert!(took <= Duration::from_secs(1) + SLACK, "{took:?}");
    assert_eq!(only_verdict(&server), verdict);
}

// Row 43.
#[test]
fn a_window_that_stays_shut_is_found_by_the_write_stall() {
    assert_shut_window_found(false, |setup| setup.variable("WHARF_TIMES__WRITE_STALL", "1s"), "slow");
}

// Row 43.
#[test]
fn a_window_that_stays_shut_is_found_by_the_kernel() {
    // The kernel does not say whether it waited for room or for a sign of life.
    assert_shut_window_found(
        false,
        |setup| setup.variable("WHARF_TIMES__TCP_USER_TIMEOUT", "1s"),
        "blackholed",
    );
}

// Row 43.
#[test]
fn whoever_is_gone_while_it_is_spoken_to_is_not_called_slow() {
    assert_shut_window_found(
        true,
        |setup| setup.variable("WHARF_TIMES__WRITE_STALL", "1500ms"),
        "blackholed",
    );
}
