//! WebSocket as a framing, in the server's role: what stands between a socket that completed the handshake and a
//! dialect. The codec is in [`crate::websocket`].
//!
//! There are two: without compression, and with it where both sides agreed on it (RFC 7692). They differ in nothing
//! but what [`Framing::frame_deflated`] writes and a [`Deframer`] reads.

use bytes::BytesMut;

use crate::{
    Disconnect, PeerError,
    websocket::{
        CloseCode, MAX_CONTROL_BYTES, Opcode, Role, WebsocketDeframer, WebsocketEvent,
        deflate::{Compression, Deflater, Inflater, WindowBits},
        write_close, write_frame,
    },
    wire::{DeframeLimits, Deframer, Framing, Incoming, MessageKind},
};

/// One message in one frame, unmasked, so that every member on the wire gets the same bytes.
#[derive(Debug)]
pub struct WebsocketFraming {
    name: &'static str,
    /// Both sides agreed on permessage-deflate.
    deflates: bool,
}

/// Without compression, for the registry.
pub static WEBSOCKET: WebsocketFraming = WebsocketFraming { name: "websocket", deflates: false };

/// With compression, for the registry.
pub static WEBSOCKET_DEFLATE: WebsocketFraming =
    WebsocketFraming { name: "websocket_deflate", deflates: true };

impl WebsocketFraming {
    /// The reading side of a connection that agreed on compression, by its own half of the agreement.
    pub fn inflating(limits: DeframeLimits, inflater: Inflater) -> Box<dyn Deframer> {
        Box::new(WebsocketDeframer::new(Role::Server, limits).with_inflater(inflater))
    }
}

impl Framing for WebsocketFraming {
    fn name(&self) -> &'static str {
        self.name
    }

    /// RFC 7692 section 6: also where compression was agreed on, a message may go as it is.
    fn frame(&self, kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        write_frame(out, opcode(kind), message, None);
    }

    fn frame_deflated(
        &self,
        kind: MessageKind,
        message: &[u8],
        deflater: &mut Deflater,
        out: &mut BytesMut,
    ) -> bool {
        let deflated = self.deflates && deflater.write_deflated_frame(out, opcode(kind), message, None);
        if !deflated {
            self.frame(kind, message, out);
        }
        deflated
    }

    /// Where compression was agreed on, for a client that does not refer to earlier messages; for one that does
    /// there is [`WebsocketFraming::inflating`].
    fn deframer(&self, limits: DeframeLimits) -> Box<dyn Deframer> {
        if self.deflates {
            // The largest window reads what was written with any.
            let client = Compression { context_takeover: false, window_bits: WindowBits::MAX };
            return Self::inflating(limits, Inflater::new(client));
        }
        Box::new(WebsocketDeframer::new(Role::Server, limits))
    }

    fn carries_disconnect(&self) -> bool {
        true
    }

    /// A close frame. For a code that may not be sent (1005, the answer to a close without a code) its body is
    /// empty.
    fn end(&self, disconnect: &Disconnect, out: &mut BytesMut) {
        write_close(out, CloseCode::new(disconnect.code), &disconnect.reason, None);
    }

    fn ping(&self, out: &mut BytesMut) {
        write_frame(out, Opcode::Ping, b"", None);
    }

    /// At most the first 125 bytes of `payload`; a ping cannot carry more.
    fn pong(&self, payload: &[u8], out: &mut BytesMut) {
        write_frame(out, Opcode::Pong, &payload[..payload.len().min(MAX_CONTROL_BYTES)], None);
    }
}

fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}

impl Deframer for WebsocketDeframer {
    fn feed(&mut self, input: &mut [u8], sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), PeerError> {
        WebsocketDeframer::feed(self, input, &mut |event| {
            sink(match event {
                WebsocketEvent::Message { kind, payload, .. } => Incoming::Message(kind, payload),
                WebsocketEvent::Ping(payload) => Incoming::Ping(payload),
                WebsocketEvent::Pong(payload) => Incoming::Pong(payload),
                WebsocketEvent::Close { code, reason } => {
                    Incoming::Close(code.map(CloseCode::number), reason)
                }
            });
        })?;
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        WebsocketDeframer::held_bytes(self)
    }

    fn awaits_close(&self) -> bool {
        !self.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([0xa1, 0xb2, 0xc3, 0xd4]);

    fn write_client_stream() -> BytesMut {
        let mut out = BytesMut::new();
        write_frame(&mut out, Opcode::Text, "{\"naïve\":1}".as_bytes(), MASK);
        write_frame(&mut out, Opcode::Ping, b"tick", MASK);
        write_frame(&mut out, Opcode::Binary, &[0xff; 200], MASK);
        write_frame(&mut out, Opcode::Pong, b"", MASK);
        write_close(&mut out, CloseCode::new(1000), "done", MASK);
        out
    }

    fn describe(incoming: Incoming<'_>) -> String {
        format!("{incoming:?}")
    }

    // Row 34.
    #[test]
    fn hands_out_the_same_whole_and_split_at_every_byte() {
        let stream = write_client_stream();
        let mut whole = Vec::new();
        let mut deframer = WEBSOCKET.deframer(DeframeLimits::default());
        deframer.feed(&mut stream.clone(), &mut |found| whole.push(describe(found))).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[0], describe(Incoming::Message(MessageKind::Text, "{\"naïve\":1}".as_bytes())));
        assert_eq!(whole[4], describe(Incoming::Close(Some(1000), "done")));
        for at in 0..=stream.len() {
            let mut pieces = stream.clone();
            let (one, other) = pieces.split_at_mut(at);
            let mut split = Vec::new();
            let mut deframer = WEBSOCKET.deframer(DeframeLimits::default());
            deframer.feed(one, &mut |found| split.push(describe(found))).unwrap();
            deframer.feed(other, &mut |found| split.push(describe(found))).unwrap();
            assert_eq!(split, whole, "split at {at}");
        }
    }

    #[test]
    fn reads_and_writes_compressed_and_uncompressed_messages_mixed_where_that_was_agreed_on() {
        let alone = Compression { context_takeover: false, window_bits: WindowBits::MAX };
        let long = "ahoy ".repeat(100);
        let write = |framing: &WebsocketFraming, out: &mut BytesMut| {
            let mut deflater = Deflater::new(alone);
            framing.frame_deflated(MessageKind::Text, long.as_bytes(), &mut deflater, out)
        };
        let mut plain = BytesMut::new();
        assert!(!write(&WEBSOCKET, &mut plain));
        let mut expected = BytesMut::new();
        WEBSOCKET.frame(MessageKind::Text, long.as_bytes(), &mut expected);
        assert_eq!(plain, expected, "nothing was agreed on");

        let mut mixed = BytesMut::new();
        assert!(write(&WEBSOCKET_DEFLATE, &mut mixed));
        assert!(mixed.len() < long.len() / 10);
        WEBSOCKET_DEFLATE.frame(MessageKind::Text, long.as_bytes(), &mut mixed);
        let mut found = Vec::new();
        let limits = DeframeLimits::default();
        WebsocketDeframer::new(Role::Client, limits)
            .with_inflater(Inflater::new(alone))
            .feed(&mut mixed, &mut |event| found.push(format!("{event:?}")))
            .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], found[1]);

        // What a client writes.
        let mut stream = BytesMut::new();
        Deflater::new(alone).write_frame(&mut stream, Opcode::Text, long.as_bytes(), MASK);
        write_frame(&mut stream, Opcode::Text, long.as_bytes(), MASK);
        let mut found = Vec::new();
        let mut deframer = WEBSOCKET_DEFLATE.deframer(limits);
        deframer.feed(&mut stream, &mut |incoming| found.push(describe(incoming))).unwrap();
        let message = describe(Incoming::Message(MessageKind::Text, long.as_bytes()));
        assert_eq!(found, [message.clone(), message]);
    }

    #[test]
    fn frames_what_a_client_reads_back() {
        let mut out = BytesMut::new();
        WEBSOCKET.frame(MessageKind::Text, b"{}", &mut out);
        WEBSOCKET.frame(MessageKind::Binary, &[7; 70_000], &mut out);
        WEBSOCKET.ping(&mut out);
        WEBSOCKET.pong(b"tick", &mut out);
        WEBSOCKET.end(&Disconnect::SHUTDOWN, &mut out);
        let mut found = Vec::new();
        let limits = DeframeLimits { message_bytes: 70_000, fragments: 1 };
        WebsocketDeframer::new(Role::Client, limits)
            .feed(&mut out, &mut |event| found.push(format!("{event:?}")))
            .unwrap();
        let expected = [
            WebsocketEvent::Message { kind: MessageKind::Text, payload: b"{}", rsv1: false },
            WebsocketEvent::Message { kind: MessageKind::Binary, payload: &[7; 70_000], rsv1: false },
            WebsocketEvent::Ping(b""),
            WebsocketEvent::Pong(b"tick"),
            WebsocketEvent::Close { code: CloseCode::new(3001), reason: "shutdown" },
        ];
        assert_eq!(found, expected.map(|event| format!("{event:?}")));
    }

    #[test]
    fn answers_a_close_without_a_code_by_one_without_a_code() {
        let mut out = BytesMut::new();
        WEBSOCKET.end(&Disconnect { code: 1005, reason: "".into() }, &mut out);
        assert_eq!(out[..], [0x88, 0]);
    }

    #[test]
    fn tells_a_broken_rule_with_its_own_close_code() {
        let mut deframer = WEBSOCKET.deframer(DeframeLimits { message_bytes: 10, fragments: 2 });
        let mut stream = BytesMut::new();
        write_frame(&mut stream, Opcode::Text, b"eleven byte", MASK);
        let error = deframer.feed(&mut stream, &mut |found| panic!("{found:?}")).unwrap_err();
        assert_eq!(error.disconnect().code, 1009);
        let mut close = BytesMut::new();
        WEBSOCKET.end(&error.disconnect(), &mut close);
        assert_eq!(close[4..], *b"the message is longer than the limit of 10 bytes");
    }

    #[test]
    fn keeps_at_most_48_bytes_between_messages() {
        assert!(size_of::<WebsocketDeframer>() <= 48, "{}", size_of::<WebsocketDeframer>());
        let mut deframer = WEBSOCKET.deframer(DeframeLimits::default());
        deframer.feed(&mut write_client_stream()[..60], &mut |_| {}).unwrap();
        assert!(deframer.held_bytes() > 0);
        deframer.feed(&mut write_client_stream()[60..], &mut |_| {}).unwrap();
        assert_eq!(deframer.held_bytes(), 0);
    }
}
