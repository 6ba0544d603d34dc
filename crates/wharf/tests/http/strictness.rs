//! What the guard refuses never reaches a handler, and never costs an answer that was due.

use crate::rig::{get, post, start};

// Rows 54 to 60: the guard's own tests hold the whole list; here that it stands in front of every request.
#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let rig = start();
    for (request, status) in [
        (
            "POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}", 400),
        ("POST /api/info HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
        ("GET /health HTTP/1.1\nHost: localhost\n\n", 400),
    ] {
        let mut client = rig.connect();
        client.send(request);
        client.send(get("/"));
        let answer = client.rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("Connection: close") && answer.contains("\"message\""), "{answer}");
        assert!(!answer.contains("200 OK"), "{request:?}: {answer}");
    }
}

#[test]
fn the_good_requests_before_a_refused_one_are_answered_first() {
    let rig = start();
    let mut client = rig.connect();
    client.send(format!(
        "{}{}GET /health HTTP/1.1\r\nHost : b\r\n\r\n",
        get("/health"),
        post("/api/info", "", "{}")
    ));
    assert_eq!(client.answer().body, "{}");
    assert!(client.answer().body.contains("nodes"));
    let refusal = client.answer();
    assert_eq!(refusal.status(), 400);
    assert!(refusal.error().contains("colon"));
    assert_eq!(client.rest(), "");
}

// Row 57.
#[test]
fn a_malformed_chunk_is_answered_with_what_is_wrong() {
    let rig = start();
    for chunk in ["zz\r\n", "-1\r\n", "2\n{}\r\n0\r\n\r\n", "2;\0\r\n{}\r\n0\r\n\r\n", "3\r\n{}\r\n0\r\n\r\n"]
    {
        let mut client = rig.connect();
        client.send("POST /api/info HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunk);
        client.send(get("/health"));
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert!(!answer.contains("200 OK"), "{chunk:?}: {answer}");
    }
}

// Row 58.
#[test]
fn chunks_are_joined_and_trailers_ignored() {
    let rig = start();
    let answer = rig.ask(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         b;x=y\r\n{\"channel\":\r\n10\r\n\"a\",\"data\":[42]}\r\n0\r\nHost: evil\r\nX-API-Key: k\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["result"]["offset"], 1);
}

// Row 61.
#[test]
fn a_get_with_a_body_keeps_the_connection_in_step() {
    let rig = start();
    let mut client = rig.connect();
    let smuggled = get("/nothing");
    client.send(format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{smuggled}{}",
        smuggled.len(),
        get("/metrics")
    ));
    assert_eq!(client.answer().body, "{}");
    assert!(client.answer().body.contains("# EOF"));
}

// Row 62.
#[test]
fn a_long_target_is_414_and_a_long_head_is_431() {
    let rig = start();
    let mut client = rig.connect();
    client.try_send(get(&format!("/{}", "a".repeat(70_000)))).ok();
    assert!(client.rest().starts_with("HTTP/1.1 414 "));
    let mut client = rig.connect();
    client.try_send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(1 << 20))).ok();
    assert!(client.rest().starts_with("HTTP/1.1 431 "));
}

// Row 11.
#[test]
fn too_many_headers_are_431() {
    let rig = start();
    let mut client = rig.connect();
    client.try_send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(2_000))).ok();
    assert!(client.rest().starts_with("HTTP/1.1 431 "));
}

// Row 41.
#[test]
fn a_body_that_stops_is_answered_408() {
    let rig = start();
    let mut client = rig.connect();
    client.send("POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
    assert_eq!(client.answer().status(), 408);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_has_ended_its_half_still_gets_its_answer() {
    let rig = start();
    let mut client = rig.connect();
    client.send(get("/health"));
    client.finish();
    assert!(client.rest().ends_with("\r\n\r\n{}"));
}
