//! The commands of the wire as serde reads them. Nothing of a payload is parsed beyond its grammar, and only what
//! a command keeps is copied.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::{decode::CommandError, payload};
use crate::message::{ConnectRequest, Data, HistoryRequest, PingWish, Request, SubscribeRequest, ping_wish};

/// A command of the wire. Unknown fields are passed over; a field that stands twice is refused. `null` is the
/// same as absent, but for payloads.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct CommandShape<'a> {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: u32,
    #[serde(borrow)]
    connect: Object<ConnectShape<'a>>,
    #[serde(borrow)]
    subscribe: Object<SubscribeShape<'a>>,
    #[serde(borrow)]
    unsubscribe: Object<ChannelShape<'a>>,
    #[serde(borrow)]
    publish: Object<PublishShape<'a>>,
    #[serde(borrow)]
    presence: Object<ChannelShape<'a>>,
    #[serde(borrow)]
    presence_stats: Object<ChannelShape<'a>>,
    #[serde(borrow)]
    history: Object<HistoryShape<'a>>,
    #[serde(borrow)]
    rpc: Object<RpcShape<'a>>,
    #[serde(borrow)]
    send: Object<SendShape<'a>>,
    #[serde(borrow)]
    refresh: Object<RefreshShape<'a>>,
    #[serde(borrow)]
    sub_refresh: Object<SubRefreshShape<'a>>,
}

impl CommandShape<'_> {
    /// Centrifuge protocol, messages: of several requests the first in this order counts.
    pub(super) fn read(self, line: &str) -> Result<Option<Request>, CommandError> {
        Ok(Some(if let Some(connect) = self.connect.0 {
            Request::Connect(Box::new(connect.read(line)?))
        } else if let Some(subscribe) = self.subscribe.0 {
            Request::Subscribe(Box::new(subscribe.read(None)))
        } else if let Some(unsubscribe) = self.unsubscribe.0 {
            Request::Unsubscribe { channel: unsubscribe.channel.into() }
        } else if let Some(publish) = self.publish.0 {
            publish.read(line)?
        } else if let Some(presence) = self.presence.0 {
            Request::Presence { channel: presence.channel.into() }
        } else if let Some(presence_stats) = self.presence_stats.0 {
            Request::PresenceStats { channel: presence_stats.channel.into() }
        } else if let Some(history) = self.history.0 {
            Request::History(history.read())
        } else if let Some(rpc) = self.rpc.0 {
            Request::Rpc { method: rpc.method.into(), data: data(rpc.data, line)? }
        } else if let Some(send) = self.send.0 {
            Request::Send { data: data(send.data, line)? }
        } else if let Some(refresh) = self.refresh.0 {
            Request::Refresh { token: refresh.token.into() }
        } else if let Some(sub_refresh) = self.sub_refresh.0 {
            sub_refresh.read()
        } else {
            return Ok(None);
        }))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ConnectShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "or_default")]
    subs: Subs<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    name: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    version: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    headers: Headers,
}

impl ConnectShape<'_> {
    pub(super) fn read(self, line: &str) -> Result<ConnectRequest, CommandError> {
        Ok(ConnectRequest {
            token: self.token.into(),
            data: match self.data {
                Some(raw) if raw.get() != "null" => Some(data(Some(raw), line)?),
                _ => None,
            },
            name: self.name.into(),
            version: self.version.into(),
            subs: self
                .subs
                .0
                .into_iter()
                .map(|(channel, sub)| sub.0.unwrap_or_default().read(Some(channel)))
                .collect(),
            ping: self.headers.ping,
            vouched: None,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SubscribeShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    token: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    recover: bool,
    #[serde(borrow, deserialize_with = "or_default")]
    epoch: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(deserialize_with = "or_default")]
    positioned: bool,
    #[serde(deserialize_with = "or_default")]
    recoverable: bool,
    #[serde(deserialize_with = "or_default")]
    join_leave: bool,
    #[serde(deserialize_with = "or_default")]
    flag: i64,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
    #[serde(borrow)]
    tf: Option<&'a RawValue>,
}

/// Centrifuge protocol, subscribe `flag`: error 112 instead of `recovered: false`.
pub(super) const FLAG_FAIL_UNRECOVERABLE: i64 = 2;

impl SubscribeShape<'_> {
    /// `channel` is the key under which the request stood, where it stood in a map.
    fn read(self, channel: Option<Text<'_>>) -> SubscribeRequest {
        SubscribeRequest {
            channel: channel.unwrap_or(self.channel).into(),
            token: self.token.into(),
            recover: self.recover,
            offset: self.offset,
            epoch: self.epoch.into(),
            positioned: self.positioned,
            recoverable: self.recoverable,
            join_leave: self.join_leave,
            fail_unrecoverable: self.flag & FLAG_FAIL_UNRECOVERABLE != 0,
            // A filter that was passed over would deliver what the client asked not to get.
            unsupported: self.kind != 0 || self.tf.is_some(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChannelShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    channel: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PublishShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
}

impl PublishShape<'_> {
    fn read(self, line: &str) -> Result<Request, CommandError> {
        if self.kind != 0 {
            return Ok(Request::Unsupported);
        }
        Ok(Request::Publish { channel: self.channel.into(), data: data(self.data, line)? })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HistoryShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    channel: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    limit: i32,
    #[serde(borrow)]
    since: Object<PositionShape<'a>>,
    #[serde(deserialize_with = "or_default")]
    reverse: bool,
}

impl HistoryShape<'_> {
    fn read(self) -> HistoryRequest {
        HistoryRequest {
            channel: self.channel.into(),
            limit: self.limit,
            since: self.since.0.map(|since| (since.offset, since.epoch.into())),
            reverse: self.reverse,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PositionShape<'a> {
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(borrow, deserialize_with = "or_default")]
    epoch: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RpcShape<'a> {
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "or_default")]
    method: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SendShape<'a> {
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RefreshShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    token: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SubRefreshShape<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    token: Text<'a>,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
    #[serde(borrow)]
    track: Option<&'a RawValue>,
    #[serde(borrow)]
    untrack: Option<&'a RawValue>,
}

impl SubRefreshShape<'_> {
    fn read(self) -> Request {
        if self.kind != 0 || self.track.is_some() || self.untrack.is_some() {
            return Request::Unsupported;
        }
        Request::SubRefresh { channel: self.channel.into(), token: self.token.into() }
    }
}

// ---- Parts of commands -----------------------------------------------------------------------------------

/// A string that is borrowed from the frame unless it holds escapes.
#[derive(Deserialize, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl From<Text<'_>> for Box<str> {
    fn from(text: Text<'_>) -> Self {
        text.0.into()
    }
}

/// A map of channel to subscription, in the order of the names. A channel that stands twice is refused.
#[derive(Default)]
struct Subs<'a>(BTreeMap<Text<'a>, Object<SubscribeShape<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Subs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Subs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of channels to subscriptions")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut subs = BTreeMap::new();
                while let Some((channel, sub)) = map.next_entry::<Text<'de>, Object<SubscribeShape<'de>>>()? {
                    if subs.insert(channel, sub).is_some() {
                        return Err(de::Error::custom("a channel of `subs` stands twice"));
                    }
                }
                Ok(Subs(subs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Of the headers that an SDK sends within its connect command, those that mean something here.
#[derive(Default)]
struct Headers {
    ping: Option<PingWish>,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Headers;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of headers")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut headers = Headers::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if !name.0.eq_ignore_ascii_case(ping_wish::HEADER) {
                        map.next_value::<de::IgnoredAny>()?;
                        continue;
                    }
                    let wish = map.next_value::<Text<'de>>()?.0.parse().map_err(de::Error::custom)?;
                    if headers.ping.replace(wish).is_some() {
                        return Err(de::Error::custom("the header Wharf-Ping stands twice"));
                    }
                }
                Ok(headers)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// An object or `null`. Left to itself serde reads a struct from an array too, by the order of its fields, which
/// no version of the protocol means.
pub(super) struct Object<T>(pub(super) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

/// Takes `null` as the absent value: some clients write out fields that they do not set.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Keeps a payload of `null` apart from no payload.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Copies a payload out of its line. An absent one has no bytes.
fn data(raw: Option<&RawValue>, line: &str) -> Result<Data, CommandError> {
    let Some(raw) = raw else { return Ok(Data::Json(bytes::Bytes::new())) };
    payload::from_raw(raw).map(Data::Json).map_err(|error| {
        let column = raw.get().as_ptr().addr() - line.as_ptr().addr() + 1; // A part of the line, so after its start.
        CommandError::Payload { error, column }
    })
}
