//! `device_request`: a question to a device, which answers in its own format.

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use wharf_proto::{
    dialect::centrifuge_json::payload,
    json::Object,
    message::{Data, ErrorReply},
};

use super::{Failure, Outcome};
use crate::{
    devices::{ASKS_A_NODE, Found, Place},
    node::Node,
    worker::{AskFailure, DeviceAsk, ToWorker},
};

/// How long an answer is waited for, unless the caller says otherwise, and at the most. LIMITS.md, `answer_ms`.
const ANSWER_MS: u64 = 5_000;
#[allow(missing_docs)]
const LONGEST_ANSWER_MS: u64 = 60_000;

/// Codes of this method's own: what they are in HTTP.
const NOT_CONNECTED: u32 = 404;
const NO_ANSWER: u32 = 504;

#[derive(Deserialize)]
pub struct RequestParams<'a> {
    #[serde(default)]
    device: String,
    /// Which listener's device, where several have one of this name.
    listener: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    timeout_ms: Option<u64>,
}

/// Asks one device: `{"data":..}` is what its profile reads of the answer.
pub async fn request(params: RequestParams<'_>, node: &Node) -> Outcome {
    let RequestParams { device, listener, data, timeout_ms } = params;
    let timeout_ms = timeout_ms.unwrap_or(ANSWER_MS);
    if !(1..=LONGEST_ANSWER_MS).contains(&timeout_ms) {
        return Err(bad(format!("timeout_ms is not between 1 and {LONGEST_ANSWER_MS}")));
    }
    let data = match data {
        None => Data::Json("null".into()),
        Some(json) => {
            Data::Json(payload::from_raw(json).map_err(|error| Failure::Undecodable(error.to_string()))?)
        }
    };
    let place = find(&device, listener.as_deref(), node)?;
    let Some(_slot) = node.devices.begin_ask() else {
        let message = format!("{ASKS_A_NODE} questions wait for devices already; ask again in a second");
        return Err(ErrorReply::TOO_MANY_REQUESTS.with_message(message).into());
    };
    let (answer, answered) = oneshot::channel();
    let ask = DeviceAsk { entry: place.entry, data, timeout_ms, answer };
    node.devices.asked.bump();
    if node.workers[usize::from(place.worker)].send(ToWorker::Ask(ask)).is_err() {
        let message = "a worker has too much to do; ask again in a second";
        return Err(ErrorReply::INTERNAL.with_message(message).into());
    }
    // A worker that drops the question has lost the device.
    match answered.await.unwrap_or(Err(AskFailure::Ended)) {
        Ok(data) => result(&data),
        Err(failure) => Err(refused(failure, &device, timeout_ms).into()),
    }
}

fn find(device: &str, listener: Option<&str>, node: &Node) -> Result<Place, Failure> {
    if device.is_empty() {
        return Err(bad("device is missing".to_owned()));
    }
    let index = match listener {
        None => None,
        Some(name) => {
            let at = node.settings.devices.iter().position(|listener| *listener.name == *name);
            Some(at.ok_or_else(|| bad(format!("no device listener is called {name:?}")))? as u16)
        }
    };
    match node.devices.registry.find(index, device) {
        Found::At(place) => Ok(place),
        Found::Nowhere => Err(not_connected(device).into()),
        Found::Several => {
            Err(bad(format!("devices of several listeners are called {device:?}; say which by listener")))
        }
    }
}

fn refused(failure: AskFailure, device: &str, timeout_ms: u64) -> ErrorReply {
    match failure {
        AskFailure::Ended => not_connected(device),
        AskFailure::NoWords(why) => ErrorReply::NOT_AVAILABLE
            .with_message(format!("the device's [device.request] has no words for this: {why}")),
        AskFailure::TooMany { at_once: 1 } => ErrorReply::TOO_MANY_REQUESTS.with_message(format!(
            "device {device:?} answers one question at a time, and may still answer the last; ask again in a few seconds"
        )),
        AskFailure::TooMany { at_once } => ErrorReply::TOO_MANY_REQUESTS.with_message(format!(
            "{at_once} questions wait for device {device:?} already, or ran out just now; ask again in a few seconds"
        )),
        AskFailure::TimedOut => ErrorReply {
            code: NO_ANSWER,
            message: format!("device {device:?} did not answer within {timeout_ms} ms").into(),
            temporary: true,
        },
    }
}

fn not_connected(device: &str) -> ErrorReply {
    ErrorReply {
        code: NOT_CONNECTED,
        message: format!("device {device:?} is not connected").into(),
        temporary: true,
    }
}

fn result(data: &Data) -> Outcome {
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    match data {
        Data::Json(json) => object.raw("data", json),
        Data::Binary(_) => return Err(wharf_proto::wire::Inexpressible.into()),
    }
    object.close();
    Ok(out)
}

fn bad(message: String) -> Failure {
    ErrorReply::BAD_REQUEST.with_message(message).into()
}
