use flate2::{Compress, Compression as Level, FlushCompress};

use super::*;
use crate::websocket::deflate::{Deflater, WindowBits};

const LIMIT: usize = 64 * 1024;

fn compression(context_takeover: bool) -> Compression {
    Compression { context_takeover, window_bits: WindowBits::MAX }
}

fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    inflater.inflate(payload, MessageKind::Binary, LIMIT, &mut out).map(|()| out)
}

fn inflate_one(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    inflate(&mut Inflater::new(compression(false)), payload)
}

/// A message as zlib itself writes it, by one context for all.
fn write_by_zlib(zlib: &mut Compress, message: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 100);
    zlib.compress_vec(message, &mut out, flush).unwrap();
    out
}

#[test]
fn reads_the_examples_of_the_rfc() {
    // RFC 7692 section 7.2.3.1.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate_one(&hello), Ok(b"Hello".to_vec()));
    // Section 7.2.3.2: the second message refers to the first.
    let mut remembers = Inflater::new(compression(true));
    assert_eq!(inflate(&mut remembers, &hello), Ok(b"Hello".to_vec()));
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflate(&mut remembers, &again), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut remembers, &hello), Ok(b"Hello".to_vec()));
    // Section 7.2.3.3: no compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflate_one(&stored), Ok(b"Hello".to_vec()));
    // Section 7.2.3.4: a block marked final.
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflate_one(&last), Ok(b"Hello".to_vec()));
    // Section 7.2.3.5: two blocks.
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate_one(&two), Ok(b"Hello".to_vec()));
    // Section 7.2.3.6: nothing.
    assert_eq!(inflate_one(&[0x00]), Ok(Vec::new()));
}

#[test]
fn reads_blocks_marked_final_wherever_they_stand_and_goes_on_after_them() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    // Without the empty block after it, before another, and completed by the tail that was taken off.
    assert_eq!(inflate_one(&last), Ok(b"Hello".to_vec()));
    assert_eq!(inflate_one(&[&last[..], &hello].concat()), Ok(b"HelloHello".to_vec()));
    assert_eq!(inflate_one(&last.repeat(3)), Ok(b"HelloHelloHello".to_vec()));
    let completed = [0x00, 0x02, 0x00, 0xfd, 0xff, b'h', b'i', 0x01];
    assert_eq!(inflate_one(&completed), Ok(b"hi".to_vec()));
    // The message after may refer to what came with or after the last one, and to nothing before it.
    let mut remembers = Inflater::new(compression(true));
    for payload in [&hello[..], &last, &hello, &again] {
        assert_eq!(inflate(&mut remembers, payload), Ok(b"Hello".to_vec()));
    }
    assert_eq!(inflate(&mut remembers, &last), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut remembers, &again), Err(FrameError::InvalidDeflate));
}

// Row 36.
#[test]
fn refuses_what_is_not_deflate_data_with_1007() {
    let cases: [&[u8]; 7] = [
        b"",
        b"\x06",                                                 // a reserved type of block
        b"\xff\xff\xff",                                         //
        b"\x00\x05\x00\x00\x00",                                 // a length and its complement that differ
        b"\xf2\x00\x11\x00\x00",                                 // refers to a message that was not
        b"{\"plain\":\"text\"}",                                 //
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x01\x02", // junk after the end
    ];
    for case in cases {
        assert_eq!(inflate_one(case), Err(FrameError::InvalidDeflate), "{case:x?}");
    }
    assert_eq!(FrameError::InvalidDeflate.close_code(), 1007);
}

// Row 36.
#[test]
fn refuses_a_message_that_is_cut_off_at_any_byte() {
    let text: Vec<u8> = (0..600_u32).flat_map(|at| format!("{},", at * at % 97).into_bytes()).collect();
    for level in [0, 1, 6, 9] {
        let mut zlib = Compress::new(Level::new(level), false);
        let mut payload = write_by_zlib(&mut zlib, &text, FlushCompress::Sync);
        payload.truncate(payload.len() - TAIL.len());
        assert_eq!(inflate_one(&payload).as_deref(), Ok(&text[..]), "level {level}");
        let mut accepted = 0;
        for end in 0..payload.len() {
            // What is left may happen to end where a block ends; then it is the text's beginning.
            match inflate_one(&payload[..end]) {
                Ok(message) => {
                    assert!(text.starts_with(&message), "level {level}, first {end} bytes");
                    accepted += 1;
                }
                Err(error) => assert_eq!(error, FrameError::InvalidDeflate),
            }
        }
        assert!(accepted <= 4, "level {level}: {accepted} of {} pieces were taken", payload.len());
    }
}

// Row 35.
#[test]
fn stops_a_bomb_at_the_limit_with_room_for_no_more() {
    let mut zlib = Compress::new(Level::best(), false);
    let mut bomb = write_by_zlib(&mut zlib, &vec![0; 100_000_000], FlushCompress::Sync);
    bomb.truncate(bomb.len() - TAIL.len());
    assert!(bomb.len() * 1_000 <= 100_000_000, "a bomb of 1,000:1");
    for limit in [0, 1, 1_000, LIMIT] {
        for kind in [MessageKind::Binary, MessageKind::Text] {
            let mut out = Vec::new();
            let error = Inflater::new(compression(false)).inflate(&bomb, kind, limit, &mut out).unwrap_err();
            assert_eq!((error, error.close_code()), (FrameError::MessageTooLong { limit }, 1009));
            assert!(out.capacity() <= limit, "{} of {limit}", out.capacity());
        }
    }
}

// Row 35.
#[test]
fn reads_a_message_of_the_limit_and_not_one_byte_more() {
    for len in [1, 255, 256, 257, 1_000, 65_536] {
        let message: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let mut payload =
            write_by_zlib(&mut Compress::new(Level::fast(), false), &message, FlushCompress::Sync);
        payload.truncate(payload.len() - TAIL.len());
        let read = |limit| {
            let mut out = Vec::new();
            let result =
                Inflater::new(compression(false)).inflate(&payload, MessageKind::Binary, limit, &mut out);
            assert!(out.capacity() <= limit);
            result.map(|()| out)
        };
        assert_eq!(read(len), Ok(message.clone()));
        assert_eq!(read(len - 1), Err(FrameError::MessageTooLong { limit: len - 1 }));
    }
}

#[test]
fn stops_at_the_first_wrong_byte_of_a_text_before_the_rest_is_inflated() {
    let text = [&b"\xff"[..], &[b'x'; 60_000]].concat();
    let mut payload = write_by_zlib(&mut Compress::new(Level::fast(), false), &text, FlushCompress::Sync);
    payload.truncate(payload.len() - TAIL.len());
    let mut out = Vec::new();
    let mut inflater = Inflater::new(compression(false));
    assert_eq!(inflater.inflate(&payload, MessageKind::Text, LIMIT, &mut out), Err(FrameError::InvalidUtf8));
    assert!(out.len() < 10_000, "{} bytes were inflated", out.len());
    assert_eq!(inflate_one(&payload), Ok(text));
    // A character that the end cuts off.
    let cut = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00];
    assert_eq!(inflater.inflate(&cut, MessageKind::Text, LIMIT, &mut out), Err(FrameError::InvalidUtf8));
    let last = [0x01, 0x01, 0x00, 0xfe, 0xff, 0xc3];
    assert_eq!(inflater.inflate(&last, MessageKind::Text, LIMIT, &mut out), Err(FrameError::InvalidUtf8));
}

#[test]
fn remembers_no_more_than_the_window_and_nothing_without_takeover() {
    for window_bits in (8..=15).map(|bits| WindowBits::new(bits).unwrap()) {
        for context_takeover in [false, true] {
            let mut inflater = Inflater::new(Compression { context_takeover, window_bits });
            for len in [1, 100, 300, 5_000, 40_000, 10] {
                let mut zlib = Compress::new(Level::fast(), false);
                let mut payload = write_by_zlib(&mut zlib, &vec![b'w'; len], FlushCompress::Sync);
                payload.truncate(payload.len() - TAIL.len());
                inflate(&mut inflater, &payload).unwrap();
                let bound = if context_takeover { window_bits.bytes() } else { 0 };
                assert!(inflater.memory_bytes() <= bound, "{} of {bound}", inflater.memory_bytes());
            }
        }
    }
}

#[test]
fn costs_little_for_a_message_of_nothing_but_ends() {
    // Each two bytes are an empty block marked final: 32,768 streams in one message.
    let payload = [0x03, 0x00].repeat(LIMIT / 2);
    assert_eq!(inflate_one(&payload), Ok(Vec::new()));
}

#[test]
fn one_message_can_be_read_while_another_is_delivered() {
    let mut inflater = Inflater::new(compression(false));
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let context = borrow_context();
    assert_eq!(inflate(&mut inflater, &hello), Ok(b"Hello".to_vec()));
    give_context_back(context);
    assert_eq!(inflate(&mut inflater, &hello), Ok(b"Hello".to_vec()));
}

/// Judges by zlib itself, with one context for the whole connection, as RFC 7692 section 7.2.2 describes it.
#[test]
fn reads_what_zlib_reads_message_by_message() {
    let mut deflater = Deflater::new(compression(true)).with_min_bytes(0);
    let mut inflater = Inflater::new(compression(true));
    let mut zlib = Decompress::new(false);
    for len in (0..3_000).step_by(97) {
        let message: Vec<u8> = (0..len).map(|at| b"wharf publication "[at * at % 18]).collect();
        let mut payload = bytes::BytesMut::new();
        if !deflater.deflate(&message, &mut payload) {
            continue;
        }
        let mut by_zlib = Vec::with_capacity(len + 1);
        let whole = [&payload[..], &TAIL].concat();
        zlib.decompress_vec(&whole, &mut by_zlib, FlushDecompress::Sync).unwrap();
        assert_eq!(by_zlib, message);
        assert_eq!(inflate(&mut inflater, &payload), Ok(message));
    }
}
