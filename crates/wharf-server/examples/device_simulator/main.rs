//! Simulated devices, for trying a device listener: each logs in, shows life, sends a numbered message as often as it
//! is told, and prints what it hears.
//!
//! ```text
//! cargo run --example device_simulator -- ascii 127.0.0.1:7000 --devices 3 --messages 5
//! ```
//!
//! The bytes are written by hand, without any of Wharf's code: who reads them is judged by them.

mod ascii;
mod gt06;
mod sensor;
mod speech;

use std::{
    io::{self, Read, Write},
    net::{TcpStream, UdpSocket},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

const USAGE: &str =
    "device_simulator ascii|gt06|sensor ADDRESS [--devices N] [--messages N] [--every MILLISECONDS]

  ascii   ASCII trackers over TCP     *HQ,4100000001,V1,...#
  gt06    binary trackers over TCP    78 78 .. crc 0d 0a
  sensor  sensors over UDP            press-7;P=10.25;T=-3.5;N=1";

/// What one device says, in bytes.
pub trait Speech {
    /// Its first words.
    fn hello(&mut self) -> Vec<u8>;
    /// The message with this number.
    fn message(&mut self, number: u32) -> Vec<u8>;
    /// That it lives.
    fn heartbeat(&mut self) -> Vec<u8>;
    /// What it says to what it has heard, where that asks for an answer.
    fn answer(&mut self, heard: &[u8]) -> Option<Vec<u8>>;
    /// What it has heard, for a person.
    fn show(&self, heard: &[u8]) -> String;
}

struct Wishes {
    devices: u32,
    messages: u32,
    every: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((kind, address, wishes)) = read(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let failed = thread::scope(|scope| {
        let devices: Vec<_> = (1..=wishes.devices)
            .map(|number| {
                let wishes = &wishes;
                scope.spawn(move || match kind {
                    "ascii" => over_tcp(&mut speech::Ascii::new(number), number, address, wishes),
                    "gt06" => over_tcp(&mut speech::Gt06::new(number), number, address, wishes),
                    _ => over_udp(&mut speech::Sensor::new(number), number, address, wishes),
                })
            })
            .collect();
        devices.into_iter().filter_map(|device| device.join().ok()?.err()).last()
    });
    match failed {
        None => ExitCode::SUCCESS,
        Some(error) => {
            eprintln!("device_simulator: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Option<(&str, &str, Wishes)> {
    let [kind, address, flags @ ..] = arguments else { return None };
    if !matches!(kind.as_str(), "ascii" | "gt06" | "sensor") || !flags.len().is_multiple_of(2) {
        return None;
    }
    let mut wishes = Wishes { devices: 1, messages: u32::MAX, every: Duration::from_secs(1) };
    for pair in flags.chunks(2) {
        let value: u32 = pair[1].parse().ok()?;
        match pair[0].as_str() {
            "--devices" => wishes.devices = value,
            "--messages" => wishes.messages = value,
            "--every" => wishes.every = Duration::from_millis(value.into()),
            _ => return None,
        }
    }
    Some((kind, address, wishes))
}

fn over_tcp(device: &mut dyn Speech, number: u32, address: &str, wishes: &Wishes) -> io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    let mut hearing = socket.try_clone()?;
    live(device, number, wishes, &mut |bytes| socket.write_all(bytes), &mut |into, within| {
        hearing.set_read_timeout(Some(within))?;
        match hearing.read(into) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")),
            read => read,
        }
    })
}

fn over_udp(device: &mut dyn Speech, number: u32, address: &str, wishes: &Wishes) -> io::Result<()> {
    let socket = UdpSocket::bind(if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.connect(address)?;
    live(device, number, wishes, &mut |bytes| socket.send(bytes).map(drop), &mut |into, within| {
        socket.set_read_timeout(Some(within))?;
        socket.recv(into)
    })
}

/// Every tenth message is followed by a heartbeat.
const HEARTBEAT_EACH: u32 = 10;

fn live(
    device: &mut dyn Speech,
    number: u32,
    wishes: &Wishes,
    say: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    hear: &mut dyn FnMut(&mut [u8], Duration) -> io::Result<usize>,
) -> io::Result<()> {
    say(&device.hello())?;
    for message in 1..=wishes.messages {
        say(&device.message(message))?;
        if message.is_multiple_of(HEARTBEAT_EACH) {
            say(&device.heartbeat())?;
        }
        let until = Instant::now() + wishes.every;
        let mut piece = [0; 2048];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match hear(&mut piece, left) {
                Ok(count) => {
                    println!("device {number} hears {}", device.show(&piece[..count]));
                    if let Some(answer) = device.answer(&piece[..count]) {
                        println!("device {number} answers {}", device.show(&answer));
                        say(&answer)?;
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
