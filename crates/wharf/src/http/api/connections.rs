//! `connections`: who is connected, and with `ended` what became of those that were. Each worker is asked in pages.

use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use tokio::sync::oneshot;
use wharf_proto::{
    json::{Object, display, number, string},
    message::{Channel, ClientId, ErrorReply},
};

use super::{Failure, Outcome, array};
use crate::{
    ledger::{Ended, Network, Origin, Verdict},
    metrics::KINDS,
    node::Node,
    transport::Vitals,
    worker::{
        ToWorker,
        listing::{ConnectionsPage, EndedPage, Filter, ListConnections, ListEnded, Live, Order},
    },
};

/// The most connections in one answer, and how many unless it is said. LIMITS.md, `ROWS_AN_ANSWER`.
const ROWS_AN_ANSWER: usize = 1_000;
const ROWS_UNLESS_SAID: usize = 100;

#[derive(Deserialize)]
pub struct Params {
    user: Option<String>,
    client: Option<String>,
    channel: Option<String>,
    transport: Option<String>,
    network: Option<String>,
    verdict: Option<String>,
    #[serde(default)]
    ended: bool,
    order: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The connections that are meant, or their ends.
pub async fn connections(params: Params, node: &Node) -> Outcome {
    let filter = Arc::new(filter(&params)?);
    let limit = params.limit.unwrap_or(ROWS_UNLESS_SAID).clamp(1, ROWS_AN_ANSWER);
    let cursor = params.cursor.as_deref().map(parse_cursor).transpose()?.unwrap_or_default();
    let order = order(params.order.as_deref())?;
    match (params.ended, order) {
        (true, Order::Unordered) => ends(filter, limit, &cursor, node).await,
        (true, _) => Err(bad("ends come the newest first; leave order out".to_owned())),
        (false, Order::Unordered) => walk(filter, limit, &cursor, node).await,
        (false, _) if !cursor.is_empty() => {
            Err(bad("an order has no cursor; raise limit, or leave order out to have all".to_owned()))
        }
        (false, order) => best(filter, order, limit, node).await,
    }
}

fn bad(message: String) -> Failure {
    ErrorReply::BAD_REQUEST.with_message(message).into()
}

fn filter(params: &Params) -> Result<Filter, Failure> {
    let client =
        |text: &String| text.parse::<ClientId>().map_err(|()| bad(format!("{text:?} is no client's id")));
    let channel = |name: &String| Channel::parse(name).map_err(|error| bad(error.to_string()));
    let kind = |name: &String| match KINDS.contains(&&**name) {
        true => Ok(Box::from(&**name)),
        false => Err(bad(format!("{name:?} is no transport; there are {}", KINDS.join(", ")))),
    };
    let network = |text: &String| {
        Network::parse(text).ok_or_else(|| bad(format!("{text:?} is no network; write an address of it")))
    };
    let verdict = |label: &String| {
        let known = Verdict::ALL.iter().find(|verdict| verdict.label() == label);
        known.copied().ok_or_else(|| {
            let labels: Vec<_> = Verdict::ALL.iter().map(|verdict| verdict.label()).collect();
            bad(format!("{label:?} is no verdict; there are {}", labels.join(", ")))
        })
    };
    if params.ended && params.channel.is_some() {
        return Err(bad("who has ended is in no channel; leave channel out".to_owned()));
    }
    if !params.ended && params.verdict.is_some() {
        return Err(bad("only ends have a verdict; ask with \"ended\":true".to_owned()));
    }
    Ok(Filter {
        user: params.user.as_deref().map(Box::from),
        client: params.client.as_ref().map(client).transpose()?,
        channel: params.channel.as_ref().map(channel).transpose()?,
        kind: params.transport.as_ref().map(kind).transpose()?,
        network: params.network.as_ref().map(network).transpose()?,
        verdict: params.verdict.as_ref().map(verdict).transpose()?,
    })
}

fn order(name: Option<&str>) -> Result<Order, Failure> {
    Ok(match name {
        None => Order::Unordered,
        Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some("queued") => Order::Queued,
        Some("silent") => Order::Silent,
        Some(other) => {
            return Err(bad(format!("{other:?} is no order; there are oldest, newest, queued, silent")));
        }
    })
}

/// Numbers with points between them: of connections a worker and an entry, of ends a number for each worker.
fn parse_cursor(text: &str) -> Result<Vec<u64>, Failure> {
    let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
    numbers.map_err(|_| bad("the cursor is none that an answer gave".to_owned()))
}

fn cursor_text(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// Asks a worker, and waits for its answer.
async fn ask<T>(
    node: &Node,
    worker: usize,
    question: impl FnOnce(oneshot::Sender<T>) -> ToWorker,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    let busy = || ErrorReply::INTERNAL.with_message("a worker has too much to do; ask again in a second");
    node.workers[worker].send(question(answer)).map_err(|_| busy())?;
    Ok(answered.await.map_err(|_| busy())?)
}

/// The next connections behind the cursor, worker after worker.
async fn walk(filter: Arc<Filter>, limit: usize, cursor: &[u64], node: &Node) -> Outcome {
    let (mut worker, mut from) = match cursor {
        [] => (0, 0),
        [worker, from] => {
            (usize::try_from(*worker).unwrap_or(usize::MAX), u32::try_from(*from).unwrap_or(u32::MAX))
        }
        _ => return Err(bad("the cursor is none that an answer gave".to_owned())),
    };
    let mut rows: Vec<Live> = Vec::new();
    while worker < node.workers.len() && rows.len() < limit {
        let (filter, limit) = (Arc::clone(&filter), limit - rows.len());
        let question = |answer| {
            let order = Order::Unordered;
            ToWorker::ListConnections(ListConnections {
                filter,
                order,
                from,
                limit,
                better_than: None,
                answer,
            })
        };
        let page: ConnectionsPage = ask(node, worker, question).await?;
        rows.extend(page.rows.into_iter().map(|(_, row)| row));
        (worker, from) = match page.next {
            Some(next) => (worker, next),
            None => (worker + 1, 0),
        };
    }
    let more = worker < node.workers.len();
    Ok(say_live(rows, more.then(|| cursor_text(&[worker as u64, from.into()])), node))
}

/// The first in an order: each page says only what comes before the worst that is kept.
async fn best(filter: Arc<Filter>, order: Order, limit: usize, node: &Node) -> Outcome {
    let mut rows: Vec<(u64, Live)> = Vec::new();
    for worker in 0..node.workers.len() {
        let mut from = Some(0);
        while let Some(entry) = from {
            let better_than = (rows.len() >= limit).then(|| rows[limit - 1].0);
            let filter = Arc::clone(&filter);
            let question = |answer| {
                ToWorker::ListConnections(ListConnections {
                    filter,
                    order,
                    from: entry,
                    limit,
                    better_than,
                    answer,
                })
            };
            let page: ConnectionsPage = ask(node, worker, question).await?;
            rows.extend(page.rows);
            rows.sort_by_key(|(rank, _)| *rank);
            rows.truncate(limit);
            from = page.next;
        }
    }
    Ok(say_live(rows.into_iter().map(|(_, row)| row).collect(), None, node))
}

/// The newest ends before the cursor, of all workers together.
async fn ends(filter: Arc<Filter>, limit: usize, cursor: &[u64], node: &Node) -> Outcome {
    let workers = node.workers.len();
    if !cursor.is_empty() && cursor.len() != workers {
        return Err(bad("the cursor is none that an answer gave".to_owned()));
    }
    let mut before: Vec<u64> = if cursor.is_empty() { vec![u64::MAX; workers] } else { cursor.to_vec() };
    let mut rows: Vec<(usize, u64, Ended)> = Vec::new();
    let mut more = false;
    for (worker, &start) in before.iter().enumerate() {
        let (mut next, mut found) = (Some(start), 0);
        while let Some(before) = next.filter(|_| found < limit) {
            let (filter, limit) = (Arc::clone(&filter), limit - found);
            let question = |answer| ToWorker::ListEnded(ListEnded { filter, before, limit, answer });
            let page: EndedPage = ask(node, worker, question).await?;
            found += page.rows.len();
            rows.extend(page.rows.into_iter().map(|(number, ended)| (worker, number, ended)));
            next = page.next;
        }
        more |= next.is_some();
    }
    rows.sort_by_key(|(_, number, ended)| std::cmp::Reverse((ended.ended, *number)));
    more |= rows.len() > limit;
    rows.truncate(limit);
    for (worker, number, _) in &rows {
        before[*worker] = before[*worker].min(*number);
    }
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    array(&rows, object.key("ended"), |(_, _, ended), out| say_ended(ended, node, out));
    if more {
        object.text("cursor", &cursor_text(&before));
    }
    object.close();
    Ok(out)
}

fn say_live(rows: Vec<Live>, cursor: Option<String>, node: &Node) -> BytesMut {
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    array(&rows, object.key("connections"), |row, out| say_one(row, node, out));
    if let Some(cursor) = cursor {
        object.text("cursor", &cursor);
    }
    object.close();
    out
}

/// What is 0 is said too, but for what nobody knows: programs then find every member that there can be.
fn say_number(name: &'static str, value: impl Into<i128>, object: &mut Object<'_>) {
    number(value.into(), object.key(name));
}

fn say_one(row: &Live, node: &Node, out: &mut BytesMut) {
    let mut object = Object::open(out);
    display(row.client, object.key("client"));
    if let Some(user) = &row.user {
        string(user, object.key("user"));
    }
    object.text("transport", row.kind);
    object.text("carrier", row.transport.unwrap_or_default());
    say_origin(row.origin, node, &mut object);
    if let Some(peer) = row.peer {
        display(peer, object.key("peer"));
    }
    object.text("state", row.state);
    for (name, ms) in [
        ("age_ms", row.age_ms),
        ("heard_ms", row.heard_ms),
        ("spoke_ms", row.spoke_ms),
        ("survived_ms", row.survived_ms),
        ("ping_ms", row.ping_ms),
        ("queue_bytes", row.queue_bytes as u64),
    ] {
        say_number(name, ms, &mut object);
    }
    say_traffic([row.messages_in, row.messages_out], &row.vitals, &mut object);
    array(&row.channels, object.key("channels"), |channel, out| string(channel.as_str(), out));
    say_number("channel_count", row.channel_count as u64, &mut object);
    object.close();
}

fn say_ended(ended: &Ended, node: &Node, out: &mut BytesMut) {
    let now = node.now();
    let mut object = Object::open(out);
    object.text("verdict", ended.verdict.label());
    say_number("code", ended.code, &mut object);
    object.text("reason", &ended.reason);
    say_number("ended_at", ended.ended_unix_ms, &mut object);
    say_number("ended_ms", now.ms_since(ended.ended), &mut object);
    display(ended.client, object.key("client"));
    if let Some(user) = &ended.user {
        string(user, object.key("user"));
    }
    object.text("transport", ended.kind);
    say_origin(ended.origin, node, &mut object);
    for (name, ms) in [
        ("age_ms", ended.age_ms()),
        ("heard_ms", ended.ended.ms_since(ended.heard)),
        ("spoke_ms", ended.ended.ms_since(ended.spoke)),
        ("quiet_ms", ended.quiet_ms),
        ("survived_ms", ended.survived_ms),
    ] {
        say_number(name, ms, &mut object);
    }
    say_traffic([ended.messages_in, ended.messages_out], &ended.vitals, &mut object);
    object.close();
}

fn say_origin(origin: Origin, node: &Node, object: &mut Object<'_>) {
    if let Some(name) = node.listener_name(origin.listener) {
        object.text("listener", &name);
    }
    if let Some(network) = origin.network {
        display(network, object.key("network"));
    }
}

fn say_traffic([messages_in, messages_out]: [u32; 2], vitals: &Vitals, object: &mut Object<'_>) {
    say_number("messages_in", messages_in, object);
    say_number("messages_out", messages_out, object);
    if let Some((bytes_in, bytes_out)) = vitals.bytes {
        say_number("bytes_in", bytes_in, object);
        say_number("bytes_out", bytes_out, object);
    }
    let Some(path) = vitals.path else { return };
    let mut tcp = Object::open(object.key("tcp"));
    for (name, value) in [
        ("rtt_us", path.rtt_us),
        ("rtt_variation_us", path.rtt_variation_us),
        ("unacknowledged", path.unacknowledged),
        ("unanswered", path.unanswered),
        ("retransmits", path.retransmits),
        ("congestion_window", path.congestion_window),
        ("not_sent_bytes", path.not_sent_bytes),
        ("acknowledged_ms", path.acknowledged_ago_ms),
    ] {
        say_number(name, value, &mut tcp);
    }
    tcp.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_be_asked_is_named_with_the_mend() {
        for (text, mend) in [
            (r#"{"transport":"pigeon"}"#, "websocket"),
            (r#"{"verdict":"idle_kill"}"#, "\"ended\":true"),
            (r#"{"ended":true,"verdict":"murder"}"#, "idle_kill"),
            (r#"{"ended":true,"channel":"news"}"#, "leave channel out"),
            (r#"{"network":"home"}"#, "address"),
            (r#"{"client":"me"}"#, "no client's id"),
        ] {
            let Err(Failure::Error(error)) = filter(&params(text)) else { panic!("{text}") };
            assert!(error.message.contains(mend), "{text}: {}", error.message);
        }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        assert_eq!(parse_cursor(&cursor_text(&[1, u64::MAX])).unwrap(), [1, u64::MAX]);
        assert!(parse_cursor("1.x").is_err() && parse_cursor("").is_err());
    }
}
