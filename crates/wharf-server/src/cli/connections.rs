//! `wharf connections`: who is connected, and what became of those that were, by the server API.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wharf::client::{ServerAddress, link::HttpClient};

use super::{
    output::{print, print_line, visible},
    publish::explain,
    runtime,
};

#[derive(Debug, Args)]
pub struct Flags {
    /// What became of connections that ended, the newest first, instead of who is connected.
    #[arg(long, conflicts_with_all = ["channel", "order", "paths"])]
    ended: bool,
    /// How long idle connections live, by listener and client network, as far as somebody was killed for idleness.
    #[arg(long, conflicts_with_all = ["user", "client", "channel", "transport", "network"])]
    paths: bool,
    /// Only of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only this connection.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only members of this channel.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Only of this kind: websocket, tcp, sse, poll, ...
    #[arg(long, value_name = "KIND")]
    transport: Option<String>,
    /// Only from this network, an address of it: 203.0.113.7 means 203.0.113.0/24.
    #[arg(long, value_name = "ADDRESS")]
    network: Option<String>,
    /// Only with this verdict: idle_kill, reset, missed_heartbeat, ...
    #[arg(long, value_name = "VERDICT", requires = "ended")]
    verdict: Option<String>,
    /// Which come first; without, as they lie.
    #[arg(long, value_enum, value_name = "ORDER")]
    order: Option<Order>,
    /// The most lines.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    limit: usize,
    /// One line of JSON a connection, with all that is known of it.
    #[arg(long)]
    json: bool,
    /// Where the server is: http://HOST:PORT or unix:/path.
    #[arg(long, short, value_name = "URL", env = "WHARF_SERVER", default_value = super::DEFAULT_SERVER)]
    server: ServerAddress,
    /// A key of the server API; development mode needs none.
    #[arg(long, value_name = "KEY", env = "WHARF_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// The longest connected.
    Oldest,
    /// The shortest connected.
    Newest,
    /// Those with the most bytes waiting.
    Queued,
    /// Those that were not heard for the longest.
    Silent,
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    user: Option<&'a str>,
    client: Option<&'a str>,
    channel: Option<&'a str>,
    transport: Option<&'a str>,
    network: Option<&'a str>,
    verdict: Option<&'a str>,
    order: Option<Order>,
    limit: usize,
    cursor: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Listed>,
    error: Option<Fault>,
}

#[derive(Default, Deserialize)]
struct Listed {
    #[serde(default, alias = "ended", alias = "paths")]
    connections: Vec<Map<String, Value>>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    message: String,
}

/// Asks, as often as the limit needs, and prints.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let rows = runtime()?.block_on(list(flags))?;
    if flags.json {
        return rows.iter().try_for_each(|row| Ok(print_line(row)?));
    }
    let columns = match (flags.ended, flags.paths) {
        (true, _) => ENDED,
        (_, true) => PATHS,
        _ => LIVE,
    };
    Ok(print(table(columns, &rows).as_bytes())?)
}

async fn list(flags: &Flags) -> anyhow::Result<Vec<Map<String, Value>>> {
    let target = if flags.paths { "/api/paths" } else { "/api/connections" };
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let question = Question {
            ended: flags.ended,
            user: flags.user.as_deref(),
            client: flags.client.as_deref(),
            channel: flags.channel.as_deref(),
            transport: flags.transport.as_deref(),
            network: flags.network.as_deref(),
            verdict: flags.verdict.as_deref(),
            order: flags.order,
            limit: flags.limit.saturating_sub(rows.len()),
            cursor: cursor.as_deref(),
        };
        let listed = ask(flags, target, &question).await?;
        rows.extend(listed.connections);
        cursor = listed.cursor;
        if cursor.is_none() || rows.len() >= flags.limit {
            rows.truncate(flags.limit);
            return Ok(rows);
        }
    }
}

async fn ask(flags: &Flags, target: &str, question: &Question<'_>) -> anyhow::Result<Listed> {
    let body = Bytes::from(serde_json::to_vec(question)?);
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(flags.api_key.as_deref().map(|key| ("X-API-Key", key)));
    let answer = HttpClient::new(&flags.server.endpoint).post(target, &headers, body, Duration::ZERO).await?;
    let answer = answer.accepted(target).map_err(|error| explain(error, flags.api_key.is_some()))?;
    let answer: Answer =
        serde_json::from_slice(&answer.body).context("the server's answer cannot be read")?;
    match answer {
        Answer { error: Some(Fault { code, message }), .. } => bail!("{message} (error {code})"),
        Answer { result, .. } => Ok(result.unwrap_or_default()),
    }
}

/// A column: what stands over it, and what it says of a row.
type Column = (&'static str, fn(&Map<String, Value>) -> String);

const LIVE: &[Column] = &[
    ("CLIENT", |row| text(row, "client")),
    ("USER", |row| text(row, "user")),
    ("TRANSPORT", transport),
    ("PEER", |row| text(row, if row.contains_key("peer") { "peer" } else { "network" })),
    ("SINCE", |row| duration(row, "age_ms")),
    ("HEARD", |row| duration(row, "heard_ms")),
    ("PING", |row| duration(row, "ping_ms")),
    ("RTT", rtt),
    ("LOST", |row| of_tcp(row, "retransmits")),
    ("QUEUE", |row| bytes(row, "queue_bytes")),
    ("IN", |row| bytes(row, "bytes_in")),
    ("OUT", |row| bytes(row, "bytes_out")),
    ("CHANNELS", channels),
];

const ENDED: &[Column] = &[
    ("VERDICT", verdict),
    ("AGO", |row| duration(row, "ended_ms")),
    ("CODE", |row| text(row, "code")),
    ("CLIENT", |row| text(row, "client")),
    ("USER", |row| text(row, "user")),
    ("TRANSPORT", |row| text(row, "transport")),
    ("NETWORK", |row| text(row, "network")),
    ("AGE", |row| duration(row, "age_ms")),
    ("HEARD", |row| duration(row, "heard_ms")),
    ("RTT", rtt),
    ("IN", |row| bytes(row, "bytes_in")),
    ("OUT", |row| bytes(row, "bytes_out")),
    ("REASON", |row| text(row, "reason")),
];

const PATHS: &[Column] = &[
    ("LISTENER", |row| text(row, "listener")),
    ("NETWORK", |row| text(row, "network")),
    ("PING", |row| duration(row, "ping_ms")),
    ("KILLS-AFTER", kills_after),
    ("DEATHS", |row| text(row, "deaths")),
    ("SURVIVALS", |row| text(row, "survivals")),
];

/// Row 100: names and reasons are other people's words.
fn text(row: &Map<String, Value>, name: &str) -> String {
    match row.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => visible(text.as_bytes()),
        Some(other) => visible(other.to_string().as_bytes()),
    }
}

fn number(row: &Map<String, Value>, name: &str) -> Option<u64> {
    row.get(name)?.as_u64()
}

fn tcp<'r>(row: &'r Map<String, Value>, name: &str) -> Option<&'r Value> {
    row.get("tcp")?.get(name)
}

fn of_tcp(row: &Map<String, Value>, name: &str) -> String {
    tcp(row, name).map_or_else(|| "-".to_owned(), Value::to_string)
}

fn rtt(row: &Map<String, Value>) -> String {
    let us = tcp(row, "rtt_us").and_then(Value::as_u64);
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.1}ms", us as f64 / 1_000.0))
}

fn transport(row: &Map<String, Value>) -> String {
    match (text(row, "transport"), text(row, "carrier")) {
        (kind, carrier) if carrier == "tls" => format!("{kind}/tls"),
        (kind, _) => kind,
    }
}

fn channels(row: &Map<String, Value>) -> String {
    let named = row.get("channels").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let count = number(row, "channel_count").unwrap_or(0);
    let shown: Vec<_> =
        named.iter().filter_map(Value::as_str).take(3).map(|name| visible(name.as_bytes())).collect();
    match (shown.len() as u64, count) {
        (0, 0) => "-".to_owned(),
        (some, all) if some < all => format!("{} +{}", shown.join(","), all - some),
        _ => shown.join(","),
    }
}

fn verdict(row: &Map<String, Value>) -> String {
    let verdict = text(row, "verdict");
    match number(row, "quiet_ms").filter(|_| verdict == "idle_kill") {
        Some(ms) => format!("idle_kill at about {}", human_ms(ms)),
        None => verdict,
    }
}

fn kills_after(row: &Map<String, Value>) -> String {
    match number(row, "kills_at_ms") {
        None | Some(0) => "-".to_owned(),
        Some(ms) => human_ms(ms),
    }
}

fn duration(row: &Map<String, Value>, name: &str) -> String {
    number(row, name).map_or_else(|| "-".to_owned(), human_ms)
}

/// Two units at the most: `850ms`, `12.3s`, `5m12s`, `3h5m`, `9d4h`.
fn human_ms(ms: u64) -> String {
    let (s, m, h, d) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", s, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{m}m{}s", s % 60),
        3_600_000..86_400_000 => format!("{h}h{}m", m % 60),
        _ => format!("{d}d{}h", h % 24),
    }
}

fn bytes(row: &Map<String, Value>, name: &str) -> String {
    const KIB: f64 = 1_024.0;
    let Some(bytes) = number(row, name) else { return "-".to_owned() };
    match bytes as f64 {
        few if few < KIB => format!("{few}"),
        some if some < KIB * KIB => format!("{:.1}K", some / KIB),
        many if many < KIB * KIB * KIB => format!("{:.1}M", many / KIB / KIB),
        all => format!("{:.1}G", all / KIB / KIB / KIB),
    }
}

/// Aligned columns; the last is as long as it is.
fn table(columns: &[Column], rows: &[Map<String, Value>]) -> String {
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(value).expect("rows")
    }

    // Row 100.
    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let rows = rows(json!([
            {"verdict": "idle_kill", "quiet_ms": 30_500, "ended_ms": 900, "code": 3009, "client": "c", "user": "\u{1b}[2J",
             "transport": "websocket", "network": "203.0.113.0/24", "age_ms": 61_000, "heard_ms": 30_500,
             "tcp": {"rtt_us": 1_250}, "bytes_in": 2_048, "bytes_out": 7, "reason": "a\nb"},
            {"verdict": "reset", "ended_ms": 90_000_000}
        ]));
        let table = table(ENDED, &rows);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(!table.contains('\u{1b}') && table.contains("\\u{1b}[2J"), "{table}");
        let ago = lines[0].find("AGO").expect("a column");
        assert!(
            lines[1].starts_with("idle_kill at about 30.5s") && lines[1][ago..].starts_with("900ms"),
            "{table}"
        );
        assert!(lines[2].starts_with("reset") && lines[2][ago..].starts_with("1d1h"), "{table}");
        assert!(
            lines[1].contains("1.2ms") && lines[1].contains("2.0K") && lines[1].ends_with("a\\nb"),
            "{table}"
        );
    }

    #[test]
    fn channels_beyond_three_are_counted() {
        let rows =
            rows(json!([{"channels": ["a", "b", "c", "d"], "channel_count": 9}, {"channel_count": 0}]));
        assert_eq!((channels(&rows[0]), channels(&rows[1])), ("a,b,c +6".to_owned(), "-".to_owned()));
    }
}
