//! The Centrifuge client protocol in JSON, both ways: what the official SDKs speak over WebSocket, streams and
//! SSE, and anybody over JSON lines.
//!
//! Knows no framing (but that it must not write a raw line end inside a message) and no rule of a session:
//! whether a command is allowed now is not asked here.

use bytes::BytesMut;

use crate::{
    PeerError,
    message::{Broadcast, Command},
    wire::{Conversation, Dialect, Encoded, Event, Inexpressible, MessageKind},
};

pub mod client;
mod command_shape;
pub mod decode;
pub mod encode;
pub mod payload;
pub mod shape;
#[cfg(test)]
mod tests;

pub use encode::Envelope;

/// Centrifuge JSON. Needs no state of a connection, so its conversation takes no memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct CentrifugeJson;

impl Dialect for CentrifugeJson {
    fn name(&self) -> &'static str {
        "centrifuge_json"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(Self)
    }

    fn encode_broadcast(&self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        whole_or_nothing(out, |out| encode::broadcast(broadcast, Envelope::Reply, out))
    }
}

impl Conversation for CentrifugeJson {
    fn decode(
        &mut self,
        _kind: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        decode::commands(message, commands)
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        whole_or_nothing(out, |out| match event {
            Event::Reply(reply) => encode::reply(reply, out),
            Event::Push(push) => encode::push(push, Envelope::Reply, out),
        })
    }
}

/// Runs `write`, and takes back what it appended if it failed half-way.
pub(crate) fn whole_or_nothing(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), Inexpressible>,
) -> Result<Encoded, Inexpressible> {
    let start = out.len();
    match write(out) {
        Ok(()) => Ok(Encoded::Message(MessageKind::Text)),
        Err(inexpressible) => {
            out.truncate(start);
            Err(inexpressible)
        }
    }
}
