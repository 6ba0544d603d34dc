//! Properties of the WebSocket codec for any bytes in any pieces: what is read, what is refused, and at which byte,
//! depends on the bytes alone. Beside each property stands an oracle that is written in another way than the codec.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::Index};
use wharf_proto::websocket::{
    CloseCode, DeframeLimits, FrameError, FrameHeader, MessageKind, Opcode, Role, WebsocketDeframer,
    WebsocketEvent, apply_mask,
    handshake::{AnswerError, ClientRequest, MAX_ANSWER_HEAD_BYTES},
    write_close,
};

#[path = "../../../fuzz/bodies/roles.rs"]
mod roles;

/// An event that outlives the input.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<WebsocketEvent<'_>> for Seen {
    fn from(event: WebsocketEvent<'_>) -> Self {
        match event {
            WebsocketEvent::Message { kind: MessageKind::Text, payload, .. } => Self::Text(payload.to_vec()),
            WebsocketEvent::Message { kind: MessageKind::Binary, payload, .. } => {
                Self::Binary(payload.to_vec())
            }
            WebsocketEvent::Ping(payload) => Self::Ping(payload.to_vec()),
            WebsocketEvent::Pong(payload) => Self::Pong(payload.to_vec()),
            WebsocketEvent::Close { code, reason } => {
                Self::Close(code.map(CloseCode::number), reason.to_owned())
            }
        }
    }
}

/// What a stream came to: the events, and the error with the number of bytes after which it was told.
#[derive(Debug, PartialEq)]
struct Read {
    events: Vec<Seen>,
    error: Option<FrameError>,
    fed: usize,
    /// What was heard behind the error.
    behind: Vec<Seen>,
}

/// Feeds pieces, and holds that behind an error only a close is heard, and only where frames can be told apart.
fn read<'a>(mut deframer: WebsocketDeframer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut read = Read { events: Vec::new(), error: None, fed: 0, behind: Vec::new() };
    for piece in pieces {
        let mut seen = Vec::new();
        let result = deframer.feed(&mut piece.to_vec(), &mut |event| seen.push(Seen::from(event)));
        if read.error.is_some() {
            read.behind.append(&mut seen);
            continue;
        }
        read.fed += piece.len();
        read.error = result.err();
        if read.error.is_some() {
            // No error follows a close, so a close that comes with an error stands behind it.
            read.behind.extend(seen.pop_if(|seen| matches!(seen, Seen::Close(..))));
        }
        read.events.append(&mut seen);
    }
    match (&read.behind[..], read.error) {
        ([], _) => {}
        ([Seen::Close(..)], Some(error)) => assert!(error.leaves_boundaries(), "{read:?}"),
        _ => panic!("{read:?}"),
    }
    read
}

/// Cuts `stream` at the given fractions of its length.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

fn any_cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..12)
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

/// The same events and error whole, in single bytes and cut, and the same behind the error; in single bytes, and so
/// as early as can be, the error comes with the byte `broken_at`, and cut with the piece that holds it.
#[track_caller]
fn assert_read(
    open: impl Fn() -> WebsocketDeframer,
    stream: &[u8],
    cuts: &[Index],
    events: &[Seen],
    broken_at: Option<(usize, FrameError)>,
    behind: &[Seen],
) {
    let error = broken_at.map(|(_, error)| error);
    let expected = (events, error, behind);
    let whole = read(open(), [stream]);
    assert_eq!((&whole.events[..], whole.error, &whole.behind[..]), expected, "whole");
    let single = read(open(), stream.chunks(1));
    assert_eq!((&single.events[..], single.error, &single.behind[..]), expected, "in single bytes");
    let pieces = cut(stream, cuts);
    let in_pieces = read(open(), pieces.iter().copied());
    assert_eq!((&in_pieces.events[..], in_pieces.error, &in_pieces.behind[..]), expected, "cut");
    if let Some((at, _)) = broken_at {
        assert_eq!(single.fed, at + 1, "told at the byte that breaks the rule");
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        assert_eq!(ends.into_iter().find(|end| *end > at), Some(in_pieces.fed), "told with its piece");
    }
}

/// Appends a frame as the peer of `reader` writes it. Returns where its payload begins.
fn push_frame(out: &mut BytesMut, reader: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> usize {
    let mask = (reader == Role::Server).then_some([0x37, 0xfa, 0x00, 0x3d]);
    FrameHeader { fin, rsv1: false, opcode, mask, payload_len: payload.len() as u64 }.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask.unwrap_or_default(), 0);
    start
}

/// Appends what is passed over behind an error within a frame, then a close. The events of both go to `events`, or
/// where there is none because of an error, that of the close is returned.
fn push_end(out: &mut BytesMut, reader: Role, events: Option<&mut Vec<Seen>>) -> Vec<Seen> {
    push_frame(out, reader, true, Opcode::Pong, b"");
    push_frame(out, reader, true, Opcode::Ping, &[b'p'; 100]);
    push_frame(out, reader, true, Opcode::Close, &[&4_000_u16.to_be_bytes()[..], b"bye"].concat());
    let close = Seen::Close(Some(4_000), "bye".into());
    match events {
        None => vec![close],
        Some(events) => {
            events.extend([Seen::Pong(Vec::new()), Seen::Ping(vec![b'p'; 100]), close]);
            Vec::new()
        }
    }
}

/// Text, and text in which some bytes were replaced.
fn any_text_or_nearly() -> impl Strategy<Value = Vec<u8>> {
    let wrong = vec((any::<Index>(), any::<u8>()), 0..3);
    ("\\PC{0,60}", wrong).prop_map(|(text, wrong)| {
        let mut bytes = text.into_bytes();
        if !bytes.is_empty() {
            wrong.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = *byte);
        }
        bytes
    })
}

/// The first byte after which `text` cannot become UTF-8 any more, by the standard library's checker.
fn first_wrong_byte(text: &[u8]) -> Option<usize> {
    (0..text.len())
        .find(|at| std::str::from_utf8(&text[..=*at]).is_err_and(|error| error.error_len().is_some()))
}

proptest! {
    // Rows 22, 23 and 34.
    #[test]
    fn text_is_refused_at_the_byte_that_makes_it_wrong_however_it_is_cut(
        text in any_text_or_nearly(),
        fragments in vec(any::<Index>(), 0..4),
        cuts in any_cuts(),
        role in any_role(),
    ) {
        let pieces = cut(&text, &fragments);
        let (mut stream, mut events) = (BytesMut::new(), Vec::new());
        let (mut read_before, wrong_byte, mut broken_at) = (0, first_wrong_byte(&text), None);
        for (at, piece) in pieces.iter().enumerate() {
            let fin = at + 1 == pieces.len();
            let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
            let start = push_frame(&mut stream, role, fin, opcode, piece);
            let within = wrong_byte.filter(|wrong| (read_before..read_before + piece.len()).contains(wrong));
            read_before += piece.len();
            if let Some(wrong) = within {
                broken_at = Some(start + wrong + piece.len() - read_before);
                break;
            }
            if !fin {
                push_frame(&mut stream, role, true, Opcode::Ping, b"between");
                events.push(Seen::Ping(b"between".to_vec()));
            }
        }
        let unfinished = broken_at.is_none() && std::str::from_utf8(&text).is_err();
        if unfinished {
            // The last character has no end: known with the last byte.
            broken_at = Some(stream.len() - 1);
        } else if broken_at.is_none() {
            events.push(Seen::Text(text.clone()));
        }
        let behind = push_end(&mut stream, role, broken_at.is_none().then_some(&mut events));
        let broken_at = broken_at.map(|at| (at, FrameError::InvalidUtf8));
        let limits = DeframeLimits { message_bytes: 1_000, fragments: 8 };
        assert_read(|| WebsocketDeframer::new(role, limits), &stream, &cuts, &events, broken_at, &behind);
    }

    // Rows 29, 30 and 34.
    #[test]
    fn a_message_is_refused_by_the_header_that_passes_a_limit_however_it_is_cut(
        sizes in vec(0_usize..60, 1..12),
        limits in (0_usize..300, 0_u32..10).prop_map(|(message_bytes, fragments)| DeframeLimits { message_bytes, fragments }),
        cuts in any_cuts(),
        role in any_role(),
    ) {
        let (mut stream, mut events, mut sum, mut broken_at) = (BytesMut::new(), Vec::new(), 0, None);
        for (at, size) in sizes.iter().enumerate() {
            let opcode = if at == 0 { Opcode::Binary } else { Opcode::Continuation };
            let fin = at + 1 == sizes.len();
            let payload_at = push_frame(&mut stream, role, fin, opcode, &vec![b'x'; *size]);
            sum += size;
            let fragments = limits.fragments.max(1);
            let error = if sum > limits.message_bytes {
                Some(FrameError::MessageTooLong { limit: limits.message_bytes })
            } else if at >= fragments as usize {
                Some(FrameError::TooManyFragments { limit: fragments })
            } else {
                None
            };
            if let Some(error) = error {
                broken_at = Some((payload_at - 1, error));
                break;
            }
            if !fin {
                // Control frames count neither as bytes of the message nor as its fragments.
                push_frame(&mut stream, role, true, Opcode::Pong, &[b'p'; 125]);
                events.push(Seen::Pong(vec![b'p'; 125]));
            } else {
                events.push(Seen::Binary(vec![b'x'; sum]));
            }
        }
        let behind = push_end(&mut stream, role, broken_at.is_none().then_some(&mut events));
        assert_read(|| WebsocketDeframer::new(role, limits), &stream, &cuts, &events, broken_at, &behind);
    }

    // Rows 24, 25 and 34.
    #[test]
    fn a_close_is_judged_by_its_body_alone_however_it_is_cut(
        code in prop_oneof![0_u16..6_000, prop::sample::select(&[0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535][..]), 1000_u16..1016],
        reason in prop_oneof!["\\PC{0,40}".prop_map(String::into_bytes), any_text_or_nearly()],
        body_len in 0_usize..=125,
        cuts in any_cuts(),
        role in any_role(),
    ) {
        let mut body = [&code.to_be_bytes()[..], &reason].concat();
        body.truncate(body_len);
        let allowed = (1000..=1003).contains(&code) || (1007..=1014).contains(&code) || (3000..=4999).contains(&code);
        let reason = body.get(2..).unwrap_or_default();
        let (event, error) = match body.len() {
            0 => (Some(Seen::Close(None, String::new())), None),
            1 => (None, Some(FrameError::CloseTruncated)),
            _ if !allowed => (None, Some(FrameError::CloseCode(code))),
            _ => match String::from_utf8(reason.to_vec()) {
                Ok(reason) => (Some(Seen::Close(Some(code), reason)), None),
                Err(_) => (None, Some(FrameError::CloseReasonUtf8)),
            },
        };
        let mut stream = BytesMut::new();
        push_frame(&mut stream, role, false, Opcode::Text, b"never ends");
        push_frame(&mut stream, role, true, Opcode::Close, &body);
        let broken_at = error.map(|error| (stream.len() - 1, error));
        // Row 32: nothing behind it is looked at.
        stream.extend_from_slice(&[0xff; 20]);
        let events: Vec<_> = event.into_iter().collect();
        let limits = DeframeLimits { message_bytes: 1_000, fragments: 8 };
        assert_read(|| WebsocketDeframer::new(role, limits), &stream, &cuts, &events, broken_at, &[]);
    }

    #[test]
    fn a_close_that_is_written_is_read_with_as_much_of_its_reason_as_fits(
        code in any::<u16>(),
        reason in "[a-zé€🚢]{0,140}",
        masked: bool,
    ) {
        let (mask, reader) = if masked { (Some([9, 8, 7, 6]), Role::Server) } else { (None, Role::Client) };
        let code = CloseCode::new(code);
        let mut out = BytesMut::new();
        write_close(&mut out, code, &reason, mask);
        let read = read(WebsocketDeframer::new(reader, DeframeLimits::default()), [&out[..]]);
        let [Seen::Close(heard, told)] = &read.events[..] else { panic!("{read:?}") };
        prop_assert_eq!(*heard, code.map(CloseCode::number));
        prop_assert!(out.len() <= 2 + 4 + 125);
        match code {
            None => prop_assert_eq!(told, ""),
            Some(_) => {
                prop_assert!(reason.starts_with(told));
                // RFC 6455 section 5.5: 125 bytes with the code's two. One more character would not fit.
                let next = reason[told.len()..].chars().next().map_or(0, char::len_utf8);
                prop_assert!(told.len() <= 123 && (next == 0 || told.len() + next > 123), "{} bytes", told.len());
            }
        }
    }

    // Row 34, for a client.
    #[test]
    fn an_answer_is_judged_when_its_head_is_whole_and_by_its_head_alone(
        changes in vec((any::<Index>(), prop::sample::select(&b"\0\t\n\r :,;=\"1aZ\x7f\xff"[..])), 0..3),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let request = ClientRequest {
            host: "server.example.com",
            target: "/chat",
            key: *b"the sample nonce",
            subprotocols: &["chat"],
            deflate: None,
            headers: &[],
        };
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n".to_vec();
        let unchanged = changes.is_empty();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend_from_slice(&behind);
        let verdict = request.check(&bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        for length in 0..=bytes.len() {
            let expected = if end.is_some_and(|end| length >= end) { verdict.clone() } else { Ok(None) };
            prop_assert_eq!(request.check(&bytes[..length]), expected, "the first {} bytes", length);
        }
        if unchanged {
            prop_assert_eq!(verdict.map(|answer| answer.map(|answer| answer.subprotocol)), Ok(Some(Some("chat"))));
        }
    }
}

#[test]
fn an_answer_without_an_end_is_refused_at_the_limit_and_not_before() {
    let request = ClientRequest {
        host: "server.example.com",
        target: "/",
        key: [0; 16],
        subprotocols: &[],
        deflate: None,
        headers: &[],
    };
    let endless = [&b"HTTP/1.1 101 \r\nX: "[..], &[b'x'; MAX_ANSWER_HEAD_BYTES]].concat();
    assert_eq!(request.check(&endless[..MAX_ANSWER_HEAD_BYTES - 1]), Ok(None));
    assert_eq!(request.check(&endless[..MAX_ANSWER_HEAD_BYTES]), Err(AnswerError::TooLong));
    assert_eq!(request.check(&endless), Err(AnswerError::TooLong));
}

mod compressed {
    use wharf_proto::websocket::deflate::{Compression, Deflater, Inflater, WindowBits};

    use super::*;

    proptest! {
        // Rows 22 and 34.
        #[test]
        fn any_conversation_is_understood_by_both_roles(choices in vec(any::<u8>(), 0..400)) {
            // The body holds the promises, and panics where one is broken.
            roles::run(&choices);
        }

        // Rows 34, 35 and 36.
        #[test]
        fn compressed_messages_with_wrong_bytes_come_to_the_same_however_they_are_cut(
            messages in vec("[ab]{0,80}|\\PC{0,40}", 1..5),
            wrong in vec((any::<Index>(), any::<u8>()), 0..3),
            window_bits in 9_u8..=15,
            context_takeover: bool,
            message_bytes in 20_usize..200,
            cuts in any_cuts(),
            role in any_role(),
        ) {
            let window_bits = WindowBits::new(window_bits).expect("9 to 15 bits");
            let compression = Compression { context_takeover, window_bits };
            let mut deflater = Deflater::new(compression).with_min_bytes(0);
            let mask = (role == Role::Server).then_some([1, 2, 3, 4]);
            let mut stream = BytesMut::new();
            for message in &messages {
                deflater.write_frame(&mut stream, Opcode::Text, message.as_bytes(), mask);
            }
            for (at, byte) in &wrong {
                let at = at.index(stream.len());
                stream[at] = *byte;
            }
            write_close(&mut stream, CloseCode::new(1000), "done", mask);
            let limits = DeframeLimits { message_bytes, fragments: 4 };
            let open = || WebsocketDeframer::new(role, limits).with_inflater(Inflater::new(compression));
            let whole = read(open(), [&stream[..]]);
            for pieces in [cut(&stream, &cuts), stream.chunks(1).collect()] {
                let in_pieces = read(open(), pieces);
                let Read { events, error, behind, .. } = &in_pieces;
                prop_assert_eq!((events, error, behind), (&whole.events, &whole.error, &whole.behind));
            }
            let texts: Vec<_> = messages.iter().map(|text| Seen::Text(text.clone().into_bytes())).collect();
            if wrong.is_empty() {
                let fitting = messages.iter().take_while(|text| text.len() <= message_bytes).count();
                let end = (fitting == texts.len()).then(|| Seen::Close(Some(1000), "done".into()));
                let expected: Vec<_> = texts[..fitting].iter().cloned().chain(end).collect();
                prop_assert_eq!(&whole.events, &expected);
                let error = (fitting < texts.len()).then_some(FrameError::MessageTooLong { limit: message_bytes });
                prop_assert_eq!(whole.error, error);
                let behind = error.map(|_| Seen::Close(Some(1000), "done".into()));
                prop_assert_eq!(whole.behind, behind.into_iter().collect::<Vec<_>>());
            }
            for event in &whole.events {
                let (Seen::Text(text) | Seen::Binary(text)) = event else { continue };
                prop_assert!(text.len() <= message_bytes);
            }
        }
    }
}
