use super::*;
use crate::{
    Disconnect,
    message::{Data, Request},
};

fn decode(frame: &str) -> (Vec<Command>, Result<(), PeerError>) {
    let mut commands = Vec::new();
    let outcome = CentrifugeJson.decode(MessageKind::Text, frame.as_bytes(), &mut commands);
    (commands, outcome)
}

fn refusal(frame: &str) -> String {
    decode(frame).1.unwrap_err().to_string()
}

#[test]
fn commands_before_a_broken_one_are_kept() {
    let (commands, outcome) = decode("{\"id\":1,\"connect\":{}}\n{}\n{\"id\":2,\n{}");
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[1].request, Request::Pong);
    assert!(outcome.is_err());
}

#[test]
fn a_frame_without_a_command_is_empty() {
    assert_eq!(decode("").1, Err(PeerError::Empty));
    assert_eq!(decode("\n").1, Err(PeerError::Empty));
}

#[test]
fn only_one_line_feed_stands_between_commands() {
    assert_eq!(decode("{}\n{}\n").0.len(), 2);
    assert!(refusal("{}\n\n{}").contains("command 2, column 0"));
    assert!(refusal("{}{}").contains("command 1, column 3: trailing characters"));
    assert!(refusal("{}\n\n").contains("command 2"));
}

#[test]
fn a_command_without_a_number_or_a_request_is_incomplete() {
    for frame in [
        r#"{"id":1}"#,
        r#"{"connect":{}}"#,
        r#"{"id":0,"publish":{"channel":"a","data":1}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"id":1,"connect":null}"#,
    ] {
        assert_eq!(decode(frame).1, Err(PeerError::IncompleteCommand), "{frame}");
    }
    assert_eq!(PeerError::IncompleteCommand.disconnect().code, 3501);
}

#[test]
fn data_left_out_is_told_apart_from_null() {
    for (frame, expected) in [
        (r#"{"id":1,"publish":{"channel":"a"}}"#, ""),
        (r#"{"id":1,"publish":{"channel":"a","data":null}}"#, "null"),
        ("{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\t[1,\r2] }}", "[1,2]"),
    ] {
        let (commands, outcome) = decode(frame);
        outcome.unwrap();
        let Request::Publish { data, .. } = &commands[0].request else {
            panic!("not a publish: {commands:?}")
        };
        assert_eq!(data, &Data::Json(expected.into()), "{frame}");
    }
}

// Row 69.
#[test]
fn a_field_that_stands_twice_is_refused() {
    for frame in [
        r#"{"id":1,"id":2,"connect":{}}"#,
        r#"{"id":1,"connect":{},"connect":{}}"#,
        r#"{"id":1,"publish":{"channel":"a","channel":"b","data":1}}"#,
        r#"{"id":1,"publish":{"channel":"a","data":1,"data":2}}"#,
        r#"{"id":1,"connect":{"subs":{"a":{},"b":{},"a":{}}}}"#,
        r#"{"id":1,"connect":{"subs":{"a":{},"\u0061":{}}}}"#,
        r#"{"id":1,"history":{"since":{"offset":1,"offset":2}}}"#,
    ] {
        let error = refusal(frame);
        assert!(error.contains("duplicate field") || error.contains("stands twice"), "{frame}: {error}");
    }
}

// Row 69.
#[test]
fn deep_nesting_is_refused_wherever_it_stands() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let error = refusal(&format!(r#"{{"id":1,"publish":{{"channel":"a","data":{deep}}}}}"#));
    assert_eq!(
        error,
        "the message is not a command: command 1, column 41: the data is nested deeper than 128 at byte 128"
    );
    assert!(decode(&deep).1.is_err());
    assert!(decode(&format!(r#"{{"id":1,"connect":{deep}}}"#)).1.is_err());
    // A field that nobody reads is passed over without recursion, and goes nowhere.
    let (commands, outcome) = decode(&format!(r#"{{"id":1,"unknown":{deep},"connect":{{}}}}"#));
    assert_eq!((commands.len(), outcome), (1, Ok(())));
}

// Row 69.
#[test]
fn lone_surrogates_are_refused_in_payloads_and_in_names() {
    for (frame, place) in [
        (r#"{"id":1,"publish":{"channel":"a","data":{"x":"\ud800"}}}"#, "column 41"),
        (r#"{"id":1,"rpc":{"method":"m","data":"\udc00"}}"#, "column 36"),
        (r#"{"id":1,"send":{"data":"\ud83d\ud83d"}}"#, "column 24"),
        (r#"{"id":1,"connect":{"data":"\ud83d"}}"#, "column 27"),
        (r#"{"id":1,"presence":{"channel":"\ud800"}}"#, "column 3"),
    ] {
        assert!(refusal(frame).contains(place), "{frame}: {}", refusal(frame));
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let error = CentrifugeJson
        .decode(MessageKind::Text, b"{\"id\":1,\"rpc\":{\"method\":\"\xff\"}}", &mut Vec::new())
        .unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn an_error_names_the_command_and_the_column_and_quotes_little() {
    assert_eq!(
        refusal("{}\n{\"id\":-1}"),
        "the message is not a command: command 2, column 8: invalid value: integer `-1`, expected u32"
    );
    let long = format!(r#"{{"id":"{}\n\u001b[31m"}}"#, "x".repeat(60_000));
    let error = decode(&long).1.unwrap_err();
    assert!(error.to_string().len() < 300);
    assert!(!error.to_string().contains(['\n', '\u{1b}']));
    assert!(error.disconnect().reason.len() <= crate::disconnect::MAX_REASON_BYTES);
}

#[test]
fn what_cannot_be_said_leaves_the_buffer_as_it_was() {
    let mut out = BytesMut::from(&b"before"[..]);
    let push = crate::message::Push::Message { data: Data::Binary("\u{1}".into()) };
    assert_eq!(CentrifugeJson.encode(Event::Push(&push), &mut out), Err(Inexpressible));
    assert_eq!(&out[..], b"before");
}

#[test]
fn every_disconnect_is_said() {
    for disconnect in Disconnect::ALL {
        let mut out = BytesMut::new();
        let push = crate::message::Push::Disconnect(disconnect.clone());
        CentrifugeJson.encode(Event::Push(&push), &mut out).unwrap();
        let expected = format!(
            r#"{{"push":{{"disconnect":{{"code":{},"reason":"{}"}}}}}}"#,
            disconnect.code, disconnect.reason
        );
        assert_eq!(out, expected);
    }
}

#[test]
fn a_conversation_takes_no_memory() {
    assert_eq!(size_of_val(&*CentrifugeJson.open()), 0);
}
