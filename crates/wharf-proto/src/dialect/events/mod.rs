//! Plain server-sent events (`/events`): what an EventSource understands with no library. Every publication is an
//! event with the payload as it was published; the id is a [`Cursor`] over all channels of the stream.
//!
//! Writes whole blocks, so it stands in a framing that adds nothing (`plain`). Does not know how the client asked;
//! whoever opens the stream makes the connect command, with the channels as server-side subscriptions.
//!
//! | event | data | when |
//! |---|---|---|
//! | `message`, or the channel's name if there are several | the payload | a publication |
//! | `wharf.reset` | `{"channel":..,"offset":..,"epoch":..}` | what was missed cannot be had; events follow from this position, or from one that is not known yet if none is named |
//! | `wharf.unsubscribe` | `{"channel":..,"code":..,"reason":..}` | the server ended the subscription for good |

use std::sync::Arc;

use bytes::BytesMut;

use super::{centrifuge_json::whole_or_nothing, one_way_connect_error};
use crate::{
    Disconnect, PeerError,
    framing::sse::{Block, comment},
    json::{Object, number},
    message::{
        Broadcast, BroadcastBody, Channel, Command, Data, Epoch, Position, Publication, Push, Reply,
        ReplyBody, SubscribeResult,
    },
    wire::{Conversation, Dialect, Encoded, Event, Inexpressible, MessageKind},
};

mod cursor;
#[cfg(test)]
mod tests;

pub use cursor::{CURSOR_BYTES, CURSOR_CHANNELS, Cursor, CursorError};

/// An EventSource on one channel. Its cursor is the publication's own position, so all members share bytes. A
/// server that subscribes it to a second channel sends events of both under one name.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsOne;

/// An EventSource on several channels. Its cursor covers all of them, so each publication is encoded for each
/// connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsMany;

impl Dialect for EventsOne {
    fn name(&self) -> &'static str {
        "events_one"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(Self)
    }

    fn encode_broadcast(&self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Stream { cursor: &mut Cursor::default(), names_channels: false }.broadcast(broadcast, out)
    }
}

impl Conversation for EventsOne {
    fn decode(
        &mut self,
        _kind: MessageKind,
        _message: &[u8],
        _commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        Ok(()) // An EventSource says nothing.
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Stream { cursor: &mut Cursor::default(), names_channels: false }.event(event, out)
    }
}

impl Dialect for EventsMany {
    fn name(&self) -> &'static str {
        "events_many"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(ManyConversation { cursor: Cursor::default() })
    }

    /// An event without an id: nobody gets it, since a conversation of this dialect shares no broadcasts.
    fn encode_broadcast(&self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        let unpositioned = match &broadcast.body {
            BroadcastBody::Publication { publication, .. } => Broadcast {
                channel: broadcast.channel.clone(),
                body: BroadcastBody::Publication { publication: Arc::clone(publication), epoch: None },
            },
            BroadcastBody::Join(_) | BroadcastBody::Leave(_) => return Ok(Encoded::Nothing),
        };
        Stream { cursor: &mut Cursor::default(), names_channels: true }.broadcast(&unpositioned, out)
    }
}

struct ManyConversation {
    cursor: Cursor,
}

impl Conversation for ManyConversation {
    fn decode(
        &mut self,
        _kind: MessageKind,
        _message: &[u8],
        _commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        Ok(()) // An EventSource says nothing.
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Stream { cursor: &mut self.cursor, names_channels: true }.event(event, out)
    }

    fn shares_broadcasts(&self) -> bool {
        false
    }
}

/// Unsubscribe codes from here on mean that the position is lost (Centrifuge protocol, unsubscribe push codes).
const RESUBSCRIBE_CODE: u32 = 2_500;

/// The type of a block without data, which no client delivers. It has one because npm `eventsource` until version 2
/// keeps the data of a block that was cut off and delivers it at the end of the next block: as this type, to which
/// nobody listens, instead of as the event that the server is about to send again.
const OPENED: &str = "wharf.open";

/// After how many milliseconds a client comes back to a server that went away. The ends themselves are spread, so
/// that this need not be.
const SHUTDOWN_RETRY_MS: u32 = 2_000;

/// What both dialects say, over the cursor so far.
struct Stream<'a> {
    cursor: &'a mut Cursor,
    names_channels: bool,
}

impl Stream<'_> {
    fn event(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        match event {
            Event::Reply(Reply { result: Err(error), .. }) => {
                Ok(Encoded::Disconnect(one_way_connect_error(error)))
            }
            Event::Reply(Reply { result: Ok(ReplyBody::Connect(connected)), .. }) => {
                whole_or_nothing(out, |out| self.open(&connected.subs, out))
            }
            Event::Reply(_) => Ok(Encoded::Nothing),
            Event::Push(push) => self.push(push, out),
        }
    }

    fn push(&mut self, push: &Push, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        match push {
            Push::Broadcast(broadcast) => self.broadcast(broadcast, out),
            Push::Subscribe { channel, result } => {
                let subscription = (channel.clone(), result.clone());
                whole_or_nothing(out, |out| self.open(std::slice::from_ref(&subscription), out))
            }
            Push::Unsubscribe { channel, code, .. } if *code >= RESUBSCRIBE_CODE => {
                // The cursor stays at what the client has seen: if it is cut off now, it may yet recover.
                reset(channel, None, None, out);
                Ok(Encoded::Message(MessageKind::Text))
            }
            Push::Unsubscribe { channel, code, reason } => {
                self.cursor.remove(channel);
                unsubscribed(channel, *code, reason, out);
                Ok(Encoded::Message(MessageKind::Text))
            }
            Push::Ping => {
                comment("", out);
                Ok(Encoded::Message(MessageKind::Text))
            }
            // The server goes away: the client is to give it, or another, a moment.
            Push::Disconnect(disconnect) if disconnect.code == Disconnect::SHUTDOWN.code => {
                Block { retry_ms: Some(SHUTDOWN_RETRY_MS), ..Block::default() }.write(out);
                Ok(Encoded::Message(MessageKind::Text))
            }
            // The stream ends, and the client comes back by itself; there is nobody for a message.
            Push::Disconnect(_) | Push::Message { .. } | Push::Ask { .. } => Ok(Encoded::Nothing),
        }
    }

    /// Begins subscriptions: first a block with the cursor and no data, so that a cut before the first event
    /// loses nothing; then what is lost and what was missed.
    fn open(&mut self, subs: &[(Channel, SubscribeResult)], out: &mut BytesMut) -> Result<(), Inexpressible> {
        for (channel, result) in subs {
            if let Some(position) = result.position {
                // A client that is cut off before it is told of a loss must be told again when it comes back:
                // until then its cursor holds a place from which nobody can recover.
                let offset = if is_lost(result) { u64::MAX } else { position.offset };
                self.cursor.advance(channel, Position { offset, ..position });
            }
        }
        match self.cursor.encode() {
            Some(id) => Block { id: Some(&id), event: Some(OPENED), ..Block::default() }.write(out),
            None => comment("", out), // Something must be sent, so that the client sees an open stream.
        }
        for (channel, result) in subs {
            if is_lost(result) {
                if let Some(position) = result.position {
                    self.cursor.advance(channel, position);
                }
                reset(channel, result.position, self.cursor.encode().as_deref(), out);
            }
            let epoch = result.position.map(|position| position.epoch);
            for publication in &result.publications {
                self.publication(channel, publication, epoch, out)?;
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        match &broadcast.body {
            BroadcastBody::Publication { publication, epoch } => {
                whole_or_nothing(out, |out| self.publication(&broadcast.channel, publication, *epoch, out))
            }
            BroadcastBody::Join(_) | BroadcastBody::Leave(_) => Ok(Encoded::Nothing),
        }
    }

    fn publication(
        &mut self,
        channel: &Channel,
        publication: &Publication,
        epoch: Option<Epoch>,
        out: &mut BytesMut,
    ) -> Result<(), Inexpressible> {
        let Data::Json(data) = &publication.data else { return Err(Inexpressible) };
        let id = epoch.and_then(|epoch| {
            self.cursor.advance(channel, Position { offset: publication.offset, epoch });
            self.cursor.encode()
        });
        let event = self.names_channels.then_some(channel.as_str());
        Block { id: id.as_deref(), event, retry_ms: None, data: Some(data) }.write(out);
        Ok(())
    }
}

/// Whether the client asked for what it missed and cannot have it.
fn is_lost(result: &SubscribeResult) -> bool {
    result.was_recovering && !result.recovered
}

fn reset(channel: &Channel, position: Option<Position>, id: Option<&str>, out: &mut BytesMut) {
    let mut data = BytesMut::new();
    let mut object = Object::open(&mut data);
    object.text("channel", channel.as_str());
    if let Some(position) = position {
        number(position.offset.into(), object.key("offset"));
        object.text("epoch", position.epoch.as_str());
    }
    object.close();
    Block { id, event: Some("wharf.reset"), retry_ms: None, data: Some(&data) }.write(out);
}

fn unsubscribed(channel: &Channel, code: u32, reason: &str, out: &mut BytesMut) {
    let mut data = BytesMut::new();
    let mut object = Object::open(&mut data);
    object.text("channel", channel.as_str());
    object.number("code", code);
    object.text("reason", reason);
    object.close();
    Block { event: Some("wharf.unsubscribe"), data: Some(&data), ..Block::default() }.write(out);
}
