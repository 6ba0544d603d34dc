//! curl, as a person types it.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// How long one curl may run, in seconds: over the patience of a test, which fails first.
const LONGEST: &str = "60";

/// Runs curl to its end; what it printed.
#[track_caller]
pub fn curl(options: &[&str], url: &str) -> String {
    let mut command = Command::new("curl");
    let output = command.args(["-s", "--max-time", LONGEST]).args(options).arg(url).output();
    let output = output.expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "curl {options:?} {url}: {}: {text}", output.status);
    text
}

/// `curl -N` on `/events`; ends with this value.
#[derive(Debug)]
pub struct Events {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    /// Waits until the stream is open.
    #[track_caller]
    pub fn open(options: &[&str], url: &str, channel: &str) -> Self {
        let mut command = Command::new("curl");
        command.args(["-sN", "--max-time", LONGEST]).args(options);
        command.arg(format!("{url}/events?channel={channel}"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("curl is installed");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut events = Self { child, lines };
        events.field("id: ");
        events
    }

    /// The next `count` publications.
    #[track_caller]
    pub fn publications(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| serde_json::from_str(&self.field("data: ")).expect("JSON")).collect()
    }

    /// Reads on until the stream ends.
    pub fn end(&mut self) {
        for line in self.lines.by_ref() {
            line.expect("in UTF-8");
        }
    }

    /// The next value of a field.
    #[track_caller]
    fn field(&mut self, name: &str) -> String {
        loop {
            let line = self.lines.next().expect("the stream goes on").expect("in UTF-8");
            if let Some(value) = line.strip_prefix(name) {
                return value.to_owned();
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
