//! docs/devices.md, carried out as it is written.

mod common;

use std::collections::BTreeMap;

use common::{
    document::{self, Script, Terminal, blocks, is_shown},
    server::{Server, Setup},
    socket::Address,
};

const GUIDE: &str = include_str!("../../../docs/devices.md");

/// The guide's blocks, and a server at other ports than the guide's.
struct Guide {
    blocks: BTreeMap<&'static str, String>,
    server: Server,
    folder: tempfile::TempDir,
}

impl Guide {
    fn begin() -> Self {
        let blocks = blocks(GUIDE, "guide");
        let configuration = &blocks["configuration"];
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("wharf.toml"), configuration).expect("it is written");
        let elsewhere = configuration.replace("127.0.0.1:7000", "127.0.0.1:0");
        let server = Setup::new().configuration(&elsewhere).start();
        let mut guide = Self { blocks, server, folder };
        guide.blocks.remove("configuration");
        guide
    }

    /// A block with the server's addresses in the place of the guide's.
    #[track_caller]
    fn block(&mut self, name: &str) -> String {
        let block = self.blocks.remove(name).unwrap_or_else(|| panic!("no block `guide: {name}`"));
        let Address::Tcp(address) = self.server.address() else { unreachable!("set up with a TCP port") };
        let (_, devices) = self.server.devices("meter");
        block.replace("127.0.0.1:8000", address).replace("127.0.0.1 7000", &devices.replace(':', " "))
    }

    fn script(&mut self, name: &str) -> Script {
        Script::parse(&self.block(name))
    }

    fn shell(&self, command: &str) -> std::process::Command {
        let mut shell = document::shell(command, self.folder.path());
        shell.env("WHARF_SERVER", self.server.url());
        shell
    }

    #[track_caller]
    fn run(&mut self, name: &str) -> String {
        let script = self.script(name);
        document::run(self.shell(&script.commands[0]))
    }
}

#[test]
fn a_device_is_connected_as_the_guide_says() {
    let mut guide = Guide::begin();
    let tried = guide.run("check");
    for words in ["meter-7", "WELCOME meter-7", "devices/meter-7/up", "21.5"] {
        assert!(tried.contains(words), "{words} in {tried}");
    }

    let watch = guide.script("watch");
    let watcher = Terminal::open(guide.shell(&watch.commands[0]));
    let shown = guide.block("watch shows");
    let (opening, publication) = shown.rsplit_once('\n').expect("it shows several lines");
    watcher.shows(opening);

    let device = guide.script("device");
    let meter = Terminal::open(guide.shell(&device.commands[0]));
    device.typed.iter().for_each(|line| meter.type_line(line));
    meter.shows(&guide.block("device hears"));
    watcher.shows(publication);

    let present = guide.run("presence");
    let shown = guide.block("presence shows");
    assert!(is_shown(present.trim_end(), &shown), "shown is {shown}\nseen was {present}");

    guide.run("publish");
    meter.shows(&guide.block("publish hears"));

    let request = guide.script("request");
    let asking = Terminal::open(guide.shell(&request.commands[0]));
    let shown = guide.block("request hears");
    let question = meter.line(&shown);
    assert!(is_shown(&question, &shown), "shown is {shown}\nseen was {question}");
    let (before, after) = shown.split_once('…').expect("a number");
    let number = question.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).expect("a number");
    meter.type_line(&guide.block("answer").replace('…', number));
    asking.shows(&guide.block("request shows"));

    assert!(guide.blocks.is_empty(), "the guide has blocks that nobody tries: {:?}", guide.blocks.keys());
}
