use super::*;
use crate::device::{
    spec::{BadChecksum, Junk},
    testing::{ascii_tracker, binary_tracker, profile},
    unhex,
};

fn told(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

fn holds(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn a_frame_is_told_from_cut_to_answer() {
    let steps = profile(&binary_tracker())
        .try_bytes(&unhex("78 78 0d 01 01 23 45 67 89 01 23 45 00 01 8c dd 0d 0a").unwrap());
    assert_eq!(steps.len(), 1);
    assert!(steps[0].is_good());
    holds(
        &told(&steps),
        &[
            "bytes 0 to 17: a frame with a message of 11 bytes\n",
            "message  01 01 23 45 67 89 01 23 45 00 01\n",
            "is  login: id \"123456789012345\", _serial 1\n",
            "logs in as 123456789012345; is seen in devices/123456789012345/up\n",
            "answered  78 78 05 01 00 01 d9 dc 0d 0a",
        ],
    );
}

#[test]
fn text_is_shown_as_text_and_what_is_published_as_json() {
    let steps = profile(&ascii_tracker()).try_bytes(b"junk*HQ,41,V1,123456,A,2234.4669,N,012.5#*HQ,41");
    assert_eq!(
        steps.iter().map(|step| (step.at, step.bytes, step.is_good())).collect::<Vec<_>>(),
        [(0, 4, false), (4, 37, true), (41, 6, false)]
    );
    holds(
        &told(&steps),
        &[
            "bytes 0 to 3: no frame: the bytes do not begin as a frame does",
            "\"HQ,41,V1,123456,A,2234.4669,N,012.5\"",
            "is  up[0]: time \"123456\", valid \"A\", lat 22.574448, ns \"N\", speed 12.5",
            "is told what is published to devices/41/down",
            r#"publishes to devices/41/up: {"type":"position","time":"123456""#,
            "answered  2a 48 51 2c 34 31 2c 56 34 2c 56 31 2c 31 32 33 34 35 36 23  \"*HQ,41,V4,V1,123456#\"",
            "bytes 41 to 46: a frame that is not whole",
        ],
    );
}

#[test]
fn what_is_wrong_says_where() {
    let tracker = profile(&binary_tracker());
    let bad = tracker.try_bytes(&unhex("78 78 0d 01 01 23 45 67 89 01 23 45 00 02 8c dd 0d 0a").unwrap());
    holds(
        &told(&bad),
        &["bytes 0 to 17: a frame with a wrong crc16-x25: it says 8cdd, and its bytes come to be46"],
    );
    let mut frame = bytes::BytesMut::new();
    tracker.framing().try_frame(b"\x12\x0b\x08\x1d\x11\x2e\x10\x50\x00\x03", &mut frame).unwrap();
    let early = tracker.try_bytes(&frame);
    holds(
        &told(&early),
        &[
            "no login came before it; read as one of a device SOMEBODY",
            r#"publishes to devices/SOMEBODY/up: {"time":"2011-08-29T17:46:16Z","speed":80}"#,
        ],
    );
    frame.clear();
    tracker.framing().try_frame(b"\x99", &mut frame).unwrap();
    let unknown = tracker.try_bytes(&frame);
    assert!(!unknown[0].is_good());
    holds(&told(&unknown), &["not login: other bytes stand at 0", "not up[0]: other bytes stand at 0"]);
    let refused = profile(&ascii_tracker()).try_bytes(b"*HQ,99,V1#");
    holds(
        &told(&refused),
        &["refused  no device \"99\" is allowed here", "the connection is closed: no device"],
    );
}

#[test]
fn where_a_connection_would_be_closed_is_told() {
    let mut strict = binary_tracker();
    strict.framing.junk = Junk::Close;
    let steps = profile(&strict).try_bytes(b"hello");
    holds(&told(&steps), &["the connection is closed: the bytes do not begin as a frame does"]);
    strict.framing.checksum.as_mut().unwrap().bad = BadChecksum::Close;
    let steps = profile(&strict).try_bytes(&unhex("78 78 03 01 00 00 0d 0a").unwrap());
    holds(&told(&steps), &["wrong crc16-x25", "the connection is closed: the checksum of a frame is wrong"]);
}

#[test]
fn a_kind_of_device_is_explained_in_words() {
    let words = |spec| {
        let lines = profile(&spec).explain();
        lines.into_iter().map(|(what, words)| format!("{what}: {words}\n")).collect::<String>()
    };
    holds(
        &words(binary_tracker()),
        &[
            "frames: begin with \"xx\", have their length at 2 in 1 bytes, end with 0d0a, bear a crc16-x25; messages have at \
         most 200 bytes; what is no frame is skipped, at most 256 bytes in a row",
            "login: by frames with 01 at 0; every id may come; answered; other frames before it are left out",
            "heartbeat: frames with 13 at 0, answered within 360 s",
            "up: frames with 12 at 0 are published to devices/{id}/up as an object of their fields",
            "down: nothing is said",
            "requests: are answered by frames with 15 at 0, told apart by the number in `seq`",
        ],
    );
    holds(
        &words(ascii_tracker()),
        &[
            "frames: begin with \"*\", end with \"#\"",
            "by frames that are \"HQ,{id:digits},{_}\"; 41* may come; not answered",
            "the server sends every 60 s",
            "devices/{id}/down are written to the device: command = \"interval\", any other",
        ],
    );
}
