//! README's tour, carried out as it is written: each block below `<!-- tour: NAME -->` is run, and each below
//! `<!-- tour: NAME shows -->` must be what is seen, where `…` stands for anything.

mod common;

use std::{collections::BTreeMap, os::unix::fs::symlink, process::Command};

use common::{
    PATIENCE,
    document::{self, Script, Terminal, blocks, is_shown},
    eventually,
    member::identifiers,
    server::{Server, Setup},
    socket::Address,
    suite,
};
use serde_json::{Value, json};

const README: &str = include_str!("../../../README.md");
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
        Self { blocks: blocks(README, "tour"), server, folder, session: String::new() }
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
        let mut shell = document::shell(command, self.folder.path());
        shell.env("WHARF_SERVER", self.server.url()).env("SESSION", &self.session);
        shell
    }

    /// Runs a command to its end; what it printed.
    #[track_caller]
    fn run(&self, command: &str) -> String {
        document::run(self.shell(command))
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
