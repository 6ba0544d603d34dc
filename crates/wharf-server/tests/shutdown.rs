//! SIGTERM: the server tells that it is not ready, sends everybody away with a code that brings them back, gives
//! out what it has acknowledged, and ends well.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE,
    client::{Client, End, Lines},
    curl::Events,
    eventually, http,
    javascript::Javascript,
    poll::Poll,
    server::Setup,
};
use serde_json::json;

const CHANNEL: &str = "last";
const DRAIN: Duration = Duration::from_secs(2);

// Row 102.
#[test]
fn sigterm_drains() {
    let mut server = Setup::new().variable("WHARF_TIMES__DRAIN", "2s").start();
    let mut websocket = server.websocket();
    let mut lines = server.lines();
    let mut poll = Client::new(Poll::open(server.address()));
    websocket.connect();
    lines.connect();
    poll.connect();
    websocket.subscribe(CHANNEL);
    lines.subscribe(CHANNEL);
    poll.subscribe(CHANNEL);
    let mut events = Events::open(&[], &server.url(), CHANNEL);
    let (mut sdk, _) = Javascript::subscribed("http_stream", &server.url(), CHANNEL);
    sdk.event("connecting"); // For the first time.
    // Connections that are closed at any moment of the drain, so that it takes a part of its time.
    let mut crowd: Vec<Client<Lines>> = (0..30).map(|_| server.lines()).collect();
    crowd.iter_mut().for_each(|client| drop(client.connect()));

    let said: Vec<_> = (0..20).map(|n| json!({"n": n})).collect();
    for data in &said {
        server.api("publish", &json!({"channel": CHANNEL, "data": data}));
    }
    assert_eq!(poll.publications(said.len()), said);
    let waiting = thread::spawn(move || poll.end());
    assert_eq!(http::get(server.address(), "/health").status, 200);
    let begun = Instant::now();
    server.signal("TERM");
    eventually("/health says that the server is not ready", PATIENCE, || {
        http::get(server.address(), "/health").status == 503
    });

    let away = End { code: Some(3001), reason: "shutdown".to_owned() };
    assert_eq!(websocket.publications(said.len()), said);
    assert_eq!(lines.publications(said.len()), said);
    assert_eq!(sdk.publications(said.len()), said);
    assert_eq!(events.publications(said.len()), said);
    // A client closes when it was told, so that the server need not wait for it.
    assert_eq!(websocket.end(), away);
    drop(websocket);
    assert_eq!(lines.end(), away);
    drop(lines);
    assert_eq!(waiting.join().expect("it does not panic"), away, "a waiting poll is told too");
    events.end();
    for mut client in crowd {
        assert_eq!(client.end(), away);
    }
    let back = sdk.event("connecting");
    assert_eq!((&back["code"], &back["reason"]), (&json!(3001), &json!("shutdown")), "the SDK comes back");
    let status = server.wait(PATIENCE);
    assert!(status.success(), "{status}");
    assert!(
        begun.elapsed() < DRAIN + Duration::from_secs(3),
        "drained within its time: {:?}",
        begun.elapsed()
    );
}

// Row 102.
#[test]
fn what_waits_for_a_slow_reader_is_given_out_before_the_end() {
    let mut server = Setup::new()
        .variable("WHARF_TIMES__DRAIN", "100ms")
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "33554432")
        .start();
    let mut slow = server.lines();
    slow.connect();
    slow.subscribe(CHANNEL);
    // More than the kernel holds for a connection, so that a part of it waits in the server.
    const PUBLICATIONS: usize = 250;
    let text = "x".repeat(60_000);
    for _ in 0..PUBLICATIONS {
        server.api("publish", &json!({"channel": CHANNEL, "data": text}));
    }
    server.signal("TERM");
    eventually("the drain has begun", PATIENCE, || http::get(server.address(), "/health").status == 503);
    let heard = slow.publications(PUBLICATIONS);
    assert!(heard.iter().all(|data| data.as_str() == Some(&text)));
    assert_eq!(slow.end(), End { code: Some(3001), reason: "shutdown".to_owned() });
    drop(slow);
    assert!(server.wait(PATIENCE).success());
}
