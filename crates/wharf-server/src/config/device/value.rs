//! The kinds of value that a device's tables hold.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use wharf::settings::{DeviceAddress, ListenAddress};
use wharf_proto::device::{
    checksum::Checksum,
    spec::{Endian, FieldKind, TemplateSpec},
    unhex,
};

use crate::config::value::{Checked, parse_listen_address};

/// Text, or hexadecimal digits: `"*"`, `{ hex = "78 78" }`.
struct TextOrHex(TemplateSpec);

impl<'de> Deserialize<'de> for TextOrHex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Digits {
            hex: String,
        }
        struct TextOrHexVisitor;
        impl<'de> Visitor<'de> for TextOrHexVisitor {
            type Value = TextOrHex;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text in quotes, or bytes as in { hex = \"78 0d\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrHex(TemplateSpec::Text(text.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let digits = Digits::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TextOrHex(TemplateSpec::Hex(digits.hex)))
            }
        }
        deserializer.deserialize_any(TextOrHexVisitor)
    }
}

/// A message with fields in it.
#[derive(Debug, Clone)]
pub struct Template(pub TemplateSpec);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TextOrHex::deserialize(deserializer).map(|TextOrHex(spec)| Self(spec))
    }
}

/// Bytes.
#[derive(Debug, Clone)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TextOrHex::deserialize(deserializer)?.0 {
            TemplateSpec::Text(text) => Ok(Self(text.into_bytes())),
            TemplateSpec::Hex(digits) => match unhex(&digits) {
                Some(bytes) => Ok(Self(bytes)),
                None => Err(de::Error::custom(format!("{digits:?} is not pairs of hexadecimal digits"))),
            },
        }
    }
}

/// One byte.
#[derive(Debug, Clone, Copy)]
pub struct Byte(pub u8);

impl<'de> Deserialize<'de> for Byte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Bytes::deserialize(deserializer)?.0[..] {
            [byte] => Ok(Self(byte)),
            _ => Err(de::Error::custom("write one byte, as in { hex = \"7d\" }")),
        }
    }
}

/// Where devices connect.
#[derive(Debug, Clone)]
pub struct DeviceListen(pub DeviceAddress);

impl Checked for DeviceListen {
    const EXPECTED: &'static str =
        "an address such as \"tcp://0.0.0.0:7000\", \"tls://...\", \"udp://...\" or \"unix:/path\"";

    fn read(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match parse_listen_address(&format!("unix:{path}"))? {
                ListenAddress::Unix(path) => Ok(Self(DeviceAddress::Unix(path))),
                ListenAddress::Tcp(_) => Err(format!("{text:?} is no path")),
            };
        }
        let Some((scheme, address)) = text.split_once("://") else {
            return Err(format!(
                "{text:?} does not say how devices connect; write \"tcp://{text}\", or tls:// or udp://"
            ));
        };
        let address = match parse_listen_address(address)? {
            ListenAddress::Tcp(address) => address,
            ListenAddress::Unix(_) => {
                return Err(format!("{text:?} is no address; write {scheme}://ADDRESS:PORT"));
            }
        };
        match scheme {
            "tcp" => Ok(Self(DeviceAddress::Tcp(address))),
            "tls" => Ok(Self(DeviceAddress::Tls(address))),
            "udp" => Ok(Self(DeviceAddress::Udp(address))),
            _ => Err(format!(
                "devices do not connect by {scheme}://; write tcp://, tls://, udp:// or unix:/path"
            )),
        }
    }
}

/// The name of a device listener: in logs, metrics and the server API.
#[derive(Debug, Clone)]
pub struct ListenerName(pub Box<str>);

impl Checked for ListenerName {
    const EXPECTED: &'static str = "a name such as \"tracker\"";

    fn read(text: &str) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match text.len() {
            1..=64 if text.bytes().all(good) => Ok(Self(text.into())),
            _ => Err(format!("{text:?} cannot name a listener; write 1 to 64 letters, digits, `_` or `-`")),
        }
    }
}

/// A kind of checksum, by its name.
#[derive(Debug, Clone, Copy)]
pub struct ChecksumKind(pub Checksum);

impl Checked for ChecksumKind {
    const EXPECTED: &'static str = "a kind of checksum such as \"crc16-x25\"";

    fn read(text: &str) -> Result<Self, String> {
        match Checksum::NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, kind)) => Ok(Self(*kind)),
            None => {
                let known: Vec<_> = Checksum::NAMES.iter().map(|(name, _)| *name).collect();
                Err(format!("{text:?} is no checksum; known here: {}", known.join(", ")))
            }
        }
    }
}

/// How the bytes of a field are read, and how many they are where the kind says.
#[derive(Debug, Clone, Copy)]
pub struct ValueKind {
    pub kind: FieldKind,
    pub bytes: Option<usize>,
}

impl Checked for ValueKind {
    const EXPECTED: &'static str = "a kind of value such as \"u16be\"";

    fn read(text: &str) -> Result<Self, String> {
        let plain = |kind| Ok(Self { kind, bytes: None });
        match text {
            "bcd" => return plain(FieldKind::Bcd),
            "hex" => return plain(FieldKind::Hex),
            "text" => return plain(FieldKind::Text),
            "base64" => return plain(FieldKind::Base64),
            "time6" => return Ok(Self { kind: FieldKind::Time6, bytes: Some(6) }),
            _ => {}
        }
        number_kind(text).ok_or_else(|| {
            format!(
                "{text:?} is no kind of value; known here: u8, u16be, u16le, ... u64le, i8, ... i64le, f32be, f32le, f64be, \
                 f64le, bcd, hex, text, base64, time6"
            )
        })
    }
}

fn number_kind(text: &str) -> Option<ValueKind> {
    let (letter, size) = text.split_at_checked(1)?;
    let (bits, endian) = match size.strip_suffix("le") {
        Some(bits) => (bits, Endian::Little),
        None => (size.strip_suffix("be").unwrap_or(size), Endian::Big),
    };
    let bits: usize = bits.parse().ok()?;
    let is_whole = bits.is_multiple_of(8) && (8..=64).contains(&bits);
    if !is_whole || (size.parse::<usize>().is_ok() && bits > 8) {
        return None; // The order must be said.
    }
    let kind = match letter {
        "u" => FieldKind::Unsigned(endian),
        "i" => FieldKind::Signed(endian),
        "f" if matches!(bits, 32 | 64) => FieldKind::Float(endian),
        _ => return None,
    };
    Some(ValueKind { kind, bytes: Some(bits / 8) })
}
