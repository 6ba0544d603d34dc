//! A thousand sensors over UDP on the whole server, with the example's configuration, among strangers that flood. The
//! sensors' bytes are written by hand.

mod common;
#[path = "../examples/device_simulator/sensor.rs"]
mod sensor;

use std::{
    net::UdpSocket,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use common::{
    PATIENCE, eventually,
    fleet::{self, DEVICES, MESSAGES, example, in_parallel, present, watched},
    server::Server,
};
use serde_json::json;

/// How long a datagram may take before it is sent again: UDP may lose any.
const AGAIN: Duration = Duration::from_secs(2);

struct Sensor {
    socket: UdpSocket,
    /// A message was sent more than once, so that it may be published more than once.
    repeated: bool,
}

impl Sensor {
    fn new(address: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(address).expect("an address");
        socket.set_read_timeout(Some(AGAIN)).expect("a timeout");
        Self { socket, repeated: false }
    }

    /// Says this until this is the answer.
    #[track_caller]
    fn say(&mut self, said: &[u8], answer: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        self.socket.send(said).expect("a datagram");
        loop {
            match self.hear() {
                Some(heard) if heard.contains(answer) => return,
                Some(_) => {}
                None => {
                    assert!(std::time::Instant::now() < deadline, "no {answer:?} came");
                    self.repeated = true;
                    self.socket.send(said).expect("a datagram");
                }
            }
        }
    }

    fn hear(&self) -> Option<String> {
        let mut into = [0; 2048];
        let count = self.socket.recv(&mut into).ok()?;
        Some(String::from_utf8(into[..count].to_vec()).expect("the server says text"))
    }
}

fn live(number: u32, address: &str) -> Sensor {
    let name = sensor::name(number);
    let mut sensor = Sensor::new(address);
    sensor.say(&sensor::login(&name, "k3y"), &format!("OK {name}"));
    let mut message = 1;
    while message <= MESSAGES {
        let mut said = sensor::reading(&name, message);
        // One of three says two things at once.
        if number.is_multiple_of(3) && message < MESSAGES {
            message += 1;
            said.push(b'\n');
            said.extend(sensor::reading(&name, message));
        }
        sensor.say(&said, &format!("ACK {message}"));
        message += 1;
    }
    sensor
}

fn start() -> (Server, String) {
    // In the example every device has a key of its own.
    let own = "by_id = { press-7 = \"k3y\", oven-1 = \"other\" }";
    let toml = example("udp_sensor.toml");
    assert!(toml.contains(own));
    let server = fleet::start(&toml.replace(own, "shared = \"k3y\""));
    let (scheme, address) = server.devices("sensor");
    assert_eq!(scheme, "udp");
    (server, address)
}

fn up(number: u32) -> String {
    format!("devices/{}/up", sensor::name(number))
}

// Rows 52 and 53.
#[test]
fn a_thousand_sensors_are_served_once_and_in_order_among_strangers_that_flood() {
    let (server, address) = start();
    let channels: Vec<String> = (1..=DEVICES).map(up).collect();
    let sensors = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let heard = watched(&server, &channels, (DEVICES * MESSAGES) as usize, || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seed = 0;
                while !over.load(Ordering::Relaxed) {
                    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
                    for said in [
                        fleet::noise(seed, 60),
                        sensor::alive("press-1"),
                        sensor::reading("press-1", 1),
                        sensor::login("press-1", "guess"),
                    ] {
                        stranger.send_to(&said, &address).expect("a datagram");
                    }
                    seed += 1;
                    // Not more than the kernel holds, or good ones are lost as well.
                    std::thread::yield_now();
                }
            });
            in_parallel(DEVICES, |number| {
                let sensor = live(number, &address);
                sensors.lock().expect("no thread has failed").push((number, sensor));
            });
            over.store(true, Ordering::Relaxed);
        });
    });
    let sensors = sensors.into_inner().expect("no thread has failed");
    let once = sensors.iter().filter(|(_, sensor)| !sensor.repeated);
    let mut checked = 0;
    for (number, _) in once {
        let published = &heard[&up(*number)];
        let numbers: Vec<String> = published.iter().map(|data| data["seq"].to_string()).collect();
        let expected: Vec<String> = (1..=MESSAGES).map(|message| format!("\"{message}\"")).collect();
        assert_eq!(numbers, expected, "sensor {number}");
        checked += 1;
    }
    assert!(checked > DEVICES / 2, "the kernel lost datagrams of all but {checked} sensors");
    assert_eq!(present(&server, &up(1)), 1);
    // Nobody else has a connection but the sensors.
    assert_eq!(server.metric("wharf_devices"), u64::from(DEVICES));
    assert!(server.metric("wharf_device_refusals_total") > 0);
}

#[test]
fn a_sensor_is_told_what_is_published_to_it_and_nothing_larger_goes_to_who_is_refused() {
    let (server, address) = start();
    let sensor = live(7, &address);
    server
        .api("publish", &json!({"channel": "devices/press-7/down", "data": {"name": "limit", "value": 12}}));
    while !sensor.hear().expect("it comes in time").contains("SET limit 12") {}
    let stranger = Sensor::new(&address);
    stranger.socket.send(&sensor::login("press-8", "guess")).expect("a datagram");
    assert!(stranger.hear().expect("a refusal").starts_with("NO"));
    eventually("it is told of", PATIENCE, || server.log().contains("the token of device"));
    assert_eq!(present(&server, &up(8)), 0);
}
