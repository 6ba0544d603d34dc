//! RELIABILITY's rows on sockets at a device listener of the whole server. `crates/wharf/tests/devices` holds the same
//! against the library, with every kind of address.

#[path = "../examples/device_simulator/ascii.rs"]
mod ascii;
mod common;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, eventually,
    fleet::{Line, example, in_parallel, present},
    server::{Server, Setup},
};
use serde_json::json;

fn setup() -> Setup {
    Setup::new().configuration(&example("ascii_tracker.toml"))
}

fn address(server: &Server) -> String {
    server.devices("tracker").1
}

/// A tracker that has logged in, which its heartbeat's answer says.
fn tracker(server: &Server, number: u32) -> Line {
    let id = ascii::id(number);
    let mut line = Line::open(&address(server));
    line.say(&ascii::heartbeat(&id));
    let answer = format!("*HQ,{id},HTBT#");
    line.until("the answer to a heartbeat", |heard| heard.starts_with(answer.as_bytes()));
    line.heard.clear();
    line
}

#[track_caller]
fn until_devices_are(server: &Server, count: u64) {
    eventually("connections are given back", PATIENCE, || present(server, "trackers") == count);
    eventually("connections are given back", PATIENCE, || server.metric("wharf_connections") == count);
}

// Row 42.
#[test]
fn a_device_that_says_nothing_is_closed_in_time_and_told_of() {
    let server = setup().variable("WHARF_TIMES__AUTHENTICATE", "500ms").start();
    let started = Instant::now();
    let mut silent = TcpStream::connect(address(&server)).expect("the server accepts");
    silent.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(silent.read(&mut [0; 16]).expect("an end"), 0);
    let elapsed = started.elapsed();
    assert!((300..5_000).contains(&elapsed.as_millis()), "{elapsed:?}");
    eventually("the log says so", PATIENCE, || server.log().contains("a device was not let in"));
    until_devices_are(&server, 0);
}

/// The bytes of a long command.
const LONG: usize = 30_000;

// Row 43.
#[test]
fn a_device_that_reads_nothing_is_closed_as_slow_and_others_hear_everything() {
    // Long commands, so that the kernel's buffers are soon full.
    let toml = example("ascii_tracker.toml").replace("max_bytes = 512", "max_bytes = 40000");
    let server = setup().configuration(&toml).variable("WHARF_LIMITS__OUTBOX_BYTES", "65536").start();
    let deaf = tracker(&server, 1);
    let mut good = tracker(&server, 2);
    let publish = |number: u32| {
        let channel = format!("devices/{}/down", ascii::id(number));
        server.api("publish", &json!({"channel": channel, "data": "x".repeat(LONG)}));
    };
    let deadline = Instant::now() + PATIENCE;
    while present(&server, "trackers") == 2 {
        assert!(Instant::now() < deadline, "a device that reads nothing is never ended");
        publish(1);
    }
    publish(2);
    good.until("what was published", |heard| heard.iter().filter(|byte| **byte == b'x').count() == LONG);
    assert!(server.metric("wharf_slow_closes_total") >= 1);
    drop(deaf);
}

// Row 46.
#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let server = setup().start();
    let descriptors = server.descriptors();
    let starts = [
        Vec::new(),
        b"*HQ,41".to_vec(),
        ascii::heartbeat(&ascii::id(9)),
        [ascii::heartbeat(&ascii::id(9)), ascii::position(&ascii::id(9), 1), b"*HQ,".to_vec()].concat(),
    ];
    for start in starts.iter().cycle().take(400) {
        let mut socket = TcpStream::connect(address(&server)).expect("the server accepts");
        socket.write_all(start).expect("the server reads");
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option");
    }
    until_devices_are(&server, 0);
    eventually("descriptors are given back", PATIENCE, || server.descriptors() <= descriptors + 2);
}

// Row 47.
#[test]
fn a_half_close_is_answered_in_full() {
    let server = setup().start();
    let id = ascii::id(7);
    let mut line = Line::open(&address(&server));
    let positions: Vec<u8> = (1..=50).flat_map(|number| ascii::position(&id, number)).collect();
    line.say(&positions);
    line.socket.shutdown(Shutdown::Write).expect("an open socket");
    let mut heard = String::new();
    line.socket.read_to_string(&mut heard).expect("text, and an end");
    assert_eq!(heard.matches(",V4,V1,").count(), 50, "{heard}");
    until_devices_are(&server, 0);
}

// Row 49.
#[test]
fn without_descriptors_the_listener_waits_and_recovers() {
    let server = setup().descriptors(64).start();
    // The log tells: whoever asked for metrics would need a descriptor.
    let mut first = tracker(&server, 1);
    let crowd: Vec<Line> = (0..100).map(|_| Line::open(&address(&server))).collect();
    eventually("descriptors run out", PATIENCE, || server.log().contains("cannot accept"));
    // Who is connected is served on.
    first.say(&ascii::heartbeat(&ascii::id(1)));
    first.until("the answer to a heartbeat", |heard| heard.ends_with(b",HTBT#"));
    let used = server.processor_s();
    // tidy: sleeps because processor time can be measured only over time.
    thread::sleep(Duration::from_secs(1));
    let used = server.processor_s() - used;
    assert!(used < 0.2, "{used} s of processor time in one second");
    drop(crowd);
    let _late = tracker(&server, 2);
    until_devices_are(&server, 2);
}

/// A device that comes and goes: at once, after its login, or with the answer to what it said unread.
fn come_and_go(server: &Server, number: u32) {
    match number % 3 {
        0 => drop(Line::open(&address(server))),
        1 => drop(tracker(server, number)),
        _ => tracker(server, number).say(&ascii::position(&ascii::id(number), 1)),
    }
}

// Row 50.
#[test]
fn five_thousand_devices_that_come_and_go_leave_nothing_behind() {
    // Whose name were still taken would not be let in again.
    let toml = example("ascii_tracker.toml").replace("second = \"replace\"", "second = \"refuse\"");
    let server = setup().configuration(&toml).start();
    in_parallel(50, |number| come_and_go(&server, number));
    until_devices_are(&server, 0);
    let (descriptors, threads) = (server.descriptors(), server.threads());
    in_parallel(5_000, |number| come_and_go(&server, number));
    until_devices_are(&server, 0);
    eventually("descriptors are given back", PATIENCE, || server.descriptors() <= descriptors + 2);
    assert_eq!(server.threads(), threads);
    let again: Vec<Line> = (4_000..4_050).map(|number| tracker(&server, number)).collect();
    until_devices_are(&server, 50);
    drop(again);
    until_devices_are(&server, 0);
}
