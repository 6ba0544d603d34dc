//! PyPI `cent`, the client of Centrifugo's server API, which nobody here wrote.

mod common;

use common::{
    http,
    server::{Server, Setup},
    suite,
};

/// How many checks `judges/python/cent_suite.py` makes.
const CHECKS: usize = 18;

/// As open as development mode, but the API asks for a key.
const WITH_A_KEY: &str = r#"
development = false
[api]
keys = ["the-key-of-this-test"]
[client]
anonymous = true
[channel.without_namespace]
presence = true
history_size = 300
history_ttl = "10m"
allow_recovery = true
allow_positioning = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
"#;

#[test]
fn the_api_client_conforms_without_a_key_in_development_mode() {
    let server = Server::start();
    suite::python("cent_suite", &[&server.url()], CHECKS);
}

#[test]
fn the_api_client_conforms_with_a_key() {
    let server = Setup::new().configuration(WITH_A_KEY).start();
    suite::python("cent_suite", &[&server.url(), "the-key-of-this-test"], CHECKS);
}

#[test]
fn the_api_refuses_a_missing_or_wrong_key_and_takes_the_right_one_in_every_place() {
    let server = Setup::new().configuration(WITH_A_KEY).start();
    let status = |path: &str, header: &[(&str, &str)]| {
        http::request(server.address(), "POST", path, header, "{}").status
    };
    assert_eq!(status("/api/info", &[]), 401);
    assert_eq!(status("/api/info", &[("X-API-Key", "the-key-of-this-tesT")]), 401);
    assert_eq!(status("/api/info", &[("X-API-Key", "")]), 401);
    assert_eq!(status("/api/info", &[("X-API-Key", "the-key-of-this-test")]), 200);
    assert_eq!(status("/api/info", &[("Authorization", "apikey the-key-of-this-test")]), 200);
    assert_eq!(status("/api/info?api_key=the-key-of-this-test", &[]), 200);
}
