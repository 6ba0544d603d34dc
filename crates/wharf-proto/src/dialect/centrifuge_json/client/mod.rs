//! The client's half of the protocol, for Wharf's own clients (the command line, the bench, tests): commands to
//! bytes here, and bytes to what the server said in [`answer`].

use bytes::{BufMut, BytesMut};

use super::{command_shape::FLAG_FAIL_UNRECOVERABLE, encode::PING, shape};
use crate::{
    json::Object,
    message::{Command, ConnectRequest, HistoryRequest, Request, SubscribeRequest, ping_wish::HEADER},
    wire::Inexpressible,
};

pub mod answer;
#[cfg(test)]
mod tests;

pub use answer::{ServerMessage, decode_frame};

/// Appends one command. [`Request::Unsupported`] has no form on the wire and is written as its number alone.
pub fn encode_command(command: &Command, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let start = out.len();
    let written = write_command(command, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_command(command: &Command, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    object.number("id", command.id);
    match &command.request {
        Request::Connect(request) => connect_request(request, object.key("connect"))?,
        Request::Subscribe(request) => subscribe_request(request, object.key("subscribe")),
        Request::Unsubscribe { channel } => channel_request(channel, object.key("unsubscribe")),
        Request::Publish { channel, data } => {
            let mut publish = Object::open(object.key("publish"));
            publish.text("channel", channel);
            shape::payload(&mut publish, data)?;
            publish.close();
        }
        Request::Presence { channel } => channel_request(channel, object.key("presence")),
        Request::PresenceStats { channel } => channel_request(channel, object.key("presence_stats")),
        Request::History(request) => history_request(request, object.key("history")),
        Request::Rpc { method, data } => {
            let mut rpc = Object::open(object.key("rpc"));
            shape::payload(&mut rpc, data)?;
            rpc.text("method", method);
            rpc.close();
        }
        Request::Send { data } => {
            let mut send = Object::open(object.key("send"));
            shape::payload(&mut send, data)?;
            send.close();
        }
        Request::Refresh { token } => {
            let mut refresh = Object::open(object.key("refresh"));
            refresh.text("token", token);
            refresh.close();
        }
        Request::SubRefresh { channel, token } => {
            let mut refresh = Object::open(object.key("sub_refresh"));
            refresh.text("channel", channel);
            refresh.text("token", token);
            refresh.close();
        }
        // Devices say these, each in words of its own.
        Request::Heartbeat | Request::Answer { .. } => {}
        Request::Pong | Request::Unsupported => {}
    }
    object.close();
    Ok(())
}

/// Appends a bare connect request, as one-way endpoints take it.
pub fn connect_request(request: &ConnectRequest, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    object.text("token", &request.token);
    if let Some(data) = &request.data {
        shape::payload(&mut object, data)?;
    }
    if !request.subs.is_empty() {
        let mut subs = Object::open(object.key("subs"));
        for sub in &request.subs {
            let unnamed = SubscribeRequest { channel: "".into(), ..sub.clone() };
            subscribe_request(&unnamed, subs.escaped_key(&sub.channel));
        }
        subs.close();
    }
    object.text("name", &request.name);
    object.text("version", &request.version);
    if let Some(wish) = request.ping {
        let mut headers = Object::open(object.key("headers"));
        headers.text(HEADER, &wish.to_string());
        headers.close();
    }
    object.close();
    Ok(())
}

fn subscribe_request(request: &SubscribeRequest, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.text("channel", &request.channel);
    object.text("token", &request.token);
    object.flag("recover", request.recover);
    object.text("epoch", &request.epoch);
    object.number("offset", request.offset);
    object.flag("positioned", request.positioned);
    object.flag("recoverable", request.recoverable);
    object.flag("join_leave", request.join_leave);
    if request.fail_unrecoverable {
        object.number("flag", FLAG_FAIL_UNRECOVERABLE);
    }
    object.number("type", u8::from(request.unsupported));
    object.close();
}

fn channel_request(channel: &str, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.text("channel", channel);
    object.close();
}

fn history_request(request: &HistoryRequest, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.text("channel", &request.channel);
    object.number("limit", request.limit);
    if let Some((offset, epoch)) = &request.since {
        let mut since = Object::open(object.key("since"));
        since.number("offset", *offset);
        since.text("epoch", epoch);
        since.close();
    }
    object.flag("reverse", request.reverse);
    object.close();
}

/// Appends the answer to a ping.
pub fn encode_pong(out: &mut BytesMut) {
    out.put_slice(PING);
}
