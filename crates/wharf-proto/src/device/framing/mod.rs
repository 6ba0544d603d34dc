//! Where a device's frames end: marks, a length, a fixed size, or datagrams; with escapes and a checksum where it has
//! them.
//!
//! A frame is `start | message | checksum | end` in all of them. Knows nothing of what a message means.

mod compile;
mod escape;
mod explain;
mod find;
mod open;
mod reader;
mod simple;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::BytesMut;

use self::escape::Escape;
pub use self::find::Why;
pub use self::open::Fault;
pub use self::reader::{FrameReader, Piece};
pub use self::write::Unframeable;
use super::{
    checksum::Checksum,
    error::ProfileError,
    spec::{ChecksumSpec, Endian, FramingSpec, Junk},
};
use crate::wire::{DeframeLimits, Deframer, Framing, MessageKind};

/// The longest message that a framing may be declared for. LIMITS.md, `LONGEST_FRAME_BYTES`.
pub const LONGEST_FRAME_BYTES: usize = 1024 * 1024;
/// The most bytes that start, end, or separate. LIMITS.md, `MARK_BYTES`.
pub const MARK_BYTES: usize = 8;

/// A framing that devices use. Cloning copies a reference.
#[derive(Debug, Clone)]
pub struct DeviceFraming(Arc<Plan>);

/// A framing that was checked, with sizes worked out.
#[derive(Debug)]
struct Plan {
    cut: Cut,
    start: Box<[u8]>,
    end: Box<[u8]>,
    sum: Option<ChecksumSpec>,
    /// The longest message.
    max: usize,
    junk: Junk,
    counters: Counters,
}

#[derive(Debug)]
enum Cut {
    /// At the end bytes.
    Marks(Option<Escape>),
    /// So many bytes of the message before a field of `width` bytes, which holds the number of bytes of the message
    /// behind it and `extra`.
    Length {
        head: usize,
        width: usize,
        endian: Endian,
        extra: i64,
    },
    Fixed(usize),
    Datagram,
}

/// What a framing left out, over all connections.
#[derive(Debug, Default)]
pub struct Counters {
    junk_bytes: AtomicU64,
    bad_checksums: AtomicU64,
}

impl Counters {
    /// Bytes that were no frame.
    pub fn junk_bytes(&self) -> u64 {
        self.junk_bytes.load(Ordering::Relaxed)
    }

    /// Frames with a wrong checksum.
    pub fn bad_checksums(&self) -> u64 {
        self.bad_checksums.load(Ordering::Relaxed)
    }
}

impl DeviceFraming {
    /// Checks a description.
    ///
    /// # Errors
    /// Names the key that is at fault.
    pub fn new(spec: &FramingSpec) -> Result<Self, ProfileError> {
        Plan::new(spec).map(|plan| Self(Arc::new(plan))).map_err(|error| error.below("framing"))
    }

    /// The reading side of one connection.
    pub fn reader(&self) -> FrameReader {
        FrameReader::new(Arc::clone(&self.0), self.0.max)
    }

    /// Appends `message`, framed.
    ///
    /// # Errors
    /// The frame would not read back as this message; `out` is as it was.
    pub fn try_frame(&self, message: &[u8], out: &mut BytesMut) -> Result<(), Unframeable> {
        self.0.write(message, out)
    }

    /// The longest message.
    pub fn max_bytes(&self) -> usize {
        self.0.max
    }

    /// Whether each datagram is taken by itself.
    pub fn is_datagram(&self) -> bool {
        matches!(self.0.cut, Cut::Datagram)
    }

    /// The checksum that frames bear.
    pub(in crate::device) fn checksum(&self) -> Option<Checksum> {
        self.0.sum.as_ref().map(|sum| sum.kind)
    }

    /// What was left out so far.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

impl Framing for DeviceFraming {
    fn name(&self) -> &'static str {
        match self.0.cut {
            Cut::Marks(_) => "marks",
            Cut::Length { .. } => "length",
            Cut::Fixed(_) => "fixed",
            Cut::Datagram => "datagram",
        }
    }

    /// Appends nothing where the framing cannot carry the message; [`DeviceFraming::try_frame`] says why.
    fn frame(&self, _kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        let _nothing_was_appended = self.try_frame(message, out);
    }

    fn frame_checked(&self, _kind: MessageKind, message: &[u8], out: &mut BytesMut) -> Result<(), Box<str>> {
        self.try_frame(message, out).map_err(|why| why.to_string().into())
    }

    fn deframer(&self, limits: DeframeLimits) -> Box<dyn Deframer> {
        Box::new(FrameReader::new(Arc::clone(&self.0), self.0.max.min(limits.message_bytes)))
    }
}

impl Plan {
    /// Whether a frame is what stands between two marks that are alike, or before one.
    fn is_between_marks(&self) -> bool {
        matches!(self.cut, Cut::Marks(_)) && (self.start.is_empty() || self.start == self.end)
    }

    /// Whether a stream begins before a mark, so that what comes first is no frame.
    fn begins_unsynced(&self) -> bool {
        self.is_between_marks() && !self.start.is_empty()
    }

    /// The bytes of what separates the checksum from the message, and of its value.
    fn sum_bytes(&self) -> usize {
        self.sum.as_ref().map_or(0, |sum| sum.before.len() + sum.value_bytes())
    }

    fn sum_is_behind_end(&self) -> bool {
        self.sum.as_ref().is_some_and(|sum| sum.behind_end)
    }

    /// The checksum of a frame of which `content` stands between start and checksum.
    fn checksum(&self, sum: &ChecksumSpec, content: &[u8]) -> u32 {
        let end: &[u8] = if sum.behind_end { &self.end } else { &[] };
        let skip = sum.skip.unwrap_or(self.start.len());
        let count = (self.start.len() + content.len() + end.len()).saturating_sub(skip + sum.leave);
        sum.kind.of(self.start.iter().chain(content).chain(end).copied().skip(skip).take(count))
    }
}

/// Writes `value` into as many bytes as there are.
fn put_number(value: u64, endian: Endian, to: &mut [u8]) {
    let width = to.len();
    match endian {
        Endian::Big => to.copy_from_slice(&value.to_be_bytes()[8 - width..]),
        Endian::Little => to.copy_from_slice(&value.to_le_bytes()[..width]),
    }
}

/// Reads at most 8 bytes.
pub(in crate::device) fn number(bytes: &[u8], endian: Endian) -> u64 {
    let fold = |value, byte: &u8| value << 8 | u64::from(*byte);
    match endian {
        Endian::Big => bytes.iter().fold(0, fold),
        Endian::Little => bytes.iter().rev().fold(0, fold),
    }
}
