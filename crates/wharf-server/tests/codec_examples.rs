//! The examples of `wharf-proto` by itself: its servers under PyPI `websockets` and npm `ws`, its client against each of
//! the servers.

mod common;

use std::process::Command;

use common::{
    example::{Echo, example},
    server::Server,
    suite,
};

/// How many checks `judges/python/echo_suite.py` makes.
const PYTHON_CHECKS: usize = 14;
/// How many checks `judges/js/websocket_client.mjs` makes.
const JAVASCRIPT_CHECKS: usize = 25;

#[test]
fn pypi_websockets_hears_itself_from_the_server_on_threads() {
    let echo = Echo::of("echo");
    suite::python("echo_suite", &[&echo.url()], PYTHON_CHECKS);
}

#[test]
fn npm_ws_finds_the_letter_of_rfc_6455_in_the_server_on_tokio() {
    let (echo, server) = (Echo::of("echo_tokio"), Server::start());
    suite::javascript("websocket_client", &[&echo.url(), &server.url(), "declined"], JAVASCRIPT_CHECKS);
}

/// What the example `client` prints when it has sent these messages to `address`.
#[track_caller]
fn client_says(address: &str, messages: &[&str]) -> String {
    let output = Command::new(example("client")).arg(address).args(messages).output();
    let output = output.expect("the example was built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the messages are text")
}

#[test]
fn the_client_hears_itself_and_closes_properly() {
    let long = "ship in sight ".repeat(4_000);
    let messages = ["ahoy", &long, "", "Zoë 東京 🚢"];
    let expected = format!("{}\nclosed: 1000 ", messages.join("\n"));
    for name in ["echo", "echo_tokio", "websocket_echo"] {
        let said = client_says(Echo::of(name).address(), &messages);
        assert!(said.starts_with(&expected), "{name}: {said:.200}");
    }
}
