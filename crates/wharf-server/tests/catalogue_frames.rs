//! RELIABILITY's rows on WebSocket frames, sent to the whole server over a socket: the close code reaches the
//! client, the connection ends, and nobody else is harmed.

mod common;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use common::{
    client::{Client, Wire},
    proxy::Proxy,
    raw::{self, Bystander, MASK, frame},
    server::{Server, Setup},
    websocket::{Incoming, WebSocket},
};
use serde_json::json;

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;

/// So far away that a test that waits for it fails: the connection must end by itself.
const NEVER: &str = "10m";

/// A server that waits for a client's close for longer than a test waits for anything.
fn patient_server() -> Server {
    Setup::new().variable("WHARF_TIMES__CLOSE_HANDSHAKE", NEVER).start()
}

fn open(server: &Server) -> WebSocket {
    let websocket = WebSocket::open(server.address(), "/connection/websocket");
    raw::without_delay(&websocket.socket);
    websocket
}

/// Sends each of `attacks` before and after the connect command, whole and one byte a segment (row 34), and
/// expects the close code and then the end of the connection, by itself where no answer could be understood.
#[track_caller]
fn assert_closed_with(server: &Server, code: u16, attacks: &[Vec<u8>]) {
    let mut bystander = Bystander::join(server);
    for (at, attack) in attacks.iter().enumerate() {
        for (connected, split) in [(false, false), (true, false), (true, true)] {
            let mut websocket = open(server);
            if connected {
                let mut client = Client::new(websocket);
                client.connect();
                websocket = client.wire;
            }
            if split {
                raw::offer_byte_by_byte(&mut websocket.socket, attack);
            } else {
                raw::offer(&mut websocket.socket, attack);
            }
            let what = format!("attack {at}, connected: {connected}, split: {split}");
            match websocket.next() {
                Some(Incoming::Close(Some(told), reason)) => {
                    assert_eq!(told, code, "{what}: {reason}");
                    assert!(!reason.is_empty(), "{what}: a reason says what was wrong");
                }
                other => panic!("{what}: {other:?} instead of a close"),
            }
            if code != 1002 {
                // It is still known where frames end, so the server waits for the answer; but for what it was told is
                // within a payload, there is none.
                raw::offer(&mut websocket.socket, &frame(FIN | 8, &code.to_be_bytes()));
                websocket.socket.finish_writing();
            }
            assert_eq!(websocket.next(), None, "{what}: the connection ends");
        }
    }
    bystander.assert_unharmed(server);
}

// Row 15.
#[test]
fn a_frame_without_a_mask_is_1002() {
    let server = patient_server();
    assert_closed_with(&server, 1002, &[b"\x81\x02{}".to_vec(), b"\x89\x00".to_vec(), b"\x88\x00".to_vec()]);
}

// Rows 16 and 17.
#[test]
fn a_reserved_bit_without_an_extension_is_1002() {
    let server = patient_server();
    let attacks = [
        frame(FIN | 0x40 | TEXT, b"{}"),
        frame(FIN | 0x20 | TEXT, b"{}"),
        frame(FIN | 0x10 | BINARY, b"{}"),
        frame(FIN | 0x40 | PING, b""),
        [frame(TEXT, b"{"), frame(FIN | 0x40, b"}")].concat(),
    ];
    assert_closed_with(&server, 1002, &attacks);
}

// Row 18.
#[test]
fn a_reserved_opcode_is_1002() {
    let server = patient_server();
    let attacks: Vec<_> = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| frame(FIN | opcode, b"")).into();
    assert_closed_with(&server, 1002, &attacks);
}

// Rows 19 and 20.
#[test]
fn a_control_frame_that_is_long_or_fragmented_is_1002() {
    let server = patient_server();
    let attacks = [
        frame(FIN | PING, &[b'a'; 126]),
        frame(FIN | PONG, &[b'a'; 70_000]),
        frame(FIN | 8, &[b'a'; 126]),
        frame(PING, b"half"),
        frame(8, b""),
    ];
    assert_closed_with(&server, 1002, &attacks);
}

// Row 21.
#[test]
fn interleaved_messages_and_stray_continuations_are_1002() {
    let server = patient_server();
    let attacks = [
        frame(FIN, b"stray"),
        frame(0, b"stray"),
        [frame(TEXT, b"{"), frame(FIN | TEXT, b"{}")].concat(),
        [frame(BINARY, b"{"), frame(TEXT, b"}")].concat(),
    ];
    assert_closed_with(&server, 1002, &attacks);
}

// Row 22.
#[test]
fn a_ping_between_fragments_is_answered_at_once() {
    let server = patient_server();
    let mut client = Client::new(open(&server));
    client.connect();
    client.wire.socket.send(frame(TEXT, br#"{"id":2,"rpc":{"method":"#));
    client.wire.socket.send(frame(FIN | PING, b"between"));
    assert_eq!(client.wire.next(), Some(Incoming::Pong(b"between".to_vec())));
    client.wire.socket.send(frame(FIN, br#""echo","data":[1]}}"#));
    assert_eq!(client.reply(2), json!({"id": 2, "rpc": {"data": [1]}}));
}

// Row 23.
#[test]
fn text_that_is_not_utf8_is_1007_as_soon_as_it_shows() {
    let server = patient_server();
    // A message of 1,000 bytes of which only the first come: nobody waits for the rest.
    let mut unfinished = vec![FIN | TEXT, 0x80 | 126, 3, 0xe8];
    unfinished.extend_from_slice(&MASK);
    unfinished.extend([b'{', 0xff, b'}'].iter().zip(MASK).map(|(byte, mask)| byte ^ mask));
    let attacks = [
        frame(FIN | TEXT, b"\"\xff\""),
        frame(FIN | TEXT, b"\"\xed\xa0\x80\""),
        frame(FIN | TEXT, b"\"\xc3"),
        [frame(TEXT, b"\"\xc3"), frame(FIN, b"\x28\"")].concat(),
        // The first fragment already cannot become text, and no other follows.
        frame(TEXT, b"\"\xf4\x90"),
        unfinished,
    ];
    assert_closed_with(&server, 1007, &attacks);
    let mut client = Client::new(open(&server));
    client.connect();
    client.wire.socket.send(frame(TEXT, b"{\"id\":2,\"rpc\":{\"method\":\"echo\",\"data\":\"\xc3"));
    client.wire.socket.send(frame(FIN, b"\xa9\"}}"));
    assert_eq!(client.reply(2)["rpc"]["data"], "\u{e9}", "a character may be split over fragments");
}

// Row 24.
#[test]
fn a_close_that_may_not_be_sent_is_1002_and_others_are_answered() {
    let server = patient_server();
    let mut attacks = vec![frame(FIN | 8, &[3])];
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        attacks.push(frame(FIN | 8, &code.to_be_bytes()));
    }
    assert_closed_with(&server, 1002, &attacks);
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999_u16] {
        let mut websocket = open(&server);
        websocket.send_close(code, "bye");
        let answer = websocket.next();
        assert!(matches!(answer, Some(Incoming::Close(Some(told), _)) if told == code), "{code}: {answer:?}");
        assert_eq!(websocket.next(), None, "the server ends the connection");
    }
    let mut websocket = open(&server);
    websocket.socket.send(frame(FIN | 8, b""));
    assert_eq!(websocket.next(), Some(Incoming::Close(None, String::new())));
}

// Row 25.
#[test]
fn a_close_reason_that_is_not_utf8_is_1007() {
    let server = patient_server();
    let attacks = [frame(FIN | 8, b"\x03\xe8\xff"), frame(FIN | 8, b"\x03\xe8bye\xc3")];
    assert_closed_with(&server, 1007, &attacks);
}

// Row 29.
#[test]
fn a_client_that_sends_on_hears_1009_through_a_proxy_that_ends_everything_at_the_first_end() {
    const ROUNDS: usize = 5;
    let server = patient_server();
    let proxy = Proxy::in_haste(server.address());
    // More than the buffers of all sockets on the way hold.
    let too_long = frame(FIN | BINARY, &vec![b'x'; 32 << 20]);
    for round in 0..ROUNDS {
        let mut websocket = WebSocket::open(&proxy.address(), "/connection/websocket");
        // It reads nothing before all is sent, and looks for no word where it cannot send, as npm `ws` does.
        websocket.socket.send(&too_long);
        match websocket.next() {
            Some(Incoming::Close(Some(1009), _)) => {}
            other => panic!("round {round}: {other:?} instead of 1009"),
        }
        websocket.send_close(1009, "");
        assert_eq!(websocket.next(), None, "round {round}: the server ends TCP when it was answered");
    }
    common::eventually("no connection is left", common::PATIENCE, || server.metric("wharf_connections") == 0);
}

// Rows 23 and 29.
#[test]
fn a_client_that_answers_is_let_go_at_once_whatever_was_wrong_with_its_message() {
    let server = patient_server();
    let attacks = [
        (1009, frame(FIN | TEXT, &[b' '; 65_537])),
        (1007, frame(FIN | TEXT, b"\"\xff\"")),
        (3501, frame(FIN | TEXT, b"no command")),
    ];
    for (code, attack) in attacks {
        for answers_early in [false, true] {
            let mut websocket = open(&server);
            let answer = frame(FIN | 8, &1000_u16.to_be_bytes());
            let early = if answers_early { &answer[..] } else { &[] };
            websocket.socket.send([&attack, early].concat());
            assert!(matches!(websocket.next(), Some(Incoming::Close(Some(told), _)) if told == code));
            if !answers_early {
                websocket.socket.send(&answer);
            }
            assert_eq!(websocket.next(), None, "{code}: the server ends TCP");
        }
    }
    common::eventually("no connection is left", common::PATIENCE, || server.metric("wharf_connections") == 0);
}

/// A frame's head with a length of 64 bits, and no payload.
fn claim(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &length.to_be_bytes(), &MASK].concat()
}

// Row 26.
#[test]
fn a_length_with_the_top_bit_is_1002() {
    let server = patient_server();
    assert_closed_with(&server, 1002, &[claim(FIN | TEXT, 1 << 63), claim(FIN | BINARY, u64::MAX)]);
}

// Row 27.
#[test]
fn a_claim_of_exabytes_is_1009_and_takes_no_memory() {
    let server = patient_server();
    let attacks: Vec<_> =
        [1 << 62, 1 << 40, 1 << 30, 65_537].map(|length| claim(FIN | BINARY, length)).into();
    assert_closed_with(&server, 1009, &attacks);
    let before = server.memory_kib();
    for _ in 0..5 {
        assert_closed_with(&server, 1009, &attacks);
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 4_096, "{grown} KiB");
}

// Row 28.
#[test]
fn a_length_in_more_bytes_than_it_needs_is_1002() {
    let server = patient_server();
    let medium = |length: u16| [&[FIN | TEXT, 0x80 | 126][..], &length.to_be_bytes(), &MASK].concat();
    assert_closed_with(
        &server,
        1002,
        &[medium(0), medium(125), claim(FIN | TEXT, 5), claim(FIN | TEXT, 65_535)],
    );
}

// Rows 29 and 30.
#[test]
fn a_message_of_endless_or_countless_fragments_is_1009() {
    let server = patient_server();
    let endless = |size: usize| {
        let mut attack = frame(BINARY, &vec![b' '; size]);
        for _ in 0..65_536 / size.max(60) {
            attack.extend(frame(0, &vec![b' '; size]));
        }
        attack
    };
    // The first is too long, the others have more than 1,024 fragments.
    assert_closed_with(&server, 1009, &[endless(8_192)]);
    assert_closed_with(&server, 1009, &[endless(1), endless(0)]);
    let mut client = Client::new(open(&server));
    client.connect();
    let message = br#"{"id":2,"rpc":{"method":"echo","data":{}}}"#;
    client.wire.socket.send(frame(TEXT, b""));
    for byte in message {
        client.wire.socket.send(frame(0, &[*byte]));
    }
    client.wire.socket.send(frame(FIN, b""));
    assert_eq!(client.reply(2)["rpc"]["data"], json!({}), "within the limits any pieces will do");
}

// Row 31.
#[test]
fn a_ping_flood_from_a_peer_that_does_not_read_takes_no_memory() {
    const PINGS: usize = 120_000;
    let server = Setup::new().variable("WHARF_TIMES__WRITE_STALL", NEVER).start();
    let mut bystander = Bystander::join(&server);
    let mut client = Client::new(open(&server));
    client.connect();
    let before = server.memory_kib();
    let flood = frame(FIN | PING, &[b'p'; 125]).repeat(1_000);
    for _ in 0..PINGS / 1_000 {
        client.wire.socket.send(&flood);
    }
    client.wire.socket.send(frame(FIN | PING, b"the last"));
    bystander.assert_unharmed(&server);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 4_096, "{grown} KiB");
    // The connection lives: what it was not too late for was answered, and commands still are.
    let id = client.tell(json!({"rpc": {"method": "echo", "data": "after"}}));
    let mut pongs = 0;
    let reply = loop {
        match client.wire.next() {
            Some(Incoming::Pong(_)) => pongs += 1,
            Some(Incoming::Message(text)) => break text,
            other => panic!("{other:?} after {pongs} pongs"),
        }
    };
    assert_eq!(serde_json::from_str::<serde_json::Value>(&reply).expect("JSON")["id"], id);
    assert!((100..PINGS).contains(&pongs), "{pongs} pongs");
}

// Row 32.
#[test]
fn what_comes_after_a_close_is_ignored() {
    let server = patient_server();
    for split in [false, true] {
        let mut client = Client::new(open(&server));
        client.connect();
        let publish = json!({"id": 2, "publish": {"channel": raw::SMUGGLED, "data": 1}}).to_string();
        let bytes = [
            frame(FIN | 8, &1000_u16.to_be_bytes()),
            frame(FIN | TEXT, publish.as_bytes()),
            frame(FIN | PING, b"anybody?"),
            vec![0xff; 100],
        ]
        .concat();
        if split {
            raw::offer_byte_by_byte(&mut client.wire.socket, &bytes);
        } else {
            raw::offer(&mut client.wire.socket, &bytes);
        }
        assert!(matches!(client.wire.next(), Some(Incoming::Close(Some(1000), _))));
        assert_eq!(client.wire.next(), None);
    }
    raw::assert_nothing_smuggled(&server);
}

// Row 33.
#[test]
fn a_peer_that_ignores_our_close_is_cut_off_in_time() {
    let server = Setup::new().variable("WHARF_TIMES__CLOSE_HANDSHAKE", "500ms").start();
    let mut silent = Client::new(open(&server));
    let mut talking = Client::new(open(&server));
    silent.connect();
    talking.connect();
    for client in [&silent.id, &talking.id] {
        server.api("disconnect", &json!({"user": "", "client": client}));
    }
    let started = Instant::now();
    for client in [&mut silent, &mut talking] {
        assert!(matches!(client.wire.next(), Some(Incoming::Close(Some(3503), _))));
    }
    // One says nothing more, the other never stops.
    assert_eq!(silent.wire.next(), None);
    let command = frame(FIN | TEXT, br#"{"id":9,"rpc":{"method":"echo"}}"#);
    while talking.wire.socket.write_all(&command).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(10), "the talking peer is still connected");
    }
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(400), "{elapsed:?}: a peer has its time to answer");
    common::eventually("no connection is left", common::PATIENCE, || server.metric("wharf_connections") == 0);
}

// Row 33.
#[test]
fn a_peer_that_answers_our_close_is_let_go_at_once() {
    let server = patient_server();
    for split in [false, true] {
        let mut client = Client::new(open(&server));
        client.connect();
        server.api("disconnect", &json!({"user": "", "client": client.id}));
        assert!(matches!(client.wire.next(), Some(Incoming::Close(Some(3503), _))));
        let answer = [frame(FIN | TEXT, b"{}"), frame(FIN | 8, &3503_u16.to_be_bytes())].concat();
        if split {
            raw::offer_byte_by_byte(&mut client.wire.socket, &answer);
        } else {
            client.wire.socket.send(answer);
        }
        // RFC 6455 section 7.1.1: it is the server that ends TCP.
        assert_eq!(client.wire.next(), None);
    }
    common::eventually("no connection is left", common::PATIENCE, || server.metric("wharf_connections") == 0);
}

// Row 34.
#[test]
fn a_conversation_of_one_byte_a_segment_is_the_same() {
    let server = patient_server();
    let mut websocket = open(&server);
    let conversation = [
        frame(FIN | TEXT, br#"{"id":1,"connect":{}}"#),
        frame(TEXT, br#"{"id":2,"subscribe":{"channel":"sl"#),
        frame(FIN | PING, b"in the middle"),
        frame(0, b"ow\"}}\n{\"id\":3,\"publish\":{\"channel\":\"slow\",\"data\":\"caf\xc3"),
        frame(FIN, b"\xa9\"}}"),
        frame(FIN | BINARY, br#"{"id":4,"rpc":{"method":"echo","data":2}}"#),
    ]
    .concat();
    raw::offer_byte_by_byte(&mut websocket.socket, &conversation);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        let text = websocket.receive().expect("the conversation goes on");
        heard.extend(text.lines().map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
            message["id"].as_u64().map_or_else(|| "push".to_owned(), |id| id.to_string())
        }));
    }
    heard.sort();
    assert_eq!(heard, ["1", "2", "3", "4", "push"]);
    raw::offer_byte_by_byte(&mut websocket.socket, &frame(FIN | 8, &1000_u16.to_be_bytes()));
    assert_eq!(websocket.receive().expect_err("our close is answered").code, Some(1000));
}
