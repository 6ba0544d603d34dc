//! `wharf check` of the examples in `examples/devices`: what it says of them, and how it reads frames of real devices.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/devices").join(name)
}

/// `wharf check` of an example, with no configuration but that.
fn check(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHARF_") {
            command.env_remove(name);
        }
    }
    command.args(["check", "--config"]).arg(example(name)).args(arguments);
    command.output().expect("wharf runs")
}

/// The output of a check that found all of it good.
fn good(name: &str, arguments: &[&str]) -> String {
    let output = check(name, arguments);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The output of a check that found something that is not.
fn bad(name: &str, arguments: &[&str]) -> String {
    let output = check(name, arguments);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn holds(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn each_example_is_explained_in_words() {
    holds(
        &good("ascii_tracker.toml", &[]),
        &[
            "device  tracker, at tcp://127.0.0.1:7000; at most 10000 connections, a device's second replaces the first",
            "frames  begin with \"*\", end with \"#\"; messages have at most 512 bytes",
            "login  by frames that are \"HQ,{id:digits},{_}\"; 41* may come",
            "heartbeat  frames that are \"HQ,{_},HTBT,{battery:number}\", answered, or anything else, within 180 s",
            "up  frames of any kind are published to devices/{id}/up as text",
            "down  publications to devices/{id}/down are written to the device: command = \"interval\", any other",
        ],
    );
    holds(
        &good("binary_tracker.toml", &[]),
        &[
            "frames  begin with \"xx\", have their length at 2 in 1 bytes, end with 0d0a, bear a crc16-x25",
            "requests  are answered by frames with 15 at 0, told apart by the number in `request`",
        ],
    );
    holds(
        &good("udp_sensor.toml", &[]),
        &[
            "device  sensor, at udp://127.0.0.1:7002",
            "frames  are datagrams, or parts of them between 0a",
            "press-*, oven-* may come, with a token; answered",
            "the server sends every 30 s; frames that are \"{_};ALIVE\"",
        ],
    );
}

#[test]
fn a_position_of_an_ascii_tracker_is_read() {
    let frame = "*HQ,4106012736,V1,224434,A,1827.3855,N,06705.7577,W,000.00,000,100117,FFFFFBFF,310,260,49101,1753,5#";
    holds(
        &good("ascii_tracker.toml", &["--device", "tracker", "--text", frame]),
        &[
            "bytes 0 to 99: a frame with a message of 98 bytes",
            "logs in as 4106012736; is seen in devices/4106012736/up, trackers; is told what is published to devices/4106012736/down",
            r#"publishes to devices/4106012736/up: {"type":"position","time":"224434","valid":"A","lat":18.456425,"ns":"N","lon":67.095962,"ew":"W","speed":0.00,"course":0,"date":"100117","status":"FFFFFBFF"}"#,
            "\"*HQ,4106012736,V4,V1,",
        ],
    );
    let text = bad("ascii_tracker.toml", &["--device", "tracker", "--text", r"*HQ,99,V1#\r\n*HQ,41"]);
    holds(
        &text,
        &["refused  no device \"99\" is allowed here", "the connection is closed", "are not understood"],
    );
}

#[test]
fn frames_of_a_binary_tracker_are_read_and_answered() {
    // A login, a position and a status of real trackers, as their owners have shown them.
    let frames = "78780d010352887071911998000479d00d0a 78781f1211071403362aca0543ec4f00ff976e021549010603e6b500e7590074763d0d0a \
                  78780a134500640001005a987a0d0a";
    holds(
        &good("binary_tracker.toml", &["--device", "tracker", "--hex", frames]),
        &[
            "bytes 0 to 17: a frame with a message of 11 bytes",
            "logs in as 352887071911998; is seen in devices/352887071911998/up",
            "answered  78 78 05 01 00 04 8e 71 0d 0a",
            "bytes 18 to 53: a frame with a message of 29 bytes",
            r#"publishes to devices/352887071911998/up: {"type":"position","time":"2017-07-20T03:54:42Z","satellites":10,"lat":49.076382"#,
            "bytes 54 to 68: a frame with a message of 8 bytes",
            "is  heartbeat: serial 90",
            "answered  78 78 05 13 00 5a",
        ],
    );
    // The location of the protocol's document.
    let located = "78781F120B081D112E10CF027AC7EB0C46584900148F01CC00287D001FB8000380810D0A";
    holds(
        &good("binary_tracker.toml", &["--device", "tracker", "--hex", located]),
        &[
            "no login came before it",
            r#""time":"2011-08-29T17:46:16Z","satellites":15,"lat":23.111668,"lon":114.409285,"speed":0,"course":143,"north":1,"west":0,"fixed":1}"#,
        ],
    );
    let spoilt = located.replace("0B081D", "0B081C");
    holds(
        &bad("binary_tracker.toml", &["--device", "tracker", "--hex", &spoilt]),
        &["bytes 0 to 35: a frame with a wrong crc16-x25: it says 8081", "1 of 1 parts are not understood"],
    );
    let cut = "ff 78 78 0d 01 03";
    holds(
        &bad("binary_tracker.toml", &["--device", "tracker", "--hex", cut]),
        &[
            "byte 0: no frame: the bytes do not begin as a frame does",
            "bytes 1 to 5: a frame that is not whole",
        ],
    );
}

#[test]
fn lines_of_a_datagram_are_read_from_a_file_too() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sample = directory.path().join("sample");
    std::fs::write(&sample, "press-7;LOGIN;k3y\npress-7;P=10.25;T=-03.50;N=0042").expect("a file");
    holds(
        &good("udp_sensor.toml", &["--device", "sensor", "--file", &sample.to_string_lossy()]),
        &[
            "logs in as press-7",
            "\"OK press-7\\n\"",
            r#"publishes to devices/press-7/up: {"pressure":10.25,"temperature":-3.50,"seq":"0042"}"#,
            "\"ACK 0042\\n\"",
        ],
    );
    let wrong = ["--device", "sensor", "--text", "press-7;LOGIN;guess"];
    holds(&bad("udp_sensor.toml", &wrong), &["refused  the token of device \"press-7\" is wrong"]);
}

#[test]
fn what_cannot_be_tried_is_told_with_the_mend() {
    for (arguments, code, words) in [
        (
            &["--device", "trackr", "--hex", "00"][..],
            1,
            "no [[device]] is called \"trackr\"; there are: tracker",
        ),
        (&["--device", "tracker", "--hex", "0"], 1, "--hex: \"0\" is not pairs of hexadecimal digits"),
        (&["--device", "tracker", "--file", "/absent"], 1, "--file: /absent"),
        (&["--device", "tracker"], 2, "--hex <DIGITS>"),
        (&["--hex", "00"], 2, "--device <NAME>"),
        (&["--device", "tracker", "--hex", "00", "--text", "a"], 2, "cannot be used with"),
    ] {
        let output = check("binary_tracker.toml", arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
