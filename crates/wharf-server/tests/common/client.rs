//! The Centrifuge JSON protocol by hand, over whatever carries messages.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
};

use serde_json::{Value, json};

use super::socket::{Address, Socket};

/// Carries messages both ways.
pub trait Wire {
    /// Sends one message, or several joined by line ends.
    fn send(&mut self, text: &str);
    /// Waits for the next message, or several joined by line ends.
    fn receive(&mut self) -> Result<String, End>;
}

/// How a connection ended: with the code and reason that a close frame or disconnect push told, if one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub code: Option<u16>,
    pub reason: String,
}

/// A client that answers pings by itself, and keeps replies and pushes apart.
#[derive(Debug)]
pub struct Client<W> {
    pub wire: W,
    /// The identifier that the server gave; empty before [`Client::connect`].
    pub id: String,
    last_command: u32,
    replies: Vec<Value>,
    pushes: VecDeque<Value>,
    /// Pings answered so far.
    pub pings: u32,
}

impl<W: Wire> Client<W> {
    pub fn new(wire: W) -> Self {
        Self {
            wire,
            id: String::new(),
            last_command: 0,
            replies: Vec::new(),
            pushes: VecDeque::new(),
            pings: 0,
        }
    }

    /// Connects; the result.
    #[track_caller]
    pub fn connect(&mut self) -> Value {
        let result = self.call(json!({"connect": {"name": "test"}}))["connect"].take();
        self.id = result["client"].as_str().expect("a client has an identifier").to_owned();
        result
    }

    /// Subscribes; the result.
    #[track_caller]
    pub fn subscribe(&mut self, channel: &str) -> Value {
        self.subscribe_with(json!({"channel": channel}))
    }

    /// Subscribes with more than a channel; the result.
    #[track_caller]
    pub fn subscribe_with(&mut self, request: Value) -> Value {
        self.call(json!({"subscribe": request}))["subscribe"].take()
    }

    /// Publishes and waits until it is acknowledged.
    #[track_caller]
    pub fn publish(&mut self, channel: &str, data: Value) {
        self.call(json!({"publish": {"channel": channel, "data": data}}));
    }

    /// The identifiers of everybody in the channel, in order.
    #[track_caller]
    pub fn presence(&mut self, channel: &str) -> Vec<String> {
        let reply = self.call(json!({"presence": {"channel": channel}}));
        let present = reply["presence"]["presence"].as_object().cloned().unwrap_or_default();
        let mut ids: Vec<String> = present.into_iter().map(|(id, _)| id).collect();
        ids.sort();
        ids
    }

    /// Sends a command, given without its number, and waits for its reply, which must not be an error.
    #[track_caller]
    pub fn call(&mut self, command: Value) -> Value {
        let reply = self.ask(command);
        assert!(reply.get("error").is_none(), "{reply}");
        reply
    }

    /// Sends a command, given without its number, and waits for its reply.
    #[track_caller]
    pub fn ask(&mut self, command: Value) -> Value {
        let id = self.tell(command);
        self.reply(id)
    }

    /// Sends a command, given without its number; the number.
    pub fn tell(&mut self, mut command: Value) -> u32 {
        self.last_command += 1;
        command["id"] = self.last_command.into();
        self.wire.send(&command.to_string());
        self.last_command
    }

    /// Waits for the reply to a command.
    #[track_caller]
    pub fn reply(&mut self, id: u32) -> Value {
        loop {
            if let Some(at) = self.replies.iter().position(|reply| reply["id"] == id) {
                return self.replies.remove(at);
            }
            self.receive().unwrap_or_else(|end| panic!("{end:?} instead of the reply to command {id}"));
        }
    }

    /// Waits for the next push.
    #[track_caller]
    pub fn push(&mut self) -> Value {
        while self.pushes.is_empty() {
            self.receive().unwrap_or_else(|end| panic!("{end:?} instead of a push"));
        }
        self.pushes.pop_front().expect("waited until there was one")
    }

    /// Waits for the next `count` publications of any channel; what was published. Other pushes fail the test.
    #[track_caller]
    pub fn publications(&mut self, count: usize) -> Vec<Value> {
        (0..count)
            .map(|_| {
                let mut push = self.push();
                assert!(push.get("pub").is_some(), "no publication: {push}");
                push["pub"]["data"].take()
            })
            .collect()
    }

    /// Reads on until the server ends the connection.
    pub fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.receive() {
                return end;
            }
        }
    }

    /// Waits for one message and puts what it holds in its place.
    fn receive(&mut self) -> Result<(), End> {
        let text = self.wire.receive()?;
        for line in text.lines() {
            let mut message: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
            if message == json!({}) {
                self.pings += 1;
                self.wire.send("{}");
            } else if let Some(push) = message.get_mut("push") {
                if let Some(disconnect) = push.get("disconnect") {
                    let code = disconnect["code"].as_u64().and_then(|code| code.try_into().ok());
                    return Err(End {
                        code,
                        reason: disconnect["reason"].as_str().unwrap_or_default().into(),
                    });
                }
                self.pushes.push_back(push.take());
            } else {
                self.replies.push(message);
            }
        }
        Ok(())
    }
}

/// JSON lines on a bare socket.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<Socket>,
}

impl Lines {
    pub fn open(address: &Address) -> Self {
        Self { reader: BufReader::new(address.open()) }
    }

    pub fn socket(&mut self) -> &mut Socket {
        self.reader.get_mut()
    }
}

impl Wire for Lines {
    fn send(&mut self, text: &str) {
        self.socket().send(format!("{text}\n"));
    }

    fn receive(&mut self) -> Result<String, End> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).expect("a line comes in time");
        let closed = End { code: None, reason: String::new() };
        if count == 0 { Err(closed) } else { Ok(line) }
    }
}
