//! What a device may not do, and what a listener will not bear.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use wharf::settings::{Limits, Times};

use super::{streams::Device, *};

fn quick() -> Settings {
    let times =
        Times { authenticate_ms: 300, write_stall_ms: 300, close_handshake_ms: 300, ..Times::default() };
    Settings { times, ..rig::settings() }
}

fn node_connections(rig: &Rig) -> usize {
    rig.server.node().devices.connections(0)
}

// Row 42.
#[test]
fn a_device_that_says_nothing_or_not_enough_is_closed() {
    let rig = start_with(listener(tcp()), quick());
    let mut silent = Device::connect(&rig);
    let mut dripping = TcpStream::connect(address(&rig)).unwrap();
    dripping.write_all(b"LOGIN 7 s3cr").unwrap();
    dripping.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = String::new();
    dripping.read_to_string(&mut rest).unwrap();
    // What it would say to a device that is refused, and then the end.
    while !silent.line().is_empty() {}
    eventually("both are gone", || node_connections(&rig) == 0);
}

// Row 53.
#[test]
fn a_flood_before_the_login_is_cut_off_by_bytes() {
    let patient = listener_with(tcp(), |spec| spec.framing.junk = Junk::Skip { limit: 1 << 30 });
    let rig = start_with(
        patient,
        Settings { times: Times { close_handshake_ms: 300, ..Times::default() }, ..rig::settings() },
    );
    let flooder = TcpStream::connect(address(&rig)).unwrap();
    flooder.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        // It floods until nobody is there any more.
        scope.spawn(|| while (&flooder).write_all(&[0xff; 1024]).is_ok() {});
        let _ = (&flooder).read_to_end(&mut Vec::new());
    });
    eventually("it is gone", || node_connections(&rig) == 0);
    assert_eq!(rig.server.node().devices.refusals.total.total(), 1);
    Device::login(&rig, "8").say("UP 1");
}

// Row 52.
#[test]
fn what_is_no_frame_ends_its_connection_and_no_other() {
    let rig = start(listener(tcp()));
    let mut good = Device::login(&rig, "1");
    for junk in [&b"\xff\xfe\x00\n\n\n"[..], &[b'x'; 5_000], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut bad = TcpStream::connect(address(&rig)).unwrap();
        bad.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..20 {
            if bad.write_all(junk).is_err() {
                break;
            }
        }
        let ended = bad.read_to_end(&mut Vec::new());
        assert!(ended.is_ok() || ended.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    }
    good.say("UP 1");
    assert_eq!(good.line(), "GOT 1");
    eventually("the others are gone", || node_connections(&rig) == 1);
}

// Row 43.
#[test]
fn a_device_that_reads_nothing_is_ended_as_slow_and_harms_no_other() {
    let settings = quick();
    let limits = Limits { outbox_bytes: 64 * 1024, ..Limits::default() };
    let rig = start_with(
        listener_with(tcp(), |spec| spec.framing.max_bytes = 40_000),
        Settings { limits, ..settings },
    );
    let _deaf = Device::login(&rig, "1");
    let mut good = Device::login(&rig, "2");
    let text = "x".repeat(30_000);
    let publish = |id: &str| {
        let body = serde_json::json!({"channel": format!("devices/{id}/down"), "data": text}).to_string();
        rig.post("/api/publish", &body)
    };
    let until = Instant::now() + PATIENCE;
    while !present(&rig, "devices/1/up").is_empty() {
        assert!(Instant::now() < until, "a device that reads nothing is never ended");
        publish("1");
    }
    publish("2");
    assert_eq!(good.line().len(), "DOWN ".len() + text.len());
    assert!(rig.server.node().metrics.sum(|worker| &worker.slow_closes) >= 1);
}

// Row 46.
#[test]
fn resets_in_the_middle_of_everything_leave_nothing_behind() {
    let rig = start(listener(tcp()));
    for start in ["", "LOG", "LOGIN 7 s3cret\n", "LOGIN 7 s3cret\nUP 1\nUP "] {
        for _ in 0..50 {
            let mut socket = TcpStream::connect(address(&rig)).unwrap();
            socket.write_all(start.as_bytes()).unwrap();
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    eventually("all are gone", || node_connections(&rig) == 0 && present(&rig, "fleet").is_empty());
    assert_eq!(rig.server.node().devices.registry.count(0), 0);
}

// Row 47.
#[test]
fn a_device_that_ends_its_half_is_still_answered() {
    let rig = start(listener(tcp()));
    let mut socket = TcpStream::connect(address(&rig)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"LOGIN 7 s3cret\nUP 1\n").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = String::new();
    socket.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "WELCOME 7\nGOT 1\n");
    eventually("it is gone", || node_connections(&rig) == 0);
}

#[test]
fn a_listener_takes_no_more_connections_than_it_may_and_takes_them_again() {
    let rig = start(DeviceListener { connections: 2, ..listener(tcp()) });
    let (one, _two) = (Device::login(&rig, "1"), Device::login(&rig, "2"));
    assert_eq!(Device::connect(&rig).line(), "");
    // Clients at other addresses are not its business.
    assert_eq!(rig.post("/api/info", "{}").status(), 200);
    drop(one);
    eventually("there is room", || node_connections(&rig) == 1);
    Device::login(&rig, "3");
}

#[test]
fn a_device_without_heartbeats_is_ended_and_one_with_them_stays() {
    let rig = start(listener_with(tcp(), |spec| {
        let heartbeat = spec.heartbeat.as_mut().unwrap();
        (heartbeat.interval_ms, heartbeat.only) = (400, true);
    }));
    let (mut beating, mut mute) = (Device::login(&rig, "1"), Device::login(&rig, "2"));
    let until = Instant::now() + PATIENCE;
    // The answer paces it: each beat is later than the last by what both ends take, far below the interval.
    while present(&rig, "fleet").len() == 2 {
        assert!(Instant::now() < until, "nobody was ended");
        beating.say("HB");
        assert_eq!(beating.line(), "HB OK");
        // Other traffic is no heartbeat.
        mute.say("UP 1");
    }
    assert_eq!(present(&rig, "fleet"), ["1"]);
}
