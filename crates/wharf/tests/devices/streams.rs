//! TCP and Unix paths.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use serde_json::json;
use wharf::settings::DeviceAddress;

use super::{rig::Client, *};

/// A device over a stream.
pub struct Device<S> {
    reader: BufReader<S>,
}

impl Device<TcpStream> {
    pub fn connect(rig: &Rig) -> Self {
        let socket = TcpStream::connect(address(rig)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::on(socket)
    }

    pub fn login(rig: &Rig, id: &str) -> Self {
        let mut device = Self::connect(rig);
        device.say(&format!("LOGIN {id} s3cret"));
        assert_eq!(device.line(), format!("WELCOME {id}"));
        device
    }
}

impl<S: std::io::Read + Write> Device<S> {
    pub fn on(stream: S) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    pub fn reader_mut(&mut self) -> &mut BufReader<S> {
        &mut self.reader
    }

    pub fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end_matches('\n').to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn whole_life<S: std::io::Read + Write>(rig: &Rig, mut device: Device<S>) {
    device.say("LOGIN 7 s3cret");
    assert_eq!(device.line(), "WELCOME 7");
    assert_eq!(
        (present(rig, "fleet"), present(rig, "devices/7/up")),
        (vec!["7".to_owned()], vec!["7".into()])
    );
    device.say("UP 1");
    device.say("HB");
    device.say("UP 2.5");
    assert_eq!([device.line(), device.line(), device.line()], ["GOT 1", "HB OK", "GOT 2.5"]);
    assert_eq!(history(rig, "devices/7/up"), [json!({"n": 1}), json!({"n": 2.5})]);
    rig.post("/api/publish", r#"{"channel":"devices/7/down","data":"open the gate"}"#);
    assert_eq!(device.line(), "DOWN open the gate");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| rig.post("/api/device_request", r#"{"device":"7","data":"read"}"#).json());
        let question = device.line();
        let seq = question.strip_prefix("DO ").and_then(|rest| rest.strip_suffix(" read")).unwrap();
        device.say(&format!("DONE {seq} 21.5"));
        assert_eq!(asked.join().unwrap()["result"]["data"]["said"], "21.5");
    });
    drop(device);
    eventually("the device is gone", || present(rig, "devices/7/up").is_empty());
    assert_eq!(rig.server.node().devices.connections(0), 0);
}

#[test]
fn a_device_over_tcp_comes_speaks_is_told_and_asked_and_goes() {
    let rig = start(listener(tcp()));
    whole_life(&rig, Device::connect(&rig));
}

#[test]
fn a_device_over_a_unix_path_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let rig = start(listener(DeviceAddress::Unix(folder.path().join("meters.sock"))));
    let socket = UnixStream::connect(path(&rig)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    whole_life(&rig, Device::on(socket));
}

#[test]
fn a_device_that_is_not_let_in_is_told_so_and_leaves_no_trace() {
    let rig = start(listener(tcp()));
    for login in ["LOGIN 7 wrong", "LOGIN a/b s3cret"] {
        let mut device = Device::connect(&rig);
        device.say(login);
        assert_eq!([device.line(), device.line()], ["NO", ""], "{login}");
    }
    eventually("they are counted", || rig.server.node().devices.refusals.total.total() == 2);
    assert!(present(&rig, "fleet").is_empty());
}

#[test]
fn a_second_connection_ends_the_first_or_is_refused_as_configured() {
    let rig = start(listener(tcp()));
    let mut first = Device::login(&rig, "7");
    let mut second = Device::login(&rig, "7");
    // Its profile has words for a refusal, and says nothing to one that was let in.
    assert_eq!(first.line(), "");
    second.say("UP 1");
    assert_eq!(second.line(), "GOT 1");
    assert_eq!(present(&rig, "devices/7/up"), ["7"]);

    let rig = start(DeviceListener { replaces: false, ..listener(tcp()) });
    let mut first = Device::login(&rig, "7");
    let mut second = Device::connect(&rig);
    second.say("LOGIN 7 s3cret");
    while !second.line().is_empty() {}
    first.say("UP 1");
    assert_eq!(first.line(), "GOT 1");
    drop(first);
    eventually("the name is free again", || present(&rig, "devices/7/up").is_empty());
    Device::login(&rig, "7");
}

/// A browser that sees who comes to the channels and who goes.
pub fn onlooker(rig: &Rig, channels: &[&str]) -> Client {
    let mut browser = rig.connect();
    browser.send("{\"id\":1,\"connect\":{}}\n");
    browser.until("\n");
    for channel in channels {
        browser
            .send(format!("{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\",\"join_leave\":true}}}}\n"));
        browser.until("\"id\":2");
        // It sees itself come.
        browser.until("\"join\":");
        browser.until("\n");
    }
    browser
}

#[test]
fn nobody_sees_a_second_connection_come_or_go_that_is_refused() {
    let channels = ["fleet", "devices/7/up", "devices/7/down"];
    for has_down in [true, false] {
        let with = |spec: &mut ProfileSpec| spec.down = spec.down.take().filter(|_| has_down);
        let rig = start(DeviceListener { replaces: false, ..listener_with(tcp(), with) });
        let mut browser = onlooker(&rig, &channels);
        let mut first = Device::login(&rig, "7");
        for _ in 0..if has_down { 3 } else { 2 } {
            let joined = browser.until("\n");
            assert!(joined.contains("\"join\":{\"info\":{\"user\":\"7\""), "{joined}");
        }
        let mut second = Device::connect(&rig);
        second.say("LOGIN 7 s3cret");
        while !second.line().is_empty() {}
        drop(second);
        eventually("it is given up", || rig.server.node().devices.connections(0) == 1);
        // What was said of the second would come before this.
        first.say("UP 1");
        let next = browser.until("\n");
        assert!(next.contains("{\"n\":1}"), "with down: {has_down}: {next}");
    }
}

#[test]
fn a_request_that_cannot_be_answered_says_why() {
    let rig = start(listener(tcp()));
    let ask = |body: &str| rig.post("/api/device_request", body).json()["error"].clone();
    assert_eq!(ask(r#"{"device":"7"}"#)["code"], 404);
    assert_eq!(ask("{}")["code"], 107);
    assert_eq!(ask(r#"{"device":"7","timeout_ms":0}"#)["code"], 107);
    assert_eq!(ask(r#"{"device":"7","listener":"pump"}"#)["code"], 107);
    let mut device = Device::login(&rig, "7");
    let late = ask(r#"{"device":"7","listener":"meter","data":1,"timeout_ms":50}"#);
    assert_eq!((&late["code"], device.line().as_str()), (&json!(504), "DO 1 1"));
    let by_status =
        rig.post_with("/api/device_request", "X-Centrifugo-Error-Mode: transport\r\n", r#"{"device":"8"}"#);
    assert_eq!(by_status.status(), 404);

    let rig = start(listener_with(tcp(), |spec| spec.request = None));
    let _device = Device::login(&rig, "7");
    let wordless = rig.post("/api/device_request", r#"{"device":"7","data":1}"#).json();
    assert_eq!(wordless["error"]["code"], 108);
}

#[test]
fn a_browser_in_the_channel_sees_the_device_come_speak_and_go() {
    let rig = start(listener(tcp()));
    let mut browser = rig.connect();
    browser.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"devices/7/up\",\"join_leave\":true}}\n");
    browser.until("\"id\":2");
    browser.until("\n");
    let mut device = Device::login(&rig, "7");
    // Its own join comes first.
    while !browser.until("\n").contains("\"join\":{\"info\":{\"user\":\"7\"") {}
    device.say("UP 1");
    let spoken = browser.until("\n");
    assert!(spoken.contains("{\"n\":1}") && spoken.contains("\"user\":\"7\""), "{spoken}");
    drop(device);
    assert!(browser.until("\n").contains("\"leave\""));
}

#[test]
fn two_listeners_may_have_a_device_of_one_name_each() {
    let other = DeviceListener { name: "pump".into(), ..listener(tcp()) };
    let settings = Settings { devices: Arc::new([listener(tcp()), other]), ..rig::settings() };
    let rig = rig::start_with(settings);
    let mut devices = Vec::new();
    for (_, address) in rig.server.device_addresses() {
        let DeviceAddress::Tcp(address) = address else { panic!() };
        let mut device = Device::on(TcpStream::connect(address).unwrap());
        device.say("LOGIN 7 s3cret");
        assert_eq!(device.line(), "WELCOME 7");
        devices.push(device);
    }
    let ambiguous = rig.post("/api/device_request", r#"{"device":"7"}"#).json();
    assert!(ambiguous["error"]["message"].as_str().unwrap().contains("listener"), "{ambiguous}");
    rig.post("/api/device_request", r#"{"device":"7","listener":"pump","data":1,"timeout_ms":50}"#);
    assert_eq!(devices[1].line(), "DO 1 1");
}

#[test]
fn a_drain_ends_devices_too() {
    let rig = start(listener(tcp()));
    let mut device = Device::login(&rig, "7");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(rig.server.drain(100)));
        assert_eq!(device.line(), "");
        drop(device);
    });
    assert_eq!(rig.server.node().devices.connections(0), 0);
}
