//! The handshake over HTTP/1, and what stands before and behind it.

use std::sync::Arc;

use bytes::BytesMut;
use wharf::settings::{Settings, WebsocketRoute};
use wharf_proto::{
    dialect::DialectId,
    websocket::{CloseCode, Opcode, write_close, write_frame},
};

use crate::rig::{Client, Rig, get, settings, start, start_with};

const PATH: &str = "/connection/websocket";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}{more}\r\n"
    )
}

fn masked(text: &str) -> BytesMut {
    let mut frame = BytesMut::new();
    write_frame(&mut frame, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
    frame
}

/// One short unmasked text frame.
fn text(client: &mut Client) -> String {
    let head = client.exactly(2);
    assert_eq!(head[0], 0x81, "a whole text frame");
    let length = match head[1] {
        126 => usize::from(u16::from_be_bytes(client.exactly(2).try_into().unwrap())),
        short => usize::from(short),
    };
    String::from_utf8(client.exactly(length)).unwrap()
}

fn connects(client: &mut Client) {
    client.send(masked(r#"{"id":1,"connect":{}}"#));
    let reply = text(client);
    assert!(reply.starts_with(r#"{"id":1,"connect":{"client":"#), "{reply}");
}

#[test]
fn a_websocket_connects() {
    let rig = start();
    let mut client = rig.connect();
    client.send(handshake(PATH, "Sec-WebSocket-Protocol: other, centrifuge-json\r\n"));
    let head = client.head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("sec-websocket-protocol"), Some("centrifuge-json"));
    connects(&mut client);
}

// Row 8.
#[test]
fn a_subprotocol_that_is_not_spoken_is_not_echoed() {
    let rig = start();
    let mut client = rig.connect();
    client.send(handshake(PATH, "Sec-WebSocket-Protocol: mqtt\r\n"));
    let head = client.head();
    assert_eq!((head.status(), head.header("sec-websocket-protocol")), (101, None));
}

#[test]
fn frames_right_behind_the_handshake_belong_to_the_websocket() {
    let rig = start();
    let mut client = rig.connect();
    let mut bytes = handshake(PATH, "").into_bytes();
    bytes.extend_from_slice(&masked(r#"{"id":1,"connect":{}}"#));
    client.send(bytes);
    assert_eq!(client.head().status(), 101);
    assert!(text(&mut client).contains("\"connect\""));
}

#[test]
fn an_upgrade_may_be_the_second_request_of_a_connection() {
    let rig = start();
    let mut client = rig.connect();
    client.send(get("/health"));
    assert_eq!(client.answer().status(), 200);
    client.send(handshake(PATH, ""));
    assert_eq!(client.head().status(), 101);
    connects(&mut client);
}

#[test]
fn an_upgrade_may_be_pipelined_behind_a_request_that_is_answered_first() {
    let rig = start();
    let mut client = rig.connect();
    client.send(format!("{}{}{}", get("/health"), get("/metrics"), handshake(PATH, "")));
    assert_eq!(client.answer().body, "{}");
    assert!(client.answer().body.ends_with("# EOF\n"));
    assert_eq!(client.head().status(), 101);
    connects(&mut client);
}

fn refused(request: String) -> crate::rig::Answer {
    let rig = start();
    let mut client = rig.connect();
    client.send(request);
    let answer = client.answer();
    assert!(!answer.error().is_empty());
    assert_eq!(client.rest(), "", "the connection closes");
    answer
}

// Rows 1 to 7.
#[test]
fn a_handshake_that_is_none_is_refused_with_what_is_missing() {
    let whole = || handshake(PATH, "");
    assert_eq!(refused(whole().replace(KEY, "")).status(), 400);
    assert_eq!(refused(handshake(PATH, KEY)).status(), 400);
    assert_eq!(refused(whole().replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=")).status(), 400);
    let old = refused(whole().replace("Version: 13", "Version: 12"));
    assert_eq!((old.status(), old.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(refused(handshake(PATH, "Origin: https://evil.example\r\n")).status(), 403);
    assert_eq!(refused(handshake(PATH, "Origin: null\r\n")).status(), 403);
    assert_eq!(refused(handshake(PATH, "Origin: http://localhost.evil.example\r\n")).status(), 403);
    assert_eq!(refused(whole().replace("GET", "POST")).status(), 405);
    assert_eq!(refused(whole().replace("HTTP/1.1", "HTTP/1.0")).status(), 426);
    assert_eq!(refused(whole().replace("Connection: Upgrade", "Connection: keep-alive")).status(), 426);
    let plain = refused(get(PATH));
    assert_eq!((plain.status(), plain.header("upgrade")), (426, Some("websocket")));
}

// Row 13.
#[test]
fn bytes_behind_a_refused_upgrade_are_not_a_request() {
    let rig = start();
    let mut client = rig.connect();
    let refused = handshake(PATH, "Origin: https://evil.example\r\n");
    client.send(format!("{refused}{}", get("/health")));
    assert_eq!(client.answer().status(), 403);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_one_way_websocket_connects_by_its_url() {
    let rig = start();
    let mut client = rig.connect();
    client.send(handshake("/connection/uni_websocket?cf_connect=%7B%7D", ""));
    assert_eq!(client.head().status(), 101);
    let push = text(&mut client);
    assert!(push.starts_with(r#"{"connect":{"client":"#), "{push}");
    let bad = refused(handshake("/connection/uni_websocket?cf_connect=%7B", ""));
    assert_eq!(bad.status(), 400);
}

/// A server on which `/echo` speaks another dialect than Wharf's own addresses.
fn start_with_echo() -> Rig {
    let route = WebsocketRoute { path: "/echo".into(), dialect: DialectId::Echo };
    start_with(Settings { websocket_routes: Arc::new([route]), ..settings() })
}

/// One frame of a client's, of at most 125 bytes; `finished` says whether it ends its message.
fn frame(opcode: Opcode, finished: bool, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    write_frame(&mut frame, opcode, payload, Some([1, 2, 3, 4]));
    frame[0] = if finished { frame[0] | 0x80 } else { frame[0] & 0x7f };
    frame
}

#[test]
fn a_routed_websocket_speaks_the_dialect_of_its_route() {
    let rig = start_with_echo();
    let mut client = rig.connect();
    client.send(handshake("/echo", ""));
    assert_eq!(client.head().status(), 101);
    client.send(masked("no JSON"));
    assert_eq!(client.exactly(9), b"\x81\x07no JSON");
    client.send(frame(Opcode::Binary, false, &[0xff]));
    client.send(frame(Opcode::Ping, true, b"?"));
    client.send(frame(Opcode::Continuation, true, &[0xfe]));
    assert_eq!(client.exactly(3), b"\x8a\x01?", "a ping between fragments is answered at once");
    assert_eq!(client.exactly(4), b"\x82\x02\xff\xfe");
    let mut close = BytesMut::new();
    write_close(&mut close, CloseCode::new(1000), "", Some([1, 2, 3, 4]));
    client.send(close);
    assert_eq!(client.exactly(4), b"\x88\x02\x03\xe8");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_route_leaves_the_other_addresses_as_they_are() {
    let rig = start_with_echo();
    assert_eq!(rig.ask(&get("/health")).status(), 200);
    assert_eq!(rig.ask(&get("/echo")).status(), 426);
    assert_eq!(rig.ask(&get("/echo/more")).status(), 404);
    let mut client = rig.connect();
    client.send(handshake(PATH, ""));
    assert_eq!(client.head().status(), 101);
    connects(&mut client);
}
