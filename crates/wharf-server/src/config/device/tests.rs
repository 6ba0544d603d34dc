use std::path::Path;

use wharf::settings::{DeviceAddress, DeviceListener};

use crate::config::{ConfigError, Configuration, Flags, load};

/// A kind of device that is good, to be spoilt.
const GOOD: &str = r##"
[[device]]
name = "tracker"
listen = "tcp://127.0.0.1:7000"
[device.framing]
kind = "marks"
start = "*"
end = "#"
[device.login]
pattern = "HQ,{id},{_}"
allow = ["*"]
[device.heartbeat]
pattern = "HQ,{_},HB"
interval = "60s"
[[device.up]]
channel = "devices/{id}/up"
publish = "text"
[device.down]
channel = "devices/{id}/down"
template = "HQ,{id},{data}"
"##;

fn read(text: &str) -> Result<Configuration, ConfigError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("wharf.toml"), text).expect("a file in it");
    load(&Flags::default(), [], directory.path())
}

fn device(text: &str) -> DeviceListener {
    read(text).unwrap_or_else(|error| panic!("{error}")).settings.devices[0].clone()
}

/// The error without the file's name.
fn error(text: &str) -> String {
    let error = read(text).err().unwrap_or_else(|| panic!("this is good:\n{text}")).to_string();
    error.rsplit_once("wharf.toml").map_or(error.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn a_kind_of_device_is_read_with_its_defaults() {
    let tracker = device(GOOD);
    assert_eq!((&*tracker.name, tracker.replaces, tracker.connections), ("tracker", true, 10_000));
    assert_eq!(tracker.listen, [DeviceAddress::Tcp("127.0.0.1:7000".parse().expect("an address"))]);
    assert!(tracker.tls.is_none());
    assert_eq!(tracker.profile.framing().max_bytes(), 1_024);
    assert_eq!(tracker.profile.heartbeat().map(|policy| policy.silence_ms()), Some(180_000));
    assert!(read("").is_ok_and(|configuration| configuration.settings.devices.is_empty()));
}

#[test]
fn every_key_can_be_said() {
    let text = r##"
[[device]]
name = "all"
listen = ["unix:/run/all.sock"]
second = "refuse"
connections = 5
[device.framing]
kind = "marks"
start = { hex = "7e" }
end = { hex = "7e" }
max_bytes = 100
junk = "skip"
junk_bytes = 10
escape = { byte = { hex = "7d" }, table = [[{ hex = "7e" }, { hex = "02" }], [{ hex = "7d" }, { hex = "01" }]] }
checksum = { kind = "xor8", form = "binary", order = "little", skip = 1, leave = 0, bad = "close" }
[device.login]
match = [{ at = 0, hex = "01 00" }, { at = -1, text = "x" }]
length = [3, 90]
fields = [{ name = "id", at = 2, bytes = 6, kind = "bcd", trim = "0" }, { name = "key", at = 8, leave = 1, kind = "text" }]
id = "id"
token = { field = "key", shared = "s3cret", by_id = { "12" = "own" } }
allow = ["1*"]
seen_in = ["all"]
answer = { hex = "81 00 {seq:u16be}" }
refusal = { hex = "ff" }
strict = true
[device.heartbeat]
match = [{ at = 0, hex = "02" }]
answer = { hex = "82" }
send = { hex = "83 {now:bcd6}" }
interval = "30s"
misses = 1
only = true
[[device.up]]
match = [{ at = 0, hex = "03" }]
fields = [{ name = "value", at = 1, kind = "u16le", bits = [0, 12], times = 2, divided_by = 10.0, decimals = 1 }]
channel = "all/{id}"
publish = "fields"
with = { kind = "value" }
answer = { hex = "83" }
error = { hex = "ff" }
[device.down]
channel = "all/{id}/down"
messages = [{ when = { command = "reboot" }, template = { hex = "90" } }]
template = { hex = "91 {data.value:u16be}" }
[device.request]
template = { hex = "a0 {seq:u8} {data}" }
answer = { match = [{ at = 0, hex = "a1" }], fields = [{ name = "n", at = 1, kind = "u8" }] }
seq = "n"
seq_bits = 8
publish = "hex"
"##;
    let all = device(text);
    assert_eq!((all.replaces, all.connections), (false, 5));
    assert!(all.profile.answers_requests() && all.profile.tells_time());
    let lengths = r##"
[[device]]
name = "lengths"
listen = ["tcp://127.0.0.1:7000"]
framing = { kind = "length", length = { at = 0, bytes = 2, order = "little", counts = "frame", plus = 0 } }
login = { fields = [{ name = "id", at = 0, bytes = 4, kind = "hex" }], allow = ["*"] }
[[device]]
name = "fixed"
listen = ["udp://[::1]:7000"]
framing = { kind = "datagram", checksum = { kind = "crc32", form = "hex", before = "*" } }
login = { fields = [{ name = "id", at = 0, bytes = 4, kind = "hex" }], allow = ["*"] }
"##;
    assert_eq!(read(lengths).expect("good").settings.devices.len(), 2);
}

#[test]
fn a_silence_that_could_not_be_kept_is_refused() {
    let beat = |text: &str| GOOD.replace("interval = \"60s\"", text);
    let silence = |text: &str| device(&beat(text)).profile.heartbeat().map(|policy| policy.silence_ms());
    assert_eq!(silence("interval = \"10s\"\nmisses = 30"), Some(310_000));
    assert_eq!(silence("interval = \"10s\"\nmisses = 0"), Some(10_000));
    assert_eq!(silence("interval = \"10s\"\nmisses = 15\nsend = \"HQ,PING\""), Some(160_000));
    for misses in [0, 16, 100] {
        let error = error(&beat(&format!("interval = \"10s\"\nmisses = {misses}\nsend = \"HQ,PING\"")));
        assert!(error.contains("heartbeat.misses: write a number from 1 to 15"), "{error}");
    }
    let error = error(&beat("interval = \"24h\"\nmisses = 15"));
    assert!(error.contains("heartbeat.misses: `interval` x (`misses` + 1) is more than 15 days"), "{error}");
}

#[test]
fn junk_is_said_to_be_skipped_only_where_it_is() {
    let framing = |text: &str| error(&GOOD.replace("kind = \"marks\"\nstart = \"*\"\nend = \"#\"", text));
    let error = framing("kind = \"fixed\"\nbytes = 9\nend = \"#\"\njunk = \"skip\"");
    assert!(error.contains("framing.junk: without start bytes nobody can tell"), "{error}");
    for text in
        ["kind = \"marks\"\nend = \"#\"\njunk = \"close\"", "kind = \"fixed\"\nbytes = 9\nend = \"#\""]
    {
        let error = framing(&format!("{text}\njunk_bytes = 10"));
        assert!(error.contains("framing.junk_bytes: counts what is skipped, and nothing is"), "{error}");
    }
}

#[test]
fn an_error_names_line_and_key_and_the_mend() {
    let spoilt = |good: &str, bad: &str| {
        assert!(GOOD.contains(good), "{good}");
        error(&GOOD.replace(good, bad))
    };
    for (found, expected) in [
        (
            spoilt("listen = \"tcp://127.0.0.1:7000\"", "listen = \"127.0.0.1:7000\""),
            ":4: device.listen: \"127.0.0.1:7000\" does not say how devices connect; write \"tcp://127.0.0.1:7000\"",
        ),
        (spoilt("tcp://", "http://"), ":4: device.listen: devices do not connect by http://"),
        (
            spoilt("kind = \"marks\"", "kind = \"mark\""),
            ":6: device.framing.kind: unknown word; did you mean `marks`?",
        ),
        (
            spoilt("pattern = \"HQ,{id},{_}\"", "patern = \"HQ,{id},{_}\""),
            ":10: device.login.patern: unknown key; did you mean `pattern`?",
        ),
        (
            spoilt("end = \"#\"", "end = { hex = \"0\" }"),
            ":8: device.framing.end: \"0\" is not pairs of hexadecimal digits",
        ),
        (
            spoilt("end = \"#\"\n", ""),
            ":5: device.0.framing.end: a framing by marks needs the bytes that end a frame",
        ),
        (spoilt("allow = [\"*\"]\n", ""), ":9: device.0.login.allow: says who may come"),
        (
            spoilt("{id},{_}\"", "{name},{_}\""),
            ":9: device.0.login.id: no field of the frame is called \"id\"; it has: name",
        ),
        (spoilt("HQ,{_},HB", "HQ,{_}{_}"), ":13: device.0.heartbeat.pattern: nothing stands before {_}"),
        (spoilt("interval = \"60s\"", "interval = 60"), ":14: device.heartbeat.interval: found"),
        (
            spoilt("devices/{id}/up", "devices/{imei}/up"),
            ":16: device.0.up.0.channel: \"devices/{imei}/up\" may hold {id}",
        ),
        (
            spoilt("HQ,{id},{data}", "HQ,{id},{dat}"),
            ":20: device.0.down.template: nothing here is called {dat}; known here: id, seq, now, data",
        ),
        (
            spoilt("tcp://127.0.0.1:7000", "udp://127.0.0.1:7000"),
            ":6: device.0.framing.kind: over UDP each datagram is taken by itself",
        ),
        (
            spoilt("tcp://127.0.0.1:7000", "tls://127.0.0.1:7000"),
            ":4: device.0.listen: tls:// addresses need a certificate",
        ),
        (
            spoilt("[device.framing]", "tls = { authority = \"ca.pem\" }\n[device.framing]"),
            ":5: device.0.tls: is for tls:// addresses",
        ),
        (
            spoilt("end = \"#\"", "end = \"#\"\nbytes = 5"),
            ":9: device.0.framing.bytes: belongs to kind = \"fixed\"",
        ),
        (
            spoilt("kind = \"marks\"", "kind = \"length\""),
            ":5: device.0.framing: kind = \"length\" needs `length`",
        ),
        (
            spoilt("end = \"#\"", "end = \"#\"\nescape = { byte = \"!\" }"),
            ":9: device.0.framing.escape: write one of",
        ),
        (
            spoilt("end = \"#\"", "end = \"#\"\nchecksum = { kind = \"crc17\" }"),
            ":9: device.framing.checksum.kind: \"crc17\" is no checksum; known here: sum8, xor8",
        ),
        (
            spoilt("publish = \"text\"", "fields = [{ name = \"a\", at = 0, kind = \"u16\" }]"),
            ":17: device.up.fields.kind: \"u16\" is no kind of value; known here: u8, u16be",
        ),
        (
            spoilt("publish = \"text\"", "fields = [{ name = \"a\", at = 0, kind = \"u8\", bytes = 2 }]"),
            ":17: device.0.up.0.fields.0.bytes: says another size",
        ),
        (error(&format!("{GOOD}{GOOD}")), ":23: device.1.name: \"tracker\" names two kinds"),
        (
            error(&format!("{GOOD}{}", GOOD.replace("name = \"tracker\"", "name = \"other\""))),
            ":24: device.1.listen: tcp://127.0.0.1:7000 stands twice",
        ),
    ] {
        assert!(found.starts_with(expected), "expected {expected}\nfound    {found}");
    }
}

#[test]
fn certificates_are_looked_at() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, marker: &str| {
        let text = format!("-----BEGIN {marker}-----\nAA==\n-----END {marker}-----\n");
        std::fs::write(directory.path().join(name), text).expect("a file");
    };
    file("c.pem", "CERTIFICATE");
    file("k.pem", "PRIVATE KEY");
    file("ca.pem", "CERTIFICATE");
    let read = |tls: &str| {
        let text = GOOD
            .replace("tcp://", "tls://")
            .replace("[device.framing]", &format!("[device.tls]\n{tls}\n[device.framing]"));
        std::fs::write(directory.path().join("wharf.toml"), text).expect("a file in it");
        load(&Flags::default(), [], directory.path()).map_err(|error| error.to_string())
    };
    let good =
        read("certificate = \"c.pem\"\nkey = \"k.pem\"\nauthority = \"ca.pem\"\nname_is_device = true")
            .expect("good");
    let tls = good.settings.devices[0].tls.clone().expect("TLS");
    assert_eq!(tls.files.certificate, Path::new(directory.path()).join("c.pem"));
    assert!(tls.clients.is_some_and(|clients| clients.name_is_device));
    for (tls, words) in [
        ("certificate = \"c.pem\"", "tls.certificate: a certificate needs its key"),
        ("certificate = \"k.pem\"\nkey = \"k.pem\"", "holds no PEM block `-----BEGIN ... CERTIFICATE-----`"),
        ("certificate = \"c.pem\"\nkey = \"k.pem\"\nname_is_device = true", "needs the authority"),
        ("certificate = \"c.pem\"\nkey = \"k.pem\"\nauthority = \"absent.pem\"", "absent.pem cannot be read"),
    ] {
        let error = read(tls).expect_err(tls);
        assert!(error.contains(words), "{error}");
    }
}
