//! Programs that a test starts, `wharf` among them, and what they print.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
};

use serde_json::Value;

use super::PATIENCE;

/// A `wharf` that sees no configuration but its arguments.
pub fn wharf(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    wharf_arguments(&mut command, arguments);
    command
}

/// The same for a command that becomes a `wharf`.
pub fn wharf_arguments(command: &mut Command, arguments: &[&str]) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHARF_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Runs it to its end.
#[track_caller]
pub fn run(arguments: &[&str]) -> Output {
    wharf(arguments).output().expect("wharf runs")
}

/// What it printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process whose lines are read as they come, and which ends with the test.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    pub lines: Receiver<String>,
}

impl Running {
    /// Starts a command whose standard output is piped.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program is installed");
        let output: ChildStdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that it prints.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// The next event that `wharf subscribe` prints.
    #[track_caller]
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.line()).expect("a line of JSON")
    }

    /// The events up to the first of this kind, which is returned.
    #[track_caller]
    pub fn event_of(&self, kind: &str) -> Value {
        std::iter::repeat_with(|| self.event())
            .find(|event| event["event"] == kind)
            .expect("an endless iterator")
    }

    /// Sends a signal by its name, such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("the process ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
