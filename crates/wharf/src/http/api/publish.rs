//! `publish` and `broadcast`.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;
use wharf_core::{
    broker::{HistoryPolicy, PublishRequest, Published},
    memory::IDEMPOTENCY_KEY_BYTES,
};
use wharf_proto::{
    dialect::centrifuge_json::payload,
    json::Object,
    message::{Data, ErrorReply, Tags},
};

use super::{BATCH, BATCH_TURN, Failure, Outcome, array, channel, error_member, result_member};
use crate::node::Node;

/// One channel and what is published there. `flatten` cannot pass raw JSON on, so the fields of the content stand
/// in both shapes.
#[derive(Deserialize)]
pub struct PublishParams<'a> {
    #[serde(default)]
    channel: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    skip_history: bool,
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    idempotency_key: String,
}

/// The same for several channels.
#[derive(Deserialize)]
pub struct BroadcastParams<'a> {
    #[serde(default)]
    channels: Vec<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    skip_history: bool,
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    idempotency_key: String,
}

/// What is published, checked.
struct Content {
    data: Data,
    skip_history: bool,
    tags: Tags,
    idempotency_key: Option<Box<str>>,
}

/// Publishes in one channel: `{"offset":N,"epoch":".."}` where it keeps history.
pub async fn publish(params: PublishParams<'_>, node: &Node) -> Outcome {
    let PublishParams { channel, data, b64data, skip_history, tags, idempotency_key } = params;
    let content = content(data, b64data, skip_history, tags, idempotency_key)?;
    publish_in(&channel, &content, node).await
}

/// Publishes the same in each channel: `{"responses":[..]}`, a result or an error for each, in their order.
pub async fn broadcast(params: BroadcastParams<'_>, node: &Node) -> Outcome {
    let BroadcastParams { channels, data, b64data, skip_history, tags, idempotency_key } = params;
    if channels.is_empty() {
        return Err(ErrorReply::BAD_REQUEST.with_message("channels are missing").into());
    }
    if channels.len() > BATCH {
        let message = format!("more than {BATCH} channels; send several broadcasts");
        return Err(ErrorReply::LIMIT_EXCEEDED.with_message(message).into());
    }
    let content = content(data, b64data, skip_history, tags, idempotency_key)?;
    let mut outcomes = Vec::with_capacity(channels.len());
    for (at, name) in channels.iter().enumerate() {
        if at % BATCH_TURN == BATCH_TURN - 1 {
            tokio::task::yield_now().await;
        }
        outcomes.push(publish_in(name, &content, node).await);
    }
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    array(outcomes, object.key("responses"), |outcome, out| match outcome {
        Ok(result) => result_member(&result, out),
        Err(Failure::Error(error)) => error_member(&error, out),
        // The content was read before; a channel's name is only ever refused with an error.
        Err(Failure::Undecodable(cause)) => {
            error_member(&ErrorReply::BAD_REQUEST.with_message(cause), out);
        }
    });
    object.close();
    Ok(out)
}

fn content(
    data: Option<&RawValue>,
    b64data: Option<String>,
    skip_history: bool,
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: String,
) -> Result<Content, Failure> {
    let data = match (data, b64data.filter(|text| !text.is_empty())) {
        (None, None) => {
            let message = "data is missing; send JSON as data, or base64 of binary as b64data";
            return Err(ErrorReply::BAD_REQUEST.with_message(message).into());
        }
        (_, Some(text)) => {
            let bytes = BASE64_STANDARD.decode(text).map_err(|error| bad(format!("b64data: {error}")))?;
            Data::Binary(bytes.into())
        }
        // Row 69: the same check that clients' payloads pass.
        (Some(json), None) => {
            Data::Json(payload::from_raw(json).map_err(|error| Failure::Undecodable(error.to_string()))?)
        }
    };
    if idempotency_key.len() > IDEMPOTENCY_KEY_BYTES {
        return Err(bad(format!(
            "idempotency_key is longer than {IDEMPOTENCY_KEY_BYTES} bytes; send a shorter one"
        )));
    }
    let pair = |(name, value): (String, String)| (name.into(), value.into());
    let tags = tags.filter(|tags| !tags.is_empty());
    Ok(Content {
        data,
        skip_history,
        tags: tags.map(|tags| Arc::new(tags.into_iter().map(pair).collect())),
        idempotency_key: Some(idempotency_key).filter(|key| !key.is_empty()).map(Into::into),
    })
}

fn bad(message: String) -> Failure {
    ErrorReply::BAD_REQUEST.with_message(message).into()
}

async fn publish_in(name: &str, content: &Content, node: &Node) -> Outcome {
    let (channel, options) = channel(name, node)?;
    let request = PublishRequest {
        data: content.data.clone(),
        info: None,
        tags: content.tags.clone(),
        // Row 95.
        idempotency_key: content.idempotency_key.clone(),
        history: if content.skip_history {
            HistoryPolicy { size: 0, ..options.history }
        } else {
            options.history
        },
    };
    let pending = node.with_context(|context| node.engine.publish(&channel, request, context));
    let published = pending.outcome().await?;
    node.metrics.api_publications.bump();
    Ok(result(published))
}

/// Room for an offset and an epoch.
const RESULT_BYTES: usize = 64;

fn result(published: Published) -> BytesMut {
    let mut out = BytesMut::with_capacity(RESULT_BYTES);
    let mut object = Object::open(&mut out);
    if let Some(position) = published.position {
        object.number("offset", position.offset);
        object.text("epoch", position.epoch.as_str());
    }
    object.close();
    out
}
