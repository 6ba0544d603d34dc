use super::*;
use crate::{device::read::Value, message::Data};

const SCOPE: Scope<'_> = Scope { fields: &["serial", "time"], has_data: true };

fn template(spec: &TemplateSpec) -> Template {
    Template::new(spec, SCOPE).unwrap()
}

fn filled(spec: TemplateSpec, data: &str) -> Result<Vec<u8>, Unfillable> {
    let reading = Reading(vec![("serial", Value::Integer(258)), ("time", Value::Text("12\n".into()))]);
    let content = Content::new(&Data::Json(data.to_owned().into()));
    let filling = Filling {
        id: "41",
        seq: 7,
        unix_ms: 1_762_432_496_500, // 2025-11-06T12:34:56.5Z
        reading: Some(&reading),
        data: Some(&content),
    };
    let mut out = BytesMut::new();
    template(&spec).fill(&filling, &mut out).map(|()| out.to_vec())
}

fn text(template: &str, data: &str) -> String {
    String::from_utf8(filled(TemplateSpec::Text(template.into()), data).unwrap()).unwrap()
}

fn bytes(template: &str, data: &str) -> Vec<u8> {
    filled(TemplateSpec::Hex(template.into()), data).unwrap()
}

#[test]
fn text_is_filled_in() {
    for (template, data, expected) in [
        ("HQ,{id},R12,{now:%H%M%S}", "null", "HQ,41,R12,123456"),
        ("{{{seq:04}}} {seq:x2} {seq:X8} {serial}", "null", "{0007} 07 00000007 258"),
        ("{data}", "\"reboot\"", "reboot"),
        ("{data}", "[1, 2.50]", "[1,2.5]"),
        ("{data.a.b} {data.c:03} {data.a}", r#"{"a":{"b":"x"},"c":5}"#, "x 005 {\"b\":\"x\"}"),
        (
            "{now} {now:%y%m%d 100%%} {now:unix} {now:unix_ms}",
            "1",
            "2025-11-06T12:34:56Z 251106 100% 1762432496 1762432496500",
        ),
        ("{time:raw}", "1", "12\n"),
    ] {
        assert_eq!(text(template, data), expected, "{template}");
    }
}

#[test]
fn bytes_are_filled_in() {
    assert_eq!(bytes("05 01 {serial:u16be} {serial:u16le}", "1"), b"\x05\x01\x01\x02\x02\x01");
    assert_eq!(
        bytes(
            "{data.a:i8}{data.b:f32be} {data.c:unhex} {data.d:unbase64}",
            r#"{"a":-1,"b":1.0,"c":"0a 0B","d":"AP8="}"#
        ),
        b"\xff\x3f\x80\x00\x00\x0a\x0b\x00\xff"
    );
    assert_eq!(
        bytes("{now:u32be}{now:bytes6}{now:bcd6}", "1"),
        b"\x69\x0c\x95\xf0\x19\x0b\x06\x0c\x22\x38\x25\x11\x06\x12\x34\x56"
    );
    assert_eq!(bytes("{id} 0d {seq:u24le}", "1"), b"41\x0d\x07\x00\x00");
    assert_eq!(bytes("80 {data:len+4} {data}", "\"sos#\""), b"\x80\x08sos#");
    assert_eq!(bytes("{id:len}", "1"), b"\x02");
}

#[test]
fn what_does_not_fit_says_so() {
    let error = |template: &str, data: &str| {
        filled(TemplateSpec::Text(template.into()), data).unwrap_err().to_string()
    };
    assert_eq!(error("{data.speed}", "{}"), "the data has no member `speed`");
    assert_eq!(error("{data.speed}", "5"), "the data has no member `speed`");
    assert!(error("{data.a:u8}", r#"{"a":256}"#).contains("a number that fits its bytes is needed"));
    assert!(error("{data.a:u8}", r#"{"a":-1}"#).contains("fits its bytes"));
    assert!(error("{data.a:i8}", r#"{"a":128}"#).contains("fits its bytes"));
    assert!(error("{data.a:02}", r#"{"a":100}"#).contains("fewer digits"));
    assert!(error("{data.a:x2}", r#"{"a":"x"}"#).contains("\"x\", and a whole number is needed"));
    assert!(error("{data:len+250}", "\"longer\"").contains("a shorter text"));
    assert!(error("{data:unhex}", "\"0g\"").contains("hexadecimal digits"));
    assert!(error("{data:unbase64}", "\"*\"").contains("base64"));
}

#[test]
fn a_publication_cannot_say_more_than_it_should() {
    for data in [r#""a\r\nREBOOT""#, r#""a\u0000""#, r#""\u001b[2J""#] {
        let error = filled(TemplateSpec::Text("SAY {data}".into()), data).unwrap_err().to_string();
        assert!(error.contains("data holds control characters") && error.contains("{data:raw}"), "{error}");
    }
    assert_eq!(text("SAY {data:raw}", r#""a\nb""#), "SAY a\nb");
}

#[test]
fn what_cannot_be_is_refused_with_the_mend() {
    for (spec, words) in [
        (TemplateSpec::Text("{nobody}".into()), "known here: id, seq, now, serial, time, data, data.NAME"),
        (TemplateSpec::Text("{id:u12}".into()), "no way to write {id}"),
        (TemplateSpec::Text("{seq:u16}".into()), "u16be, u16le"),
        (TemplateSpec::Text("{now:%q}".into()), "no way to write the time"),
        (TemplateSpec::Text("{now:hello}".into()), "no way to write the time"),
        (TemplateSpec::Text("{id".into()), "stands alone"),
        (TemplateSpec::Text("id}".into()), "stands alone"),
        (TemplateSpec::Text("{data.}".into()), "nothing here is called"),
        (TemplateSpec::Hex("05 0".into()), "pairs of hexadecimal digits"),
        (TemplateSpec::Hex("hello".into()), "pairs of hexadecimal digits"),
    ] {
        let error = Template::new(&spec, SCOPE).unwrap_err();
        assert!(error.message.contains(words), "{spec:?}: {error}");
    }
    let error = Template::new(&TemplateSpec::Text("{data}".into()), Scope::default()).unwrap_err();
    assert!(error.message.contains("known here: id, seq, now"), "{error}");
}

#[test]
fn days_are_those_of_the_calendar() {
    let date = |seconds: u64| {
        let mut out = BytesMut::new();
        TimeFormat::new("%Y-%m-%d %H:%M:%S").unwrap().write(seconds * 1_000, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    };
    for (seconds, expected) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (1_709_164_800, "2024-02-29 00:00:00"),
        (1_735_689_599, "2024-12-31 23:59:59"),
    ] {
        assert_eq!(date(seconds), expected);
    }
}
