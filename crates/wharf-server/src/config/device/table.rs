//! What `[[device]]` and the tables within it may say.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::{Byte, Bytes, ChecksumKind, DeviceListen, ListenerName, Template, ValueKind};
use crate::config::value::{Count, List, Span, Text};

const DAY_MS: u64 = 86_400_000;

/// `[[device]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceTable {
    pub name: Text<ListenerName>,
    pub listen: List<DeviceListen>,
    pub second: Option<Second>,
    pub connections: Option<Count<1, 1_000_000>>,
    pub tls: Option<TlsTable>,
    pub framing: FramingTable,
    pub login: LoginTable,
    pub heartbeat: Option<HeartbeatTable>,
    #[serde(default)]
    pub up: Vec<UpTable>,
    pub down: Option<DownTable>,
    pub request: Option<RequestTable>,
}

/// What happens when a device connects a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Second {
    Replace,
    Refuse,
}

/// `[device.tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub authority: Option<String>,
    pub name_is_device: bool,
}

/// `[device.framing]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramingTable {
    pub kind: FramingKind,
    pub start: Option<Bytes>,
    pub end: Option<Bytes>,
    pub max_bytes: Option<Count<1, 1_048_576>>,
    pub junk: Option<JunkWord>,
    pub junk_bytes: Option<Count<1, 1_048_576>>,
    pub bytes: Option<Count<1, 1_048_576>>,
    pub length: Option<LengthTable>,
    pub escape: Option<EscapeTable>,
    pub checksum: Option<ChecksumTable>,
}

/// How a frame's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FramingKind {
    Marks,
    Length,
    Fixed,
    Datagram,
}

/// What happens to bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JunkWord {
    Skip,
    Close,
}

/// Which byte of a number comes first: the highest, or the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Big,
    Little,
}

/// `length` of a framing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthTable {
    pub at: Count<0, 1_048_576>,
    pub bytes: Count<1, 8>,
    #[serde(default)]
    pub order: Order,
    #[serde(default)]
    pub counts: CountsWord,
    #[serde(default)]
    pub plus: i64,
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountsWord {
    #[default]
    Message,
    Rest,
    Frame,
}

/// `escape` of a framing: one of `xor`, `table` and `literal`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscapeTable {
    pub byte: Byte,
    pub xor: Option<Byte>,
    pub table: Option<Vec<(Byte, Byte)>>,
    #[serde(default)]
    pub literal: bool,
    pub also: Option<Bytes>,
}

/// `checksum` of a framing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecksumTable {
    pub kind: Text<ChecksumKind>,
    #[serde(default)]
    pub form: FormWord,
    #[serde(default)]
    pub order: Order,
    pub skip: Option<Count<0, 1_048_576>>,
    pub leave: Option<Count<0, 1_048_576>>,
    pub before: Option<Bytes>,
    #[serde(default)]
    pub behind_end: bool,
    #[serde(default)]
    pub bad: BadWord,
}

/// How a checksum is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormWord {
    #[default]
    Binary,
    Hex,
}

/// What happens to a frame with a wrong checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadWord {
    #[default]
    Drop,
    Close,
}

/// Bytes that stand at a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchTable {
    pub at: i64,
    pub hex: Option<String>,
    pub text: Option<String>,
}

/// A value at a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldTable {
    pub name: String,
    pub at: i64,
    pub kind: Text<ValueKind>,
    pub bytes: Option<Count<1, 1_048_576>>,
    pub leave: Option<Count<0, 1_048_576>>,
    pub bits: Option<(u32, u32)>,
    pub times: Option<f64>,
    pub divided_by: Option<f64>,
    pub decimals: Option<Count<0, 15>>,
    pub trim: Option<char>,
}

/// Declares a table that says which frames are meant, beside what else it says.
macro_rules! frame_table {
    ($(#[$doc:meta])* $table:ident { $($(#[$attribute:meta])* $key:ident: $value:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $table {
            pub pattern: Option<String>,
            #[serde(default, rename = "match")]
            pub bytes: Vec<MatchTable>,
            pub length: Option<(u32, u32)>,
            #[serde(default)]
            pub fields: Vec<FieldTable>,
            $($(#[$attribute])* pub $key: $value,)*
        }

        impl $table {
            /// Which frames are meant.
            pub fn frame(&self) -> Frame<'_> {
                Frame { pattern: self.pattern.as_deref(), bytes: &self.bytes, length: self.length, fields: &self.fields }
            }
        }
    };
}

/// Which frames a table means.
pub struct Frame<'a> {
    pub pattern: Option<&'a str>,
    pub bytes: &'a [MatchTable],
    pub length: Option<(u32, u32)>,
    pub fields: &'a [FieldTable],
}

frame_table! {
    /// `[device.login]`
    LoginTable {
        id: Option<String>,
        token: Option<TokenTable>,
        #[serde(default)]
        allow: Vec<String>,
        #[serde(default)]
        seen_in: Vec<String>,
        answer: Option<Template>,
        refusal: Option<Template>,
        #[serde(default)]
        strict: bool,
    }
}

/// `token` of a login.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    pub field: String,
    pub shared: Option<String>,
    #[serde(default)]
    pub by_id: BTreeMap<String, String>,
}

frame_table! {
    /// `[device.heartbeat]`
    HeartbeatTable {
        answer: Option<Template>,
        send: Option<Template>,
        interval: Span<1_000, DAY_MS>,
        misses: Option<Count<0, 100>>,
        #[serde(default)]
        only: bool,
    }
}

frame_table! {
    /// `[[device.up]]`
    UpTable {
        channel: String,
        #[serde(default)]
        publish: PublishWord,
        #[serde(default)]
        with: BTreeMap<String, String>,
        answer: Option<Template>,
        error: Option<Template>,
    }
}

/// As what a frame is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishWord {
    #[default]
    Fields,
    Text,
    Base64,
    Hex,
    Json,
}

/// `[device.down]`: one `template`, or several `messages`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownTable {
    pub channel: String,
    pub template: Option<Template>,
    #[serde(default)]
    pub messages: Vec<MessageTable>,
}

/// `[[device.down.messages]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageTable {
    pub when: Option<BTreeMap<String, String>>,
    pub template: Template,
}

frame_table! {
    /// `answer` of a request.
    AnswerTable {}
}

/// `[device.request]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTable {
    pub template: Template,
    pub answer: AnswerTable,
    pub seq: Option<String>,
    pub seq_bits: Option<Count<1, 32>>,
    #[serde(default)]
    pub publish: PublishWord,
}
