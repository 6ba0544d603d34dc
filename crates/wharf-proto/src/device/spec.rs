//! The description of a kind of device, as plain data: what a configuration file says, before it is checked.
//! [`Profile::new`](super::Profile::new) checks it and makes it work.

use super::checksum::Checksum;

/// A kind of device.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileSpec {
    /// Where frames end.
    pub framing: FramingSpec,
    /// Who may come.
    pub login: LoginSpec,
    /// How life is shown; none where only the transport shows it.
    pub heartbeat: Option<HeartbeatSpec>,
    /// Which frames are published where; the first that a frame matches counts.
    pub up: Vec<UpSpec>,
    /// What is said to the device.
    pub down: Option<DownSpec>,
    /// How the device is asked for something.
    pub request: Option<RequestSpec>,
}

/// Which byte comes first in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Endian {
    #[default]
    Big,
    Little,
}

/// Where frames end, and what stands around a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingSpec {
    /// How the end is found.
    pub cut: CutSpec,
    /// Bytes with which every frame begins; they are not part of the message.
    pub start: Vec<u8>,
    /// Bytes with which every frame ends; they are not part of the message.
    pub end: Vec<u8>,
    /// The checksum, where there is one.
    pub checksum: Option<ChecksumSpec>,
    /// The longest message, in bytes, without what frames it.
    pub max_bytes: usize,
    /// What happens to bytes that are no frame.
    pub junk: Junk,
}

/// How a frame's end is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutSpec {
    /// At the bytes of [`FramingSpec::end`], behind those of [`FramingSpec::start`], where there are some.
    Marks {
        /// How marks within a message are written; none where a message holds none.
        escape: Option<EscapeSpec>,
    },
    /// By a length field.
    Length(LengthSpec),
    /// Every message has so many bytes.
    Fixed {
        /// How many.
        bytes: usize,
    },
    /// A datagram is a frame; or several, between which the bytes of [`FramingSpec::end`] stand, where there are some.
    Datagram,
}

/// How bytes that mean something to the framing stand within a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscapeSpec {
    /// The byte before a changed one.
    pub byte: u8,
    /// How it is changed.
    pub how: EscapeHow,
    /// Further bytes that are escaped when a message is written.
    pub also: Vec<u8>,
}

/// How an escaped byte is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EscapeHow {
    /// By exclusive or with this (HDLC: 0x20).
    Xor(u8),
    /// Not at all.
    Literal,
    /// Each of these becomes its partner (SLIP: c0 becomes dc, db becomes dd).
    Table(Vec<(u8, u8)>),
}

/// A length field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LengthSpec {
    /// Where it stands, from the frame's first byte. What stands between the start bytes and it belongs to the message
    /// and comes first in it.
    pub at: usize,
    /// Its width, 1 to 4 or 8 bytes.
    pub bytes: usize,
    /// Its byte order.
    pub endian: Endian,
    /// What it counts.
    pub counts: Counts,
    /// Added to the count of what the field counts before it is written, taken off when it is read.
    pub plus: i64,
}

/// What a length field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counts {
    /// The message's bytes behind the field.
    #[default]
    Message,
    /// Everything behind the field: message, checksum and end bytes.
    Rest,
    /// Everything, from the first start byte to the last end byte.
    Frame,
}

/// Where and how a checksum stands. Its value stands behind the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksumSpec {
    /// How it is calculated.
    pub kind: Checksum,
    /// So many bytes at the front of the frame do not count; none where only the start bytes do not.
    pub skip: Option<usize>,
    /// So many bytes right before the checksum do not count.
    pub leave: usize,
    /// How it is written.
    pub form: ChecksumForm,
    /// Bytes between the message and the checksum (NMEA: `*`). They do not count.
    pub before: Vec<u8>,
    /// It stands behind the end bytes, which count (STX ... ETX LRC).
    pub behind_end: bool,
    /// What happens to a frame whose checksum is wrong.
    pub bad: BadChecksum,
}

/// How a checksum is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumForm {
    /// As bytes.
    Binary(Endian),
    /// As ASCII digits of either case, written in upper case (NMEA).
    Hex,
}

/// What happens to a frame whose checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadChecksum {
    /// It is left out and counted.
    #[default]
    Drop,
    /// The connection is closed.
    Close,
}

/// What happens to bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Junk {
    /// They are left out up to the next start bytes. After so many without a good frame the connection is closed.
    Skip {
        /// How many bytes.
        limit: usize,
    },
    /// The connection is closed.
    Close,
}

/// Bytes, in parts given by name: text, or hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSpec {
    /// Text with fields in braces.
    Text(String),
    /// Pairs of hexadecimal digits, with fields in braces; spaces are ignored.
    Hex(String),
}

/// Which frames are meant, and what is read from them. Empty means every frame and nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameSpec {
    /// The message is this text with fields in braces.
    pub pattern: Option<String>,
    /// These bytes stand at these places, counted from the message's first byte, or from behind its last if negative.
    pub bytes: Vec<(i64, Vec<u8>)>,
    /// The message has so many bytes, from and to.
    pub length: Option<(usize, usize)>,
    /// What is read from places of the message.
    pub fields: Vec<FieldSpec>,
}

/// A value at a place of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// What it is called.
    pub name: String,
    /// Where it begins, counted from the message's first byte, or from behind its last if negative.
    pub at: i64,
    /// How many bytes it has; none where it goes to the end of the message, and where its kind says.
    pub bytes: Option<usize>,
    /// How many bytes at the message's end do not belong to it, where `bytes` is none.
    pub leave: usize,
    /// How it is read.
    pub kind: FieldKind,
    /// Only these bits of a whole number, counted from the lowest: the first and how many.
    pub bits: Option<(u32, u32)>,
    /// A number is multiplied by this.
    pub times: Option<f64>,
    /// A number is divided by this.
    pub divided_by: Option<f64>,
    /// A number is rounded to so many decimals.
    pub decimals: Option<u8>,
    /// This character is taken off the front of a text (leading zeros).
    pub trim: Option<char>,
}

/// How the bytes of a field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A whole number without sign, of 1 to 8 bytes.
    Unsigned(Endian),
    /// A whole number in two's complement, of 1 to 8 bytes.
    Signed(Endian),
    /// IEEE 754, of 4 or 8 bytes.
    Float(Endian),
    /// Two decimal digits a byte, as text.
    Bcd,
    /// Hexadecimal digits, as text.
    Hex,
    /// ASCII or UTF-8.
    Text,
    /// base64 (RFC 4648), as text.
    Base64,
    /// Year of the century, month, day, hour, minute, second: a byte each, as text (`2026-11-28T10:00:00Z`).
    Time6,
}

/// Which frame names the device, and who is let in.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginSpec {
    /// Which frames.
    pub frame: FrameSpec,
    /// The field that names the device.
    pub id: String,
    /// The field that proves it, where there is one.
    pub token: Option<TokenSpec>,
    /// Ids that may come; `*` stands for any characters.
    pub allow: Vec<String>,
    /// Channels that the device is seen in, beside those that it is subscribed to. `{id}` stands for its id.
    pub seen_in: Vec<String>,
    /// What a device is answered that was let in.
    pub answer: Option<TemplateSpec>,
    /// What a device is answered that was not, before the connection is closed.
    pub refusal: Option<TemplateSpec>,
    /// A frame before the login closes the connection; otherwise a few are left out.
    pub strict: bool,
}

/// A field that proves who a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// The field.
    pub field: String,
    /// What it holds for every device; none where each has its own.
    pub shared: Option<String>,
    /// What it holds for single devices.
    pub by_id: Vec<(String, String)>,
}

/// How a device shows life.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatSpec {
    /// Frames of the device's that say that it lives, or answer what the server sends.
    pub frame: Option<FrameSpec>,
    /// What such a frame is answered.
    pub answer: Option<TemplateSpec>,
    /// What the server sends, once an interval.
    pub send: Option<TemplateSpec>,
    /// How often something must come, in milliseconds.
    pub interval_ms: u64,
    /// How many times nothing may come.
    pub misses: u32,
    /// Only the frames above count as life; otherwise anything does.
    pub only: bool,
}

/// Which frames are published where, and as what.
#[derive(Debug, Clone, PartialEq)]
pub struct UpSpec {
    /// Which frames.
    pub frame: FrameSpec,
    /// The channel; `{id}` stands for the device's id.
    pub channel: String,
    /// As what.
    pub publish: Publish,
    /// Further members of the object that [`Publish::Fields`] makes.
    pub with: Vec<(String, String)>,
    /// What the device is answered when it is published.
    pub answer: Option<TemplateSpec>,
    /// What the device is answered when it could not be.
    pub error: Option<TemplateSpec>,
}

/// As what a message is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Publish {
    /// A JSON object of the fields.
    #[default]
    Fields,
    /// A JSON string of the message, which must be UTF-8.
    Text,
    /// A JSON string of the message in base64.
    Base64,
    /// A JSON string of the message in hexadecimal digits.
    Hex,
    /// The message, which is JSON.
    Json,
}

/// What is said to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownSpec {
    /// The channel whose publications it is told; `{id}` stands for its id.
    pub channel: String,
    /// How each is written; the first whose condition holds counts.
    pub messages: Vec<MessageSpec>,
}

/// How a publication is written to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSpec {
    /// The publication is an object in which this member has this value; none for every publication.
    pub when: Option<(String, String)>,
    /// What is written.
    pub template: TemplateSpec,
}

/// How a device is asked for something, and which of its frames answers.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSpec {
    /// What is written; `{seq}` is the request's number.
    pub template: TemplateSpec,
    /// Which frames are answers.
    pub answer: FrameSpec,
    /// The field of an answer that holds the request's number; none where the device answers in order.
    pub seq: Option<String>,
    /// How many bits of the number the device gives back.
    pub seq_bits: u32,
    /// As what the answer is handed to whoever asked.
    pub publish: Publish,
}
