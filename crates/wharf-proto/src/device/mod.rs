//! Kinds of devices: trackers, meters, controllers, each with a framing, a login, a heartbeat and messages of its own.
//!
//! A [`ProfileSpec`](spec::ProfileSpec) describes a kind as plain data. [`Profile::new`] checks it, with errors that
//! name the key and the mend, and gives each connection its two parts: a [`Deframer`](crate::wire::Deframer) that cuts its bytes into
//! messages, and a [`Conversation`] that reads these as commands of a session and answers in the device's own words.
//! Outgoing bytes come out of the conversation whole, framed and with their checksum, so the wire of a device is
//! [`Plain`](crate::framing::Plain).
//!
//! | file | knows |
//! |---|---|
//! | `framing` | where frames end, and their checksums |
//! | `read` | which frames are meant, and what stands in them |
//! | `template` | how answers and commands are written |
//! | `login`, `up`, `down`, `request` | one part of a description each |
//! | `conversation` | what a connection says and is told, over all of these |
//! | `explain`, `trial` | the same in words, and step by step for sample bytes |
//!
//! Knows no clock: [`Profile::handle_time`] tells what time templates are to say. A limit that the caller keeps (how
//! long an answer is awaited, how long silence lasts) is handed out as plain data.

pub mod checksum;
mod conversation;
mod down;
mod error;
mod explain;
pub mod framing;
mod login;
mod profile;
mod read;
mod request;
pub mod spec;
mod template;
#[cfg(test)]
mod testing;
mod trial;
mod up;

use bytes::BytesMut;

pub use self::{
    conversation::{ANSWER_BYTES, ASKED, EARLY_FRAMES},
    error::ProfileError,
    framing::{DeviceFraming, FrameReader, Unframeable},
    login::ID_BYTES,
    profile::{Counts, HeartbeatPolicy, LONGEST_BEAT_MS, LONGEST_SILENCE_MS, MOST_PINGS, Profile, RULES},
    read::{FIELD_NAME_BYTES, FIELDS},
    trial::{Step, StepKind},
};
use crate::{
    Disconnect, PeerError,
    message::{Broadcast, Command},
    wire::{Conversation, Dialect, Encoded, Event, Inexpressible, MessageKind},
};

/// The place of devices among the dialects. A connection's own conversation comes from its [`Profile`]; the one that
/// this opens refuses whatever is said to it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Device;

impl Dialect for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(Self)
    }

    /// Nothing: each device has words of its own.
    fn encode_broadcast(&self, _: &Broadcast, _: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Ok(Encoded::Nothing)
    }
}

impl Conversation for Device {
    fn decode(&mut self, _: MessageKind, _: &[u8], _: &mut Vec<Command>) -> Result<(), PeerError> {
        Err(PeerError::Refused(Disconnect::NOT_AVAILABLE.with_reason("this device has no profile")))
    }

    fn encode(&mut self, _: Event<'_>, _: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Ok(Encoded::Nothing)
    }

    fn shares_broadcasts(&self) -> bool {
        false
    }
}

/// Bytes as pairs of hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Pairs of hexadecimal digits as bytes; white space between pairs is left out. None for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let digits: Option<Vec<u8>> =
            word.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect(); // Below 16.
        let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
        bytes.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    Some(bytes)
}
