//! A kind of device, checked and ready.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::BytesMut;

use super::{
    conversation::{ASKED, DeviceConversation},
    down::Down,
    error::ProfileError,
    framing::DeviceFraming,
    login::Login,
    read::FrameRule,
    request::Asking,
    spec::{HeartbeatSpec, ProfileSpec},
    template::{Content, Filling, Scope, Template},
    up::Up,
};
use crate::{
    message::Data,
    wire::{Conversation, Deframer},
};

/// The most rules of one kind (up, down, members of an object) that a description may have. LIMITS.md, `RULES`.
pub const RULES: usize = 64;

/// The longest time between two heartbeats, in milliseconds: a day. LIMITS.md, `LONGEST_BEAT_MS`.
pub const LONGEST_BEAT_MS: u64 = 86_400_000;

/// The longest silence of a device, in milliseconds: 15 days. LIMITS.md, `LONGEST_SILENCE_MS`.
pub const LONGEST_SILENCE_MS: u64 = 15 * LONGEST_BEAT_MS;

/// The most pings in a row that a device may leave unanswered. LIMITS.md, `MOST_PINGS`.
pub const MOST_PINGS: u32 = 15;

/// A kind of device. Shared by all its connections.
#[derive(Debug)]
pub struct Profile {
    pub(super) framing: DeviceFraming,
    pub(super) login: Login,
    pub(super) heartbeat: Option<Beat>,
    pub(super) up: Vec<Up>,
    pub(super) down: Option<Down>,
    pub(super) request: Option<Asking>,
    unix_ms: AtomicU64,
    pub(super) unmatched: AtomicU64,
    pub(super) undeliverable: AtomicU64,
}

/// A [`HeartbeatSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Beat {
    pub rule: Option<FrameRule>,
    pub answer: Option<Template>,
    pub send: Option<Template>,
    pub policy: HeartbeatPolicy,
}

/// How devices of a kind show life, for whoever keeps the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatPolicy {
    /// How often something must come, in milliseconds; and how often the server sends, where it does.
    pub interval_ms: u64,
    /// How many times in a row nothing may come.
    pub misses: u32,
    /// The server sends ([`Push::Ping`](crate::message::Push::Ping)) and the device answers.
    pub pings: bool,
    /// Only frames that are heartbeats count ([`Request::Heartbeat`](crate::message::Request::Heartbeat)); otherwise
    /// anything that comes does.
    pub only: bool,
}

impl HeartbeatPolicy {
    /// How long a device may be silent, in milliseconds.
    pub fn silence_ms(&self) -> u64 {
        self.interval_ms.saturating_mul(u64::from(self.misses) + 1)
    }
}

/// What a kind of device said and could not be told, over all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes that were no frame.
    pub junk_bytes: u64,
    /// Frames with a wrong checksum.
    pub bad_checksums: u64,
    /// Frames that no rule means, or that could not be published as their rule says.
    pub unmatched: u64,
    /// Messages to devices that their template or the framing cannot carry.
    pub undeliverable: u64,
}

impl Profile {
    /// Checks a description.
    ///
    /// # Errors
    /// Names the first key that is at fault, and the mend.
    pub fn new(spec: &ProfileSpec) -> Result<Arc<Self>, ProfileError> {
        let framing = DeviceFraming::new(&spec.framing)?;
        let login = Login::new(&spec.login).map_err(|error| error.below("login"))?;
        let heartbeat = spec.heartbeat.as_ref().map(Beat::new).transpose();
        let heartbeat = heartbeat.map_err(|error| error.below("heartbeat"))?;
        for (key, count) in [
            ("up", spec.up.len()),
            ("down.messages", spec.down.as_ref().map_or(0, |down| down.messages.len())),
        ] {
            if count > RULES {
                return Err(ProfileError::new(
                    key,
                    format!("has {count} entries; at most {RULES} are allowed"),
                ));
            }
        }
        let mut up = Vec::new();
        for (at, spec) in spec.up.iter().enumerate() {
            up.push(Up::new(spec).map_err(|error| error.below(&format!("up[{at}]")))?);
        }
        let down = spec.down.as_ref().map(Down::new).transpose().map_err(|error| error.below("down"))?;
        let request = spec.request.as_ref().map(Asking::new).transpose();
        let request = request.map_err(|error| error.below("request"))?;
        if let Some(down) = &down
            && up.iter().any(|up| up.channel == down.channel)
        {
            return Err(ProfileError::new(
                "down.channel",
                "is a channel of `up`: the device would be told what it says itself",
            ));
        }
        Ok(Arc::new(Self {
            framing,
            login,
            heartbeat,
            up,
            down,
            request,
            unix_ms: AtomicU64::new(0),
            unmatched: AtomicU64::new(0),
            undeliverable: AtomicU64::new(0),
        }))
    }

    /// The reading side of one connection; of one peer, where datagrams come.
    pub fn deframer(&self) -> Box<dyn Deframer> {
        Box::new(self.framing.reader())
    }

    /// The conversation of one connection. It speaks [`Plain`](crate::framing::Plain): what it encodes is framed.
    pub fn conversation(self: &Arc<Self>) -> Box<dyn Conversation> {
        Box::new(DeviceConversation::new(Arc::clone(self)))
    }

    /// The framing by itself.
    pub fn framing(&self) -> &DeviceFraming {
        &self.framing
    }

    /// How its devices show life; none where only the transport shows it.
    pub fn heartbeat(&self) -> Option<HeartbeatPolicy> {
        self.heartbeat.as_ref().map(|beat| beat.policy)
    }

    /// Whether its devices can be asked for something ([`Push::Ask`](crate::message::Push::Ask)).
    pub fn answers_requests(&self) -> bool {
        self.request.is_some()
    }

    /// How many questions may be open at once, so that no answer is taken for another's: one where answers come without
    /// a number, as many as its bits tell apart otherwise, [`ASKED`] at the most.
    pub fn questions_at_once(&self) -> usize {
        self.request.as_ref().map_or(ASKED, |request| request.at_once().min(ASKED))
    }

    /// The number of a question, as its devices are told it. Two that are open must differ in it.
    pub fn shown_number(&self, number: u32) -> u32 {
        self.request.as_ref().map_or(number, |request| request.shown(number))
    }

    /// Whether a device could be asked for this.
    ///
    /// # Errors
    /// Why it could not, for whoever asks.
    pub fn check_request(&self, data: &Data) -> Result<(), String> {
        let Some(request) = &self.request else {
            return Err(
                "this kind of device answers no requests; its configuration has no [device.request]".into()
            );
        };
        let content = Content::new(data);
        let filling = Filling { data: Some(&content), id: "id", ..Filling::default() };
        self.say(&request.template, &filling, &mut BytesMut::new())
    }

    /// Whether any template says what time it is, so that [`Profile::handle_time`] must be called.
    pub fn tells_time(&self) -> bool {
        let beat = self.heartbeat.iter().flat_map(|beat| [&beat.answer, &beat.send]).flatten();
        let up = self.up.iter().flat_map(|up| [&up.answer, &up.error]).flatten();
        let down = self.down.iter().flat_map(|down| &down.messages).map(|message| &message.template);
        let login = [&self.login.answer, &self.login.refusal].into_iter().flatten();
        let request = self.request.iter().map(|request| &request.template);
        beat.chain(up).chain(down).chain(login).chain(request).any(Template::tells_time)
    }

    /// It is so many milliseconds after 1970 (UTC): what templates say from now on, on all connections.
    pub fn handle_time(&self, unix_ms: u64) {
        self.unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    pub(super) fn unix_ms(&self) -> u64 {
        self.unix_ms.load(Ordering::Relaxed)
    }

    /// What was left out so far.
    pub fn counts(&self) -> Counts {
        Counts {
            junk_bytes: self.framing.counters().junk_bytes(),
            bad_checksums: self.framing.counters().bad_checksums(),
            unmatched: self.unmatched.load(Ordering::Relaxed),
            undeliverable: self.undeliverable.load(Ordering::Relaxed),
        }
    }

    /// Appends what a template says, framed. On an error `out` is as it was.
    pub(super) fn say(
        &self,
        template: &Template,
        filling: &Filling<'_>,
        out: &mut BytesMut,
    ) -> Result<(), String> {
        let filling = Filling { unix_ms: self.unix_ms(), ..*filling };
        let mut message = BytesMut::new();
        template.fill(&filling, &mut message).map_err(|error| error.to_string())?;
        self.framing.try_frame(&message, out).map_err(|error| error.to_string())
    }
}

impl Beat {
    fn new(spec: &HeartbeatSpec) -> Result<Self, ProfileError> {
        let fault = |key: &str, message: &str| Err(ProfileError::new(key, message));
        let rule = spec.frame.as_ref().map(FrameRule::new).transpose()?;
        if rule.as_ref().is_some_and(FrameRule::is_any) {
            return fault(
                "pattern",
                "every frame would be a heartbeat; say which are, or leave it out and write only = false",
            );
        }
        let names = rule.as_ref().map(FrameRule::names).unwrap_or_default();
        let scope = Scope { fields: &names, has_data: false };
        if spec.answer.is_some() && rule.is_none() {
            return fault("answer", "answers nothing; say which frames are heartbeats");
        }
        if spec.only && rule.is_none() {
            return fault("only", "no frame is a heartbeat; say which are");
        }
        if !(1..=LONGEST_BEAT_MS).contains(&spec.interval_ms) {
            return fault(
                "interval",
                "write how often something must come, such as \"60s\", and at most a day",
            );
        }
        let answer = spec.answer.as_ref().map(|answer| Template::new(answer, scope)).transpose();
        let answer = answer.map_err(|error| error.below("answer"))?;
        let send = spec.send.as_ref().map(|send| Template::new(send, Scope::default())).transpose();
        let send = send.map_err(|error| error.below("send"))?;
        let policy = HeartbeatPolicy {
            interval_ms: spec.interval_ms,
            misses: spec.misses,
            pings: send.is_some(),
            only: spec.only,
        };
        if policy.pings && !(1..=MOST_PINGS).contains(&policy.misses) {
            let message = format!(
                "write a number from 1 to {MOST_PINGS}: how many pings (`send`) in a row may stay without an answer"
            );
            return fault("misses", &message);
        }
        if policy.silence_ms() > LONGEST_SILENCE_MS {
            return fault(
                "misses",
                "`interval` x (`misses` + 1) is more than 15 days; write a smaller number",
            );
        }
        Ok(Self { rule, answer, send, policy })
    }
}

#[cfg(test)]
mod tests;
