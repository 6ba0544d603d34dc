//! One npm `centrifuge` client in a Node process, steered by a test.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use super::{PATIENCE, suite};

/// How many events may wait for the test to look at them.
const MAX_EVENTS: usize = 100_000;

/// The SDK over one of its transports: `websocket`, `http_stream` or `sse`. The process ends with this value.
#[derive(Debug)]
pub struct Javascript {
    child: Child,
    input: ChildStdin,
    events: mpsc::Receiver<Value>,
    /// Events that a test has passed by while it waited for another.
    seen: VecDeque<Value>,
    last_command: u32,
}

impl Javascript {
    /// Starts a client that connects and subscribes to `channel` at once. `options` are described in
    /// `judges/js/centrifuge_client.mjs`.
    #[track_caller]
    pub fn start(transport: &str, url: &str, channel: &str, options: &Value) -> Self {
        Self::run("centrifuge_client", &[transport, url, channel, &options.to_string()])
    }

    /// Starts a script of `judges/js` that tells events and takes operations, a line of JSON each.
    #[track_caller]
    pub fn run(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(suite::script(&format!("js/{script}.mjs"))).args(arguments);
        command.env("WHARF_JUDGES_JS", suite::folder("WHARF_JUDGES_JS"));
        // The certificates of tests are signed by nobody.
        command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0").env("NODE_NO_WARNINGS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node is installed; run `cargo xtask test`");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let input = child.stdin.take().expect("it is piped");
        let (tell, events) = mpsc::sync_channel(MAX_EVENTS);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, input, events, seen: VecDeque::new(), last_command: 0 }
    }

    /// Starts a client and waits until it is subscribed; the client and its identifier.
    #[track_caller]
    pub fn subscribed(transport: &str, url: &str, channel: &str) -> (Self, String) {
        let mut client = Self::start(transport, url, channel, &json!({}));
        let connected = client.event("connected");
        client.event("subscribed");
        let id = connected["client"].as_str().expect("a client has an identifier").to_owned();
        (client, id)
    }

    /// Waits for the next event of any name; none if nothing comes in time or the process has ended.
    pub fn next(&mut self) -> Option<Value> {
        self.seen.pop_front().or_else(|| self.events.recv_timeout(PATIENCE).ok())
    }

    /// Waits for the next event of this name; events of other names wait for whoever asks for them.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    /// Waits for the next `count` publications; what was published.
    #[track_caller]
    pub fn publications(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.event("publication")["data"].take()).collect()
    }

    /// Carries out an operation of the script's, such as `{"op":"presence"}`; its result.
    #[track_caller]
    pub fn call(&mut self, operation: Value) -> Value {
        let id = self.tell(operation);
        let mut answer = self.wait_for("result", |event| event["event"] == "result" && event["id"] == id);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// Starts an operation of the script's; its number.
    #[track_caller]
    pub fn tell(&mut self, mut operation: Value) -> u32 {
        self.last_command += 1;
        operation["id"] = self.last_command.into();
        writeln!(self.input, "{operation}").expect("the client runs");
        self.last_command
    }

    #[track_caller]
    fn wait_for(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.seen.iter().position(&matches) {
            return self.seen.remove(at).expect("it was found there");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) if matches(&event) => return event,
                Ok(event) => self.seen.push_back(event),
                Err(error) => panic!("{error} while waiting for {what}; there were: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Javascript {
    fn drop(&mut self) {
        let _ = self.child.kill(); // Reaches a frozen process as well.
        let _ = self.child.wait();
    }
}
