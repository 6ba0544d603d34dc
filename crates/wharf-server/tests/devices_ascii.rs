//! A thousand ASCII trackers over TCP on the whole server, with the example's configuration, among others that send
//! junk, never stop, or say nothing whole. The trackers' bytes are written by hand.

#[path = "../examples/device_simulator/ascii.rs"]
mod ascii;
mod common;

use common::{
    PATIENCE, eventually,
    fleet::{self, DEVICES, Line, MESSAGES, example, in_parallel, present, watched},
    server::Server,
};
use serde_json::json;

fn count_of(heard: &[u8], text: &str) -> usize {
    heard.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// Connects, and sends all its messages; one of three does so in pieces.
fn live(number: u32, address: &str) -> Line {
    let id = ascii::id(number);
    let mut line = Line::open(address);
    let mut said = ascii::heartbeat(&id);
    for message in 1..=MESSAGES {
        said.extend(ascii::position(&id, message));
    }
    match number % 3 {
        0 => line.say_in_pieces(&said, number),
        _ => line.say(&said),
    }
    let answer = format!("*HQ,{id},V4,V1,");
    line.until("answers to positions", |heard| count_of(heard, &answer) >= MESSAGES as usize);
    line
}

/// Rows 42, 52, 53: what such a device says, until the server has enough of it.
fn misbehave(number: u32, address: &str) {
    let line = Line::open(address);
    match number % 4 {
        0 => line.until_ended(|| fleet::noise(number, 500)),
        1 => line.until_ended(|| b"*HQ,".repeat(100)),
        // Frames, but none that says who it is.
        2 => line.until_ended(|| b"*ZZ,nobody,V1#".repeat(20)),
        // The id of no device that may come.
        _ => line.until_ended(|| ascii::heartbeat("9900000001")),
    };
}

fn start() -> (Server, String) {
    let server = fleet::start(&example("ascii_tracker.toml"));
    let (scheme, address) = server.devices("tracker");
    assert_eq!(scheme, "tcp");
    (server, address)
}

// Rows 52 and 53.
#[test]
fn a_thousand_trackers_are_served_once_and_in_order_among_those_that_misbehave() {
    let (server, address) = start();
    let channels: Vec<String> = (1..=DEVICES).map(|n| format!("devices/{}/up", ascii::id(n))).collect();
    let expected = (DEVICES * MESSAGES) as usize;
    let (devices, held) = (std::sync::Mutex::new(Vec::new()), &server);
    let heard = watched(&server, &channels, expected, || {
        std::thread::scope(|scope| {
            scope.spawn(|| in_parallel(100, |number| misbehave(number, &address)));
            in_parallel(DEVICES, |number| {
                let line = live(number, &address);
                devices.lock().expect("no thread has failed").push(line);
            });
        });
        eventually("all are seen", PATIENCE, || present(held, "trackers") == u64::from(DEVICES));
    });
    for channel in &channels {
        let speeds: Vec<f64> = heard[channel].iter().filter_map(|data| data["speed"].as_f64()).collect();
        let expected: Vec<f64> = (1..=MESSAGES).map(f64::from).collect();
        assert_eq!(speeds, expected, "{channel}");
    }
    // Each of those that misbehaved was told of, or counted.
    assert!(server.metric("wharf_device_refusals_total") >= 100, "{}", server.log());
    assert!(server.log().contains("a device was not let in"));
    drop(devices);
    eventually("all are gone", PATIENCE, || present(&server, "trackers") == 0);
    eventually("nothing is left", PATIENCE, || server.metric("wharf_connections") == 0);
}

#[test]
fn a_tracker_is_told_what_is_published_to_it_and_a_newer_connection_replaces_it() {
    let (server, address) = start();
    let mut first = live(7, &address);
    let id = ascii::id(7);
    server.api("publish", &json!({"channel": format!("devices/{id}/down"), "data": "R1,130305"}));
    first.until("a command", |heard| count_of(heard, &format!("*HQ,{id},R1,130305#")) == 1);
    let mut second = live(7, &address);
    first.until_ended(Vec::new);
    assert_eq!(present(&server, "trackers"), 1);
    let interval = json!({"command": "interval", "seconds": 30});
    server.api("publish", &json!({"channel": format!("devices/{id}/down"), "data": interval}));
    second.until("a command", |heard| count_of(heard, ",22,30#") == 1);
}
