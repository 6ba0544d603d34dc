//! What the three kinds of devices say when.

use super::{Speech, ascii, gt06, sensor};

/// An ASCII tracker.
pub struct Ascii(String);

impl Ascii {
    pub fn new(number: u32) -> Self {
        Self(ascii::id(number))
    }
}

impl Speech for Ascii {
    fn hello(&mut self) -> Vec<u8> {
        // Every frame names it.
        ascii::heartbeat(&self.0)
    }

    fn message(&mut self, number: u32) -> Vec<u8> {
        ascii::position(&self.0, number)
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        ascii::heartbeat(&self.0)
    }

    fn answer(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn show(&self, heard: &[u8]) -> String {
        text(heard)
    }
}

/// A binary tracker.
pub struct Gt06 {
    imei: String,
    serial: u16,
}

impl Gt06 {
    pub fn new(number: u32) -> Self {
        Self { imei: gt06::imei(number), serial: 0 }
    }

    fn next(&mut self) -> u16 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }
}

impl Speech for Gt06 {
    fn hello(&mut self) -> Vec<u8> {
        let serial = self.next();
        gt06::login(&self.imei, serial)
    }

    fn message(&mut self, number: u32) -> Vec<u8> {
        // The speed has one byte.
        let (number, serial) = (number as u8, self.next());
        gt06::position(number, serial)
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        gt06::heartbeat(self.next())
    }

    fn answer(&mut self, heard: &[u8]) -> Option<Vec<u8>> {
        let mut heard = heard.to_vec();
        let frames = std::iter::from_fn(|| gt06::take_frame(&mut heard));
        let number = frames.filter_map(|frame| gt06::command(&frame)).last()?;
        Some(gt06::answer(number, "OK!", self.next()))
    }

    fn show(&self, heard: &[u8]) -> String {
        let digits: Vec<String> = heard.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(" ")
    }
}

/// An industrial sensor.
pub struct Sensor(String);

/// The first is `press-7`, whose key stands in the example's configuration; each other needs a key there as well.
const FIRST_SENSOR: u32 = 7;
const KEY: &str = "k3y";

impl Sensor {
    pub fn new(number: u32) -> Self {
        Self(sensor::name(number + FIRST_SENSOR - 1))
    }
}

impl Speech for Sensor {
    fn hello(&mut self) -> Vec<u8> {
        sensor::login(&self.0, KEY)
    }

    fn message(&mut self, number: u32) -> Vec<u8> {
        sensor::reading(&self.0, number)
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        sensor::alive(&self.0)
    }

    fn answer(&mut self, heard: &[u8]) -> Option<Vec<u8>> {
        heard.starts_with(b"PING ").then(|| sensor::alive(&self.0))
    }

    fn show(&self, heard: &[u8]) -> String {
        text(heard)
    }
}

fn text(heard: &[u8]) -> String {
    String::from_utf8_lossy(heard).escape_debug().to_string()
}
