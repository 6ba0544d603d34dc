//! `presence`, `presence_stats`, `history`, `history_remove` and `channels`: what a channel holds.

use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use wharf_core::{
    broker::HistoryPage,
    hub::glob::Glob,
    session::{check_epoch, history_filter},
};
use wharf_proto::{
    dialect::centrifuge_json::shape,
    json::{Object, number, string},
    message::{ClientInfo, ErrorReply, HistoryRequest, HistoryResult},
};

use super::{Outcome, channel, nothing};
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

impl HistoryParams {
    /// The same in the words of a client's command, whose rules hold here too.
    fn request(self) -> HistoryRequest {
        let since = self.since.map(|since| (since.offset, since.epoch.into()));
        HistoryRequest { channel: self.channel.into(), limit: self.limit, since, reverse: self.reverse }
    }
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
    let request = params.request();
    let filter = history_filter(&request, node.settings.limits.history_answer)?;
    let pending =
        node.with_context(|context| node.engine.history(&channel, filter, options.history, context));
    let page = pending.outcome().await?;
    check_epoch(&request, &page)?;
    let HistoryPage { publications, position } = page;
    let mut out = BytesMut::new();
    shape::history(&HistoryResult { publications, position }, &mut out)?;
    Ok(out)
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
        assert_eq!(history_filter(&params(r#"{"limit":-1}"#).request(), 300).unwrap().limit, 300);
        assert_eq!(history_filter(&params(r#"{"limit":1000}"#).request(), 300).unwrap().limit, 300);
        assert_eq!(history_filter(&params(r#"{"limit":7}"#).request(), 300).unwrap().limit, 7);
        assert_eq!(history_filter(&params("{}").request(), 300).unwrap().limit, 0);
    }

    #[test]
    fn nothing_is_before_the_first_publication() {
        assert!(history_filter(&params(r#"{"reverse":true,"since":{"offset":0}}"#).request(), 300).is_err());
        assert!(history_filter(&params(r#"{"reverse":true}"#).request(), 300).is_ok());
    }
}
