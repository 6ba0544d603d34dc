//! Clients without a socket: they speak the real dialects over a link, lose it, come back and recover.

use std::io::{ErrorKind, IoSlice};

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use tokio::sync::oneshot;
use wharf::worker::{Opening, SessionKey, ToWorker};
use wharf_core::{
    session::Heartbeat,
    testing::link::{End, Link, LinkOptions},
};
use wharf_proto::{
    dialect::{
        DialectId,
        centrifuge_json::client::{
            answer::{Published, ServerMessage, ServerReply, Subscribed},
            decode_frame, encode_command, encode_pong,
        },
        events::Cursor,
    },
    framing::{FramingId, sse_reader::SseReader},
    message::{Command, ConnectRequest, Request, SubscribeRequest},
    websocket::{Opcode, Role, WebsocketDeframer, WebsocketEvent, write_frame},
    wire::DeframeLimits,
};

use super::world::{Machine, Shape};

pub const CHANNEL: &str = "news";

/// The ways in which bytes reach a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Websocket,
    /// A WebSocket over HTTP/2.
    Tunnel,
    Lines,
    HttpStream,
    Sse,
    Events,
}

pub const WAYS: [Way; 5] = [Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse, Way::Events];

/// What is known of a channel: what a client must keep in order to come back.
#[derive(Debug, Default, Clone)]
pub struct Progress {
    epoch: String,
    offset: u64,
    joined_before: bool,
    /// Everything heard: the offset and the payload.
    pub heard: Vec<(u64, u64)>,
    /// How often the server said that what was missed cannot be had.
    pub lost: usize,
    pub subscribed: bool,
    /// Codes of unsubscribe pushes.
    pub unsubscribes: Vec<u32>,
}

/// A client and its link.
pub struct Client {
    way: Way,
    worker: usize,
    options: LinkOptions,
    connection: Option<Connection>,
    /// Reads nothing, as a program that hangs.
    pub stuck: bool,
    /// Answers no pings.
    pub mute: bool,
    /// Comes back after its link has ended.
    pub returns: bool,
    pub progress: Progress,
    /// Codes with which the server ended connections.
    pub closed_with: Vec<u16>,
    pub connects: usize,
    /// Error codes of replies.
    pub errors: Vec<u32>,
}

struct Connection {
    end: End,
    link: Link,
    reader: Reader,
    out: BytesMut,
    session: Option<SessionKey>,
}

enum Reader {
    Websocket(WebsocketDeframer),
    Lines(Vec<u8>),
    Sse(SseReader),
}

impl Client {
    pub fn new(way: Way, worker: usize) -> Self {
        Self {
            way,
            worker,
            options: LinkOptions { capacity: 600, splits: true },
            connection: None,
            stuck: false,
            mute: false,
            returns: true,
            progress: Progress::default(),
            closed_with: Vec::new(),
            connects: 0,
            errors: Vec::new(),
        }
    }

    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.options.capacity = capacity;
        self
    }

    pub fn link(&self) -> Option<Link> {
        self.connection.as_ref().map(|connection| connection.link.clone())
    }

    /// The client's program ends, or its socket does: whatever was not read is lost.
    pub fn hang_up(&mut self) {
        self.connection = None;
        self.progress.subscribed = false;
    }

    /// Ends the client's half only.
    pub fn finish(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.end.finish();
        }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if let Some(connection) = &mut self.connection {
            connection.out.extend_from_slice(bytes);
        }
    }

    /// Sends commands in one message.
    pub fn send(&mut self, machine: &Machine, commands: &[Command]) {
        let mut message = BytesMut::new();
        for command in commands {
            if !message.is_empty() {
                message.extend_from_slice(b"\n");
            }
            encode_command(command, &mut message).unwrap();
        }
        self.send_message(machine, message);
    }

    fn send_message(&mut self, machine: &Machine, message: BytesMut) {
        let Some(connection) = &mut self.connection else { return };
        match self.way {
            Way::Websocket | Way::Tunnel => {
                write_frame(&mut connection.out, Opcode::Text, &message, Some([1, 2, 3, 4]));
            }
            Way::Lines => {
                connection.out.extend_from_slice(&message);
                connection.out.extend_from_slice(b"\n");
            }
            Way::HttpStream | Way::Sse => {
                let session = connection.session.expect("emulated clients know their session");
                let (answer, _) = oneshot::channel();
                let data = message.freeze();
                machine.send_by_tasks(self.worker, ToWorker::Emulate { session, data, answer });
            }
            Way::Events => {}
        }
    }

    fn wish(&self) -> SubscribeRequest {
        SubscribeRequest {
            channel: CHANNEL.into(),
            recover: self.progress.joined_before,
            offset: self.progress.offset,
            epoch: self.progress.epoch.as_str().into(),
            recoverable: true,
            ..SubscribeRequest::default()
        }
    }

    fn subscribe_command(&self) -> Command {
        Command { id: 2, request: Request::Subscribe(Box::new(self.wish())) }
    }

    fn dial(&mut self, machine: &mut Machine) {
        let connect = Command { id: 1, request: Request::Connect(Box::default()) };
        let mut message = BytesMut::new();
        encode_command(&connect, &mut message).unwrap();
        let emulated = |framing, kind| Shape {
            framing,
            opening: Opening::Message(message.clone().freeze()),
            emulated: true,
            kind,
            ..Shape::websocket()
        };
        let shape = match self.way {
            Way::Websocket => Shape::websocket(),
            Way::Tunnel => Shape { by_tasks: true, ..Shape::websocket() },
            Way::Lines => Shape::lines(),
            Way::HttpStream => emulated(FramingId::Lines, "http_stream"),
            Way::Sse => emulated(FramingId::Sse, "sse"),
            Way::Events => Shape {
                dialect: DialectId::EventsOne,
                framing: FramingId::Plain,
                opening: Opening::Connect(Box::new(ConnectRequest {
                    subs: vec![self.wish()],
                    ..ConnectRequest::default()
                })),
                heartbeat: Heartbeat::PingOnly,
                one_way: true,
                kind: "events",
                ..Shape::websocket()
            },
        };
        let (end, link) = machine.dial(self.worker, self.options, shape);
        let limits = DeframeLimits { message_bytes: 1 << 24, fragments: 10 };
        let reader = match self.way {
            Way::Websocket | Way::Tunnel => Reader::Websocket(WebsocketDeframer::new(Role::Client, limits)),
            Way::Lines | Way::HttpStream => Reader::Lines(Vec::new()),
            Way::Sse | Way::Events => Reader::Sse(SseReader::new(1 << 24)),
        };
        self.connects += 1;
        self.connection = Some(Connection { end, link, reader, out: BytesMut::new(), session: None });
        // As the SDKs do: everything in one frame, without waiting.
        if matches!(self.way, Way::Websocket | Way::Tunnel | Way::Lines) {
            let subscribe = self.subscribe_command();
            self.send(machine, &[connect, subscribe]);
        }
    }

    /// Comes to this worker now.
    pub fn dial_to(&mut self, machine: &mut Machine, worker: usize) {
        self.worker = worker;
        self.dial(machine);
    }

    /// Does what there is to do.
    pub fn step(&mut self, machine: &mut Machine) {
        if self.connection.is_none() && self.returns {
            self.worker = machine.rng.random_range(0..2);
            self.dial(machine);
        }
        self.write();
        if self.stuck {
            return;
        }
        while let Some(received) = self.read() {
            match received {
                Ok(bytes) => self.take(machine, bytes),
                Err(()) => return self.hang_up(),
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while !connection.out.is_empty() {
            match connection.end.try_write(&[IoSlice::new(&connection.out)]) {
                Ok(count) => drop(connection.out.split_to(count)),
                Err(_) => return,
            }
        }
    }

    /// The next bytes, or that there will be none; nothing if none are there yet.
    fn read(&mut self) -> Option<Result<Vec<u8>, ()>> {
        let mut buffer = [0; 256];
        match self.connection.as_mut()?.end.try_read(&mut buffer) {
            Ok(0) => Some(Err(())),
            Ok(count) => Some(Ok(buffer[..count].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(Err(())),
        }
    }

    fn take(&mut self, machine: &mut Machine, mut bytes: Vec<u8>) {
        let Some(connection) = &mut self.connection else { return };
        let mut messages: Vec<Bytes> = Vec::new();
        let mut close = None;
        match &mut connection.reader {
            Reader::Websocket(deframer) => deframer
                .feed(&mut bytes, &mut |event| match event {
                    WebsocketEvent::Message { payload, .. } => messages.push(Bytes::copy_from_slice(payload)),
                    WebsocketEvent::Close { code, .. } => {
                        close = Some(code.map_or(1005, |code| code.number()))
                    }
                    WebsocketEvent::Ping(_) | WebsocketEvent::Pong(_) => {}
                })
                .expect("the server keeps to the protocol"),
            Reader::Lines(held) => {
                held.extend_from_slice(&bytes);
                while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                    messages.push(held.drain(..=end).collect::<Vec<u8>>().into());
                }
            }
            Reader::Sse(reader) => {
                let mut events = Vec::new();
                reader.feed(&bytes, &mut |event| events.push(event)).expect("the server keeps to the format");
                let cursor = reader.last_event_id().to_owned();
                if self.way == Way::Events {
                    return self.take_events(events, &cursor);
                }
                messages.extend(events.into_iter().map(|event| Bytes::from(event.data)));
            }
        }
        for message in messages {
            let mut said = Vec::new();
            decode_frame(&message, &mut said).expect("the server speaks the dialect");
            said.into_iter().for_each(|message| self.hear(machine, message));
        }
        if let Some(code) = close {
            self.closed_with.push(code);
            self.hang_up();
        }
    }

    fn hear(&mut self, machine: &mut Machine, message: ServerMessage) {
        match message {
            ServerMessage::Ping if self.mute => {}
            ServerMessage::Ping => {
                let mut pong = BytesMut::new();
                encode_pong(&mut pong);
                self.send_message(machine, pong);
            }
            ServerMessage::Reply { id: 1, result: Ok(reply) } => self.hear_connected(machine, *reply),
            ServerMessage::Reply { id: 2, result: Ok(reply) } => {
                self.progress.hear_subscribed(reply.subscribe.as_ref().expect("a subscribe reply"));
            }
            ServerMessage::Reply { result: Ok(_), .. } => {}
            ServerMessage::Reply { id, result: Err(error) } => {
                self.errors.push(error.code);
                if id == 2 && error.temporary {
                    self.send(machine, &[self.subscribe_command()]);
                }
            }
            ServerMessage::Push(push) => {
                if let Some(publication) = &push.publication {
                    assert!(self.progress.subscribed, "a publication before the subscribe reply");
                    self.progress.hear(publication);
                }
                if let Some(end) = &push.unsubscribe {
                    self.progress.unsubscribes.push(end.code);
                    self.progress.subscribed = false;
                    if end.code >= 2500 {
                        self.send(machine, &[self.subscribe_command()]);
                    }
                }
                if let Some(end) = &push.disconnect {
                    self.closed_with.push(end.code as u16);
                    self.hang_up();
                }
            }
        }
    }

    fn hear_connected(&mut self, machine: &mut Machine, reply: ServerReply) {
        let connected = reply.connect.expect("a connect reply");
        let Some(connection) = &mut self.connection else { return };
        connection.session = SessionKey::decode(&connected.session);
        if matches!(self.way, Way::HttpStream | Way::Sse) {
            self.send(machine, &[self.subscribe_command()]);
        }
    }

    fn take_events(&mut self, events: Vec<wharf_proto::framing::sse_reader::SseEvent>, cursor: &str) {
        for event in events {
            match event.event.as_str() {
                "message" => self.progress.heard.push((0, event.data.parse().unwrap())),
                "wharf.reset" => self.progress.lost += 1,
                other => panic!("{other}: {}", event.data),
            }
        }
        if let Some(position) = Cursor::decode(cursor).ok().and_then(|cursor| cursor.position(CHANNEL)) {
            self.progress.subscribed = true;
            self.progress.joined_before = true;
            (self.progress.offset, self.progress.epoch) =
                (position.offset, position.epoch.as_str().to_owned());
        }
    }
}

impl Progress {
    pub fn hear_subscribed(&mut self, result: &Subscribed) {
        if self.joined_before && !result.recovered {
            self.lost += 1;
        }
        assert_eq!(result.was_recovering, self.joined_before && result.recoverable);
        self.subscribed = true;
        self.joined_before = result.recoverable;
        self.epoch = result.epoch.clone();
        self.offset = result.offset;
        result.publications.iter().for_each(|publication| self.hear(publication));
    }

    pub fn hear(&mut self, publication: &Published) {
        let number = publication.data.as_ref().unwrap().get().parse().unwrap();
        self.heard.push((publication.offset, number));
        self.offset = publication.offset;
    }

    pub fn wish(&self) -> SubscribeRequest {
        SubscribeRequest {
            channel: CHANNEL.into(),
            recover: self.joined_before,
            offset: self.offset,
            epoch: self.epoch.as_str().into(),
            ..SubscribeRequest::default()
        }
    }

    /// Every number from the first one heard up to `last`, once and in order.
    pub fn check_whole(&self, last: u64, who: &str) {
        assert_eq!(self.lost, 0, "{who}: a position was lost");
        let numbers: Vec<u64> = self.heard.iter().map(|(_, number)| *number).collect();
        let first = *numbers.first().unwrap_or_else(|| panic!("{who} heard nothing"));
        let expected: Vec<u64> = (first..=last).collect();
        assert_eq!(numbers, expected, "{who}");
        // The payload says which publication it is, so that offsets are checked too.
        for (offset, number) in &self.heard {
            assert!(*offset == 0 || offset == number, "{who}: {offset} {number}");
        }
    }
}
