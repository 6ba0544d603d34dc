//! RELIABILITY's rows on sockets, held against the whole server: peers that are slow, silent, gone or many cost no
//! more than they may, and leave nothing behind.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE,
    client::Client,
    eventually,
    http::{self, Stream},
    process::sum_of_metric,
    raw::{self, Bystander},
    server::{Server, Setup},
    websocket::{Incoming, WebSocket},
};
use serde_json::json;

/// What takes both processors runs alone.
static HEAVY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // Nothing is kept under it, so that a test that failed leaves nothing wrong.
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So far away that a test that waits for it fails.
const NEVER: &str = "10m";

const CONNECT: &str = "{\"id\":1,\"connect\":{}}\n";

/// Waits until the server owns no more connections than `count`.
#[track_caller]
fn until_connections_are(server: &Server, count: u64) {
    eventually("connections are given back", PATIENCE, || server.metric("wharf_connections") == count);
}

// Row 40.
#[test]
fn a_head_that_drips_is_ended_in_time() {
    let server = Setup::new()
        .variable("WHARF_TIMES__HTTP_HEAD", "700ms")
        .variable("WHARF_TIMES__FIRST_BYTE", "700ms")
        .start();
    let mut bystander = Bystander::join(&server);
    thread::scope(|scope| {
        let starts = [
            "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a",
            "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nX: a",
            "POST /connection/http_stream HTTP/1.1\r\nX: a",
        ];
        for start in starts {
            let server = &server;
            scope.spawn(move || {
                let (heard, elapsed) = raw::drip(&mut raw::connect(server.address()), start.as_bytes());
                let answers = raw::answers(&heard);
                assert_eq!((answers.len(), answers[0].status), (1, 408), "{start:?}");
                assert!((500..5_000).contains(&elapsed.as_millis()), "{start:?}: {elapsed:?}");
            });
        }
        // The second request of a connection has the same time.
        let server = &server;
        scope.spawn(move || {
            let mut socket = raw::connect(server.address());
            raw::offer(&mut socket, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let (heard, elapsed) = raw::drip(&mut socket, b"GET /health HTTP/1.1\r\nX: a");
            let statuses: Vec<u16> = raw::answers(&heard).iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [200, 408]);
            assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
        });
        // Line ends, which may stand before a request, are not a way to stay.
        scope.spawn(move || {
            let (_, elapsed) = raw::drip(&mut raw::connect(server.address()), b"\r\n\r\n\r\n\r\n\r");
            assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
        });
    });
    bystander.assert_unharmed(&server);
}

// Row 42.
#[test]
fn a_connection_that_says_nothing_is_closed() {
    let server = Setup::new()
        .variable("WHARF_TIMES__FIRST_BYTE", "500ms")
        .variable("WHARF_TIMES__HTTP_IDLE", "500ms")
        .variable("WHARF_TIMES__AUTHENTICATE", "500ms")
        .start();
    let mut bystander = Bystander::join(&server);
    let started = Instant::now();
    let mut silent = raw::connect(server.address());
    let mut undecided = raw::connect(server.address());
    raw::offer(&mut undecided, b"PR");
    let mut idle = raw::connect(server.address());
    raw::offer(&mut idle, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut websocket = WebSocket::open(server.address(), "/connection/websocket");
    let mut lines = raw::connect(server.address());
    raw::offer(&mut lines, b"{\"id\":1,\"conn");
    assert_eq!(raw::until_closed(&mut silent), b"");
    assert_eq!(raw::until_closed(&mut undecided), b"");
    let answers = raw::answers(&raw::until_closed(&mut idle));
    assert_eq!((answers.len(), answers[0].status), (1, 200));
    assert!(matches!(websocket.next(), Some(Incoming::Close(Some(3502), _))));
    let told = String::from_utf8(raw::until_closed(&mut lines)).expect("text");
    assert!(told.contains("3502"), "{told:?}");
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    // The last of them leaves when its close is answered, or by itself.
    drop(websocket);
    until_connections_are(&server, 1);
    bystander.assert_unharmed(&server);
}

/// A subscriber of `channel` that reads nothing further.
#[track_caller]
fn slow_subscriber(server: &Server, channel: &str) -> Client<WebSocket> {
    let mut client = server.websocket();
    client.connect();
    client.subscribe(channel);
    client
}

/// Reads to the end: how many messages came whole, and the close code, if one did.
fn read_to_end(client: &mut Client<WebSocket>) -> (usize, Option<u16>) {
    let mut messages = 0;
    loop {
        match client.wire.next() {
            Some(Incoming::Close(code, _)) => return (messages, code),
            Some(_) => messages += 1,
            None => return (messages, None),
        }
    }
}

// Row 43.
#[test]
fn a_slow_reader_is_closed_at_its_bound_and_others_hear_everything() {
    const COUNT: u64 = 1_500;
    const AHEAD: u64 = 4;
    let _alone = alone();
    let server = Setup::new()
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "262144")
        .variable("WHARF_TIMES__WRITE_STALL", NEVER)
        .variable("WHARF_TIMES__CLOSE_HANDSHAKE", "1s")
        .start();
    let mut slow = slow_subscriber(&server, "hot");
    let mut healthy = slow_subscriber(&server, "hot");
    let mut publisher = server.lines();
    publisher.connect();
    let before = server.memory_kib();
    let payload = "x".repeat(16 * 1024);
    let (tell, heard) = mpsc::channel();
    let reader = thread::spawn(move || {
        for number in 1..=COUNT {
            assert_eq!(healthy.push()["pub"]["data"]["n"], number, "in order, and none is missing");
            tell.send(()).expect("the publisher listens");
        }
    });
    for number in 1..=COUNT {
        publisher.publish("hot", json!({"n": number, "payload": payload}));
        // The healthy one is never so far behind that it would be slow as well.
        if number > AHEAD {
            heard.recv_timeout(PATIENCE).expect("the healthy subscriber hears on");
        }
    }
    reader.join().expect("the healthy subscriber hears everything");
    // History keeps 300 publications of 16 KiB; the queue of the slow one is beside that.
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 300 * 18 + 4_096, "{grown} KiB");
    eventually("the slow reader is found", PATIENCE, || server.metric("wharf_slow_closes_total") == 1);
    let (messages, code) = read_to_end(&mut slow);
    assert!(messages < COUNT as usize, "{messages} messages were kept for it");
    // The code arrives, unless the kernel's buffers were full to the end of the close's time.
    assert!(matches!(code, Some(3008) | None), "{code:?}");
    drop(slow);
    until_connections_are(&server, 1);
}

/// Joins the channel `hot` in each way in which publications come, and returns what must be kept open.
fn readers_of_every_kind(server: &Server) -> Vec<TcpStream> {
    let subscribe = "{\"id\":2,\"subscribe\":{\"channel\":\"hot\"}}\n";
    let subs = "{\"subs\":{\"hot\":{}}}";
    let post = |path: &str, body: &str| http::head("POST", path, &[], body) + body;
    let get = |path: &str| http::head("GET", path, &[], "");
    let connects = [
        format!("{CONNECT}{subscribe}"),
        get("/events?channel=hot"),
        get("/events?channel=hot&channel=cold"),
        post("/connection/uni_http_stream", subs),
        post("/connection/uni_sse", subs),
    ];
    let readers = connects.map(|connect| {
        let mut socket = raw::connect(server.address());
        raw::offer(&mut socket, connect.as_bytes());
        socket
    });
    eventually("all are in the channel", PATIENCE, || {
        server.api("presence_stats", &json!({"channel": "hot"}))["num_clients"] == readers.len()
    });
    readers.into()
}

// Row 43.
#[test]
fn a_slow_reader_of_whatever_kind_is_closed_at_its_bound() {
    let _alone = alone();
    let server = Setup::new()
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "262144")
        .variable("WHARF_TIMES__WRITE_STALL", NEVER)
        .variable("WHARF_TIMES__CLOSE_HANDSHAKE", "500ms")
        .start();
    let slow = readers_of_every_kind(&server);
    let mut healthy = slow_subscriber(&server, "hot");
    let payload = "x".repeat(60 * 1024);
    let mut published = 0;
    while server.metric("wharf_slow_closes_total") < slow.len() as u64 {
        server.api("publish", &json!({"channel": "hot", "data": payload}));
        assert_eq!(healthy.publications(1), [json!(payload)]);
        published += 1;
        assert!(published < 1_000, "the kernel takes everything");
    }
    until_connections_are(&server, 1);
    let present = server.api("presence_stats", &json!({"channel": "hot"}));
    assert_eq!(present["num_clients"], 1, "{present}");
    drop(slow);
}

// Row 43.
#[test]
fn a_reader_that_takes_nothing_for_a_while_is_closed_as_slow() {
    let _alone = alone();
    let server = Setup::new()
        .variable("WHARF_TIMES__WRITE_STALL", "500ms")
        .variable("WHARF_TIMES__CLOSE_HANDSHAKE", NEVER)
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "67108864")
        .start();
    let mut slow = slow_subscriber(&server, "hot");
    let mut publisher = server.lines();
    publisher.connect();
    let payload = "x".repeat(60 * 1024);
    // Until the kernel's buffers are full, and something waits behind them.
    let mut published = 0;
    while server.metric("wharf_deliveries_total") * 60 * 1024
        < server.metric("wharf_sent_bytes_total") + (1 << 20)
    {
        publisher.publish("hot", json!(payload));
        published += 1;
        assert!(published < 1_000, "the kernel takes everything");
    }
    eventually("the slow reader is found", PATIENCE, || server.metric("wharf_slow_closes_total") == 1);
    // Once it reads again it hears why.
    let (messages, code) = read_to_end(&mut slow);
    assert_eq!(code, Some(3008), "after {messages} messages");
}

// Row 44.
#[test]
fn a_peer_that_is_gone_without_a_word_is_dead_within_ping_and_pong() {
    let server = Setup::new()
        .variable("WHARF_TIMES__PING_INTERVAL", "1s")
        .variable("WHARF_TIMES__PONG_TIMEOUT", "500ms")
        .start();
    let mut gone = server.websocket();
    gone.connect();
    gone.subscribe("rooms");
    let mut gone_lines = server.lines();
    gone_lines.connect();
    gone_lines.subscribe("rooms");
    let mut frames =
        Client::new(WebSocket::open(server.address(), "/connection/websocket?cf_ws_frame_ping_pong=true"));
    frames.connect();
    frames.subscribe("rooms");
    let started = Instant::now();
    // The bystander answers its pings while it waits; the three say nothing more.
    let mut alive = server.websocket();
    alive.connect();
    eventually("presence loses them", PATIENCE, || alive.presence("rooms").is_empty());
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
    let mut code = None;
    while code.is_none() {
        if let Incoming::Close(told, _) = gone.wire.next().expect("a close comes first") {
            code = told;
        }
    }
    assert_eq!(code, Some(3012));
    assert!(alive.pings > 0 || elapsed < Duration::from_secs(1), "who answers stays");
    alive.call(json!({"rpc": {"method": "echo"}}));
}

/// One attacker's connection: comes as far as `stage` says, and is then reset.
fn come_and_reset(server: &Server, stage: usize) {
    let mut socket = raw::connect(server.address());
    let subscribe = "{\"id\":2,\"subscribe\":{\"channel\":\"storm\",\"join_leave\":true}}\n";
    let begin: String = match stage % 8 {
        0 => String::new(),
        1 => "GET /health HTTP/1.1\r\nHo".to_owned(),
        2 => "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        3 => format!("{CONNECT}{subscribe}"),
        4 => "GET /events?channel=storm HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        5 => "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{".to_owned(),
        6 => format!(
            "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{CONNECT}",
            CONNECT.len()
        ),
        _ => {
            let mut client = server.websocket();
            client.connect();
            client.subscribe("storm");
            if let common::socket::Socket::Tcp(socket) = client.wire.socket {
                raw::reset(socket);
            }
            return;
        }
    };
    raw::offer(&mut socket, begin.as_bytes());
    if matches!(stage % 8, 3 | 4 | 6) && stage % 16 < 8 {
        // Some leave before their answer, others after it.
        let _ = socket.read(&mut [0; 512]);
    }
    raw::reset(socket);
}

/// The most rounds of [`assert_nothing_stays`].
const ROUNDS: usize = 12;

/// Runs `round`, in which some thousand clients come and go, until one leaves the server as it found it.
///
/// An allocator keeps what a crowd once needed at the same time, so memory may grow in some rounds; but what is
/// left behind by each client grows in all of them, by `slack_kib` for each round at least.
#[track_caller]
fn assert_nothing_stays(server: &Server, slack_kib: u64, round: impl Fn()) {
    round();
    until_connections_are(server, 0);
    let (descriptors, threads) = (server.descriptors(), server.threads());
    let mut memory_kib = vec![server.memory_kib()];
    for _ in 0..ROUNDS {
        round();
        until_connections_are(server, 0);
        eventually("descriptors are given back", PATIENCE, || server.descriptors() <= descriptors);
        assert_eq!(server.threads(), threads);
        let highest = memory_kib.iter().copied().max().unwrap_or(0);
        memory_kib.push(server.memory_kib());
        if memory_kib.last().is_some_and(|now| *now <= highest + slack_kib) {
            return;
        }
    }
    panic!("memory grows in each round, in KiB: {memory_kib:?}");
}

/// Runs `each` for the numbers below `count`, on several threads.
fn on_threads(count: usize, each: impl Fn(usize) + Sync) {
    const THREADS: usize = 4;
    thread::scope(|scope| {
        for first in 0..THREADS {
            let each = &each;
            scope.spawn(move || (first..count).step_by(THREADS).for_each(each));
        }
    });
}

// Row 46.
#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let _alone = alone();
    let server = Setup::new().variable("WHARF_TIMES__PRESENCE_LEASE", "40s").start();
    assert_nothing_stays(&server, 64, || on_threads(1_000, |number| come_and_reset(&server, number)));
    let presence = server.api("presence_stats", &json!({"channel": "storm"}));
    assert_eq!(presence["num_clients"], 0, "{presence}");
    assert_eq!(server.metric("wharf_subscriptions"), 0);
    Bystander::join(&server).assert_unharmed(&server);
}

// Row 47.
#[test]
fn a_half_close_flushes_every_reply() {
    let server = Server::start();
    let big = "x".repeat(30_000);
    let mut lines = CONNECT.to_owned();
    for id in 2..=200 {
        lines += &format!("{}\n", json!({"id": id, "rpc": {"method": "echo", "data": big}}));
    }
    let mut socket = raw::connect(server.address());
    let mut writer = socket.try_clone().expect("a second handle");
    let sender = thread::spawn(move || {
        writer.write_all(lines.as_bytes()).expect("the server reads");
        writer.shutdown(std::net::Shutdown::Write).expect("it is open");
    });
    let heard = String::from_utf8(raw::until_closed(&mut socket)).expect("text");
    sender.join().expect("all was sent");
    let ids: Vec<u64> = heard
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].as_u64().expect("a reply")
        })
        .collect();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());

    // A request that is followed by the end of the client's half.
    let mut socket = raw::connect(server.address());
    raw::offer(&mut socket, raw::api_request("info", &json!({})).as_bytes());
    socket.shutdown(std::net::Shutdown::Write).expect("it is open");
    let answers = raw::answers(&raw::until_closed(&mut socket));
    assert_eq!((answers.len(), answers[0].status), (1, 200));

    // Over WebSocket an end without a close frame is one all the same.
    let mut client = server.websocket();
    client.connect();
    let id = client.tell(json!({"rpc": {"method": "echo", "data": big}}));
    client.wire.socket.finish_writing();
    assert_eq!(client.reply(id)["rpc"]["data"], json!(big));
    assert_eq!(client.wire.next(), None);
    until_connections_are(&server, 0);
}

// Row 49.
#[test]
fn without_descriptors_the_server_waits_and_recovers() {
    let _alone = alone();
    let server = Setup::new().descriptors(64).start();
    let mut client = server.websocket();
    client.connect();
    client.subscribe("scarce");
    // The metrics must be asked on a connection that is open already.
    let mut metrics = Kept::open(&server);
    let crowd: Vec<TcpStream> = (0..100).map(|_| raw::connect(server.address())).collect();
    eventually("descriptors run out", PATIENCE, || metrics.metric("wharf_accept_exhausted_total") > 0);
    // Who is connected is served on.
    client.publish("scarce", json!(1));
    assert_eq!(client.publications(1), [json!(1)]);
    let (used, failed) = (server.processor_s(), metrics.metric("wharf_accept_exhausted_total"));
    // tidy: sleeps because processor time can be measured only over time.
    thread::sleep(Duration::from_secs(1));
    let (used, failed) =
        (server.processor_s() - used, metrics.metric("wharf_accept_exhausted_total") - failed);
    assert!(used < 0.2, "{used} s of processor time in one second");
    assert!(failed < 200, "{failed} accepts failed in one second");
    drop(crowd);
    // All that waited in the kernel's queue are taken and found closed, and then who comes is served.
    let mut late = server.websocket();
    late.connect();
    late.publish("scarce", json!(2));
    assert_eq!(client.publications(1), [json!(2)]);
}

/// A connection on which one request is asked after the other.
struct Kept(TcpStream);

impl Kept {
    fn open(server: &Server) -> Self {
        let mut kept = Self(raw::connect(server.address()));
        kept.metric("wharf_connections");
        kept
    }

    #[track_caller]
    fn metric(&mut self, name: &str) -> u64 {
        raw::offer(&mut self.0, http::head("GET", "/metrics", &[], "").as_bytes());
        let mut heard = Vec::new();
        let mut piece = [0; 16_384];
        loop {
            let count = self.0.read(&mut piece).expect("the answer comes in time");
            assert!(count > 0, "the connection ended");
            heard.extend_from_slice(&piece[..count]);
            // The text format ends with this line.
            if heard.ends_with(b"# EOF\n") {
                return sum_of_metric(&String::from_utf8_lossy(&heard), name);
            }
        }
    }
}

/// What may be said before `connect` in the defaults: `early_bytes` of LIMITS.md.
const EARLY_BYTES: usize = 2 * (65_536 + 14 * 1_024);

// Row 53.
#[test]
fn who_floods_before_it_connects_is_refused_and_who_connects_in_many_pieces_is_not() {
    // The time to connect must not be what ends it.
    let server = Setup::new().variable("WHARF_TIMES__AUTHENTICATE", NEVER).start();
    let mut bystander = Bystander::join(&server);
    let told = |client: &mut Client<WebSocket>| loop {
        match client.wire.next() {
            Some(Incoming::Close(code, reason)) => break (code, reason),
            Some(Incoming::Pong(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    for first in [0x89, 0x8a] {
        let mut client = server.websocket();
        raw::offer(&mut client.wire.socket, &raw::frame(first, b"x").repeat(EARLY_BYTES / 7 + 1));
        assert_eq!(told(&mut client), (Some(3501), "too much was said before connect".to_owned()));
    }
    // As much as a connect may take is not too much.
    let mut client = server.websocket();
    client.wire.socket.send(raw::frame(0x89, b"x").repeat(10_000));
    let connect = json!({"id": 1, "connect": {"name": "x".repeat(15_000), "version": "y".repeat(45_000)}});
    let connect = connect.to_string().into_bytes();
    let pieces: Vec<&[u8]> = connect.chunks(60).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { 0x01 } else { 0x00 };
        let last = if at + 1 == pieces.len() { 0x80 } else { 0x00 };
        client.wire.socket.send(raw::frame(opcode | last, piece));
    }
    assert!(client.reply(1)["connect"]["client"].is_string());
    bystander.assert_unharmed(&server);
}

// Row 53.
#[test]
fn who_keeps_talking_and_does_not_connect_is_closed_in_time() {
    let server = Setup::new()
        .variable("WHARF_TIMES__AUTHENTICATE", "700ms")
        .variable("WHARF_TIMES__CLOSE_HANDSHAKE", "500ms")
        .start();
    let mut websocket = WebSocket::open(server.address(), "/connection/websocket");
    raw::without_delay(&websocket.socket);
    let common::socket::Socket::Tcp(socket) = &mut websocket.socket else { unreachable!("it is TCP") };
    let (heard, elapsed) = raw::drip(socket, &raw::frame(0x89, b"").repeat(1_000));
    // Pongs, and then the close: two bytes of a header, the code and its reason.
    let code = 3502_u16.to_be_bytes();
    assert!(heard.windows(2).any(|bytes| bytes == code), "{heard:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    let (heard, elapsed) =
        raw::drip(&mut raw::connect(server.address()), b"{\"id\":1,\"connect\":{\"name\":\"x");
    let told = String::from_utf8_lossy(&heard);
    assert!(told.contains("3502"), "{told}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

/// One visitor: comes in one of many ways, is served, and goes.
fn come_and_go(server: &Server, number: usize) {
    match number % 4 {
        0 => {
            let mut client = server.websocket();
            client.connect();
            client.subscribe("visits");
            client.wire.send_close(1000, "");
            assert!(matches!(read_to_end(&mut client).1, Some(1000)));
        }
        1 => {
            let mut client = server.lines();
            client.connect();
            client.subscribe("visits");
        }
        2 => assert_eq!(http::get(server.address(), "/health").status, 200),
        _ => {
            let stream = Stream::open(server.address(), "GET", "/events?channel=visits", &[], "");
            assert_eq!(stream.status, 200);
        }
    }
}

// Row 50.
#[test]
fn twenty_thousand_visits_leave_nothing_behind() {
    let _alone = alone();
    let server = Server::start();
    assert_nothing_stays(&server, 128, || on_threads(10_000, |number| come_and_go(&server, number)));
    assert_eq!(server.metric("wharf_subscriptions"), 0);
    assert_eq!(server.metric("wharf_channels"), 0);
    Bystander::join(&server).assert_unharmed(&server);
}
