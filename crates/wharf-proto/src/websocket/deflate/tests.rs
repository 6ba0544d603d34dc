//! Compressed messages through frames: what the deframer and the inflater promise together.

use bytes::BytesMut;

use super::*;
use crate::websocket::{
    CloseCode, DeframeLimits, FrameError, FrameHeader, MessageKind, Opcode, WebsocketDeframer,
    WebsocketEvent, apply_mask, write_close, write_frame,
};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 1_000, fragments: 8 };
/// "Hello" in RFC 7692 section 7.2.3.1, and again in section 7.2.3.2.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Closed,
    Broken(FrameError),
}

fn remembering() -> Compression {
    Compression { context_takeover: true, window_bits: WindowBits::MAX }
}

fn server() -> WebsocketDeframer {
    WebsocketDeframer::new(Role::Server, LIMITS).with_inflater(Inflater::new(remembering()))
}

/// Feeds pieces of a stream, and holds the promises about memory meanwhile.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut deframer = server();
    let mut seen = Vec::new();
    let context = size_of::<Inflater>() + inflate_context_bytes(WindowBits::MAX);
    for piece in pieces {
        let result = deframer.feed(&mut piece.to_vec(), &mut |event| {
            seen.push(match event {
                WebsocketEvent::Message { kind: MessageKind::Text, payload, rsv1: false } => {
                    Seen::Text(payload.to_vec())
                }
                WebsocketEvent::Message { kind: MessageKind::Binary, payload, rsv1: false } => {
                    Seen::Binary(payload.to_vec())
                }
                WebsocketEvent::Ping(payload) => Seen::Ping(payload.to_vec()),
                WebsocketEvent::Close { .. } => Seen::Closed,
                event => panic!("{event:?}"),
            });
        });
        let partial = deframer.memory_bytes().saturating_sub(WebsocketDeframer::OVERHEAD_BYTES + context);
        assert!(partial <= 1_200, "{partial}");
        if let Err(error) = result {
            // No error follows a close, so a close that is seen already stands behind the error.
            let behind = usize::from(seen.last() == Some(&Seen::Closed));
            seen.insert(seen.len() - behind, Seen::Broken(error));
        }
    }
    if deframer.has_ended() {
        assert_eq!(deframer.memory_bytes(), 0);
    }
    seen
}

/// What a server sees, checked to be the same whole, in single bytes and split at every place.
fn seen_however_split(stream: &[u8]) -> Vec<Seen> {
    let whole = feed([stream]);
    assert_eq!(feed(stream.chunks(1)), whole, "in single bytes");
    for at in 1..stream.len() {
        assert_eq!(feed([&stream[..at], &stream[at..]]), whole, "split at {at}");
    }
    whole
}

/// One frame of a client's, which may be a fragment and may be marked.
fn frame(fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameHeader { fin, rsv1, opcode, mask: Some(KEY), payload_len: payload.len() as u64 }.write(&mut out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], KEY, 0);
    out.to_vec()
}

fn marked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(true, true, opcode, payload)
}

fn hello() -> Seen {
    Seen::Text(b"Hello".to_vec())
}

#[test]
fn reads_marked_and_plain_messages_in_turn() {
    let stream = [
        marked(Opcode::Text, &HELLO),
        frame(true, false, Opcode::Text, b"plain"),
        marked(Opcode::Binary, &AGAIN),
        marked(Opcode::Text, &[0x00]),
    ];
    let expected =
        [hello(), Seen::Text(b"plain".to_vec()), Seen::Binary(b"Hello".to_vec()), Seen::Text(Vec::new())];
    assert_eq!(seen_however_split(&stream.concat()), expected);
}

#[test]
fn joins_fragments_of_which_the_first_is_marked_with_control_frames_between() {
    // RFC 7692 section 7.2.3.1: the same message in two frames; and in as many as the limit allows.
    let two = [
        frame(false, true, Opcode::Text, &HELLO[..3]),
        frame(true, false, Opcode::Ping, b"now"),
        frame(true, false, Opcode::Continuation, &HELLO[3..]),
    ];
    let expected = [Seen::Ping(b"now".to_vec()), hello()];
    assert_eq!(seen_however_split(&two.concat()), expected);
    let mut many = frame(false, true, Opcode::Text, b"");
    for byte in &HELLO[..6] {
        many.extend(frame(false, false, Opcode::Continuation, &[*byte]));
    }
    many.extend(frame(true, false, Opcode::Continuation, &HELLO[6..]));
    assert_eq!(seen_however_split(&many), [hello()]);
}

// Row 17.
#[test]
fn refuses_the_mark_on_control_and_continuation_frames_with_1002() {
    let begun = frame(false, true, Opcode::Text, &HELLO[..3]);
    let continued = [&begun[..], &marked(Opcode::Continuation, &HELLO[3..])].concat();
    assert_eq!(seen_however_split(&continued), [Seen::Broken(FrameError::ReservedBits)]);
    let pinged = [&begun[..], &marked(Opcode::Ping, b"")].concat();
    assert_eq!(seen_however_split(&pinged), [Seen::Broken(FrameError::ReservedBits)]);
}

// Row 35.
#[test]
fn ends_with_1009_while_a_bomb_inflates() {
    let mut bomb = BytesMut::new();
    let zeroes = vec![0; 1_000_000];
    let mut shared =
        Deflater::new(Compression { context_takeover: false, window_bits: WindowBits::MAX }).with_level(9);
    assert!(shared.deflate(&zeroes, &mut bomb));
    // Within what may come on the wire for a message of 1,000 bytes.
    assert!(bomb.len() < 1_100, "{} bytes", bomb.len());
    let expected = FrameError::MessageTooLong { limit: 1_000 };
    assert_eq!(expected.close_code(), 1009);
    assert_eq!(feed([&marked(Opcode::Binary, &bomb)[..]]), [Seen::Broken(expected)]);
    assert_eq!(feed(marked(Opcode::Text, &bomb).chunks(1)), [Seen::Broken(expected)]);
    let (one, other) = bomb.split_at(500);
    let fragments =
        [frame(false, true, Opcode::Binary, one), frame(true, false, Opcode::Continuation, other)].concat();
    assert_eq!(feed(fragments.chunks(7)), [Seen::Broken(expected)]);
}

// Rows 29 and 35.
#[test]
fn bounds_the_bytes_on_the_wire_by_what_the_longest_message_can_need() {
    // A message of the limit that does not compress, in stored blocks of one byte at worst of zlib's, is longer
    // on the wire than the message.
    let message: Vec<u8> = (0..1_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stored = message.chunks(100).flat_map(|block| {
        let len = block.len() as u16;
        [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), block].concat()
    });
    let payload: Vec<u8> = stored.chain([0]).collect();
    assert!(payload.len() > LIMITS.message_bytes);
    assert_eq!(feed([&marked(Opcode::Binary, &payload)[..]]), [Seen::Binary(message)]);
    // Blocks without a byte in them, without end, reach the bound on the wire by the header that passes it.
    let inflater = Inflater::new(remembering());
    let longest = inflater.longest_payload(LIMITS.message_bytes, LIMITS.fragments) as usize;
    let within = marked(Opcode::Binary, &vec![0x02; longest]);
    assert_eq!(feed([&within[..]]), [Seen::Broken(FrameError::InvalidDeflate)]);
    let expected = FrameError::MessageTooLong { limit: 1_000 };
    let over = marked(Opcode::Binary, &vec![0; longest + 1]);
    assert_eq!(feed([&over[..8]]), [Seen::Broken(expected)]);
    let begun = frame(false, true, Opcode::Binary, &vec![0; longest]);
    let over = [&begun[..], &frame(true, false, Opcode::Continuation, &[0])].concat();
    assert_eq!(feed(over.chunks(100)), [Seen::Broken(expected)]);
    // A message that is not marked has the limit itself.
    let plain = frame(true, false, Opcode::Binary, &[0; 1_001]);
    assert_eq!(feed([&plain[..8]]), [Seen::Broken(expected)]);
}

// Row 36.
#[test]
fn refuses_corrupt_and_unfinished_data_with_1007() {
    let invalid = [Seen::Broken(FrameError::InvalidDeflate)];
    for payload in [&b""[..], b"\x06", b"\xff\xff\xff\xff", &HELLO[..4], &AGAIN] {
        assert_eq!(seen_however_split(&marked(Opcode::Text, payload)), invalid, "{payload:x?}");
    }
    assert_eq!(FrameError::InvalidDeflate.close_code(), 1007);
}

// Rows 35 and 36.
#[test]
fn hears_the_close_behind_what_cannot_be_inflated() {
    let mut bomb = BytesMut::new();
    let alone = Compression { context_takeover: false, window_bits: WindowBits::MAX };
    assert!(Deflater::new(alone).with_level(9).deflate(&vec![0; 50_000], &mut bomb));
    let wrong = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00];
    let (one, other) = bomb.split_at(bomb.len() / 2);
    let breaches = [
        (marked(Opcode::Binary, &bomb), FrameError::MessageTooLong { limit: 1_000 }),
        (
            [frame(false, true, Opcode::Text, one), frame(true, false, Opcode::Continuation, other)].concat(),
            FrameError::MessageTooLong { limit: 1_000 },
        ),
        (marked(Opcode::Text, b"\x06"), FrameError::InvalidDeflate),
        (marked(Opcode::Text, &wrong), FrameError::InvalidUtf8),
    ];
    let mut close = BytesMut::new();
    write_close(&mut close, Some(CloseCode::NORMAL), "", Some(KEY));
    for (breach, error) in breaches {
        // What needs what came before to be inflated is passed over like everything else.
        let stream = [&breach[..], &marked(Opcode::Text, &AGAIN), &close].concat();
        assert_eq!(seen_however_split(&stream), [Seen::Broken(error), Seen::Closed]);
    }
}

// Rows 23 and 36.
#[test]
fn checks_text_after_it_is_inflated_and_not_before() {
    // "\xff" stored; its compressed form is not UTF-8 either way.
    let wrong = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00];
    assert_eq!(seen_however_split(&marked(Opcode::Text, &wrong)), [Seen::Broken(FrameError::InvalidUtf8)]);
    assert_eq!(seen_however_split(&marked(Opcode::Binary, &wrong)), [Seen::Binary(b"\xff".to_vec())]);
    // A character whose two bytes are in two blocks and two fragments.
    let blocks = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00, 0x01, 0x00, 0xfe, 0xff, 0xa9, 0x00];
    let stream = [
        frame(false, true, Opcode::Text, &blocks[..6]),
        frame(true, false, Opcode::Continuation, &blocks[6..]),
    ];
    assert_eq!(seen_however_split(&stream.concat()), [Seen::Text("é".into())]);
}

#[test]
fn gives_everything_back_at_the_end() {
    let budget = CompressorBudget::new(10_000_000);
    let parameters = Parameters { server: remembering(), client: remembering() };
    let open = || {
        let reservation = budget.try_reserve(parameters.context_bytes(Role::Server));
        let (inflater, _) = Agreement::reserved(parameters, reservation).into_halves(Role::Server);
        WebsocketDeframer::new(Role::Server, LIMITS).with_inflater(inflater)
    };
    let mut close = BytesMut::new();
    write_close(&mut close, Some(CloseCode::NORMAL), "", Some(KEY));
    for mut last in [close.to_vec(), marked(Opcode::Text, b"\x06"), b"\xff\xff".to_vec()] {
        let mut deframer = open();
        deframer.feed(&mut marked(Opcode::Text, &HELLO), &mut |_| {}).unwrap();
        assert_eq!(budget.used_bytes(), inflate_context_bytes(WindowBits::MAX));
        assert!(deframer.memory_bytes() > 0);
        let _ = deframer.feed(&mut last, &mut |_| {});
        // Also where a close may still come.
        assert_eq!((budget.used_bytes(), deframer.memory_bytes()), (0, 0));
    }
}

#[test]
fn a_deframer_without_compression_is_as_small_as_ever() {
    assert!(size_of::<WebsocketDeframer>() <= 48);
    let mut deframer = WebsocketDeframer::new(Role::Server, LIMITS);
    let mut plain = BytesMut::new();
    write_frame(&mut plain, Opcode::Text, b"plain", Some(KEY));
    deframer.feed(&mut plain, &mut |_| {}).unwrap();
    assert_eq!(deframer.memory_bytes(), 0);
    let refused = deframer.feed(&mut marked(Opcode::Text, &HELLO), &mut |_| {});
    assert_eq!(refused, Err(FrameError::ReservedBits));
}

#[test]
fn reads_what_the_zlib_of_others_writes() {
    let push = |text: &str, offset| {
        format!(
            "{{\"push\":{{\"channel\":\"news\",\"pub\":{{\"data\":{{\"text\":\"{text}\"}},\"offset\":{offset}}}}}}}"
        )
    };
    let messages = [
        "{\"id\":1,\"connect\":{\"name\":\"js\"}}".to_owned(),
        push("ahoy", 1),
        push("ahoy again", 2),
        "{\"naïve\":\"⚓\"}".to_owned(),
        "x".repeat(3_000),
        push("ahoy", 3),
    ];
    let vectors = include_str!("../../testdata/deflate/zlib.txt");
    let mut read = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [bits, _level, takeover, payloads @ ..] = &words[..] else { panic!("{line:?}") };
        let window_bits = WindowBits::new(bits.parse().unwrap()).unwrap();
        let mut inflater = Inflater::new(Compression { context_takeover: *takeover == "1", window_bits });
        for (payload, message) in payloads.iter().zip(&messages) {
            let byte = |at| u8::from_str_radix(&payload[at..at + 2], 16).unwrap();
            let payload: Vec<u8> = (0..payload.len()).step_by(2).map(byte).collect();
            let mut out = Vec::new();
            inflater.inflate(&payload, MessageKind::Text, 3_000, &mut out).unwrap();
            assert_eq!(out, message.as_bytes(), "{line:?}");
            read += 1;
        }
    }
    assert_eq!(read, 46);
}
