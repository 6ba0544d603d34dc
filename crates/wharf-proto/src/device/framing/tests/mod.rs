//! Every framing whole and split at every byte, and what happens to bytes that are no frame.

mod property;
mod samples;

use bytes::BytesMut;

use super::*;
use crate::{
    PeerError,
    device::{
        checksum::Checksum,
        spec::{BadChecksum, ChecksumForm, Counts, CutSpec, EscapeHow, EscapeSpec, LengthSpec},
    },
    framing::testing::{feed_in_pieces, feed_split_everywhere},
};

const SKIP: Junk = Junk::Skip { limit: 64 };

pub(super) fn spec(cut: CutSpec, start: &[u8], end: &[u8]) -> FramingSpec {
    FramingSpec {
        cut,
        start: start.to_vec(),
        end: end.to_vec(),
        checksum: None,
        max_bytes: 32,
        // Without marks nobody can tell where the next frame begins.
        junk: if start.is_empty() && end.is_empty() { Junk::Close } else { SKIP },
    }
}

pub(super) const PLAIN_MARKS: CutSpec = CutSpec::Marks { escape: None };

pub(super) fn sum(kind: Checksum, form: ChecksumForm) -> ChecksumSpec {
    ChecksumSpec {
        kind,
        skip: None,
        leave: 0,
        form,
        before: Vec::new(),
        behind_end: false,
        bad: BadChecksum::Drop,
    }
}

pub(super) const BIG: ChecksumForm = ChecksumForm::Binary(Endian::Big);

/// `78 78 length ... crc 0d 0a`, where the length counts from behind itself to the CRC's end.
pub(super) fn gt06() -> FramingSpec {
    let length = LengthSpec { at: 2, bytes: 1, endian: Endian::Big, counts: Counts::Message, plus: 2 };
    let checksum = Some(sum(Checksum::Crc16X25, BIG));
    FramingSpec { checksum, ..spec(CutSpec::Length(length), b"\x78\x78", b"\r\n") }
}

/// `$...*hh\r\n`.
pub(super) fn nmea() -> FramingSpec {
    let checksum = ChecksumSpec { before: b"*".to_vec(), ..sum(Checksum::Xor8, ChecksumForm::Hex) };
    FramingSpec { checksum: Some(checksum), max_bytes: 80, ..spec(PLAIN_MARKS, b"$", b"\r\n") }
}

/// HDLC as PPP writes it (RFC 1662), with one flag between frames.
pub(super) fn hdlc() -> FramingSpec {
    let escape = EscapeSpec { byte: 0x7d, how: EscapeHow::Xor(0x20), also: Vec::new() };
    let checksum = sum(Checksum::Crc16X25, ChecksumForm::Binary(Endian::Little));
    FramingSpec {
        checksum: Some(ChecksumSpec { skip: Some(1), ..checksum }),
        ..spec(CutSpec::Marks { escape: Some(escape) }, b"\x7e", b"\x7e")
    }
}

/// SLIP (RFC 1055).
pub(super) fn slip() -> FramingSpec {
    let how = EscapeHow::Table(vec![(0xc0, 0xdc), (0xdb, 0xdd)]);
    let escape = EscapeSpec { byte: 0xdb, how, also: Vec::new() };
    spec(CutSpec::Marks { escape: Some(escape) }, b"", b"\xc0")
}

/// `STX ... ETX LRC`, where the LRC covers the ETX.
pub(super) fn stx_etx_lrc() -> FramingSpec {
    let checksum = ChecksumSpec { behind_end: true, ..sum(Checksum::Xor8, BIG) };
    FramingSpec { checksum: Some(checksum), ..spec(PLAIN_MARKS, b"\x02", b"\x03") }
}

pub(super) fn framing(spec: &FramingSpec) -> DeviceFraming {
    DeviceFraming::new(spec).unwrap()
}

pub(super) fn framed(framing: &DeviceFraming, message: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    framing.try_frame(message, &mut out).unwrap();
    out.to_vec()
}

/// What stands in these bytes, the same however they are cut.
pub(super) fn read(spec: &FramingSpec, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<PeerError>) {
    let framing = framing(spec);
    if framing.is_datagram() {
        let (outcome, messages) = feed_in_pieces(&mut framing.reader(), &[bytes]);
        return (messages, outcome.err());
    }
    feed_split_everywhere(&mut || Box::new(framing.reader()), bytes)
}

fn messages(spec: &FramingSpec, bytes: &[u8]) -> Vec<Vec<u8>> {
    let (messages, error) = read(spec, bytes);
    assert_eq!(error, None);
    messages
}

fn reason(spec: &FramingSpec, bytes: &[u8]) -> String {
    read(spec, bytes).1.expect("an error").to_string()
}

#[test]
fn a_message_between_marks_is_cut_at_the_end_bytes() {
    let stars = spec(PLAIN_MARKS, b"*", b"#");
    assert_eq!(messages(&stars, b"*HQ,1#*HQ,2##*"), [b"HQ,1".to_vec(), b"HQ,2".to_vec()]);
    let lines = spec(PLAIN_MARKS, b"", b"\r\n");
    assert_eq!(messages(&lines, b"a\rb\r\r\n\r\n\r\nc\r\nd"), [b"a\rb\r".to_vec(), b"c".to_vec()]);
}

#[test]
fn junk_before_a_frame_is_left_out_up_to_the_limit() {
    let stars = spec(PLAIN_MARKS, b"**", b"#");
    assert_eq!(messages(&stars, b"junk*#**a#\r\n*#***b#"), [b"a".to_vec(), b"*b".to_vec()]);
    let (found, error) = read(&stars, &[&b"**a#"[..], &[b'x'; 64], b"**b#", &[b'y'; 65], b"**c#"].concat());
    assert_eq!(found, [b"a".to_vec(), b"b".to_vec()]);
    assert!(error.unwrap().to_string().contains("too many bytes in a row were no frame"));
}

// Row 52.
#[test]
fn junk_closes_with_a_reason_where_it_is_not_to_be_skipped() {
    let strict = FramingSpec { junk: Junk::Close, ..gt06() };
    assert!(reason(&strict, b"GET / HTTP/1.1\r\n\r\n").contains("do not begin as a frame does"));
    assert!(reason(&strict, b"\x78\x78\x00\r\n").contains("length of a frame is less"), "length 0");
    assert!(reason(&strict, b"\x78\x78\x03abcXYZ").contains("end bytes do not stand"));
    let wide = LengthSpec { at: 0, bytes: 4, endian: Endian::Big, counts: Counts::Message, plus: 0 };
    let wide = spec(CutSpec::Length(wide), b"", b"");
    let error = read(&wide, b"\xff\xff\xff\xff and so on").1;
    assert_eq!(error, Some(PeerError::MessageTooLong { limit: 32 }), "2^32");
    let widest = LengthSpec { at: 0, bytes: 8, endian: Endian::Little, counts: Counts::Frame, plus: -3 };
    let widest = spec(CutSpec::Length(widest), b"", b"");
    assert_eq!(read(&widest, &[0xff; 9]).1, Some(PeerError::MessageTooLong { limit: 32 }), "2^64");
    assert!(reason(&widest, &[0; 8]).contains("length of a frame is less"));
}

#[test]
fn a_claim_of_much_takes_no_memory() {
    let wide = LengthSpec { at: 0, bytes: 4, endian: Endian::Big, counts: Counts::Message, plus: 0 };
    let framing = framing(&spec(CutSpec::Length(wide), b"", b""));
    let mut reader = framing.reader();
    reader.feed(&mut [0xff, 0xff, 0xff], &mut |_| ()).unwrap();
    assert!(reader.feed(&mut [0xff], &mut |_| ()).is_err());
    assert_eq!(reader.held_bytes(), 0);
}

#[test]
fn a_frame_that_is_no_frame_is_skipped_to_the_next_start() {
    let good = framed(&framing(&gt06()), b"\x13good");
    // The length says too much, so that the end bytes stand elsewhere; the next start is within what it claims.
    let claims = [&b"\x78\x78\x08\x01\x02"[..], &good, &good].concat();
    assert_eq!(messages(&gt06(), &claims), [b"\x13good".to_vec(), b"\x13good".to_vec()]);
    let long = [&b"\x78\x78\xff\x01\x02"[..], &good].concat();
    assert_eq!(messages(&gt06(), &long), [b"\x13good".to_vec()], "a length beyond the limit");
}

#[test]
fn a_frame_with_a_wrong_checksum_is_left_out_or_closes() {
    for spec in [gt06(), nmea(), hdlc(), stx_etx_lrc()] {
        let framing = framing(&spec);
        let good = framed(&framing, b"abcdef");
        let mut bad = good.clone();
        bad[4] ^= 1;
        let stream = [&good[..], &bad, &good].concat();
        assert_eq!(messages(&spec, &stream), [b"abcdef".to_vec(), b"abcdef".to_vec()], "{spec:?}");
        let checksum = spec.checksum.clone().map(|sum| ChecksumSpec { bad: BadChecksum::Close, ..sum });
        let strict = FramingSpec { checksum, ..spec };
        assert!(reason(&strict, &stream).contains("checksum"), "{strict:?}");
        feed_in_pieces(&mut framing.reader(), &[&stream]).0.unwrap();
        assert_eq!(framing.counters().bad_checksums(), 1);
    }
}

#[test]
fn bad_frames_without_a_good_one_close_in_the_end() {
    let mut bad = framed(&framing(&gt06()), b"abcdef");
    bad[4] ^= 1;
    let (found, error) = read(&gt06(), &bad.repeat(6));
    assert!(found.is_empty() && error.is_some());
}

#[test]
fn a_message_of_the_limit_passes_and_a_longer_one_does_not() {
    let fields = [gt06(), nmea(), hdlc(), slip(), stx_etx_lrc(), spec(PLAIN_MARKS, b"", b"\n")];
    for spec in fields {
        let narrow = FramingSpec { max_bytes: 8, junk: Junk::Close, ..spec.clone() };
        assert_eq!(messages(&narrow, &framed(&framing(&narrow), &[b'a'; 8])), [[b'a'; 8]]);
        let (found, error) = read(&narrow, &framed(&framing(&spec), &[b'a'; 9]));
        assert!(
            found.is_empty() && error == Some(PeerError::MessageTooLong { limit: 8 }),
            "{spec:?} {error:?}"
        );
        let skips = FramingSpec { max_bytes: 8, ..spec.clone() };
        let stream = [framed(&framing(&spec), &[b'a'; 30]), framed(&framing(&spec), b"good")].concat();
        assert_eq!(messages(&skips, &stream), [b"good".to_vec()], "{spec:?}");
    }
}

#[test]
fn escapes_are_undone_and_bad_ones_are_no_frame() {
    assert_eq!(
        messages(&slip(), b"\xc0a\xdb\xdcb\xdb\xdd\xc0\xc0x\xdbx\xc0y\xdb\xc0z\xc0"),
        [b"a\xc0b\xdb".to_vec(), b"z".to_vec()]
    );
    let escape = EscapeSpec { byte: b'\\', how: EscapeHow::Literal, also: Vec::new() };
    let literal = spec(CutSpec::Marks { escape: Some(escape) }, b"<", b">>");
    assert_eq!(messages(&literal, b"<a\\>\\>\\\\\\<>b>>"), [b"a>>\\<>b".to_vec()]);
}

#[test]
fn a_frame_that_begins_within_another_begins_anew_where_escapes_say_so() {
    let escape = EscapeSpec { byte: 0x10, how: EscapeHow::Xor(0x80), also: Vec::new() };
    let marks = spec(CutSpec::Marks { escape: Some(escape) }, b"\x02", b"\x03");
    assert_eq!(messages(&marks, b"\x02cut of\x02whole\x03"), [b"whole".to_vec()]);
}

#[test]
fn frames_between_flags_may_share_one() {
    let one = framed(&framing(&hdlc()), b"one");
    let two = framed(&framing(&hdlc()), b"two");
    for stream in [
        [&one[..], &two].concat(),
        [&one[..], &two[1..]].concat(),
        [b"junk", &one[..], b"\x7e\x7e", &two].concat(),
    ] {
        assert_eq!(messages(&hdlc(), &stream), [b"one".to_vec(), b"two".to_vec()]);
    }
}

#[test]
fn what_stands_before_a_length_comes_first_in_the_message() {
    // Modbus TCP: transaction, protocol, length of what follows.
    let length = LengthSpec { at: 4, bytes: 2, endian: Endian::Big, counts: Counts::Rest, plus: 0 };
    let modbus = FramingSpec { junk: Junk::Close, ..spec(CutSpec::Length(length), b"", b"") };
    let frame = b"\x00\x01\x00\x00\x00\x06\x11\x03\x00\x6b\x00\x03";
    let message = b"\x00\x01\x00\x00\x11\x03\x00\x6b\x00\x03".to_vec();
    assert_eq!(messages(&modbus, &[&frame[..], frame].concat()), [message.clone(), message.clone()]);
    assert_eq!(framed(&framing(&modbus), &message), frame);
}

#[test]
fn a_datagram_is_a_frame_or_several() {
    let whole = spec(CutSpec::Datagram, b"", b"");
    assert_eq!(messages(&whole, b"a\nb"), [b"a\nb".to_vec()]);
    let lines = spec(CutSpec::Datagram, b"", b"\n");
    assert_eq!(messages(&lines, b"a\n\nb\nc"), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
    let started = spec(CutSpec::Datagram, b"$", b"\n");
    assert_eq!(messages(&started, b"$a\nb\n$c"), [b"a".to_vec(), b"c".to_vec()]);
    let mut reader = framing(&whole).reader();
    assert_eq!(feed_in_pieces(&mut reader, &[b"one", b"two"]).1, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(reader.held_bytes(), 0);
}

#[test]
fn nothing_is_written_that_would_read_back_as_something_else() {
    let refused = |spec: &FramingSpec, message: &[u8]| {
        let mut out = BytesMut::from(&b"before"[..]);
        let outcome = framing(spec).try_frame(message, &mut out);
        assert_eq!(&out[..], b"before");
        outcome.unwrap_err()
    };
    let hashes = spec(PLAIN_MARKS, b"*", b"##");
    for message in [&b"a##b"[..], b"a#", b"##", b"a*b"] {
        assert_eq!(refused(&hashes, message), Unframeable::HoldsMark, "{message:?}");
    }
    assert_eq!(framed(&framing(&hashes), b"a#b"), b"*a#b##");
    assert_eq!(refused(&spec(PLAIN_MARKS, b"", b"\r\n"), b"a\r\nREBOOT"), Unframeable::HoldsMark);
    assert_eq!(refused(&spec(PLAIN_MARKS, b"", b"\r\n"), b""), Unframeable::Empty);
    assert_eq!(refused(&spec(CutSpec::Datagram, b"", b"\n"), b"a\nb"), Unframeable::HoldsMark);
    assert_eq!(refused(&gt06(), &[0; 33]), Unframeable::TooLong { bytes: 33, max: 32 });
    let fixed = spec(CutSpec::Fixed { bytes: 4 }, b"", b"");
    assert_eq!(refused(&fixed, b"abc"), Unframeable::WrongSize { bytes: 3, needed: 4 });
    let narrow = LengthSpec { at: 0, bytes: 1, endian: Endian::Big, counts: Counts::Message, plus: 250 };
    assert_eq!(refused(&spec(CutSpec::Length(narrow), b"", b""), b"too long"), Unframeable::LengthField);
}

#[test]
fn no_buffer_is_held_between_messages() {
    for spec in [gt06(), nmea(), hdlc(), slip(), stx_etx_lrc()] {
        let framing = framing(&spec);
        let frame = framed(&framing, b"abc");
        let mut reader = framing.reader();
        for _ in 0..3 {
            let (front, back) = frame.split_at(4);
            assert_eq!(feed_in_pieces(&mut reader, &[front, back]).1, [b"abc".to_vec()]);
            assert_eq!(reader.held_bytes(), 0, "{spec:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_key_and_the_mend() {
    let length = |at, bytes| LengthSpec { at, bytes, endian: Endian::Big, counts: Counts::Message, plus: 0 };
    let escape = |byte, how| CutSpec::Marks { escape: Some(EscapeSpec { byte, how, also: Vec::new() }) };
    let bad_sum = FramingSpec { checksum: Some(sum(Checksum::Sum8, BIG)), ..spec(PLAIN_MARKS, b"*", b"#") };
    let digits = FramingSpec {
        checksum: Some(sum(Checksum::Sum8, ChecksumForm::Hex)),
        ..spec(PLAIN_MARKS, b"*", b"0")
    };
    for (spec, key, words) in [
        (spec(PLAIN_MARKS, b"*", b""), "end", "needs the bytes that end"),
        (spec(PLAIN_MARKS, b"123456789", b"#"), "start", "at most 8"),
        (FramingSpec { max_bytes: 0, ..gt06() }, "max_bytes", "from 1 to 1048576"),
        (spec(CutSpec::Length(length(1, 1)), b"\x78\x78", b""), "length.at", "write 2 or more"),
        (spec(CutSpec::Length(length(0, 5)), b"", b""), "length.bytes", "1, 2, 3, 4 or 8"),
        (FramingSpec { junk: SKIP, ..spec(CutSpec::Length(length(0, 2)), b"", b"") }, "junk", "give `start`"),
        (spec(escape(b'#', EscapeHow::Literal), b"*", b"#"), "escape.byte", "must be another"),
        (spec(escape(0x7d, EscapeHow::Xor(0)), b"", b"\x7e"), "escape.xor", "changes nothing"),
        (spec(escape(0x7d, EscapeHow::Xor(3)), b"", b"\x7e"), "escape", "7d becomes 7e"),
        (spec(escape(0xdb, EscapeHow::Table(vec![(0xdb, 0xdd)])), b"", b"\xc0"), "escape.table", "c0"),
        (spec(CutSpec::Fixed { bytes: 33 }, b"", b""), "bytes", "at most max_bytes"),
        (bad_sum, "checksum.form", "may hold the end bytes"),
        (digits, "end", "hexadecimal digit"),
    ] {
        let error = DeviceFraming::new(&spec).unwrap_err();
        assert_eq!(error.key, format!("framing.{key}"), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn a_far_end_is_not_looked_for_from_each_place_where_a_frame_may_begin() {
    const STARTS: usize = 100_000;
    // From each start to the far end these would be over a trillion bytes to look at: minutes.
    let far = [&[b'.'; 16 * 1024 * 1024][..], b"#"].concat();
    let literal = EscapeSpec { byte: b'!', how: EscapeHow::Literal, also: Vec::new() };
    for (escape, starts) in [(None, "*".repeat(STARTS)), (Some(literal), "!*".repeat(STARTS))] {
        let spec = FramingSpec {
            junk: Junk::Skip { limit: usize::MAX },
            ..spec(CutSpec::Marks { escape }, b"*", b"#")
        };
        let mut stream = [b"*", starts.as_bytes(), &far, b"*good#"].concat();
        let mut messages = Vec::new();
        let fed = DeviceFraming::new(&spec).unwrap().reader().feed_pieces(&mut stream, &mut |piece| {
            if let Piece::Message(_, message) = piece {
                messages.push(message.to_vec());
            }
        });
        assert!(fed.is_ok() && messages == [b"good"], "{messages:?}");
    }
}
