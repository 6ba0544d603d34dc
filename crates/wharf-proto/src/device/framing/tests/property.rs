//! Any messages through any framing in any pieces; any bytes into any framing.

use proptest::{collection::vec, prelude::*};

use super::*;

fn any_framing() -> impl Strategy<Value = FramingSpec> {
    let marks = |start: &'static [u8], end: &'static [u8]| Just(spec(PLAIN_MARKS, start, end));
    let lengths = (0_usize..3, prop_oneof![1..=4_usize, Just(8)], any::<bool>(), 0..3, -2..3_i64).prop_map(
        |(at, bytes, little, counts, plus)| {
            let endian = if little { Endian::Little } else { Endian::Big };
            let counts = [Counts::Message, Counts::Rest, Counts::Frame][counts as usize];
            let length = LengthSpec { at: at + 2, bytes, endian, counts, plus };
            spec(CutSpec::Length(length), b"\x78\x78", b"\r\n")
        },
    );
    let escape = EscapeSpec { byte: b'\\', how: EscapeHow::Literal, also: vec![b'!'] };
    let literal = spec(CutSpec::Marks { escape: Some(escape) }, b"<", b">>");
    prop_oneof![
        marks(b"*", b"#"),
        marks(b"**", b"##"),
        marks(b"", b"\r\n"),
        marks(b"#", b"#"),
        marks(b"ab", b"ab"),
        lengths,
        Just(gt06()),
        Just(nmea()),
        Just(hdlc()),
        Just(slip()),
        Just(stx_etx_lrc()),
        Just(literal),
        Just(spec(CutSpec::Fixed { bytes: 5 }, b"\x01", b"\x02")),
    ]
}

/// Bytes of which many mean something to one of the framings.
fn telling_bytes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let telling = proptest::sample::select(&b"*#\r\n\x78\x7e\x7d\xc0\xdb\xdc<>\\$ab\x01\x02\x03\x05\x00"[..]);
    vec(prop_oneof![4 => telling, 1 => any::<u8>()], count)
}

/// Cuts `bytes` at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn messages_read_back_as_they_were_in_any_pieces(
        spec in any_framing(),
        said in vec(telling_bytes(0..12), 0..6),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let framing = framing(&spec);
        let (mut stream, mut written) = (BytesMut::new(), Vec::new());
        for message in said {
            if framing.try_frame(&message, &mut stream).is_ok() {
                written.push(message);
            }
        }
        let (outcome, found) = feed_in_pieces(&mut framing.reader(), &pieces(&stream, &cuts));
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(found, written);
        prop_assert_eq!(framing.counters().junk_bytes(), 0);
    }

    #[test]
    fn any_bytes_are_the_same_in_any_pieces_and_hold_no_more_than_a_frame(
        spec in any_framing(),
        closes in any::<bool>(),
        input in telling_bytes(0..200),
        cuts in vec(any::<usize>(), 0..8),
    ) {
        let spec = if closes { FramingSpec { junk: Junk::Close, ..spec } } else { spec };
        let framing = framing(&spec);
        let whole = feed_in_pieces(&mut framing.reader(), &[&input]);
        let mut reader = framing.reader();
        prop_assert_eq!(feed_in_pieces(&mut reader, &pieces(&input, &cuts)), whole.clone());
        prop_assert!(reader.held_bytes() <= 2 * spec.max_bytes + 40);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(feed_in_pieces(&mut framing.reader(), &bytes), whole);
    }

    #[test]
    fn a_frame_behind_junk_is_found(
        junk in vec(any::<u8>().prop_filter("no mark", |byte| *byte != 0x78), 0..60),
        message in vec(any::<u8>(), 0..20),
    ) {
        let framing = framing(&gt06());
        let stream = [&junk[..], &framed(&framing, &message)].concat();
        prop_assert_eq!(feed_in_pieces(&mut framing.reader(), &[&stream]).1, [message]);
    }
}
