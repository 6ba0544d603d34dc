//! A thousand binary trackers of the GT06 kind over TCP on the whole server, with the example's configuration, among
//! others whose frames are wrong. The trackers' bytes are written by hand.

mod common;
#[path = "../examples/device_simulator/gt06.rs"]
mod gt06;

use std::sync::Mutex;

use common::{
    PATIENCE, eventually,
    fleet::{self, DEVICES, Line, MESSAGES, example, in_parallel, present, watched},
    server::Server,
};
use serde_json::json;

/// Waits for one frame of the server's.
fn frame(line: &mut Line) -> Vec<u8> {
    let mut frame = None;
    line.until("a frame", |heard| {
        frame = gt06::take_frame(heard);
        frame.is_some()
    });
    frame.expect("waited until there was one")
}

/// Logs in, awaits the answer, sends all its messages, one of three in pieces, and a heartbeat, whose answer says that
/// all were read.
fn live(number: u32, address: &str) -> Line {
    let mut line = Line::open(address);
    line.say(&gt06::login(&gt06::imei(number), 1));
    assert_eq!(frame(&mut line), gt06::frame(0x01, &[], 1));
    let mut said = Vec::new();
    for message in 1..=MESSAGES as u8 {
        said.extend(gt06::position(message, 1 + u16::from(message)));
    }
    said.extend(gt06::heartbeat(500));
    match number % 3 {
        0 => line.say_in_pieces(&said, number),
        _ => line.say(&said),
    }
    assert_eq!(frame(&mut line), gt06::frame(0x13, &[], 500));
    line
}

/// Row 52: what such a device says, until the server has enough of it.
fn misbehave(number: u32, address: &str) {
    let line = Line::open(address);
    match number % 4 {
        0 => line.until_ended(|| fleet::noise(number, 500)),
        // A length of nothing, and of all that a byte can say.
        1 => line.until_ended(|| b"\x78\x78\x00".repeat(50)),
        2 => line.until_ended(|| [b"\x78\x78\xff", &[0x11; 200][..]].concat()),
        // Positions without a login.
        _ => line.until_ended(|| gt06::position(1, 1)),
    };
}

fn start() -> (Server, String) {
    let server = fleet::start(&example("binary_tracker.toml"));
    let (scheme, address) = server.devices("tracker");
    assert_eq!(scheme, "tcp");
    (server, address)
}

fn up(number: u32) -> String {
    format!("devices/{}/up", gt06::imei(number))
}

// Rows 52 and 53.
#[test]
fn a_thousand_trackers_are_served_once_and_in_order_among_those_that_misbehave() {
    let (server, address) = start();
    let channels: Vec<String> = (1..=DEVICES).map(up).collect();
    let devices = Mutex::new(Vec::new());
    let heard = watched(&server, &channels, (DEVICES * MESSAGES) as usize, || {
        std::thread::scope(|scope| {
            scope.spawn(|| in_parallel(100, |number| misbehave(number, &address)));
            in_parallel(DEVICES, |number| {
                let line = live(number, &address);
                devices.lock().expect("no thread has failed").push(line);
            });
        });
    });
    for channel in &channels {
        let speeds: Vec<u64> = heard[channel].iter().filter_map(|data| data["speed"].as_u64()).collect();
        let expected: Vec<u64> = (1..=u64::from(MESSAGES)).collect();
        assert_eq!(speeds, expected, "{channel}");
    }
    assert_eq!(present(&server, &up(1)), 1);
    assert!(server.metric("wharf_device_refusals_total") >= 100, "{}", server.log());
    drop(devices);
    eventually("all are gone", PATIENCE, || server.metric("wharf_connections") == 0);
    assert_eq!(present(&server, &up(1)), 0);
}

#[test]
fn trackers_answer_requests_of_the_server_api_each_its_own() {
    let (server, address) = start();
    let mut lines: Vec<Line> = (1..=10).map(|number| live(number, &address)).collect();
    std::thread::scope(|scope| {
        let server = &server;
        let asked: Vec<_> = (1..=10)
            .map(|number| {
                let request = json!({"device": gt06::imei(number), "data": "DWXX#", "timeout_ms": 20_000});
                scope.spawn(move || server.api("device_request", &request))
            })
            .collect();
        for (line, number) in lines.iter_mut().zip(1..) {
            let question = frame(line);
            assert!(question.windows(5).any(|window| window == b"DWXX#"), "{question:02x?}");
            let seq = gt06::command(&question).expect("a command");
            line.say(&gt06::answer(seq, &format!("at {number}"), 900));
        }
        for (asked, number) in asked.into_iter().zip(1..) {
            let result = asked.join().expect("it is answered");
            assert_eq!(result["data"]["text"], format!("at {number}"));
        }
    });
}
