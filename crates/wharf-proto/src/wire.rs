//! A *wire* is a dialect in a framing: what decides the bytes of a publication. Every member on the same wire
//! gets the same bytes, so a publication is encoded at most once for each wire.

use bytes::BytesMut;

use crate::{
    Disconnect, PeerError, dialect, framing,
    message::{Broadcast, Command, Push, Reply},
    websocket::deflate::Deflater,
};

pub use crate::websocket::{DeframeLimits, MessageKind};

/// A message cannot be said in this dialect (binary data to a client that reads only JSON). The connection is
/// closed with [`Disconnect::INAPPROPRIATE_PROTOCOL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("binary data cannot be said in this dialect")]
pub struct Inexpressible;

/// What a message means. Two halves: a connection-free encoder for broadcasts, so that one encoding serves
/// every member, and a [`Conversation`] for all the rest.
pub trait Dialect: Send + Sync + 'static {
    /// The name in logs, metrics and configuration.
    fn name(&self) -> &'static str;
    /// Starts the conversation of one connection.
    fn open(&self) -> Box<dyn Conversation>;
    /// Whether a session is connected as soon as its connection is there, since clients have no word for it.
    fn connects_unasked(&self) -> bool {
        false
    }
    /// Appends one message that says `broadcast` to any member; nothing where the dialect has no words for it.
    fn encode_broadcast(&self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible>;
}

/// What the server says to one connection alone.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Event<'a> {
    Reply(&'a Reply),
    Push(&'a Push),
}

/// What encoding an [`Event`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// One message was appended.
    Message(MessageKind),
    /// The dialect has no words for this event, and the client does not miss it; nothing was appended.
    Nothing,
    /// The dialect says this by ending the connection (a failed connect on a one-way endpoint).
    Disconnect(u16),
}

/// One connection's half of a dialect. Holds no memory where the dialect needs no state.
pub trait Conversation: Send + 'static {
    /// Reads one whole message and appends the commands in it, in order. On an error the commands before the
    /// broken one have been appended and are to be carried out. Framings that tell no kinds apart say text.
    fn decode(
        &mut self,
        kind: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError>;
    /// Appends one message that says `event`. On an error `out` is as it was.
    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible>;
    /// No answer to [`Push::Ask`] of this number is expected any more.
    fn forget_question(&mut self, number: u32) {
        let _ = number;
    }
    /// False where each broadcast must be encoded for this connection alone, by [`Conversation::encode`].
    fn shares_broadcasts(&self) -> bool {
        true
    }
}

/// Where a message ends. Stateless; a connection's reading state is in its [`Deframer`].
pub trait Framing: Send + Sync + 'static {
    /// The name in logs, metrics and configuration.
    fn name(&self) -> &'static str;
    /// Appends `message`, framed.
    fn frame(&self, kind: MessageKind, message: &[u8], out: &mut BytesMut);
    /// Appends `message`, framed, if whoever reads the frame reads this one message. Otherwise appends nothing and says
    /// why not.
    fn frame_checked(&self, kind: MessageKind, message: &[u8], out: &mut BytesMut) -> Result<(), Box<str>> {
        self.frame(kind, message, out);
        Ok(())
    }
    /// Appends `message`, framed and compressed by `deflater`, and says true; or as [`Framing::frame`] does, and
    /// false, where the framing has no compression or this message wins nothing by it.
    fn frame_deflated(
        &self,
        kind: MessageKind,
        message: &[u8],
        deflater: &mut Deflater,
        out: &mut BytesMut,
    ) -> bool {
        let _ = deflater;
        self.frame(kind, message, out);
        false
    }
    /// The reading side, for messages of at most `limits.message_bytes`.
    fn deframer(&self, limits: DeframeLimits) -> Box<dyn Deframer>;
    /// Whether only one side writes in it: its deframer throws away whatever comes.
    fn is_one_way(&self) -> bool {
        false
    }
    /// Whether the framing itself tells the peer the code and reason of its end (as WebSocket does), so that
    /// the dialect need not.
    fn carries_disconnect(&self) -> bool {
        false
    }
    /// Appends what ends the stream cleanly: a close frame, a last chunk, or nothing.
    fn end(&self, disconnect: &Disconnect, out: &mut BytesMut) {
        let _ = (disconnect, out);
    }
    /// Appends the framing's own ping; nothing where it has none.
    fn ping(&self, out: &mut BytesMut) {
        let _ = out;
    }
    /// Appends the framing's own answer to a ping that carried `payload`.
    fn pong(&self, payload: &[u8], out: &mut BytesMut) {
        let _ = (payload, out);
    }
}

/// What a deframer found.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Incoming<'a> {
    /// One whole message.
    Message(MessageKind, &'a [u8]),
    /// Answer with [`Framing::pong`].
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The peer ends the stream. No further bytes are looked at. `None`: without a code.
    Close(Option<u16>, &'a str),
}

/// Cuts one connection's bytes into messages. Feeding the same bytes in any pieces gives the same messages.
pub trait Deframer: Send + 'static {
    /// Takes all of `input` (which may be changed in place, for unmasking) and calls `sink` for each thing
    /// found, in order. After an error no message is read any more, but the peer's [`Incoming::Close`] may still
    /// come; one that a failing call handed out came behind what is wrong. Keeps at most
    /// `DeframeLimits::message_bytes` (for a compressed message, what that may take on the wire) and a header; holds
    /// no buffer between messages.
    fn feed(&mut self, input: &mut [u8], sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError>;
    /// Bytes held of a message that is not whole yet.
    fn held_bytes(&self) -> usize;
    /// Whether an [`Incoming::Close`] can still come: the framing has one, it has not come, and it is known where the
    /// next frame begins.
    fn awaits_close(&self) -> bool {
        false
    }
}

/// A dialect in a framing, interned: an index into the product of the two registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireId(u8);

impl WireId {
    /// Names the pair of a dialect and a framing. Both must stand in their registries; a test holds that they
    /// do for every wire that a listener can choose.
    pub fn new(dialect: dialect::DialectId, framing: framing::FramingId) -> Self {
        Self(dialect as u8 * framing::ALL.len() as u8 + framing as u8)
    }

    /// How many wires there can be.
    pub fn count() -> usize {
        dialect::ALL.len() * framing::ALL.len()
    }

    /// A dense index below [`WireId::count`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The wire on which the same messages go uncompressed: this one, unless its framing compresses. Whoever reads
    /// this wire reads that one.
    pub fn uncompressed(self) -> Self {
        let framing = self.index() % framing::ALL.len();
        match framing == framing::FramingId::WebsocketDeflate as usize {
            true => Self(self.0 - framing as u8 + framing::FramingId::Websocket as u8),
            false => self,
        }
    }

    /// Whether the framing of this wire compresses.
    pub fn compresses(self) -> bool {
        self != self.uncompressed()
    }

    /// What messages mean on this wire.
    pub fn dialect(self) -> &'static dyn Dialect {
        dialect::ALL[self.dialect_index()]
    }

    /// A dense index of that dialect: wires with the same say the same.
    pub fn dialect_index(self) -> usize {
        self.index() / framing::ALL.len()
    }

    /// Where messages end on this wire.
    pub fn framing(self) -> &'static dyn Framing {
        framing::ALL[self.index() % framing::ALL.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialect::DialectId;
    use framing::FramingId;

    #[test]
    fn only_the_wire_that_compresses_has_another_without() {
        for framing in [FramingId::Websocket, FramingId::Lines, FramingId::ChunkedPlain] {
            let wire = WireId::new(DialectId::EventsMany, framing);
            assert_eq!((wire.uncompressed(), wire.compresses()), (wire, false));
        }
        let wire = WireId::new(DialectId::EventsMany, FramingId::WebsocketDeflate);
        assert_eq!(wire.uncompressed(), WireId::new(DialectId::EventsMany, FramingId::Websocket));
        assert!(wire.compresses());
    }

    #[test]
    fn every_wire_leads_back_to_its_dialect_and_framing() {
        let dialects = [
            DialectId::CentrifugeJson,
            DialectId::CentrifugeUni,
            DialectId::EventsOne,
            DialectId::EventsMany,
            DialectId::Echo,
            DialectId::Device,
        ];
        let framings = [
            FramingId::Websocket,
            FramingId::WebsocketDeflate,
            FramingId::Lines,
            FramingId::Sse,
            FramingId::Plain,
            FramingId::ChunkedLines,
            FramingId::ChunkedSse,
            FramingId::ChunkedPlain,
        ];
        let mut indexes = Vec::new();
        for dialect in dialects {
            for framing in framings {
                let wire = WireId::new(dialect, framing);
                assert_eq!(wire.dialect().name(), dialect::ALL[dialect as usize].name());
                assert_eq!(wire.framing().name(), framing::ALL[framing as usize].name());
                indexes.push(wire.index());
            }
        }
        assert!(indexes.into_iter().eq(0..WireId::count()), "indexes are dense and in order");
    }
}
