//! Debian's nginx between clients and the server: as most people configure it at first, which strips `Upgrade`, and
//! as its manual says.

mod common;

use common::{
    example::Echo,
    http,
    javascript::Javascript,
    nginx::{Nginx, Passing},
    program::{Running, wharf},
    server::{Server, Setup},
    socket::Address,
    suite,
    websocket::KEY,
};
use serde_json::{Value, json};

/// How many checks `judges/js/websocket_client.mjs` makes, and `judges/python/websockets_suite.py`.
const JAVASCRIPT_CHECKS: usize = 25;
const PYTHON_CHECKS: usize = 41;

/// A server, and nginx in front of it; none where nginx is not to be had.
fn behind(passing: Passing) -> Option<(Server, Nginx)> {
    if suite::left_out("nginx") {
        return None;
    }
    let server = Setup::new().quick_pings().start();
    let Address::Tcp(upstream) = server.address() else { panic!("set up with a TCP port") };
    let nginx = Nginx::start(upstream, passing);
    Some((server, nginx))
}

// Rows 6 and 7.
#[test]
fn a_handshake_that_lost_its_upgrade_is_told_to_fall_back() {
    let Some((_server, nginx)) = behind(Passing::Default) else { return };
    let headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)];
    let answer = http::request(nginx.address(), "GET", "/connection/websocket", &headers, "");
    assert_eq!(answer.status, 426, "{}", answer.text());
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    let text = answer.text();
    assert_eq!(text.trim_end().lines().count(), 1, "one line says it: {text:?}");
    let error = &answer.json()["error"];
    let message = error["message"].as_str().expect("the error has words");
    assert!(message.contains("proxy"), "{message}");
    assert!(message.contains("/connection/http_stream, /connection/sse"), "{message}");
}

#[test]
fn the_client_of_the_command_line_falls_back_and_hears_everything() {
    let Some((server, nginx)) = behind(Passing::Default) else { return };
    let arguments = ["subscribe", "news", "--server", &nginx.url(), "--since", "0"];
    let subscriber = Running::start(wharf(&arguments));
    let connected = subscriber.event_of("connected");
    assert_eq!(connected["transport"], "http-stream", "{connected}");
    subscriber.event_of("subscribed");
    for n in 1..=3 {
        server.api("publish", &json!({"channel": "news", "data": n}));
        assert_eq!(subscriber.event_of("publication")["data"], n);
    }
}

/// Connects through nginx with a list of transports; by which one it got through. Then everything works.
#[track_caller]
fn falls_back(nginx: &Nginx, transports: &str) -> Value {
    let mut client = Javascript::start(transports, &nginx.url(), transports, &json!({}));
    let connected = client.event("connected");
    client.event("subscribed");
    for n in 1..=3 {
        client.call(json!({"op": "publish", "data": n}));
        assert_eq!(client.publications(1), [n]);
    }
    let present = client.call(json!({"op": "presence"}));
    assert!(present.get(connected["client"].as_str().expect("a client has an identifier")).is_some());
    connected["transport"].clone()
}

#[test]
fn the_javascript_sdk_falls_back_to_streams_over_http() {
    let Some((_server, nginx)) = behind(Passing::Default) else { return };
    assert_eq!(falls_back(&nginx, "websocket,http_stream,sse"), "http_stream");
    assert_eq!(falls_back(&nginx, "websocket,sse"), "sse");
}

#[test]
fn the_sdk_stays_with_websocket_where_nginx_passes_upgrades() {
    let Some((_server, nginx)) = behind(Passing::Upgrades) else { return };
    assert_eq!(falls_back(&nginx, "websocket,http_stream,sse"), "websocket");
}

#[test]
fn websocket_is_the_same_through_nginx_that_passes_upgrades() {
    let Some((_server, nginx)) = behind(Passing::Upgrades) else { return };
    let echo = Echo::start();
    let before_echo = Nginx::start(&echo.address, Passing::Upgrades);
    let arguments = [&before_echo.url(), &nginx.url(), "declined"];
    suite::javascript("websocket_client", &arguments, JAVASCRIPT_CHECKS);
    suite::python("websockets_suite", &[&nginx.url()], PYTHON_CHECKS);
}
