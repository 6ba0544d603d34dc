//! One address takes every protocol, and every address leads to the same channels. curl, nc, openssl and the SDK
//! judge; the bytes themselves are tested in the library.

mod common;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use common::{
    certificate::Certificate,
    client::{Client, End, Wire},
    curl::{Events, curl},
    javascript::Javascript,
    member::{Member, identifiers},
    server::{Server, Setup},
    socket::Address,
};
use serde_json::{Value, json};

const CHANNEL: &str = "meeting";

/// JSON lines through a program that passes its standard input and output on; ends with this value.
struct Passed {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Passed {
    fn by(program: &str, arguments: &[&str]) -> Client<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let input = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut client = Client::new(Self { child, input, lines });
        client.connect();
        client.subscribe(CHANNEL);
        client
    }
}

impl Wire for Passed {
    fn send(&mut self, text: &str) {
        writeln!(self.input, "{text}").expect("the program reads");
    }

    fn receive(&mut self) -> Result<String, End> {
        let line = self.lines.next().transpose().expect("in UTF-8");
        line.ok_or(End { code: None, reason: String::new() })
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn host_and_port(address: &Address) -> &str {
    let Address::Tcp(address) = address else { panic!("{address:?} is no TCP address") };
    address
}

/// Everybody publishes in turn; everybody and the event streams hear all, and everybody sees the same members.
#[track_caller]
fn meet(server: &Server, members: &mut [Box<dyn Member>], streams: &mut [Events]) {
    let everybody = identifiers(&server.api("presence", &json!({"channel": CHANNEL}))["presence"]);
    assert_eq!(everybody.len(), members.len() + streams.len());
    let said: Vec<Value> = (0..members.len()).map(Value::from).collect();
    for (member, data) in members.iter_mut().zip(&said) {
        assert_eq!(member.presence(CHANNEL), everybody);
        member.publish(CHANNEL, data.clone());
    }
    for member in members {
        assert_eq!(member.publications(said.len()), said);
    }
    for stream in streams {
        assert_eq!(stream.publications(said.len()), said);
    }
}

#[test]
fn every_version_of_http_is_answered_on_one_port() {
    let certificate = Certificate::new(1);
    let server = Setup::new().tls(&certificate).start();
    let plain = server.url();
    let tls = plain.replace("http://", "https://");
    let seen = ["-k", "-o", "/dev/null", "-w", "%{http_code} %{http_version}"];
    for (version, url, expected) in [
        ("--http1.0", &plain, "200 1"),
        ("--http1.1", &plain, "200 1.1"),
        ("--http2-prior-knowledge", &plain, "200 2"),
        ("--http2", &plain, "200 1.1"), // An offer to upgrade to h2c is not taken.
        ("--http1.1", &tls, "200 1.1"),
        ("--http2", &tls, "200 2"),
    ] {
        let got = curl(&[&seen[..], &[version]].concat(), &format!("{url}/health"));
        assert_eq!(got, expected, "{version} {url}");
    }
}

#[test]
fn clients_meet_over_tls() {
    let certificate = Certificate::new(1);
    let server = Setup::new().tls(&certificate).start();
    let url = server.url().replace("http://", "https://");
    let s_client = ["s_client", "-quiet", "-connect", host_and_port(server.address())];
    let mut members: Vec<Box<dyn Member>> = vec![
        Box::new(Javascript::subscribed("websocket", &url, CHANNEL).0),
        Box::new(Javascript::subscribed("http_stream", &url, CHANNEL).0),
        Box::new(Passed::by("openssl", &s_client)),
    ];
    let mut streams = [["-k", "--http2"], ["-k", "--http1.1"]].map(|how| Events::open(&how, &url, CHANNEL));
    meet(&server, &mut members, &mut streams);
    for (version, number) in [("--http2", 7), ("--http1.1", 8)] {
        let body = json!({"channel": CHANNEL, "data": number}).to_string();
        let printed = curl(&["-k", version, "-d", &body], &format!("{url}/api/publish"));
        assert!(printed.starts_with("{\"result\":{\"offset\":"), "{printed}");
    }
    for stream in &mut streams {
        assert_eq!(stream.publications(2), [json!(7), json!(8)]);
    }
}

#[test]
fn clients_of_many_addresses_meet_in_one_channel() {
    let server = Setup::new().another_port().unix().start();
    let [first, second, unix] = server.addresses() else { panic!("three addresses were asked for") };
    let Address::Unix(path) = unix else { panic!("{unix:?} is no path") };
    let path = path.to_str().expect("a temporary folder is UTF-8");
    let other_url = format!("http://{}", host_and_port(second));
    let (host, port) = host_and_port(first).split_once(':').expect("with a port");
    let mut members: Vec<Box<dyn Member>> = vec![
        Box::new(Passed::by("nc", &[host, port])),
        Box::new(Javascript::subscribed("websocket", &other_url, CHANNEL).0),
        Box::new(Passed::by("nc", &["-U", path])),
    ];
    let mut streams = [
        Events::open(&[], &server.url(), CHANNEL),
        Events::open(&[], &other_url, CHANNEL),
        Events::open(&["--unix-socket", path], "http://localhost", CHANNEL),
        Events::open(&["--unix-socket", path, "--http2-prior-knowledge"], "http://localhost", CHANNEL),
    ];
    meet(&server, &mut members, &mut streams);

    let poll = "http://localhost/connection/poll?wait=0";
    let connect = "{\"id\":1,\"connect\":{}}";
    let connected = curl(&["--unix-socket", path, "-i", "-d", connect], poll);
    assert!(
        connected.contains("wharf-session: ") && connected.contains("{\"id\":1,\"connect\":{"),
        "{connected}"
    );
}
