//! Devices over a link: one name, one connection, and what the server API asks them.
//!
//! They speak lines: `7` logs device 7 in, `say X` publishes, `= N X` answers question N.

use std::{
    io::{ErrorKind, IoSlice},
    sync::Arc,
};

use bytes::{BufMut, BytesMut};
use tokio::sync::oneshot;
use wharf::{
    devices::{ASKS_A_DEVICE, Found, Place},
    settings::{DEVICE_CONNECTIONS, DeviceListener, Settings},
    worker::{AskFailure, DeviceAsk, DeviceOrigin, Parts, ToWorker},
};
use wharf_core::testing::link::{End, Link, LinkOptions};
use wharf_proto::{
    PeerError,
    device::{
        Profile,
        spec::{
            CutSpec, FrameSpec, FramingSpec, Junk, LoginSpec, ProfileSpec, Publish, RequestSpec, TemplateSpec,
        },
    },
    framing::{FramingId, lines::LineDeframer},
    message::{
        BroadcastBody, Command, ConnectRequest, Data, Push, ReplyBody, Request, SubscribeRequest, Vouched,
    },
    wire::{Conversation, Encoded, Event, Inexpressible, MessageKind},
};

use super::world::{Machine, Shape};

#[derive(Default)]
struct Speech {
    device: Option<String>,
}

impl Conversation for Speech {
    fn decode(
        &mut self,
        _: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        let text = std::str::from_utf8(message).unwrap();
        let json = |text: &str| Data::Json(format!("{text:?}").into());
        let (id, request) = match (&self.device, text.split_once(' ')) {
            (None, _) => {
                self.device = Some(text.to_owned());
                let vouched =
                    Vouched { user: text.into(), attends: vec![format!("devices/{text}/up").into()] };
                let channel = format!("devices/{text}/down").into();
                let down = SubscribeRequest { channel, ..SubscribeRequest::default() };
                let connect =
                    ConnectRequest { subs: vec![down], vouched: Some(vouched), ..Default::default() };
                (1, Request::Connect(Box::new(connect)))
            }
            (Some(device), Some(("say", data))) => {
                (2, Request::Publish { channel: format!("devices/{device}/up").into(), data: json(data) })
            }
            // Answered at length.
            (Some(device), Some(("ask", data))) => {
                (3, Request::Publish { channel: format!("devices/{device}/up").into(), data: json(data) })
            }
            (Some(_), Some(("=", answer))) => {
                let (id, data) = answer.split_once(' ').unwrap();
                (id.parse().unwrap(), Request::Answer { data: json(data) })
            }
            _ => return Err(PeerError::Undecodable(text.into())),
        };
        commands.push(Command { id, request });
        Ok(())
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        let said = match event {
            Event::Reply(reply) => match &reply.result {
                Ok(ReplyBody::Connect(_)) => "welcome".to_owned(),
                Ok(ReplyBody::Publish) if reply.id == 3 => "so ".repeat(1_000),
                Err(error) => format!("error {} to {}", error.code, reply.id),
                _ => return Ok(Encoded::Nothing),
            },
            Event::Push(Push::Ask { data: Data::Binary(_), .. }) => return Err(Inexpressible),
            Event::Push(Push::Ask { id, data }) => {
                format!("? {id} {}", std::str::from_utf8(data.bytes()).unwrap())
            }
            Event::Push(Push::Disconnect(disconnect)) => format!("bye {}", disconnect.code),
            Event::Push(Push::Broadcast(broadcast)) => match &broadcast.body {
                BroadcastBody::Publication { publication, .. } => {
                    format!("do {}", std::str::from_utf8(publication.data.bytes()).unwrap())
                }
                _ => return Ok(Encoded::Nothing),
            },
            Event::Push(_) => return Ok(Encoded::Nothing),
        };
        out.put_slice(said.as_bytes());
        Ok(Encoded::Message(MessageKind::Text))
    }

    fn shares_broadcasts(&self) -> bool {
        false
    }
}

struct Device {
    end: End,
    _link: Link,
    heard: String,
}

impl Device {
    fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            // The link has room for far more, and takes a part of it at a time.
            let written = self.end.try_write(&[IoSlice::new(rest)]).unwrap();
            rest = &rest[written..];
        }
    }

    /// Everything heard so far, line by line.
    fn hears(&mut self, machine: &mut Machine) -> Vec<String> {
        machine.steps(50);
        let mut piece = [0; 512];
        loop {
            match self.end.try_read(&mut piece) {
                Ok(0) => break,
                Ok(count) => self.heard.push_str(std::str::from_utf8(&piece[..count]).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        std::mem::take(&mut self.heard).lines().map(str::to_owned).collect()
    }
}

/// The devices here have words of their own; a listener has a profile all the same.
fn unused_profile() -> ProfileSpec {
    ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Fixed { bytes: 1 },
            start: Vec::new(),
            end: Vec::new(),
            checksum: None,
            max_bytes: 1,
            junk: Junk::Close,
        },
        login: LoginSpec {
            frame: FrameSpec { pattern: Some("{id}".into()), ..FrameSpec::default() },
            id: "id".into(),
            token: None,
            allow: vec!["*".into()],
            seen_in: Vec::new(),
            answer: None,
            refusal: None,
            strict: false,
        },
        heartbeat: None,
        up: Vec::new(),
        down: None,
        request: None,
    }
}

fn machine(replaces: bool) -> Machine {
    machine_of(Profile::new(&unused_profile()).unwrap(), replaces)
}

fn machine_of(profile: Arc<Profile>, replaces: bool) -> Machine {
    Machine::plain(7, Settings { devices: [listener(profile, replaces)].into(), ..Settings::development() })
}

fn listener(profile: Arc<Profile>, replaces: bool) -> DeviceListener {
    DeviceListener {
        name: "tracker".into(),
        profile,
        listen: Vec::new(),
        replaces,
        tls: None,
        connections: DEVICE_CONNECTIONS,
    }
}

fn dial(machine: &mut Machine, worker: usize) -> Device {
    let parts =
        Parts { deframer: Box::new(LineDeframer::new(100)), conversation: Box::new(Speech::default()) };
    dial_with(machine, worker, FramingId::Lines, parts)
}

fn dial_with(machine: &mut Machine, worker: usize, framing: FramingId, parts: Parts) -> Device {
    let shape = Shape {
        framing,
        kind: "device_tcp",
        parts: Some(parts),
        device: Some(DeviceOrigin { listener: 0, names: None, slot: None }),
        ..Shape::websocket()
    };
    let (end, link) = machine.dial(worker, LinkOptions { capacity: 600, splits: true }, shape);
    Device { end, _link: link, heard: String::new() }
}

/// A device that has logged in as 7.
fn login(machine: &mut Machine, worker: usize) -> Device {
    let mut device = dial(machine, worker);
    device.say("7");
    assert_eq!(device.hears(machine), ["welcome"]);
    device
}

fn place(machine: &Machine) -> Place {
    match machine.node.devices.registry.find(None, "7") {
        Found::At(place) => place,
        found => panic!("{found:?}"),
    }
}

type Answer = oneshot::Receiver<Result<Data, AskFailure>>;

fn ask(machine: &mut Machine, data: Data) -> Answer {
    let Place { worker, entry } = place(machine);
    let (answer, answered) = oneshot::channel();
    let ask = DeviceAsk { entry, data, timeout_ms: 2_000, answer };
    machine.send(usize::from(worker), ToWorker::Ask(ask));
    answered
}

fn json(text: &'static str) -> Data {
    Data::Json(text.into())
}

#[test]
fn a_second_connection_replaces_the_first_on_the_same_worker_and_on_another() {
    for second_worker in [0, 1] {
        let mut machine = machine(true);
        let mut first = login(&mut machine, 0);
        let mut second = login(&mut machine, second_worker);
        assert_eq!(first.hears(&mut machine), ["bye 3520"]);
        drop(first);
        machine.steps(50);
        assert_eq!(usize::from(place(&machine).worker), second_worker);
        assert_eq!(machine.present("devices/7/up"), 1);
        machine.publish("devices/7/down", "1".to_owned());
        assert_eq!(second.hears(&mut machine), ["do 1"]);
        drop(second);
        machine.steps(50);
        assert_eq!(machine.node.devices.registry.find(None, "7"), Found::Nowhere);
        assert_eq!((machine.connections(), machine.present("devices/7/up")), (0, 0));
    }
}

#[test]
fn a_second_connection_is_refused_where_the_first_is_kept_until_that_has_ended() {
    let mut machine = machine(false);
    let mut first = login(&mut machine, 0);
    let mut second = dial(&mut machine, 1);
    second.say("7");
    assert_eq!(second.hears(&mut machine), ["bye 3420"]);
    machine.publish("devices/7/down", "1".to_owned());
    assert_eq!(first.hears(&mut machine), ["do 1"]);
    assert_eq!(machine.present("devices/7/up"), 1);
    drop((first, second));
    machine.steps(50);
    login(&mut machine, 1);
}

#[test]
fn a_device_is_asked_and_its_answers_go_to_whoever_asked() {
    let mut machine = machine(true);
    let mut device = login(&mut machine, 1);
    let (mut one, mut two) = (ask(&mut machine, json("\"a\"")), ask(&mut machine, json("\"b\"")));
    assert_eq!(device.hears(&mut machine), ["? 1 \"a\"", "? 2 \"b\""]);
    device.say("= 2 second");
    device.say("= 1 first");
    device.say("= 9 nobody asked");
    device.hears(&mut machine);
    assert_eq!(one.try_recv().unwrap(), Ok(json("\"first\"")));
    assert_eq!(two.try_recv().unwrap(), Ok(json("\"second\"")));
}

#[test]
fn a_question_without_an_answer_runs_out_or_ends_with_its_device() {
    let mut machine = machine(true);
    let device = login(&mut machine, 0);
    let mut late = ask(&mut machine, json("1"));
    machine.pass_ms(1_900);
    assert!(late.try_recv().is_err());
    machine.pass_ms(200);
    assert_eq!(late.try_recv().unwrap(), Err(AskFailure::TimedOut));
    let mut ended = ask(&mut machine, json("1"));
    machine.steps(10);
    let gone = place(&machine);
    drop(device);
    machine.steps(50);
    assert_eq!(ended.try_recv().unwrap(), Err(AskFailure::Ended));

    let (answer, mut answered) = oneshot::channel();
    let stale = DeviceAsk { entry: gone.entry, data: json("1"), timeout_ms: 2_000, answer };
    machine.send(0, ToWorker::Ask(stale));
    machine.steps(10);
    assert_eq!(answered.try_recv().unwrap(), Err(AskFailure::Ended));
}

#[test]
fn a_device_is_asked_no_more_than_its_bound_at_once_and_only_what_its_profile_can_say() {
    let mut machine = machine(true);
    let mut device = login(&mut machine, 0);
    let mut waiting: Vec<_> = (0..ASKS_A_DEVICE).map(|_| ask(&mut machine, json("1"))).collect();
    let mut over = ask(&mut machine, json("1"));
    assert_eq!(device.hears(&mut machine).len(), ASKS_A_DEVICE);
    assert_eq!(over.try_recv().unwrap(), Err(AskFailure::TooMany { at_once: ASKS_A_DEVICE }));
    device.say("= 1 done");
    device.hears(&mut machine);
    assert!(waiting[0].try_recv().unwrap().is_ok());
    let mut wordless = ask(&mut machine, Data::Binary("x".into()));
    device.hears(&mut machine);
    let Err(AskFailure::NoWords(why)) = wordless.try_recv().unwrap() else { panic!("it was asked") };
    assert!(why.contains("no [device.request]"), "{why}");
    assert_eq!(machine.connections(), 1, "the device does not suffer for it");
}

/// A device whose words come of a profile: `LOGIN 7` logs in, `ASK N X` is a question, and its answer `ANSWER X` holds no
/// number, or `ANSWER N X`.
fn asked_profile(request: RequestSpec) -> ProfileSpec {
    let unused = unused_profile();
    let lines = FramingSpec {
        cut: CutSpec::Marks { escape: None },
        end: b"\n".to_vec(),
        max_bytes: 100,
        ..unused.framing
    };
    let login = LoginSpec {
        frame: pattern("LOGIN {id}"),
        answer: Some(TemplateSpec::Text("welcome".into())),
        ..unused.login
    };
    ProfileSpec { framing: lines, login, request: Some(request), ..unused_profile() }
}

fn pattern(text: &str) -> FrameSpec {
    FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() }
}

fn asked_machine(request: RequestSpec) -> (Machine, Device) {
    let profile = Profile::new(&asked_profile(request)).unwrap();
    let parts = Parts { deframer: profile.deframer(), conversation: profile.conversation() };
    let mut machine = machine_of(profile, true);
    let mut device = dial_with(&mut machine, 0, FramingId::Plain, parts);
    device.say("LOGIN 7");
    assert_eq!(device.hears(&mut machine), ["welcome"]);
    (machine, device)
}

#[test]
fn an_answer_without_a_number_is_never_taken_for_that_to_another_question() {
    let (mut machine, mut device) = asked_machine(RequestSpec {
        template: TemplateSpec::Text("ASK {data}".into()),
        answer: pattern("ANSWER {said}"),
        seq: None,
        seq_bits: 32,
        publish: Publish::Fields,
    });
    let refused = Err(AskFailure::TooMany { at_once: 1 });
    let (mut first, mut early) = (ask(&mut machine, json("\"a\"")), ask(&mut machine, json("\"b\"")));
    assert_eq!(device.hears(&mut machine), ["ASK a"]);
    assert_eq!(early.try_recv().unwrap(), refused);
    machine.pass_ms(2_100);
    assert_eq!(first.try_recv().unwrap(), Err(AskFailure::TimedOut));
    let mut early = ask(&mut machine, json("\"c\""));
    assert!(device.hears(&mut machine).is_empty());
    assert_eq!(early.try_recv().unwrap(), refused, "the first may still be answered");

    machine.pass_ms(5_000);
    let mut second = ask(&mut machine, json("\"d\""));
    assert_eq!(device.hears(&mut machine), ["ASK d"]);
    device.say("ANSWER d");
    device.hears(&mut machine);
    assert_eq!(second.try_recv().unwrap(), Ok(json(r#"{"said":"d"}"#)));

    let mut third = ask(&mut machine, json("\"e\""));
    assert_eq!(device.hears(&mut machine), ["ASK e"]);
    machine.pass_ms(2_100);
    assert_eq!(third.try_recv().unwrap(), Err(AskFailure::TimedOut));
    device.say("ANSWER late");
    device.hears(&mut machine);
    let mut fourth = ask(&mut machine, json("\"f\""));
    assert_eq!(device.hears(&mut machine), ["ASK f"], "the late answer makes room");
    device.say("ANSWER f");
    device.hears(&mut machine);
    assert_eq!(fourth.try_recv().unwrap(), Ok(json(r#"{"said":"f"}"#)));
}

#[test]
fn questions_whose_numbers_look_alike_are_not_open_at_once() {
    let (mut machine, mut device) = asked_machine(RequestSpec {
        template: TemplateSpec::Text("ASK {seq} {data}".into()),
        answer: pattern("ANSWER {seq:digits} {said}"),
        seq: Some("seq".into()),
        seq_bits: 2,
        publish: Publish::Fields,
    });
    let mut first: Vec<_> = (0..4).map(|_| ask(&mut machine, json("\"x\""))).collect();
    assert_eq!(device.hears(&mut machine), ["ASK 1 x", "ASK 2 x", "ASK 3 x", "ASK 0 x"]);
    let mut over = ask(&mut machine, json("\"x\""));
    device.say("ANSWER 2 two");
    device.hears(&mut machine);
    assert_eq!(over.try_recv().unwrap(), Err(AskFailure::TooMany { at_once: 4 }));
    assert!(first[1].try_recv().unwrap().is_ok());
    let mut next = ask(&mut machine, json("\"y\""));
    assert_eq!(device.hears(&mut machine), ["ASK 2 y"], "1 is still open");
    device.say("ANSWER 1 one");
    device.say("ANSWER 2 again");
    device.hears(&mut machine);
    assert_eq!(first[0].try_recv().unwrap(), Ok(json(r#"{"seq":"1","said":"one"}"#)));
    assert_eq!(next.try_recv().unwrap(), Ok(json(r#"{"seq":"2","said":"again"}"#)));
}

#[test]
fn an_answer_counts_although_the_device_has_not_read_what_it_asked_for() {
    let listener = listener(Profile::new(&unused_profile()).unwrap(), true);
    let mut settings = Settings { devices: [listener].into(), ..Settings::development() };
    settings.limits.outbox_bytes = 1_000;
    let mut machine = Machine::plain(7, settings);
    let mut device = login(&mut machine, 0);
    let mut asked = ask(&mut machine, json("\"a\""));
    machine.steps(50);
    device.say("ask much");
    machine.steps(50);
    device.say("= 1 done");
    machine.steps(50);
    assert_eq!(asked.try_recv().unwrap(), Ok(json("\"done\"")));
    assert!(!device.hears(&mut machine).iter().any(|line| line.starts_with("error")));
}
