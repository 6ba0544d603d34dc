//! The JSON shapes of the shared words. The server API answers in the same shapes as the client protocol.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::{
    json::{Object, display, number, string},
    message::{ClientInfo, Data, ErrorReply, HistoryResult, PresenceStats, Publication, SubscribeResult},
    wire::Inexpressible,
};

/// Appends a publication: `{"data":..,"info":{..},"offset":N,"tags":{..}}`.
pub fn publication(publication: &Publication, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    payload(&mut object, &publication.data)?;
    if let Some(info) = &publication.info {
        client_info(info, object.key("info"));
    }
    object.number("offset", publication.offset);
    if let Some(tags) = &publication.tags {
        let mut members = Object::open(object.key("tags"));
        for (name, value) in tags.iter() {
            string(value, members.escaped_key(name));
        }
        members.close();
    }
    object.close();
    Ok(())
}

/// Appends an array of publications.
pub fn publications(list: &[Arc<Publication>], out: &mut BytesMut) -> Result<(), Inexpressible> {
    out.put_u8(b'[');
    for (at, each) in list.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        publication(each, out)?;
    }
    out.put_u8(b']');
    Ok(())
}

/// Appends who it was: `{"user":"..","client":"..","conn_info":..,"chan_info":..}`.
pub fn client_info(info: &ClientInfo, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.text("user", &info.user);
    client_id(info, object.key("client"));
    for (name, json) in [("conn_info", &info.conn_info), ("chan_info", &info.chan_info)] {
        if let Some(json) = json.as_ref().filter(|json| !json.is_empty()) {
            object.raw(name, json);
        }
    }
    object.close();
}

/// Appends who is there, as a map of connection identifiers.
pub fn presence(entries: &[Arc<ClientInfo>], out: &mut BytesMut) {
    out.put_u8(b'{');
    for (at, info) in entries.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        client_id(info, out);
        out.put_u8(b':');
        client_info(info, out);
    }
    out.put_u8(b'}');
}

/// Appends `{"presence":{..}}`. The map is there also if nobody is.
pub fn presence_result(entries: &[Arc<ClientInfo>], out: &mut BytesMut) {
    let mut object = Object::open(out);
    presence(entries, object.key("presence"));
    object.close();
}

/// Appends `{"num_clients":N,"num_users":N}`. What was asked for is said also if it is 0.
pub fn presence_stats(stats: &PresenceStats, out: &mut BytesMut) {
    let mut object = Object::open(out);
    number(stats.num_clients.into(), object.key("num_clients"));
    number(stats.num_users.into(), object.key("num_users"));
    object.close();
}

/// Appends `{"publications":[..],"epoch":"..","offset":N}`. What was asked for is said also if it is nothing.
pub fn history(history: &HistoryResult, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    publications(&history.publications, object.key("publications"))?;
    object.text("epoch", history.position.epoch.as_str());
    number(history.position.offset.into(), object.key("offset"));
    object.close();
    Ok(())
}

/// Appends what a client learns when it has joined a channel, in a reply or in the subscriptions of a connect
/// result.
pub fn subscribe_result(result: &SubscribeResult, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut object = Object::open(out);
    object.flag("recoverable", result.recoverable);
    if let Some(position) = &result.position {
        object.text("epoch", position.epoch.as_str());
    }
    if !result.publications.is_empty() {
        publications(&result.publications, object.key("publications"))?;
    }
    object.flag("recovered", result.recovered);
    object.number("offset", result.position.map_or(0, |position| position.offset));
    object.flag("positioned", result.positioned);
    object.flag("was_recovering", result.was_recovering);
    object.close();
    Ok(())
}

/// Appends `{"code":N,"message":"..","temporary":true}`.
pub fn error(error: &ErrorReply, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.number("code", error.code);
    object.text("message", &error.message);
    object.flag("temporary", error.temporary);
    object.close();
}

/// Writes the member `data`, if there is any.
pub(super) fn payload(object: &mut Object<'_>, data: &Data) -> Result<(), Inexpressible> {
    match data {
        Data::Json(json) if json.is_empty() => Ok(()),
        Data::Json(json) => {
            object.raw("data", json);
            Ok(())
        }
        Data::Binary(_) => Err(Inexpressible),
    }
}

fn client_id(info: &ClientInfo, out: &mut BytesMut) {
    display(info.client, out);
}
