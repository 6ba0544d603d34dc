//! UDP: a peer's address is a connection, and strangers cost nothing.

use std::net::UdpSocket;

use serde_json::json;

use super::*;

struct Device {
    socket: UdpSocket,
}

impl Device {
    fn new(rig: &Rig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address(rig)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn login(rig: &Rig, id: &str) -> Self {
        let device = Self::new(rig);
        device.say(&format!("LOGIN {id} s3cret"));
        assert_eq!(device.hear(), format!("WELCOME {id}"));
        device
    }

    fn say(&self, text: &str) {
        self.socket.send(text.as_bytes()).unwrap();
    }

    fn hear(&self) -> String {
        let mut into = [0; 1_000];
        let count = self.socket.recv(&mut into).expect("the server said nothing in time");
        String::from_utf8(into[..count].to_vec()).unwrap()
    }
}

fn meters() -> DeviceListener {
    listener_with(udp(), |spec| {
        spec.framing.cut = CutSpec::Datagram;
        spec.framing.end = Vec::new();
    })
}

#[test]
fn a_device_over_udp_comes_speaks_is_told_and_asked() {
    let rig = start(meters());
    let device = Device::login(&rig, "7");
    for n in 1..=20 {
        device.say(&format!("UP {n}"));
        assert_eq!(device.hear(), format!("GOT {n}"));
    }
    let expected: Vec<Value> = (1..=20).map(|n| json!({"n": n})).collect();
    assert_eq!(history(&rig, "devices/7/up"), expected);
    assert_eq!(present(&rig, "devices/7/up"), ["7"]);
    rig.post("/api/publish", r#"{"channel":"devices/7/down","data":"stop"}"#);
    assert_eq!(device.hear(), "DOWN stop");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| rig.post("/api/device_request", r#"{"device":"7","data":"read"}"#).json());
        let question = device.hear();
        let seq = question.strip_prefix("DO ").and_then(|rest| rest.strip_suffix(" read")).unwrap();
        device.say(&format!("DONE {seq} 21.5"));
        assert_eq!(asked.join().unwrap()["result"]["data"]["said"], "21.5");
    });
}

#[test]
fn many_datagrams_at_once_are_read_in_their_order() {
    let rig = start(meters());
    let device = Device::login(&rig, "7");
    // Fewer than a peer's queue holds.
    let expected: Vec<Value> = (1..=50).map(|n| json!({"n": n})).collect();
    for n in 1..=50 {
        device.say(&format!("UP {n}"));
    }
    eventually("all are published", || history(&rig, "devices/7/up") == expected);
}

#[test]
fn a_device_that_comes_from_another_address_is_the_same_device() {
    let rig = start(meters());
    let _before = Device::login(&rig, "7");
    let after = Device::login(&rig, "7");
    eventually("the first is gone", || rig.server.node().devices.connections(0) == 1);
    after.say("UP 1");
    assert_eq!(after.hear(), "GOT 1");
    assert_eq!(present(&rig, "devices/7/up"), ["7"]);
}

// Rows 52 and 53.
#[test]
fn strangers_cost_nothing_are_not_answered_and_a_refusal_is_no_longer_than_three_times_the_login() {
    let rig = start(meters());
    let stranger = Device::new(&rig);
    for text in ["UP 1", "HB", "", "\u{0}\u{ff}", "LOGIN", &"x".repeat(2_000)] {
        stranger.say(text);
    }
    let devices = &rig.server.node().devices;
    eventually("all were seen", || devices.strange_datagrams.total() == 6);
    assert_eq!((devices.connections(0), rig.server.node().occupancy(0)), (0, 0));
    // The first answer that it hears is to this.
    stranger.say("LOGIN 7 wrong");
    assert_eq!(stranger.hear(), "NO");
    assert_eq!(devices.connections(0), 0);

    let wordy = listener_with(udp(), |spec| {
        spec.framing.cut = CutSpec::Datagram;
        spec.framing.end = Vec::new();
        spec.login.refusal = Some(text(&"no ".repeat(30)));
    });
    let rig = start(wordy);
    let stranger = Device::new(&rig);
    stranger.say("LOGIN 7 wrong");
    eventually("it is refused", || rig.server.node().devices.refusals.total.total() == 1);
    // The first that it hears is its welcome.
    stranger.say("LOGIN 7 s3cret");
    assert_eq!(stranger.hear(), "WELCOME 7");
}

#[test]
fn there_are_no_more_peers_than_there_may_be_and_a_silent_one_makes_room() {
    let quick = listener_with(udp(), |spec| {
        spec.framing.cut = CutSpec::Datagram;
        spec.framing.end = Vec::new();
        spec.heartbeat.as_mut().unwrap().interval_ms = 300;
    });
    let rig = start(DeviceListener { connections: 2, ..quick });
    let _peers = [Device::login(&rig, "1"), Device::login(&rig, "2")];
    let third = Device::new(&rig);
    third.say("LOGIN 3 s3cret");
    let devices = &rig.server.node().devices;
    eventually("it is refused", || devices.refusals.total.total() == 1);
    eventually("silent peers end", || devices.connections(0) == 0);
    third.say("LOGIN 3 s3cret");
    assert_eq!(third.hear(), "WELCOME 3");
    assert_eq!(present(&rig, "fleet"), ["3"]);
}

#[test]
fn a_datagram_that_may_be_forged_ends_no_session() {
    let rig = start(listener_with(udp(), |spec| {
        spec.framing.cut = CutSpec::Datagram;
        spec.framing.start = b"<".to_vec();
        spec.framing.end = Vec::new();
    }));
    let device = Device::new(&rig);
    device.say("<LOGIN 7 s3cret");
    assert_eq!(device.hear(), "<WELCOME 7");
    for forged in ["<LOGIN 8 s3cret", "<LOGIN 7 wrong", "<LOGIN 9 wrong", "junk"] {
        device.say(forged);
    }
    device.say("<UP 1");
    assert_eq!(device.hear(), "<GOT 1");
    assert_eq!(present(&rig, "devices/7/up"), ["7"]);
    assert_eq!(rig.server.node().devices.wrong_datagrams.total(), 4);
}

#[test]
fn datagrams_that_may_be_anothers_keep_no_session_alive() {
    let rig = start(listener_with(udp(), |spec| {
        spec.framing.cut = CutSpec::Datagram;
        spec.framing.end = Vec::new();
        spec.heartbeat =
            Some(HeartbeatSpec { interval_ms: 200, misses: 1, ..spec.heartbeat.take().unwrap() });
    }));
    let device = Device::login(&rig, "7");
    device.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut heard = [0; 100];
    // As where a NAT has given the address of the one to the other.
    eventually("the first ends, and the second is let in", || {
        device.say("LOGIN 8 s3cret");
        device.socket.recv(&mut heard).is_ok_and(|count| heard[..count] == *b"WELCOME 8")
    });
    assert!(present(&rig, "devices/7/up").is_empty());
}
