//! Clients without any library, on every way to the server that a few lines can speak.

mod common;

use common::{
    client::{Client, Lines},
    http,
    server::{Server, Setup},
};
use serde_json::json;

#[test]
fn websocket_tcp_and_unix_clients_meet_in_one_channel() {
    let server = Setup::new().unix().start();
    let mut websocket = server.websocket();
    let mut tcp = server.lines();
    let mut unix = Client::new(Lines::open(server.unix()));
    websocket.connect();
    tcp.connect();
    unix.connect();
    for subscribed in [websocket.subscribe("meeting"), tcp.subscribe("meeting"), unix.subscribe("meeting")] {
        assert_eq!(subscribed["recoverable"], true, "{subscribed}");
    }
    let mut everybody = vec![websocket.id.clone(), tcp.id.clone(), unix.id.clone()];
    everybody.sort();
    assert_eq!(tcp.presence("meeting"), everybody);

    websocket.publish("meeting", json!("from a browser"));
    tcp.publish("meeting", json!("from a socket"));
    unix.publish("meeting", json!("from a path"));
    let expected = [json!("from a browser"), json!("from a socket"), json!("from a path")];
    assert_eq!(websocket.publications(3), expected);
    assert_eq!(tcp.publications(3), expected);
    assert_eq!(unix.publications(3), expected);
}

#[test]
fn a_stream_is_steered_by_emulation() {
    let server = Server::start();
    let connect = json!({"id": 1, "connect": {}}).to_string();
    let address = server.address();
    let mut stream = http::Stream::open(address, "POST", "/connection/http_stream", &[], &connect);
    assert_eq!(stream.status, 200);
    let mut hear = || -> serde_json::Value {
        let line = stream.line().expect("the stream goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    };
    let connected = hear()["connect"].take();
    let say = |commands: &[serde_json::Value]| {
        let data: Vec<String> = commands.iter().map(ToString::to_string).collect();
        let (session, node) = (&connected["session"], &connected["node"]);
        let body = json!({"session": session, "node": node, "data": data.join("\n")}).to_string();
        assert_eq!(http::post(address, "/emulation", &body).status, 204);
    };
    say(&[json!({"id": 2, "subscribe": {"channel": "steered"}})]);
    assert_eq!(hear()["id"], 2);
    server.api("publish", &json!({"channel": "steered", "data": {"n": 1}}));
    assert_eq!(hear()["push"]["pub"]["data"], json!({"n": 1}));
    say(&[
        json!({"id": 3, "unsubscribe": {"channel": "steered"}}),
        json!({"id": 4, "rpc": {"method": "echo", "data": 5}}),
    ]);
    assert_eq!(hear(), json!({"id": 3, "unsubscribe": {}}));
    assert_eq!(hear(), json!({"id": 4, "rpc": {"data": 5}}));
}

#[test]
fn the_server_tells_every_client_why_it_ends_its_connection() {
    let server = Server::start();
    let mut websocket = server.websocket();
    let mut tcp = server.lines();
    websocket.connect();
    tcp.connect();
    for id in [&websocket.id, &tcp.id] {
        server.api("disconnect", &json!({"user": "", "client": id}));
    }
    for end in [websocket.end(), tcp.end()] {
        assert_eq!((end.code, end.reason.as_str()), (Some(3503), "force disconnect"));
    }
}
