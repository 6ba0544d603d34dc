//! What the tests of the whole server share: a server on ports of its own, and clients of several kinds.
//!
//! Nothing here waits for time to go by: a client blocks until what it waits for comes, or fails after
//! [`PATIENCE`], which is far longer than anything takes.

// Each test binary has this module to itself and uses only a part of it.
#![allow(dead_code)]

pub mod certificate;
pub mod client;
pub mod curl;
pub mod document;
pub mod example;
pub mod fleet;
pub mod http;
pub mod javascript;
pub mod member;
pub mod network;
pub mod nginx;
pub mod poll;
pub mod process;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod server;
pub mod socket;
pub mod suite;
pub mod websocket;

use std::time::{Duration, Instant};

/// How long anything is waited for before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `condition` again and again until it holds; fails with `what` if it does not in time. For what the server
/// tells nobody, such as the end of a lease; whatever it does tell is waited for without asking.
#[track_caller]
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        // tidy: sleeps because asking without a pause would take the processor that the answer needs.
        std::thread::sleep(Duration::from_millis(20));
    }
}
