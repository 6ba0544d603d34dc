use super::*;
use crate::device::{
    spec::{DownSpec, FrameSpec, MessageSpec, Publish, TokenSpec, UpSpec},
    testing::{ascii_tracker, binary_tracker, profile, text},
};

/// The error of a description that was good before `spoil`.
fn error(spoil: impl FnOnce(&mut ProfileSpec)) -> ProfileError {
    let mut spec = binary_tracker();
    spec.down = ascii_tracker().down;
    spoil(&mut spec);
    Profile::new(&spec).unwrap_err()
}

#[test]
fn what_cannot_be_is_refused_with_its_key_and_the_mend() {
    let many: Vec<UpSpec> = std::iter::repeat_n(binary_tracker().up.remove(0), RULES + 1).collect();
    let token = |field: &str, shared: Option<&str>| TokenSpec {
        field: field.into(),
        shared: shared.map(Into::into),
        by_id: Vec::new(),
    };
    let heartbeat =
        |spec: &mut ProfileSpec, change: fn(&mut HeartbeatSpec)| change(spec.heartbeat.as_mut().unwrap());
    for (error, key, words) in [
        (error(|spec| spec.framing.max_bytes = 0), "framing.max_bytes", "from 1"),
        (error(|spec| spec.login.id = "imei".into()), "login.id", "it has: id, _serial"),
        (error(|spec| spec.login.allow.clear()), "login.allow", "[\"*\"] lets every device in"),
        (error(|spec| spec.login.token = Some(token("t", Some("s")))), "login.token.field", "called \"t\""),
        (error(|spec| spec.login.token = Some(token("id", None))), "login.token", "`shared` or `by_id`"),
        (error(|spec| spec.login.token = Some(token("id", Some("")))), "login.token", "an empty secret"),
        (
            error(|spec| spec.login.answer = Some(text("{imei}"))),
            "login.answer",
            "nothing here is called {imei}",
        ),
        (error(|spec| spec.login.seen_in = vec!["a b".into()]), "login.seen_in", "without space"),
        (error(|spec| heartbeat(spec, |beat| beat.frame = None)), "heartbeat.answer", "answers nothing"),
        (
            error(|spec| heartbeat(spec, |beat| beat.frame = Some(FrameSpec::default()))),
            "heartbeat.pattern",
            "every frame",
        ),
        (error(|spec| heartbeat(spec, |beat| beat.interval_ms = 0)), "heartbeat.interval", "60s"),
        (error(|spec| spec.up = many), "up", "at most 64"),
        (error(|spec| spec.up[0].channel = "a/{imei}".into()), "up[0].channel", "may hold {id}"),
        (error(|spec| spec.up[0].channel = "x".repeat(255) + "{id}"), "up[0].channel", "longer than 255"),
        (error(|spec| spec.up[0].frame.length = Some((3, 2))), "up[0].length", "no length"),
        (error(|spec| spec.up[0].frame.fields[1].bytes = Some(9)), "up[0].fields[1].bytes", "9 bytes"),
        (error(|spec| spec.up[0].frame.fields.clear()), "up[0].publish", "none is read"),
        (error(|spec| spec.up[0].with = vec![("time".into(), "x".into())]), "up[0].with", "another name"),
        (
            error(|spec| {
                spec.up[0].with = vec![("kind".into(), "x".into())];
                spec.up[0].publish = Publish::Hex;
            }),
            "up[0].with",
            "publish = \"fields\"",
        ),
        (
            error(|spec| spec.down = Some(DownSpec { channel: "d".into(), messages: Vec::new() })),
            "down.template",
            "says nothing",
        ),
        (
            error(|spec| {
                let template = text("{nobody}");
                spec.down = Some(DownSpec {
                    channel: "d".into(),
                    messages: vec![MessageSpec { when: None, template }],
                });
            }),
            "down.messages[0].template",
            "known here: id, seq, now, data",
        ),
        (
            error(|spec| spec.up[0].channel = "devices/{id}/down".into()),
            "down.channel",
            "what it says itself",
        ),
        (
            error(|spec| spec.request.as_mut().unwrap().seq = Some("n".into())),
            "request.seq",
            "it has: seq, text",
        ),
        (error(|spec| spec.request.as_mut().unwrap().seq_bits = 33), "request.seq_bits", "1 to 32"),
        (
            error(|spec| spec.request.as_mut().unwrap().template = text("x")),
            "request.template",
            "nothing says it",
        ),
        (
            error(|spec| spec.request.as_mut().unwrap().answer = FrameSpec::default()),
            "request.answer",
            "every frame",
        ),
    ] {
        assert_eq!(error.key, key, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn only_who_says_the_time_must_be_told_it() {
    assert!(profile(&ascii_tracker()).tells_time());
    assert!(!profile(&binary_tracker()).tells_time());
}
