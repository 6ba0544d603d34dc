//! A thousand simulated devices at once, and who watches what becomes of them.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use serde_json::{Value, json};

use super::{
    PATIENCE,
    server::{Server, Setup},
};

/// How many well-behaved devices there are.
pub const DEVICES: u32 = 1_000;
/// How many messages each sends.
pub const MESSAGES: u32 = 10;
/// How many threads drive them.
const THREADS: usize = 8;

/// One of the examples' configurations, on ports that the system chooses, asked with the key of the tests.
pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/devices").join(name);
    let mut text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for port in ["7000", "7001", "7002"] {
        text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    text.replace("change-me", "of-the-tests")
}

/// The whole server with this configuration, for a client that watches all devices.
#[track_caller]
pub fn start(toml: &str) -> Server {
    Setup::new()
        .configuration(toml)
        .variable("WHARF_LIMITS__CHANNELS_PER_CLIENT", "2000")
        .variable("WHARF_LIMITS__OUTBOX_BYTES", "16777216")
        .variable("WHARF_TIMES__AUTHENTICATE", "5s")
        .start()
}

/// Calls `live` for each number up to `count`, on several threads.
pub fn in_parallel(count: u32, live: impl Fn(u32) + Sync) {
    let next = AtomicU32::new(1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > count {
                        return;
                    }
                    live(number);
                }
            });
        }
    });
}

/// Subscribes to these channels, runs `act`, and then tells what was published in each channel until `expected`
/// publications have come; and that none came after those, by one more that it publishes itself.
#[track_caller]
pub fn watched(server: &Server, channels: &[String], expected: usize, act: impl FnOnce()) -> Heard {
    thread::scope(|scope| {
        let (ready, is_ready) = mpsc::channel();
        let watcher = scope.spawn(move || {
            let mut client = server.lines();
            client.connect();
            for channel in channels {
                client.subscribe(channel);
            }
            ready.send(()).expect("the test waits for it");
            let mut heard = Heard::new();
            let (mut count, mut asked) = (0, false);
            loop {
                let mut push = client.push();
                let channel = push["channel"].as_str().expect("a push has a channel").to_owned();
                let data = push["pub"]["data"].take();
                if data == json!("the end") {
                    return heard;
                }
                heard.entry(channel).or_default().push(data);
                count += 1;
                if count >= expected && !asked {
                    asked = true;
                    // Behind whatever else there is, in one channel; order is kept within a channel only, and so each
                    // channel's own publications are compared.
                    server.api("publish", &json!({"channel": channels[0], "data": "the end"}));
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("the watcher subscribes");
        act();
        watcher.join().expect("the watcher hears everything")
    })
}

/// What was published in each channel, in its order.
pub type Heard = HashMap<String, Vec<Value>>;

/// How many are present in a channel.
#[track_caller]
pub fn present(server: &Server, channel: &str) -> u64 {
    let stats = server.api("presence_stats", &json!({"channel": channel}));
    stats["num_clients"].as_u64().expect("a number")
}

/// A stream to a device listener, and what was heard on it.
pub struct Line {
    pub socket: TcpStream,
    pub heard: Vec<u8>,
}

impl Line {
    #[track_caller]
    pub fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_nodelay(true).expect("an option");
        Self { socket, heard: Vec::new() }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    /// Says the same in pieces, cut at places that `seed` decides.
    pub fn say_in_pieces(&mut self, mut bytes: &[u8], mut seed: u32) {
        while !bytes.is_empty() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (piece, rest) = bytes.split_at((seed >> 24) as usize % 9 % bytes.len() + 1);
            self.say(piece);
            bytes = rest;
        }
    }

    /// Hears on until `enough`.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut enough: impl FnMut(&mut Vec<u8>) -> bool) {
        let mut piece = [0; 2048];
        while !enough(&mut self.heard) {
            let count = self.socket.read(&mut piece).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(count > 0, "{what}: the server ended the connection after {:?}", self.heard);
            self.heard.extend_from_slice(&piece[..count]);
        }
    }

    /// Says this until the server ends the connection; what it was told before.
    #[track_caller]
    pub fn until_ended(mut self, mut bytes: impl FnMut() -> Vec<u8>) -> Vec<u8> {
        self.socket.set_nonblocking(true).expect("an option");
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut piece = [0; 2048];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return self.heard,
                Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return self.heard,
            }
            let said = self.socket.write(&bytes());
            if said.is_ok_and(|count| count == 0) || self.heard.is_empty() {
                thread::yield_now();
            }
            assert!(std::time::Instant::now() < deadline, "a flood is not ended");
        }
    }
}

/// Bytes without a pattern.
pub fn noise(mut seed: u32, count: usize) -> Vec<u8> {
    let next = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..count).map(next).collect()
}
