use proptest::prelude::*;

use super::*;
use crate::websocket::{
    DeframeLimits, MessageKind, Role, WebsocketDeframer, WebsocketEvent,
    deflate::{Inflater, Parameters},
};

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

fn compression(context_takeover: bool, bits: u8) -> Compression {
    Compression {
        context_takeover,
        window_bits: WindowBits::new(bits).unwrap_or_else(|| panic!("{bits} bits")),
    }
}

fn deflater(context_takeover: bool, bits: u8) -> Deflater {
    Deflater::new(compression(context_takeover, bits)).with_min_bytes(0)
}

fn payload(deflater: &mut Deflater, message: &[u8]) -> Option<Vec<u8>> {
    let mut out = BytesMut::from(&b"before"[..]);
    let deflated = deflater.deflate(message, &mut out);
    assert_eq!(out[..6], *b"before");
    if !deflated {
        assert_eq!(out.len(), 6);
    }
    deflated.then(|| out[6..].to_vec())
}

/// Text that compresses, not too well.
fn prose(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| b"the quick brown fox jumps over the lazy dog. "[(at * at + seed) % 45]).collect()
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn writes_the_examples_of_the_rfc() {
    // RFC 7692 sections 7.2.3.1 and 7.2.3.2.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut remembers = deflater(true, 15);
    assert_eq!(payload(&mut remembers, b"Hello"), Some(hello.to_vec()));
    // The RFC's second message repeats the first but for its first letter; this one repeats all of it.
    let again = payload(&mut remembers, b"Hello").unwrap();
    assert!(again.len() <= 5, "{again:x?}");
    let mut inflater = Inflater::new(compression(true, 15));
    for payload in [&hello[..], &again] {
        let mut out = Vec::new();
        inflater.inflate(payload, MessageKind::Text, 5, &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }
    let mut out = BytesMut::new();
    deflater(true, 15).write_frame(&mut out, Opcode::Text, b"Hello", None);
    assert_eq!(out[..], [&[0xc1, 0x07][..], &hello].concat());
    // Section 6.1 puts the mark on the message, and the mask on what was compressed.
    out.clear();
    deflater(true, 15).write_frame(&mut out, Opcode::Text, b"Hello", MASK);
    assert_eq!(out[..6], [0xc1, 0x87, 0x37, 0xfa, 0x21, 0x3d]);
    apply_mask(&mut out[6..], [0x37, 0xfa, 0x21, 0x3d], 0);
    assert_eq!(out[6..], hello);
}

#[test]
fn sends_as_it_is_what_is_short_or_empty_or_does_not_get_smaller() {
    let mut shared = Deflater::new(compression(false, 15));
    assert_eq!(payload(&mut shared, &[b'a'; MIN_DEFLATED_BYTES - 1]), None);
    assert!(payload(&mut shared, &[b'a'; MIN_DEFLATED_BYTES]).is_some());
    assert_eq!(payload(&mut shared, &noise(5_000, 3)), None);
    assert_eq!(payload(&mut deflater(true, 15), b""), None);
    assert_eq!(payload(&mut deflater(true, 8), &[b'a'; 1_000]), None);
    let mut out = BytesMut::new();
    shared.write_frame(&mut out, Opcode::Binary, b"short", None);
    assert_eq!(out[..], *b"\x82\x05short");
}

#[test]
fn compresses_every_message_with_a_byte_in_it_where_none_is_too_short() {
    let mut shared = deflater(false, 15);
    for message in [&b"a"[..], &noise(5_000, 3)] {
        let longer = payload(&mut shared, message).expect("it is compressed");
        assert!(longer.len() > message.len());
    }
    assert_eq!(payload(&mut shared, b""), None);
}

#[test]
fn never_compresses_control_frames() {
    let mut out = BytesMut::new();
    deflater(false, 15).write_frame(&mut out, Opcode::Ping, &[b'a'; 100], None);
    assert_eq!(out[..2], [0x89, 100]);
}

#[test]
fn writes_the_same_for_everybody_without_takeover_and_holds_no_memory() {
    let mut shared = deflater(false, 15);
    let message = prose(2_000, 0);
    let first = payload(&mut shared, &message);
    assert!(first.is_some());
    for _ in 0..3 {
        payload(&mut shared, &prose(500, 7));
        assert_eq!(payload(&mut shared, &message), first);
    }
    assert!(shared.context.is_none());
    assert!(shared.serves(compression(true, 15)) && shared.serves(compression(false, 15)));
    assert!(!shared.serves(compression(false, 14)));
    assert!(!deflater(true, 9).serves(compression(true, 15)));
}

#[test]
fn every_window_and_level_reads_back_with_and_without_takeover() {
    for bits in 9..=15 {
        for context_takeover in [false, true] {
            for level in [1, 2, 6, 9] {
                let mut deflater = deflater(context_takeover, bits).with_level(level);
                let mut inflater = Inflater::new(compression(context_takeover, bits));
                for (at, len) in [5, 3_000, 40, 70_000, 700, 1, 20_000].into_iter().enumerate() {
                    for message in [prose(len, at), noise(len, at as u64), vec![b'z'; len]] {
                        let Some(payload) = payload(&mut deflater, &message) else { continue };
                        assert!(!payload.ends_with(&TAIL));
                        let mut out = Vec::new();
                        inflater.inflate(&payload, MessageKind::Binary, len, &mut out).unwrap();
                        assert_eq!(out, message, "{bits} bits, level {level}, message {at} of {len}");
                    }
                }
            }
        }
    }
}

#[test]
fn refers_no_farther_back_than_the_window() {
    // The reader remembers the agreed window and no more, so a reference beyond it would be refused.
    for bits in 9..=15 {
        let mut deflater = deflater(true, bits);
        let mut inflater = Inflater::new(compression(true, bits));
        let old = noise(60, 1);
        for at in 0..200 {
            let message = [&old[..], &noise(700, at + 2)].concat();
            let payload = payload(&mut deflater, &message).unwrap();
            let mut out = Vec::new();
            inflater.inflate(&payload, MessageKind::Binary, 1_000, &mut out).unwrap();
            assert_eq!(out, message);
        }
    }
}

#[test]
fn marks_no_block_final() {
    let mut zlib = flate2::Decompress::new(false);
    let mut remembers = deflater(true, 15);
    for at in 0..50 {
        let payload = payload(&mut remembers, &prose(at * 50 + 1, at)).unwrap();
        let mut out = Vec::with_capacity(10_000);
        let whole = [&payload[..], &TAIL].concat();
        let status = zlib.decompress_vec(&whole, &mut out, flate2::FlushDecompress::Sync).unwrap();
        assert_eq!(status, flate2::Status::Ok);
    }
}

// ---- Through frames, cut anywhere ------------------------------------------------------------------------

fn any_message() -> impl Strategy<Value = (MessageKind, Vec<u8>)> {
    prop_oneof![
        "\\PC{0,300}".prop_map(|text| (MessageKind::Text, text.into_bytes())),
        (0..5_000_usize, 0..45_usize).prop_map(|(len, seed)| (MessageKind::Text, prose(len, seed))),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (MessageKind::Binary, bytes)),
        (0..5_000_usize, any::<u64>()).prop_map(|(len, seed)| (MessageKind::Binary, noise(len, seed))),
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
    #![proptest_config(ProptestConfig::with_cases(128))]

    // Row 34.
    #[test]
    fn any_messages_come_out_as_they_went_in_however_they_are_cut(
        messages in proptest::collection::vec(any_message(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        single_bytes: bool,
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
        (server_takeover, client_takeover) in (any::<bool>(), any::<bool>()),
        (server_bits, client_bits) in (9_u8..=15, 9_u8..=15),
        min_bytes in prop_oneof![Just(0), Just(MIN_DEFLATED_BYTES)],
    ) {
        let parameters = Parameters {
            server: compression(server_takeover, server_bits),
            client: compression(client_takeover, client_bits),
        };
        let (peer, mask) = match role {
            Role::Server => (Role::Client, MASK),
            Role::Client => (Role::Server, None),
        };
        let mut deflater = Deflater::new(parameters.written_by(peer)).with_min_bytes(min_bytes);
        let mut stream = BytesMut::new();
        for (kind, message) in &messages {
            let opcode = if *kind == MessageKind::Text { Opcode::Text } else { Opcode::Binary };
            deflater.write_frame(&mut stream, opcode, message, mask);
        }
        let limits = DeframeLimits { message_bytes: 5_000, fragments: 1 };
        let mut deframer =
            WebsocketDeframer::new(role, limits).with_inflater(Inflater::new(parameters.read_by(role)));
        let mut seen = Vec::new();
        let pieces = if single_bytes { stream.chunks(1).collect() } else { cut(&stream, &cuts) };
        for piece in pieces {
            deframer
                .feed(&mut piece.to_vec(), &mut |event| match event {
                    WebsocketEvent::Message { kind, payload, rsv1: false } => seen.push((kind, payload.to_vec())),
                    event => panic!("{event:?}"),
                })
                .unwrap();
        }
        prop_assert_eq!(seen, messages);
    }
}
