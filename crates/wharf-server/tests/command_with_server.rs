//! The client commands against a server that runs: what they print, how they end, and what they say when refused.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use common::program::{Running, run, text, wharf};
use serde_json::Value;
use wharf_proto::websocket::{CloseCode, DeframeLimits, ServerHandshake, handshake::Policy};

/// A server on a free port and a Unix path of its own.
struct Server {
    process: Running,
    address: String,
    unix: String,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_with("127.0.0.1:0", "")
    }

    fn start_with(listen: &str, configuration: &str) -> Self {
        Self::launch(listen, configuration, &[])
    }

    fn launch(listen: &str, configuration: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let unix = format!("unix:{}", directory.path().join("wharf.sock").display());
        let mut command = wharf(&["--listen", listen, "--listen", &unix, "--log-format", "json"]);
        if !configuration.is_empty() {
            std::fs::write(directory.path().join("wharf.toml"), configuration).expect("a file");
        }
        let process = Running::start({
            command.current_dir(Path::new(directory.path())).stderr(Stdio::null());
            command.envs(variables.iter().copied());
            command
        });
        let line = process.line();
        let address =
            line.strip_prefix("wharf: listening on ").expect("the line that programs wait for").to_owned();
        assert_eq!(process.line(), format!("wharf: listening on {unix}"));
        Self { process, address, unix, _directory: directory }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    fn publish(&self, channel: &str, data: &str) -> Value {
        let output = run(&["publish", channel, data, "--server", &self.url("http")]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a line of JSON")
    }
}

#[test]
fn subscribe_prints_what_is_published_on_every_transport() {
    let server = Server::start();
    let http = server.url("http");
    for (name, url, transport) in [
        ("auto", http.clone(), "auto"),
        ("websocket", http.clone(), "websocket"),
        ("tcp", http.clone(), "tcp"),
        ("http-stream", http.clone(), "http-stream"),
        ("sse", http.clone(), "sse"),
        ("long-poll", http.clone(), "long-poll"),
        ("short-poll", http, "short-poll"),
        ("unix", server.unix.clone(), "auto"),
        ("unix-websocket", server.unix.clone(), "websocket"),
        ("unix-sse", server.unix.clone(), "sse"),
        ("tcp-url", server.url("tcp"), "auto"),
        ("ws-url", server.url("ws"), "auto"),
    ] {
        server.publish(name, "{\"n\":1}");
        let arguments =
            ["subscribe", name, "--server", &url, "--transport", transport, "--since", "0", "-n", "3"];
        let mut subscriber = Running::start(wharf(&arguments));
        let subscribed = subscriber.event_of("subscribed");
        assert_eq!((&subscribed["recovered"], &subscribed["offset"]), (&true.into(), &0.into()), "{name}");
        for n in 1..=3 {
            if n > 1 {
                assert_eq!(server.publish(name, &format!("{{\"n\":{n}}}"))["offset"], n);
            }
            let event = subscriber.event();
            assert_eq!(
                (&event["event"], &event["offset"]),
                (&"publication".into(), &n.into()),
                "{name}: {event}"
            );
            assert_eq!(
                (&event["channel"], &event["data"]["n"]),
                (&name.into(), &n.into()),
                "{name}: {event}"
            );
        }
        assert_eq!(subscriber.exit_code(), Some(0), "{name}");
    }
}

#[test]
fn subscribe_comes_back_to_a_server_that_was_killed_and_tells_what_is_lost() {
    let mut server = Server::start();
    server.publish("news", "1");
    let subscriber = Running::start(wharf(&["subscribe", "news", "--server", &server.url("http")]));
    assert_eq!(subscriber.event_of("subscribed")["offset"], 1);
    server.process.signal("KILL");
    server.process.exit_code();
    assert_eq!(subscriber.event_of("disconnected")["reconnect"], true);
    // The memory of the new server is empty: another epoch.
    let server = Server::start_with(&server.address, "");
    let subscribed = subscriber.event_of("subscribed");
    assert_eq!((&subscribed["lost"], &subscribed["offset"]), (&true.into(), &0.into()), "{subscribed}");
    server.publish("news", "2");
    assert_eq!(subscriber.event()["data"], 2);
}

#[test]
fn subscribe_tells_who_joins_and_leaves() {
    let server = Server::start();
    let arguments = ["subscribe", "room", "--join-leave", "--server", &server.url("http")];
    let watcher = Running::start(wharf(&arguments));
    let own = watcher.event_of("connected")["client"].clone();
    assert_eq!(watcher.event_of("join")["client"], own);
    let mut guest = Running::start(wharf(&["subscribe", "room", "--server", &server.url("tcp")]));
    let guest_client = guest.event_of("connected")["client"].clone();
    assert_eq!(watcher.event_of("join")["client"], guest_client);
    guest.event_of("subscribed");
    guest.signal("INT");
    assert_eq!(guest.exit_code(), Some(0), "an interrupt is a good end");
    assert_eq!(watcher.event_of("leave")["client"], guest_client);
}

#[test]
fn connect_shows_every_frame_of_what_is_piped_into_it() {
    let server = Server::start();
    for url in [server.url("ws"), server.url("tcp"), server.unix.clone()] {
        let mut command = wharf(&["connect", &url]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("wharf runs");
        let mut input = child.stdin.take().expect("a pipe");
        input
            .write_all(b"{\"id\":7,\"connect\":{}}\n{\"id\":8,\"presence\":{\"channel\":\"x\"}}")
            .expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{url}");
        for words in [
            ">  text        {\"id\":7,\"connect\":{}}",
            "<  text        {\"id\":7,\"connect\":{\"client\":",
            ">  text        {\"id\":8,\"presence\":",
            "<  text        {\"id\":8,\"presence\":{\"presence\":{}}}",
        ] {
            assert!(shown.contains(words), "{url}: {words}\n{shown}");
        }
    }
}

#[test]
fn the_commands_compress_where_asked_and_the_server_agrees() {
    let takeover = [
        ("WHARF_COMPRESSION__ENABLED", "true"),
        ("WHARF_COMPRESSION__SERVER_CONTEXT_TAKEOVER", "true"),
        ("WHARF_COMPRESSION__CLIENT_CONTEXT_TAKEOVER", "true"),
    ];
    for (variables, agreed) in [(&takeover[..], "messages are compressed"), (&[], "the server declined")] {
        let server = Server::launch("127.0.0.1:0", "", variables);
        let mut command = wharf(&["connect", &server.url("ws"), "--compress"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("wharf runs");
        let mut input = child.stdin.take().expect("a pipe");
        let long = "ahoy ".repeat(100);
        let rpc = |id: u32| format!(r#"{{"id":{id},"rpc":{{"method":"echo","data":"{long}"}}}}"#);
        writeln!(input, "{{\"id\":1,\"connect\":{{}}}}\n{}\n{}", rpc(2), rpc(3)).expect("it reads");
        drop(input);
        let shown = text(&child.wait_with_output().expect("it ends").stdout);
        assert!(shown.contains(&format!("<  open        {agreed}")), "{shown}");
        // Each was compressed by what was said before it, on either side, and came back as it was.
        assert_eq!(shown.matches(&long).count(), 4, "{shown}");

        let url = server.url("http");
        let mut subscriber =
            Running::start(wharf(&["subscribe", "news", "--compress", "--server", &url, "-n", "2"]));
        assert_eq!(subscriber.event_of("connected")["transport"], "websocket");
        subscriber.event_of("subscribed");
        for _ in 0..2 {
            server.publish("news", &format!("\"{long}\""));
            assert_eq!(subscriber.event_of("publication")["data"], *long);
        }
        assert_eq!(subscriber.exit_code(), Some(0));
    }
}

#[test]
fn connect_opens_a_session_over_sse_and_posts_what_is_typed() {
    let server = Server::start();
    let mut command = wharf(&["connect", &server.url("http")]);
    let mut process = Running::start({
        command.stdin(Stdio::piped());
        command
    });
    assert!(process.line().contains(">  text        {\"id\":1,\"connect\":{}}"));
    assert!(process.line().contains("<  text        {\"id\":1,\"connect\":{\"client\":"));
    let mut input = process.child.stdin.take().expect("a pipe");
    input.write_all(b"{\"id\":2,\"presence\":{\"channel\":\"x\"}}\n").expect("it reads");
    assert!(process.line().contains(">  text        {\"id\":2"));
    assert!(process.line().contains("<  text        {\"id\":2,\"presence\":"));
    drop(input);
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn connect_shows_a_plain_event_stream() {
    let server = Server::start();
    let url = format!("{}/events?channel=news", server.url("http"));
    let mut command = wharf(&["connect", &url]);
    let mut process = Running::start({
        command.stdin(Stdio::piped());
        command
    });
    // What is published before the stream is open does not come, so publish until it shows.
    let line = loop {
        server.publish("news", "\"hello\"");
        if let Ok(line) = process.lines.recv_timeout(Duration::from_millis(200)) {
            break line;
        }
    };
    assert!(line.contains("<  event       \"hello\"  (id "), "{line}");
    process.signal("INT");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn publish_says_what_is_missing_where_a_key_is_wanted() {
    let configuration =
        "[api]\nkeys = [\"right\"]\n[client]\nanonymous = true\n[[channel.namespaces]]\nname = \"chat\"\n";
    let server = Server::start_with("127.0.0.1:0", configuration);
    let url = server.url("http");
    let publish = |channel: &str, key: Option<&str>| {
        let mut command = wharf(&["publish", channel, "1", "--server", &url]);
        key.map(|key| command.env("WHARF_API_KEY", key));
        command.output().expect("wharf runs")
    };
    for (channel, key, words) in [
        ("chat:a", None, "the server wants an API key; give --api-key, or set WHARF_API_KEY"),
        ("chat:a", Some("wrong"), "the server does not know this API key"),
        ("other:a", Some("right"), "the server refused to publish to other:a: unknown channel (error 102)"),
    ] {
        let output = publish(channel, key);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    let output = publish("chat:a", Some("right"));
    assert_eq!(text(&output.stdout), "{\"channel\":\"chat:a\"}\n", "{}", text(&output.stderr));
}

#[test]
fn a_subscription_that_is_refused_ends_the_command_with_its_reason() {
    let server = Server::start_with("127.0.0.1:0", "[client]\nanonymous = true\n");
    let output = run(&["subscribe", "news", "--server", &server.url("http")]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("no longer subscribed to news: permission denied (103)"), "{error}");
}

// The server says where it listens a moment before it listens to signals, so the test waits for the latter.
#[cfg(target_os = "linux")]
// Row 100.
#[test]
fn no_server_steers_the_terminal_by_the_reason_of_its_close() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let closing = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        let (mut buffer, mut handshake) = ([0; 4096], ServerHandshake::new());
        loop {
            let count = stream.read(&mut buffer).expect("a request");
            if handshake.receive(&buffer[..count]).expect("a request of HTTP/1") {
                break;
            }
        }
        let policy = Policy { subprotocols: &["centrifuge-json"], ..Policy::default() };
        let mut connection = handshake.accept(&policy, DeframeLimits::default()).expect("a WebSocket");
        connection.close(CloseCode::new(4501).expect("a code"), "gone\u{1b}[2J\u{9b}1m");
        stream.write_all(connection.output()).expect("the command reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        stream.read_to_end(&mut Vec::new()).expect("the command ends the connection");
    });
    let output = run(&["subscribe", "news", "--server", &format!("ws://{address}")]);
    closing.join().expect("the server has closed");
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("gone\\u{1b}[2J\\u{9b}1m"), "{told:?}");
}

#[test]
fn an_interrupt_ends_the_server_well() {
    let mut server = Server::start();
    server.process.signal("INT");
    assert_eq!(server.process.exit_code(), Some(0));
}

#[test]
fn logs_are_json_on_demand_and_development_mode_cannot_be_missed() {
    let mut command = wharf(&["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut child = command.spawn().expect("wharf runs");
    let mut first = String::new();
    BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let _ = child.kill();
    child.wait().expect("it ends");
    let line: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(line["level"], "WARN");
    assert!(
        line["message"].as_str().is_some_and(|message| message.starts_with("DEVELOPMENT MODE:")),
        "{line}"
    );
}

#[test]
fn connections_are_shown_to_people_and_to_programs_and_so_is_what_became_of_them() {
    let server = Server::start();
    let subscriber = Running::start(wharf(&["subscribe", "news", "--server", &server.url("http")]));
    subscriber.event_of("subscribed");
    let url = server.url("http");
    let shown = run(&["connections", "--server", &url, "--channel", "news"]);
    let table = text(&shown.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table} {}", text(&shown.stderr));
    assert!(
        lines[0].starts_with("CLIENT") && lines[0].ends_with("CHANNELS") && lines[1].ends_with("news"),
        "{table}"
    );
    assert!(lines[1].contains("websocket") && lines[1].contains("127.0.0.1:"), "{table}");
    let json = run(&["connections", "--server", &url, "--order", "oldest", "--json"]);
    let row: Value = serde_json::from_slice(&json.stdout).expect("a line of JSON");
    assert_eq!((&row["transport"], &row["channels"][0]), (&Value::from("websocket"), &Value::from("news")));
    drop(subscriber); // Killed: its socket ends without a word.
    let ended = loop {
        let ended = run(&["connections", "--ended", "--transport", "websocket", "--server", &url]);
        let table = text(&ended.stdout);
        if table.lines().count() > 1 {
            break table;
        }
    };
    assert!(ended.starts_with("VERDICT") && ended.contains("closed_by_peer"), "{ended}");
    let paths = run(&["connections", "--paths", "--server", &url]);
    assert_eq!(text(&paths.stdout).lines().count(), 1, "nobody was killed for idleness");
    let wrong = run(&["connections", "--ended", "--verdict", "murder", "--server", &url]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("idle_kill"), "{}", text(&wrong.stderr));
}
