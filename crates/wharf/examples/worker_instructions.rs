//! `worker_instructions OPERATION TIMES`: has one worker do the same thing as often as asked, for callgrind to count
//! the instructions (`cargo xtask instructions`). Sockets are simulated and so is time: nothing waits, nothing is
//! asked of the kernel, and two runs differ by the operation alone.

use std::{
    env,
    future::Future,
    hint::black_box,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use rand::{SeedableRng, rngs::StdRng};
use wharf::{
    node::Node,
    settings::Settings,
    transport::Transport,
    worker::{Attachment, Inbox, Opening, ToWorker, Worker, World},
};
use wharf_core::{
    broker::{Context, Pending, PublishRequest},
    memory::{MemoryEngine, MemoryLimits},
    session::Heartbeat,
    time::Millis,
};
use wharf_proto::{
    dialect::DialectId,
    framing::FramingId,
    message::{Channel, Data},
    websocket::{Opcode, write_frame},
    wire::WireId,
};

/// Subscribers of the channel that is published to, and connections that are pinged.
const MEMBERS: usize = 1_000;
/// What is published, with its quotes.
const PAYLOAD_BYTES: usize = 128;
/// The interval of pings.
const INTERVAL_MS: u64 = 25_000;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [operation, times] = &words[..] else { return usage() };
    let Ok(times) = times.parse() else { return usage() };
    match &operation[..] {
        "deliver_to_1000" => deliver(times),
        "echo" => echo(times),
        "open_and_close" => open(times),
        "publish" => publish(times),
        "ping_1000" => ping(times),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: worker_instructions OPERATION TIMES; the operations are the arms of its main");
    ExitCode::FAILURE
}

/// A publication goes to each of a thousand subscribers.
fn deliver(times: usize) {
    let mut machine = Machine::new();
    let members: Vec<_> = (0..MEMBERS).map(|_| machine.subscriber()).collect();
    let data: Box<str> = format!("\"{}\"", "w".repeat(PAYLOAD_BYTES - 2)).into();
    for _ in 0..times {
        machine.publish(&data);
        machine.tick();
    }
    members.iter().for_each(|member| assert!(member.heard(times * PAYLOAD_BYTES)));
}

/// An RPC is answered with its own payload.
fn echo(times: usize) {
    let mut machine = Machine::new();
    let client = machine.subscriber();
    let question = frame(&format!(r#"{{"id":3,"rpc":{{"method":"echo","data":"{}"}}}}"#, "w".repeat(126)));
    (0..times).for_each(|_| machine.say(&client, &question));
    assert!(client.heard(times * PAYLOAD_BYTES));
}

/// A connection comes, connects, subscribes and goes.
fn open(times: usize) {
    let mut machine = Machine::new();
    let present = machine.subscriber();
    for _ in 0..times {
        let client = machine.subscriber();
        client.pipe().ended = true;
        machine.ready(&client);
    }
    assert_eq!(machine.worker.connections(), 1, "the others are gone");
    assert!(present.heard(1));
}

/// A client publishes to a channel without subscribers, whose history keeps it.
fn publish(times: usize) {
    let mut machine = Machine::new();
    let client = machine.subscriber();
    let data = "w".repeat(PAYLOAD_BYTES - 2);
    let command = frame(&format!(r#"{{"id":4,"publish":{{"channel":"empty","data":"{data}"}}}}"#));
    (0..times).for_each(|_| machine.say(&client, &command));
    assert!(client.heard(times * r#"{"id":4,"publish":{}}"#.len()));
}

/// A thousand connections are pinged once, and answer.
fn ping(times: usize) {
    let mut machine = Machine::new();
    let clients: Vec<_> = (0..MEMBERS).map(|_| machine.subscriber()).collect();
    let pong = frame("{}");
    for _ in 0..times {
        let end = machine.now.after_ms(INTERVAL_MS);
        while let Some(due) = machine.worker.next_deadline().filter(|due| *due <= end) {
            machine.now = due.max(machine.now);
            machine.tick();
            for client in &clients {
                if std::mem::take(&mut client.pipe().fresh) {
                    machine.say(client, &pong);
                }
            }
        }
        machine.now = end;
    }
    assert_eq!(machine.worker.connections(), MEMBERS, "all have answered");
    clients.iter().for_each(|client| assert!(client.heard(times * "{}".len())));
}

/// A command as a client sends it.
fn frame(command: &str) -> Bytes {
    let mut out = BytesMut::new();
    write_frame(&mut out, Opcode::Text, command.as_bytes(), Some([1, 2, 3, 4]));
    out.freeze()
}

/// One worker over the memory engine, in development mode.
struct Machine {
    worker: Worker,
    node: Arc<Node>,
    now: Millis,
    rng: StdRng,
    opening: [Bytes; 2],
}

impl Machine {
    fn new() -> Self {
        let settings = Settings { workers: 1, ..Settings::development() };
        let limits = &settings.limits;
        let inbox = Inbox::new(limits.inbox_broadcasts, limits.inbox_requests, Box::new(|| {}));
        let node = Node::new(settings, vec![Arc::new(inbox)], [7; 32], |directory| {
            Arc::new(MemoryEngine::new(directory, MemoryLimits::default()))
        });
        let now = Millis(1_000_000);
        let worker = Worker::new(Arc::clone(&node), 0, Box::new(Elsewhere), [7; 32], now);
        let opening = [
            frame(r#"{"id":1,"connect":{"name":"instructions"}}"#),
            frame(r#"{"id":2,"subscribe":{"channel":"full"}}"#),
        ];
        Self { worker, node, now, rng: StdRng::seed_from_u64(7), opening }
    }

    /// A connection that has connected and subscribed.
    fn subscriber(&mut self) -> Client {
        let client = Client::default();
        let attachment = Attachment {
            transport: Box::new(Simulated(client.clone())),
            wire: WireId::new(DialectId::CentrifugeJson, FramingId::Websocket),
            deflate: None,
            prelude: Bytes::new(),
            leftover: Bytes::new(),
            opening: Opening::Peer,
            heartbeat: Heartbeat::Pong,
            policy: None,
            emulated: false,
            one_way: false,
            max_age_ms: None,
            kind: "websocket",
            parts: None,
            device: None,
        };
        let sent = self.node.workers[0].send(ToWorker::Attach(Box::new(attachment)));
        assert!(sent.is_ok(), "the inbox takes requests");
        self.tick();
        for command in self.opening.clone() {
            self.say(&client, &command);
        }
        client.pipe().fresh = false;
        client
    }

    fn say(&mut self, client: &Client, command: &Bytes) {
        client.pipe().arrived = command.clone();
        self.ready(client);
    }

    fn ready(&mut self, client: &Client) {
        self.worker.begin(self.now);
        let key = client.pipe().key;
        self.worker.handle_ready(key, true, false);
        self.tick();
    }

    fn tick(&mut self) {
        self.worker.begin(self.now);
        self.worker.tick(self.now);
        while self.worker.has_work() {
            self.worker.tick(self.now);
        }
    }

    fn publish(&mut self, data: &str) {
        let channel = Channel::parse("full").expect("a short name of printable characters");
        let options = self.node.rules.namespaces.options(&channel);
        let history = options.expect("a channel without a namespace has options").history;
        let data = Data::Json(data.to_owned().into());
        let request = PublishRequest { data, info: None, tags: None, idempotency_key: None, history };
        let mut context = Context { now: self.now, rng: &mut self.rng };
        match self.node.engine.publish(&channel, request, &mut context) {
            Pending::Ready(published) => drop(published.expect("the memory engine publishes")),
            Pending::Later(_) => unreachable!("the memory engine publishes at once"),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Pipe>>);

impl Client {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().expect("its one user, the thread that counts, has not panicked")
    }

    /// Whether so many bytes came, at least.
    fn heard(&self, bytes: usize) -> bool {
        self.pipe().written >= bytes
    }
}

#[derive(Default)]
struct Pipe {
    key: u64,
    arrived: Bytes,
    ended: bool,
    written: usize,
    /// Something was written.
    fresh: bool,
}

/// A connection's bytes in memory.
struct Simulated(Client);

impl Transport for Simulated {
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.pipe();
        if pipe.arrived.is_empty() {
            return if pipe.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let arrived = std::mem::take(&mut pipe.arrived);
        into[..arrived.len()].copy_from_slice(&arrived);
        Ok(arrived.len())
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = slices.iter().map(|slice| black_box(slice).len()).sum();
        let mut pipe = self.0.pipe();
        pipe.written += count;
        pipe.fresh = true;
        Ok(count)
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }

    fn attached(&mut self, entry: u64) {
        self.0.pipe().key = entry;
    }

    fn close(&mut self) {}

    fn name(&self) -> &'static str {
        "simulated"
    }
}

/// What a worker needs of the world, and does not here.
struct Elsewhere;

impl World for Elsewhere {
    fn register(&mut self, _: &mut dyn Transport, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn spawn(&mut self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {
        unreachable!("the memory engine answers at once");
    }
}
