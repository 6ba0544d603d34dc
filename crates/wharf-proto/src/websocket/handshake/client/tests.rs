use super::*;
use crate::websocket::handshake::{Policy, accept};

/// The request of RFC 6455 section 1.3.
const REQUEST: ClientRequest<'static> = ClientRequest {
    host: "server.example.com",
    target: "/chat?room=1",
    key: *b"the sample nonce",
    subprotocols: &["chat", "superchat"],
    deflate: None,
    headers: &[("Origin", "http://example.com")],
};

const RIGHT: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("Sec-WebSocket-Protocol", "chat"),
];

fn answer(status_line: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{status_line}\r\n{}\r\n", headers.collect::<String>()).into_bytes()
}

fn check(headers: &[(&str, &str)]) -> Result<Option<&'static str>, AnswerError> {
    let head = answer("HTTP/1.1 101 Switching Protocols", headers);
    let found = REQUEST.check(&head)?.expect("the head is whole");
    assert_eq!(found.head_bytes, head.len());
    Ok(found.subprotocol)
}

/// The right answer with one header replaced, or removed.
fn check_with(name: &str, value: Option<&str>) -> Result<Option<&'static str>, AnswerError> {
    let mut headers = RIGHT.to_vec();
    headers.retain(|(other, _)| *other != name);
    headers.extend(value.map(|value| (name, value)));
    check(&headers)
}

#[test]
fn writes_the_request_of_the_rfc() {
    let mut out = BytesMut::new();
    REQUEST.write(&mut out).unwrap();
    let expected = "GET /chat?room=1 HTTP/1.1\r\n\
                    Host: server.example.com\r\n\
                    Upgrade: websocket\r\n\
                    Connection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Protocol: chat, superchat\r\n\
                    Origin: http://example.com\r\n\r\n";
    assert_eq!(std::str::from_utf8(&out), Ok(expected));
}

#[test]
fn opens_what_the_servers_half_accepts() {
    let mut request = BytesMut::new();
    REQUEST.write(&mut request).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(&request).unwrap().is_complete());
    let fields = parsed.headers.iter().map(|header| (header.name, header.value));
    let policy = Policy {
        subprotocols: &["superchat"],
        origin_allowed: &|origin| origin == Some("http://example.com"),
        deflate: None,
    };
    let accepted = accept(parsed.method.unwrap(), parsed.version.unwrap(), fields, &policy).unwrap();
    let mut response = BytesMut::new();
    accepted.write_response(&mut response);
    let head_bytes = response.len();
    response.extend_from_slice(b"\x81\x02hi");
    let found = REQUEST.check(&response);
    assert_eq!(found, Ok(Some(Answer { head_bytes, subprotocol: Some("superchat"), deflate: None })));
}

#[test]
fn refuses_to_write_what_would_break_out_of_its_place() {
    let cases = [
        (ClientRequest { host: "a\r\nX: y", ..REQUEST }, InvalidRequest::Host("a\r\nX: y".into())),
        (ClientRequest { host: "", ..REQUEST }, InvalidRequest::Host("".into())),
        (ClientRequest { target: "/a b", ..REQUEST }, InvalidRequest::Target("/a b".into())),
        (ClientRequest { target: "chat", ..REQUEST }, InvalidRequest::Target("chat".into())),
        (ClientRequest { target: "/chat#room", ..REQUEST }, InvalidRequest::Target("/chat#room".into())),
        (
            ClientRequest { target: "/chat?a=\"b\"", ..REQUEST },
            InvalidRequest::Target("/chat?a=\"b\"".into()),
        ),
        (ClientRequest { target: "/<chat>", ..REQUEST }, InvalidRequest::Target("/<chat>".into())),
        (ClientRequest { target: "/é", ..REQUEST }, InvalidRequest::Target("/é".into())),
        (ClientRequest { subprotocols: &["a,b"], ..REQUEST }, InvalidRequest::Subprotocol("a,b".into())),
        (ClientRequest { subprotocols: &["a", "a"], ..REQUEST }, InvalidRequest::Subprotocol("a".into())),
        (ClientRequest { headers: &[("X:", "y")], ..REQUEST }, InvalidRequest::HeaderName("X:".into())),
        (ClientRequest { headers: &[("HOST", "y")], ..REQUEST }, InvalidRequest::HeaderName("HOST".into())),
        (
            ClientRequest { headers: &[("sec-websocket-key", "y")], ..REQUEST },
            InvalidRequest::HeaderName("sec-websocket-key".into()),
        ),
        (
            ClientRequest { headers: &[("X", "y\r\nZ: z")], ..REQUEST },
            InvalidRequest::HeaderValue("X".into()),
        ),
    ];
    for (request, expected) in cases {
        let mut out = BytesMut::new();
        assert_eq!(request.write(&mut out), Err(expected));
        assert!(out.is_empty());
    }
}

#[test]
fn checks_every_header_of_the_answer() {
    assert_eq!(check(&RIGHT), Ok(Some("chat")));
    assert_eq!(check_with("Upgrade", None), Err(AnswerError::NoUpgrade));
    assert_eq!(check_with("Upgrade", Some("h2c")), Err(AnswerError::NoUpgrade));
    assert_eq!(check_with("Upgrade", Some("WebSocket")), Ok(Some("chat")));
    assert_eq!(check_with("Connection", Some("close")), Err(AnswerError::NoConnectionUpgrade));
    assert_eq!(check_with("Connection", Some("keep-alive, upgrade")), Ok(Some("chat")));
    assert_eq!(check_with("Sec-WebSocket-Accept", None), Err(AnswerError::AcceptKey));
    let other = Some("S3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(check_with("Sec-WebSocket-Accept", other), Err(AnswerError::AcceptKey));
    assert_eq!(check_with("Sec-WebSocket-Protocol", None), Ok(None));
    assert_eq!(check_with("Sec-WebSocket-Protocol", Some("other")), Err(AnswerError::Subprotocol));
    assert_eq!(check_with("Sec-WebSocket-Protocol", Some("chat, superchat")), Err(AnswerError::Subprotocol));
    let extension = check_with("Sec-WebSocket-Extensions", Some("permessage-deflate"));
    assert_eq!(extension, Err(AnswerError::Extension));
}

#[test]
fn names_the_status_of_an_ordinary_answer() {
    let head = answer("HTTP/1.1 404 Not Found", &[("Content-Length", "0")]);
    assert_eq!(REQUEST.check(&head), Err(AnswerError::Status(404)));
    assert_eq!(REQUEST.check(&answer("HTTP/1.0 200 OK", &[])), Err(AnswerError::Status(200)));
}

#[test]
fn waits_for_the_whole_head_however_it_comes() {
    let head = answer("HTTP/1.1 101 Switching Protocols", &RIGHT);
    for end in 0..head.len() {
        assert_eq!(REQUEST.check(&head[..end]), Ok(None), "first {end} bytes");
    }
}

#[test]
fn refuses_what_is_no_answer() {
    for junk in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"HTTP/1.0 101 Switching Protocols\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ] {
        assert_eq!(REQUEST.check(junk), Err(AnswerError::Malformed), "{junk:?}");
    }
    // The parser takes an empty line of bare LF for the end; what follows would be another head.
    let smuggled = b"HTTP/1.1 101 Switching Protocols\nA: b\n\nHTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(REQUEST.check(smuggled), Err(AnswerError::Malformed));
}

#[test]
fn bounds_the_head_in_bytes_and_headers() {
    let many = vec![("X", "y"); MAX_ANSWER_HEADERS - RIGHT.len()];
    assert_eq!(check(&[&RIGHT[..], &many].concat()), Ok(Some("chat")));
    let too_many = [&RIGHT[..], &many, &[("X", "y")]].concat();
    assert_eq!(check(&too_many), Err(AnswerError::Malformed));

    let filler = "y".repeat(MAX_ANSWER_HEAD_BYTES);
    let long = answer("HTTP/1.1 101 Switching Protocols", &[("X", &filler)]);
    assert_eq!(REQUEST.check(&long[..MAX_ANSWER_HEAD_BYTES - 1]), Ok(None));
    assert_eq!(REQUEST.check(&long[..MAX_ANSWER_HEAD_BYTES]), Err(AnswerError::TooLong));
    assert_eq!(REQUEST.check(&long), Err(AnswerError::TooLong));
}

#[test]
fn passes_over_interim_answers_within_the_same_bound() {
    let right = answer("HTTP/1.1 101 Switching Protocols", &RIGHT);
    let interim = answer("HTTP/1.1 103 Early Hints", &[("Link", "</style.css>; rel=preload")]);
    let whole = [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], &interim, &right].concat();
    for end in 0..whole.len() {
        assert_eq!(REQUEST.check(&whole[..end]), Ok(None), "first {end} bytes");
    }
    let found =
        REQUEST.check(&[&whole[..], b"\x81\x02hi"].concat()).expect("an answer").expect("a whole head");
    assert_eq!((found.head_bytes, found.subprotocol), (whole.len(), Some("chat")));

    let refused = [&interim[..], &answer("HTTP/1.1 403 Forbidden", &[])].concat();
    assert_eq!(REQUEST.check(&refused), Err(AnswerError::Status(403)));
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_ANSWER_HEAD_BYTES / 20);
    assert_eq!(REQUEST.check(&endless), Err(AnswerError::TooLong));
}

#[test]
fn a_server_of_http_1_0_has_no_interim_answers() {
    let head = [answer("HTTP/1.0 100 Continue", &[]), answer("HTTP/1.1 101 Switching Protocols", &RIGHT)];
    assert_eq!(REQUEST.check(&head.concat()), Err(AnswerError::Status(100)));
}

#[test]
fn refuses_an_answer_that_says_a_thing_twice() {
    let doubled = |header: (&'static str, &'static str)| check(&[&RIGHT[..], &[header]].concat());
    assert_eq!(doubled(RIGHT[0]), Err(AnswerError::NoUpgrade));
    assert_eq!(doubled(RIGHT[2]), Err(AnswerError::AcceptKey));
    assert_eq!(doubled(RIGHT[3]), Err(AnswerError::Subprotocol));
}

#[test]
fn refuses_a_subprotocol_that_was_not_asked_for() {
    let request = ClientRequest { subprotocols: &[], ..REQUEST };
    let head = answer("HTTP/1.1 101 Switching Protocols", &RIGHT);
    assert_eq!(request.check(&head), Err(AnswerError::Subprotocol));
}
