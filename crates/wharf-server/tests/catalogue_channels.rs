//! RELIABILITY's rows on channels, and on the end of a server, held against the whole server.

mod common;

use std::{
    collections::{HashMap, HashSet},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE,
    client::{Client, Lines, Wire},
    eventually,
    http::{self, Stream},
    raw::{self, Bystander},
    server::{Server, Setup},
    websocket::WebSocket,
};
use serde_json::{Value, json};

// Row 92.
#[test]
fn a_client_has_so_many_channels_and_no_more() {
    const WANTED: u32 = 5_000;
    let server = Server::start();
    let mut bystander = Bystander::join(&server);
    let mut greedy = server.lines();
    greedy.connect();
    let mut writer = match greedy.wire.socket() {
        common::socket::Socket::Tcp(socket) => socket.try_clone().expect("a second handle"),
        common::socket::Socket::Unix(_) => panic!("the first address is a TCP address"),
    };
    // All at once, without waiting for any reply.
    let asking = thread::spawn(move || {
        let commands: String = (0..WANTED)
            .map(|n| format!("{}\n", json!({"id": n + 2, "subscribe": {"channel": format!("greedy{n}")}})))
            .collect();
        raw::offer(&mut writer, commands.as_bytes());
    });
    let mut granted = 0;
    for id in 2..WANTED + 2 {
        match greedy.reply(id) {
            reply if reply.get("subscribe").is_some() => granted += 1,
            reply => assert_eq!(reply["error"]["code"], 106, "{reply}"),
        }
    }
    asking.join().expect("all was asked");
    assert_eq!(granted, 128);
    assert_eq!(server.metric("wharf_subscriptions"), 128 + 1, "and the bystander's");
    // Who gives one back may have another.
    greedy.call(json!({"unsubscribe": {"channel": "greedy0"}}));
    greedy.subscribe("greedy-other");
    let channels: String = (0..129).map(|n| format!("channel=c{n}&")).collect();
    assert_eq!(http::get(server.address(), &format!("/events?{channels}")).status, 400);
    bystander.assert_unharmed(&server);
}

// Row 94.
#[test]
fn slow_subscribers_of_a_hot_channel_are_isolated() {
    const COUNT: u64 = 1_000;
    const AHEAD: u64 = 4;
    let server = Setup::new()
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "262144")
        .variable("WHARF_TIMES__WRITE_STALL", "10m")
        .variable("WHARF_TIMES__CLOSE_HANDSHAKE", "1s")
        .start();
    // One on each kind of wire, of which none reads.
    let mut slow_websocket = server.websocket();
    slow_websocket.connect();
    slow_websocket.subscribe("hot");
    let mut slow_lines = server.lines();
    slow_lines.connect();
    slow_lines.subscribe("hot");
    let slow_events = Stream::open(server.address(), "GET", "/events?channel=hot", &[], "");
    let uni = json!({"subs": {"hot": {}}}).to_string();
    let slow_stream = Stream::open(server.address(), "POST", "/connection/uni_http_stream", &[], &uni);
    assert_eq!((slow_events.status, slow_stream.status), (200, 200));

    let mut websocket = server.websocket();
    websocket.connect();
    websocket.subscribe("hot");
    let mut lines = server.lines();
    lines.connect();
    lines.subscribe("hot");
    let ((tell_websocket, websocket_heard), (tell_lines, lines_heard)) = (mpsc::channel(), mpsc::channel());
    let readers = [
        thread::spawn(move || hear_all(websocket, COUNT, &tell_websocket)),
        thread::spawn(move || hear_all(lines, COUNT, &tell_lines)),
    ];
    let payload = "x".repeat(16 * 1024);
    let mut publisher = server.websocket();
    publisher.connect();
    for number in 1..=COUNT {
        publisher.publish("hot", json!({"n": number, "payload": payload}));
        // The healthy are never so far behind that they would be slow as well.
        for heard in [&websocket_heard, &lines_heard] {
            if number > AHEAD {
                heard.recv_timeout(PATIENCE).expect("a healthy subscriber hears on");
            }
        }
    }
    for reader in readers {
        reader.join().expect("a healthy subscriber hears everything");
    }
    eventually("the four slow ones are found", PATIENCE, || server.metric("wharf_slow_closes_total") == 4);
    // The publisher alone is left once the healthy have gone.
    eventually("all are given back", PATIENCE, || server.metric("wharf_connections") == 1);
}

fn hear_all<W: Wire>(mut client: Client<W>, count: u64, tell: &mpsc::Sender<()>) {
    for number in 1..=count {
        assert_eq!(client.push()["pub"]["data"]["n"], number, "in order, and none is missing");
        tell.send(()).expect("the publisher listens");
    }
}

// Row 96.
#[test]
fn a_recovery_that_cannot_be_whole_says_so() {
    let server = Server::start();
    // Development keeps 300 publications.
    for number in 1..=310 {
        server.api("publish", &json!({"channel": "kept", "data": number}));
    }
    let mut client = server.websocket();
    client.connect();
    let mut recover = |offset: u64, epoch: &str| {
        let request = json!({"channel": "kept", "recover": true, "offset": offset, "epoch": epoch});
        let result = client.subscribe_with(request);
        client.call(json!({"unsubscribe": {"channel": "kept"}}));
        let publications = result["publications"].as_array().cloned().unwrap_or_default();
        let recovered = result["recovered"].as_bool().unwrap_or(false);
        (recovered, publications.len(), result)
    };
    let (_, _, result) = recover(310, "");
    let epoch = result["epoch"].as_str().expect("an epoch").to_owned();
    // What can be had is had.
    for (offset, missed) in [(310, 0), (309, 1), (100, 210), (10, 300)] {
        let (recovered, publications, result) = recover(offset, &epoch);
        assert_eq!((recovered, publications), (true, missed), "from {offset}: {result}");
    }
    // A future offset, a wrong epoch, a history that was cut off.
    let wrong = "zzzzzzzz";
    for (offset, epoch) in [
        (311, epoch.as_str()),
        (u64::MAX, &epoch),
        (310, wrong),
        (0, wrong),
        (309, "not an epoch at all"),
        (9, &epoch),
        (0, &epoch),
    ] {
        let (recovered, publications, result) = recover(offset, epoch);
        assert_eq!((recovered, publications), (false, 0), "from {offset} of {epoch}: {result}");
        assert_eq!(result["was_recovering"], true, "{result}");
        assert_eq!(result["offset"], 310, "where the client stands now: {result}");
    }
    server.api("history_remove", &json!({"channel": "kept"}));
    let (recovered, publications, result) = recover(300, &epoch);
    assert_eq!((recovered, publications), (false, 0), "{result}");
}

/// Subscribes, from `position` on if there is one, hears `count` publications more, and goes. Asserts that offsets
/// go on without a gap or a duplicate; the position at which it went.
#[track_caller]
fn hear_from(mut client: Client<WebSocket>, position: Option<(u64, String)>, count: usize) -> (u64, String) {
    client.connect();
    let result = match &position {
        None => client.subscribe("busy"),
        Some((offset, epoch)) => client
            .subscribe_with(json!({"channel": "busy", "recover": true, "offset": offset, "epoch": epoch})),
    };
    let epoch = result["epoch"].as_str().expect("an epoch").to_owned();
    let mut offset = match position {
        None => result["offset"].as_u64().unwrap_or(0),
        Some((offset, _)) => {
            assert_eq!(result["recovered"], true, "{result}");
            offset
        }
    };
    let missed = result["publications"].as_array().cloned().unwrap_or_default();
    let heard = missed.len();
    for publication in missed {
        offset += 1;
        assert_eq!(publication["offset"], offset, "recovered without a gap or a duplicate");
    }
    for _ in heard..count {
        offset += 1;
        assert_eq!(client.push()["pub"]["offset"], offset, "pushed without a gap or a duplicate");
    }
    (offset, epoch)
}

// Row 97.
#[test]
fn publishing_while_clients_subscribe_and_recover_makes_no_gap_and_no_duplicate() {
    const ROUNDS: usize = 40;
    // A recovery is whole whatever the publishers manage between two rounds.
    let server = Setup::new()
        .configuration(
            r#"
            [client]
            anonymous = true
            [limits]
            history_answer = 100000
            [channel.without_namespace]
            history_size = 100000
            history_ttl = "10m"
            force_recovery = true
            force_positioning = true
            allow_subscribe_for_client = true
            allow_subscribe_for_anonymous = true
            allow_publish_for_client = true
            allow_publish_for_anonymous = true
            "#,
        )
        .start();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in 0..3 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.lines();
                client.connect();
                for number in 0.. {
                    if done.load(Relaxed) {
                        break;
                    }
                    client.publish("busy", json!([publisher, number]));
                }
            });
        }
        let subscribers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut position = None;
                    for _ in 0..ROUNDS {
                        position = Some(hear_from(server.websocket(), position, 20));
                    }
                })
            })
            .collect();
        // The publishers end also when a subscriber has found something wrong.
        let outcomes: Vec<_> = subscribers.into_iter().map(|subscriber| subscriber.join()).collect();
        done.store(true, Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "a subscriber missed something or heard it twice");
    });
}

// Row 98.
#[test]
fn a_client_process_that_is_killed_leaves_no_ghost() {
    let server = Server::start();
    let mut observer = server.websocket();
    observer.connect();
    observer.subscribe_with(json!({"channel": "rooms", "join_leave": true}));
    assert_eq!(observer.push()["join"]["info"]["client"], json!(observer.id), "its own");
    for transport in ["websocket", "tcp", "sse"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wharf"))
            .args(["subscribe", "rooms", "--server", &server.url(), "--transport", transport])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built for this test");
        let joined = observer.push();
        let id = joined["join"]["info"]["client"]
            .as_str()
            .unwrap_or_else(|| panic!("no join: {joined}"))
            .to_owned();
        assert!(observer.presence("rooms").contains(&id));
        // The kernel sends what `kill -9` sends: no farewell of the client's, only an end.
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
        assert_eq!(observer.push()["leave"]["info"]["client"], json!(id));
        assert_eq!(observer.presence("rooms"), [observer.id.clone()]);
    }
}

// Row 98.
#[test]
fn many_tabs_join_and_leave_once_each() {
    const TABS: usize = 50;
    let server = Server::start();
    let mut observer = server.websocket();
    observer.connect();
    observer.subscribe_with(json!({"channel": "tabs", "join_leave": true}));
    observer.push();
    let mut joined = HashSet::new();
    let mut tabs = Vec::new();
    for _ in 0..TABS {
        let mut tab = server.websocket();
        tab.connect();
        tab.subscribe("tabs");
        // A second subscription of the same client is an error, and no second join.
        assert_eq!(tab.ask(json!({"subscribe": {"channel": "tabs"}}))["error"]["code"], 105);
        joined.insert(tab.id.clone());
        tabs.push(tab);
    }
    let stats = server.api("presence_stats", &json!({"channel": "tabs"}));
    assert_eq!((&stats["num_clients"], &stats["num_users"]), (&json!(TABS + 1), &json!(1)));
    // All leave: half by a word, half without.
    for (at, mut tab) in tabs.into_iter().enumerate() {
        if at % 2 == 0 {
            tab.call(json!({"unsubscribe": {"channel": "tabs"}}));
        }
    }
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for _ in 0..2 * TABS {
        let push = observer.push();
        for kind in ["join", "leave"] {
            if let Some(id) = push.pointer(&format!("/{kind}/info/client")).and_then(Value::as_str) {
                *seen.entry((kind.to_owned(), id.to_owned())).or_default() += 1;
            }
        }
    }
    for id in joined {
        for kind in ["join", "leave"] {
            assert_eq!(seen.remove(&(kind.to_owned(), id.clone())), Some(1), "{kind} of {id}");
        }
    }
    assert!(seen.is_empty(), "{seen:?}");
    // Nothing comes after: what the observer hears next is what it asks for.
    observer.publish("tabs", json!("last"));
    assert_eq!(observer.publications(1), [json!("last")]);
}

// Row 102.
#[test]
fn at_sigterm_everything_acknowledged_is_flushed_and_clients_are_told_to_come_back() {
    const CLIENTS: usize = 40;
    const PUBLICATIONS: usize = 200;
    let mut server = Setup::new().variable("WHARF_TIMES__DRAIN", "1s").start();
    let mut websockets: Vec<Client<WebSocket>> = (0..CLIENTS).map(|_| server.websocket()).collect();
    let mut lines: Vec<Client<Lines>> = (0..CLIENTS).map(|_| server.lines()).collect();
    websockets.iter_mut().for_each(|client| {
        client.connect();
        client.subscribe("last-words");
    });
    lines.iter_mut().for_each(|client| {
        client.connect();
        client.subscribe("last-words");
    });
    let mut events = Stream::open(server.address(), "GET", "/events?channel=last-words", &[], "");
    let mut publisher = server.websocket();
    publisher.connect();
    for number in 0..PUBLICATIONS {
        publisher.publish("last-words", json!(number));
    }
    let started = Instant::now();
    server.signal("TERM");
    let expected: Vec<Value> = (0..PUBLICATIONS).map(Value::from).collect();
    let mut ends = Vec::new();
    for client in &mut websockets {
        assert_eq!(client.publications(PUBLICATIONS), expected);
        let end = client.end();
        ends.push(started.elapsed());
        assert_eq!((end.code, end.reason.as_str()), (Some(3001), "shutdown"));
    }
    for client in &mut lines {
        assert_eq!(client.publications(PUBLICATIONS), expected);
        assert_eq!(client.end().code, Some(3001));
    }
    let streamed = String::from_utf8(events.rest()).expect("text");
    assert_eq!(
        streamed.matches("\ndata: ").count() + usize::from(streamed.starts_with("data: ")),
        PUBLICATIONS
    );
    assert!(ends.iter().all(|end| *end < Duration::from_secs(10)), "{ends:?}");
    assert_eq!(publisher.end().code, Some(3001));
    drop((websockets, lines, publisher, events));
    let status = server.wait(PATIENCE);
    assert!(status.success(), "{status:?}");
}

// Row 102.
#[test]
fn a_server_that_drains_is_not_ready_and_spreads_its_closes() {
    const CLIENTS: usize = 60;
    let mut server = Setup::new().variable("WHARF_TIMES__DRAIN", "2s").start();
    let clients: Vec<Client<WebSocket>> = (0..CLIENTS)
        .map(|_| {
            let mut client = server.websocket();
            client.connect();
            client
        })
        .collect();
    let session = {
        let body = json!({"id": 1, "connect": {}}).to_string();
        let answer = http::post(server.address(), "/connection/poll?wait=0", &body);
        answer.header("wharf-session").expect("a session has a key").to_owned()
    };
    let mut poll = server.address().open();
    poll.send(http::head("POST", "/connection/poll?wait=60", &[("Wharf-Session", &session)], ""));
    let started = Instant::now();
    server.signal("TERM");
    let ends: Vec<_> = clients
        .into_iter()
        .map(|mut client| thread::spawn(move || (client.end().code, started.elapsed())))
        .collect();
    eventually("it says that it is not ready", Duration::from_secs(1), || {
        http::get(server.address(), "/health").status == 503
    });
    let refused = http::get(server.address(), "/events?channel=a");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    let ends: Vec<(Option<u16>, Duration)> =
        ends.into_iter().map(|end| end.join().expect("each ends")).collect();
    assert!(ends.iter().all(|(code, _)| *code == Some(3001)), "{ends:?}");
    let times: Vec<u128> = ends.iter().map(|(_, at)| at.as_millis()).collect();
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    // Sixty moments of two seconds: that all fall into one half second happens once in 10^34 runs.
    assert!(last - first > 500, "the closes are spread: {times:?}");
    assert!(*last < 8_000, "{times:?}");
    let answer = Stream::begin(poll);
    assert_eq!(answer.status, 200, "a waiting poll is answered");
    assert!(server.wait(PATIENCE).success());
}
