//! One connection of the generator's: it opens step by step, then counts what it hears and answers what it must.

use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use mio::net::TcpStream;

use super::{
    compression::Inflated,
    dial::Target,
    generator::Shape,
    message::{self, CONNECT_ID, Heard, PUBLISH_ID, Position, SUBSCRIBE_ID, Subscribed, Template},
    socket::Socket,
    tally::Tally,
    wire::{Out, Transport, Unit, Wire},
};

/// What all connections of a generator share: what they say, and the tally.
pub struct Shared {
    epoch: Instant,
    pub target: Target,
    shape: Shape,
    pub out: Out,
    pub inflated: Inflated,
    /// Whether each answer is followed by the next question at once. Otherwise who was answered is noted in `idle`.
    pub asking: bool,
    pub idle: Vec<usize>,
    /// What connections ask, one for each channel where it is a publication.
    pub questions: Vec<Template>,
    pub positions: Positions,
    pub tally: Tally,
}

/// Positions by channel, for clients that come back.
#[derive(Debug, Default)]
pub struct Positions {
    /// Where subscriptions recover from.
    pub from: Vec<Option<Position>>,
    /// Where they are when they are made. Nothing is noted in an empty table.
    pub noted: Vec<Option<Position>>,
}

impl Shared {
    pub fn new(target: Target, shape: Shape) -> Self {
        Self {
            epoch: Instant::now(),
            target,
            shape,
            out: Out::default(),
            inflated: Inflated::new(),
            asking: false,
            idle: Vec::new(),
            questions: questions(&shape),
            positions: Positions::default(),
            tally: Tally::new(),
        }
    }

    /// The channels of a subscriber, from his first one on.
    pub fn channels_from(&self, first: u32) -> impl Iterator<Item = u32> + use<> {
        let Shape { channels, subscriptions, .. } = self.shape;
        (0..subscriptions).map(move |at| (first + at) % channels)
    }

    /// Nanoseconds since the generator began: what stamps are made of.
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Connect,
    Subscribe,
    Ready,
    /// The server had too much to do; what else comes is of no interest.
    Refused,
}

pub struct Connection {
    /// Its place among the others.
    index: usize,
    pub socket: Socket,
    wire: Wire,
    stage: Stage,
    /// The first channel that it subscribes to, if any.
    channel: Option<u32>,
    /// Subscriptions that are not answered yet.
    awaited: u32,
    /// When it was to be opened.
    due_ns: u64,
    /// Since when its question was due; an acknowledgement does not repeat it.
    asked_ns: Option<u64>,
}

/// What is asked in a run of this shape. A connection asks that with its number, in turn.
fn questions(shape: &Shape) -> Vec<Template> {
    let Shape { payload_bytes, channels, transport, publishes, .. } = *shape;
    match (publishes, transport) {
        (false, _) => vec![Template::echo(payload_bytes)],
        (true, Transport::Device) => vec![Template::bare(payload_bytes)],
        (true, _) => (0..channels).map(|channel| Template::publish(channel, payload_bytes)).collect(),
    }
}

impl Connection {
    pub fn new(index: usize, stream: TcpStream, wire: Wire, channel: Option<u32>, due_ns: u64) -> Self {
        let socket = Socket::new(stream);
        Self { index, socket, wire, stage: Stage::Greeting, channel, awaited: 0, due_ns, asked_ns: None }
    }

    /// The socket can be written, or has failed to open.
    pub fn handle_writable(&mut self, shared: &mut Shared) -> anyhow::Result<()> {
        if self.socket.handle_writable()? {
            if self.wire.greet(message::CONNECT, &shared.target, &mut shared.out)? {
                self.stage = Stage::Connect;
            }
            self.send(shared)?;
        }
        Ok(())
    }

    /// Reads what is there. Events are edge-triggered, and a short read has taken everything there was.
    pub fn handle_readable(&mut self, buffer: &mut [u8], shared: &mut Shared) -> anyhow::Result<()> {
        while let Some(end) = self.socket.fill(buffer)? {
            let used = self.hear(&buffer[..end], shared)?;
            self.socket.keep(&buffer[used..end]);
            self.wire.flush(&shared.target, &mut shared.out);
            self.send(shared)?;
            if end < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    /// Takes whole units; says how many bytes they were.
    fn hear(&mut self, bytes: &[u8], shared: &mut Shared) -> anyhow::Result<usize> {
        let mut used = 0;
        let now_ns = shared.now_ns();
        while let Some((unit, length)) = self.wire.take(&bytes[used..], &shared.target, &mut shared.out)? {
            used += length;
            match unit {
                Unit::Upgraded if shared.shape.plain => self.become_ready(now_ns, shared),
                Unit::Upgraded => {
                    self.stage = Stage::Connect;
                    let mut commands = message::CONNECT.to_owned();
                    if shared.shape.one_frame {
                        commands.push('\n');
                        commands.push_str(&self.subscriptions(shared));
                    }
                    self.say(commands.as_bytes(), shared)?;
                }
                Unit::Messages(lines) => {
                    message::messages(&lines).try_for_each(|message| self.handle(message, now_ns, shared))?;
                }
                Unit::Deflated(payload) => {
                    // Taken out, since handling needs all the rest.
                    let mut inflated = std::mem::take(&mut shared.inflated);
                    let lines = inflated.read(payload)?;
                    shared.tally.deflated += message::messages(lines).count() as u64;
                    message::messages(lines).try_for_each(|message| self.handle(message, now_ns, shared))?;
                    shared.inflated = inflated;
                }
                Unit::Handled => {}
            }
        }
        Ok(used)
    }

    fn handle(&mut self, line: &[u8], now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        // A message of an event stream stands behind the name of its field.
        let text = line.strip_prefix(b"data: ").unwrap_or(line);
        match (message::hear(text), self.stage) {
            (Heard::Stamped(due_ns), _) => self.count(due_ns, now_ns, shared),
            (Heard::Ping, _) if !shared.shape.plain => self.say(b"{}", shared),
            (Heard::Reply(CONNECT_ID), Stage::Connect) => {
                self.wire.connected(text)?;
                self.subscribe(now_ns, shared)
            }
            (Heard::Reply(SUBSCRIBE_ID), Stage::Subscribe) => {
                self.note_position(text, shared)?;
                self.awaited = self.awaited.saturating_sub(1);
                if self.awaited == 0 {
                    self.become_ready(now_ns, shared);
                }
                Ok(())
            }
            (Heard::Reply(PUBLISH_ID), _) => {
                shared.tally.acknowledged += 1;
                self.asked_ns.take().map_or(Ok(()), |due_ns| self.count(due_ns, now_ns, shared))
            }
            (Heard::Refused(text), _) => {
                Err(anyhow!("the server refused a command: {}", String::from_utf8_lossy(text)))
            }
            (Heard::Ping | Heard::Reply(_) | Heard::Other, _) => Ok(()),
        }
    }

    /// Counts a delivery or an answer that was due since `due_ns`, and asks again where that is to be.
    fn count(&mut self, due_ns: u64, now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        shared.tally.delivered += 1;
        shared.tally.took(due_ns, now_ns);
        if shared.asking {
            return self.question(shared.now_ns(), shared);
        }
        if self.channel.is_none() {
            shared.idle.push(self.index);
        }
        Ok(())
    }

    fn subscribe(&mut self, now_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        if self.channel.is_none() || self.wire.is_subscribed() {
            self.become_ready(now_ns, shared);
            return Ok(());
        }
        self.stage = Stage::Subscribe;
        if shared.shape.one_frame {
            return Ok(());
        }
        let commands = self.subscriptions(shared);
        self.say(commands.as_bytes(), shared)
    }

    /// The commands that subscribe, a line each: several go in one message.
    fn subscriptions(&mut self, shared: &Shared) -> String {
        let mut commands = String::new();
        self.awaited = 0;
        for channel in self.channel.into_iter().flat_map(|first| shared.channels_from(first)) {
            let from = shared.positions.from.get(channel as usize).and_then(Option::as_ref);
            if !commands.is_empty() {
                commands.push('\n');
            }
            commands.push_str(&message::subscribe(channel, from));
            self.awaited += 1;
        }
        commands
    }

    /// Notes where the subscription is, and sees that it has recovered what it was to recover.
    fn note_position(&self, reply: &[u8], shared: &mut Shared) -> anyhow::Result<()> {
        let Positions { from, noted } = &mut shared.positions;
        let Some(channel) = self.channel.map(|channel| channel as usize) else { return Ok(()) };
        let Some(place) = noted.get_mut(channel) else { return Ok(()) };
        let subscribed = Subscribed::parse(reply).context("the reply to a subscription cannot be read")?;
        if from.get(channel).is_some_and(Option::is_some) && !subscribed.recovered {
            bail!("the server did not recover what was missed: {}", String::from_utf8_lossy(reply));
        }
        shared.tally.recovered += subscribed.publications.len() as u64;
        if subscribed.recoverable && place.is_none() {
            *place = Some(subscribed.position());
        }
        Ok(())
    }

    fn become_ready(&mut self, now_ns: u64, shared: &mut Shared) {
        self.stage = Stage::Ready;
        shared.tally.opened += 1;
        shared.tally.took(self.due_ns, now_ns);
    }

    /// Hears no more.
    pub fn refuse(&mut self) {
        self.stage = Stage::Refused;
    }

    pub fn is_refused(&self) -> bool {
        self.stage == Stage::Refused
    }

    /// What it takes to open it again: its channel, and when it was due.
    pub fn again(&self) -> (Option<u32>, u64) {
        (self.channel, self.due_ns)
    }

    /// Asks what was due at this time.
    pub fn ask(&mut self, due_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        self.question(due_ns, shared)?;
        self.send(shared)
    }

    fn question(&mut self, due_ns: u64, shared: &mut Shared) -> anyhow::Result<()> {
        self.asked_ns = Some(due_ns);
        let Shared { questions, target, out, .. } = shared;
        let at = self.index % questions.len();
        self.wire.say(questions[at].stamped(due_ns), target, out)
    }

    /// Adds a command to what is sent next.
    pub fn say(&mut self, command: &[u8], shared: &mut Shared) -> anyhow::Result<()> {
        self.wire.say(command, &shared.target, &mut shared.out)
    }

    /// Sends what was said.
    pub fn send(&mut self, shared: &mut Shared) -> anyhow::Result<()> {
        if !shared.out.here.is_empty() {
            self.socket.send(&shared.out.here)?;
            shared.out.here.clear();
        }
        Ok(())
    }
}
