//! How sample bytes are cut and read, step by step, for `wharf check`.

use std::{fmt, sync::Arc};

use bytes::BytesMut;

use super::{
    Profile,
    conversation::DeviceConversation,
    framing::{Fault, Piece},
    hex,
    read::{FrameRule, Mismatch, Reading},
};
use crate::{
    PeerError,
    message::{Command, Reply, ReplyBody, Request},
    wire::{Conversation, Event, MessageKind},
};

/// One thing that was found in sample bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it begins.
    pub at: usize,
    /// How many bytes it has.
    pub bytes: usize,
    /// What it is.
    pub kind: StepKind,
}

/// The kinds of [`Step`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// A frame, and lines that say what it is: a subject and what is said of it.
    Frame {
        /// The message in it.
        message: Vec<u8>,
        /// What it says, and what is done with it.
        lines: Vec<(&'static str, String)>,
        /// Some rule means it, and it was not refused.
        is_good: bool,
    },
    /// Marks with nothing between them.
    Nothing,
    /// What is no good frame, and why.
    Bad(String),
    /// A frame that is not whole.
    Incomplete,
    /// Here the connection would be closed; why.
    Closed(String),
}

impl Step {
    /// Whether a device that sends this is understood.
    pub fn is_good(&self) -> bool {
        matches!(self.kind, StepKind::Nothing | StepKind::Frame { is_good: true, .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            0 => write!(formatter, "at {}: ", self.at)?,
            1 => write!(formatter, "byte {}: ", self.at)?,
            bytes => write!(formatter, "bytes {} to {}: ", self.at, self.at + bytes - 1)?,
        }
        match &self.kind {
            StepKind::Nothing => formatter.write_str("marks with nothing between them"),
            StepKind::Bad(why) => formatter.write_str(why),
            StepKind::Incomplete => formatter.write_str("a frame that is not whole; more must come"),
            StepKind::Closed(why) => write!(formatter, "the connection is closed: {why}"),
            StepKind::Frame { message, lines, .. } => {
                write!(formatter, "a frame with a message of {} bytes", message.len())?;
                for (what, words) in lines {
                    write!(formatter, "\n{what:>12}  {words}")?;
                }
                Ok(())
            }
        }
    }
}

/// What a frame is taken for where no login came before it.
const SOMEBODY: &str = "SOMEBODY";

impl Profile {
    /// How these bytes would be cut and read if a device sent them on a new connection (as one datagram, where
    /// datagrams come). Where no login comes first, a device is assumed that is called `SOMEBODY`.
    pub fn try_bytes(self: &Arc<Self>, bytes: &[u8]) -> Vec<Step> {
        let mut conversation = DeviceConversation::new(Arc::clone(self));
        let mut reader = self.framing.reader();
        let (mut steps, mut at, mut ended) = (Vec::new(), 0, false);
        let mut input = bytes.to_vec();
        let fed = reader.feed_pieces(&mut input, &mut |piece| {
            let (bytes, kind) = match piece {
                Piece::Message(bytes, message) => {
                    let (kind, closed) = self.try_message(&mut conversation, message);
                    steps.push(Step { at, bytes, kind });
                    if let Some(closed) = closed.filter(|_| !ended) {
                        ended = true;
                        let reason = StepKind::Closed(closed.disconnect().reason.into_owned());
                        steps.push(Step { at: at + bytes, bytes: 0, kind: reason });
                    }
                    at += bytes;
                    return;
                }
                Piece::Nothing(bytes) => (bytes, StepKind::Nothing),
                Piece::Junk(bytes, why) => (bytes, StepKind::Bad(format!("no frame: {}", why.text()))),
                Piece::Bad(bytes, Fault::Junk(why)) => {
                    (bytes, StepKind::Bad(format!("no frame: {}", why.text())))
                }
                Piece::Bad(bytes, Fault::Checksum { calculated, found }) => {
                    (bytes, StepKind::Bad(self.bad_checksum(calculated, found)))
                }
            };
            steps.push(Step { at, bytes, kind });
            at += bytes;
        });
        if at < bytes.len() && fed.is_ok() {
            steps.push(Step { at, bytes: bytes.len() - at, kind: StepKind::Incomplete });
        }
        if let Err(error) = fed {
            let kind = StepKind::Closed(error.disconnect().reason.into_owned());
            steps.push(Step { at, bytes: bytes.len() - at, kind });
        }
        steps
    }

    fn bad_checksum(&self, calculated: u32, found: Option<u32>) -> String {
        let (name, digits) = self.framing.checksum().map_or(("", 2), |kind| (kind.name(), 2 * kind.width()));
        let found = found.map_or("none".to_owned(), |found| format!("{found:0digits$x}"));
        format!("a frame with a wrong {name}: it says {found}, and its bytes come to {calculated:0digits$x}")
    }

    fn try_message(
        self: &Arc<Self>,
        conversation: &mut DeviceConversation,
        message: &[u8],
    ) -> (StepKind, Option<PeerError>) {
        let mut lines = vec![("message", shown(message))];
        let mut is_good = false;
        for (name, rule) in self.rules() {
            if let Ok(reading) = rule.read(message) {
                is_good = true;
                lines.push(("is", format!("{name}{}", fields(&reading))));
            }
        }
        if !is_good {
            let whys = self.rules().map(|(name, rule)| match rule.read(message) {
                Ok(_) => name,
                Err(mismatch) => format!("not {name}: {mismatch}"),
            });
            lines.extend(whys.map(|why| ("no rule", why)));
        }
        let knows = self.login.rule.read(message).is_ok();
        let mut assumed = DeviceConversation::known(Arc::clone(self), SOMEBODY);
        let conversation = match conversation.is_known() || knows {
            true => conversation,
            false => {
                lines.push(("but", format!("no login came before it; read as one of a device {SOMEBODY}")));
                &mut assumed
            }
        };
        let mut commands = Vec::new();
        let outcome = conversation.decode(MessageKind::Binary, message, &mut commands);
        for command in commands {
            lines.push(("", said(&command)));
            let answer = answered(conversation, command);
            if !answer.is_empty() {
                lines.push(("answered", shown(&answer)));
            }
        }
        if let Err(error) = &outcome {
            is_good = false;
            lines.push(("refused", error.to_string()));
        }
        (StepKind::Frame { message: message.to_vec(), lines, is_good }, outcome.err())
    }

    /// All rules with their keys, in the order in which they are tried.
    fn rules(&self) -> impl Iterator<Item = (String, &FrameRule)> {
        let login = [("login".to_owned(), &self.login.rule)];
        let request = self.request.iter().map(|request| ("request.answer".to_owned(), &request.answer));
        let beat =
            self.heartbeat.iter().filter_map(|beat| Some(("heartbeat".to_owned(), beat.rule.as_ref()?)));
        let up = self.up.iter().enumerate().map(|(at, up)| (format!("up[{at}]"), &up.rule));
        login.into_iter().chain(request).chain(beat).chain(up)
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => formatter.write_str("its length is another"),
            Self::Bytes(at) => write!(formatter, "other bytes stand at {at}"),
            Self::Pattern(at) => {
                write!(formatter, "the pattern does not fit from byte {at} of the message on")
            }
            Self::Field(name) => write!(formatter, "{name} stands beyond its end, or cannot be read"),
        }
    }
}

fn fields(reading: &Reading<'_>) -> String {
    let mut text = String::new();
    for (name, value) in &reading.0 {
        let mut json = BytesMut::new();
        value.write_json(&mut json);
        text += &format!(
            "{}{name} {}",
            if text.is_empty() { ": " } else { ", " },
            String::from_utf8_lossy(&json)
        );
    }
    text
}

/// What a command means, for the device's owner.
fn said(command: &Command) -> String {
    match &command.request {
        Request::Connect(request) => {
            let mut text = String::new();
            if let Some(vouched) = &request.vouched {
                text += &format!("logs in as {}", vouched.user);
                if !vouched.attends.is_empty() {
                    text += &format!("; is seen in {}", vouched.attends.join(", "));
                }
            }
            for sub in &request.subs {
                text += &format!("; is told what is published to {}", sub.channel);
            }
            text
        }
        Request::Publish { channel, data } => {
            format!("publishes to {channel}: {}", String::from_utf8_lossy(data.bytes()))
        }
        Request::Heartbeat => "shows life".to_owned(),
        Request::Answer { data } => format!("answers: {}", String::from_utf8_lossy(data.bytes())),
        other => format!("{other:?}"),
    }
}

/// What the device is answered if all goes well.
fn answered(conversation: &mut DeviceConversation, command: Command) -> BytesMut {
    let mut out = BytesMut::new();
    // Of a reply only its number and that it is good count here.
    let reply = Reply { id: command.id, result: Ok(ReplyBody::Heartbeat) };
    let _never_fails = conversation.encode(Event::Reply(&reply), &mut out);
    out
}

/// Bytes in digits, and as text where they are.
fn shown(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| hex(std::slice::from_ref(byte))).collect();
    let digits = digits.join(" ");
    let text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    match std::str::from_utf8(bytes) {
        Ok(words) if text && !bytes.is_empty() => format!("{digits}  {words:?}"),
        _ => digits,
    }
}

#[cfg(test)]
mod tests;
