//! Compression of WebSocket messages (RFC 7692) by the whole server: who gets it, what is compressed and how often,
//! and what a client can do with it. RELIABILITY's rows 35 to 39.

mod common;

use bytes::BytesMut;
use common::{
    client::Client,
    raw::{self, Bystander, frame},
    server::{Server, Setup},
    websocket::{Incoming, WebSocket},
};
use serde_json::{Value, json};
use wharf_proto::websocket::{
    Opcode,
    deflate::{Compression, Deflater, WindowBits},
};

const PATH: &str = "/connection/websocket";
const OFFER: &str = "permessage-deflate; client_max_window_bits";
/// What a server answers that remembers nothing.
const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// A masked text message in one frame, marked as compressed.
const COMPRESSED_TEXT: u8 = 0x80 | 0x40 | 1;

fn compressing() -> Setup {
    Setup::new().variable("WHARF_COMPRESSION__ENABLED", "true")
}

fn remembering() -> Setup {
    compressing()
        .variable("WHARF_COMPRESSION__SERVER_CONTEXT_TAKEOVER", "true")
        .variable("WHARF_COMPRESSION__CLIENT_CONTEXT_TAKEOVER", "true")
}

/// A client that is connected and in the channel, and the extensions that it has.
#[track_caller]
fn member(server: &Server, offer: &str, channel: &str) -> (Client<WebSocket>, Option<String>) {
    let websocket = WebSocket::offering(server.address(), PATH, offer);
    let extensions = websocket.extensions.clone();
    let mut client = Client::new(websocket);
    client.connect();
    client.subscribe(channel);
    (client, extensions)
}

/// Data that is long enough to be compressed, and wins by it.
fn article(number: u64) -> Value {
    json!(format!("{number}: {}", "all the news that is fit to print; ".repeat(20)))
}

fn publish(server: &Server, channel: &str, data: &Value) {
    server.api("publish", &json!({"channel": channel, "data": data}));
}

/// `payload` as a client that remembers nothing compresses it.
fn deflated(payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let client = Compression { context_takeover: false, window_bits: WindowBits::MAX };
    let mut deflater = Deflater::new(client).with_min_bytes(0).with_level(9);
    assert!(deflater.deflate(payload, &mut out), "the payload wins by it");
    out
}

#[test]
fn an_offer_is_declined_unless_compression_is_switched_on() {
    let server = Server::start();
    let (mut client, extensions) = member(&server, OFFER, "news");
    assert_eq!(extensions, None);
    publish(&server, "news", &article(1));
    assert_eq!(client.publications(1), [article(1)]);
    assert_eq!(server.metric("wharf_compressed_connections"), 0);
    assert_eq!(server.metric("wharf_deflated_messages_total"), 0);
}

// Row 37.
#[test]
fn of_several_offers_the_first_that_is_valid_is_taken() {
    let server = compressing().start();
    let offers = [
        ("x-webkit-deflate-frame, permessage-deflate; nonsense, permessage-deflate", Some(ALONE)),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some(ALONE)),
        ("permessage-deflate; server_max_window_bits=99", None),
        ("permessage-bzip2", None),
    ];
    for (offer, answer) in offers {
        let websocket = WebSocket::offering(server.address(), PATH, offer);
        assert_eq!(websocket.extensions.as_deref(), answer, "{offer}");
    }
}

#[test]
fn a_broadcast_is_compressed_once_however_many_hear_it() {
    let server = compressing().arguments("--workers 2").start();
    let mut members: Vec<_> = (0..30).map(|_| member(&server, OFFER, "news").0).collect();
    assert_eq!(server.metric("wharf_compressed_connections"), 30);
    let before = server.metric("wharf_deflated_messages_total");
    for number in 1..=3 {
        publish(&server, "news", &article(number));
    }
    for member in &mut members {
        assert_eq!(member.publications(3), [article(1), article(2), article(3)]);
    }
    assert_eq!(server.metric("wharf_deflated_messages_total") - before, 3);
    let (long, short) =
        (server.metric("wharf_deflate_in_bytes_total"), server.metric("wharf_deflate_out_bytes_total"));
    assert!(short > 0 && short < long / 4, "{long} bytes became {short}");
    drop(members);
    common::eventually("the connections end", common::PATIENCE, || {
        server.metric("wharf_compressed_connections") == 0
    });
}

#[test]
fn a_mixed_room_hears_the_same() {
    let server = remembering().start();
    let offers = [
        "none",
        OFFER,
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
    ];
    let mut members: Vec<_> = offers.iter().map(|offer| member(&server, offer, "news").0).collect();
    let articles: Vec<Value> =
        (1..=20).map(|number| if number % 3 == 0 { json!(number) } else { article(number) }).collect();
    let before = server.metric("wharf_deflated_messages_total");
    for article in &articles {
        publish(&server, "news", article);
    }
    for member in &mut members {
        assert_eq!(member.publications(articles.len()), articles);
    }
    // The one wire of those that remember nothing, the one connection that remembers, and the one with a small
    // window. A third of the articles is too short.
    assert_eq!(server.metric("wharf_deflated_messages_total") - before, 3 * 14);

    // And what they say is heard, compressed or not.
    let mut command = json!({"id": 99, "publish": {"channel": "news", "data": article(99)}}).to_string();
    command.push('\n');
    members[1].wire.socket.send(frame(COMPRESSED_TEXT, &deflated(command.as_bytes())));
    for member in &mut members {
        assert_eq!(member.publications(1), [article(99)]);
    }
}

#[test]
fn what_is_shorter_than_the_setting_is_sent_as_it_is() {
    let server = compressing().variable("WHARF_COMPRESSION__MIN_DEFLATED_BYTES", "2000").start();
    let (mut client, _) = member(&server, OFFER, "news");
    publish(&server, "news", &article(1));
    client.publications(1);
    assert_eq!(server.metric("wharf_deflated_messages_total"), 0);
    publish(&server, "news", &json!([article(1), article(2), article(3)]));
    client.publications(1);
    assert_eq!(server.metric("wharf_deflated_messages_total"), 1);
}

// Row 38.
#[test]
fn past_the_memory_for_all_new_connections_remember_nothing() {
    // Room for two connections of 360 KiB to write and 32 KiB to read, and not for a third.
    let server = remembering().variable("WHARF_COMPRESSION__COMPRESSOR_BYTES", "1000000").start();
    let (mut first, extensions) = member(&server, OFFER, "news");
    assert_eq!(extensions.as_deref(), Some("permessage-deflate"));
    let (second, _) = member(&server, OFFER, "news");
    let used = server.metric("wharf_compressor_bytes");
    assert_eq!(used, 2 * (360 + 32) * 1024);
    let (mut third, extensions) = member(&server, OFFER, "news");
    assert_eq!(extensions.as_deref(), Some(ALONE));
    assert_eq!(server.metric("wharf_compressor_bytes"), used);
    assert_eq!(server.metric("wharf_compressor_refusals_total"), 1);
    publish(&server, "news", &article(1));
    assert_eq!(first.publications(1), [article(1)]);
    assert_eq!(third.publications(1), [article(1)]);

    drop(second);
    common::eventually("the memory is given back", common::PATIENCE, || {
        server.metric("wharf_compressor_bytes") < used
    });
    assert_eq!(member(&server, OFFER, "news").1.as_deref(), Some("permessage-deflate"));
}

/// What it was not sent is dropped, and its context knows of that: nothing that follows may refer to it.
#[test]
fn a_slow_reader_that_remembers_can_read_all_that_comes_and_its_farewell() {
    let server = remembering().variable("WHARF_LIMITS__OUTBOX_BYTES", "100000").start();
    let mut slow = WebSocket::offering(server.address(), "/connection/uni_websocket", OFFER);
    slow.send_frame(Opcode::Text, br#"{"subs":{"news":{}}}"#);
    assert!(matches!(slow.next(), Some(Incoming::Message(said)) if said.contains("\"connect\"")));
    let mut published = 0;
    while server.metric("wharf_slow_closes_total") == 0 {
        published += 1;
        assert!(published < 5_000, "nothing bounds what waits");
        // Digits in no order, which compress to half at best, so that the kernel's buffers fill soon.
        let digits =
            (1..=2_500_u64).map(|at| (at * published).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
        publish(&server, "news", &json!(digits.collect::<String>()));
    }
    let (mut heard, mut told) = (0, false);
    let code = loop {
        match slow.next() {
            Some(Incoming::Message(said)) if said.contains("\"disconnect\"") => told = said.contains("3008"),
            Some(Incoming::Message(said)) => heard += u64::from(said.contains("\"pub\"")),
            Some(Incoming::Close(code, _)) => break code,
            end => panic!("{end:?} instead of a farewell"),
        }
    };
    assert_eq!((code, told), (Some(3008), true));
    assert!(0 < heard && heard < published, "{heard} of {published} were heard");
}

// Row 35.
#[test]
fn a_bomb_is_closed_with_1009_and_costs_little() {
    let server = remembering().start();
    let mut bystander = Bystander::join(&server);
    // 56 MiB of zeros in 60 KB: a mebibyte at a time, each with the empty block that ends a message put back.
    let mebibyte = [&deflated(&[0; 1 << 20])[..], b"\x00\x00\xff\xff"].concat();
    let mut bomb = mebibyte.repeat(56);
    bomb.truncate(bomb.len() - 4);
    assert!(bomb.len() < 64 * 1024, "{} bytes are too long as they are", bomb.len());
    let before = server.memory_kib();
    for connected in [false, true] {
        let mut websocket = WebSocket::offering(server.address(), PATH, OFFER);
        if connected {
            let mut client = Client::new(websocket);
            client.connect();
            websocket = client.wire;
        }
        websocket.socket.send(frame(COMPRESSED_TEXT, &bomb));
        let Some(Incoming::Close(Some(1009), reason)) = websocket.next() else {
            panic!("connected: {connected}: no close with 1009")
        };
        assert!(reason.contains("65536"), "{reason}");
        websocket.send_close(1009, "");
        assert_eq!(websocket.next(), None, "the connection ends");
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 2 * 1024, "{grown} KiB for a bomb of 56 MiB");
    bystander.assert_unharmed(&server);
}

// Row 36.
#[test]
fn what_is_no_deflate_is_1007() {
    let server = compressing().start();
    let mut bystander = Bystander::join(&server);
    let cut_off = deflated(article(1).to_string().as_bytes());
    for corrupt in [&b"\xff\xff\xff\xff"[..], &cut_off[..cut_off.len() - 3]] {
        let mut websocket = WebSocket::offering(server.address(), PATH, OFFER);
        websocket.socket.send(frame(COMPRESSED_TEXT, corrupt));
        let end = websocket.next();
        assert!(matches!(end, Some(Incoming::Close(Some(1007), _))), "{corrupt:?}: {end:?}");
    }
    bystander.assert_unharmed(&server);
}

// Rows 16 and 17, where RSV1 has a meaning.
#[test]
fn a_reserved_bit_where_compression_gives_it_no_meaning_is_1002() {
    let server = compressing().start();
    let mut bystander = Bystander::join(&server);
    let half = deflated(article(1).to_string().as_bytes());
    let attacks = [
        frame(0x80 | 0x20 | 1, b"{}"),
        frame(0x80 | 0x40 | 0x10 | 1, &half),
        frame(0x80 | 0x40 | 9, b""),
        frame(0x80 | 0x40 | 8, b""),
        [frame(0x40 | 1, &half[..10]), frame(0x80 | 0x40, &half[10..])].concat(),
    ];
    for (at, attack) in attacks.iter().enumerate() {
        let mut websocket = WebSocket::offering(server.address(), PATH, OFFER);
        assert_eq!(websocket.extensions.as_deref(), Some(ALONE));
        websocket.socket.send(attack);
        let end = websocket.next();
        assert!(matches!(end, Some(Incoming::Close(Some(1002), _))), "attack {at}: {end:?}");
        assert_eq!(websocket.next(), None, "attack {at}: the connection ends");
    }
    bystander.assert_unharmed(&server);
}

// Rows 22 and 34, compressed.
#[test]
fn compressed_fragments_of_one_byte_a_segment_are_the_same_message() {
    let server = compressing().start();
    let mut client = member(&server, OFFER, "news").0;
    raw::without_delay(&client.wire.socket);
    let command = json!({"id": 99, "publish": {"channel": "news", "data": article(7)}}).to_string();
    let payload = deflated(command.as_bytes());
    let bytes = [
        frame(0x40 | 1, &payload[..7]),
        frame(0x80 | 9, b"between"),
        frame(0, &[]),
        frame(0x80, &payload[7..]),
    ];
    raw::offer_byte_by_byte(&mut client.wire.socket, &bytes.concat());
    assert_eq!(client.wire.next(), Some(Incoming::Pong(b"between".to_vec())));
    assert_eq!(client.publications(1), [article(7)]);
}

/// A namespace that keeps history and where everybody may do everything, with these switches on.
fn namespace(name: &str, switches: &[&str]) -> String {
    let allowed = ["subscribe", "publish", "presence", "history"]
        .map(|what| format!("allow_{what}_for_client = true\nallow_{what}_for_anonymous = true\n"));
    let switches: String = switches.iter().map(|switch| format!("{switch} = true\n")).collect();
    let history = "history_size = 10\nhistory_ttl = \"60s\"\nallow_recovery = true\n";
    format!("[[channel.namespaces]]\nname = {name:?}\n{history}{}{switches}", allowed.concat())
}

// Row 39.
#[test]
fn what_tells_of_a_channel_of_an_uncompressed_namespace_is_never_compressed() {
    let switches = "enabled = true\nserver_context_takeover = true\nclient_context_takeover = true\n";
    let configuration = format!(
        "[compression]\n{switches}[client]\nanonymous = true\n{}{}",
        namespace("chat", &[]),
        namespace("bank", &["uncompressed"])
    );
    for offer in [OFFER, "permessage-deflate; server_no_context_takeover"] {
        let server = Setup::new().configuration(&configuration).start();
        let mut counted = 0;
        for (channel, compressed) in [("bank:1", 0), ("chat:1", 3)] {
            let (mut client, _) = member(&server, offer, channel);
            client.publish(channel, article(1));
            assert_eq!(client.publications(1), [article(1)]);
            let history = client.call(json!({"history": {"channel": channel, "limit": 10}}));
            assert_eq!(history["history"]["publications"][0]["data"], article(1));
            let epoch = &history["history"]["epoch"];
            client.call(json!({"unsubscribe": {"channel": channel}}));
            let request = json!({
                "channel": channel, "recoverable": true, "recover": true, "offset": 0, "epoch": epoch,
            });
            assert_eq!(client.subscribe_with(request)["publications"][0]["data"], article(1));
            counted += compressed;
            assert_eq!(server.metric("wharf_deflated_messages_total"), counted, "{channel}: {offer}");
        }
    }
}

// Row 39.
#[test]
fn nor_who_is_there_nor_what_a_one_way_connect_brings_of_such_a_channel() {
    let told = ["presence", "join_leave", "force_push_join_leave"];
    // Without a length at which it begins, so that everything that may be compressed is.
    let configuration = format!(
        "[compression]\nenabled = true\nserver_context_takeover = true\nmin_deflated_bytes = 0\n[client]\n\
         anonymous = true\n{}{}{}",
        namespace("chat", &told),
        namespace("bank", &[&told[..], &["uncompressed"]].concat()),
        namespace("quiet", &[])
    );
    for offer in [OFFER, "permessage-deflate; server_no_context_takeover"] {
        let server = Setup::new().configuration(&configuration).start();
        let counted = || server.metric("wharf_deflated_messages_total");
        for (channel, compressed) in [("bank:1", false), ("chat:1", true)] {
            let mut first = Client::new(WebSocket::offering(server.address(), PATH, offer));
            first.connect();
            // With its own join, a stranger's join and leave, and who is there.
            let before = counted();
            first.subscribe(channel);
            assert!(first.push().get("join").is_some());
            let mut stranger = Client::new(WebSocket::open(server.address(), PATH));
            stranger.connect();
            stranger.subscribe(channel);
            assert!(first.push().get("join").is_some());
            assert_eq!(first.presence(channel).len(), 2);
            drop(stranger);
            assert!(first.push().get("leave").is_some());
            assert_eq!(counted() - before, if compressed { 5 } else { 0 }, "{channel}: {offer}");

            let epoch = first.call(json!({"history": {"channel": channel}}))["history"]["epoch"].clone();
            first.publish(channel, article(1));
            first.publications(1);
            let before = counted();
            let mut one_way = WebSocket::offering(server.address(), "/connection/uni_websocket", offer);
            let recovery = json!({"recover": true, "offset": 0, "epoch": epoch});
            let connect = json!({"subs": {channel: recovery, "quiet:1": {}}}).to_string();
            one_way.send_frame(Opcode::Text, connect.as_bytes());
            let Some(Incoming::Message(said)) = one_way.next() else { panic!("no connect") };
            assert!(said.contains("all the news"), "{said}");
            assert!(first.push().get("join").is_some());
            assert_eq!(counted() > before, compressed, "{channel}: {offer}");
        }
    }
}
