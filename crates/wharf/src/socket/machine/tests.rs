//! The machine on simulated time: two of them over a simulated link with the troubles of a network, or one alone.

use std::{
    io::{ErrorKind, IoSlice},
    time::Duration,
};

use bytes::Bytes;
use wharf_core::testing::{
    clock::SimulatedClock,
    link::{End as LinkEnd, Link, LinkOptions},
};
use wharf_proto::framing::Lines;

use super::{writing::LONGEST_DATAGRAM, *};
use crate::socket::{Bounds, Heartbeat, Reconnect, WriteError};

fn lines() -> Parts {
    Parts { framing: Some(Arc::new(Lines)), ..Parts::default() }
}

fn small() -> Bounds {
    Bounds { message_bytes: 100, queue_bytes: 1_000, read_ahead_bytes: 1_000, ..Bounds::default() }
}

/// A machine and its end of a link.
struct Side {
    machine: Machine,
    end: Option<LinkEnd>,
    clock: SimulatedClock,
}

impl Side {
    fn new(parts: Parts, end: LinkEnd, clock: &SimulatedClock, seed: u64) -> Self {
        let mut machine = Machine::dialing(Arc::new(parts), Carrier::Stream, seed);
        machine.handle_open(clock.now());
        Self { machine, end: Some(end), clock: clock.clone() }
    }

    /// Moves what can be moved, as the driver does; whether anything was.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        let Some(end) = &mut self.end else { return false };
        let mut moved = false;
        while self.machine.step() == Step::Converse {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = self.machine.slices(&mut slices);
            let done = if count > 0 {
                end.try_write(&slices[..count]).map(|written| self.machine.handle_written(written, now))
            } else if self.machine.wants_flush() {
                self.machine.handle_flushed();
                Ok(())
            } else if self.machine.wants_finish() {
                end.finish();
                self.machine.handle_finished();
                Ok(())
            } else {
                break;
            };
            match done {
                Ok(()) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.machine.handle_write_error(&error, now),
            }
        }
        let mut buffer = [0; 256];
        while self.machine.wants_read() && end.readable() {
            match end.try_read(&mut buffer) {
                Ok(0) => self.machine.handle_peer_finished(now),
                Ok(count) => self.machine.handle_bytes(&mut buffer[..count], now),
                Err(error) => self.machine.handle_io_error(&error, now),
            }
            moved = true;
        }
        if self.machine.step() != Step::Converse {
            self.end = None;
        }
        moved
    }

    fn write(&mut self, message: &str) -> bool {
        self.machine.try_write(message.as_bytes(), self.clock.now()).unwrap()
    }

    fn read(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.machine.poll_event());
        let messages = events.filter_map(|event| match event {
            Event::Message(message) => Some(String::from_utf8(message.to_vec()).unwrap()),
            Event::Opened { .. } | Event::Lost { .. } => None,
        });
        messages.collect()
    }
}

/// Both sides until neither moves.
fn settle(left: &mut Side, right: &mut Side) {
    while left.turn() | right.turn() {}
}

/// Time passes to the next deadline of either; false if there is none within `limit_ms`.
fn pass(sides: &mut [&mut Side], limit_ms: u64) -> bool {
    let clock = sides[0].clock.clone();
    let due = sides.iter().filter_map(|side| side.machine.poll_timeout()).min();
    let Some(due) = due.filter(|due| due.ms_since(clock.now()) <= limit_ms) else { return false };
    clock.advance_ms(due.ms_since(clock.now()));
    for side in sides {
        side.machine.handle_timeout(clock.now());
    }
    true
}

fn pair(left: Parts, right: Parts, seed: u64) -> (Side, Side, Link, SimulatedClock) {
    let clock = SimulatedClock::default();
    let (one, other, link) = Link::pair(seed, LinkOptions { capacity: 300, splits: true });
    (Side::new(left, one, &clock, seed), Side::new(right, other, &clock, seed + 1), link, clock)
}

/// A machine that is open, on no link.
fn alone(parts: Parts) -> (Machine, Millis) {
    let mut machine = Machine::dialing(Arc::new(parts), Carrier::Stream, 1);
    let now = Millis(1_000);
    machine.handle_open(now);
    assert_eq!(machine.poll_event(), Some(Event::Opened { connection: 1 }));
    (machine, now)
}

#[test]
fn messages_pass_whole_and_in_order_whatever_the_splits() {
    for seed in 0..30 {
        let (mut left, mut right, _link, _) = pair(lines(), lines(), seed);
        let sent: Vec<String> =
            (0..200).map(|number| format!("{number} {}", "x".repeat(number % 90))).collect();
        let mut received = Vec::new();
        for message in &sent {
            assert!(left.write(message));
            settle(&mut left, &mut right);
            received.extend(right.read());
        }
        assert_eq!(received, sent, "seed {seed}");
        assert_eq!(left.machine.tally().messages_out, 200);
        assert_eq!(right.machine.tally().messages_in, 200);
    }
}

#[test]
fn a_queue_that_is_full_takes_no_message_until_the_peer_has_read() {
    let parts = || Parts { bounds: small(), ..lines() };
    let (mut left, mut right, _link, _) = pair(parts(), parts(), 0);
    let message = "m".repeat(99);
    let mut written = 0;
    while left.write(&message) {
        written += 1;
        left.turn();
    }
    // 164 bytes each: 7 pass 1,000; and what the link holds.
    assert!((7..12).contains(&written), "{written}");
    // The other side reads no more than its own bound either.
    settle(&mut left, &mut right);
    while left.write(&message) {
        written += 1;
        settle(&mut left, &mut right);
    }
    assert!((14..20).contains(&written), "{written}");
    assert!(!right.machine.wants_read());
    let mut read = right.read().len();
    assert!(right.machine.wants_read());
    settle(&mut left, &mut right);
    read += right.read().len();
    settle(&mut left, &mut right);
    read += right.read().len();
    assert_eq!(read, written);
    assert!(left.write(&message));
}

#[test]
fn a_message_longer_than_the_bound_is_refused_with_the_mend() {
    let (mut machine, now) = alone(Parts { bounds: small(), ..lines() });
    let error = machine.try_write(&[b'x'; 101], now).unwrap_err().to_string();
    assert!(
        error.contains("101 bytes")
            && error.contains("limit of 100")
            && error.contains("Bounds::message_bytes")
    );
    machine.handle_bytes(&mut [b'x'; 102], now);
    assert_eq!(machine.poll_end().map(|end| end.name()), Some("protocol_error"));
}

#[test]
fn a_message_that_the_framing_cannot_carry_is_refused_and_a_beat_ends_the_connection() {
    let heartbeat = Heartbeat::every(Duration::from_secs(1)).saying("two\nlines");
    let (mut machine, now) = alone(Parts { heartbeat: Some(heartbeat), ..lines() });
    let error = machine.try_write(b"two\nlines", now).unwrap_err().to_string();
    assert!(error.contains("cannot carry this message") && error.contains("LF"), "{error}");
    machine.handle_timeout(now.after_ms(1_000));
    let end = machine.poll_end().unwrap().to_string();
    assert!(end.contains("a beat cannot be framed"), "{end}");
}

#[test]
fn a_peer_that_takes_nothing_is_found_after_the_stall_and_one_that_takes_little_is_not() {
    let (mut left, mut right, _link, clock) = pair(lines(), Parts { bounds: small(), ..lines() }, 3);
    for _ in 0..40 {
        left.write(&"m".repeat(50));
    }
    settle(&mut left, &mut right);
    // One message every nine seconds is enough.
    for _ in 0..5 {
        clock.advance_ms(9_000);
        right.machine.poll_event();
        settle(&mut left, &mut right);
        left.machine.handle_timeout(clock.now());
        right.read();
        settle(&mut left, &mut right);
        assert!(left.machine.is_open());
    }
    let (mut left, mut right, _link, clock) = pair(lines(), Parts { bounds: small(), ..lines() }, 4);
    let before = clock.now();
    for _ in 0..40 {
        left.write(&"m".repeat(50));
    }
    settle(&mut left, &mut right);
    while pass(&mut [&mut left], 60_000) {}
    assert_eq!(left.machine.ended(), Some(&End::NotReading { stalled_ms: 10_000 }));
    assert_eq!(clock.now().ms_since(before), 10_000);
}

fn beating() -> Heartbeat {
    Heartbeat::every(Duration::from_secs(30)).within(Duration::from_secs(5)).misses(2).saying("PING")
}

fn answering() -> Parts {
    let answering = Heartbeat::every(Duration::from_secs(86_400))
        .answering(|message| (message == b"PING").then(|| Bytes::from_static(b"PONG")));
    Parts { heartbeat: Some(answering), ..lines() }
}

// Row 44.
#[test]
fn a_peer_that_vanishes_is_found_within_the_stated_time() {
    let heartbeat = || beating().answered_by(|message| message == b"PONG");
    let stated = ms(heartbeat().found_within());
    assert_eq!(stated, 40_000);
    for seed in 0..30 {
        let parts = Parts { heartbeat: Some(heartbeat()), ..lines() };
        let (mut left, mut right, link, clock) = pair(parts, answering(), seed);
        for _ in 0..5 {
            settle(&mut left, &mut right);
            assert!(pass(&mut [&mut left], 60_000));
        }
        settle(&mut left, &mut right);
        assert!(
            left.machine.is_open() && left.read().is_empty() && right.read().is_empty(),
            "beats are not shown"
        );
        let heard = clock.now();
        link.cut();
        while left.machine.is_open() {
            left.turn();
            assert!(pass(&mut [&mut left], 60_000));
        }
        let found = clock.now().ms_since(heard);
        assert!((5_000..=stated + 300).contains(&found), "seed {seed}: {found} ms");
        let Some(End::MissedHeartbeat { silent_ms }) = left.machine.ended() else { panic!() };
        assert_eq!(*silent_ms, found);
    }
}

#[test]
fn a_machine_that_is_gone_is_told_from_a_program_that_is_frozen() {
    for (is_unacknowledged, name) in [(true, "blackholed"), (false, "missed_heartbeat")] {
        let (mut machine, now) = alone(Parts { heartbeat: Some(beating()), ..lines() });
        machine.handle_path(is_unacknowledged);
        while let Some(due) = machine.poll_timeout().filter(|_| machine.is_open()) {
            machine.handle_timeout(due);
            while machine.poll_datagram().is_some() {
                machine.handle_datagram_sent(true);
                machine.handle_flushed();
            }
        }
        assert_eq!(machine.ended().unwrap().name(), name, "{now:?}");
    }
}

#[test]
fn a_peer_that_answers_lives_for_ever_also_if_every_other_answer_is_missing() {
    let parts = Parts { heartbeat: Some(beating()), ..lines() };
    let (mut machine, mut now) = alone(parts);
    // Lets time pass to the next beat, and takes it.
    let take_beat = |machine: &mut Machine, now: &mut Millis| {
        while machine.poll_datagram().is_none() {
            *now = machine.poll_timeout().unwrap();
            machine.handle_timeout(*now);
            assert!(machine.is_open());
        }
        machine.handle_written(b"PING\n".len(), *now);
        machine.handle_flushed();
    };
    for beat in 0..1_000 {
        take_beat(&mut machine, &mut now);
        if beat % 2 == 0 {
            take_beat(&mut machine, &mut now);
        }
        now = now.after_ms(1);
        machine.handle_bytes(&mut b"any traffic\n".to_owned(), now);
        assert!(matches!(machine.poll_event(), Some(Event::Message(_))));
    }
    take_beat(&mut machine, &mut now);
    take_beat(&mut machine, &mut now);
    machine.handle_timeout(now.after_ms(5_000));
    assert_eq!(machine.ended().unwrap().name(), "missed_heartbeat");
}

#[test]
fn traffic_that_is_no_answer_does_not_count_where_only_answers_do() {
    let heartbeat = beating().misses(1).answered_by(|message| message == b"PONG");
    let (mut machine, mut now) = alone(Parts { heartbeat: Some(heartbeat), ..lines() });
    let opened = now;
    while machine.is_open() {
        now = now.after_ms(500);
        machine.handle_bytes(&mut b"chatter\n".to_owned(), now);
        machine.poll_event();
        machine.handle_timeout(now);
    }
    assert!(now.ms_since(opened) <= 36_000, "{now:?}");
}

#[test]
fn a_silence_that_this_side_does_not_listen_to_is_not_the_peers() {
    let heartbeat = Heartbeat::every(Duration::from_secs(30)).within(Duration::from_secs(5));
    let parts = Parts { heartbeat: Some(heartbeat), bounds: small(), ..lines() };
    let (mut left, mut right, _link, clock) = pair(parts, lines(), 7);
    for _ in 0..40 {
        right.write(&"m".repeat(90));
        settle(&mut left, &mut right);
    }
    assert!(!left.machine.wants_read());
    for _ in 0..20 {
        clock.advance_ms(20_000);
        left.machine.handle_timeout(clock.now());
        assert!(left.machine.is_open());
    }
    // It listens again, and the silence that follows is the peer's.
    while !left.read().is_empty() {
        settle(&mut left, &mut right);
    }
    let heard = clock.now();
    while pass(&mut [&mut left], 60_000) {}
    assert!(!left.machine.is_open() && clock.now().ms_since(heard) <= 36_000);
}

#[test]
fn the_peer_may_end_its_half_and_still_hear_the_rest() {
    for seed in 0..20 {
        let (mut left, mut right, _link, _) = pair(lines(), lines(), seed);
        left.write("question");
        left.machine.finish(left.clock.now());
        assert_eq!(left.machine.try_write(b"more", left.clock.now()), Err(WriteError::Finished));
        settle(&mut left, &mut right);
        assert_eq!(right.read(), ["question"]);
        assert_eq!(right.machine.poll_end(), Some(End::ClosedByPeer));
        for answer in 0..100 {
            right.write(&format!("answer {answer}"));
        }
        settle(&mut left, &mut right);
        right.machine.finish(right.clock.now());
        settle(&mut left, &mut right);
        assert_eq!(left.read().len(), 100);
        assert_eq!(left.machine.ended(), Some(&End::ClosedHere { unsent: 0 }));
        assert_eq!(right.machine.ended(), Some(&End::ClosedByPeer));
    }
}

#[test]
fn an_end_in_the_middle_of_a_message_is_told_after_the_messages_before_it() {
    let (mut machine, now) = alone(lines());
    machine.handle_bytes(&mut b"whole\nhal".to_owned(), now);
    machine.handle_peer_finished(now);
    assert_eq!(machine.poll_end(), None, "first what came");
    assert_eq!(machine.poll_event(), Some(Event::Message(Bytes::from_static(b"whole"))));
    assert_eq!(machine.poll_end(), Some(End::CutShort { held: 3 }));
}

#[test]
fn a_reset_is_told_to_both_sides() {
    let (mut left, mut right, link, _) = pair(lines(), lines(), 5);
    left.write("under way");
    link.reset();
    settle(&mut left, &mut right);
    assert_eq!((left.machine.ended(), right.machine.ended()), (Some(&End::Reset), Some(&End::Reset)));
    let error = left.machine.try_write(b"more", left.clock.now()).unwrap_err();
    assert_eq!(error, WriteError::Ended(End::Reset));
    assert_eq!(left.machine.tally().unsent, 1);
}

#[test]
fn closing_takes_no_longer_than_its_time_and_says_what_was_not_sent() {
    let (mut left, mut right, link, clock) = pair(lines(), Parts { bounds: small(), ..lines() }, 6);
    link.cut();
    for _ in 0..20 {
        left.write(&"m".repeat(90));
    }
    settle(&mut left, &mut right);
    let now = clock.now();
    left.machine.finish(now);
    left.machine.discard(now);
    while pass(&mut [&mut left], 60_000) {}
    assert_eq!(clock.now().ms_since(now), 5_000);
    let Some(End::ClosedHere { unsent }) = left.machine.ended() else { panic!() };
    // The link holds 300 bytes of them.
    assert!((16..=18).contains(unsent), "{unsent}");
}

fn returning() -> Reconnect {
    Reconnect::default().greeting(|connection| vec![Bytes::from(format!("LOGIN {connection}"))])
}

#[test]
fn a_socket_that_comes_back_says_its_greeting_first_and_then_what_waited_whole() {
    for seed in 0..20 {
        let parts = Parts { reconnect: Some(returning()), ..lines() };
        let (mut left, mut right, link, clock) = pair(parts, lines(), seed);
        settle(&mut left, &mut right);
        assert_eq!(right.read(), ["LOGIN 1"]);
        link.cut();
        let sent: Vec<String> =
            (0..20).map(|number| format!("message {number} {}", "x".repeat(40))).collect();
        for message in &sent {
            left.write(message);
            left.turn();
        }
        link.reset();
        left.turn();
        assert!(!left.machine.is_open());
        left.write("while away");
        assert!(pass(&mut [&mut left], 60_000));
        assert_eq!(left.machine.step(), Step::Dial);
        let (one, other, _second) = Link::pair(seed, LinkOptions::default());
        left.end = Some(one);
        left.machine.handle_open(clock.now());
        let mut right = Side::new(lines(), other, &clock, seed);
        settle(&mut left, &mut right);
        let received = right.read();
        assert_eq!(received[0], "LOGIN 2");
        // What the first connection had taken is lost with it; all of the rest comes, in order and whole.
        let kept = &received[1..received.len() - 1];
        assert!(!kept.is_empty() && sent.ends_with(kept), "{received:?}");
        assert_eq!(received.last().unwrap(), "while away");
        let told: Vec<Event> = std::iter::from_fn(|| left.machine.poll_event()).collect();
        assert_eq!(told[0], Event::Opened { connection: 1 });
        assert!(matches!(told[1], Event::Lost { end: End::Reset, unsent: 0, .. }), "{told:?}");
        assert_eq!(told[2], Event::Opened { connection: 2 });
    }
}

#[test]
fn messages_that_are_not_to_wait_are_refused_while_there_is_no_connection() {
    let reconnect = Reconnect::default().unsent(Unsent::Refuse);
    let (mut machine, now) = alone(Parts { reconnect: Some(reconnect), ..lines() });
    for _ in 0..3 {
        machine.try_write(b"waits", now).unwrap();
    }
    machine.handle_written(2, now);
    machine.handle_end(End::Reset, now);
    assert_eq!(machine.try_write(b"more", now), Err(WriteError::NotConnected));
    let Some(Event::Lost { unsent: 3, retry_in, .. }) = machine.poll_event() else { panic!() };
    machine.handle_timeout(now.after_ms(ms(retry_in)));
    machine.handle_open(now);
    assert_eq!(machine.try_write(b"more", now), Ok(true));
    assert_eq!((machine.poll_datagram().as_deref(), machine.tally().unsent), (Some(&b"more\n"[..]), 3));
}

#[test]
fn pauses_grow_with_failures_are_jittered_and_short_again_after_a_connection_that_stood() {
    let lose = |machine: &mut Machine, now: &mut Millis| {
        machine.handle_end(End::Reset, *now);
        let Some(Event::Lost { retry_in, .. }) = machine.poll_event() else { panic!() };
        *now = machine.poll_timeout().unwrap();
        machine.handle_timeout(*now);
        assert_eq!(machine.step(), Step::Dial);
        ms(retry_in)
    };
    let mut firsts = std::collections::HashSet::new();
    for seed in 0..50 {
        let parts = Parts { reconnect: Some(Reconnect::default()), ..lines() };
        let mut machine = Machine::dialing(Arc::new(parts), Carrier::Stream, seed);
        let mut now = Millis(5);
        machine.handle_open(now);
        machine.poll_event();
        let pauses: Vec<u64> = (0..12).map(|_| lose(&mut machine, &mut now)).collect();
        firsts.insert(pauses[0]);
        for (failures, pause) in pauses.iter().enumerate() {
            let ceiling = (500_u64 << failures.min(10)).min(20_000);
            assert!((500..=(500 + ceiling).min(20_000)).contains(pause), "{pauses:?}");
        }
        machine.handle_open(now);
        machine.poll_event();
        now = now.after_ms(20_000);
        assert!(lose(&mut machine, &mut now) <= 1_000);
    }
    assert!(firsts.len() > 20, "ten thousand that lost one server do not come back as one");
}

#[test]
fn attempts_have_their_bound_and_the_first_must_succeed_unless_asked_otherwise() {
    let dialing = |reconnect| {
        let parts = Parts { reconnect: Some(reconnect), ..lines() };
        Machine::dialing(Arc::new(parts), Carrier::Stream, 1)
    };
    let refused = || End::Refused("there".into());
    let mut machine = dialing(Reconnect::default());
    machine.handle_end(refused(), Millis(0));
    assert_eq!(machine.ended(), Some(&refused()));
    let mut machine = dialing(Reconnect::default().at_first().attempts(3));
    for attempt in 0..4 {
        assert_eq!(machine.step(), Step::Dial, "attempt {attempt}");
        let now = Millis(attempt * 100_000);
        machine.handle_end(refused(), now);
        machine.handle_timeout(now.after_ms(50_000));
    }
    assert_eq!(machine.ended(), Some(&refused()));
}

#[test]
fn a_socket_that_is_closed_while_away_ends_at_once() {
    let (mut machine, now) = alone(Parts { reconnect: Some(Reconnect::default()), ..lines() });
    machine.try_write(b"waits", now).unwrap();
    machine.handle_end(End::Blackholed, now);
    machine.finish(now);
    assert_eq!(machine.ended(), Some(&End::ClosedHere { unsent: 1 }));
}

#[test]
fn the_peers_pings_are_answered_up_to_a_bound_although_it_does_not_read() {
    let (mut machine, now) = alone(answering());
    for _ in 0..100 {
        machine.handle_bytes(&mut b"PING\n".to_owned(), now);
    }
    let tally = machine.tally();
    assert_eq!((tally.messages_in, tally.unanswered), (100, 100 - outgoing::ANSWERS_WAITING as u64));
    assert_eq!(machine.poll_event(), None);
}

fn datagrams(parts: Parts) -> Machine {
    let mut machine = Machine::dialing(Arc::new(parts), Carrier::Datagrams, 1);
    machine.handle_open(Millis(0));
    machine.poll_event();
    machine
}

#[test]
fn a_datagram_that_is_no_message_is_dropped_and_counted_and_harms_nothing() {
    let mut machine = datagrams(Parts { bounds: small(), ..lines() });
    for (datagram, messages) in
        [(&b"one\n"[..], 1), (b"two\nthree\n", 2), (b"no end", 0), (b"", 0), (&[b'x'; 150], 0), (b"\n", 0)]
    {
        machine.handle_datagram(&mut datagram.to_owned(), Millis(0));
        let told = std::iter::from_fn(|| machine.poll_event()).count();
        assert_eq!(told, messages, "{datagram:?}");
    }
    assert_eq!((machine.tally().dropped_in, machine.is_open()), (4, true));
    // Without a framing each is a message, also without bytes, and the length has its bound.
    let mut machine = datagrams(Parts { bounds: small(), ..Parts::default() });
    for datagram in [&b""[..], b"any", &[0; 101]] {
        machine.handle_datagram(&mut datagram.to_owned(), Millis(0));
    }
    assert_eq!(machine.poll_event(), Some(Event::Message(Bytes::new())));
    assert_eq!(machine.poll_event(), Some(Event::Message(Bytes::from_static(b"any"))));
    assert_eq!((machine.poll_event(), machine.tally().dropped_in), (None, 1));
}

#[test]
fn datagrams_that_nobody_reads_are_dropped_at_the_bound_and_counted() {
    let mut machine = datagrams(Parts { bounds: small(), ..Parts::default() });
    for _ in 0..100 {
        machine.handle_datagram(&mut [7; 36], Millis(0));
    }
    let read = std::iter::from_fn(|| machine.poll_event()).count();
    assert_eq!((read, machine.tally().dropped_in), (10, 90));
}

#[test]
fn a_message_that_no_datagram_carries_is_refused() {
    let bounds = Bounds { message_bytes: 1 << 20, ..Bounds::default() };
    let mut machine = datagrams(Parts { bounds, ..Parts::default() });
    assert_eq!(machine.try_write(&vec![0; LONGEST_DATAGRAM], Millis(0)), Ok(true));
    let error = machine.try_write(&vec![0; LONGEST_DATAGRAM + 1], Millis(0)).unwrap_err().to_string();
    assert!(error.contains("65508 bytes") && error.contains("over a stream"), "{error}");
}

#[test]
fn without_a_framing_the_bytes_are_read_as_they_come() {
    let (mut left, mut right, _link, _) = pair(Parts::default(), Parts::default(), 9);
    let sent = "0123456789".repeat(50);
    left.write(&sent);
    assert!(left.write(""));
    let mut received = String::new();
    while received.len() < sent.len() {
        settle(&mut left, &mut right);
        received.extend(right.read());
    }
    assert_eq!(received, sent);
}

/// Writes, reads, cuts, resets and lets time pass as a seed says. Whatever happens: every message comes whole, at most once
/// and in order, nothing waits beyond its bound, and a connection that fails is found.
#[test]
fn nothing_is_mixed_up_twice_or_without_bound_whatever_befalls_a_socket_that_comes_back() {
    let (mut received_in_all, mut connections) = (0, 0);
    for seed in 0..60 {
        let heartbeat = beating().answered_by(|message| message == b"PONG");
        let parts = Parts {
            heartbeat: Some(heartbeat),
            reconnect: Some(Reconnect::default()),
            bounds: small(),
            ..lines()
        };
        let (mut left, mut right, mut link, clock) = pair(parts, answering(), seed);
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut written, mut received) = (0_u32, Vec::new());
        for _ in 0..2_000 {
            match rng.random_range(0..100) {
                0..45 => {
                    written +=
                        u32::from(left.write(&format!("{written} {}", "x".repeat(rng.random_range(0..60)))))
                }
                45..70 => settle(&mut left, &mut right),
                70..80 => drop(left.turn()),
                80..90 => received.extend(right.read()),
                90..92 => link.cut(),
                92..94 => link.reset(),
                _ => drop(pass(&mut [&mut left, &mut right], 60_000)),
            }
            left.read();
            assert!(left.machine.outgoing.has_room(small().queue_bytes + 200), "seed {seed}");
            assert!(left.machine.ended().is_none(), "seed {seed}: it comes back");
            if left.machine.step() == Step::Dial {
                received.extend(right.read());
                let (one, other, new) = Link::pair(rng.random(), LinkOptions { capacity: 300, splits: true });
                (left.end, link) = (Some(one), new);
                left.machine.handle_open(clock.now());
                right = Side::new(answering(), other, &clock, seed);
            }
        }
        received.extend(right.read());
        let numbers: Vec<u32> = received
            .iter()
            .map(|message| {
                message.split_once(' ').and_then(|(number, _)| number.parse().ok()).expect(message)
            })
            .collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "seed {seed}: {numbers:?}");
        assert!(received.iter().all(|message| message.trim_end_matches('x').ends_with(' ')));
        received_in_all += numbers.len();
        connections += left.machine.tally().connections;
    }
    assert!(
        received_in_all > 5_000 && connections > 300,
        "{received_in_all} messages, {connections} connections"
    );
}

#[test]
fn who_comes_back_waits_for_a_slow_reader_no_longer_than_for_a_peer_that_takes_nothing() {
    let reconnect = Some(Reconnect::default());
    let (mut machine, now) = alone(Parts { reconnect, bounds: small(), ..lines() });
    assert!(machine.try_write(b"kept", now).unwrap());
    machine.handle_bytes(&mut b"said before\n".repeat(100), now);
    machine.handle_write_error(&ErrorKind::BrokenPipe.into(), now);
    assert_eq!((machine.step(), machine.slices(&mut [IoSlice::new(&[])])), (Step::Converse, 0));
    assert!(machine.try_write(b"kept too", now).unwrap());
    assert_eq!(machine.poll_flushed(0), None);
    let stall = ms(Bounds::default().write_stall);
    assert_eq!(machine.poll_timeout(), Some(now.after_ms(stall)));
    machine.handle_timeout(now.after_ms(stall));
    let events: Vec<Event> = std::iter::from_fn(|| machine.poll_event()).collect();
    assert_eq!(events.len(), 101);
    assert!(
        matches!(events.last(), Some(Event::Lost { end: End::Reset, unsent: 0, .. })),
        "{:?}",
        events.last()
    );
}
