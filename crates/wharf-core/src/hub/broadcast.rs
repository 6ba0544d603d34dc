//! One thing said to a channel, shared by all workers: its message in each dialect, and its bytes for each wire. Each
//! is made by the first who asks, and by nobody after.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use wharf_proto::{
    message::{Broadcast, BroadcastBody, ClientInfo, Position},
    wire::{Dialect, Encoded, Inexpressible, MessageKind, WireId},
};

/// A broadcast and its encodings.
///
/// A message is made at most once for each dialect in a process and framed at most once for each wire, under a lock
/// of this broadcast alone: a worker that asks while another encodes waits for it, for as long as one encoding takes.
#[derive(Debug)]
pub struct SharedBroadcast {
    broadcast: Broadcast,
    encodings: Mutex<Encodings>,
}

/// What was asked for so far. There are few of each, so a search finds them sooner than a hash would.
#[derive(Debug, Default)]
struct Encodings {
    /// By the dialect's index.
    messages: Vec<(usize, Message)>,
    framed: Vec<(WireId, Bytes)>,
}

/// One dialect's words for a broadcast; none where it has none, and its clients do not miss it.
type Message = Result<Option<(MessageKind, Bytes)>, Inexpressible>;

impl SharedBroadcast {
    /// Nothing is encoded yet.
    pub fn new(broadcast: Broadcast) -> Self {
        Self { broadcast, encodings: Mutex::default() }
    }

    /// What is said, and where.
    pub fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// The place of the publication in the channel's history; none for joins and leaves, and where the channel
    /// keeps no history.
    pub fn position(&self) -> Option<Position> {
        match &self.broadcast.body {
            BroadcastBody::Publication { publication, epoch } => {
                epoch.map(|epoch| Position { offset: publication.offset, epoch })
            }
            BroadcastBody::Join(_) | BroadcastBody::Leave(_) => None,
        }
    }

    /// What the dialect of this wire says, for whoever frames it for one member alone; none where it has no words for
    /// this.
    pub fn message(&self, wire: WireId) -> Result<Option<(MessageKind, Bytes)>, Inexpressible> {
        self.lock().message(&self.broadcast, wire.dialect_index(), wire.dialect())
    }

    /// The framed bytes for every member on this wire, as `frame` appends them; no bytes where the wire's dialect has
    /// no words for this, and its clients do not miss it. All who ask must frame alike.
    pub fn encoded(
        &self,
        wire: WireId,
        frame: impl FnOnce(MessageKind, &[u8], &mut BytesMut),
    ) -> Result<Bytes, Inexpressible> {
        self.encoded_by(wire, wire.dialect(), frame)
    }

    fn encoded_by(
        &self,
        wire: WireId,
        dialect: &dyn Dialect,
        frame: impl FnOnce(MessageKind, &[u8], &mut BytesMut),
    ) -> Result<Bytes, Inexpressible> {
        let mut encodings = self.lock();
        if let Some((_, bytes)) = encodings.framed.iter().find(|(known, _)| *known == wire) {
            return Ok(bytes.clone());
        }
        let bytes = match encodings.message(&self.broadcast, wire.dialect_index(), dialect)? {
            None => Bytes::new(),
            Some((kind, message)) => {
                let mut framed = BytesMut::with_capacity(message.len() + FRAME_BYTES);
                frame(kind, &message, &mut framed);
                // Who keeps them counts their length, not the room that compression has left.
                match framed.len() > framed.capacity() / 2 {
                    true => framed.freeze(),
                    false => Bytes::copy_from_slice(&framed),
                }
            }
        };
        encodings.framed.push((wire, bytes.clone()));
        Ok(bytes)
    }

    /// An encoding is added whole or not at all, so what a panic elsewhere left is sound.
    fn lock(&self) -> MutexGuard<'_, Encodings> {
        self.encodings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encodings {
    fn message(&mut self, broadcast: &Broadcast, index: usize, dialect: &dyn Dialect) -> Message {
        if let Some((_, message)) = self.messages.iter().find(|(known, _)| *known == index) {
            return message.clone();
        }
        let message = encode(broadcast, dialect);
        self.messages.push((index, message.clone()));
        message
    }
}

/// Room for the words around a payload, so that most messages are written without growing the buffer.
const ENVELOPE_BYTES: usize = 192;

/// Room for what a framing adds.
const FRAME_BYTES: usize = 32;

fn encode(broadcast: &Broadcast, dialect: &dyn Dialect) -> Message {
    let mut message = BytesMut::with_capacity(payload_bytes(&broadcast.body) + ENVELOPE_BYTES);
    Ok(match dialect.encode_broadcast(broadcast, &mut message)? {
        Encoded::Message(kind) => Some((kind, message.freeze())),
        // A broadcast is said to many and so ends nobody's connection: a dialect that would answer so has no
        // words for it.
        Encoded::Nothing | Encoded::Disconnect(_) => None,
    })
}

fn payload_bytes(body: &BroadcastBody) -> usize {
    let of = |info: &ClientInfo| {
        [&info.conn_info, &info.chan_info].into_iter().flatten().map(|info| info.len()).sum::<usize>()
            + info.user.len()
    };
    match body {
        BroadcastBody::Publication { publication, .. } => {
            publication.data.bytes().len() + publication.info.as_deref().map_or(0, of)
        }
        BroadcastBody::Join(info) | BroadcastBody::Leave(info) => of(info),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use wharf_proto::{
        dialect::DialectId,
        framing::FramingId,
        message::{Channel, ClientId, Data, Epoch, Publication},
        wire::Conversation,
    };

    use super::*;

    /// Writes the payload alone, cannot say binary data, has no word for a leave, and counts how often it is
    /// asked.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Dialect for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn open(&self) -> Box<dyn Conversation> {
            unreachable!("broadcasts need no conversation")
        }

        fn encode_broadcast(
            &self,
            broadcast: &Broadcast,
            out: &mut BytesMut,
        ) -> Result<Encoded, Inexpressible> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match &broadcast.body {
                BroadcastBody::Publication { publication, .. } => match &publication.data {
                    Data::Json(json) => out.extend_from_slice(json),
                    Data::Binary(_) => return Err(Inexpressible),
                },
                BroadcastBody::Join(info) => out.extend_from_slice(info.user.as_bytes()),
                BroadcastBody::Leave(_) => return Ok(Encoded::Nothing),
            }
            Ok(Encoded::Message(MessageKind::Text))
        }
    }

    fn said(body: BroadcastBody) -> SharedBroadcast {
        SharedBroadcast::new(Broadcast { channel: Channel::parse("news").unwrap(), body })
    }

    fn publication(data: Data, offset: u64, epoch: Option<Epoch>) -> SharedBroadcast {
        let publication = Arc::new(Publication { data, info: None, offset, tags: None });
        said(BroadcastBody::Publication { publication, epoch })
    }

    fn ask(broadcast: &SharedBroadcast, wire: WireId, dialect: &Counting) -> Result<Bytes, Inexpressible> {
        broadcast.encoded_by(wire, dialect, |_, message, out| {
            out.extend_from_slice(message);
            out.extend_from_slice(b".");
        })
    }

    fn wires() -> [WireId; 2] {
        [FramingId::Websocket, FramingId::Lines]
            .map(|framing| WireId::new(DialectId::CentrifugeJson, framing))
    }

    #[test]
    fn is_encoded_once_for_each_dialect_and_framed_once_for_each_wire_however_many_ask() {
        let broadcast = publication(Data::Json("1".into()), 0, None);
        let dialect = Counting::default();
        let answers = thread::scope(|scope| {
            let askers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| wires().map(|wire| ask(&broadcast, wire, &dialect).unwrap())))
                .collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(dialect.0.load(Ordering::Relaxed), 1);
        for [websocket, lines] in &answers {
            assert_eq!((&websocket[..], &lines[..]), (&b"1."[..], &b"1."[..]));
            assert_eq!(
                (websocket.as_ptr(), lines.as_ptr()),
                (answers[0][0].as_ptr(), answers[0][1].as_ptr())
            );
            assert_ne!(websocket.as_ptr(), lines.as_ptr());
        }
    }

    #[test]
    fn what_compressed_well_keeps_little_more_memory_than_its_own_length() {
        for length in [40, 70_000] {
            let broadcast = publication(Data::Json("1".into()), 0, None);
            let framed = broadcast.encoded(wires()[0], |_, _, out| {
                // Room for a message that does not compress, as deflating takes it.
                out.resize(75_000, b'a');
                out.truncate(length);
            });
            drop(broadcast);
            let kept = framed.unwrap().try_into_mut().unwrap().capacity(); // Nobody else has them now.
            assert!(kept <= 2 * length, "{length} bytes keep {kept}");
        }
    }

    #[test]
    fn whoever_frames_for_one_member_gets_the_message_that_all_get() {
        let broadcast = publication(Data::Json("1".into()), 0, None);
        let dialect = Counting::default();
        ask(&broadcast, wires()[0], &dialect).unwrap();
        let message = broadcast.message(wires()[1]).unwrap();
        assert_eq!(message, Some((MessageKind::Text, Bytes::from_static(b"1"))), "not encoded again");
    }

    #[test]
    fn what_cannot_be_said_is_asked_once_too() {
        let broadcast = publication(Data::Binary("1".into()), 0, None);
        let dialect = Counting::default();
        for _ in 0..2 {
            assert_eq!(ask(&broadcast, wires()[0], &dialect), Err(Inexpressible));
        }
        assert_eq!(dialect.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_a_dialect_has_no_words_for_is_not_even_framed() {
        let info = ClientInfo { user: "u".into(), client: ClientId(1), conn_info: None, chan_info: None };
        let dialect = Counting::default();
        let join = said(BroadcastBody::Join(Arc::new(info.clone())));
        assert_eq!(ask(&join, wires()[0], &dialect).unwrap(), "u.");
        let leave = said(BroadcastBody::Leave(Arc::new(info)));
        assert_eq!(ask(&leave, wires()[0], &dialect).unwrap(), "");
        assert_eq!((join.position(), leave.position()), (None, None));
    }

    #[test]
    fn has_a_position_where_the_channel_keeps_history() {
        let epoch = Epoch::from_random(1);
        let kept = publication(Data::Json("1".into()), 7, Some(epoch));
        assert_eq!(kept.position(), Some(Position { offset: 7, epoch }));
        assert_eq!(publication(Data::Json("1".into()), 0, None).position(), None);
    }
}
