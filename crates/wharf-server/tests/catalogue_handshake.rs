//! RELIABILITY's rows on the WebSocket handshake, sent to the whole server over a socket.

mod common;

use common::{
    http::Response,
    raw::{self, Bystander},
    server::{Server, Setup},
    websocket::KEY,
};

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The header fields of a handshake that is right.
const RIGHT: [(&str, &str); 5] = [
    ("Host", "localhost"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

/// An empty close frame, with which an accepted handshake ends at once.
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

/// A handshake that a test changes.
struct Handshake {
    line: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl Handshake {
    fn right() -> Self {
        let fields = RIGHT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { line: "GET /connection/websocket HTTP/1.1", fields }
    }

    fn line(mut self, line: &'static str) -> Self {
        self.line = line;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| *other != name);
        self
    }

    fn and(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn with(self, name: &'static str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    fn bytes(&self) -> Vec<u8> {
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{fields}\r\n", self.line).into_bytes()
    }

    /// The answer, whole and when the handshake comes one byte a segment. What is accepted is closed again, what
    /// is refused the server has closed itself.
    #[track_caller]
    fn answer(&self, server: &Server) -> Response {
        let bytes = self.bytes();
        let mut socket = raw::connect(server.address());
        raw::offer_byte_by_byte(&mut socket, &bytes);
        raw::offer(&mut socket, &CLOSE);
        let split = raw::until_closed(&mut socket);
        let mut answers = raw::exchange(server, [&bytes[..], &CLOSE].concat());
        assert_eq!(answers.len(), 1, "{answers:?}");
        let answer = answers.remove(0);
        let statuses: Vec<u16> = raw::answers(&split).iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [answer.status], "split bytes must be answered alike");
        answer
    }

    /// Refused with this status, a message that holds `mend`, and the end of the connection.
    #[track_caller]
    fn assert_refused(&self, server: &Server, status: u16, mend: &str) -> Response {
        let answer = self.answer(server);
        assert_eq!(answer.status, status, "{:?}: {}", self.fields, answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["code"], status);
        assert!(error["message"].as_str().is_some_and(|message| message.contains(mend)), "{error}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        // RFC 9110 section 7.8: whoever sends Upgrade says so in Connection.
        let connection = if status == 426 { "close, Upgrade" } else { "close" };
        assert_eq!(answer.header("connection"), Some(connection));
        answer
    }

    #[track_caller]
    fn assert_accepted(&self, server: &Server) -> Response {
        let answer = self.answer(server);
        assert_eq!(answer.status, 101, "{:?}: {}", self.fields, answer.text());
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("connection"), Some("Upgrade"));
        assert_eq!(answer.body, [0x88, 0], "our close is answered, and nothing else is said");
        answer
    }
}

// Row 1.
#[test]
fn a_key_that_is_missing_doubled_or_not_16_bytes_is_refused() {
    let server = Server::start();
    let mut bystander = Bystander::join(&server);
    let right = Handshake::right;
    right().assert_accepted(&server);
    right().without("Sec-WebSocket-Key").assert_refused(&server, 400, "Sec-WebSocket-Key is missing");
    right().and("Sec-WebSocket-Key", KEY).assert_refused(&server, 400, "more than once");
    for key in [
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAA",
        "",
        "!@#$%^&*()_+!@#$%^&*()==",
    ] {
        right().with("Sec-WebSocket-Key", key).assert_refused(&server, 400, "base64 of 16 bytes");
    }
    bystander.assert_unharmed(&server);
}

// Row 2.
#[test]
fn another_version_is_told_which_one_is_spoken() {
    let server = Server::start();
    let right = Handshake::right;
    for version in ["12", "99", "13, 8", "+13", ""] {
        let handshake = right().with("Sec-WebSocket-Version", version);
        let answer = handshake.assert_refused(&server, 426, "Sec-WebSocket-Version: 13");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
    for handshake in [right().without("Sec-WebSocket-Version"), right().and("Sec-WebSocket-Version", "13")] {
        let answer = handshake.assert_refused(&server, 426, "Sec-WebSocket-Version: 13");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

// Rows 3 and 4.
#[test]
fn development_mode_takes_pages_and_names_of_this_machine_only() {
    let server = Server::start();
    let right = Handshake::right;
    for origin in ["http://localhost", "https://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:5173"]
    {
        right().and("Origin", origin).assert_accepted(&server);
    }
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://evil-localhost",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "",
    ] {
        right().and("Origin", origin).assert_refused(&server, 403, "allowed_origins");
    }
    let twice = right().and("Origin", "http://localhost").and("Origin", "http://localhost");
    twice.assert_refused(&server, 403, "allowed_origins");
    // A foreign name that resolves to this machine.
    right().with("Host", "rebound.example").assert_refused(&server, 403, "localhost");
}

// Rows 3 and 4.
#[test]
fn otherwise_only_pages_that_are_configured_may_connect() {
    let server = Setup::new()
        .configuration(
            r#"
            [client]
            anonymous = true
            allowed_origins = ["https://app.example", "https://*.team.example"]
            "#,
        )
        .start();
    let right = || Handshake::right().with("Host", "chat.example");
    right().assert_accepted(&server);
    for origin in
        ["https://app.example", "https://app.example:443", "HTTPS://APP.EXAMPLE", "https://a.team.example"]
    {
        right().and("Origin", origin).assert_accepted(&server);
    }
    for origin in [
        "https://chat.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://notapp.example",
        "https://team.example",
        "https://a.b.team.example",
        "https://ateam.example",
        "http://localhost",
        "null",
    ] {
        right().and("Origin", origin).assert_refused(&server, 403, "allowed_origins");
    }
}

// Row 5.
#[test]
fn a_websocket_is_opened_by_get_alone() {
    let server = Server::start();
    for line in [
        "POST /connection/websocket HTTP/1.1",
        "PUT /connection/websocket HTTP/1.1",
        "DELETE /connection/uni_websocket HTTP/1.1",
    ] {
        let answer = Handshake::right().line(line).assert_refused(&server, 405, "GET");
        assert_eq!(answer.header("allow"), Some("GET"));
    }
}

// Row 6.
#[test]
fn http_1_0_has_no_upgrade() {
    let server = Server::start();
    let old = Handshake::right().line("GET /connection/websocket HTTP/1.0");
    old.assert_refused(&server, 426, "HTTP/1.1");
    // Elsewhere the header is ignored, as it is in HTTP/1.1.
    for line in ["GET /health HTTP/1.0", "GET /health HTTP/1.1"] {
        let health = Handshake::right().line(line).with("Connection", "Upgrade, close");
        let answers = raw::exchange(&server, health.bytes());
        assert_eq!((answers.len(), answers[0].status), (1, 200), "{answers:?}");
    }
}

// Row 7.
#[test]
fn a_client_whose_upgrade_was_stripped_learns_to_fall_back() {
    let server = Server::start();
    let right = Handshake::right;
    for connection in ["keep-alive", "close", "upgrades", "xupgrade"] {
        let answer = right().with("Connection", connection).assert_refused(&server, 426, "proxy");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
    right().without("Connection").assert_refused(&server, 426, "proxy");
    right().without("Upgrade").assert_refused(&server, 426, "Upgrade: websocket");
    right().with("Upgrade", "h2c").assert_refused(&server, 426, "Upgrade: websocket");
    right().with("Connection", "keep-alive, UPGRADE").with("Upgrade", "WebSocket").assert_accepted(&server);
}

// Row 8.
#[test]
fn a_subprotocol_is_echoed_only_where_it_was_offered() {
    let server = Server::start();
    let chosen = |offers: &[&str]| {
        let handshake = offers
            .iter()
            .fold(Handshake::right(), |handshake, offer| handshake.and("Sec-WebSocket-Protocol", offer));
        handshake.assert_accepted(&server).header("sec-websocket-protocol").map(str::to_owned)
    };
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&["chat, superchat"]), None);
    assert_eq!(chosen(&["centrifuge-json-2", "Centrifuge-JSON"]), None);
    assert_eq!(chosen(&["chat, centrifuge-json"]).as_deref(), Some("centrifuge-json"));
    assert_eq!(chosen(&["chat", "centrifuge-json"]).as_deref(), Some("centrifuge-json"));
}

// Rows 9 and 10.
#[test]
fn a_subprotocol_that_is_no_token_is_refused_and_spaces_cost_nothing() {
    let server = Server::start();
    for offer in ["ch\u{e4}t", "a b", "chat;v=1", "\"chat\""] {
        let handshake = Handshake::right().and("Sec-WebSocket-Protocol", offer);
        handshake.assert_refused(&server, 400, "ASCII tokens");
    }
    let spaces = format!("chat,{}centrifuge-json", " ".repeat(8_000));
    Handshake::right().and("Sec-WebSocket-Protocol", &spaces).assert_accepted(&server);
    // So many that they are no head any more.
    let spaces = format!("chat,{}centrifuge-json", " ".repeat(32 * 1024));
    Handshake::right().and("Sec-WebSocket-Protocol", &spaces).assert_refused(&server, 431, "16384 bytes");
}

// Row 11.
#[test]
fn two_thousand_header_fields_are_too_many() {
    let server = Server::start();
    let handshake = (0..2_000).fold(Handshake::right(), |handshake, _| handshake.and("X", ""));
    handshake.assert_refused(&server, 431, "header");
}

// Row 12.
#[test]
fn a_header_dripped_to_megabytes_is_cut_off_and_takes_no_memory() {
    const CLIENTS: usize = 10;
    let server = Server::start();
    let mut bystander = Bystander::join(&server);
    let whole = Handshake::right().bytes();
    let unfinished = [&whole[..whole.len() - 2], b"X-Drip: "].concat();
    let before = server.memory_kib();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| raw::connect(server.address())).collect();
    for client in &mut clients {
        raw::offer(client, &unfinished);
    }
    // Each gets one more segment in turn, 2 MB in all.
    for _ in 0..4_000 {
        clients.iter_mut().for_each(|client| raw::offer(client, &[b'x'; 500]));
    }
    for client in &mut clients {
        let statuses: Vec<u16> =
            raw::answers(&raw::until_closed(client)).iter().map(|answer| answer.status).collect();
        // Whoever goes on talking into our close may lose the answer to a reset, but is never served.
        assert!(statuses == [431] || statuses.is_empty(), "{statuses:?}");
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 4_096, "{grown} KiB for {CLIENTS} clients");
    bystander.assert_unharmed(&server);
    // One who stops at the limit hears why.
    let mut client = raw::connect(server.address());
    raw::offer(&mut client, &[&unfinished[..], &[b'x'; 16_384]].concat());
    let answers = raw::answers(&raw::until_closed(&mut client));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [431]);
}

// Row 13.
#[test]
fn bytes_behind_a_refused_upgrade_are_never_trusted() {
    let server = Server::start();
    let refused = [
        Handshake::right().with("Sec-WebSocket-Version", "12"),
        Handshake::right().without("Sec-WebSocket-Key"),
        Handshake::right().and("Origin", "https://evil.example"),
        Handshake::right().with("Connection", "keep-alive"),
        Handshake::right().line("POST /connection/websocket HTTP/1.1"),
        Handshake::right().and("Content-Length", "5"),
    ];
    for handshake in refused {
        let bytes = [handshake.bytes(), raw::smuggled().into_bytes()].concat();
        let answers = raw::exchange(&server, bytes);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.len(), 1, "{statuses:?}");
        assert!(statuses[0] >= 400, "{statuses:?}");
    }
    raw::assert_nothing_smuggled(&server);
}

/// The headers that an answer of this status has beside those of every answer with a body.
fn headers_of(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        // RFC 9110 section 15.5.6.
        405 => &[("allow", "GET")],
        // RFC 9110 section 15.5.22, and RFC 6455 section 4.4.
        426 => &[("upgrade", "websocket"), ("sec-websocket-version", "13")],
        _ => &[],
    }
}

/// Refused with exactly this line and these headers, and nothing of a WebSocket.
#[track_caller]
fn assert_told(server: &Server, handshake: &Handshake, status: u16, message: &str) {
    let answer = handshake.assert_refused(server, status, message);
    assert_eq!(answer.json()["error"]["message"], message);
    let text = answer.text();
    assert!(!text.contains(['\n', '\r']), "one line: {text:?}");
    assert_eq!(answer.header("content-length"), Some(&*text.len().to_string()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let named = ["allow", "upgrade", "sec-websocket-version"].map(|name| (name, answer.header(name)));
    let expected = headers_of(status);
    for (name, value) in named {
        let wanted = expected.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        assert_eq!(value, wanted, "{name} of {status}");
    }
    assert_eq!(answer.header("sec-websocket-accept"), None);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
}

// Rows 1-7 and 9: every way to be wrong, and the words that lead out of it.
#[test]
fn a_wrong_handshake_is_told_what_is_wrong_and_what_would_be_right() {
    let server = Server::start();
    let right = Handshake::right;
    let (key, version) = ("Sec-WebSocket-Key", "Sec-WebSocket-Version");
    let stripped = "this address speaks WebSocket: ask for it with the headers Upgrade: websocket and Connection: Upgrade; \
                    if the client sent them, a proxy on the way removes them; \
                    fall back to /connection/http_stream, /connection/sse or /connection/poll";
    let unconnected = "the header Connection: Upgrade is missing; if the client sent it, a proxy on the way removes it; \
                       fall back to /connection/http_stream, /connection/sse or /connection/poll";
    let old = "this address speaks WebSocket, which needs HTTP/1.1; if the client spoke it, a proxy on the way speaks \
               HTTP/1.0; fall back to /connection/http_stream, /connection/sse or /connection/poll";
    let other_version = "the WebSocket version must be 13: send one header Sec-WebSocket-Version: 13";
    let no_key = "the header Sec-WebSocket-Key is missing; send base64 of 16 random bytes";
    let bad_key = "the header Sec-WebSocket-Key must be base64 of 16 bytes";
    let many_keys = "the header Sec-WebSocket-Key stands there more than once; send it once";
    let method = "a WebSocket is opened by GET; send the handshake by this method";
    let origin =
        "development mode serves pages from localhost only; configure allowed_origins to serve others";
    let host = "development mode answers to localhost, 127.0.0.1 and [::1] only; ask by one of these names, or configure \
                the server";
    let subprotocol = "the header Sec-WebSocket-Protocol must be a comma-separated list of ASCII tokens";
    let body = "a WebSocket handshake has no body; send none";
    let nothing = "nothing is at this path; / lists the addresses";
    let cases = [
        (right().without("Upgrade").without("Connection"), 426, stripped),
        (right().without("Upgrade"), 426, stripped),
        (right().with("Upgrade", "h2c"), 426, stripped),
        (right().with("Upgrade", "websocket2"), 426, stripped),
        (right().without("Connection"), 426, unconnected),
        (right().with("Connection", "keep-alive"), 426, unconnected),
        (right().line("GET /connection/websocket HTTP/1.0"), 426, old),
        (right().without(version), 426, other_version),
        (right().with(version, "8"), 426, other_version),
        (right().with(version, "13, 8"), 426, other_version),
        (right().and(version, "13"), 426, other_version),
        (right().without(key), 400, no_key),
        (right().with(key, "c2hvcnQ="), 400, bad_key),
        (right().with(key, "dGhlIHNhbXBsZSBub25jZSE="), 400, bad_key),
        (right().and(key, KEY), 400, many_keys),
        (right().line("POST /connection/websocket HTTP/1.1"), 405, method),
        (right().line("OPTIONS /connection/websocket HTTP/1.1"), 405, method),
        (right().and("Origin", "https://evil.example"), 403, origin),
        (right().with("Host", "rebound.example"), 403, host),
        (right().and("Sec-WebSocket-Protocol", "a b"), 400, subprotocol),
        (right().and("Content-Length", "6"), 400, body),
        (right().and("Transfer-Encoding", "chunked"), 400, body),
        (
            right().with("Connection", "close, Upgrade").line("GET /connection/websockets HTTP/1.1"),
            404,
            nothing,
        ),
    ];
    for (handshake, status, message) in &cases {
        assert_told(&server, handshake, *status, message);
    }
    let one_way = right().line("GET /connection/uni_websocket HTTP/1.1").without("Upgrade");
    let elsewhere = stripped.replace(
        "/connection/http_stream, /connection/sse or /connection/poll",
        "/connection/uni_http_stream, /connection/uni_sse or /events",
    );
    assert_told(&server, &one_way, 426, &elsewhere);

    // Extensions are looked at only where one is spoken. Row 37.
    let extensions =
        "the header Sec-WebSocket-Extensions must be a list such as: permessage-deflate; name=value";
    let compressing = Setup::new().variable("WHARF_COMPRESSION__ENABLED", "true").start();
    for value in ["permessage-deflate;", "permessage-deflate, a b", "permessage-deflate; a=\"b"] {
        let handshake = right().and("Sec-WebSocket-Extensions", value);
        assert_told(&compressing, &handshake, 400, extensions);
        handshake.assert_accepted(&server);
    }
    // RFC 9110 section 9.3.2: an answer to HEAD is a head alone.
    let head = right().line("HEAD /connection/websocket HTTP/1.1").bytes();
    let mut socket = raw::connect(server.address());
    raw::offer(&mut socket, &head);
    let answer = String::from_utf8(raw::until_closed(&mut socket)).expect("a head is ASCII");
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}
