use std::sync::Arc;

use rand::RngExt;
use wharf::{
    settings::Settings,
    worker::{Selector, ToWorker},
};
use wharf_core::testing::link::{End, LinkOptions};
use wharf_proto::{
    Disconnect,
    message::{Command, Data, Request},
    websocket::{CloseCode, Opcode, write_close, write_frame},
};

use super::{
    client::{CHANNEL, Client, WAYS, Way},
    recovery::run,
    world::{Machine, STEP_MS, Shape},
};

const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

fn machine(seed: u64) -> Machine {
    Machine::plain(seed, Settings::development())
}

fn settled(machine: &mut Machine, ways: &[Way]) -> Vec<Client> {
    let mut clients: Vec<Client> =
        ways.iter().enumerate().map(|(number, way)| Client::new(*way, number % 2)).collect();
    run(machine, &mut clients, 50);
    clients.iter_mut().for_each(|client| client.returns = false);
    clients
}

// Rows 44 and 98.
#[test]
fn a_peer_that_loses_power_is_gone_after_ping_and_pong_with_its_presence() {
    for way in [Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse] {
        let mut machine = machine(1);
        let clients = settled(&mut machine, &[way; 6]);
        assert_eq!(machine.present(CHANNEL), 6);
        clients.iter().for_each(|client| client.link().unwrap().cut());
        machine.pass_ms(10_000);
        assert_eq!(machine.present(CHANNEL), 6, "nobody can know yet");
        machine.pass_ms(26_000);
        assert_eq!(machine.present(CHANNEL), 0, "{way:?}");
        machine.pass_ms(6_000);
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0), "{way:?}");
    }
}

#[test]
fn who_answers_pings_stays_and_who_does_not_is_told() {
    let mut machine = machine(2);
    let mut clients =
        settled(&mut machine, &[Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse, Way::Websocket]);
    clients[4].mute = true;
    run(&mut machine, &mut clients, 120_000 / STEP_MS as usize);
    assert_eq!(machine.present(CHANNEL), 4, "presence is renewed beyond its lease");
    assert_eq!(clients[4].closed_with, [3012]);
    assert!(clients[..4].iter().all(|client| client.closed_with.is_empty()));
}

// Row 46.
#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    for seed in 0..5 {
        let mut machine = machine(seed);
        for _ in 0..20 {
            let mut clients: Vec<Client> = WAYS.iter().map(|way| Client::new(*way, 0)).collect();
            let steps = machine.rng.random_range(0..12);
            run(&mut machine, &mut clients, steps);
            machine.publish(CHANNEL, "1".to_owned());
            for client in &clients {
                client.link().inspect(|link| link.reset());
            }
            drop(clients);
        }
        machine.steps(5);
        assert_eq!((machine.connections(), machine.open_sockets(), machine.present(CHANNEL)), (0, 0, 0));
        assert_eq!(machine.node.directory.subscription_count(), 0);
    }
}

// Row 32.
#[test]
fn what_comes_after_the_peers_close_is_ignored() {
    let mut machine = machine(3);
    let mut clients = settled(&mut machine, &[Way::Websocket, Way::Lines]);
    let mut bytes = bytes::BytesMut::new();
    write_close(&mut bytes, CloseCode::new(1000), "bye", MASK);
    let late = br#"{"id":9,"publish":{"channel":"news","data":7}}"#;
    write_frame(&mut bytes, Opcode::Text, late, MASK);
    clients[0].send_bytes(&bytes);
    run(&mut machine, &mut clients, 50);
    assert_eq!(clients[0].closed_with, [1000], "its own code comes back");
    assert!(clients[1].progress.heard.is_empty());
    assert_eq!(machine.connections(), 1);
}

fn end_all(machine: &Machine) {
    for worker in 0..2 {
        let (selector, disconnect) = (Arc::new(Selector::default()), Disconnect::FORCE_NO_RECONNECT);
        machine.send(worker, ToWorker::Disconnect { selector, disconnect });
    }
}

#[test]
fn a_peer_that_answers_our_close_is_let_go_at_once() {
    let mut machine = machine(4);
    // A socket by hand: a client that answers the close and then waits for the server to end TCP, as browsers do.
    let options = LinkOptions { capacity: 4_096, splits: false };
    let (mut end, _link) = machine.dial(0, options, Shape::websocket());
    machine.steps(2);
    end_all(&machine);
    machine.steps(2);
    let mut bytes = bytes::BytesMut::new();
    write_frame(&mut bytes, Opcode::Text, b"said before the close was read", MASK);
    write_close(&mut bytes, CloseCode::new(3503), "", MASK);
    end.try_write(&[std::io::IoSlice::new(&bytes)]).unwrap();
    machine.steps(2);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

// Row 33.
#[test]
fn a_peer_that_ignores_our_close_is_cut_off_in_time() {
    for way in WAYS {
        let mut machine = machine(5);
        let mut clients = settled(&mut machine, &[way]);
        clients[0].stuck = true;
        end_all(&machine);
        machine.pass_ms(4_000);
        assert_eq!((machine.connections(), machine.present(CHANNEL)), (1, 0), "{way:?}");
        machine.pass_ms(1_200);
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0), "{way:?}");
    }
}

#[test]
fn a_stream_that_breaks_is_told_why_and_ends() {
    let mut machine = machine(6);
    let mut clients = settled(&mut machine, &[Way::Websocket]);
    let mut bytes = bytes::BytesMut::new();
    write_frame(&mut bytes, Opcode::Text, b"unmasked", None);
    clients[0].send_bytes(&bytes);
    run(&mut machine, &mut clients, 20);
    assert_eq!(clients[0].closed_with, [1002]);
    run(&mut machine, &mut clients, 2);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

/// A socket by hand, with what the worker says on it.
struct Socket {
    end: End,
    heard: Vec<u8>,
    ended: bool,
}

impl Socket {
    /// An established WebSocket whose pipe takes so many bytes.
    fn open(machine: &mut Machine, capacity: usize) -> Self {
        let (end, _link) = machine.dial(0, LinkOptions { capacity, splits: false }, Shape::websocket());
        machine.steps(2);
        Self { end, heard: Vec::new(), ended: false }
    }

    /// Says all of it, however little the pipe takes at once.
    fn say(&mut self, machine: &mut Machine, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.end.try_write(&[std::io::IoSlice::new(bytes)]).unwrap_or(0);
            bytes = &bytes[taken..];
            machine.step();
        }
    }

    fn listen(&mut self, machine: &mut Machine) {
        let mut buffer = [0; 4_096];
        loop {
            machine.step();
            match self.end.try_read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.heard.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(_) => {}
            }
            return;
        }
    }
}

fn close_frame(code: u16, reason: &str) -> bytes::BytesMut {
    let mut bytes = bytes::BytesMut::new();
    write_close(&mut bytes, CloseCode::new(code), reason, MASK);
    bytes
}

#[test]
fn both_may_close_at_once_and_each_says_it_once() {
    for ours_is_first in [true, false] {
        let mut machine = machine(14);
        let mut socket = Socket::open(&mut machine, 4_096);
        if ours_is_first {
            end_all(&machine);
            machine.steps(2);
        }
        // The peer has not read ours.
        socket.say(&mut machine, &close_frame(1001, "leaving"));
        end_all(&machine);
        socket.listen(&mut machine);
        let code = if ours_is_first { 3503_u16 } else { 1001 };
        assert_eq!(socket.heard[2..4], code.to_be_bytes());
        assert_eq!(socket.heard.len(), 2 + usize::from(socket.heard[1]), "one close frame and nothing more");
        assert!(socket.ended, "RFC 6455 section 7.1.1: the server ends TCP");
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    }
}

// Row 33.
#[test]
fn a_peer_that_closes_and_reads_no_answer_is_cut_off_in_time() {
    let mut machine = machine(15);
    let mut socket = Socket::open(&mut machine, 3);
    socket.say(&mut machine, &close_frame(1000, ""));
    machine.pass_ms(4_000);
    assert_eq!(machine.connections(), 1, "the answer of four bytes waits in a pipe of three");
    machine.pass_ms(1_200);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

// Row 47.
#[test]
fn a_peer_that_ends_its_half_behind_its_close_hears_the_answer() {
    let mut machine = machine(16);
    let mut socket = Socket::open(&mut machine, 4_096);
    let reason = "é".repeat(61) + "e";
    socket.say(&mut machine, &close_frame(4999, &reason));
    socket.end.finish();
    socket.listen(&mut machine);
    assert_eq!(
        socket.heard,
        [0x88, 2, 0x13, 0x87],
        "the code comes back, of a close with a reason of 123 bytes"
    );
    assert!(socket.ended);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

// Row 47.
#[test]
fn a_websocket_whose_half_ends_without_a_close_is_over_when_its_answers_are_written() {
    let mut machine = machine(17);
    let mut clients = settled(&mut machine, &[Way::Websocket]);
    let rpc = Request::Rpc { method: "none".into(), data: Data::Json("1".into()) };
    clients[0].send(&machine, &[Command { id: 9, request: rpc }]);
    clients[0].step(&mut machine);
    clients[0].finish();
    run(&mut machine, &mut clients, 20);
    assert_eq!(clients[0].errors, [104], "the reply came before the end");
    assert_eq!((machine.connections(), machine.open_sockets(), machine.present(CHANNEL)), (0, 0, 0));
}

/// What breaks a rule of messages and none of framing, with the code that says so. Each frame is long, so that a part
/// of it can be missing.
fn wrong_messages() -> Vec<(u16, bytes::BytesMut)> {
    let message = |opcode, payload: &[u8]| {
        let mut bytes = bytes::BytesMut::new();
        write_frame(&mut bytes, opcode, payload, MASK);
        bytes
    };
    vec![
        (1009, message(Opcode::Text, &vec![b' '; Settings::development().limits.message_bytes + 20_000])),
        (1007, message(Opcode::Text, &[0xff; 20_000])),
        (
            3501,
            [message(Opcode::Text, b"no command"), message(Opcode::Binary, &[b' '; 20_000])].concat()[..]
                .into(),
        ),
    ]
}

// Rows 23, 29 and 33.
#[test]
fn our_half_stays_for_a_peer_that_is_still_sending_until_it_has_heard_the_farewell() {
    for (code, wrong) in wrong_messages() {
        let mut machine = machine(20);
        let mut socket = Socket::open(&mut machine, 4_096);
        let (begun, rest) = wrong.split_at(wrong.len() - 10_000);
        socket.say(&mut machine, begun);
        socket.listen(&mut machine);
        socket.listen(&mut machine);
        assert_eq!(socket.heard[2..4], code.to_be_bytes());
        machine.pass_ms(4_000);
        socket.listen(&mut machine);
        assert!(!socket.ended, "{code}: it may not have heard it yet");
        socket.say(&mut machine, rest);
        let mut late = bytes::BytesMut::new();
        write_frame(&mut late, Opcode::Text, br#"{"id":1,"connect":{}}"#, MASK);
        socket.say(&mut machine, &late);
        socket.listen(&mut machine);
        assert!(!socket.ended);
        socket.say(&mut machine, &close_frame(1000, ""));
        socket.listen(&mut machine);
        assert!(socket.ended, "{code}: RFC 6455 section 7.1.1: the server ends TCP");
        assert_eq!(socket.heard.len(), 2 + usize::from(socket.heard[1]), "one close frame and nothing more");
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    }
}

// Row 33.
#[test]
fn a_peer_that_is_told_why_and_never_stops_sending_is_cut_off_in_time() {
    for (code, wrong) in wrong_messages() {
        let mut machine = machine(21);
        let mut socket = Socket::open(&mut machine, 4_096);
        socket.say(&mut machine, &wrong);
        let began = machine.now;
        while machine.open_sockets() > 0 {
            let _ = socket.end.try_write(&[std::io::IoSlice::new(&wrong)]);
            machine.step();
            assert!(machine.now.0 < began.0 + 6_000, "{code}: cut off by then");
        }
        assert!(machine.now.0 > began.0 + 4_000, "{code}: it has its time");
        assert_eq!(machine.connections(), 0);
    }
}

#[test]
fn a_close_that_came_with_what_broke_a_rule_counts_as_the_answer() {
    for (code, mut wrong) in wrong_messages() {
        wrong.extend_from_slice(&close_frame(1001, "leaving"));
        let mut machine = machine(22);
        let mut socket = Socket::open(&mut machine, 1 << 20);
        socket.say(&mut machine, &wrong);
        (0..20).for_each(|_| socket.listen(&mut machine));
        assert_eq!(socket.heard[2..4], code.to_be_bytes(), "what was wrong came first");
        assert!(socket.ended);
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    }
}

#[test]
fn our_half_ends_when_the_frames_of_a_peer_that_was_told_why_cannot_be_told_apart_any_more() {
    for (code, wrong) in wrong_messages() {
        let mut machine = machine(23);
        let mut socket = Socket::open(&mut machine, 4_096);
        socket.say(&mut machine, &wrong);
        (0..20).for_each(|_| socket.listen(&mut machine));
        assert!(!socket.ended, "{code}");
        socket.say(&mut machine, b"\x81\x00"); // No mask.
        (0..3).for_each(|_| socket.listen(&mut machine));
        assert!(socket.ended, "{code}");
        assert_eq!(socket.heard[2..4], code.to_be_bytes());
        assert_eq!(machine.open_sockets(), 1, "until the peer ends its half, or its time is over");
        socket.end.finish();
        machine.steps(2);
        assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    }
}

// Row 33.
#[test]
fn a_peer_that_breaks_a_rule_and_stays_is_cut_off_in_time() {
    let mut machine = machine(18);
    let mut socket = Socket::open(&mut machine, 4_096);
    socket.say(&mut machine, b"\x81\x00");
    socket.listen(&mut machine);
    socket.listen(&mut machine);
    assert_eq!(socket.heard[2..4], 1002_u16.to_be_bytes());
    assert!(socket.ended, "our half ends behind the farewell");
    socket.say(&mut machine, &close_frame(1000, ""));
    machine.pass_ms(4_000);
    assert_eq!(machine.open_sockets(), 1, "what it sends is read and thrown away, so that it hears why");
    machine.pass_ms(1_200);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

#[test]
fn a_ping_is_answered_while_our_close_waits_for_the_peers() {
    let mut machine = machine(19);
    let mut socket = Socket::open(&mut machine, 4_096);
    end_all(&machine);
    machine.steps(2);
    let mut ping = bytes::BytesMut::new();
    write_frame(&mut ping, Opcode::Ping, b"there?", MASK);
    socket.say(&mut machine, &ping);
    socket.listen(&mut machine);
    socket.listen(&mut machine);
    // RFC 6455 section 5.5.2: unless a close frame was received.
    assert!(socket.heard.ends_with(b"\x8a\x06there?"), "{:?}", socket.heard);
    socket.say(&mut machine, &[&close_frame(3503, "")[..], &ping].concat());
    socket.listen(&mut machine);
    assert!(socket.ended && socket.heard.ends_with(b"there?"));
    assert_eq!(socket.heard.iter().filter(|byte| **byte == 0x8a).count(), 1);
}

// Row 47.
#[test]
fn a_half_close_is_answered_to_the_end() {
    let mut machine = machine(7);
    let mut clients = settled(&mut machine, &[Way::Lines]);
    let data = Data::Json("\"last words\"".into());
    let publish = Request::Publish { channel: CHANNEL.into(), data: Data::Json("1".into()) };
    let rpc = Request::Rpc { method: "none".into(), data };
    clients[0].send(&machine, &[Command { id: 8, request: publish }]);
    clients[0].send(&machine, &[Command { id: 9, request: rpc }]);
    clients[0].step(&mut machine);
    clients[0].finish();
    run(&mut machine, &mut clients, 20);
    assert_eq!(clients[0].errors, [104], "the reply came before the end");
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

// Row 31.
#[test]
fn a_ping_flood_from_a_peer_that_does_not_read_costs_a_bounded_number_of_pongs() {
    let mut machine = machine(8);
    let options = LinkOptions { capacity: 2_000, splits: false };
    let (mut end, _link) = machine.dial(0, options, Shape::websocket());
    let mut ping = bytes::BytesMut::new();
    write_frame(&mut ping, Opcode::Ping, &[7; 125], MASK);
    let flood = ping.repeat(10);
    let mut sent = 0;
    while sent < 5_000 {
        if end.try_write(&[std::io::IoSlice::new(&flood)]).is_ok_and(|count| count == flood.len()) {
            sent += 10;
        }
        machine.step();
        if machine.connections() == 0 {
            break; // It has not connected either, so it may be stale by now.
        }
    }
    let mut received = 0;
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = end.try_read(&mut buffer) {
        received += count;
        machine.step();
    }
    assert!((2_000..40_000).contains(&received), "{received} bytes of pongs");
}

// Row 102.
#[test]
fn a_drain_spreads_its_closes_and_refuses_newcomers() {
    let mut machine = machine(9);
    let mut clients = settled(&mut machine, &[Way::Websocket; 60]);
    (0..2).for_each(|worker| machine.send(worker, ToWorker::Drain { within_ms: 10_000 }));
    let mut left = Vec::new();
    for _ in 0..10 {
        run(&mut machine, &mut clients, 1_000 / STEP_MS as usize);
        left.push(machine.connections());
    }
    assert!(left.is_sorted_by(|before, after| before >= after), "{left:?}");
    let in_one_second = left.windows(2).map(|pair| pair[0] - pair[1]).max().unwrap();
    assert!(in_one_second < 20 && left[0] > 40, "{left:?}");
    run(&mut machine, &mut clients, 10);
    assert_eq!((machine.connections(), machine.present(CHANNEL)), (0, 0));
    assert!(clients.iter().all(|client| client.closed_with == [3001]));
    let mut late = vec![Client::new(Way::Websocket, 0)];
    late[0].step(&mut machine);
    late[0].returns = false;
    run(&mut machine, &mut late, 20);
    assert_eq!(late[0].closed_with, [3001]);
}

#[test]
fn a_key_of_a_connection_that_is_gone_reaches_nobody() {
    let mut machine = machine(10);
    let mut clients = settled(&mut machine, &[Way::Lines]);
    clients[0].hang_up();
    machine.steps(3);
    let (_end, _link) = machine.dial(0, LinkOptions::default(), Shape::lines());
    machine.steps(2);
    for entry in [0, 1, 1 << 32, u64::MAX, 5] {
        (0..2).for_each(|worker| machine.send(worker, ToWorker::Ready { entry }));
    }
    machine.steps(2);
    assert_eq!(machine.connections(), 1);
}

/// A command that none is, and what comes right behind it in the same read.
fn nonsense_and(behind: &[u8]) -> (Machine, Socket) {
    let mut machine = machine(20);
    let mut socket = Socket::open(&mut machine, 4_096);
    let mut bytes = bytes::BytesMut::new();
    write_frame(&mut bytes, Opcode::Text, b"nonsense", MASK);
    bytes.extend_from_slice(behind);
    socket.say(&mut machine, &bytes);
    socket.listen(&mut machine);
    socket.listen(&mut machine);
    assert_eq!(socket.heard[2..4], 3501_u16.to_be_bytes());
    (machine, socket)
}

// RFC 6455 section 7.1.1: the server ends TCP after both closes. A message that means nothing breaks no frame.
#[test]
fn a_message_that_means_nothing_is_followed_by_a_whole_closing_handshake() {
    let mut ping = bytes::BytesMut::new();
    write_frame(&mut ping, Opcode::Ping, b"there?", MASK);
    write_frame(&mut ping, Opcode::Text, b"more nonsense", MASK);
    let (mut machine, mut socket) = nonsense_and(&ping);
    assert!(!socket.ended && socket.heard.ends_with(b"\x8a\x06there?"), "{:?}", socket.heard);
    socket.say(&mut machine, &close_frame(3501, ""));
    socket.listen(&mut machine);
    assert!(socket.ended);
    assert_eq!(socket.heard.iter().filter(|byte| **byte == 0x88).count(), 1, "one close frame");
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
}

#[test]
fn what_comes_in_one_read_with_the_cause_of_our_close_still_counts() {
    let (machine, socket) = nonsense_and(&close_frame(1000, ""));
    assert!(socket.ended, "both said it");
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    let (machine, socket) = nonsense_and(b"\x81\x00");
    assert!(socket.ended, "RFC 6455 section 7.1.7: nothing more can be read");
    assert_eq!(machine.open_sockets(), 1);
}
