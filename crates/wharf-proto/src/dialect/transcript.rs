//! Replays the transcripts in `testdata/<dialect>/`. A transcript is text in blocks; each block is one
//! conversation. `␊` and `␍` stand for LF and CR, and following `bytes:` lines are parts of one message.
//!
//! ```text
//! ## what this conversation shows
//! client: <one message of the client's>
//! command: <a command that it holds>
//! error: <why it could not be read further>
//! event: <the name of an event of `testdata/events.rs`>
//! bytes: <what is said>      or `nothing`, `disconnect: <code>`, `inexpressible`
//! ```

use std::fmt::Write;

use bytes::BytesMut;

use super::{
    ALL, DialectId,
    centrifuge_json::client::{self, ServerMessage},
    events_for_tests as fixtures,
};
use crate::{
    framing::{Lines, testing::feed_split_everywhere},
    message::{Command, Push, Request},
    wire::{Conversation, DeframeLimits, Encoded, Event, Framing, MessageKind},
};

/// Replays `text` line by line and renders what really happened in the same form.
fn replay(dialect: DialectId, text: &str) -> String {
    let dialect = ALL[dialect as usize];
    let mut conversation = dialect.open();
    let mut actual = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            conversation = dialect.open();
            writeln!(actual, "## {title}").unwrap();
        } else if let Some(message) = line.strip_prefix("client: ") {
            writeln!(actual, "{line}").unwrap();
            decode(&mut *conversation, &bytes_of(message), &mut actual);
        } else if let Some(name) = line.strip_prefix("event: ") {
            writeln!(actual, "{line}").unwrap();
            encode(&mut *conversation, &fixtures::named(name), &mut actual);
        } else if line.is_empty() || line.starts_with("# ") {
            writeln!(actual, "{line}").unwrap();
        } else {
            let outcomes = ["command: ", "error: ", "bytes: ", "nothing", "disconnect: ", "inexpressible"];
            assert!(
                outcomes.iter().any(|outcome| line.starts_with(outcome)),
                "not a transcript line: {line}"
            );
        }
    }
    actual
}

fn decode(conversation: &mut dyn Conversation, message: &str, actual: &mut String) {
    let mut commands = Vec::new();
    let outcome = conversation.decode(MessageKind::Text, message.as_bytes(), &mut commands);
    for command in commands {
        writeln!(actual, "command: {command:?}").unwrap();
    }
    if let Err(error) = outcome {
        writeln!(actual, "error: {error}").unwrap();
    }
}

fn encode(conversation: &mut dyn Conversation, event: &fixtures::Fixture, actual: &mut String) {
    let mut out = BytesMut::new();
    match conversation.encode(event.as_event(), &mut out) {
        Ok(Encoded::Message(kind)) => {
            assert_eq!(kind, MessageKind::Text);
            for line in std::str::from_utf8(&out).unwrap().split_inclusive('\n') {
                writeln!(actual, "bytes: {}", line.replace('\n', "␊").replace('\r', "␍")).unwrap();
            }
            return;
        }
        Ok(Encoded::Nothing) => actual.push_str("nothing\n"),
        Ok(Encoded::Disconnect(code)) => writeln!(actual, "disconnect: {code}").unwrap(),
        Err(_) => actual.push_str("inexpressible\n"),
    }
    assert!(out.is_empty(), "bytes without a message");
}

fn bytes_of(text: &str) -> String {
    text.replace('␊', "\n").replace('␍', "\r")
}

fn assert_replays(dialect: DialectId, text: &str) {
    let actual = replay(dialect, text);
    for (number, (actual, expected)) in actual.lines().zip(text.lines()).enumerate() {
        assert_eq!(actual, expected, "line {}", number + 1);
    }
    assert_eq!(actual.lines().count(), text.lines().count(), "what happened:\n{actual}");
}

/// Every event stands in the dialect's transcript, so that a new one cannot be forgotten.
fn assert_says_every_event(text: &str) {
    for (name, _) in fixtures::all() {
        assert!(text.lines().any(|line| line.strip_prefix("event: ") == Some(name)), "no `event: {name}`");
    }
}

const JSON_COMMANDS: &str = include_str!("../testdata/centrifuge_json/commands.txt");
const JSON_EVENTS: &str = include_str!("../testdata/centrifuge_json/events.txt");
const UNI: &str = include_str!("../testdata/centrifuge_uni/transcript.txt");
const EVENTS_ONE: &str = include_str!("../testdata/events_one/transcript.txt");
const EVENTS_MANY: &str = include_str!("../testdata/events_many/transcript.txt");

#[test]
fn centrifuge_json_reads_every_command() {
    assert_replays(DialectId::CentrifugeJson, JSON_COMMANDS);
}

#[test]
fn centrifuge_json_says_every_event() {
    assert_replays(DialectId::CentrifugeJson, JSON_EVENTS);
    assert_says_every_event(JSON_EVENTS);
}

#[test]
fn centrifuge_uni_says_every_event_bare() {
    assert_replays(DialectId::CentrifugeUni, UNI);
    assert_says_every_event(UNI);
}

#[test]
fn an_event_source_on_one_channel_is_told_every_event_it_has_words_for() {
    assert_replays(DialectId::EventsOne, EVENTS_ONE);
    assert_says_every_event(EVENTS_ONE);
}

#[test]
fn an_event_source_on_several_channels_is_told_every_event_it_has_words_for() {
    assert_replays(DialectId::EventsMany, EVENTS_MANY);
    assert_says_every_event(EVENTS_MANY);
}

/// The commands in all the messages of the transcript that can be read, and the stream of lines that holds them.
fn readable_commands() -> (Vec<Command>, Vec<u8>) {
    let (mut commands, mut stream) = (Vec::new(), Vec::new());
    for message in JSON_COMMANDS.lines().filter_map(|line| line.strip_prefix("client: ")) {
        let message = bytes_of(message);
        let mut read = Vec::new();
        if ALL[DialectId::CentrifugeJson as usize]
            .open()
            .decode(MessageKind::Text, message.as_bytes(), &mut read)
            .is_ok()
        {
            commands.append(&mut read);
            stream.extend_from_slice(message.trim_end_matches('\n').as_bytes());
            stream.push(b'\n');
        }
    }
    (commands, stream)
}

#[test]
fn commands_in_a_stream_of_lines_are_the_same_however_it_is_cut() {
    let (expected, stream) = readable_commands();
    assert!(expected.len() > 30, "the transcript is read");
    let limits = DeframeLimits { message_bytes: 1_000, fragments: 1 };
    let (messages, error) = feed_split_everywhere(&mut || Lines.deframer(limits), &stream);
    assert_eq!(error, None);
    let mut commands = Vec::new();
    let mut conversation = ALL[DialectId::CentrifugeJson as usize].open();
    for message in messages {
        conversation.decode(MessageKind::Text, &message, &mut commands).unwrap();
    }
    assert_eq!(commands, expected);
}

#[test]
fn what_is_said_in_json_survives_a_framing_by_lines() {
    for dialect in [DialectId::CentrifugeJson, DialectId::CentrifugeUni] {
        for (name, event) in fixtures::all() {
            let mut message = BytesMut::new();
            let encoded = ALL[dialect as usize].open().encode(event.as_event(), &mut message);
            if !matches!(encoded, Ok(Encoded::Message(_))) {
                continue;
            }
            for line in message[..].split(|byte| *byte == b'\n') {
                let json: Result<serde_json::Value, _> = serde_json::from_slice(line);
                assert!(json.is_ok_and(|json| json.is_object()), "{name}: {message:?}");
            }
        }
    }
}

#[test]
fn a_shared_broadcast_is_what_each_member_would_have_been_told() {
    let mut compared = 0;
    for dialect in ALL {
        let mut conversation = dialect.open();
        if !conversation.shares_broadcasts() {
            continue;
        }
        for (name, event) in fixtures::all() {
            let Event::Push(Push::Broadcast(broadcast)) = event.as_event() else { continue };
            let (mut shared, mut own) = (BytesMut::new(), BytesMut::new());
            let outcomes = (
                dialect.encode_broadcast(broadcast, &mut shared),
                conversation.encode(event.as_event(), &mut own),
            );
            assert_eq!(outcomes.0, outcomes.1, "{} {name}", dialect.name());
            assert_eq!(shared, own, "{} {name}", dialect.name());
            compared += 1;
        }
    }
    assert!(compared >= 3 * 4);
}

#[test]
fn what_our_client_asks_is_what_the_server_reads() {
    let mut compared = 0;
    for command in readable_commands().0 {
        if command.request == Request::Unsupported {
            continue; // Has no form on the wire.
        }
        let (mut message, mut read) = (BytesMut::new(), Vec::new());
        client::encode_command(&command, &mut message).unwrap();
        ALL[DialectId::CentrifugeJson as usize]
            .open()
            .decode(MessageKind::Text, &message, &mut read)
            .unwrap();
        assert_eq!(read, [command], "{message:?}");
        compared += 1;
    }
    assert!(compared > 30);
}

#[test]
fn our_client_reads_all_that_the_server_says() {
    for (name, event) in fixtures::all() {
        let (mut message, mut read) = (BytesMut::new(), Vec::new());
        let mut conversation = ALL[DialectId::CentrifugeJson as usize].open();
        if conversation.encode(event.as_event(), &mut message).is_err() {
            continue;
        }
        client::decode_frame(&message, &mut read).unwrap();
        let expected = message.iter().filter(|byte| **byte == b'\n').count() + 1;
        assert_eq!(read.len(), expected, "{name}");
        for message in read {
            match message {
                ServerMessage::Reply { id, result } => {
                    assert_eq!((id, result.is_err()), (7, name.starts_with("error")), "{name}");
                }
                ServerMessage::Push(_) => assert!(matches!(event.as_event(), Event::Push(_)), "{name}"),
                ServerMessage::Ping => assert_eq!(name, "ping"),
            }
        }
    }
}
