//! `presence`, `presence_stats`, `history`, `history_remove` and `channels`: what a channel holds.

use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use wharf_core::{
    broker::{HistoryFilter, HistoryPage},
    hub::glob::Glob,
};
use wharf_proto::{
    dialect::centrifuge_json::shape,
    json::{Object, number, string},
    message::{ClientInfo, ErrorReply, HistoryResult},
};

use super::{Failure, Outcome, channel, nothing};
use crate::node::Node;

/// The most channels in one answer. LIMITS.md, `api_channels`.
const CHANNELS: usize = 100_000;

#[derive(Deserialize)]
pub struct ChannelParams {
    #[serde(default)]
    channel: String,
}

#[derive(Deserialize)]
pub struct HistoryParams {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    limit: i32,
    since: Option<Since>,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    epoch: String,
}

#[derive(Deserialize)]
pub struct ChannelsParams {
    #[serde(default)]
    pattern: String,
}

/// Who is there: `{"presence":{CLIENT:{"user":..,"client":..}}}`.
pub async fn presence(params: ChannelParams, node: &Node) -> Outcome {
    let (channel, options) = channel(&params.channel, node)?;
    if !options.presence {
        return Err(ErrorReply::NOT_AVAILABLE.into());
    }
    let entries = node.engine.presence(&channel, node.now()).outcome().await?;
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    let mut members = Object::open(object.key("presence"));
    for info in &entries {
        client_info(info, members.escaped_key(&info.client.to_string()));
    }
    members.close();
    object.close();
    Ok(out)
}

/// As in the client protocol, but that an anonymous user is said too: API clients ask for the field.
fn client_info(info: &Arc<ClientInfo>, out: &mut BytesMut) {
    let mut object = Object::open(out);
    string(&info.user, object.key("user"));
    object.text("client", &info.client.to_string());
    for (name, json) in [("conn_info", &info.conn_info), ("chan_info", &info.chan_info)] {
        if let Some(json) = json.as_ref().filter(|json| !json.is_empty()) {
            object.raw(name, json);
        }
    }
    object.close();
}

/// How many are there.
pub async fn presence_stats(params: ChannelParams, node: &Node) -> Outcome {
    let (channel, options) = channel(&params.channel, node)?;
    if !options.presence {
        return Err(ErrorReply::NOT_AVAILABLE.into());
    }
    let stats = node.engine.presence_stats(&channel, node.now()).outcome().await?;
    let mut out = BytesMut::new();
    shape::presence_stats(&stats, &mut out);
    Ok(out)
}

/// What was said.
pub async fn history(params: HistoryParams, node: &Node) -> Outcome {
    let (channel, options) = channel(&params.channel, node)?;
    if !options.history.keeps_history() {
        return Err(ErrorReply::NOT_AVAILABLE.into());
    }
    let filter = filter(&params, node.settings.limits.history_answer)?;
    let pending =
        node.with_context(|context| node.engine.history(&channel, filter, options.history, context));
    let HistoryPage { publications, position } = pending.outcome().await?;
    let epoch = params.since.as_ref().map_or("", |since| &since.epoch);
    if !epoch.is_empty() && epoch != position.epoch.as_str() {
        return Err(ErrorReply::UNRECOVERABLE_POSITION.into());
    }
    let mut out = BytesMut::new();
    shape::history(&HistoryResult { publications, position }, &mut out)?;
    Ok(out)
}

/// Centrifuge protocol section 4.3: 0 is the position alone, negative as much as the server gives.
fn filter(params: &HistoryParams, most: usize) -> Result<HistoryFilter, Failure> {
    let since_offset = params.since.as_ref().map(|since| since.offset);
    if params.reverse && since_offset == Some(0) {
        let message = "nothing is before offset 0; leave since out to read from the newest";
        return Err(ErrorReply::BAD_REQUEST.with_message(message).into());
    }
    let limit = usize::try_from(params.limit).map_or(most, |limit| limit.min(most));
    Ok(HistoryFilter { limit, since_offset, reverse: params.reverse })
}

/// Forgets what was said.
pub async fn history_remove(params: ChannelParams, node: &Node) -> Outcome {
    let (channel, options) = channel(&params.channel, node)?;
    if !options.history.keeps_history() {
        return Err(ErrorReply::NOT_AVAILABLE.into());
    }
    node.engine.history_remove(&channel).outcome().await?;
    Ok(nothing())
}

/// Which channels have members: `{"channels":{NAME:{"num_clients":N}}}`.
pub fn channels(params: ChannelsParams, node: &Node) -> Outcome {
    let glob = match params.pattern.as_str() {
        "" => None,
        pattern => Some(
            Glob::parse(pattern).map_err(|error| ErrorReply::BAD_REQUEST.with_message(error.to_string()))?,
        ),
    };
    let found = node.directory.channels(glob.as_ref(), CHANNELS);
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    let mut list = Object::open(object.key("channels"));
    for (channel, members) in &found {
        let mut entry = Object::open(list.escaped_key(channel.as_str()));
        // A slab holds fewer connections than an i128 counts.
        number(*members as i128, entry.key("num_clients"));
        entry.close();
    }
    list.close();
    object.close();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> HistoryParams {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_negative_limit_is_all_that_the_server_gives() {
        assert_eq!(filter(&params(r#"{"limit":-1}"#), 300).unwrap().limit, 300);
        assert_eq!(filter(&params(r#"{"limit":1000}"#), 300).unwrap().limit, 300);
        assert_eq!(filter(&params(r#"{"limit":7}"#), 300).unwrap().limit, 7);
        assert_eq!(filter(&params("{}"), 300).unwrap().limit, 0);
    }

    #[test]
    fn nothing_is_before_the_first_publication() {
        assert!(filter(&params(r#"{"reverse":true,"since":{"offset":0}}"#), 300).is_err());
        assert!(filter(&params(r#"{"reverse":true}"#), 300).is_ok());
    }
}
