//! `wharf connect`: an interactive wire. What is typed is sent, one line a message; what comes is shown.

use std::{
    io::{BufRead as _, IsTerminal as _},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;
use wharf::client::{
    LinkError, Scheme, ServerAddress, TransportKind,
    link::{EventsLink, HttpClient, Incoming, LinesLink, Link, SseEvent, WebsocketLink, WebsocketOptions},
};
use wharf_proto::{
    dialect::centrifuge_json::client::answer::{Connected, ServerMessage, decode_frame},
    websocket::deflate::DeflateOffer,
    wire::MessageKind,
};

use super::{
    output::{print, visible},
    runtime,
};
use crate::config::value::parse_duration_ms;

/// What opens the session where the URL names a server and no address on it.
const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

/// Typed lines that wait to be sent; past it reading waits.
const TYPED_LINES: usize = 64;

#[derive(Debug, Args)]
pub struct Flags {
    /// ws://HOST:PORT/path, tcp://HOST:PORT, unix:/path; http://HOST:PORT for SSE with commands by POST, and
    /// http://HOST:PORT/path for any event stream, to read only.
    #[arg(value_name = "URL", default_value = super::DEFAULT_SERVER)]
    url: ServerAddress,
    /// Leave the pings of the JSON protocol without their pong. By default they are answered once the server's reply
    /// to `connect` asked for it.
    #[arg(long)]
    no_pong: bool,
    /// Offer to compress messages; for ws:// alone.
    #[arg(long)]
    compress: bool,
    /// After the end of standard input, stay until nothing came for so long.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_linger)]
    linger: Duration,
}

fn parse_linger(text: &str) -> Result<Duration, String> {
    parse_duration_ms(text)
        .map(Duration::from_millis)
        .ok_or_else(|| "write a duration such as 500ms or 5s".to_owned())
}

/// Connects, and shows every frame until one of the two sides ends it.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let shown = Screen { begun: Instant::now() };
        let deflate = flags.compress.then(DeflateOffer::default);
        let options = WebsocketOptions { deflate, ..WebsocketOptions::default() };
        let mut wire = Wire::open(&flags.url, &options).await?;
        if let Some(first) = wire.sent_first() {
            shown.line('>', "text", first.as_bytes())?;
        }
        if flags.compress {
            shown.line('<', "open", wire.compression().as_bytes())?;
        }
        if std::io::stdin().is_terminal() {
            eprintln!("Type a message and Enter, for example {CONNECT}; Ctrl-D or Ctrl-C ends.");
        }
        tokio::select! {
            outcome = talk(flags, &mut wire, &shown) => outcome?,
            signal = super::ended_by_signal() => signal?,
        }
        wire.close().await;
        Ok(())
    })
}

async fn talk(flags: &Flags, wire: &mut Wire, shown: &Screen) -> anyhow::Result<()> {
    let mut typed = typed_lines();
    let mut talk = Talk::default();
    let mut typing = true;
    loop {
        tokio::select! {
            received = wire.receive() => match received {
                Ok(received) => {
                    shown.received(&received)?;
                    if talk.hear(&received) && !flags.no_pong {
                        shown.line('>', "pong", b"{}")?;
                        wire.send(Bytes::from_static(b"{}"), &talk).await?;
                    }
                }
                Err(error) => {
                    let ending = error.into_ending();
                    return Ok(shown.line('<', "end", format!("{} {}", ending.code, ending.reason).as_bytes())?);
                }
            },
            line = typed.recv(), if typing => match line {
                Some(line) => {
                    shown.line('>', "text", line.as_bytes())?;
                    wire.send(line.into(), &talk).await?;
                }
                None => typing = false,
            },
            () = tokio::time::sleep(flags.linger), if !typing => return Ok(()),
        }
    }
}

/// Lines of standard input, read by a thread of their own since a terminal cannot be polled everywhere. The thread
/// ends with the process.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What must be remembered of what the server said.
#[derive(Default)]
struct Talk {
    connected: Option<Connected>,
}

impl Talk {
    fn session(&self) -> Option<(&str, &str)> {
        self.connected.as_ref().map(|connected| (connected.session.as_str(), connected.node.as_str()))
    }

    /// Looks for the reply to `connect`. True where a pong is to follow.
    fn hear(&mut self, received: &Received) -> bool {
        let Received::Incoming(Incoming::Message(_, message)) = received else { return false };
        let mut messages = Vec::new();
        // What cannot be read is another protocol's, and is only shown.
        let _ = decode_frame(message, &mut messages);
        let mut ping = false;
        for message in messages {
            match message {
                ServerMessage::Reply { result: Ok(reply), .. } if reply.connect.is_some() => {
                    self.connected = reply.connect;
                }
                ServerMessage::Ping => ping = true,
                _ => {}
            }
        }
        ping && self.connected.as_ref().is_some_and(|connected| connected.pong)
    }
}

/// What is at the other end of the URL.
enum Wire {
    Link(Link),
    /// An event stream that takes no commands.
    Events(EventsLink),
}

enum Received {
    Incoming(Incoming),
    Event(SseEvent),
}

impl Wire {
    async fn open(url: &ServerAddress, options: &WebsocketOptions) -> Result<Self, LinkError> {
        let ServerAddress { scheme, endpoint, target } = url;
        Ok(match (scheme, target) {
            (Scheme::Websocket, target) => {
                let link = WebsocketLink::open(endpoint, target.as_deref(), options).await?;
                Self::Link(Link::Websocket(Box::new(link)))
            }
            (Scheme::Lines, _) => Self::Link(Link::Lines(LinesLink::open(endpoint).await?)),
            (Scheme::Http, None) => {
                Self::Link(Link::open(TransportKind::Sse, endpoint, None, CONNECT.into(), options).await?)
            }
            (Scheme::Http, Some(target)) => {
                Self::Events(EventsLink::open(&HttpClient::new(endpoint), target).await?)
            }
        })
    }

    /// What became of the offer to compress.
    fn compression(&self) -> &'static str {
        match self {
            Self::Link(Link::Websocket(link)) if link.compresses() => "messages are compressed",
            Self::Link(Link::Websocket(_)) => "the server declined to compress messages",
            _ => "only a WebSocket compresses messages",
        }
    }

    /// What was sent by opening it.
    fn sent_first(&self) -> Option<&'static str> {
        matches!(self, Self::Link(Link::Stream(_))).then_some(CONNECT)
    }

    async fn receive(&mut self) -> Result<Received, LinkError> {
        match self {
            Self::Link(link) => link.receive().await.map(Received::Incoming),
            Self::Events(link) => link.receive().await.map(Received::Event),
        }
    }

    async fn send(&mut self, message: Bytes, talk: &Talk) -> anyhow::Result<()> {
        match self {
            Self::Link(link) => Ok(link.send(message, talk.session()).await?),
            Self::Events(_) => {
                anyhow::bail!("this event stream takes no messages; give the server's URL without a path")
            }
        }
    }

    async fn close(&mut self) {
        if let Self::Link(link) = self {
            link.close().await;
        }
    }
}

/// Prints frames with the time since the beginning, their direction and their kind.
struct Screen {
    begun: Instant,
}

impl Screen {
    fn received(&self, received: &Received) -> std::io::Result<()> {
        match received {
            Received::Incoming(Incoming::Message(MessageKind::Text, message)) if message[..] == *b"{}" => {
                self.line('<', "ping", message)
            }
            Received::Incoming(Incoming::Message(MessageKind::Text, message)) => {
                self.line('<', "text", message)
            }
            Received::Incoming(Incoming::Message(MessageKind::Binary, message)) => {
                self.line('<', "binary", message)
            }
            Received::Incoming(Incoming::Ping(payload)) => {
                self.line('<', "ping frame", payload)?;
                self.line('>', "pong frame", payload)
            }
            Received::Incoming(Incoming::Pong(payload)) => self.line('<', "pong frame", payload),
            Received::Event(SseEvent { event, data, id }) => {
                let kind = if event.is_empty() { "event" } else { event };
                let id = if id.is_empty() { String::new() } else { format!("  (id {id})") };
                self.line('<', kind, format!("{data}{id}").as_bytes())
            }
        }
    }

    fn line(&self, direction: char, kind: &str, payload: &[u8]) -> std::io::Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        print(
            format!("{seconds:>9.3}  {direction}  {:<10}  {}\n", visible(kind.as_bytes()), visible(payload))
                .as_bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(talk: &mut Talk, message: &str) -> bool {
        let message = Bytes::from(message.to_owned());
        talk.hear(&Received::Incoming(Incoming::Message(MessageKind::Text, message)))
    }

    #[test]
    fn a_ping_is_answered_only_after_the_server_asked_for_pongs() {
        let mut talk = Talk::default();
        assert!(!heard(&mut talk, "{}"), "an echo of what was typed is no ping");
        assert!(!heard(&mut talk, r#"{"id":1,"connect":{"client":"c","ping":25}}"#));
        assert!(!heard(&mut talk, "{}"));
        assert!(!heard(
            &mut talk,
            r#"{"id":1,"connect":{"client":"c","ping":25,"pong":true,"session":"s","node":"n"}}"#
        ));
        assert!(heard(&mut talk, "{}"));
        assert_eq!(talk.session(), Some(("s", "n")));
        assert!(!heard(&mut talk, "not of this protocol"));
    }
}
