//! `wharf subscribe`: prints what happens in channels, one line of JSON an event.

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::value::RawValue;
use wharf::client::{Client, Event, Position, ServerAddress, SubscribeOptions, TransportKind};

use super::{output::print_line, runtime};

/// How long the end of a command may wait for the server.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Flags {
    /// The channels.
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Where the server is: http://HOST:PORT, ws://HOST:PORT/path, tcp://HOST:PORT or unix:/path.
    #[arg(long, short, value_name = "URL", env = "WHARF_SERVER", default_value = super::DEFAULT_SERVER)]
    server: ServerAddress,
    /// How to connect. `auto` takes what the URL says, and for http:// the first that the path lets through.
    #[arg(long, short, value_enum, value_name = "TRANSPORT", default_value = "auto")]
    transport: Transport,
    /// Stop after so many publications.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Begin with what came after this position, as far as the history reaches: OFFSET, or OFFSET:EPOCH.
    #[arg(long, value_name = "POSITION", value_parser = parse_position)]
    since: Option<Position>,
    /// Offer to compress messages, where the transport is WebSocket.
    #[arg(long)]
    compress: bool,
    /// Print who joins and leaves.
    #[arg(long)]
    join_leave: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    Auto,
    Websocket,
    Tcp,
    HttpStream,
    Sse,
    LongPoll,
    ShortPoll,
}

impl Transport {
    fn kind(self) -> Option<TransportKind> {
        Some(match self {
            Self::Auto => return None,
            Self::Websocket => TransportKind::Websocket,
            Self::Tcp => TransportKind::Lines,
            Self::HttpStream => TransportKind::HttpStream,
            Self::Sse => TransportKind::Sse,
            Self::LongPoll => TransportKind::LongPoll,
            Self::ShortPoll => TransportKind::ShortPoll,
        })
    }
}

fn parse_position(text: &str) -> Result<Position, String> {
    let (offset, epoch) = text.split_once(':').unwrap_or((text, ""));
    match offset.parse() {
        Ok(offset) => Ok(Position { offset, epoch: epoch.to_owned() }),
        Err(_) => {
            Err("write OFFSET, or OFFSET:EPOCH as `subscribed` shows them; 0 is the beginning".to_owned())
        }
    }
}

/// Subscribes until the count is reached, a signal comes or the server ends it for good.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    runtime()?.block_on(subscribe(flags))
}

async fn subscribe(flags: &Flags) -> anyhow::Result<()> {
    let mut builder = Client::to(flags.server.clone()).name("wharf subscribe");
    if let Some(kind) = flags.transport.kind() {
        builder = builder.transport(kind);
    }
    if flags.compress {
        builder = builder.compress();
    }
    for channel in &flags.channels {
        let options = SubscribeOptions { join_leave: flags.join_leave, since: flags.since.clone() };
        builder = builder.subscribe(channel, options);
    }
    let mut client = builder.start().await?;
    let outcome = tokio::select! {
        outcome = print_events(flags, &mut client) => outcome,
        signal = super::ended_by_signal() => signal,
    };
    // A server that does not take the goodbye is left without it.
    let _ = tokio::time::timeout(GOODBYE, client.close()).await;
    outcome
}

async fn print_events(flags: &Flags, client: &mut Client) -> anyhow::Result<()> {
    let mut left = flags.count.unwrap_or(u64::MAX);
    let mut channels = flags.channels.len();
    while left > 0 {
        let Some(event) = client.next_event().await else { return Ok(()) };
        print_line(&Line::of(&event, client.transport().name()))?;
        match event {
            Event::Publication { .. } => left -= 1,
            Event::Disconnected { ending } if !ending.reconnects => {
                bail!("the connection ended for good: {ending}")
            }
            Event::Unsubscribed { channel, code, reason } if code < 2500 => {
                channels = channels.saturating_sub(1);
                if channels == 0 {
                    bail!("no longer subscribed to {channel}: {reason} ({code})");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is printed of an event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Connected {
        client: &'a str,
        transport: &'static str,
        version: &'a str,
    },
    Subscribed {
        channel: &'a str,
        recovered: bool,
        /// Publications were missed that cannot be had any more.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a str>,
    },
    Unsubscribed {
        channel: &'a str,
        code: u32,
        reason: &'a str,
    },
    Publication {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        data: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
    },
    Join {
        channel: &'a str,
        client: &'a str,
        user: &'a str,
    },
    Leave {
        channel: &'a str,
        client: &'a str,
        user: &'a str,
    },
    Message {
        data: Option<&'a RawValue>,
    },
    Answer {
        id: u32,
    },
    Disconnected {
        code: u32,
        reason: &'a str,
        reconnect: bool,
    },
}

impl<'a> Line<'a> {
    fn of(event: &'a Event, transport: &'static str) -> Self {
        match event {
            Event::Connected { client, version } => Self::Connected { client, transport, version },
            Event::Subscribed { channel, recovered, was_recovering, position } => Self::Subscribed {
                channel,
                recovered: *recovered,
                lost: *was_recovering && !recovered,
                offset: position.as_ref().map(|position| position.offset),
                epoch: position.as_ref().map(|position| position.epoch.as_str()),
            },
            Event::Unsubscribed { channel, code, reason } => {
                Self::Unsubscribed { channel, code: *code, reason }
            }
            Event::Publication { channel, publication } => {
                let info = publication.info.as_ref();
                Self::Publication {
                    channel,
                    offset: Some(publication.offset).filter(|offset| *offset > 0),
                    data: publication.data.as_deref(),
                    client: info.map(|info| info.client.as_str()),
                    user: info.map(|info| info.user.as_str()).filter(|user| !user.is_empty()),
                }
            }
            Event::Join { channel, info } => Self::Join { channel, client: &info.client, user: &info.user },
            Event::Leave { channel, info } => Self::Leave { channel, client: &info.client, user: &info.user },
            Event::Message { data } => Self::Message { data: data.as_deref() },
            Event::Answer { id, .. } => Self::Answer { id: *id },
            Event::Disconnected { ending } => {
                Self::Disconnected { code: ending.code, reason: &ending.reason, reconnect: ending.reconnects }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event) -> String {
        serde_json::to_string(&Line::of(event, "sse")).expect("JSON")
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let data =
            serde_json::from_str(r#"{"data":{"a": 1},"offset":5,"info":{"client":"c"}}"#).expect("JSON");
        assert_eq!(
            line(&Event::Publication { channel: "news".to_owned(), publication: data }),
            r#"{"event":"publication","channel":"news","offset":5,"data":{"a": 1},"client":"c"}"#
        );
        let position = Some(Position { offset: 3, epoch: "abcdefgh".to_owned() });
        let lost =
            Event::Subscribed { channel: "n".to_owned(), recovered: false, was_recovering: true, position };
        assert_eq!(
            line(&lost),
            r#"{"event":"subscribed","channel":"n","recovered":false,"lost":true,"offset":3,"epoch":"abcdefgh"}"#
        );
    }

    #[test]
    fn reads_a_position() {
        assert_eq!(parse_position("7:abcdefgh"), Ok(Position { offset: 7, epoch: "abcdefgh".to_owned() }));
        assert_eq!(parse_position("0"), Ok(Position::default()));
        assert!(parse_position("abcdefgh:7").expect_err("the wrong order").contains("OFFSET:EPOCH"));
    }
}
