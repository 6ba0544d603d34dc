//! Several commands in one request: `batch`, and the old form of the API. They are carried out in their order,
//! also where `parallel` is wished, for the engine's answers come at once.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use wharf_proto::{json::Object, message::ErrorReply};

use super::{BATCH, BATCH_TURN, Failure, Outcome, array, call, error_member, read, result_member};
use crate::http::{
    Context,
    answer::{self, Answer},
};

#[derive(Deserialize)]
struct BatchParams<'a> {
    /// Each with one member, whose name is the method.
    #[serde(borrow, default)]
    commands: Vec<BTreeMap<String, &'a RawValue>>,
    #[serde(default, rename = "parallel")]
    _parallel: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// `{"replies":[{METHOD:{..}},{"error":{..}},..]}`, in the commands' order.
pub async fn batch(params: &str, context: &Context) -> Outcome {
    let BatchParams { commands, .. } = read(params)?;
    if commands.len() > BATCH {
        return Err(ErrorReply::LIMIT_EXCEEDED.with_message(too_many()).into());
    }
    let mut replies = Vec::with_capacity(commands.len());
    for (at, command) in commands.iter().enumerate() {
        let mut members = command.iter();
        let (Some((method, params)), None) = (members.next(), members.next()) else {
            return Err(Failure::Undecodable("each command has one member, its method".to_owned()));
        };
        take_turns(at).await;
        match call(method, params.get(), context).await {
            Err(undecodable @ Failure::Undecodable(_)) => return Err(undecodable),
            Err(Failure::Error(error)) => replies.push((method, Err(error))),
            Ok(result) => replies.push((method, Ok(result))),
        }
    }
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    array(replies, object.key("replies"), |(method, reply), out| match reply {
        Ok(result) => {
            let mut entry = Object::open(out);
            entry.escaped_key(method).put_slice(&result);
            entry.close();
        }
        Err(error) => error_member(&error, out),
    });
    object.close();
    Ok(out)
}

/// The old form: one `{"method":..,"params":..}` a line, and one answer a line.
pub async fn lines(text: &str, context: &Context) -> Answer {
    let mut out = BytesMut::new();
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    for (at, line) in lines.enumerate() {
        if at == BATCH {
            return answer::coded_error(413, ErrorReply::LIMIT_EXCEEDED.code, &too_many());
        }
        let outcome = match read::<Line<'_>>(line) {
            Ok(Line { method, params }) => {
                take_turns(at).await;
                call(&method, params.map_or("{}", RawValue::get), context).await
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(result) => result_member(&result, &mut out),
            Err(Failure::Error(error)) => error_member(&error, &mut out),
            Err(Failure::Undecodable(cause)) => {
                return answer::coded_error(400, 107, &format!("line {}: {cause}", at + 1));
            }
        }
        out.put_u8(b'\n');
    }
    if out.is_empty() {
        return answer::error(
            400,
            "the body is empty; send {\"method\":..,\"params\":{..}}, or use /api/METHOD",
        );
    }
    answer::json(200, out)
}

fn too_many() -> String {
    format!("more than {BATCH} commands; send several requests")
}

/// Lets the worker's other tasks run after some commands.
async fn take_turns(done: usize) {
    if done % BATCH_TURN == BATCH_TURN - 1 {
        tokio::task::yield_now().await;
    }
}
