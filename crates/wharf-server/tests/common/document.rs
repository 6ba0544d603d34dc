//! Documents that are carried out as they are written: each block below `<!-- KIND: NAME -->` is run, and each below
//! `<!-- KIND: NAME shows -->` must be what is seen, where `…` stands for anything.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use super::PATIENCE;

/// How many lines of a terminal may wait for the test to look at them.
const MAX_LINES: usize = 10_000;

/// The blocks of a document by name.
pub fn blocks(document: &'static str, kind: &str) -> BTreeMap<&'static str, String> {
    let start = format!("<!-- {kind}: ");
    let mut blocks = BTreeMap::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix(&start).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "no fenced block below {line}");
        let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        assert!(blocks.insert(name, content.join("\n")).is_none(), "{name} stands twice");
    }
    blocks
}

/// Whether a line is what a document shows, in which `…` stands for anything.
pub fn is_shown(line: &str, pattern: &str) -> bool {
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
pub struct Script {
    pub commands: Vec<String>,
    pub typed: Vec<String>,
}

impl Script {
    /// Commands begin with `$ ` and go on while a quote is open.
    pub fn parse(block: &str) -> Self {
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

/// A shell as a document's reader has one: with `wharf` on the path, in this folder.
pub fn shell(command: &str, folder: &Path) -> Command {
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
    shell.env("PATH", format!("{}:{path}", wharf.display())).current_dir(folder);
    shell
}

/// Runs a command to its end; what it printed.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("a shell");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status} {text}{}", String::from_utf8_lossy(&stderr));
    text
}

/// A command that goes on, in a terminal of its own; ends with this value.
pub struct Terminal {
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    lines: mpsc::Receiver<String>,
}

impl Terminal {
    pub fn open(mut command: Command) -> Self {
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

    pub fn type_line(&self, line: &str) {
        type_into(&self.input, line);
    }

    #[track_caller]
    pub fn line(&self, expected: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{error} while waiting for {expected}"))
    }

    /// Waits for each line of what the document shows.
    #[track_caller]
    pub fn shows(&self, block: &str) {
        for pattern in block.lines() {
            let line = self.line(pattern);
            assert!(is_shown(&line, pattern), "shown is {pattern}\nseen was {line}");
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
