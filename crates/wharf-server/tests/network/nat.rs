//! A router that translates addresses and forgets: who was connected through it is found, and pings that come often
//! enough keep it from forgetting.

use std::time::{Duration, Instant};

use crate::{
    common::network::{self, Network, Stranger},
    crowd::{Crowd, POLLS, STREAMS, Times, Way, every_way},
};

/// The router forgets after `idle_s` seconds, which is sooner than the server pings: whoever only waits is known to
/// be gone in time, and whoever asks again and again stays.
#[track_caller]
fn assert_found(idle_s: u32, stranger: Stranger) {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    network.translate(idle_s, stranger);
    let idle = Duration::from_secs(idle_s.into());
    let times = Times::pinging_each(u64::from(idle_s) + 1);
    let server = times.of(network.setup()).start();
    let since = Instant::now();
    let crowd = Crowd::join(&network, &server, &STREAMS);
    let polls = Crowd::join(&network, &server, &POLLS);
    // The first ping comes after half an interval or more, and may be in time; the next one is not.
    let latest = times.ping_interval * 2 + times.pong_timeout.max(times.user_timeout);
    crowd.assert_gone_between(&server, since, |_| idle, |_| latest);
    crowd.assert_verdicts(&server, |_| "idle_kill");
    // Who asks each second is forgotten by nobody.
    polls.assert_there(&server);
}

// Row 45.
#[test]
fn a_nat_that_forgets_after_five_seconds_is_found() {
    assert_found(5, Stranger::Dropped);
}

// Row 45.
#[test]
fn a_nat_that_forgets_and_resets_is_found() {
    assert_found(2, Stranger::Reset);
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
