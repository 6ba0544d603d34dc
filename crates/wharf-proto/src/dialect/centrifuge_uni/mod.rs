//! The Centrifuge client protocol in JSON, server to client only (`/connection/uni_*`): the client sends one
//! bare connect request, and the server answers with bare pushes, one JSON object to a message.
//!
//! Knows no rule of a session, and not where the connect request stood (query, body or first message).

use bytes::BytesMut;

use super::{
    centrifuge_json::{Envelope, decode, encode, whole_or_nothing},
    one_way_connect_error,
};
use crate::{
    PeerError,
    json::Object,
    message::{Broadcast, Command, ConnectResult, Reply, ReplyBody, Request},
    wire::{Conversation, Dialect, Encoded, Event, Inexpressible, MessageKind},
};

/// One-way Centrifuge JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct CentrifugeUni;

impl Dialect for CentrifugeUni {
    fn name(&self) -> &'static str {
        "centrifuge_uni"
    }

    fn open(&self) -> Box<dyn Conversation> {
        Box::new(UniConversation { asked: false })
    }

    fn encode_broadcast(&self, broadcast: &Broadcast, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        whole_or_nothing(out, |out| encode::broadcast(broadcast, Envelope::Bare, out))
    }
}

/// The number of the connect command, which no client sees.
const CONNECT_ID: u32 = 1;

struct UniConversation {
    /// The connect request has come. A client says nothing after it; if it does, that is not looked at.
    asked: bool,
}

impl Conversation for UniConversation {
    fn decode(
        &mut self,
        _kind: MessageKind,
        message: &[u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), PeerError> {
        if self.asked {
            return Ok(());
        }
        let request = decode::connect_request(message)?;
        self.asked = true;
        commands.push(Command { id: CONNECT_ID, request: Request::Connect(Box::new(request)) });
        Ok(())
    }

    fn encode(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Encoded, Inexpressible> {
        match event {
            Event::Push(push) => whole_or_nothing(out, |out| encode::push(push, Envelope::Bare, out)),
            Event::Reply(Reply { result: Ok(ReplyBody::Connect(result)), .. }) => {
                whole_or_nothing(out, |out| connected(result, out))
            }
            // The only command of a one-way client is its connect.
            Event::Reply(Reply { result: Err(error), .. }) => {
                Ok(Encoded::Disconnect(one_way_connect_error(error)))
            }
            Event::Reply(_) => Ok(Encoded::Nothing),
        }
    }
}

/// The connect push: what a reply would say, but that no pong is ever expected.
fn connected(result: &ConnectResult, out: &mut BytesMut) -> Result<(), Inexpressible> {
    let mut push = Object::open(out);
    encode::connect_result(&ConnectResult { pong: false, ..result.clone() }, push.key("connect"))?;
    push.close();
    Ok(())
}
