//! A router that translates addresses and forgets: who was connected through it is found, and pings that come often
//! enough keep it from forgetting.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    common::{
        client::{Client, Lines},
        network::{self, Network, Stranger},
        server::Server,
    },
    crowd::{Crowd, POLLS, STREAMS, Times, Way, every_way},
};

/// A router that forgets after so many seconds, and a server that pings less often than that.
fn forgetful(idle_s: u32, stranger: Stranger) -> (Network, Times, Server) {
    let network = Network::new();
    network.translate(idle_s, stranger);
    let times = Times::pinging_each(u64::from(idle_s) + 1);
    let server = times.of(network.setup()).start();
    (network, times, server)
}

/// Whoever comes and only waits is known to be killed by the router, in time; whoever asks again and again stays.
#[track_caller]
fn assert_found(network: &Network, times: &Times, server: &Server, idle_s: u32, ways: &[Way]) {
    let idle = Duration::from_secs(idle_s.into());
    let since = Instant::now();
    let crowd = Crowd::join(network, server, ways);
    let polls = Crowd::join(network, server, &POLLS);
    // The first ping comes after half an interval or more, and may be in time; the next one is not.
    let latest = times.ping_interval * 2 + times.pong_timeout.max(times.user_timeout);
    crowd.assert_gone_between(server, since, |_| idle, |_| latest);
    crowd.assert_verdicts(server, |_| "idle_kill");
    // Who asks each second is forgotten by nobody.
    polls.assert_there(server);
}

/// How often the clients of the router's network are pinged, in milliseconds, if the server has found that out.
fn found_ping_ms(server: &Server) -> Option<u64> {
    let answer = server.api("paths", &json!({}));
    println!("found: {answer}");
    let paths = answer["paths"].as_array().expect("a list");
    let path = paths.iter().find(|path| path["network"] == "10.77.2.0/24" && path["kills_at_ms"] != 0);
    path.map(|path| path["ping_ms"].as_u64().expect("a number"))
}

/// How often it may be that those who were killed were not enough, or too close together, for an estimate.
const ROUNDS: usize = 3;

// Row 45.
#[test]
fn a_nat_that_forgets_after_five_seconds_is_found_and_then_kills_nobody_any_more() {
    if network::left_out() {
        return;
    }
    let (network, times, server) = forgetful(5, Stranger::Dropped);
    let ways = [&STREAMS[..], &[Way::Events; 8]].concat();
    let found = (0..ROUNDS).find_map(|_| {
        assert_found(&network, &times, &server, 5, &ways);
        found_ping_ms(&server)
    });
    let ping_ms = found.expect("the server finds out how long the path lets connections idle");
    assert!((2_000..5_000).contains(&ping_ms), "{ping_ms}");
    let told = Client::new(Lines::open(&network.address())).connect()["ping"].as_u64();
    assert_eq!(told, Some(ping_ms.div_ceil(1_000)), "clients are told");
    let mut crowd = Crowd::join(&network, &server, &every_way());
    // For twice the time after which the router forgets.
    crowd.assert_stays(&server, 4);
}

// Row 45.
#[test]
fn a_nat_that_forgets_and_resets_is_found() {
    if network::left_out() {
        return;
    }
    let (network, times, server) = forgetful(2, Stranger::Reset);
    assert_found(&network, &times, &server, 2, &STREAMS);
}

// Row 45.
#[test]
fn a_nat_that_forgets_is_kept_from_it_by_pings() {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    network.translate(3, Stranger::Dropped);
    let server = Times::pinging_each(2).of(network.setup()).start();
    let mut crowd = Crowd::join(&network, &server, &every_way());
    crowd.assert_stays(&server, 3);
}

/// Everybody is connected through a router that then forgets everybody at once.
#[track_caller]
fn assert_reload_found(stranger: Stranger, verdict: &'static str) {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::QUICK);
    network.translate(600, stranger);
    let server = times.of(network.setup()).start();
    let crowd = Crowd::join(&network, &server, &[&STREAMS[..], &[Way::Http2]].concat());
    assert!(network.remembered() >= crowd.len());
    network.forget();
    crowd.assert_gone_in_time(&server, &times, Instant::now());
    crowd.assert_verdicts(&server, |_| verdict);
}

// Row 45.
#[test]
fn a_firewall_that_is_loaded_anew_is_found() {
    assert_reload_found(Stranger::Dropped, "blackholed");
}

// Row 45.
#[test]
fn a_firewall_that_is_loaded_anew_and_resets_is_found() {
    assert_reload_found(Stranger::Reset, "reset");
}
