//! Heartbeats as each kind of connection has them: what clients are told, may wish, and get.

mod common;

use std::time::{Duration, Instant};

use common::{
    PATIENCE,
    client::{Client, Lines, Wire},
    eventually, http,
    server::{Server, Setup},
    websocket::{Incoming, WebSocket},
};
use serde_json::{Value, json};

/// How often a client is told that it is pinged, in seconds, that connects so.
#[track_caller]
fn told<W: Wire>(wire: W, connect: Value) -> u64 {
    let result = Client::new(wire).call(json!({"connect": connect}))["connect"].take();
    result["ping"].as_u64().unwrap_or_else(|| panic!("{result}"))
}

#[track_caller]
fn told_at(server: &Server, path: &str) -> u64 {
    told(WebSocket::open(server.address(), path), json!({}))
}

#[test]
fn a_client_is_pinged_as_often_as_it_wishes_within_bounds_and_told_so() {
    let server = Setup::new().variable("WHARF_HEARTBEAT__PING_INTERVAL_MOST", "1m").start();
    assert_eq!(told_at(&server, "/connection/websocket"), 25);
    assert_eq!(told_at(&server, "/connection/websocket?ping=10s"), 10);
    assert_eq!(told_at(&server, "/connection/websocket?ping=1"), 5, "the least");
    assert_eq!(told_at(&server, "/connection/websocket?ping=1h"), 60, "the most");
    // As SDKs send headers, which a JSON line can as well.
    let wish = json!({"headers": {"Wharf-Ping": "40s"}});
    assert_eq!(told(Lines::open(server.address()), wish.clone()), 40);
    assert_eq!(told(WebSocket::open(server.address(), "/connection/websocket?ping=10s"), wish), 40);
    let headers = [("Wharf-Ping", "7s")];
    let mut stream = http::Stream::open(
        server.address(),
        "POST",
        "/connection/http_stream",
        &headers,
        r#"{"id":1,"connect":{}}"#,
    );
    let reply: Value = serde_json::from_str(&stream.line().expect("a reply")).expect("JSON");
    assert_eq!(reply["connect"]["ping"], 7);
}

#[test]
fn a_wish_that_is_no_time_is_refused_with_the_mend() {
    let server = Server::start();
    for path in ["/events?channel=a&ping=often", "/connection/uni_sse?ping=10sec"] {
        let answer = http::get(server.address(), path);
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("write seconds, as 10 or 10s"), "{}", answer.text());
    }
    let mut client = Client::new(Lines::open(server.address()));
    client.tell(json!({"connect": {"headers": {"wharf-ping": "often"}}}));
    let end = client.end();
    assert!(end.code == Some(3501) && end.reason.contains("write seconds"), "{end:?}");
}

#[test]
fn each_kind_of_connection_has_times_of_its_own() {
    let server = Setup::new()
        .variable("WHARF_HEARTBEAT__TCP__INTERVAL", "1m")
        .variable("WHARF_HEARTBEAT__UNI_WEBSOCKET__INTERVAL", "15s")
        .start();
    assert_eq!(told(Lines::open(server.address()), json!({})), 60);
    assert_eq!(told_at(&server, "/connection/websocket"), 25);
    let mut one_way = WebSocket::open(server.address(), "/connection/uni_websocket?cf_connect={}");
    let connect: Value = serde_json::from_str(&one_way.receive().expect("a push")).expect("JSON");
    assert_eq!(connect["connect"]["ping"], 15, "{connect}");
}

/// A one-way WebSocket in a channel of its own.
fn one_way(server: &Server, channel: &str) -> WebSocket {
    let path = format!("/connection/uni_websocket?cf_connect=%7B%22subs%22:%7B%22{channel}%22:%7B%7D%7D%7D");
    WebSocket::open(server.address(), &path)
}

// Row 44: a process that is frozen, whose kernel goes on answering.
#[test]
fn a_one_way_websocket_whose_program_answers_nothing_more_is_gone_in_time_and_one_that_does_stays() {
    let server = Setup::new().quick_pings().start();
    let present =
        |channel: &str| server.api("presence_stats", &json!({"channel": channel}))["num_clients"] == 1;
    let _frozen = one_way(&server, "frozen");
    let mut lively = one_way(&server, "lively");
    eventually("both are there", PATIENCE, || present("frozen") && present("lively"));
    let since = Instant::now();
    // It hears the dialect's pings, as before, and its framing answers the framing's.
    for _ in 0..4 {
        while !matches!(lively.next(), Some(Incoming::Message(text)) if text == "{}") {}
        let Some(Incoming::Ping(payload)) = lively.next() else { panic!("a ping of the framing") };
        lively.send_frame(wharf_proto::websocket::Opcode::Pong, &payload);
    }
    assert!(since.elapsed() > Duration::from_secs(4), "an interval is two seconds");
    assert!(!present("frozen"), "gone after ping and pong");
    assert!(present("lively"));
}

#[test]
fn a_json_line_client_that_speaks_is_not_pinged_until_it_falls_silent() {
    let server = Setup::new().quick_pings().start();
    let mut client = Client::new(Lines::open(server.address()));
    client.connect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        client.call(json!({"rpc": {"method": "echo", "data": 1}}));
    }
    assert_eq!(client.pings, 0, "in more than two intervals");
    assert_eq!(client.wire.receive().expect("a ping").trim_end(), "{}");
}
