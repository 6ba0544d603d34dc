//! Answers that are held open: emulation, one-way streams and plain events.

use crate::rig::{Client, Rig, post, start};

/// `{"id":1,"connect":{}}`.
const CONNECT: &str = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";

fn open(rig: &Rig, request: &str) -> Client {
    let mut client = rig.connect();
    client.send(request);
    client
}

fn get(path: &str) -> String {
    crate::rig::get(path)
}

#[test]
fn server_sent_events_start_with_a_bare_line_end_and_the_connect_reply() {
    let rig = start();
    let mut client = open(&rig, &get(&format!("/connection/sse?cf_connect={CONNECT}")));
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert!(head.header("cache-control").unwrap().contains("no-cache"));
    assert_eq!(client.chunk(), "\r\n");
    let event = client.chunk();
    assert!(event.starts_with("data: {\"id\":1,\"connect\":{") && event.ends_with("}\n\n"), "{event}");
    assert!(event.contains("\"session\":") && event.contains("\"node\":"), "{event}");
}

#[test]
fn an_http_1_0_client_gets_the_stream_without_chunks() {
    let rig = start();
    let request = get(&format!("/connection/sse?cf_connect={CONNECT}")).replace("HTTP/1.1", "HTTP/1.0");
    let mut client = open(&rig, &request);
    let head = client.head();
    assert_eq!((head.status(), head.header("transfer-encoding")), (200, None));
    assert_eq!(head.header("connection"), Some("close"));
    assert!(client.until("}\n\n").starts_with("\r\ndata: {\"id\":1"));
}

#[test]
fn an_http_stream_takes_its_connect_from_the_body_in_chunks_too() {
    let rig = start();
    for request in [
        post("/connection/http_stream", "", "{\"id\":1,\"connect\":{}}"),
        "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         6\r\n{\"id\":\r\nf;a=b\r\n1,\"connect\":{}}\r\n0\r\nX: y\r\n\r\n"
            .to_owned(),
    ] {
        let mut client = open(&rig, &request);
        assert_eq!(client.head().status(), 200);
        let line = client.chunk();
        assert!(line.starts_with("{\"id\":1,\"connect\":{") && line.ends_with("}\n"), "{line}");
    }
}

#[test]
fn a_client_that_expects_it_is_told_to_continue() {
    let rig = start();
    let mut client = rig.connect();
    client.send(
        "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 21\r\n\r\n",
    );
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("{\"id\":1,\"connect\":{}}");
    assert_eq!(client.head().status(), 200);
}

#[test]
fn a_body_over_the_message_limit_is_413_before_and_while_it_comes() {
    let rig = start();
    let mut client = rig.connect();
    client.send("POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n");
    assert_eq!(client.answer().status(), 413);
    let mut client = rig.connect();
    client.send(
        "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    client.try_send(format!("10001\r\n{}\r\n0\r\n\r\n", "a".repeat(0x10001))).ok();
    assert_eq!(client.answer().status(), 413);
}

#[test]
fn a_stream_without_its_connect_is_400() {
    let rig = start();
    assert!(rig.ask(&get("/connection/sse")).error().contains("cf_connect"));
    assert_eq!(rig.ask(&post("/connection/http_stream", "", "")).status(), 400);
    assert_eq!(rig.ask(&post("/connection/uni_http_stream", "", "{")).status(), 400);
}

#[test]
fn one_way_streams_take_nothing_and_null_as_an_empty_request() {
    let rig = start();
    for request in [
        get("/connection/uni_sse"),
        get("/connection/uni_sse?cf_connect=null"),
        post("/connection/uni_sse", "", "{}"),
    ] {
        let mut client = open(&rig, &request);
        assert_eq!(client.head().status(), 200);
        assert_eq!(client.chunk(), "\r\n");
        let event = client.chunk();
        assert!(event.starts_with("data: {\"connect\":{\"client\":"), "{event}");
    }
    let mut client = open(&rig, &post("/connection/uni_http_stream", "", "null"));
    assert_eq!(client.head().status(), 200);
    assert!(client.chunk().starts_with("{\"connect\":{"));
}

fn field(reply: &str, name: &str) -> String {
    let start = reply.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
    reply[start..].split('"').next().unwrap().to_owned()
}

#[test]
fn commands_of_an_emulated_stream_come_by_post() {
    let rig = start();
    let mut client = open(&rig, &post("/connection/http_stream", "", "{\"id\":1,\"connect\":{}}"));
    client.head();
    let reply = client.chunk();
    let (session, node) = (field(&reply, "session"), field(&reply, "node"));
    let emulate = |session: &str, node: &str, data: &str| {
        let body = serde_json::json!({ "session": session, "node": node, "data": data }).to_string();
        rig.post("/emulation", &body).status()
    };
    let subscribe =
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}";
    assert_eq!(emulate(&session, &node, subscribe), 204);
    let said = client.until("\"id\":3");
    assert!(said.find("\"id\":2").is_some(), "replies come in their order on the stream: {said}");
    assert_eq!(emulate(&session, "other", subscribe), 404);
    assert_eq!(emulate("guess", &node, subscribe), 500);
    let flipped = if session.ends_with('A') { "Q" } else { "A" };
    let forged = format!("{}{flipped}{}", &session[..20], &session[21..]);
    assert_eq!(emulate(&forged, &node, subscribe), if forged == session { 204 } else { 500 });
    assert_eq!(rig.post("/emulation", "{\"session\":1}").status(), 400);
    assert_eq!(rig.post("/emulation", &"a".repeat(70_000)).status(), 413);
}

#[test]
fn plain_events_open_with_an_id_and_bring_the_payload_as_it_is() {
    let rig = start();
    let mut client = open(&rig, &get("/events?channel=news"));
    assert_eq!(client.head().status(), 200);
    assert!(
        client.chunk().starts_with("event: wharf.open\nid: "),
        "a cut before the first event loses nothing"
    );
    rig.post("/api/publish", "{\"channel\":\"news\",\"data\":{\"n\": 1}}");
    let event = client.chunk();
    assert!(event.contains("data: {\"n\": 1}\n"), "{event}");
    let id = event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();

    rig.post("/api/publish", "{\"channel\":\"news\",\"data\":2}");
    let resumed =
        get("/events?channel=news").replace("\r\n\r\n", &format!("\r\nLast-Event-ID: {id}\r\n\r\n"));
    let mut client = open(&rig, &resumed);
    client.head();
    let missed = client.until("data: 2\n");
    assert!(!missed.contains("\"n\""), "{missed}");
    let mut client = open(&rig, &get(&format!("/events?channel=news&lastEventId={id}")));
    client.until("data: 2\n");
}

// Row 65.
#[test]
fn events_that_cannot_be_are_refused_with_the_mend() {
    let rig = start();
    assert!(rig.ask(&get("/events")).error().contains("?channel="));
    assert_eq!(rig.ask(&get("/events?channel=a%20b")).status(), 400);
    let many: String = (0..200).map(|n| format!("channel=c{n}&")).collect();
    assert_eq!(rig.ask(&get(&format!("/events?{many}"))).status(), 400);
    let junk = get("/events?channel=a").replace("\r\n\r\n", "\r\nLast-Event-ID: junk!\r\n\r\n");
    assert!(rig.ask(&junk).error().contains("without Last-Event-ID"));
    let twice =
        get("/events?channel=a").replace("\r\n\r\n", "\r\nLast-Event-ID: a\r\nLast-Event-ID: b\r\n\r\n");
    assert_eq!(rig.ask(&twice).status(), 400);
}

#[test]
fn a_stream_may_follow_other_requests_and_a_page_may_read_it() {
    let rig = start();
    let mut client = rig.connect();
    let stream = get("/events?channel=a").replace("\r\n\r\n", "\r\nOrigin: http://localhost:3000\r\n\r\n");
    client.send(format!("{}{stream}", get("/health")));
    assert_eq!(client.answer().body, "{}");
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert_eq!(head.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(head.header("access-control-expose-headers"), Some("Wharf-Session, Wharf-Seq"));
    let foreign = stream.replace("http://localhost:3000", "https://evil.example");
    assert_eq!(rig.ask(&foreign).status(), 403);
}
