//! The server API: what a backend asks, in the words of Centrifugo's HTTP API, so that its clients work.

mod batch;
mod channels;
mod clients;
mod connections;
mod devices;
mod node;
mod paths;
mod publish;

use bytes::{BufMut, BytesMut};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use wharf_core::{broker::BrokerError, namespace::ChannelOptions};
use wharf_proto::{
    json::Object,
    message::{Channel, ErrorReply},
    wire::Inexpressible,
};

use super::{
    Context,
    answer::{self, Answer},
    body::Body,
    long_lived,
};
use crate::node::Node;

/// The most commands of one `batch` and lines of one old-style request, and the most channels of one
/// `broadcast`. LIMITS.md, `api_batch`.
const BATCH: usize = 10_000;
/// After so many commands of a batch the worker's other tasks have a turn. LIMITS.md, `api_batch_turn`.
const BATCH_TURN: usize = 64;

/// What a call came to: the JSON of its result.
type Outcome = Result<BytesMut, Failure>;

/// Why a call failed.
#[derive(Debug)]
enum Failure {
    /// The parameters cannot be read: HTTP 400, for the whole request.
    Undecodable(String),
    /// An error of the protocol: HTTP 200, unless the caller wishes statuses.
    Error(ErrorReply),
}

impl From<ErrorReply> for Failure {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let reply = match error {
            BrokerError::Full { .. } => ErrorReply::LIMIT_EXCEEDED,
            BrokerError::Unavailable(_) => ErrorReply::INTERNAL,
        };
        Self::Error(reply.with_message(error.to_string()))
    }
}

impl From<Inexpressible> for Failure {
    fn from(error: Inexpressible) -> Self {
        Self::Error(ErrorReply::NOT_AVAILABLE.with_message(error.to_string()))
    }
}

/// Whether the server API is at this path.
pub fn is_at(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers `POST /api/METHOD`, or the old form `POST /api`, where no method is named.
pub async fn answer(head: &Parts, body: Body<'_>, context: &Context) -> Answer {
    let method = head.uri.path().strip_prefix("/api").unwrap_or_default().trim_matches('/');
    if let Err(answer) = authorize(head, &context.node) {
        return *answer;
    }
    let body = match body.read(context.node.settings.limits.api_body_bytes).await {
        Ok(body) => body,
        Err(error) => return error.answer(),
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        return answer::error(400, "the body is not UTF-8; send JSON");
    };
    if method.is_empty() {
        return batch::lines(text, context).await;
    }
    let by_status = head.headers.get("x-centrifugo-error-mode").is_some_and(|mode| mode == "transport");
    match method {
        // Centrifugo's batch answers with its replies themselves, not with a result that holds them.
        "batch" => match batch::batch(text, context).await {
            Ok(replies) => answer::json(200, replies),
            failed => say(failed, by_status, method),
        },
        _ => say(call(method, text, context).await, by_status, method),
    }
}

/// Carries out one method, but not `batch`, which is made of others.
async fn call(method: &str, params: &str, context: &Context) -> Outcome {
    let node = &*context.node;
    match method {
        "publish" => publish::publish(read(params)?, node).await,
        "broadcast" => publish::broadcast(read(params)?, node).await,
        "unsubscribe" => clients::unsubscribe(read(params)?, node),
        "disconnect" => clients::disconnect(read(params)?, node),
        "presence" => channels::presence(read(params)?, node).await,
        "presence_stats" => channels::presence_stats(read(params)?, node).await,
        "history" => channels::history(read(params)?, node).await,
        "history_remove" => channels::history_remove(read(params)?, node).await,
        "channels" => channels::channels(read(params)?, node),
        "connections" => connections::connections(read(params)?, node).await,
        "device_request" => devices::request(read(params)?, node).await,
        "info" => node::info(node),
        "paths" => Ok(paths::paths(node)),
        "subscribe" | "refresh" | "rpc" => Err(ErrorReply::NOT_AVAILABLE.into()),
        _ => Err(ErrorReply::METHOD_NOT_FOUND.into()),
    }
}

/// Any of the keys will do; development mode, which serves this machine only, asks for none.
fn authorize(head: &Parts, node: &Node) -> Result<(), Box<Answer>> {
    let settings = &node.settings;
    if settings.development {
        return Ok(());
    }
    let given = given_key(head);
    let known = given.as_deref().is_some_and(|given| {
        // Every key is compared, each in constant time, so that time tells nothing (row 88).
        let same = settings.api_keys.iter().map(|key| key.as_bytes().ct_eq(given.as_bytes()));
        same.fold(subtle::Choice::from(0), |any, same| any | same).into()
    });
    if known {
        return Ok(());
    }
    let message = match (settings.api_keys.is_empty(), given) {
        (true, _) => "the server API is closed: configure api_keys",
        (false, None) => "the API key is missing; send it in the header X-API-Key",
        (false, Some(_)) => "the API key is not one that is configured",
    };
    let mut answer = answer::error(401, message);
    // RFC 9110 section 15.5.2: a 401 says how to authenticate.
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("apikey"));
    Err(Box::new(answer))
}

fn given_key(head: &Parts) -> Option<String> {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(key) = text("x-api-key") {
        return Some(key.to_owned());
    }
    // RFC 9110 section 11.1: the scheme is case-insensitive.
    let authorized = text("authorization").and_then(|value| value.split_once(' '));
    match authorized {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("apikey") => Some(key.trim().to_owned()),
        _ => long_lived::parameter(head, "api_key"),
    }
}

/// Reads parameters. Row 69: what is nested too deep, doubled or no JSON is the caller's mistake.
fn read<'a, T: Deserialize<'a>>(params: &'a str) -> Result<T, Failure> {
    let params = if params.trim_ascii().is_empty() { "{}" } else { params };
    serde_json::from_str(params).map_err(|error| Failure::Undecodable(error.to_string()))
}

fn say(outcome: Outcome, by_status: bool, method: &str) -> Answer {
    match outcome {
        Ok(result) => {
            let mut out = BytesMut::with_capacity(result.len() + 12);
            result_member(&result, &mut out);
            answer::json(200, out)
        }
        Err(Failure::Undecodable(cause)) => {
            answer::coded_error(400, 107, &format!("the body is not what {method} takes: {cause}"))
        }
        Err(Failure::Error(error)) if by_status => {
            let mut out = BytesMut::new();
            error_object(&error, &mut out);
            let mut answer = answer::json(200, out);
            *answer.status_mut() = status(&error);
            answer
        }
        Err(Failure::Error(error)) => {
            let mut out = BytesMut::new();
            error_member(&error, &mut out);
            let mut answer = answer::json(200, out);
            if error.code == ErrorReply::METHOD_NOT_FOUND.code {
                *answer.status_mut() = StatusCode::NOT_FOUND;
            }
            answer
        }
    }
}

/// Centrifugo's API, transport error mode.
fn status(error: &ErrorReply) -> StatusCode {
    match error.code {
        102 | 104 => StatusCode::NOT_FOUND,
        106 | 111 => StatusCode::TOO_MANY_REQUESTS,
        107 | 108 => StatusCode::BAD_REQUEST,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        // The codes of `device_request`.
        404 => StatusCode::NOT_FOUND,
        504 => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Appends `{"result":..}`.
fn result_member(result: &[u8], out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.raw("result", result);
    object.close();
}

/// Appends `{"error":{..}}`.
fn error_member(error: &ErrorReply, out: &mut BytesMut) {
    let mut object = Object::open(out);
    error_object(error, object.key("error"));
    object.close();
}

fn error_object(error: &ErrorReply, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.number("code", error.code);
    object.text("message", &error.message);
    object.close();
}

/// The result of a method that has nothing to say.
fn nothing() -> BytesMut {
    BytesMut::from(&b"{}"[..])
}

/// Appends the elements, each written by `write`, as an array.
fn array<T>(
    elements: impl IntoIterator<Item = T>,
    out: &mut BytesMut,
    mut write: impl FnMut(T, &mut BytesMut),
) {
    out.put_u8(b'[');
    for (at, element) in elements.into_iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        write(element, out);
    }
    out.put_u8(b']');
}

/// A channel that may be asked about, and what it is like.
fn channel<'n>(name: &str, node: &'n Node) -> Result<(Channel, &'n ChannelOptions), Failure> {
    let channel =
        Channel::parse(name).map_err(|error| ErrorReply::BAD_REQUEST.with_message(error.to_string()))?;
    let options = node.settings.namespaces.options(&channel).ok_or(ErrorReply::UNKNOWN_CHANNEL)?;
    Ok((channel, options))
}
