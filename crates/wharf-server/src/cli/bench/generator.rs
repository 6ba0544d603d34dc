//! The load: many raw non-blocking sockets on one epoll set in one thread. Nothing is allocated for a message.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::bail;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    connection::{Connection, Shared, Tally},
    message::Template,
};

/// Read at once, for all connections; also the longest frame.
const READ_BYTES: usize = 256 * 1024;
const EVENTS_A_TURN: usize = 1024;

/// How long nothing may come while something is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a generator connects to.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
    /// Connections come from so many addresses of the loopback net, each with ports of its own. 0: from what the
    /// kernel chooses.
    pub source_addresses: u8,
}

pub struct Generator {
    target: Target,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    shared: Shared,
    /// One for each channel that is published to.
    publications: Vec<Template>,
    /// Subscribers of each channel.
    members: Vec<u64>,
}

impl Generator {
    pub fn new(target: Target, channels: u32, payload_bytes: usize) -> anyhow::Result<Self> {
        let shared = Shared::new(target.host.clone(), target.path.clone(), payload_bytes)?;
        Ok(Self {
            target,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_A_TURN),
            connections: Vec::new(),
            buffer: vec![0; READ_BYTES],
            shared,
            publications: (0..channels).map(|channel| Template::publish(channel, payload_bytes)).collect(),
            members: vec![0; channels as usize],
        })
    }

    /// Opens so many connections, at most `window` of them at a time, each subscribed to the next channel.
    pub fn open_subscribers(&mut self, count: usize, window: usize) -> anyhow::Result<()> {
        let channels = self.members.len();
        self.open(count, window, |at| Some((at % channels) as u32))
    }

    /// Opens so many connections without a subscription.
    pub fn open_callers(&mut self, count: usize, window: usize) -> anyhow::Result<()> {
        self.open(count, window, |_| None)
    }

    fn open(
        &mut self,
        count: usize,
        window: usize,
        channel: impl Fn(usize) -> Option<u32>,
    ) -> anyhow::Result<()> {
        self.shared.tally.opened = 0;
        let mut dialed = 0;
        let mut patience = Patience::new();
        while (self.shared.tally.opened as usize) < count {
            let in_flight = dialed - self.shared.tally.opened as usize;
            let next = count.min(dialed + window - in_flight);
            for at in dialed..next {
                self.dial(channel(at))?;
            }
            dialed = next;
            self.turn(PATIENCE)?;
            patience.watch(self.shared.tally.opened, || {
                format!("of {count} connections {} opened, and then no more", self.shared.tally.opened)
            })?;
        }
        Ok(())
    }

    fn dial(&mut self, channel: Option<u32>) -> anyhow::Result<()> {
        let index = self.connections.len();
        let mut stream = dial(&self.target, index).map_err(|error| explain(error, index, &self.target))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        if let Some(channel) = channel {
            self.members[channel as usize] += 1;
        }
        self.connections.push(Connection::new(stream, channel, &self.shared));
        Ok(())
    }

    /// Closes all connections.
    pub fn close_all(&mut self) {
        self.connections.clear();
        self.members.fill(0);
    }

    /// Waits for events at most so long, and handles them.
    pub fn turn(&mut self, at_most: Duration) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.events {
            let Some(connection) = self.connections.get_mut(event.token().0) else { continue };
            if event.is_writable() || event.is_error() {
                connection.handle_writable(&self.shared)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                connection.handle_readable(&mut self.buffer, &mut self.shared)?;
            }
        }
        Ok(())
    }

    /// Publishes to one channel from the last connection that was opened; says how many deliveries that makes.
    pub fn publish(&mut self, channel: usize) -> anyhow::Result<u64> {
        self.publish_many(channel, 1)
    }

    /// Publishes several times, in as few writes as the kernel takes; says how many deliveries that makes.
    pub fn publish_many(&mut self, channel: usize, count: u64) -> anyhow::Result<u64> {
        let Some(publisher) = self.connections.last_mut() else { bail!("nobody is there to publish") };
        let shared = &mut self.shared;
        shared.frames.clear();
        for _ in 0..count {
            let now_ns = shared.now_ns();
            self.publications[channel].write(now_ns, shared.mask, &mut shared.frames);
        }
        publisher.send(&shared.frames)?;
        Ok(self.members[channel] * count)
    }

    /// Lets every connection ask for an echo, and ask again when it is answered, until the time is over and the
    /// last answer came. Says how many came.
    pub fn echo(&mut self, time: Duration, progress: &dyn Fn()) -> anyhow::Result<u64> {
        let asked = self.connections.len() as u64;
        self.shared.asking = true;
        for connection in &mut self.connections {
            connection.ask(&mut self.shared)?;
        }
        let end = Instant::now() + time;
        let mut patience = Patience::new();
        while Instant::now() < end {
            self.turn(time)?;
            patience.watch(self.shared.tally.delivered, || "no echo comes any more".to_owned())?;
            progress();
        }
        self.shared.asking = false;
        self.drain(self.shared.tally.delivered + asked)?;
        Ok(self.shared.tally.delivered)
    }

    /// Waits until so many publications or echoes came since the tally was cleared.
    pub fn drain(&mut self, expected: u64) -> anyhow::Result<()> {
        let mut patience = Patience::new();
        while self.delivered() < expected {
            self.turn(PATIENCE)?;
            let delivered = self.delivered();
            patience
                .watch(delivered, || format!("of {expected} messages {delivered} came, and then no more"))?;
        }
        Ok(())
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

/// Sees that something still happens.
struct Patience {
    last: u64,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { last: 0, since: Instant::now() }
    }

    fn watch(&mut self, count: u64, say: impl FnOnce() -> String) -> anyhow::Result<()> {
        if count != self.last {
            *self = Self { last: count, since: Instant::now() };
        } else if self.since.elapsed() >= PATIENCE {
            bail!("{}: nothing came for {} s", say(), PATIENCE.as_secs());
        }
        Ok(())
    }
}

fn dial(target: &Target, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if target.source_addresses > 0 {
        socket.bind(&source(index, target.source_addresses).into())?;
    }
    match socket.connect(&target.address.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        outcome => outcome?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The address that a connection comes from: 127.0.0.1 and its neighbours in turn.
fn source(index: usize, addresses: u8) -> SocketAddr {
    let host = 1 + (index % usize::from(addresses)) as u8;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0)
}

fn explain(error: io::Error, open: usize, target: &Target) -> anyhow::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "no descriptor is left: raise the limit with `ulimit -n`, or ask for fewer --connections"
                .to_owned()
        }
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => {
            "no port is left: spread the connections by --source-addresses, or wait a minute for closed ones"
                .to_owned()
        }
        _ => format!("is a server listening on {}?", target.address),
    };
    anyhow::Error::new(error).context(format!("connection {} cannot be opened; {advice}", open + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns_within_the_loopback_net() {
        let hosts: Vec<String> = (0..4).map(|index| source(index, 3).ip().to_string()).collect();
        assert_eq!(hosts, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]);
        assert_eq!(source(254, 254).ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn a_full_table_of_descriptors_names_ulimit() {
        let target = Target {
            address: ([127, 0, 0, 1], 1).into(),
            host: "h".into(),
            path: "/".into(),
            source_addresses: 0,
        };
        let text = format!("{:#}", explain(io::Error::from_raw_os_error(libc::EMFILE), 1019, &target));
        assert!(text.starts_with("connection 1020 cannot be opened; no descriptor is left"), "{text}");
        assert!(text.contains("`ulimit -n`"), "{text}");
    }

    #[test]
    fn nobody_listening_is_an_error_that_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let target = Target {
            address: free.expect("a port that was free"),
            host: "h".into(),
            path: "/".into(),
            source_addresses: 0,
        };
        let mut generator = Generator::new(target, 1, 128).expect("a generator");
        let text = format!("{:#}", generator.open_callers(1, 1).expect_err("nobody listens"));
        assert!(text.contains("does the server run") || text.contains("is a server listening"), "{text}");
    }
}
