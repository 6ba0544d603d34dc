//! Faults of the path between, one after the other.

use std::time::Instant;

use crate::{
    common::network::{self, Fault, Network},
    crowd::{Crowd, Times, every_way, unless_poll},
};

/// Everybody comes, the router does so from then on, and everybody is known to be gone in time.
#[track_caller]
fn assert_found(fault: Fault, verdict: &'static str) {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::QUICK);
    let server = times.of(network.setup()).start();
    let crowd = Crowd::join(&network, &server, &every_way());
    network.fault(fault);
    crowd.assert_gone_in_time(&server, &times, Instant::now());
    crowd.assert_verdicts(&server, unless_poll(verdict));
}

// Row 44.
#[test]
fn a_client_that_loses_power_is_gone_in_the_stated_time_and_one_that_does_not_stays() {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::QUICK);
    let server = times.of(network.setup()).start();
    let mut crowd = Crowd::join(&network, &server, &every_way());
    crowd.assert_stays(&server, 3);
    network.cut_off();
    crowd.assert_gone_in_time(&server, &times, Instant::now());
    crowd.assert_verdicts(&server, unless_poll("blackholed"));
}

#[test]
fn a_path_that_swallows_everything_is_found() {
    assert_found(Fault::Blackhole, "blackholed");
}

#[test]
fn a_path_that_swallows_what_the_client_says_is_found() {
    assert_found(Fault::TowardsServer, "blackholed");
}

#[test]
fn a_path_that_swallows_what_the_server_says_is_found() {
    assert_found(Fault::TowardsClient, "blackholed");
}

#[test]
fn a_path_that_resets_is_found() {
    assert_found(Fault::Reset, "reset");
}
