//! Device listeners on real sockets, each kind of address: what devices are let in, what they say and are told, and
//! what becomes of those that misbehave.
//!
//! The devices here speak lines. `LOGIN id token` logs in, `UP n` publishes, `HB` shows life, `DONE seq text` answers
//! a request.

mod bounds;
mod certificates;
mod datagrams;
#[path = "../http/rig.rs"]
#[allow(dead_code)] // The tests of HTTP use more of it.
mod rig;
mod streams;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wharf::settings::{DEVICE_CONNECTIONS, DeviceAddress, DeviceListener, Settings};
use wharf_proto::device::{
    Profile,
    spec::{
        CutSpec, DownSpec, FrameSpec, FramingSpec, HeartbeatSpec, Junk, LoginSpec, MessageSpec, ProfileSpec,
        Publish, RequestSpec, TemplateSpec, TokenSpec, UpSpec,
    },
};

use crate::rig::Rig;

/// Longer than anything here takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn pattern(text: &str) -> FrameSpec {
    FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() }
}

fn text(text: &str) -> TemplateSpec {
    TemplateSpec::Text(text.into())
}

fn spec() -> ProfileSpec {
    let shared = TokenSpec { field: "token".into(), shared: Some("s3cret".into()), by_id: Vec::new() };
    ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Marks { escape: None },
            start: Vec::new(),
            end: b"\n".to_vec(),
            checksum: None,
            max_bytes: 100,
            junk: Junk::Close,
        },
        login: LoginSpec {
            frame: pattern("LOGIN {id} {token}"),
            id: "id".into(),
            token: Some(shared),
            allow: vec!["*".into()],
            seen_in: vec!["fleet".into()],
            answer: Some(text("WELCOME {id}")),
            refusal: Some(text("NO")),
            strict: false,
        },
        heartbeat: Some(HeartbeatSpec {
            frame: Some(pattern("HB")),
            answer: Some(text("HB OK")),
            send: None,
            interval_ms: 60_000,
            misses: 1,
            only: false,
        }),
        up: vec![UpSpec {
            frame: pattern("UP {n:number}"),
            channel: "devices/{id}/up".into(),
            publish: Publish::Fields,
            with: Vec::new(),
            answer: Some(text("GOT {n}")),
            error: None,
        }],
        down: Some(DownSpec {
            channel: "devices/{id}/down".into(),
            messages: vec![MessageSpec { when: None, template: text("DOWN {data}") }],
        }),
        request: Some(RequestSpec {
            template: text("DO {seq} {data}"),
            answer: pattern("DONE {seq:digits} {said}"),
            seq: Some("seq".into()),
            seq_bits: 16,
            publish: Publish::Fields,
        }),
    }
}

fn listener(address: DeviceAddress) -> DeviceListener {
    listener_with(address, |_| {})
}

fn listener_with(address: DeviceAddress, change: impl FnOnce(&mut ProfileSpec)) -> DeviceListener {
    let mut spec = spec();
    change(&mut spec);
    DeviceListener {
        name: "meter".into(),
        profile: Profile::new(&spec).unwrap(),
        listen: vec![address],
        replaces: true,
        tls: None,
        connections: DEVICE_CONNECTIONS,
    }
}

fn tcp() -> DeviceAddress {
    DeviceAddress::Tcp(any_port())
}

fn udp() -> DeviceAddress {
    DeviceAddress::Udp(any_port())
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Two workers, so that what concerns two connections mostly concerns two threads.
fn start(listener: DeviceListener) -> Rig {
    start_with(listener, rig::settings())
}

fn start_with(listener: DeviceListener, settings: Settings) -> Rig {
    rig::start_with(Settings { devices: Arc::new([listener]), ..settings })
}

/// Where its devices connect.
fn address(rig: &Rig) -> SocketAddr {
    match rig.server.device_addresses() {
        [(0, DeviceAddress::Tcp(address) | DeviceAddress::Tls(address) | DeviceAddress::Udp(address))] => {
            *address
        }
        other => panic!("{other:?}"),
    }
}

fn path(rig: &Rig) -> PathBuf {
    match rig.server.device_addresses() {
        [(0, DeviceAddress::Unix(path))] => path.clone(),
        other => panic!("{other:?}"),
    }
}

/// What was published in a channel so far.
fn history(rig: &Rig, channel: &str) -> Vec<Value> {
    let params = json!({"channel": channel, "limit": -1}).to_string();
    let answer = rig.post("/api/history", &params).json();
    let publications = answer["result"]["publications"].as_array().cloned().unwrap_or_default();
    publications.into_iter().map(|mut publication| publication["data"].take()).collect()
}

/// The users that are present.
fn present(rig: &Rig, channel: &str) -> Vec<String> {
    let answer = rig.post("/api/presence", &json!({"channel": channel}).to_string()).json();
    let members = answer["result"]["presence"].as_object().unwrap();
    members.values().map(|member| member["user"].as_str().unwrap().to_owned()).collect()
}

/// Asks until it holds: what nobody tells, such as the end of another connection.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::yield_now();
    }
}
