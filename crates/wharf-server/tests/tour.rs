//! README's tour, carried out as it is written: each block below `<!-- tour: NAME -->` is run, and each below
//! `<!-- tour: NAME shows -->` must be what is seen, where `…` stands for anything.

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use common::{
    PATIENCE, eventually,
    member::identifiers,
    server::{Server, Setup},
    socket::Address,
    suite,
};
use serde_json::{Value, json};

const README: &str = include_str!("../../../README.md");
/// How many lines of a terminal may wait for the test to look at them.
const MAX_LINES: usize = 10_000;

/// The blocks by name.
fn blocks() -> BTreeMap<&'static str, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("<!-- tour: ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "no fenced block below {line}");
        let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        assert!(blocks.insert(name, content.join("\n")).is_none(), "{name} stands twice");
    }
    blocks
}

/// Whether a line is what README shows, in which `…` stands for anything.
fn is_shown(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let mut rest = line.strip_prefix(parts.next().unwrap_or_default());
    let mut parts = parts.peekable();
    while let (Some(line), Some(part)) = (rest, parts.next()) {
        if parts.peek().is_none() && line.ends_with(part) {
            return true; // The last part ends the line, whatever stands before.
        }
        rest = line.split_once(part).map(|(_, rest)| rest);
    }
    rest == Some("")
}

/// A block of commands and of what is typed into the last of them.
struct Script {
    commands: Vec<String>,
    typed: Vec<String>,
}

impl Script {
    /// Commands begin with `$ ` and go on while a quote is open.
    fn parse(block: &str) -> Self {
        let mut script = Self { commands: Vec::new(), typed: Vec::new() };
        let mut is_open = false;
        for line in block.lines() {
            match (line.strip_prefix("$ "), script.commands.last_mut()) {
                (None, Some(command)) if is_open => *command += &format!("\n{line}"),
                (Some(command), _) => script.commands.push(command.to_owned()),
                (None, _) => {
                    script.typed.push(line.to_owned());
                    continue;
                }
            }
            is_open = script.commands.last().is_some_and(|command| command.matches('\'').count() % 2 == 1);
        }
        script
    }
}

/// Where the tour takes place: README's blocks, and a server at another port than README's.
struct Tour {
    blocks: BTreeMap<&'static str, String>,
    server: Server,
    folder: tempfile::TempDir,
    session: String,
}

impl Tour {
    fn begin() -> Self {
        let server = Setup::new().start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { blocks: blocks(), server, folder, session: String::new() }
    }

    /// A block with the server's address in the place of README's.
    #[track_caller]
    fn block(&mut self, name: &str) -> String {
        let block = self.blocks.remove(name).unwrap_or_else(|| panic!("README has no block `tour: {name}`"));
        let Address::Tcp(address) = self.server.address() else { unreachable!("set up with a TCP port") };
        block.replace("127.0.0.1:8000", address).replace("127.0.0.1 8000", &address.replace(':', " "))
    }

    fn script(&mut self, name: &str) -> Script {
        Script::parse(&self.block(name))
    }

    /// A shell as README's reader has one: with `wharf` on the path and, for the default port, this server.
    fn shell(&self, command: &str) -> Command {
        let wharf = Path::new(env!("CARGO_BIN_EXE_wharf")).parent().expect("it lies in a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        // `exec` makes the command the process that ends with its terminal.
        shell.args(["-c", &format!("exec {command}")]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WHARF_") {
                shell.env_remove(name);
            }
        }
        shell.env("PATH", format!("{}:{path}", wharf.display()));
        shell.env("WHARF_SERVER", self.server.url()).env("SESSION", &self.session);
        shell.current_dir(self.folder.path());
        shell
    }

    /// Runs a command to its end; what it printed.
    #[track_caller]
    fn run(&self, command: &str) -> String {
        let Output { status, stdout, stderr } =
            self.shell(command).stdin(Stdio::null()).output().expect("a shell");
        let text = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{command}: {status} {text}{}", String::from_utf8_lossy(&stderr));
        text
    }

    /// Publishes as README does; what curl printed.
    #[track_caller]
    fn publish(&self, publish: &Script) -> String {
        self.run(&publish.commands[0])
    }

    /// How many clients are in the channel.
    fn present(&self) -> usize {
        self.presence().len()
    }

    fn presence(&self) -> Vec<String> {
        identifiers(&self.server.api("presence", &json!({"channel": "news"}))["presence"])
    }
}

/// A command that goes on, in a terminal of its own; ends with this value.
struct Terminal {
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    lines: mpsc::Receiver<String>,
}

impl Terminal {
    fn open(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        let input = Arc::new(Mutex::new(child.stdin.take().expect("it is piped")));
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (tell, lines) = mpsc::sync_channel(MAX_LINES);
        let answers = Arc::clone(&input);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if line == "{}" {
                    type_into(&answers, "{}"); // As README says: answer to stay.
                } else if !line.ends_with(" {}") && tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines }
    }

    fn type_line(&self, line: &str) {
        type_into(&self.input, line);
    }

    #[track_caller]
    fn line(&self, expected: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{error} while waiting for {expected}"))
    }

    /// Waits for each line of what README shows.
    #[track_caller]
    fn shows(&self, block: &str) {
        for pattern in block.lines() {
            let line = self.line(pattern);
            assert!(is_shown(&line, pattern), "README shows {pattern}\nseen was     {line}");
        }
    }
}

fn type_into(input: &Mutex<ChildStdin>, line: &str) {
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(input, "{line}").expect("the command reads");
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Splits what README shows into all lines but the last, and the last.
fn without_last(block: &str) -> (&str, &str) {
    block.rsplit_once('\n').expect("it shows several lines")
}

#[test]
fn the_tour_works_as_written() {
    let mut tour = Tour::begin();

    let nc = tour.script("nc");
    let socket = Terminal::open(tour.shell(&nc.commands[0]));
    nc.typed.iter().for_each(|line| socket.type_line(line));
    socket.shows(&tour.block("nc shows"));

    let publish = tour.script("publish");
    let shown = tour.block("publish shows");
    let (position, push) = without_last(&shown);
    let printed = tour.publish(&publish);
    assert!(is_shown(printed.trim_end(), position), "README shows {position}\nprinted was  {printed}");
    socket.shows(push);
    let push_again = |offset: u32| push.replace("\"offset\":1", &format!("\"offset\":{offset}"));

    let poll = tour.script("short poll");
    let connected = tour.run(&poll.commands[0]);
    let session = connected.lines().find_map(|line| line.strip_prefix("wharf-session: "));
    tour.session = session.unwrap_or_else(|| panic!("no session in {connected}")).trim().to_owned();
    tour.publish(&publish);
    assert_eq!(tour.run(&poll.commands[1]), push_again(2) + "\n");
    assert_eq!(tour.run(&poll.commands[1]), "", "nothing was published since");

    let long_poll = tour.script("long poll");
    let waiting = Terminal::open(tour.shell(&long_poll.commands[0]));
    tour.publish(&publish);
    waiting.shows(&push_again(3));

    let events = tour.script("events");
    let stream = Terminal::open(tour.shell(&events.commands[0]));
    let shown = tour.block("events shows");
    let (opening, event) = shown.split_once("\n\n").expect("it shows two blocks");
    stream.shows(&format!("{opening}\n\n"));
    tour.publish(&publish);
    stream.shows(event);

    let websocket = tour.script("websocket");
    let wire = Terminal::open(tour.shell(&websocket.commands[0]));
    let shown = tour.block("websocket shows");
    let (opening, push) = without_last(&shown);
    let opening: Vec<&str> = opening.lines().collect();
    // Who types sees each command and its reply before the next.
    for (line, exchange) in websocket.typed.iter().zip(opening.chunks(2)) {
        wire.type_line(line);
        wire.shows(&exchange.join("\n"));
    }
    tour.publish(&publish);
    wire.shows(push);

    let sdk = tour.block("sdk");
    std::fs::write(tour.folder.path().join("tour.mjs"), sdk).expect("the snippet is written");
    let packages = suite::folder("WHARF_JUDGES_JS").join("node_modules");
    let packages = packages.canonicalize().expect("the packages are installed");
    symlink(packages, tour.folder.path().join("node_modules")).expect("a link to the packages");
    let before = tour.present();
    let client = Terminal::open(tour.shell("node tour.mjs"));
    eventually("the SDK is in the channel", PATIENCE, || tour.present() == before + 1);
    tour.publish(&publish);
    assert_eq!(client.line("the publication"), "6 { title: 'ship in sight' }");

    let presence = tour.script("presence");
    let everybody = tour.presence();
    assert_eq!(everybody.len(), 5, "socket, poll, events, WebSocket and SDK");
    let printed: Value = serde_json::from_str(&tour.run(&presence.commands[0])).expect("JSON");
    assert_eq!(identifiers(&printed["result"]["presence"]), everybody);
    socket.shows(&[2, 3, 4, 5, 6].map(push_again).join("\n"));
    socket.type_line(&presence.typed[0]);
    let answer: Value = serde_json::from_str(&socket.line("the answer")).expect("JSON");
    assert_eq!(identifiers(&answer["presence"]["presence"]), everybody);
    drop(client);
    eventually("a socket that closes is gone", PATIENCE, || tour.present() == everybody.len() - 1);

    let commands = tour.script("command line");
    let subscriber = Terminal::open(tour.shell(&commands.commands[0]));
    let shown = tour.block("command line shows");
    let (opening, publication) = without_last(&shown);
    subscriber.shows(opening);
    tour.run(&commands.commands[1]);
    subscriber.shows(publication);

    let configuration = tour.blocks.remove("configuration").expect("README shows a configuration");
    std::fs::write(tour.folder.path().join("wharf.toml"), configuration).expect("it is written");
    let said = tour.run("wharf check --config wharf.toml");
    assert!(said.starts_with("wharf.toml is good."), "{said}");
    for words in ["0.0.0.0:8000", "unix:/run/wharf.sock", "chat"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(tour.blocks.is_empty(), "README has blocks that nobody tries: {:?}", tour.blocks.keys());
}

#[test]
fn what_is_shown_must_be_what_is_seen() {
    for (line, pattern, same) in [
        ("abc", "abc", true),
        ("abcd", "abc", false),
        ("{\"a\":1,\"b\":2}", "{\"a\":…,\"b\":2}", true),
        ("{\"a\":1,\"b\":3}", "{\"a\":…,\"b\":2}", false),
        ("0.1  >  x", "…  >  x", true),
        ("id: x", "id: …", true),
        ("", "", true),
        ("x", "", false),
    ] {
        assert_eq!(is_shown(line, pattern), same, "{line} {pattern}");
    }
}
