//! Writes messages as frames, and none that would read back as something else.

use bytes::{BufMut, BytesMut};
use memchr::memmem;

use super::{Cut, Plan, put_number};
use crate::device::spec::ChecksumForm;

/// Why a message cannot be framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unframeable {
    /// It is longer than the framing allows.
    #[error("the message has {bytes} bytes, and at most {max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The framing's limit.
        max: usize,
    },
    /// It is shorter than what stands before the length field, or not of the one size that there is.
    #[error("the message has {bytes} bytes, and {needed} are needed")]
    WrongSize {
        /// Its length.
        bytes: usize,
        /// What the framing asks for.
        needed: usize,
    },
    /// Its length does not fit the field.
    #[error("the length of the message does not fit its field")]
    LengthField,
    /// It holds the bytes of a mark, which the framing cannot escape.
    #[error("the message holds the bytes that begin or end a frame, and this framing has no escape for them")]
    HoldsMark,
    /// It has no bytes, and a reader would see nothing.
    #[error("the message is empty")]
    Empty,
}

impl Plan {
    pub(super) fn write(&self, message: &[u8], out: &mut BytesMut) -> Result<(), Unframeable> {
        let bytes = message.len();
        if bytes > self.max {
            return Err(Unframeable::TooLong { bytes, max: self.max });
        }
        let begun = out.len();
        out.put_slice(&self.start);
        let written = self.write_content(message, out);
        if written.is_err() {
            out.truncate(begun);
        }
        written
    }

    fn write_content(&self, message: &[u8], out: &mut BytesMut) -> Result<(), Unframeable> {
        let bytes = message.len();
        match &self.cut {
            Cut::Marks(None) => {
                self.refuse_marks(message)?;
                out.put_slice(message);
                self.write_sum(message, out);
            }
            Cut::Marks(Some(escape)) => {
                if bytes == 0 && self.is_between_marks() && self.sum.is_none() {
                    return Err(Unframeable::Empty);
                }
                let mut content = BytesMut::from(message);
                if !self.sum_is_behind_end() {
                    self.write_sum(message, &mut content);
                }
                escape.write(&content, out);
                if self.sum_is_behind_end() {
                    self.write_sum(message, out);
                    return Ok(());
                }
            }
            Cut::Length { head, width, endian, extra } => {
                let Some(behind) = bytes.checked_sub(*head) else {
                    return Err(Unframeable::WrongSize { bytes, needed: *head });
                };
                let value = behind as i64 + extra; // Both are small.
                let fits = u64::try_from(value).ok().filter(|value| *width == 8 || value >> (8 * width) == 0);
                let value = fits.ok_or(Unframeable::LengthField)?;
                let content_at = out.len();
                out.put_slice(&message[..*head]);
                out.put_bytes(0, *width);
                put_number(value, *endian, &mut out[content_at + head..]);
                out.put_slice(&message[*head..]);
                let content = BytesMut::from(&out[content_at..]);
                self.write_sum(&content, out);
            }
            Cut::Fixed(count) => {
                if bytes != *count {
                    return Err(Unframeable::WrongSize { bytes, needed: *count });
                }
                out.put_slice(message);
                self.write_sum(message, out);
            }
            Cut::Datagram => {
                if bytes == 0 && self.start.is_empty() && self.sum.is_none() {
                    return Err(Unframeable::Empty);
                }
                if !self.end.is_empty() {
                    self.refuse_marks(message)?;
                }
                out.put_slice(message);
                self.write_sum(message, out);
            }
        }
        if !self.sum_is_behind_end() {
            out.put_slice(&self.end);
        }
        Ok(())
    }

    /// Nothing escapes a mark: the end bytes may stand at the end and nowhere before, also where the last of the
    /// message would be their first; and no message may look as if another began in it.
    fn refuse_marks(&self, message: &[u8]) -> Result<(), Unframeable> {
        if message.is_empty() && self.sum.is_none() && (self.start.is_empty() || self.start == self.end) {
            return Err(Unframeable::Empty);
        }
        let mut tail = message.to_vec();
        tail.extend_from_slice(match &self.sum {
            Some(sum) if !sum.behind_end => &sum.before,
            _ => &self.end,
        });
        let holds = |mark: &[u8]| memmem::find(&tail, mark).is_some_and(|at| at < message.len());
        let starts = !self.start.is_empty() && memmem::find(message, &self.start).is_some();
        match holds(&self.end) || starts {
            true => Err(Unframeable::HoldsMark),
            false => Ok(()),
        }
    }

    /// Appends the checksum of a frame with this content, and what stands before it; the end bytes too, where they do.
    fn write_sum(&self, content: &[u8], out: &mut BytesMut) {
        let Some(sum) = &self.sum else { return };
        if sum.behind_end {
            out.put_slice(&self.end);
        }
        out.put_slice(&sum.before);
        let value = u64::from(self.checksum(sum, content));
        let (at, width) = (out.len(), sum.kind.width());
        match sum.form {
            ChecksumForm::Binary(endian) => {
                out.put_bytes(0, width);
                put_number(value, endian, &mut out[at..]);
            }
            ChecksumForm::Hex => {
                let digits = format!("{value:0digits$X}", digits = 2 * width);
                out.put_slice(digits.as_bytes());
            }
        }
    }
}
