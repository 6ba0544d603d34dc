//! RELIABILITY's rows on HTTP, sent to the whole server over a socket: the right status reaches the client, the
//! connection ends, and the request that stands behind is not carried out.

mod common;

use std::time::Duration;

use common::{
    http::{self, Response, Stream},
    raw::{self, Bystander},
    server::{Server, Setup},
};
use serde_json::{Value, json};

/// A request with these fields and this body, for an address whose body hyper reads and for one that it never sees.
fn to_each_reader(fields: &str, body: &str) -> Vec<Vec<u8>> {
    let path =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes();
    vec![path("/api/publish"), path("/connection/http_stream"), path("/connection/poll")]
}

/// Sends a request, and behind it one that must not be carried out: one answer with this status, which says why in
/// JSON, comes back, and the connection ends.
#[track_caller]
fn assert_refused(server: &Server, request: &[u8], statuses: &[u16]) -> Response {
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    let mut answers = raw::exchange(server, [request, raw::smuggled().as_bytes()].concat());
    assert_eq!(answers.len(), 1, "{shown:?}: {answers:?}");
    let answer = answers.remove(0);
    assert!(statuses.contains(&answer.status), "{shown:?}: {} {}", answer.status, answer.text());
    assert_eq!(answer.header("connection"), Some("close"), "{shown:?}");
    assert_eq!(answer.json()["error"]["code"], answer.status, "{shown:?}");
    answer
}

/// As [`assert_refused`], for many, of which none harms anybody.
#[track_caller]
fn assert_all_refused(server: &Server, requests: &[Vec<u8>], statuses: &[u16]) {
    let mut bystander = Bystander::join(server);
    for request in requests {
        assert_refused(server, request, statuses);
    }
    raw::assert_nothing_smuggled(server);
    bystander.assert_unharmed(server);
}

// Row 54.
#[test]
fn a_length_beside_a_transfer_coding_is_refused() {
    let server = Server::start();
    let requests = [
        to_each_reader("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        to_each_reader("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"),
    ]
    .concat();
    assert_all_refused(&server, &requests, &[400]);
}

// Row 55.
#[test]
fn a_length_that_is_no_number_is_refused() {
    let server = Server::start();
    let lengths = [
        "+5",
        "-5",
        "0x5",
        "5, 6",
        "5, 5",
        "5 5",
        "",
        "5.0",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "5\r\nContent-Length: 5",
        "5\r\nContent-Length: 6",
        "\u{665}",
    ];
    let requests: Vec<_> = lengths
        .iter()
        .flat_map(|length| to_each_reader(&format!("Content-Length: {length}\r\n"), "hello"))
        .collect();
    assert_all_refused(&server, &requests, &[400]);
}

// Row 56.
#[test]
fn a_transfer_coding_that_is_not_exactly_chunked_is_refused() {
    let server = Server::start();
    let codings = [
        "gzip, chunked",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "\u{b}chunked",
        "identity",
        "chunked, gzip",
        "",
    ];
    let requests: Vec<_> = codings
        .iter()
        .flat_map(|coding| to_each_reader(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"))
        .chain([b"POST /api/info HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec()])
        .collect();
    assert_all_refused(&server, &requests, &[400, 501]);
}

// Row 57.
#[test]
fn a_malformed_chunk_is_refused() {
    let server = Server::start();
    let long_extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(64 * 1024));
    let bodies = [
        "FFFFFFFFFFFFFFFFF\r\n{}",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}x\r\n0\r\n\r\n",
        "2;a=\0\r\n{}\r\n0\r\n\r\n",
        "2;a=\n\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\n\n",
        &long_extension,
    ];
    let requests: Vec<_> =
        bodies.iter().flat_map(|body| to_each_reader("Transfer-Encoding: chunked\r\n", body)).collect();
    assert_all_refused(&server, &requests, &[400]);
}

// Row 58.
#[test]
fn trailers_change_nothing() {
    let server = Setup::new().configuration("api.keys = [\"the-key\"]\nclient.anonymous = true\n").start();
    let trailers = "Host: evil.example\r\nX-API-Key: the-key\r\nAuthorization: apikey the-key\r\nContent-Length: 70\r\n\
                    Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let info = |key: &str, trailers: &str| {
        format!(
            "POST /api/info HTTP/1.1\r\nHost: localhost\r\n{key}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers}\r\n"
        )
    };
    // The key in a trailer counts for nothing, the-key in the head counts, and all stay in step.
    let bytes = [
        info("", trailers),
        info("X-API-Key: the-key\r\n", trailers),
        info("", ""),
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(),
    ]
    .concat();
    let statuses: Vec<u16> = raw::exchange(&server, bytes).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 200, 401, 200]);
}

// Row 59.
#[test]
fn a_host_that_is_missing_doubled_or_invalid_is_refused() {
    let server = Server::start();
    let hosts = [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "Host: \r\n",
        "Host: local host\r\n",
        "Host: localhost/path\r\n",
        "Host: localhost:99999\r\n",
        "Host: user@localhost\r\n",
        "Host: localhost, evil.example\r\n",
        "Host: [::1\r\n",
    ];
    let mut requests: Vec<_> = hosts
        .iter()
        .flat_map(|host| {
            ["GET /health", "GET /events?channel=a", "GET /connection/websocket"]
                .map(|line| format!("{line} HTTP/1.1\r\n{host}\r\n").into_bytes())
        })
        .collect();
    requests.push(b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec());
    assert_all_refused(&server, &requests, &[400]);
}

// Row 60.
#[test]
fn header_lines_that_two_readers_would_read_differently_are_refused() {
    let server = Server::start();
    let lines: [&[u8]; 12] = [
        b"X : a\r\n",
        b"Content-Length : 5\r\n",
        b"X\t: a\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\r\n\tfolded\r\n",
        b" X: a\r\n",
        b"X: a\rb\r\n",
        b"X: a\r\r\n",
        b"X: a\nY: b\r\n",
        b"X: a\0b\r\n",
        b"X\0: a\r\n",
        b"no colon\r\n",
    ];
    let requests: Vec<_> = lines
        .iter()
        .flat_map(|line| {
            ["GET /health", "GET /events?channel=a"]
                .map(|start| [start.as_bytes(), b" HTTP/1.1\r\nHost: localhost\r\n", line, b"\r\n"].concat())
        })
        .collect();
    assert_all_refused(&server, &requests, &[400]);
}

// Row 61.
#[test]
fn pipelined_requests_stay_in_step_whatever_their_bodies_hold() {
    let server = Server::start();
    // The body looks like a request, and is none.
    let body = raw::smuggled();
    let get =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let end = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let echo = |n: u32| raw::api_request("publish", &json!({"channel": "in-step", "data": n}));
    let bytes = [&echo(1), &get, &echo(2), &chunked, &echo(3), end, &raw::smuggled()]
        .map(|part| part as &str)
        .concat();
    let whole: Vec<u16> = raw::exchange(&server, &bytes).iter().map(|answer| answer.status).collect();
    assert_eq!(whole, [200, 200, 200, 200, 200, 404]);
    let mut socket = raw::connect(server.address());
    raw::offer_byte_by_byte(&mut socket, bytes.as_bytes());
    let split: Vec<u16> =
        raw::answers(&raw::until_closed(&mut socket)).iter().map(|answer| answer.status).collect();
    assert_eq!(split, whole);
    raw::assert_nothing_smuggled(&server);
    let history = server.api("history", &json!({"channel": "in-step", "limit": 10}));
    let published: Vec<&Value> =
        history["publications"].as_array().expect("a list").iter().map(|one| &one["data"]).collect();
    assert_eq!(published, [1, 2, 3, 1, 2, 3]);
}

// Row 62.
#[test]
fn a_target_or_head_that_is_too_long_is_told_so() {
    let server = Server::start();
    let long = "a".repeat(70 * 1024);
    assert_refused(&server, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(), &[414]);
    assert_refused(
        &server,
        format!("GET /events?channel={long} HTTP/1.1\r\nHost: l\r\n\r\n").as_bytes(),
        &[414],
    );
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let before = server.memory_kib();
    for _ in 0..8 {
        assert_refused(&server, head.as_bytes(), &[431]);
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 4_096, "{grown} KiB");
    assert_refused(
        &server,
        format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "A".repeat(5_000)).as_bytes(),
        &[501],
    );
    raw::assert_nothing_smuggled(&server);
}

// Row 63.
#[test]
fn nothing_reflected_ends_a_header_line() {
    let server = Server::start();
    let evil = "x%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0a<script>";
    let requests = [
        format!("GET /events?channel={evil} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        format!("GET /events?channel=a&lastEventId={evil} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /{evil} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        format!("POST /connection/poll?wait={evil} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        format!("POST /api/{evil} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        format!("OPTIONS /emulation HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Headers: {evil}\r\nConnection: close\r\n\r\n"),
        "OPTIONS /emulation HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Headers: x\r\n Set-Cookie: evil=1\r\n\r\n".to_owned(),
        "OPTIONS /emulation HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Headers: x\rSet-Cookie: evil=1\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\rSet-Cookie: evil=1\r\n\r\n".to_owned(),
    ];
    for request in requests {
        let answers = raw::exchange(&server, &request);
        assert_eq!(answers.len(), 1, "{request:?}: {answers:?}");
        assert_eq!(answers[0].header("set-cookie"), None, "{request:?}");
        assert!(!answers[0].text().contains("<script>"), "{request:?}: {}", answers[0].text());
    }
}

/// Reads one event: its fields in order. Every line must be one of a name, a colon, a space and a value.
#[track_caller]
fn event(stream: &mut Stream) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    loop {
        let line = stream.line().expect("the stream goes on");
        if line.is_empty() {
            if fields.is_empty() {
                continue;
            }
            return fields;
        }
        if line.starts_with(':') {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        assert!(["data", "id", "event"].contains(&name), "{line:?}");
        fields.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
    }
}

/// The `data` of an event, its lines joined as an EventSource joins them.
fn data(event: &[(String, String)]) -> String {
    let lines: Vec<&str> =
        event.iter().filter(|(name, _)| name == "data").map(|(_, value)| value.as_str()).collect();
    lines.join("\n")
}

// Row 64.
#[test]
fn every_line_of_an_event_is_prefixed() {
    let server = Server::start();
    let mut events = Stream::open(server.address(), "GET", "/events?channel=lines", &[], "");
    assert!(
        event(&mut events).iter().all(|(name, _)| name != "data"),
        "the stream opens with a position alone"
    );
    let connect = json!({"id": 1, "connect": {"subs": {}}}).to_string();
    let mut sse = Stream::open(server.address(), "POST", "/connection/sse", &[], &connect);
    let uni = json!({"subs": {"lines": {}}}).to_string();
    let mut uni = Stream::open(server.address(), "POST", "/connection/uni_sse", &[], &uni);
    let greeted: Value = serde_json::from_str(&data(&event(&mut sse))).expect("JSON");
    let emulation = json!({
        "session": greeted["connect"]["session"],
        "node": greeted["connect"]["node"],
        "data": json!({"id": 2, "subscribe": {"channel": "lines"}}).to_string(),
    });
    assert_eq!(http::post(server.address(), "/emulation", &emulation.to_string()).status, 204);
    event(&mut sse);
    event(&mut uni);
    // Line ends between the tokens, as whoever prints JSON for people writes them, and what looks like fields.
    for payload in [
        "{\n\"a\":1,\n\n\"id: 7\":2\r\n}",
        "{\r\"data: x\":\n\"id: 99\\n\\nevent: evil\\ndata: y\"\n}",
        "[\n\n\n]",
        "\"\\r\\nid: 5\\r\\n\\r\\n\"",
    ] {
        let body = format!("{{\"channel\":\"lines\",\"data\":{payload}}}");
        assert_eq!(http::post(server.address(), "/api/publish", &body).status, 200);
        let expected: Value = serde_json::from_str(payload).expect("JSON");
        let heard = event(&mut events);
        assert_eq!(serde_json::from_str::<Value>(&data(&heard)).expect("JSON"), expected);
        assert_eq!(heard.iter().filter(|(name, _)| name == "id").count(), 1, "{heard:?}");
        for stream in [&mut sse, &mut uni] {
            let message: Value = serde_json::from_str(&data(&event(stream))).expect("JSON");
            let publication = message.pointer("/push/pub/data").or(message.pointer("/pub/data"));
            assert_eq!(publication, Some(&expected), "{message}");
        }
    }
}

// Row 65.
#[test]
fn a_last_event_id_of_junk_is_refused_and_an_outdated_one_is_reset() {
    let server = Server::start();
    let junk = [
        "junk",
        "0",
        "-1",
        "AAAA",
        "../../etc/passwd",
        "eyJhIjoxfQ",
        "%00",
        "18446744073709551616",
        &"A".repeat(4_000),
    ];
    for id in junk {
        let header =
            http::request(server.address(), "GET", "/events?channel=a", &[("Last-Event-ID", id)], "");
        assert_eq!(header.status, 400, "{id}");
        assert!(header.json()["error"]["message"].is_string());
    }
    let parameter = http::get(server.address(), "/events?channel=a&lastEventId=junk");
    assert_eq!(parameter.status, 400);
    let twice = [("Last-Event-ID", "a"), ("Last-Event-ID", "b")];
    assert_eq!(http::request(server.address(), "GET", "/events?channel=a", &twice, "").status, 400);
    // Well made, of another life of the server.
    let foreign = Server::start();
    let opening = event(&mut Stream::open(foreign.address(), "GET", "/events?channel=a", &[], ""));
    let id = opening.into_iter().find(|(name, _)| name == "id").expect("the stream opens with a position").1;
    server.api("publish", &json!({"channel": "a", "data": 1}));
    let mut resumed =
        Stream::open(server.address(), "GET", "/events?channel=a", &[("Last-Event-ID", &id)], "");
    assert_eq!(resumed.status, 200);
    let mut names = Vec::new();
    while !names.contains(&"wharf.reset".to_owned()) {
        names.extend(
            event(&mut resumed).into_iter().filter(|(name, _)| name == "event").map(|(_, value)| value),
        );
    }
}

// Row 66.
#[test]
fn paths_that_hide_something_lead_nowhere() {
    let server = Server::start();
    for path in [
        "/..%2fhealth",
        "/%2e%2e/health",
        "/../health",
        "/./health",
        "/health%00",
        "/%00",
        "/api/..%2f..%2fhealth",
        "/api/%2e%2e/health",
        "/connection/..%5cevents",
        "/events/../health",
        "/health%0d%0a",
        "/%68ealth/..",
        "/health/%",
    ] {
        let answer = http::get(server.address(), path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        let answer = http::post(server.address(), path, "{}");
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
}

// Row 67.
#[test]
fn eight_megabytes_of_newlines_are_cut_off_at_the_message_limit() {
    let server = Server::start();
    let mut bystander = Bystander::join(&server);
    let newlines = "\n".repeat(8 << 20);
    let before = server.memory_kib();
    for path in ["/connection/poll", "/connection/http_stream", "/emulation"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
        let counted = format!("{head}Content-Length: {}\r\n\r\n{newlines}", newlines.len());
        let chunked = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{newlines}\r\n0\r\n\r\n",
            newlines.len()
        );
        let drops = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{}",
            "8\r\n\n\n\n\n\n\n\n\n\r\n".repeat(1 << 16)
        );
        for request in [counted, chunked, drops] {
            let answers = raw::exchange(&server, &request);
            assert_eq!(answers.len(), 1, "{path}");
            assert_eq!(answers[0].status, 413, "{path}: {}", answers[0].text());
        }
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 4_096, "{grown} KiB");
    // Within the limit they are skipped, and the commands between them are carried out.
    let body = format!("{}{}{}", "\n".repeat(1_000), json!({"id": 1, "connect": {}}), "\n".repeat(1_000));
    let answer = http::post(server.address(), "/connection/poll?wait=0", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    bystander.assert_unharmed(&server);
}

/// Begins a poll session; its key.
#[track_caller]
fn begin_poll(server: &Server) -> String {
    let commands = [json!({"id": 1, "connect": {}}), json!({"id": 2, "subscribe": {"channel": "polled"}})];
    let body = commands.map(|command| command.to_string()).join("\n");
    let answer = http::post(server.address(), "/connection/poll?wait=0", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("wharf-session").expect("a session has a key").to_owned()
}

/// Sends a poll, and waits until the server has taken it but not for the answer.
fn ask(server: &Server, session: &str) -> common::socket::Socket {
    let before = server.metric("wharf_http_requests_total");
    let mut socket = server.address().open();
    socket.send(http::head("POST", "/connection/poll?wait=60", &[("Wharf-Session", session)], ""));
    let mut looked = 0;
    common::eventually("the poll is taken", common::PATIENCE, || {
        looked += 1; // Each look is a request of its own.
        server.metric("wharf_http_requests_total") > before + looked
    });
    socket
}

// Row 68.
#[test]
fn of_two_polls_on_one_session_the_newer_waits_and_the_older_is_answered() {
    let server = Server::start();
    let session = begin_poll(&server);
    let mut older = ask(&server, &session);
    for _ in 0..10 {
        let newer = ask(&server, &session);
        let mut answer = Stream::begin(older);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.rest(), b"", "the older is answered empty");
        older = newer;
    }
    server.api("publish", &json!({"channel": "polled", "data": "for the newest"}));
    let mut answer = Stream::begin(older);
    let body = String::from_utf8(answer.rest()).expect("text");
    assert!(body.contains("for the newest"), "{body:?}");
}

// Row 68.
#[test]
fn a_guessed_session_is_refused_and_the_real_one_goes_on() {
    let server = Server::start();
    let session = begin_poll(&server);
    let poll = |session: &str| {
        http::request(server.address(), "POST", "/connection/poll?wait=0", &[("Wharf-Session", session)], "")
    };
    for at in 0..session.len() {
        let mut guess = session.clone().into_bytes();
        guess[at] = if guess[at] == b'0' { b'1' } else { b'0' };
        let guess = String::from_utf8(guess).expect("ASCII");
        let answer = poll(&guess);
        assert_eq!(answer.status, 404, "{session} guessed as {guess}: {}", answer.text());
    }
    for guess in ["0", "../..", &"f".repeat(session.len()), &"A".repeat(4_000), &session[1..]] {
        assert_eq!(poll(guess).status, 404, "{guess}");
    }
    let emulate = |session: &str| {
        let data = json!({"id": 2, "publish": {"channel": raw::SMUGGLED, "data": 1}}).to_string();
        let body = json!({"session": session, "node": server.node_id(), "data": data}).to_string();
        http::post(server.address(), "/emulation", &body).status
    };
    // A poll session takes no commands from beside it either.
    for guess in ["0", &session] {
        assert!(emulate(guess) >= 400, "{guess}");
    }
    raw::assert_nothing_smuggled(&server);
    assert_eq!(poll(&session).status, 200);
}

// Row 69.
#[test]
fn json_that_readers_disagree_about_is_refused() {
    let server = Server::start();
    let mut bystander = Bystander::join(&server);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        format!("{{\"channel\":\"json\",\"data\":{deep}}}"),
        deep.clone(),
        "{\"channel\":\"json\",\"channel\":\"other\",\"data\":1}".to_owned(),
        "{\"channel\":\"json\",\"data\":\"\\ud800\"}".to_owned(),
        "{\"channel\":\"json\\udfff\",\"data\":1}".to_owned(),
        "{\"channel\":\"json\",\"data\":1".to_owned(),
        "{\"channel\":\"json\",\"data\":1}}".to_owned(),
        "{\"channel\":\"json\",\"data\":NaN}".to_owned(),
        "\u{feff}{\"channel\":\"json\",\"data\":1}".to_owned(),
    ];
    for body in &bodies {
        let answer = http::post(server.address(), "/api/publish", body);
        assert_eq!(answer.status, 400, "{}: {}", &body[..body.len().min(60)], answer.text());
    }
    let history = server.api("history", &json!({"channel": "json", "limit": 10}));
    assert_eq!(history["publications"], json!([]), "{history}");
    let shallow = "[".repeat(20_000) + &"]".repeat(20_000);
    let commands = [
        format!("{{\"id\":2,\"publish\":{{\"channel\":\"json\",\"data\":{shallow}}}}}"),
        "{\"id\":2,\"id\":3,\"rpc\":{\"method\":\"echo\"}}".to_owned(),
        "{\"id\":2,\"rpc\":{\"method\":\"echo\",\"method\":\"other\"}}".to_owned(),
        "{\"id\":2,\"rpc\":{\"method\":\"echo\",\"data\":\"\\ud800\"}}".to_owned(),
    ];
    for command in &commands {
        let shown = &command[..command.len().min(60)];
        let mut client = server.websocket();
        client.connect();
        client.wire.socket.send(raw::frame(0x81, command.as_bytes()));
        assert_eq!(client.end().code, Some(3501), "{shown}");
        let body = format!("{}\n{command}", json!({"id": 1, "connect": {}}));
        let poll = http::post(server.address(), "/connection/poll?wait=0", &body);
        assert_eq!(poll.status, 400, "{shown}: {}", poll.text());
    }
    bystander.assert_unharmed(&server);
}

// Row 41.
#[test]
fn a_body_that_drips_is_ended_with_408() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for path in ["/api/publish", "/connection/poll", "/connection/http_stream"] {
            for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
                let server = &server;
                scope.spawn(move || {
                    let mut socket = raw::connect(server.address());
                    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
                    raw::offer(&mut socket, head.as_bytes());
                    let (heard, elapsed) = raw::drip(&mut socket, b"3e8\r\n{ ");
                    let answers = raw::answers(&heard);
                    assert_eq!(answers.len(), 1, "{path}");
                    assert_eq!(answers[0].status, 408, "{path}: {}", answers[0].text());
                    assert!(elapsed < Duration::from_secs(10), "{path}: {elapsed:?}");
                });
            }
        }
    });
}
