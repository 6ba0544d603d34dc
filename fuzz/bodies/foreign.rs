//! The WebSocket deframer beside tungstenite's: of the same bytes both read the same messages, and come to the same
//! end. Where they differ it is on purpose, and [`Deliberate`] says why.
//!
//! Input: a byte of flags (1: client), the message limit divided by four; then the stream.

use std::io::{self, Cursor, Read, Write};

use tungstenite::{
    Error, Message, WebSocket,
    error::ProtocolError,
    protocol::{self, WebSocketConfig},
};
use wharf_proto::{
    websocket::{FrameError, Role, WebsocketDeframer, WebsocketEvent},
    wire::{DeframeLimits, MessageKind},
};

/// What was read.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// What the other makes of a stream that we refuse, where it is not the same.
enum Deliberate {
    /// We find a rule broken at its first byte, the other when the frame is whole; it waits for bytes, or gives up
    /// as well.
    NothingMore,
    /// RFC 6455 section 5.2: "the minimal number of bytes MUST be used". The other takes the frame.
    Goes,
    /// RFC 6455 section 7.4: it takes a code that may not be sent for a close with 1002.
    ClosesWith1002,
}

/// What the other says of a close that it does not like. 1014 is in the registry since, which it does not know.
fn disliked() -> Seen {
    Seen::Close(Some((1002, "Protocol violation".to_owned())))
}

/// Compares; panics where they differ without a reason.
pub fn run(data: &[u8]) {
    let Some((&[flags, limit], stream)) = data.split_first_chunk::<2>() else { return };
    let limit = usize::from(limit) * 4;
    let (role, theirs) = match flags & 1 {
        0 => (Role::Server, protocol::Role::Server),
        _ => (Role::Client, protocol::Role::Client),
    };
    let (mut ours, end) = read(role, limit, stream);
    let (theirs, refused) = read_by_other(theirs, limit, stream);
    if let Some(close) = ours.last_mut().filter(|seen| matches!(seen, Seen::Close(Some((1014, _))))) {
        *close = disliked();
    }
    let Some(error) = end else {
        assert!(!refused, "the other refuses what we take: {ours:?}");
        assert_eq!(ours, theirs);
        return;
    };
    match deliberate(error) {
        Deliberate::Goes => assert_eq!(theirs.get(..ours.len()), Some(&ours[..]), "before {error}"),
        Deliberate::ClosesWith1002 if theirs.len() > ours.len() => {
            ours.push(disliked());
            assert_eq!(ours, theirs, "{error}");
        }
        _ => assert_eq!(ours, theirs, "before {error}"),
    }
}

fn deliberate(error: FrameError) -> Deliberate {
    match error {
        // A control frame whose length is written in three bytes is too long for us by these alone.
        FrameError::NonMinimalLength | FrameError::ControlTooLong => Deliberate::Goes,
        FrameError::CloseCode(_) => Deliberate::ClosesWith1002,
        _ => Deliberate::NothingMore,
    }
}

fn read(role: Role, message_bytes: usize, stream: &[u8]) -> (Vec<Seen>, Option<FrameError>) {
    // The other does not count fragments.
    let limits = DeframeLimits { message_bytes, fragments: u32::MAX };
    let mut seen = Vec::new();
    let mut deframer = WebsocketDeframer::new(role, limits);
    let result = deframer.feed(&mut stream.to_vec(), &mut |event| {
        seen.push(match event {
            WebsocketEvent::Message { kind: MessageKind::Text, payload, .. } => {
                Seen::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8"))
            }
            WebsocketEvent::Message { kind: MessageKind::Binary, payload, .. } => {
                Seen::Binary(payload.to_vec())
            }
            WebsocketEvent::Ping(payload) => Seen::Ping(payload.to_vec()),
            WebsocketEvent::Pong(payload) => Seen::Pong(payload.to_vec()),
            WebsocketEvent::Close { code, reason } => {
                Seen::Close(code.map(|code| (code.number(), reason.to_owned())))
            }
        });
    });
    if result.is_err() {
        // The other reads nothing behind an error. We do, but no error behind a close: it stands behind the error.
        seen.pop_if(|seen| matches!(seen, Seen::Close(_)));
    }
    (seen, result.err())
}

/// What tungstenite reads up to a close, the stream's end or an error; and whether it was the last.
fn read_by_other(role: protocol::Role, limit: usize, stream: &[u8]) -> (Vec<Seen>, bool) {
    // A control frame of 125 bytes fits any limit, as it does for us.
    let config =
        WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit.max(125)));
    let mut socket = WebSocket::from_raw_socket(Deaf(Cursor::new(stream)), role, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Seen::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Seen::Pong(bytes.to_vec()),
            Ok(Message::Close(close)) => {
                seen.push(Seen::Close(
                    close.map(|close| (close.code.into(), close.reason.as_str().to_owned())),
                ));
                return (seen, false);
            }
            Ok(Message::Frame(_)) => unreachable!("frames are not read as such"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (seen, false),
            Err(_) => return (seen, true),
        });
    }
}

/// A peer that says what stands in a buffer and hears nothing.
struct Deaf<'a>(Cursor<&'a [u8]>);

impl Read for Deaf<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Deaf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
