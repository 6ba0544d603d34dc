//! npm `ws` and PyPI `websockets`, which nobody here wrote, as clients of the server and of the example
//! `websocket_echo`.

mod common;

use common::{
    example::Echo,
    server::{Server, Setup},
    suite,
};

/// How many checks `judges/js/websocket_client.mjs` makes.
const JAVASCRIPT_CHECKS: usize = 25;
/// How many checks `judges/python/echo_suite.py` makes.
const PYTHON_CHECKS: usize = 14;

// Rows 8, 22, 23, 29, 37.
#[test]
fn npm_ws_finds_the_letter_of_rfc_6455() {
    let (echo, server) = (Echo::start(), Server::start());
    suite::javascript("websocket_client", &[&echo.url(), &server.url(), "declined"], JAVASCRIPT_CHECKS);
}

// Row 37.
#[test]
fn npm_ws_finds_a_session_the_same_whatever_compression_it_offers() {
    let server = ["ENABLED", "SERVER_CONTEXT_TAKEOVER", "CLIENT_CONTEXT_TAKEOVER"]
        .into_iter()
        .fold(Setup::new(), |setup, switch| setup.variable(&format!("WHARF_COMPRESSION__{switch}"), "true"))
        .variable("WHARF_COMPRESSION__MIN_DEFLATED_BYTES", "0")
        .start();
    let echo = Echo::start();
    suite::javascript("websocket_client", &[&echo.url(), &server.url(), "agreed"], JAVASCRIPT_CHECKS);
}

#[test]
fn pypi_websockets_hears_itself_whatever_it_offers() {
    let echo = Echo::start();
    suite::python("echo_suite", &[&echo.url()], PYTHON_CHECKS);
}
