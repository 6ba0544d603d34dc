//! Every message comes back as it is, text as text and binary as binary: what judges of a framing run against.
//!
//! A message is a call of the RPC method `echo`, and its reply is the answer; so a message passes through a session
//! as any command does. Knows no rule of a session: where the server offers no such method, the connection ends.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Disconnect, PeerError,
    message::{Broadcast, Command, Data, Reply, ReplyBody, Request},
    wire::{Conversation, Dialect, Encoded, Event, Inexpressible, MessageKind},
};

/// The dialect in which a client hears itself. Needs no state of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

/// The RPC method that answers its data.
const METHOD: &str = "echo";

/// Numbers of commands, by which a reply tells what its message was.
const TEXT: u32 = 1;
const BINARY: u32 = 2;

impl Dialect for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(Self)
    }

    fn connects_unasked(&self) -> bool {
        true
    }

    /// Nothing: a client of this dialect hears nobody else.
    fn encode_broadcast(&self, _: &Broadcast, _: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        Ok(Encoded::Nothing)
    }
}

impl Conversation for Echo {
    fn decode(
        &mut self,
        kind: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        let id = match kind {
            MessageKind::Text => TEXT,
            MessageKind::Binary => BINARY,
        };
        // Text of any content is no JSON, so both kinds are bytes to the session.
        let data = Data::Binary(Bytes::copy_from_slice(message));
        commands.push(Command { id, request: Request::Rpc { method: METHOD.into(), data } });
        Ok(())
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        let Event::Reply(Reply { id, result }) = event else { return Ok(Encoded::Nothing) };
        match result {
            Ok(ReplyBody::Rpc(data)) => {
                out.put_slice(data.bytes());
                Ok(Encoded::Message(if *id == TEXT { MessageKind::Text } else { MessageKind::Binary }))
            }
            Ok(_) => Ok(Encoded::Nothing),
            // A message that cannot come back would be missed, and there are no words to say so.
            Err(_) => Ok(Encoded::Disconnect(Disconnect::NOT_AVAILABLE.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::events_for_tests, message::ErrorReply};

    /// What a session with the method `echo` replies to these messages, as the client hears it.
    fn echoed(kind: MessageKind, message: &[u8]) -> (Encoded, BytesMut) {
        let mut commands = Vec::new();
        Echo.decode(kind, message, &mut commands).unwrap();
        let [Command { id, request: Request::Rpc { method, data } }] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(**method, *"echo");
        let reply = Reply { id: *id, result: Ok(ReplyBody::Rpc(data.clone())) };
        let mut out = BytesMut::new();
        let encoded = Echo.encode(Event::Reply(&reply), &mut out).unwrap();
        (encoded, out)
    }

    #[test]
    fn a_message_comes_back_with_its_kind() {
        for message in ["", "{}", "na\u{ef}ve\r\n\0"] {
            let (encoded, out) = echoed(MessageKind::Text, message.as_bytes());
            assert_eq!((encoded, &out[..]), (Encoded::Message(MessageKind::Text), message.as_bytes()));
        }
        let (encoded, out) = echoed(MessageKind::Binary, &[0, 255]);
        assert_eq!((encoded, &out[..]), (Encoded::Message(MessageKind::Binary), &[0, 255][..]));
    }

    #[test]
    fn a_message_that_cannot_come_back_ends_the_connection() {
        let reply = Reply { id: TEXT, result: Err(ErrorReply::NOT_AVAILABLE) };
        let encoded = Echo.encode(Event::Reply(&reply), &mut BytesMut::new()).unwrap();
        assert_eq!(encoded, Encoded::Disconnect(3508));
    }

    #[test]
    fn nothing_is_said_but_echoes() {
        for (name, event) in events_for_tests::all() {
            if name.starts_with("rpc") || name.starts_with("error") {
                continue;
            }
            let mut out = BytesMut::new();
            let encoded = Echo.encode(event.as_event(), &mut out).unwrap();
            assert_eq!((encoded, out.len()), (Encoded::Nothing, 0), "{name}");
        }
    }
}
