use std::sync::Arc;

use super::*;
use crate::{
    device::{
        spec::{ProfileSpec, Publish, TokenSpec},
        testing::{ascii_tracker, binary_tracker, profile, text},
    },
    message::{Channel, ClientId, ConnectResult, ErrorReply, SubscribeResult},
    wire::Deframer,
};

/// A device on a simulated connection: its bytes go in, and what a session would be asked comes out.
struct Wire {
    profile: Arc<Profile>,
    deframer: Box<dyn Deframer>,
    conversation: Box<dyn Conversation>,
}

impl Wire {
    fn new(spec: &ProfileSpec) -> Self {
        let profile = profile(spec);
        profile.handle_time(1_762_432_496_500); // 2025-11-06T12:34:56.5Z
        Self { deframer: profile.deframer(), conversation: profile.conversation(), profile }
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<Vec<Command>, PeerError> {
        let (mut commands, mut outcome) = (Vec::new(), Ok(()));
        let conversation = &mut self.conversation;
        self.deframer.feed(&mut bytes.to_vec(), &mut |incoming| {
            let crate::wire::Incoming::Message(kind, message) = incoming else { panic!("{incoming:?}") };
            if outcome.is_ok() {
                outcome = conversation.decode(kind, message, &mut commands);
            }
        })?;
        outcome.map(|()| commands)
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<Command> {
        self.try_send(bytes).unwrap()
    }

    /// The message in a frame of a binary tracker.
    fn send_message(&mut self, message: &[u8]) -> Vec<Command> {
        let mut frame = BytesMut::new();
        self.profile.framing().try_frame(message, &mut frame).unwrap();
        self.send(&frame)
    }

    fn told(&mut self, event: Event<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        match self.conversation.encode(event, &mut out).unwrap() {
            Encoded::Message(_) => assert!(!out.is_empty()),
            _ => assert!(out.is_empty()),
        }
        out.to_vec()
    }

    fn replied(&mut self, id: u32, result: Result<ReplyBody, ErrorReply>) -> Vec<u8> {
        self.told(Event::Reply(&Reply { id, result }))
    }

    fn published(&mut self, channel: &str, json: &str) -> Vec<u8> {
        let broadcast = Broadcast {
            channel: Channel::parse(channel).unwrap(),
            body: BroadcastBody::Publication { publication: Arc::new(publication(json)), epoch: None },
        };
        self.told(Event::Push(&Push::Broadcast(Arc::new(broadcast))))
    }
}

fn publication(json: &str) -> Publication {
    Publication { data: Data::Json(json.to_owned().into()), info: None, offset: 0, tags: None }
}

fn connected(subs: Vec<(Channel, SubscribeResult)>) -> Result<ReplyBody, ErrorReply> {
    Ok(ReplyBody::Connect(Box::new(ConnectResult {
        client: ClientId(1),
        version: "v".into(),
        subs,
        ping_s: 25,
        pong: true,
        session: Box::default(),
        node: Box::default(),
    })))
}

fn published(command: &Command) -> (String, String) {
    let Request::Publish { channel, data } = &command.request else { panic!("{command:?}") };
    (channel.to_string(), String::from_utf8(data.bytes().to_vec()).unwrap())
}

const POSITION: &[u8] = b"*HQ,41,V1,123456,A,2234.4669,N,012.5#";
const LOGIN: &[u8] = b"\x78\x78\x0d\x01\x01\x23\x45\x67\x89\x01\x23\x45\x00\x01\x8c\xdd\x0d\x0a";

#[test]
fn a_login_is_a_connect_that_is_vouched_for() {
    let mut wire = Wire::new(&binary_tracker());
    let commands = wire.send(LOGIN);
    let [Command { id: 1, request: Request::Connect(request) }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let vouched = request.vouched.as_ref().unwrap();
    assert_eq!((&*vouched.user, &request.subs[..]), ("123456789012345", &[][..]));
    assert_eq!(vouched.attends, ["devices/123456789012345/up".into()]);
    assert_eq!(wire.replied(1, connected(Vec::new())), b"\x78\x78\x05\x01\x00\x01\xd9\xdc\x0d\x0a");
}

#[test]
fn a_frame_that_names_the_device_is_its_login_and_says_the_rest_too() {
    let mut wire = Wire::new(&ascii_tracker());
    let commands = wire.send(POSITION);
    assert_eq!(commands.len(), 2);
    let Request::Connect(request) = &commands[0].request else { panic!("{commands:?}") };
    assert_eq!(&*request.subs[0].channel, "devices/41/down");
    let attends = &request.vouched.as_ref().unwrap().attends;
    assert_eq!(attends[..], ["devices/41/up".into(), "trackers".into()]);
    let json = r#"{"type":"position","time":"123456","valid":"A","lat":22.574448,"ns":"N","speed":12.5}"#;
    assert_eq!(published(&commands[1]), ("devices/41/up".into(), json.into()));
    assert_eq!(wire.replied(1, connected(Vec::new())), b"", "this login is not answered");
    assert_eq!(wire.replied(2, Ok(ReplyBody::Publish)), b"*HQ,41,V4,V1,123456#");
    let again = wire.send(POSITION);
    assert!(matches!(&again[..], [Command { id: 3, request: Request::Publish { .. } }]), "{again:?}");
    assert_eq!(wire.replied(3, Err(ErrorReply::LIMIT_EXCEEDED)), b"*HQ,41,V4,ERROR,123456#");
    assert_eq!(wire.replied(3, Ok(ReplyBody::Publish)), b"", "each is answered once");
}

#[test]
fn a_device_that_is_not_allowed_is_refused_in_its_words() {
    let mut wire = Wire::new(&ascii_tracker());
    let error = wire.try_send(b"*HQ,99,V1#").unwrap_err().disconnect();
    assert_eq!((error.code, &*error.reason), (3507, "no device \"99\" is allowed here"));
    assert_eq!(wire.told(Event::Push(&Push::Disconnect(error))), b"*HQ,99,NO#");
    assert!(wire.send(POSITION).is_empty(), "nothing is heard of it any more");
}

#[test]
fn a_token_must_be_the_devices_own_or_the_shared_one() {
    let mut spec = ascii_tracker();
    spec.login.frame.pattern = Some("HQ,{id},{token}".into());
    spec.login.token = Some(TokenSpec {
        field: "token".into(),
        shared: Some("all".into()),
        by_id: vec![("412".into(), "own".into())],
    });
    for (frame, code) in [
        (&b"*HQ,411,all#"[..], None),
        (b"*HQ,412,own#", None),
        (b"*HQ,412,all#", Some(3500)),
        (b"*HQ,411,own#", Some(3500)),
        (b"*HQ,411,#", Some(3500)),
    ] {
        let outcome = Wire::new(&spec).try_send(frame);
        assert_eq!(outcome.err().map(|error| error.disconnect().code), code, "{frame:?}");
    }
}

// Row 53: what comes before a login is bounded.
#[test]
fn a_few_frames_before_the_login_are_left_out_and_more_close() {
    let mut wire = Wire::new(&binary_tracker());
    for _ in 0..EARLY_FRAMES {
        assert!(wire.send_message(b"\x13\x00\x01").is_empty());
    }
    assert_eq!(wire.profile.counts().unmatched, u64::from(EARLY_FRAMES));
    let mut late = Wire::new(&binary_tracker());
    late.send_message(b"\x13\x00\x01");
    assert_eq!(late.send(LOGIN).len(), 1);
    let mut frame = BytesMut::new();
    wire.profile.framing().try_frame(b"\x13\x00\x01", &mut frame).unwrap();
    let error = wire.try_send(&frame).unwrap_err();
    assert!(error.to_string().contains("the first frame must be a login"));
    let mut strict = binary_tracker();
    strict.login.strict = true;
    assert!(Wire::new(&strict).try_send(&frame).is_err());
}

#[test]
fn a_connection_speaks_for_one_device() {
    let mut wire = Wire::new(&ascii_tracker());
    wire.send(POSITION);
    let error = wire.try_send(b"*HQ,411,V1,123456,A,2234.4669,N,012.5#").unwrap_err();
    assert_eq!(error.to_string(), "a frame names another device than 41");
}

#[test]
fn a_login_that_comes_again_is_answered_again() {
    let mut wire = Wire::new(&binary_tracker());
    wire.send(LOGIN);
    let commands = wire.send(LOGIN);
    assert_eq!(commands, [Command { id: 2, request: Request::Heartbeat }]);
    assert_eq!(wire.replied(2, Ok(ReplyBody::Heartbeat)), b"\x78\x78\x05\x01\x00\x01\xd9\xdc\x0d\x0a");
}

#[test]
fn a_heartbeat_shows_life_and_is_answered() {
    let mut wire = Wire::new(&binary_tracker());
    wire.send(LOGIN);
    assert_eq!(
        wire.send_message(b"\x13\x4b\x04\x03\x00\x01\x00\x11"),
        [Command { id: 2, request: Request::Heartbeat }]
    );
    assert_eq!(wire.replied(2, Ok(ReplyBody::Heartbeat)), b"\x78\x78\x05\x13\x00\x11\xf9\x70\x0d\x0a");
    let policy = wire.profile.heartbeat().unwrap();
    assert_eq!((policy.silence_ms(), policy.pings, policy.only), (360_000, false, true));
}

#[test]
fn the_servers_pings_count() {
    let mut wire = Wire::new(&ascii_tracker());
    assert_eq!(wire.told(Event::Push(&Push::Ping)), b"", "nobody is there yet");
    wire.send(b"*HQ,41,HTBT,87#");
    assert_eq!(wire.told(Event::Push(&Push::Ping)), b"*HQ,41,PING,1#");
    assert_eq!(wire.told(Event::Push(&Push::Ping)), b"*HQ,41,PING,2#");
}

#[test]
fn numbers_are_counted_once_for_each_that_is_said() {
    let mut spec = ascii_tracker();
    spec.up[0].answer = Some(text("OK,{seq}"));
    spec.up[0].error = Some(text("ERROR,{seq}"));
    let mut wire = Wire::new(&spec);
    wire.send(POSITION);
    assert_eq!(wire.replied(2, Ok(ReplyBody::Publish)), b"*OK,1#");
    wire.send(POSITION);
    assert_eq!(wire.replied(3, Err(ErrorReply::LIMIT_EXCEEDED)), b"*ERROR,2#");
    assert_eq!(wire.published("devices/41/down", "\"R1\""), b"*HQ,41,R1#", "it says no number");
    assert_eq!(wire.told(Event::Push(&Push::Ping)), b"*HQ,41,PING,3#");
}

#[test]
fn publications_to_its_channel_are_written_as_the_first_template_that_holds() {
    let mut wire = Wire::new(&ascii_tracker());
    wire.send(POSITION);
    let interval = r#"{"command":"interval","seconds":30}"#;
    assert_eq!(wire.published("devices/41/down", interval), b"*HQ,41,S71,123456,0030#");
    assert_eq!(wire.published("devices/41/down", "\"R1\""), b"*HQ,41,R1#");
    assert_eq!(wire.published("trackers", "\"R1\""), b"", "it is only seen there");
    assert_eq!(wire.published("devices/412/down", "\"R1\""), b"");
    let info = crate::message::ClientInfo {
        user: "u".into(),
        client: ClientId(2),
        conn_info: None,
        chan_info: None,
    };
    let join = Broadcast {
        channel: Channel::parse("devices/41/down").unwrap(),
        body: BroadcastBody::Join(Arc::new(info)),
    };
    assert_eq!(wire.told(Event::Push(&Push::Broadcast(Arc::new(join)))), b"");
}

#[test]
fn a_publication_cannot_say_more_than_one_frame() {
    let mut wire = Wire::new(&ascii_tracker());
    wire.send(POSITION);
    for data in [
        r##""R1#*HQ,41,RESET""##,
        r#""R1\n""#,
        r#"{"command":"interval"}"#,
        &format!("\"{}\"", "x".repeat(300)),
    ] {
        assert_eq!(wire.published("devices/41/down", data), b"", "{data}");
    }
    assert_eq!(wire.profile.counts().undeliverable, 4);
}

#[test]
fn what_was_missed_follows_the_answer_to_the_login() {
    let mut wire = Wire::new(&ascii_tracker());
    wire.send(POSITION);
    let missed = ["\"A\"", "\"B\""].map(|json| Arc::new(publication(json)));
    let result = SubscribeResult { publications: missed.to_vec(), ..SubscribeResult::default() };
    let subs = vec![(Channel::parse("devices/41/down").unwrap(), result)];
    assert_eq!(wire.replied(1, connected(subs)), b"*HQ,41,A#*HQ,41,B#");
}

fn ask(wire: &mut Wire, id: u32, data: &str) -> Vec<u8> {
    let data = Data::Json(data.to_owned().into());
    wire.told(Event::Push(&Push::Ask { id, data }))
}

#[test]
fn a_question_is_told_with_its_number_and_its_answer_is_known_by_it() {
    let mut wire = Wire::new(&binary_tracker());
    wire.send(LOGIN);
    let asked = ask(&mut wire, 0x0102, "\"STATUS#\"");
    assert_eq!(asked[3..9], [0x80, 0x0a, 0, 0, 1, 2]);
    assert_eq!(asked[9..16], *b"STATUS#");
    ask(&mut wire, 0x0103, "\"WHERE#\"");
    let answer = wire.send_message(b"\x15\x08\x00\x00\x01\x03here\x00\x09");
    let data = Data::Json(r#"{"seq":259,"text":"here"}"#.into());
    assert_eq!(answer, [Command { id: 0x0103, request: Request::Answer { data } }]);
    let twice = wire.send_message(b"\x15\x08\x00\x00\x01\x03here\x00\x09");
    assert!(twice.is_empty() && wire.profile.counts().unmatched == 1);
    assert_eq!(wire.send_message(b"\x15\x08\x00\x00\x01\x02fine\x00\x09")[0].id, 0x0102);
}

#[test]
fn a_narrow_number_is_known_by_its_low_bits_and_names_one_question_at_a_time() {
    let mut narrow = binary_tracker();
    narrow.request.as_mut().unwrap().seq_bits = 8;
    let mut wire = Wire::new(&narrow);
    wire.send(LOGIN);
    assert_eq!(ask(&mut wire, 0x0102, "\"A\"")[5..9], [0, 0, 0, 2]);
    assert_eq!(wire.profile.questions_at_once(), ASKED);
    assert!(ask(&mut wire, 0x0202, "\"B\"").is_empty(), "its answer would be taken for that to 0x0102");
    assert_eq!(wire.send_message(b"\x15\x04\x00\x00\x00\x02\x00\x09")[0].id, 0x0102);
    assert!(!ask(&mut wire, 0x0202, "\"B\"").is_empty());
    narrow.request.as_mut().unwrap().seq_bits = 3;
    assert_eq!(profile(&narrow).questions_at_once(), 8);
}

#[test]
fn answers_without_a_number_are_to_the_one_question_that_is_open() {
    let mut ordered = binary_tracker();
    ordered.request.as_mut().unwrap().seq = None;
    ordered.request.as_mut().unwrap().publish = Publish::Hex;
    let mut wire = Wire::new(&ordered);
    wire.send(LOGIN);
    let answer = b"\x15\x04\xff\xff\xff\xff\x00\x09";
    assert_eq!(wire.profile.questions_at_once(), 1);
    for id in [7, 8] {
        assert!(!ask(&mut wire, id, "\"A\"").is_empty());
        assert!(ask(&mut wire, 9, "\"B\"").is_empty(), "the answer to {id} would be taken for its");
        assert_eq!(wire.send_message(answer)[0].id, id);
    }
    assert!(!ask(&mut wire, 10, "\"A\"").is_empty());
    wire.conversation.forget_question(10);
    assert!(wire.send_message(answer).is_empty(), "nobody waits for it");
    assert!(!ask(&mut wire, 11, "\"A\"").is_empty());
    assert_eq!(wire.send_message(answer)[0].id, 11);
}

#[test]
fn at_the_bound_nobody_waits_for_the_oldest_answer() {
    let mut wire = Wire::new(&binary_tracker());
    wire.send(LOGIN);
    for id in 0..=ASKED as u32 {
        assert!(!ask(&mut wire, id, "\"A\"").is_empty());
    }
    assert!(wire.send_message(b"\x15\x04\x00\x00\x00\x00\x00\x09").is_empty());
    assert_eq!(wire.send_message(b"\x15\x04\x00\x00\x00\x01\x00\x09")[0].id, 1);
}

#[test]
fn whoever_asks_is_told_why_a_device_cannot_be_asked() {
    let json = |text: &str| Data::Json(text.to_owned().into());
    let tracker = profile(&binary_tracker());
    assert_eq!(tracker.check_request(&json("\"STATUS#\"")), Ok(()));
    let error = tracker.check_request(&json(&format!("\"{}\"", "x".repeat(200)))).unwrap_err();
    assert!(error.contains("at most 200 are allowed"), "{error}");
    let error = profile(&ascii_tracker()).check_request(&json("1")).unwrap_err();
    assert!(error.contains("[device.request]"), "{error}");
}

#[test]
fn answers_that_wait_are_bounded() {
    let mut spec = ascii_tracker();
    spec.up[0].answer = Some(text("HQ,{id},{time}"));
    let mut wire = Wire::new(&spec);
    wire.send(POSITION);
    let mut frame = b"*HQ,41,V1,".to_vec();
    frame.extend_from_slice(&[b'1'; 200]);
    frame.extend_from_slice(b",A,2234.4669,N,012.5#");
    let mut waiting = 0;
    let error = loop {
        match wire.try_send(&frame) {
            Ok(_) => waiting += 1,
            Err(error) => break error.disconnect(),
        }
        assert!(waiting < ANSWER_BYTES / 200);
    };
    assert_eq!((error.code, &*error.reason), (3013, "too many frames wait for their answers"));
}

#[test]
fn a_frame_that_cannot_be_published_as_its_rule_says_is_answered_as_an_error() {
    let mut spec = ascii_tracker();
    spec.up[0].publish = Publish::Json;
    spec.up[0].with.clear();
    let mut wire = Wire::new(&spec);
    let commands = wire.send(POSITION);
    assert_eq!(commands[1].request, Request::Heartbeat);
    assert_eq!(wire.replied(2, Ok(ReplyBody::Heartbeat)), b"*HQ,41,V4,ERROR,123456#");
    assert_eq!(wire.profile.counts().unmatched, 1);
}

#[test]
fn frames_are_published_as_what_the_rule_says() {
    for (publish, json) in [
        (Publish::Text, r#""HQ,41,{\"a\":1}""#),
        (Publish::Hex, "\"48512c34312c7b2261223a317d\""),
        (Publish::Base64, "\"SFEsNDEseyJhIjoxfQ==\""),
    ] {
        let mut spec = ascii_tracker();
        spec.up[0].frame.pattern = None;
        spec.up[0].with.clear();
        spec.up[0].publish = publish;
        spec.up[0].answer = None;
        spec.up[0].error = None;
        let mut wire = Wire::new(&spec);
        let commands = wire.send(b"*HQ,41,{\"a\":1}#");
        assert_eq!(published(&commands[1]).1, json);
    }
}

#[test]
fn a_login_that_the_server_cannot_take_ends_the_connection() {
    let mut wire = Wire::new(&binary_tracker());
    wire.send(LOGIN);
    let reply = Reply { id: 1, result: Err(ErrorReply::INTERNAL) };
    let encoded = wire.conversation.encode(Event::Reply(&reply), &mut BytesMut::new());
    assert_eq!(encoded, Ok(Encoded::Disconnect(3004)));
}

#[test]
fn a_connection_that_waits_holds_no_queue() {
    let mut wire = Wire::new(&ascii_tracker());
    wire.send(POSITION);
    wire.replied(2, Ok(ReplyBody::Publish));
    assert_eq!(wire.deframer.held_bytes(), 0);
    assert!(size_of::<DeviceConversation>() <= 128, "{}", size_of::<DeviceConversation>());
}
