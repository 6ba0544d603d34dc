//! What must hold when any description of a kind of device is given any bytes in any pieces.

use std::sync::Arc;

use bytes::BytesMut;
use wharf_proto::{
    PeerError,
    device::{
        Profile,
        checksum::Checksum,
        spec::{
            BadChecksum, ChecksumForm, ChecksumSpec, Counts, CutSpec, DownSpec, Endian, EscapeHow,
            EscapeSpec, FieldKind, FieldSpec, FrameSpec, FramingSpec, HeartbeatSpec, Junk, LengthSpec,
            LoginSpec, MessageSpec, ProfileSpec, Publish, RequestSpec, TemplateSpec, UpSpec,
        },
    },
    dialect::centrifuge_json::payload,
    message::{
        Broadcast, BroadcastBody, Channel, Command, Data, ErrorReply, Publication, Push, Reply, ReplyBody,
        Request,
    },
    wire::{Conversation, Deframer, Encoded, Event, Incoming, MessageKind},
};

/// The longest message of the kinds that the body makes, so that small inputs reach the limit.
pub const LIMIT: usize = 64;

/// Why nothing more is read: the description cannot be, or the device broke a rule.
#[derive(Debug)]
pub enum Ended {
    /// The key that is at fault.
    Description(String),
    Peer(PeerError),
}

/// Takes the front of `input` for a description, and the rest for what such a device sends. Answers what it asks.
pub fn run(input: &[u8]) -> Result<Vec<Command>, Ended> {
    let mut choices = Choices(input);
    let spec = describe(&mut choices);
    let profile = Profile::new(&spec).map_err(|error| Ended::Description(error.key))?;
    profile.handle_time(u64::from(choices.byte()) << 40);
    let stream = choices.0;
    assert!(!profile.explain().is_empty());
    sample_is_told_to_its_end(&profile, stream);
    unframed_bytes_are_framed_or_refused(&profile, stream);

    let whole = Heard::of(&profile, &[stream]);
    if !profile.framing().is_datagram() {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(Heard::of(&profile, &bytes), whole, "byte by byte");
        let (front, back) = stream.split_at(stream.len() / 3);
        assert_eq!(Heard::of(&profile, &[front, back]), whole, "in two");
    }
    match whole.ended {
        None => Ok(whole.commands),
        Some(error) => Err(Ended::Peer(error)),
    }
}

/// What a session hears of a device.
#[derive(Debug, PartialEq)]
struct Heard {
    commands: Vec<Command>,
    ended: Option<PeerError>,
    answers: BytesMut,
}

impl Heard {
    fn of(profile: &Arc<Profile>, pieces: &[&[u8]]) -> Self {
        let (mut deframer, mut conversation) = (profile.deframer(), profile.conversation());
        let mut heard = Self { commands: Vec::new(), ended: None, answers: BytesMut::new() };
        for piece in pieces {
            let fed = deframer.feed(&mut piece.to_vec(), &mut |incoming| {
                let Incoming::Message(kind, message) = incoming else {
                    panic!("not a message: {incoming:?}")
                };
                heard.take(profile, &mut *conversation, kind, message);
            });
            assert!(deframer.held_bytes() <= 2 * (LIMIT + 24) + 600, "a frame and no more");
            if let (Err(error), None) = (fed, &heard.ended) {
                heard.ended = Some(error);
            }
            if heard.ended.is_some() {
                break;
            }
        }
        if heard.ended.is_none() {
            heard.tell_unasked(profile, &mut *conversation);
        }
        heard
    }

    fn take(
        &mut self,
        profile: &Profile,
        conversation: &mut dyn Conversation,
        kind: MessageKind,
        message: &[u8],
    ) {
        if self.ended.is_some() {
            return;
        }
        let mut commands = Vec::new();
        let decoded = conversation.decode(kind, message, &mut commands);
        for command in &commands {
            command_is_sound(command);
            let result = match command.id % 3 {
                0 => Err(ErrorReply::LIMIT_EXCEEDED),
                _ => Ok(ReplyBody::Heartbeat),
            };
            self.tell(profile, conversation, Event::Reply(&Reply { id: command.id, result }));
        }
        self.commands.append(&mut commands);
        self.ended = decoded.err();
    }

    fn tell_unasked(&mut self, profile: &Profile, conversation: &mut dyn Conversation) {
        let said = ["\"R1\"", "\"a\\r\\n#\"", "{\"kind\":\"x\",\"value\":300}", "5"];
        for (number, json) in said.into_iter().enumerate() {
            let data = Data::Json(json.into());
            let publication = Publication { data: data.clone(), info: None, offset: 1, tags: None };
            for command in self.commands.clone() {
                let Request::Connect(request) = command.request else { continue };
                for sub in &request.subs {
                    let body = BroadcastBody::Publication {
                        publication: Arc::new(publication.clone()),
                        epoch: None,
                    };
                    let channel = Channel::parse(&sub.channel).expect("a channel of a description");
                    let broadcast = Arc::new(Broadcast { channel, body });
                    self.tell(profile, conversation, Event::Push(&Push::Broadcast(broadcast)));
                }
            }
            self.tell(profile, conversation, Event::Push(&Push::Ask { id: number as u32, data }));
        }
        self.tell(profile, conversation, Event::Push(&Push::Ping));
    }

    /// What the device is told is one frame of its own framing, and nothing else.
    fn tell(&mut self, profile: &Profile, conversation: &mut dyn Conversation, event: Event<'_>) {
        let mut out = BytesMut::new();
        match conversation.encode(event, &mut out).expect("devices are told anything") {
            Encoded::Message(_) => reads_as_one(profile, &out),
            _ => assert!(out.is_empty()),
        }
        self.answers.extend_from_slice(&out);
    }
}

fn reads_as_one(profile: &Profile, bytes: &[u8]) {
    let mut messages = 0;
    let mut reader = profile.framing().reader();
    let fed = reader.feed(&mut bytes.to_vec(), &mut |_| messages += 1);
    assert_eq!((fed, messages, reader.held_bytes()), (Ok(()), 1, 0), "{bytes:?}");
}

/// A message that can be framed reads back as it was.
fn unframed_bytes_are_framed_or_refused(profile: &Profile, message: &[u8]) {
    let mut out = BytesMut::new();
    if profile.framing().try_frame(message, &mut out).is_err() {
        return assert!(out.is_empty());
    }
    let mut found = Vec::new();
    let mut reader = profile.framing().reader();
    let fed = reader.feed(&mut out, &mut |incoming| {
        if let Incoming::Message(_, message) = incoming {
            found.push(message.to_vec());
        }
    });
    assert_eq!((fed, found), (Ok(()), vec![message.to_vec()]));
}

/// The steps of a sample stand one behind another and leave nothing out.
fn sample_is_told_to_its_end(profile: &Arc<Profile>, sample: &[u8]) {
    let mut at = 0;
    for step in profile.try_bytes(sample) {
        assert_eq!(step.at, at, "{step}");
        at += step.bytes;
    }
    assert_eq!(at, sample.len());
}

fn command_is_sound(command: &Command) {
    match &command.request {
        Request::Publish { channel, data: Data::Json(json) } => {
            assert!(Channel::parse(channel).is_ok(), "{channel}");
            let text = std::str::from_utf8(json).expect("JSON is UTF-8");
            payload::parse(text).expect("what is published is JSON");
        }
        Request::Connect(request) => {
            let vouched = request.vouched.as_ref().expect("a device is vouched for");
            assert!(vouched.attends.iter().all(|channel| Channel::parse(channel).is_ok()));
        }
        Request::Answer { data: Data::Json(_) } | Request::Heartbeat => {}
        other => panic!("no device asks for this: {other:?}"),
    }
}

/// The choices of an input, and 0 when it has no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn is_set(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.byte()).collect()
    }

    fn endian(&mut self) -> Endian {
        if self.is_set() { Endian::Little } else { Endian::Big }
    }
}

fn describe(choices: &mut Choices<'_>) -> ProfileSpec {
    match choices.byte() {
        b'T' => text_tracker(),
        b'B' => binary_tracker(),
        b'L' => ProfileSpec { framing: wide_length(), ..binary_tracker() },
        _ => any_kind(choices),
    }
}

fn text(text: &str) -> Option<TemplateSpec> {
    Some(TemplateSpec::Text(text.into()))
}

fn hex(digits: &str) -> Option<TemplateSpec> {
    Some(TemplateSpec::Hex(digits.into()))
}

fn pattern(text: &str) -> FrameSpec {
    FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() }
}

fn field(name: &str, at: i64, bytes: usize, kind: FieldKind) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        at,
        bytes: Some(bytes),
        leave: 0,
        kind,
        bits: None,
        times: None,
        divided_by: None,
        decimals: None,
        trim: None,
    }
}

fn numbered(kind: u8) -> FrameSpec {
    let serial = field("serial", -2, 2, FieldKind::Unsigned(Endian::Big));
    FrameSpec { bytes: vec![(0, vec![kind])], fields: vec![serial], ..FrameSpec::default() }
}

fn login(frame: FrameSpec, answer: Option<TemplateSpec>) -> LoginSpec {
    LoginSpec {
        frame,
        id: "id".into(),
        token: None,
        allow: vec!["*".into()],
        seen_in: vec!["all".into()],
        answer,
        refusal: None,
        strict: false,
    }
}

fn up(frame: FrameSpec, publish: Publish, answer: Option<TemplateSpec>) -> UpSpec {
    UpSpec { frame, channel: "up/{id}".into(), publish, with: Vec::new(), answer, error: None }
}

fn text_tracker() -> ProfileSpec {
    let every = TemplateSpec::Text("HQ,{id},{data}".into());
    ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Marks { escape: None },
            start: b"*".to_vec(),
            end: b"#".to_vec(),
            checksum: None,
            max_bytes: LIMIT,
            junk: Junk::Skip { limit: 100 },
        },
        login: login(pattern("HQ,{id:digits},{_}"), None),
        heartbeat: Some(HeartbeatSpec {
            frame: Some(pattern("HQ,{_},HB")),
            answer: text("HQ,{id},HB,{now:%H%M%S}"),
            send: text("PING{seq}"),
            interval_ms: 60_000,
            misses: 1,
            only: false,
        }),
        up: vec![
            up(pattern("HQ,{_},V1,{lat:degrees},{speed:number},{rest}"), Publish::Fields, text("V4,{rest}")),
            up(FrameSpec::default(), Publish::Text, None),
        ],
        down: Some(DownSpec {
            channel: "down/{id}".into(),
            messages: vec![MessageSpec { when: None, template: every }],
        }),
        request: None,
    }
}

fn binary_framing(length: LengthSpec, junk: Junk) -> FramingSpec {
    FramingSpec {
        cut: CutSpec::Length(length),
        start: b"\x78\x78".to_vec(),
        end: b"\r\n".to_vec(),
        checksum: Some(ChecksumSpec {
            kind: Checksum::Crc16X25,
            skip: None,
            leave: 0,
            form: ChecksumForm::Binary(Endian::Big),
            before: Vec::new(),
            behind_end: false,
            bad: BadChecksum::Drop,
        }),
        max_bytes: LIMIT,
        junk,
    }
}

fn binary_tracker() -> ProfileSpec {
    let length = LengthSpec { at: 2, bytes: 1, endian: Endian::Big, counts: Counts::Message, plus: 2 };
    let mut first = numbered(1);
    first.fields.push(FieldSpec { trim: Some('0'), ..field("id", 1, 8, FieldKind::Bcd) });
    let mut answer = numbered(0x15);
    answer.fields.push(field("n", 2, 4, FieldKind::Unsigned(Endian::Big)));
    ProfileSpec {
        framing: binary_framing(length, Junk::Skip { limit: 100 }),
        login: login(first, hex("01 {serial:u16be}")),
        heartbeat: Some(HeartbeatSpec {
            frame: Some(numbered(0x13)),
            answer: hex("13 {serial:u16be}"),
            send: None,
            interval_ms: 180_000,
            misses: 1,
            only: true,
        }),
        up: vec![up(numbered(0x12), Publish::Fields, None)],
        down: None,
        request: Some(RequestSpec {
            template: TemplateSpec::Hex("80 {data:len+4} {seq:u32be} {data}".into()),
            answer,
            seq: Some("n".into()),
            seq_bits: 32,
            publish: Publish::Hex,
        }),
    }
}

/// A length of four bytes, and no patience with what is no frame.
fn wide_length() -> FramingSpec {
    let length = LengthSpec { at: 2, bytes: 4, endian: Endian::Big, counts: Counts::Frame, plus: 0 };
    binary_framing(length, Junk::Close)
}

fn any_kind(choices: &mut Choices<'_>) -> ProfileSpec {
    let framing = any_framing(choices);
    let templates = ["OK {id}", "{a}", "{b:u16be}{seq:x4}", "{a:raw}{now:bcd6}", "{id:len}{a:04}", "*#\r\n"];
    let template = |choices: &mut Choices<'_>| text(choices.one_of(&templates));
    let frame = any_frame(choices);
    let mut first = any_frame(choices);
    first.fields.push(field("id", 0, 1 + choices.below(4), FieldKind::Hex));
    let downs = ["{data}", "{data:raw}", "{data.value:u8}{id}", "{data.kind}", "{data:unhex}"];
    let said = TemplateSpec::Text(choices.one_of(&downs).into());
    let publishes = [Publish::Fields, Publish::Text, Publish::Base64, Publish::Hex, Publish::Json];
    ProfileSpec {
        framing,
        login: login(first, None),
        heartbeat: Some(HeartbeatSpec {
            frame: Some(any_frame(choices)),
            answer: None,
            send: text(choices.one_of(&["{seq}", "{now}", "#"])),
            interval_ms: 1_000,
            misses: 0,
            only: false,
        }),
        up: vec![up(frame, choices.one_of(&publishes), template(choices))],
        down: Some(DownSpec {
            channel: "down/{id}".into(),
            messages: vec![MessageSpec { when: None, template: said.clone() }],
        }),
        request: Some(RequestSpec {
            template: said,
            answer: any_frame(choices),
            seq: None,
            seq_bits: 8,
            publish: Publish::Base64,
        }),
    }
}

/// Reads the fields `a` and `b`.
fn any_frame(choices: &mut Choices<'_>) -> FrameSpec {
    let patterns = ["{a},{b}", "{a:number};{b:degrees}", "{a:digits}={b}", "x{a}y{b}z", "{a},{_},{b}"];
    if choices.is_set() {
        return pattern(choices.one_of(&patterns));
    }
    let kinds = [
        FieldKind::Unsigned(Endian::Big),
        FieldKind::Signed(Endian::Little),
        FieldKind::Bcd,
        FieldKind::Text,
        FieldKind::Base64,
    ];
    let place = |choices: &mut Choices<'_>| i64::from(choices.byte().cast_signed() % 12);
    let fields = ["a", "b"]
        .map(|name| field(name, place(choices), 1 + choices.below(8), choices.one_of(&kinds)))
        .to_vec();
    FrameSpec { bytes: vec![(place(choices), choices.bytes(2))], fields, ..FrameSpec::default() }
}

fn any_framing(choices: &mut Choices<'_>) -> FramingSpec {
    let cut = match choices.below(5) {
        0 => CutSpec::Marks { escape: None },
        1 => CutSpec::Marks { escape: Some(any_escape(choices)) },
        2 => CutSpec::Fixed { bytes: 1 + choices.below(LIMIT) },
        3 => CutSpec::Datagram,
        _ => CutSpec::Length(LengthSpec {
            at: choices.below(6),
            bytes: 1 + choices.below(8),
            endian: choices.endian(),
            counts: choices.one_of(&[Counts::Message, Counts::Rest, Counts::Frame]),
            plus: i64::from(choices.byte().cast_signed()),
        }),
    };
    let (start, end) = (choices.bytes(3), choices.bytes(3));
    let checksum = choices.is_set().then(|| ChecksumSpec {
        kind: choices.one_of(&Checksum::NAMES).1,
        skip: choices.is_set().then(|| choices.below(6)),
        leave: choices.below(4),
        form: if choices.is_set() { ChecksumForm::Hex } else { ChecksumForm::Binary(choices.endian()) },
        before: choices.bytes(2),
        behind_end: choices.is_set(),
        bad: if choices.is_set() { BadChecksum::Close } else { BadChecksum::Drop },
    });
    let junk = if choices.is_set() { Junk::Close } else { Junk::Skip { limit: 100 } };
    FramingSpec { cut, start, end, checksum, max_bytes: LIMIT, junk }
}

fn any_escape(choices: &mut Choices<'_>) -> EscapeSpec {
    let how = match choices.below(3) {
        0 => EscapeHow::Xor(choices.byte()),
        1 => EscapeHow::Literal,
        _ => EscapeHow::Table((0..3).map(|_| (choices.byte(), choices.byte())).collect()),
    };
    EscapeSpec { byte: choices.byte(), how, also: choices.bytes(2) }
}
