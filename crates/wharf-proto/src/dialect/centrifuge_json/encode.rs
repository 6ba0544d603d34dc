//! From replies and pushes to bytes: the envelopes of the bidirectional protocol and, bare, of the one-way
//! protocol. What stands inside is in [`super::shape`].

use bytes::{BufMut, BytesMut};

use super::shape;
use crate::{
    Disconnect,
    json::{Object, display},
    message::{Broadcast, BroadcastBody, ConnectResult, Data, Push, Reply, ReplyBody, SubscribeResult},
    wire::Inexpressible,
};

/// How a push is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{"push":{..}}`: on a connection that carries replies too.
    Reply,
    /// `{..}`: where the server only ever pushes.
    Bare,
}

/// Centrifuge protocol, ping: the empty reply, or the empty push.
pub const PING: &[u8] = b"{}";

/// Appends a reply.
pub fn reply(reply: &Reply, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    object.number("id", reply.id);
    match &reply.result {
        Ok(body) => reply_body(body, &mut object)?,
        Err(error) => shape::error(error, object.key("error")),
    }
    object.close();
    Ok(())
}

fn reply_body(body: &ReplyBody, reply: &mut Object<'_>) -> Result<(), Inexpressible> {
    match body {
        ReplyBody::Connect(result) => connect_result(result, reply.key("connect"))?,
        ReplyBody::Subscribe(result) => shape::subscribe_result(result, reply.key("subscribe"))?,
        ReplyBody::Unsubscribe => reply.raw("unsubscribe", b"{}"),
        ReplyBody::Publish => reply.raw("publish", b"{}"),
        ReplyBody::Presence(entries) => shape::presence_result(entries, reply.key("presence")),
        ReplyBody::PresenceStats(stats) => shape::presence_stats(stats, reply.key("presence_stats")),
        ReplyBody::History(history) => shape::history(history, reply.key("history"))?,
        ReplyBody::Rpc(data) => data_object(data, reply.key("rpc"))?,
        ReplyBody::Refresh => reply.raw("refresh", b"{}"),
        ReplyBody::SubRefresh => reply.raw("sub_refresh", b"{}"),
        // Only devices send what this answers.
        ReplyBody::Heartbeat => return Err(Inexpressible),
    }
    Ok(())
}

/// Appends what a client learns when it is connected. A reply and the one-way connect push share it.
pub fn connect_result(result: &ConnectResult, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    display(result.client, object.key("client"));
    object.text("version", &result.version);
    if !result.subs.is_empty() {
        let mut subs = Object::open(object.key("subs"));
        for (channel, result) in &result.subs {
            shape::subscribe_result(result, subs.escaped_key(channel.as_str()))?;
        }
        subs.close();
    }
    object.number("ping", result.ping_s);
    object.flag("pong", result.pong);
    object.text("session", &result.session);
    object.text("node", &result.node);
    object.close();
    Ok(())
}

/// Appends a push.
pub fn push(push: &Push, envelope: Envelope, out: &mut BytesMut) -> Result<(), Inexpressible> {
    match push {
        Push::Broadcast(said) => broadcast(said, envelope, out),
        Push::Subscribe { channel, result } => subscribed(channel.as_str(), result, envelope, out),
        Push::Unsubscribe { channel, code, reason } => wrap(envelope, out, |push| {
            push.text("channel", channel.as_str());
            code_and_reason(*code, reason, push.key("unsubscribe"));
            Ok(())
        }),
        Push::Message { data } => wrap(envelope, out, |push| data_object(data, push.key("message"))),
        // A client of this protocol has no word to answer with, and is not asked.
        Push::Ask { .. } => Err(Inexpressible),
        Push::Disconnect(disconnect) => {
            self::disconnect(disconnect, envelope, out);
            Ok(())
        }
        Push::Ping => {
            out.put_slice(PING);
            Ok(())
        }
    }
}

/// Appends what is said to all members of a channel.
pub fn broadcast(broadcast: &Broadcast, envelope: Envelope, out: &mut BytesMut) -> Result<(), Inexpressible> {
    wrap(envelope, out, |push| {
        push.text("channel", broadcast.channel.as_str());
        match &broadcast.body {
            BroadcastBody::Publication { publication, .. } => {
                shape::publication(publication, push.key("pub"))?
            }
            BroadcastBody::Join(info) => {
                let mut join = Object::open(push.key("join"));
                shape::client_info(info, join.key("info"));
                join.close();
            }
            BroadcastBody::Leave(info) => {
                let mut leave = Object::open(push.key("leave"));
                shape::client_info(info, leave.key("info"));
                leave.close();
            }
        }
        Ok(())
    })
}

/// A subscribe push has no place for what was missed (Centrifuge protocol, messages): the publications follow
/// it in the same frame, each as a push of its own, and carry the client from the stated position on.
fn subscribed(
    channel: &str,
    result: &SubscribeResult,
    envelope: Envelope,
    out: &mut BytesMut,
) -> Result<(), Inexpressible> {
    wrap(envelope, out, |push| {
        push.text("channel", channel);
        let mut object = Object::open(push.key("subscribe"));
        object.flag("recoverable", result.recoverable);
        if let Some(position) = &result.position {
            object.text("epoch", position.epoch.as_str());
            object.number("offset", position.offset);
        }
        object.flag("positioned", result.positioned);
        object.close();
        Ok(())
    })?;
    for publication in &result.publications {
        out.put_u8(b'\n');
        wrap(envelope, out, |push| {
            push.text("channel", channel);
            shape::publication(publication, push.key("pub"))
        })?;
    }
    Ok(())
}

fn disconnect(disconnect: &Disconnect, envelope: Envelope, out: &mut BytesMut) {
    let _infallible = wrap(envelope, out, |push| {
        code_and_reason(disconnect.code.into(), &disconnect.reason, push.key("disconnect"));
        Ok(())
    });
}

fn code_and_reason(code: u32, reason: &str, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.number("code", code);
    object.text("reason", reason);
    object.close();
}

fn data_object(data: &Data, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    shape::payload(&mut object, data)?;
    object.close();
    Ok(())
}

fn wrap(
    envelope: Envelope,
    out: &mut BytesMut,
    write: impl FnOnce(&mut Object<'_>) -> Result<(), Inexpressible>,
) -> Result<(), Inexpressible> {
    if envelope == Envelope::Reply {
        out.put_slice(b"{\"push\":");
    }
    let mut push = Object::open(out);
    write(&mut push)?;
    push.close();
    if envelope == Envelope::Reply {
        out.put_u8(b'}');
    }
    Ok(())
}
