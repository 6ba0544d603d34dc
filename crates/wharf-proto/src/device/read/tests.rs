use proptest::prelude::*;

use super::*;
use crate::device::{
    spec::{Endian, FieldKind, FieldSpec},
    testing::field,
};

fn rule(spec: FrameSpec) -> FrameRule {
    FrameRule::new(&spec).unwrap()
}

fn pattern(text: &str) -> FrameRule {
    rule(FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() })
}

fn texts(reading: &Reading<'_>) -> Vec<(String, String)> {
    reading.0.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_pattern_reads_what_stands_between_its_literal_parts() {
    let tracker = pattern("HQ,{id:digits},V1,{time},{_},{lat:degrees},{ns},{speed:number},{rest}");
    let reading = tracker.read(b"HQ,4106012736,V1,224434,A,2234.4669,N,000.00,a,b").unwrap();
    let expected = [
        ("id", "4106012736"),
        ("time", "224434"),
        ("lat", "22.574448"),
        ("ns", "N"),
        ("speed", "0.00"),
        ("rest", "a,b"),
    ];
    assert_eq!(texts(&reading), pairs(&expected));
    for (message, at) in [
        (&b"HQ,41x,V1,224434,A,2234.4669,N,0,a"[..], 3),
        (b"HQ,4106012736,V2,1", 3),
        (b"HX,1", 0),
        (b"HQ,1,V1,2,A,2234.4669,N,fast,a", 24),
        (b"", 0),
    ] {
        assert_eq!(tracker.read(message), Err(Mismatch::Pattern(at)), "{message:?}");
    }
}

#[test]
fn a_pattern_without_a_field_at_its_end_fits_the_whole_message() {
    assert!(pattern("HB").read(b"HB").is_ok());
    assert_eq!(pattern("HB").read(b"HB1"), Err(Mismatch::Pattern(2)));
    assert_eq!(pattern("{a}#").read(b"1#2#"), Err(Mismatch::Pattern(2)), "a field ends at the first");
    assert_eq!(texts(&pattern("{{{a}}}").read(b"{x}").unwrap()), pairs(&[("a", "x")]));
}

#[test]
fn bytes_are_read_at_their_places_from_either_end() {
    let location = rule(FrameSpec {
        bytes: vec![(0, vec![0x12])],
        fields: vec![
            field("time", 1, 6, FieldKind::Time6),
            FieldSpec {
                divided_by: Some(1_800_000.0),
                decimals: Some(6),
                ..field("lat", 7, 4, FieldKind::Unsigned(Endian::Big))
            },
            FieldSpec { bits: Some((0, 10)), ..field("course", 11, 2, FieldKind::Unsigned(Endian::Big)) },
            FieldSpec { bits: Some((10, 1)), ..field("north", 11, 2, FieldKind::Unsigned(Endian::Big)) },
            field("low", 11, 2, FieldKind::Unsigned(Endian::Little)),
            field("temperature", 13, 1, FieldKind::Signed(Endian::Big)),
            FieldSpec { trim: Some('0'), ..field("imei", 14, 2, FieldKind::Bcd) },
            FieldSpec { bytes: None, leave: 2, ..field("raw", 14, 1, FieldKind::Hex) },
            field("serial", -2, 2, FieldKind::Unsigned(Endian::Big)),
            field("float", -6, 4, FieldKind::Float(Endian::Big)),
        ],
        ..FrameSpec::default()
    });
    let message = b"\x12\x0b\x08\x1d\x11\x2e\x10\x02\x7a\xc7\xeb\x14\x66\xff\x01\x23\x3f\x80\x00\x00\x00\x03";
    let expected = [
        ("time", "2011-08-29T17:46:16Z"),
        ("lat", "23.111668"),
        ("course", "102"),
        ("north", "1"),
        ("low", "26132"),
        ("temperature", "-1"),
        ("imei", "123"),
        ("raw", "01233f800000"),
        ("serial", "3"),
        ("float", "1"),
    ];
    assert_eq!(texts(&location.read(message).unwrap()), pairs(&expected));
    assert_eq!(location.read(&message[..12]), Err(Mismatch::Field("course")));
    assert_eq!(location.read(b"\x13"), Err(Mismatch::Bytes(0)));
    assert_eq!(location.read(b""), Err(Mismatch::Bytes(0)));
    let not_a_time = [&[0x12, 0x63, 0x0d][..], &message[3..]].concat();
    assert_eq!(location.read(&not_a_time), Err(Mismatch::Field("time")));
}

#[test]
fn a_length_tells_frames_apart() {
    let pair = rule(FrameSpec { length: Some((2, 3)), ..FrameSpec::default() });
    assert!(pair.read(b"ab").is_ok() && pair.read(b"abc").is_ok());
    assert_eq!(pair.read(b"abcd"), Err(Mismatch::Length));
}

#[test]
fn numbers_are_json() {
    let mut out = bytes::BytesMut::new();
    for value in [
        Value::Integer(-5),
        Value::Float(0.1),
        Value::Float(1e21),
        Value::Decimal("12.50".into()),
        Value::Text("a\"b\n".into()),
    ] {
        value.write_json(&mut out);
        out.extend_from_slice(b" ");
    }
    assert_eq!(&out[..], br#"-5 0.1 1000000000000000000000 12.50 "a\"b\n" "#);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_key_and_the_mend() {
    let unsigned = FieldKind::Unsigned(Endian::Big);
    let of_pattern = |text: &str| FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() };
    let of_field = |field| FrameSpec { fields: vec![field], ..FrameSpec::default() };
    for (spec, key, words) in [
        (of_pattern("{a}{b}"), "pattern", "nothing stands before {b}"),
        (of_pattern("a}"), "pattern", "a `}` stands alone"),
        (of_pattern("{a"), "pattern", "a `{` stands alone"),
        (of_pattern("{a b}"), "pattern", "cannot name a field"),
        (of_pattern("{a:float}"), "pattern", "known here: text, digits, number, degrees"),
        (of_pattern(""), "pattern", "leave it out"),
        (of_pattern("{a},{a}"), "fields", "read twice"),
        (of_pattern(&(0..65).map(|at| format!("{{a{at}}},")).collect::<String>()), "fields", "at most 64"),
        (of_field(field("a", 0, 9, unsigned)), "fields[0].bytes", "9 bytes"),
        (of_field(FieldSpec { bytes: None, ..field("a", 0, 1, unsigned) }), "fields[0].bytes", "is missing"),
        (of_field(field("a", -1, 2, unsigned)), "fields[0].at", "beyond the end"),
        (of_field(field("a", 0, 5, FieldKind::Float(Endian::Big))), "fields[0].bytes", "5 bytes"),
        (
            of_field(FieldSpec { bits: Some((60, 5)), ..field("a", 0, 8, unsigned) }),
            "fields[0].bits",
            "0 to 63",
        ),
        (
            of_field(FieldSpec { times: Some(2.0), ..field("a", 0, 8, FieldKind::Text) }),
            "fields[0].kind",
            "only a number",
        ),
        (
            of_field(FieldSpec { divided_by: Some(0.0), ..field("a", 0, 1, unsigned) }),
            "fields[0].divided_by",
            "other than 0",
        ),
    ] {
        let error = FrameRule::new(&spec).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

proptest! {
    #[test]
    fn any_message_is_read_or_refused_in_any_kind(message in proptest::collection::vec(any::<u8>(), 0..24), at in -9..9_i64) {
        for kind in [
            FieldKind::Unsigned(Endian::Little), FieldKind::Signed(Endian::Big), FieldKind::Float(Endian::Little),
            FieldKind::Bcd, FieldKind::Hex, FieldKind::Text, FieldKind::Base64,
        ] {
            for bytes in [1, 4, 8] {
                let bits = matches!(kind, FieldKind::Unsigned(_) | FieldKind::Signed(_)).then_some((3, 61));
                let spec = FieldSpec { bits, ..field("a", at, bytes, kind) };
                let Ok(rule) = FrameRule::new(&FrameSpec { fields: vec![spec], ..FrameSpec::default() }) else { continue };
                if let Ok(reading) = rule.read(&message) {
                    let mut json = bytes::BytesMut::new();
                    reading.0[0].1.write_json(&mut json);
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "{:?}", json);
                }
            }
        }
        let _readable = pattern("{a},{b:number},{c:degrees};{_}").read(&message);
    }
}
