use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::websocket::{MAX_CONTROL_BYTES, apply_mask, write_close, write_frame};

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 1_000, fragments: 8 };

/// An event that outlives the input.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Marked(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Broken(FrameError),
}

impl From<WebsocketEvent<'_>> for Seen {
    fn from(event: WebsocketEvent<'_>) -> Self {
        match event {
            WebsocketEvent::Message { payload, rsv1: true, .. } => Self::Marked(payload.to_vec()),
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

/// Feeds pieces of a stream, and holds the promises about memory meanwhile. What is seen behind the first error is
/// seen behind it, and later errors are not.
fn feed_pieces<'a>(mut deframer: WebsocketDeframer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        fed += piece.len();
        let before = seen.len();
        let result = deframer.feed(&mut piece.to_vec(), &mut |event| seen.push(event.into()));
        let payload_memory = deframer.memory_bytes().saturating_sub(WebsocketDeframer::OVERHEAD_BYTES);
        assert!(payload_memory <= deframer.message_bytes.min(2 * fed), "{payload_memory} after {fed}");
        let was_broken = seen[..before].iter().any(|seen| matches!(seen, Seen::Broken(_)));
        if let (Err(error), false) = (result, was_broken) {
            // No error follows a close, so a close of this call stands behind the error.
            let behind = usize::from(matches!(seen[before..].last(), Some(Seen::Close(..))));
            seen.insert(seen.len() - behind, Seen::Broken(error));
        }
        if was_broken || result.is_err() {
            assert!(deframer.memory_bytes() <= WebsocketDeframer::OVERHEAD_BYTES, "no payload is kept");
        }
        if deframer.has_ended() {
            assert_eq!(deframer.memory_bytes(), 0);
        }
    }
    seen
}

fn server() -> WebsocketDeframer {
    WebsocketDeframer::new(Role::Server, LIMITS)
}

/// What a server sees, checked to be the same whole, in single bytes and split at every place.
fn seen_however_split(stream: &[u8]) -> Vec<Seen> {
    let whole = feed_pieces(server(), [stream]);
    assert_eq!(feed_pieces(server(), stream.chunks(1)), whole, "in single bytes");
    for at in 1..stream.len() {
        assert_eq!(feed_pieces(server(), [&stream[..at], &stream[at..]]), whole, "split at {at}");
    }
    whole
}

/// One frame of a client's, which may be a fragment.
fn fragment(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameHeader { fin, rsv1: false, opcode, mask: MASK, payload_len: payload.len() as u64 }.write(&mut out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], MASK.unwrap(), 0); // The constant is Some.
    out.to_vec()
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(true, opcode, payload)
}

fn broken(error: FrameError) -> Vec<Seen> {
    vec![Seen::Broken(error)]
}

#[test]
fn is_at_most_40_bytes_and_takes_no_memory_between_messages() {
    // With the allocator's word, 48.
    assert!(size_of::<WebsocketDeframer>() <= 40);
    let fragments = [fragment(false, Opcode::Text, b"hel"), frame(Opcode::Continuation, b"lo")].concat();
    for stream in [frame(Opcode::Text, b"hello"), frame(Opcode::Ping, b"hello"), fragments] {
        let mut deframer = server();
        let (last, before) = stream.split_last().unwrap(); // No frame is empty.
        for byte in before {
            deframer.feed(&mut [*byte], &mut |event| panic!("{event:?}")).unwrap();
            assert!(deframer.memory_bytes() > 0);
        }
        assert_eq!(deframer.held_bytes(), 4, "all of the payload but its last byte");
        let mut count = 0;
        deframer.feed(&mut [*last], &mut |_| count += 1).unwrap();
        assert_eq!((count, deframer.held_bytes(), deframer.memory_bytes()), (1, 0, 0));
    }
}

#[test]
fn hands_out_a_whole_message_where_it_lies() {
    let mut stream =
        [frame(Opcode::Text, b"one"), frame(Opcode::Ping, b"p"), frame(Opcode::Binary, b"two")].concat();
    let range = stream.as_ptr_range();
    let mut count = 0;
    server()
        .feed(&mut stream, &mut |event| {
            let (WebsocketEvent::Message { payload, .. } | WebsocketEvent::Ping(payload)) = event else {
                panic!("{event:?}")
            };
            assert!(range.contains(&payload.as_ptr()));
            count += 1;
        })
        .unwrap();
    assert_eq!(count, 3);
}

// Row 15.
#[test]
fn refuses_an_unmasked_frame_with_1002() {
    let mut stream = BytesMut::new();
    write_frame(&mut stream, Opcode::Text, b"hello", None);
    assert_eq!(seen_however_split(&stream), broken(FrameError::Unmasked));
    assert_eq!(FrameError::Unmasked.close_code(), 1002);
}

#[test]
fn refuses_a_masked_frame_as_client_with_1002() {
    let stream = frame(Opcode::Text, b"hello");
    let client = WebsocketDeframer::new(Role::Client, LIMITS);
    assert_eq!(feed_pieces(client, [&stream[..]]), broken(FrameError::Masked));
    assert_eq!(FrameError::Masked.close_code(), 1002);
}

// Row 16.
#[test]
fn refuses_reserved_bits_without_an_extension_with_1002() {
    for bit in [0x40, 0x20, 0x10] {
        let mut stream = [frame(Opcode::Text, b"fine"), frame(Opcode::Text, b"hello")].concat();
        stream[10] |= bit;
        let expected = vec![Seen::Text(b"fine".to_vec()), Seen::Broken(FrameError::ReservedBits)];
        assert_eq!(seen_however_split(&stream), expected);
    }
    assert_eq!(FrameError::ReservedBits.close_code(), 1002);
}

// Row 17.
#[test]
fn refuses_rsv1_on_control_and_continuation_frames_where_it_is_allowed_on_messages() {
    let mut marked = fragment(false, Opcode::Text, b"\xff\x00 not text");
    marked[0] |= 0x40;
    let tail = frame(Opcode::Continuation, b"!");
    let allowed = feed_pieces(server().allow_rsv1(), [&marked[..], &tail]);
    assert_eq!(allowed, [Seen::Marked(b"\xff\x00 not text!".to_vec())]);
    for mut second in [tail, frame(Opcode::Ping, b"")] {
        second[0] |= 0x40;
        let refused = feed_pieces(server().allow_rsv1(), [&marked[..], &second]);
        assert_eq!(refused, broken(FrameError::ReservedBits));
    }
}

// Row 18.
#[test]
fn refuses_reserved_opcodes_with_1002() {
    for bits in [3, 7, 11, 15] {
        let mut stream = frame(Opcode::Continuation, b"");
        stream[0] = 0x80 | bits;
        assert_eq!(seen_however_split(&stream), broken(FrameError::ReservedOpcode(bits)));
    }
    assert_eq!(FrameError::ReservedOpcode(3).close_code(), 1002);
}

// Row 19.
#[test]
fn refuses_a_control_frame_over_125_bytes_with_1002() {
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        let stream = frame(opcode, &[b'x'; 126]);
        assert_eq!(seen_however_split(&stream), broken(FrameError::ControlTooLong));
    }
    assert_eq!(FrameError::ControlTooLong.close_code(), 1002);
    let longest = [b'x'; MAX_CONTROL_BYTES];
    assert_eq!(seen_however_split(&frame(Opcode::Ping, &longest)), [Seen::Ping(longest.to_vec())]);
}

// Row 20.
#[test]
fn refuses_a_fragmented_control_frame_with_1002() {
    let stream = [fragment(false, Opcode::Ping, b"a"), frame(Opcode::Continuation, b"b")].concat();
    assert_eq!(seen_however_split(&stream), broken(FrameError::ControlFragmented));
    assert_eq!(FrameError::ControlFragmented.close_code(), 1002);
}

// Row 21.
#[test]
fn refuses_a_message_within_a_message_and_a_continuation_of_none_with_1002() {
    let interleaved = [fragment(false, Opcode::Text, b"a"), frame(Opcode::Text, b"b")].concat();
    assert_eq!(seen_however_split(&interleaved), broken(FrameError::Interleaved));
    assert_eq!(seen_however_split(&frame(Opcode::Continuation, b"a")), broken(FrameError::StrayContinuation));
    let after_the_end = [
        fragment(false, Opcode::Text, b"a"),
        frame(Opcode::Continuation, b"b"),
        fragment(false, Opcode::Continuation, b"c"),
    ];
    let expected = vec![Seen::Text(b"ab".to_vec()), Seen::Broken(FrameError::StrayContinuation)];
    assert_eq!(seen_however_split(&after_the_end.concat()), expected);
    assert_eq!(FrameError::Interleaved.close_code(), 1002);
    assert_eq!(FrameError::StrayContinuation.close_code(), 1002);
}

// Row 22.
#[test]
fn hands_out_a_ping_between_fragments_at_once() {
    let before = [fragment(false, Opcode::Text, b"na\xc3"), frame(Opcode::Ping, b"now")].concat();
    assert_eq!(seen_however_split(&before), [Seen::Ping(b"now".to_vec())]);
    let whole =
        [before, fragment(false, Opcode::Continuation, b""), frame(Opcode::Continuation, b"\xafve")].concat();
    let expected = [Seen::Ping(b"now".to_vec()), Seen::Text("naïve".into())];
    assert_eq!(seen_however_split(&whole), expected);
}

// Row 23.
#[test]
fn refuses_text_that_is_not_utf8_with_1007() {
    for text in [&b"\xff"[..], b"ok \xed\xa0\x80", b"cut \xe2\x82", b"\xc0\xaf"] {
        assert_eq!(seen_however_split(&frame(Opcode::Text, text)), broken(FrameError::InvalidUtf8));
        assert_eq!(seen_however_split(&frame(Opcode::Binary, text)), [Seen::Binary(text.to_vec())]);
    }
    assert_eq!(FrameError::InvalidUtf8.close_code(), 1007);
}

// Row 23.
#[test]
fn refuses_text_at_its_first_wrong_byte_within_a_frame_and_over_fragments() {
    // A frame that promises 100 bytes: the byte at which the text becomes wrong is the last one fed.
    let within = frame(Opcode::Text, &[&b"\xce\xba\xf4\x90"[..], &[b'x'; 96]].concat());
    assert_eq!(feed_pieces(server(), within[..9].chunks(1)), []);
    assert_eq!(feed_pieces(server(), within[..10].chunks(1)), broken(FrameError::InvalidUtf8));
    // A character that begins in one fragment and goes wrong in the next, which is not the last.
    let over =
        [fragment(false, Opcode::Text, b"\xf0\x9f"), fragment(false, Opcode::Continuation, b"a...")].concat();
    assert_eq!(seen_however_split(&over), broken(FrameError::InvalidUtf8));
    let unfinished = [fragment(false, Opcode::Text, b"\xf0\x9f"), frame(Opcode::Continuation, b"")].concat();
    assert_eq!(seen_however_split(&unfinished), broken(FrameError::InvalidUtf8));
}

// Row 24.
#[test]
fn refuses_a_close_body_of_one_byte_and_unsendable_codes_with_1002() {
    assert_eq!(seen_however_split(&frame(Opcode::Close, &[3])), broken(FrameError::CloseTruncated));
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535] {
        let stream = frame(Opcode::Close, &u16::to_be_bytes(code));
        assert_eq!(seen_however_split(&stream), broken(FrameError::CloseCode(code)));
        assert_eq!(FrameError::CloseCode(code).close_code(), 1002);
    }
    assert_eq!(FrameError::CloseTruncated.close_code(), 1002);
}

// Row 25.
#[test]
fn refuses_a_close_reason_that_is_not_utf8_with_1007() {
    let stream = frame(Opcode::Close, b"\x03\xe8bye\xff");
    assert_eq!(seen_however_split(&stream), broken(FrameError::CloseReasonUtf8));
    assert_eq!(FrameError::CloseReasonUtf8.close_code(), 1007);
}

// Row 26.
#[test]
fn refuses_a_64_bit_length_with_the_top_bit_with_1002() {
    let stream = *b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01mask?";
    assert_eq!(seen_however_split(&stream), broken(FrameError::LengthTopBit));
    assert_eq!(FrameError::LengthTopBit.close_code(), 1002);
}

// Row 27.
#[test]
fn refuses_a_claim_of_2_to_the_62_with_1009_and_without_memory() {
    let stream = [&b"\x82\xff"[..], &(1_u64 << 62).to_be_bytes(), b"mask"].concat();
    let expected = FrameError::MessageTooLong { limit: LIMITS.message_bytes };
    assert_eq!(seen_however_split(&stream), broken(expected));
    assert_eq!(expected.close_code(), 1009);
    // Also where the limit is none: what was declared takes no memory before it comes.
    let limits = DeframeLimits { message_bytes: usize::MAX, fragments: 1 };
    let mut deframer = WebsocketDeframer::new(Role::Server, limits);
    deframer.feed(&mut [&stream[..], &[0; 100]].concat(), &mut |event| panic!("{event:?}")).unwrap();
    assert!(
        deframer.memory_bytes() <= 200 + WebsocketDeframer::OVERHEAD_BYTES,
        "{}",
        deframer.memory_bytes()
    );
}

// Row 28.
#[test]
fn refuses_a_length_in_more_bytes_than_it_needs_with_1002() {
    let in_16_bits = [&b"\x82\xfe\x00\x05mask"[..], b"12345"].concat();
    assert_eq!(seen_however_split(&in_16_bits), broken(FrameError::NonMinimalLength));
    let in_64_bits = [&b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\xc8mask"[..], &[0; 200]].concat();
    assert_eq!(seen_however_split(&in_64_bits), broken(FrameError::NonMinimalLength));
    assert_eq!(FrameError::NonMinimalLength.close_code(), 1002);
}

// Row 29.
#[test]
fn refuses_fragments_whose_sum_passes_the_limit_with_1009() {
    let up_to_the_limit = [
        fragment(false, Opcode::Binary, &[1; 600]),
        frame(Opcode::Ping, &[b'p'; 125]), // Not a part of the message.
        frame(Opcode::Continuation, &[2; 400]),
    ];
    let seen = seen_however_split(&up_to_the_limit.concat());
    assert_eq!(seen[1], Seen::Binary([vec![1; 600], vec![2; 400]].concat()));
    // One byte more is refused by the header that declares it; no byte of its payload is waited for.
    let over =
        [&fragment(false, Opcode::Binary, &[1; 600])[..], &frame(Opcode::Continuation, &[2; 401])[..8]];
    let expected = FrameError::MessageTooLong { limit: 1_000 };
    assert_eq!(seen_however_split(&over.concat()), broken(expected));
}

// Row 30.
#[test]
fn refuses_more_fragments_than_the_limit_with_1009() {
    let begin = fragment(false, Opcode::Text, b"");
    let empty = fragment(false, Opcode::Continuation, b"");
    let up_to_the_limit = [&begin[..], &empty.repeat(6), &frame(Opcode::Continuation, b"x")].concat();
    assert_eq!(seen_however_split(&up_to_the_limit), [Seen::Text(b"x".to_vec())]);
    let over = [&begin[..], &empty.repeat(7), &frame(Opcode::Continuation, b"x")].concat();
    let expected = FrameError::TooManyFragments { limit: 8 };
    assert_eq!(seen_however_split(&over), broken(expected));
    assert_eq!(expected.close_code(), 1009);
}

// Row 32.
#[test]
fn ignores_everything_after_a_close_and_after_a_broken_rule() {
    let mut close = BytesMut::new();
    write_close(&mut close, CloseCode::new(4_000), "bye", MASK);
    let junk = [&frame(Opcode::Text, b"late")[..], b"\xff\xff\xff"].concat();
    let expected = [Seen::Close(Some(4_000), "bye".into())];
    assert_eq!(seen_however_split(&[&close[..], &junk].concat()), expected);
    // A close ends a message that is not whole, too, and gives its memory back.
    let within = [&fragment(false, Opcode::Text, b"never ends")[..], &close, &junk].concat();
    assert_eq!(seen_however_split(&within), expected);

    let mut deframer = server();
    deframer.feed(&mut [0xff, 0xff], &mut |event| panic!("{event:?}")).unwrap_err();
    assert!(deframer.has_ended());
    deframer.feed(&mut frame(Opcode::Text, b"late"), &mut |event| panic!("{event:?}")).unwrap();
    deframer.feed(&mut close, &mut |event| panic!("{event:?}")).unwrap();
}

/// Frames that break each rule whose breach leaves it known where the next frame begins.
fn broken_within() -> Vec<(Vec<u8>, FrameError)> {
    let too_long = FrameError::MessageTooLong { limit: LIMITS.message_bytes };
    let begin = fragment(false, Opcode::Text, b"a");
    vec![
        (frame(Opcode::Text, &[b'x'; 1_001]), too_long),
        (
            [&fragment(false, Opcode::Binary, &[0; 600])[..], &frame(Opcode::Continuation, &[0; 401])]
                .concat(),
            too_long,
        ),
        (
            [&begin[..], &fragment(false, Opcode::Continuation, b"").repeat(8)].concat(),
            FrameError::TooManyFragments { limit: 8 },
        ),
        (frame(Opcode::Text, b"not \xff text"), FrameError::InvalidUtf8),
        (
            [&fragment(false, Opcode::Text, b"\xf0\x9f")[..], &frame(Opcode::Continuation, b"")].concat(),
            FrameError::InvalidUtf8,
        ),
        (
            [&begin[..], &fragment(false, Opcode::Continuation, &[0xff; 200])].concat(),
            FrameError::InvalidUtf8,
        ),
    ]
}

// Rows 23, 29, 30 and 32.
#[test]
fn hears_nothing_but_the_close_behind_an_error_within_a_frame() {
    let mut close = BytesMut::new();
    write_close(&mut close, CloseCode::new(4_000), "bye", MASK);
    // Whatever stands between: what is whole, what is not, and what breaks rules that only messages have.
    let between = [
        fragment(false, Opcode::Continuation, b"more of it"),
        frame(Opcode::Ping, b"anybody?"),
        frame(Opcode::Pong, b""),
        frame(Opcode::Continuation, &[0xff; 300]),
        frame(Opcode::Text, b"\xff"),
        fragment(false, Opcode::Binary, &[7; 2_000]),
        frame(Opcode::Text, &[]),
    ]
    .concat();
    for (breach, error) in broken_within() {
        assert!(error.leaves_boundaries());
        let heard = [Seen::Broken(error), Seen::Close(Some(4_000), "bye".into())];
        for between in [&[][..], &between] {
            let stream = [&breach[..], between, &close, &frame(Opcode::Text, b"late"), &close].concat();
            assert_eq!(seen_however_split(&stream), heard);
        }
    }
}

// Rows 15 to 21.
#[test]
fn hears_no_close_behind_a_second_error_that_hides_where_frames_end() {
    let mut unmasked = BytesMut::new();
    write_close(&mut unmasked, CloseCode::new(1000), "", None);
    let close = frame(Opcode::Close, &1000_u16.to_be_bytes());
    for second in [&unmasked[..], &frame(Opcode::Close, &[3]), b"\x83\x80", b"\x91\x80"] {
        for (breach, error) in broken_within() {
            let stream = [&breach[..], second, &close].concat();
            assert_eq!(seen_however_split(&stream), broken(error));
        }
    }
}

// Row 27.
#[test]
fn passes_over_what_was_claimed_and_takes_no_memory_for_it() {
    let claim = [&b"\x82\xff"[..], &(1_u64 << 62).to_be_bytes(), b"mask"].concat();
    let close = frame(Opcode::Close, &1000_u16.to_be_bytes());
    let mut deframer = server();
    deframer.feed(&mut claim.clone(), &mut |event| panic!("{event:?}")).unwrap_err();
    for _ in 0..100 {
        // A close frame within the payload is none.
        deframer.feed(&mut close.repeat(1_000), &mut |event| panic!("{event:?}")).unwrap();
        assert_eq!((deframer.memory_bytes(), deframer.held_bytes()), (0, 0));
    }
    assert!(!deframer.has_ended());
}

#[test]
fn an_error_takes_nothing_from_who_looks_for_one_event_at_a_time() {
    let close = frame(Opcode::Close, &1000_u16.to_be_bytes());
    for (breach, error) in broken_within() {
        for at in 0..breach.len() {
            let mut deframer = server();
            let mut stream = [&breach[..], &close].concat();
            let (mut start, mut errors, mut closes) = (0, Vec::new(), 0);
            while start < stream.len() {
                // What has come so far ends at `at`, or is everything.
                let end = if start < at { at } else { stream.len() };
                let result = deframer.feed_one(&mut stream[start..end], &mut |event| {
                    assert!(matches!(event, WebsocketEvent::Close { .. }), "{event:?}");
                    closes += 1;
                });
                match result {
                    Ok(taken) => start += taken,
                    Err(error) => errors.push(error),
                }
            }
            assert_eq!((errors, closes), (vec![error], 1), "cut at {at}");
        }
    }
}

#[test]
fn reads_a_close_without_a_code() {
    assert_eq!(seen_however_split(&frame(Opcode::Close, b"")), [Seen::Close(None, String::new())]);
}

// ---- Any stream, cut anywhere ----------------------------------------------------------------------------

prop_compose! {
    fn any_mask()(key: [u8; 4]) -> Option<[u8; 4]> { Some(key) }
}

/// A message in the fragments in which it is sent, with pings between them.
fn any_message() -> impl Strategy<Value = (MessageKind, Vec<Vec<u8>>)> {
    let text = proptest::collection::vec("\\PC{0,40}".prop_map(String::into_bytes), 1..6);
    let binary = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..5);
    prop_oneof![
        text.prop_map(|pieces| (MessageKind::Text, pieces)),
        binary.prop_map(|pieces| (MessageKind::Binary, pieces)),
    ]
}

/// Cuts `stream` at the given fractions of its length.
fn cut<'a>(stream: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    // Row 34.
    #[test]
    fn any_messages_come_out_as_they_went_in_however_they_are_cut(
        messages in proptest::collection::vec((any_message(), any_mask()), 0..6),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
    ) {
        let mut stream = BytesMut::new();
        let mut expected = Vec::new();
        for ((kind, pieces), key) in messages {
            let mask = key.filter(|_| role == Role::Server);
            for (at, piece) in pieces.iter().enumerate() {
                let opcode = match (at, kind) {
                    (0, MessageKind::Text) => Opcode::Text,
                    (0, MessageKind::Binary) => Opcode::Binary,
                    _ => Opcode::Continuation,
                };
                if at > 0 {
                    write_frame(&mut stream, Opcode::Ping, b"between", mask);
                    expected.push(Seen::Ping(b"between".to_vec()));
                }
                let fin = at + 1 == pieces.len();
                let payload_len = piece.len() as u64;
                FrameHeader { fin, rsv1: false, opcode, mask, payload_len }.write(&mut stream);
                let start = stream.len();
                stream.extend_from_slice(piece);
                apply_mask(&mut stream[start..], mask.unwrap_or_default(), 0);
            }
            expected.push(match kind {
                MessageKind::Text => Seen::Text(pieces.concat()),
                MessageKind::Binary => Seen::Binary(pieces.concat()),
            });
        }
        let limits = DeframeLimits { message_bytes: 10_000, fragments: 8 };
        let deframer = WebsocketDeframer::new(role, limits);
        prop_assert_eq!(feed_pieces(deframer, cut(&stream, &cuts)), expected);
    }

    // Row 34.
    #[test]
    fn any_bytes_give_the_same_events_and_error_however_they_are_cut(
        // Few distinct bytes, of which many make frames: the interesting ones come up often.
        stream in proptest::collection::vec(
            proptest::sample::select(&[
                0, 1, 2, 3, 5, 8, 0x40, 0x41, 0x80, 0x81, 0x82, 0x83, 0x88, 0x89, 0xc1, 0xc3, 0xe9, 0xfe, 0xff_u8,
            ][..]),
            0..60,
        ),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
        rsv1: bool,
    ) {
        let limits = DeframeLimits { message_bytes: 20, fragments: 3 };
        let open = || {
            let deframer = WebsocketDeframer::new(role, limits);
            if rsv1 { deframer.allow_rsv1() } else { deframer }
        };
        let whole = feed_pieces(open(), [&stream[..]]);
        prop_assert_eq!(feed_pieces(open(), cut(&stream, &cuts)), whole.clone());
        prop_assert_eq!(feed_pieces(open(), stream.chunks(1)), whole);
    }
}

#[test]
fn a_partial_message_takes_what_limits_md_counts_beside_its_payload() {
    let overhead = WebsocketDeframer::OVERHEAD_BYTES;
    assert!(overhead <= 229, "{overhead}");
}
