//! One device's half of the conversation: what its frames ask of a session, and what the session answers in its words.
//!
//! A frame is read once. What it is to be answered is worked out at once too, and waits under the number of its
//! command until the session says how it went.

mod pending;
#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::Ordering};

use bytes::{BufMut, BytesMut};

pub use self::pending::{ANSWER_BYTES, ASKED};
use self::pending::{Asked, Pending};
use super::{
    profile::Profile,
    read::Reading,
    template::{Content, Filling, Template},
    up,
};
use crate::{
    Disconnect, PeerError,
    message::{
        Broadcast, BroadcastBody, Command, ConnectRequest, Data, Publication, Push, Reply, ReplyBody,
        Request, SubscribeRequest, Vouched,
    },
    wire::{Conversation, Encoded, Event, Inexpressible, MessageKind},
};

/// So many frames that name nobody may come before the login. LIMITS.md, `EARLY_FRAMES`.
pub const EARLY_FRAMES: u8 = 16;

/// The conversation of one connection.
pub(super) struct DeviceConversation {
    profile: Arc<Profile>,
    state: State,
    /// The number of the last command.
    last_id: u32,
    /// Counts what is sent unasked.
    seq: u32,
    pending: Pending,
    asked: Asked,
}

/// Whether a frame is a login too.
#[derive(Clone, Copy)]
enum Named<'a> {
    /// It is none.
    Not,
    /// It has just let the device in.
    First,
    /// It says again who it is.
    Again(&'a Reading<'a>),
}

enum State {
    /// So many frames came that name nobody.
    Unknown(u8),
    /// This device.
    Known(Box<str>),
    /// It was not let in; what it is told of that.
    Refused(Box<[u8]>),
}

impl DeviceConversation {
    /// The conversation of a device that logged in before, in order to try its frames.
    pub fn known(profile: Arc<Profile>, id: &str) -> Self {
        Self { state: State::Known(id.into()), last_id: 1, ..Self::new(profile) }
    }

    pub fn is_known(&self) -> bool {
        matches!(self.state, State::Known(_))
    }

    pub fn new(profile: Arc<Profile>) -> Self {
        let (pending, asked) = (Pending::default(), Asked::default());
        Self { profile, state: State::Unknown(0), last_id: 0, seq: 0, pending, asked }
    }

    /// The number of the next command; never 0, which would mean that no answer is awaited.
    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// The number of what is said next, by one of these: the next one only if one of them says it.
    fn count(&mut self, templates: [Option<&Template>; 2]) -> u32 {
        if templates.into_iter().flatten().any(Template::counts) {
            self.seq = self.seq.wrapping_add(1);
        }
        self.seq
    }

    /// What a template says in answer to a frame; nothing where there is none, or where it cannot be said.
    fn answer(&mut self, template: Option<&Template>, id: &str, reading: &Reading<'_>) -> Box<[u8]> {
        let seq = self.count([template, None]);
        self.numbered(template, seq, id, reading)
    }

    /// As [`Self::answer`], with this number.
    fn numbered(&self, template: Option<&Template>, seq: u32, id: &str, reading: &Reading<'_>) -> Box<[u8]> {
        let Some(template) = template else { return Box::default() };
        let filling = Filling { id, seq, reading: Some(reading), ..Filling::default() };
        let mut out = BytesMut::new();
        if self.profile.say(template, &filling, &mut out).is_err() {
            self.profile.undeliverable.fetch_add(1, Ordering::Relaxed);
        }
        out[..].into()
    }

    /// Puts a command on the list, with what its reply is answered.
    fn ask(
        &mut self,
        request: Request,
        answers: [Box<[u8]>; 2],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        let id = self.next_id();
        if self.pending.push(id, answers) {
            commands.push(Command { id, request });
            return Ok(());
        }
        Err(PeerError::Refused(
            Disconnect::TOO_MANY_REQUESTS.with_reason("too many frames wait for their answers"),
        ))
    }

    /// A frame of somebody who is not known yet.
    fn log_in(&mut self, message: &[u8], early: u8, commands: &mut Vec<Command>) -> Result<(), PeerError> {
        let profile = Arc::clone(&self.profile);
        let login = &profile.login;
        let Ok(reading) = login.rule.read(message) else {
            if login.strict || early >= EARLY_FRAMES {
                let reason = "the first frame must be a login";
                return Err(PeerError::Refused(Disconnect::BAD_REQUEST.with_reason(reason)));
            }
            profile.unmatched.fetch_add(1, Ordering::Relaxed);
            self.state = State::Unknown(early + 1);
            return Ok(());
        };
        let id = login.name(&reading).unwrap_or_default();
        if let Err(disconnect) = login.admit(&id, &reading) {
            self.state = State::Refused(self.answer(login.refusal.as_ref(), &id, &reading));
            return Err(PeerError::Refused(disconnect));
        }
        let answer = self.answer(login.answer.as_ref(), &id, &reading);
        self.ask(Request::Connect(Box::new(connect(&profile, &id))), [answer, Box::default()], commands)?;
        self.state = State::Known(id.as_str().into());
        // A device may name itself in every frame, and this one may say more than that.
        self.take(message, &id, Named::First, commands)
    }

    /// A frame of a device that is known.
    fn take(
        &mut self,
        message: &[u8],
        id: &str,
        named: Named<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        let profile = Arc::clone(&self.profile);
        if let Some((number, data)) = self.asked.answer(&profile, message) {
            commands.push(Command { id: number, request: Request::Answer { data } });
            return Ok(());
        }
        let beat = profile.heartbeat.as_ref();
        if let Some(beat) = beat
            && let Some(Ok(reading)) = beat.rule.as_ref().map(|rule| rule.read(message))
        {
            let answer = self.answer(beat.answer.as_ref(), id, &reading);
            return self.ask(Request::Heartbeat, [answer, Box::default()], commands);
        }
        for up in &profile.up {
            let Ok(reading) = up.rule.read(message) else { continue };
            let Ok(data) = up.data(message, &reading) else {
                let error = self.answer(up.error.as_ref(), id, &reading);
                // It cannot be published, and never will; the device is told by way of a sign of life.
                profile.unmatched.fetch_add(1, Ordering::Relaxed);
                return self.ask(Request::Heartbeat, [error, Box::default()], commands);
            };
            // One of them is said.
            let said = [up.answer.as_ref(), up.error.as_ref()];
            let seq = self.count(said);
            let answers = said.map(|template| self.numbered(template, seq, id, &reading));
            let channel = up.channel.of(id).into();
            return self.ask(Request::Publish { channel, data }, answers, commands);
        }
        match named {
            Named::First => Ok(()),
            // Its answer may have been lost.
            Named::Again(reading) => {
                let answer = self.answer(profile.login.answer.as_ref(), id, reading);
                self.ask(Request::Heartbeat, [answer, Box::default()], commands)
            }
            Named::Not => {
                profile.unmatched.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// A frame of a device that is known, which may name another.
    fn take_named(&mut self, message: &[u8], id: &str, commands: &mut Vec<Command>) -> Result<(), PeerError> {
        let profile = Arc::clone(&self.profile);
        let Ok(reading) = profile.login.rule.read(message) else {
            return self.take(message, id, Named::Not, commands);
        };
        let named = profile.login.name(&reading).unwrap_or_default();
        if named != id {
            let reason = format!("a frame names another device than {id}");
            return Err(PeerError::Refused(Disconnect::BAD_REQUEST.with_reason(reason)));
        }
        profile.login.admit(id, &reading).map_err(PeerError::Refused)?;
        self.take(message, id, Named::Again(&reading), commands)
    }

    /// Says something of the server's own accord.
    fn tell(&mut self, template: &Template, data: Option<&Data>, out: &mut BytesMut) -> Encoded {
        let State::Known(id) = &self.state else { return Encoded::Nothing };
        let (id, profile) = (id.clone(), Arc::clone(&self.profile));
        let content = data.map(Content::new);
        let filling = Filling {
            id: &id,
            seq: self.count([Some(template), None]),
            data: content.as_ref(),
            ..Filling::default()
        };
        match profile.say(template, &filling, out) {
            Ok(()) => Encoded::Message(MessageKind::Binary),
            Err(_) => {
                profile.undeliverable.fetch_add(1, Ordering::Relaxed);
                Encoded::Nothing
            }
        }
    }

    fn publication(&mut self, channel: &str, publication: &Publication, out: &mut BytesMut) -> Encoded {
        let State::Known(id) = &self.state else { return Encoded::Nothing };
        let profile = Arc::clone(&self.profile);
        let Some(down) = profile.down.as_ref().filter(|down| down.channel.of(id) == channel) else {
            return Encoded::Nothing;
        };
        match down.message(&Content::new(&publication.data)) {
            Some(message) => self.tell(&message.template, Some(&publication.data), out),
            None => {
                profile.undeliverable.fetch_add(1, Ordering::Relaxed);
                Encoded::Nothing
            }
        }
    }

    fn reply(&mut self, reply: &Reply, out: &mut BytesMut) -> Encoded {
        let [answer, error] = self.pending.take(reply.id).unwrap_or_default();
        match &reply.result {
            Ok(body) => {
                out.put_slice(&answer);
                if let ReplyBody::Connect(result) = body {
                    for (channel, result) in &result.subs {
                        self.missed(channel.as_str(), &result.publications, out);
                    }
                }
            }
            Err(_) => out.put_slice(&error),
        }
        Encoded::Message(MessageKind::Binary)
    }

    /// What the device missed while it was away.
    fn missed(&mut self, channel: &str, publications: &[Arc<Publication>], out: &mut BytesMut) {
        for publication in publications {
            self.publication(channel, publication, out);
        }
    }

    fn push(&mut self, push: &Push, out: &mut BytesMut) -> Encoded {
        let profile = Arc::clone(&self.profile);
        match push {
            Push::Broadcast(said) => {
                let Broadcast { channel, body: BroadcastBody::Publication { publication, .. } } = &**said
                else {
                    return Encoded::Nothing;
                };
                self.publication(channel.as_str(), publication, out)
            }
            Push::Subscribe { channel, result } => {
                self.missed(channel.as_str(), &result.publications, out);
                Encoded::Message(MessageKind::Binary)
            }
            Push::Ping => match profile.heartbeat.as_ref().and_then(|beat| beat.send.as_ref()) {
                Some(send) => self.tell(send, None, out),
                None => Encoded::Nothing,
            },
            Push::Ask { id, data } => self.question(*id, data, out),
            Push::Disconnect(_) => {
                if let State::Refused(refusal) = &self.state {
                    out.put_slice(refusal);
                }
                Encoded::Message(MessageKind::Binary)
            }
            Push::Message { .. } | Push::Unsubscribe { .. } => Encoded::Nothing,
        }
    }

    fn question(&mut self, number: u32, data: &Data, out: &mut BytesMut) -> Encoded {
        let (State::Known(id), Some(request)) = (&self.state, &self.profile.request) else {
            return Encoded::Nothing;
        };
        let shown = request.shown(number);
        if self.asked.confuses((!request.is_ordered()).then_some(shown)) {
            return Encoded::Nothing;
        }
        let content = Content::new(data);
        let filling = Filling { id, seq: shown, data: Some(&content), ..Filling::default() };
        match self.profile.say(&request.template, &filling, out) {
            Ok(()) => {
                self.asked.push(shown, number);
                Encoded::Message(MessageKind::Binary)
            }
            Err(_) => {
                self.profile.undeliverable.fetch_add(1, Ordering::Relaxed);
                Encoded::Nothing
            }
        }
    }
}

/// What a session is told of a device that was let in.
fn connect(profile: &Profile, id: &str) -> ConnectRequest {
    let down = profile.down.as_ref().map(|down| down.channel.of(id));
    let mut attends: Vec<Box<str>> = Vec::new();
    for channel in profile.up.iter().map(|up| &up.channel).chain(&profile.login.seen_in) {
        let channel = channel.of(id);
        if down.as_ref() != Some(&channel) && !attends.iter().any(|known| **known == *channel) {
            attends.push(channel.into());
        }
    }
    let subs = down
        .into_iter()
        .map(|channel| SubscribeRequest { channel: channel.into(), ..SubscribeRequest::default() });
    ConnectRequest {
        name: "device".into(),
        subs: subs.collect(),
        vouched: Some(Vouched { user: id.into(), attends }),
        ..ConnectRequest::default()
    }
}

impl Conversation for DeviceConversation {
    fn decode(
        &mut self,
        _kind: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        match &self.state {
            State::Unknown(early) => self.log_in(message, *early, commands),
            State::Known(id) => {
                let id = id.clone();
                self.take_named(message, &id, commands)
            }
            State::Refused(_) => Ok(()), // It is being closed.
        }
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        let begun = out.len();
        let encoded = match event {
            Event::Reply(Reply { result: Err(_), id }) if *id == 1 => {
                // The login was good, and the server cannot take it.
                return Ok(Encoded::Disconnect(Disconnect::SERVER_ERROR.code));
            }
            Event::Reply(reply) => self.reply(reply, out),
            Event::Push(push) => self.push(push, out),
        };
        Ok(if out.len() == begun { Encoded::Nothing } else { encoded })
    }

    fn forget_question(&mut self, number: u32) {
        self.asked.forget(number);
    }

    /// Each device is told in words that hold its id.
    fn shares_broadcasts(&self) -> bool {
        false
    }
}

/// What a frame answers, in the device's own order or by number.
impl Asked {
    fn answer(&mut self, profile: &Profile, message: &[u8]) -> Option<(u32, Data)> {
        let request = profile.request.as_ref().filter(|_| !self.is_empty())?;
        let reading = request.answer.read(message).ok()?;
        let answered = request.answered(&reading)?;
        let data = up::data(request.publish, message, &reading, &[]).ok()?;
        Some((self.take(answered)?, data))
    }
}
