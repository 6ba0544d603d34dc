//! WebSocket over HTTP/2 (RFC 8441), asked for by Node's HTTP/2 and spoken by npm `ws`, which nobody here wrote: in
//! plain text with prior knowledge, and over TLS, where ALPN chooses HTTP/2.

mod common;

use common::{
    certificate::Certificate,
    server::{Server, Setup},
    suite,
};

/// How many checks `judges/js/websocket_http2.mjs` makes.
const CHECKS: usize = 10;

#[test]
fn node_and_npm_ws_find_websocket_over_plain_http_2() {
    suite::javascript("websocket_http2", &[&Server::start().url()], CHECKS);
}

#[test]
fn node_and_npm_ws_find_websocket_over_http_2_chosen_by_alpn() {
    let certificate = Certificate::new(0x2001);
    let server = Setup::new().tls(&certificate).start();
    suite::javascript("websocket_http2", &[&server.url().replace("http://", "https://")], CHECKS);
}
