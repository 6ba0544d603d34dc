//! The load: many raw non-blocking sockets on one epoll set in one thread. Nothing is allocated for a delivery.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;
use mio::{Events, Interest, Poll, Token};

use super::{
    callers::Callers,
    connection::{Connection, Shared},
    dial::Target,
    message::Template,
    patience::{PATIENCE, Patience},
    schedule::Schedule,
    tally::Tally,
    wire::{Busy, Transport, Wire},
};

/// Read at once, for all connections; also the longest message. LIMITS.md: `READ_BYTES`.
pub const READ_BYTES: usize = 256 * 1024;
const EVENTS_A_TURN: usize = 1024;
/// Who attends to a generator looks so often whether it is still to do so.
const ATTEND_STEP: Duration = Duration::from_millis(20);

/// Whoever met a server that had too much to do comes again after so long.
const COME_AGAIN: Duration = Duration::from_millis(100);

/// Connections by which commands go beside event streams, to begin with, and publications to the server API.
const CALLERS: usize = 8;

/// Tokens below are those of connections.
const FIRST_CALLER: usize = 1 << 30;
const PUBLISHER: usize = FIRST_CALLER - 1;

/// What the messages and connections of a run are like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub channels: u32,
    /// Each subscriber has so many of them.
    pub subscriptions: u32,
    pub payload_bytes: usize,
    pub transport: Transport,
    /// The server speaks WebSocket and nothing above it.
    pub plain: bool,
    /// What connections ask is that something be published, instead of an echo.
    pub publishes: bool,
    /// Compression is offered.
    pub compress: bool,
    /// A WebSocket's first frame connects and subscribes.
    pub one_frame: bool,
}

#[cfg(test)]
impl Shape {
    /// One channel, by WebSocket.
    pub fn plainest() -> Self {
        Self {
            channels: 1,
            subscriptions: 1,
            payload_bytes: 128,
            transport: Transport::Websocket,
            plain: false,
            publishes: false,
            compress: false,
            one_frame: false,
        }
    }
}

pub struct Generator {
    shape: Shape,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    publisher: Option<Connection>,
    /// Those that come again, and when they were refused.
    again: VecDeque<(usize, Instant)>,
    pub callers: Callers,
    buffer: Vec<u8>,
    pub shared: Shared,
    /// One for each channel that is published to.
    publications: Vec<Template>,
    /// Subscribers of each channel.
    members: Vec<u64>,
}

impl Generator {
    pub fn new(target: Target, shape: Shape) -> anyhow::Result<Self> {
        let Shape { channels, payload_bytes, .. } = shape;
        let poll = Poll::new()?;
        let callers = Callers::new(poll.registry().try_clone()?, FIRST_CALLER);
        let publication = |channel| match target.api_key {
            Some(_) => Template::api(&target, channel, payload_bytes, 1),
            None => Template::publish(channel, payload_bytes),
        };
        Ok(Self {
            shape,
            poll,
            events: Events::with_capacity(EVENTS_A_TURN),
            connections: Vec::new(),
            publisher: None,
            again: VecDeque::new(),
            callers,
            buffer: vec![0; READ_BYTES],
            publications: (0..channels).map(publication).collect(),
            shared: Shared::new(target, shape),
            members: vec![0; channels as usize],
        })
    }

    /// Opens so many connections, at most `window` of them at a time, each subscribed to the next channels.
    pub fn open_subscribers(
        &mut self,
        count: usize,
        window: usize,
        schedule: &mut Schedule,
    ) -> anyhow::Result<()> {
        let (channels, each) = (self.members.len(), self.shape.subscriptions as usize);
        self.open(count, window, schedule, |at| Some((at * each % channels) as u32))
    }

    /// Opens so many connections without a subscription.
    pub fn open_askers(&mut self, count: usize, window: usize) -> anyhow::Result<()> {
        let mut schedule = self.at_once();
        self.open(count, window, &mut schedule, |_| None)?;
        self.shared.idle = (0..count).collect();
        Ok(())
    }

    /// A schedule of what is done as soon as there is room for it, however long it takes.
    pub fn at_once(&self) -> Schedule {
        Schedule::endless(self.shared.now_ns(), None)
    }

    fn open(
        &mut self,
        count: usize,
        window: usize,
        schedule: &mut Schedule,
        channel: impl Fn(usize) -> Option<u32>,
    ) -> anyhow::Result<()> {
        if self.shape.transport == Transport::Sse {
            self.open_callers(CALLERS)?;
        }
        self.shared.tally.opened = 0;
        let mut dialed = 0;
        let mut patience = Patience::new();
        while (self.shared.tally.opened as usize) < count {
            while dialed < count
                && dialed - (self.shared.tally.opened as usize) < window
                && let Some(due_ns) = schedule.take(self.shared.now_ns())
            {
                self.dial(channel(dialed), due_ns)?;
                dialed += 1;
            }
            let wait = if dialed < count { schedule.wait(self.shared.now_ns()) } else { PATIENCE };
            self.turn(wait)?;
            patience.watch(self.shared.tally.opened, || {
                let Tally { opened, refused, .. } = self.shared.tally;
                let busy = match refused {
                    0 => String::new(),
                    times => format!("; {times} times the server had too much to do (503)"),
                };
                format!("of {count} connections {opened} opened, and then no more{busy}")
            })?;
        }
        Ok(())
    }

    fn dial(&mut self, channel: Option<u32>, due_ns: u64) -> anyhow::Result<()> {
        let index = self.connections.len();
        let connection = self.connect(index, self.shape.transport, channel, due_ns)?;
        self.connections.push(connection);
        for channel in channel.into_iter().flat_map(|first| self.shared.channels_from(first)) {
            self.members[channel as usize] += 1;
        }
        Ok(())
    }

    fn connect(
        &self,
        index: usize,
        transport: Transport,
        channel: Option<u32>,
        due_ns: u64,
    ) -> anyhow::Result<Connection> {
        let target = &self.shared.target;
        let address = if transport == Transport::Device { target.devices } else { None };
        let mut stream = target.dial_at(address.unwrap_or(target.address), index)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        let deflate = self.shape.compress && index != PUBLISHER;
        Ok(Connection::new(index, stream, Wire::new(transport, deflate, index), channel, due_ns))
    }

    /// Opens what publishes: connections to the server API where there is a key for it, a WebSocket otherwise.
    pub fn open_publisher(&mut self) -> anyhow::Result<()> {
        if self.shared.target.api_key.is_some() {
            return self.open_callers(CALLERS);
        }
        self.shared.tally.opened = 0;
        let publisher = self.connect(PUBLISHER, Transport::Websocket, None, self.shared.now_ns())?;
        self.publisher = Some(publisher);
        self.wait_for(1, "the connection that publishes does not open", |generator| {
            generator.shared.tally.opened
        })
    }

    /// Opens so many kept-alive HTTP connections, if they are not there yet.
    pub fn open_callers(&mut self, count: usize) -> anyhow::Result<()> {
        if self.callers.idle() >= count {
            return Ok(());
        }
        self.callers.dial(&self.shared.target, count)?;
        self.wait_for(count as u64, "HTTP connections cannot be opened", |generator| {
            generator.callers.idle() as u64
        })
    }

    /// Closes all subscribers and askers.
    pub fn close_all(&mut self) {
        self.connections.clear();
        self.again.clear();
        self.members.fill(0);
    }

    /// Cuts all subscribers off.
    pub fn cut_all(&mut self) -> anyhow::Result<()> {
        for connection in self.connections.drain(..) {
            connection.socket.cut()?;
        }
        self.members.fill(0);
        Ok(())
    }

    /// Waits for events at most so long, and handles them.
    pub fn turn(&mut self, at_most: Duration) -> anyhow::Result<()> {
        let at_most = if self.again.is_empty() { at_most } else { at_most.min(COME_AGAIN) };
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.events {
            let index = event.token().0;
            if index >= FIRST_CALLER {
                let now_ns = self.shared.now_ns();
                let Shared { target, tally, .. } = &mut self.shared;
                self.callers.handle(event, &mut self.buffer, target, tally, now_ns)?;
                continue;
            }
            let one =
                if index == PUBLISHER { self.publisher.as_mut() } else { self.connections.get_mut(index) };
            let Some(connection) = one.filter(|connection| !connection.is_refused()) else { continue };
            if event.is_writable() || event.is_error() {
                connection.handle_writable(&mut self.shared)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                match connection.handle_readable(&mut self.buffer, &mut self.shared) {
                    Err(error) if index != PUBLISHER && error.is::<Busy>() => {
                        connection.refuse();
                        self.again.push_back((index, Instant::now()));
                    }
                    outcome => outcome?,
                }
            }
        }
        self.come_again()?;
        let now_ns = self.shared.now_ns();
        for request in self.shared.out.aside.drain(..) {
            self.callers.post(request, now_ns)?;
        }
        self.callers.grow(&self.shared.target, now_ns)
    }

    fn come_again(&mut self) -> anyhow::Result<()> {
        while let Some((index, _)) = self.again.pop_front_if(|(_, since)| since.elapsed() >= COME_AGAIN) {
            self.shared.tally.refused += 1;
            let (channel, due_ns) = self.connections[index].again();
            self.connections[index] = self.connect(index, self.shape.transport, channel, due_ns)?;
        }
        Ok(())
    }

    /// Handles what comes for so long.
    pub fn turn_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Answers pings until it is told to stop, while something else is measured.
    pub fn attend(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.turn(ATTEND_STEP)?;
        }
        Ok(())
    }

    /// Publishes several times what was due at this time, in as few writes as the kernel takes; says how many
    /// deliveries that makes.
    pub fn publish(&mut self, channel: usize, count: u64, due_ns: u64) -> anyhow::Result<u64> {
        let publication = self.publications[channel].stamped(due_ns);
        if self.shared.target.api_key.is_some() {
            for _ in 0..count {
                self.callers.publish(None, 1, publication)?;
            }
        } else {
            let Some(publisher) = &mut self.publisher else { bail!("nobody is there to publish") };
            for _ in 0..count {
                publisher.say(publication, &mut self.shared)?;
            }
            publisher.send(&mut self.shared)?;
        }
        Ok(self.members[channel] * count)
    }

    /// Asks on a connection that waits for no answer. False: there is none.
    pub fn ask(&mut self, due_ns: u64) -> anyhow::Result<bool> {
        let Some(index) = self.shared.idle.pop() else { return Ok(false) };
        self.connections[index].ask(due_ns, &mut self.shared)?;
        Ok(true)
    }

    /// Waits until so many publications or answers came since the tally was cleared.
    pub fn drain(&mut self, expected: u64) -> anyhow::Result<()> {
        self.wait_for(expected, "messages are missing", Self::delivered)
    }

    /// Waits until a count has come up to what is expected.
    pub fn wait_for(&mut self, expected: u64, what: &str, count: fn(&Self) -> u64) -> anyhow::Result<()> {
        let mut patience = Patience::new();
        while count(self) < expected {
            self.turn(PATIENCE)?;
            let count = count(self);
            patience.watch(count, || format!("{what}: of {expected} {count} came, and then no more"))?;
        }
        Ok(())
    }

    pub fn payload_bytes(&self) -> usize {
        self.shape.payload_bytes
    }

    pub fn channels(&self) -> usize {
        self.members.len()
    }

    /// Subscribers of one channel.
    pub fn members(&self, channel: usize) -> u64 {
        self.members[channel]
    }

    pub fn delivered(&self) -> u64 {
        self.shared.tally.delivered
    }

    /// Takes the tally, and begins a new one.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::replace(&mut self.shared.tally, Tally::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listening_is_an_error_that_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let target = Target::loopback(free.expect("a port that was free").port());
        let mut generator = Generator::new(target, Shape::plainest()).expect("a generator");
        let text = format!("{:#}", generator.open_askers(1, 1).expect_err("nobody listens"));
        assert!(text.contains("is a server listening"), "{text}");
    }
}
