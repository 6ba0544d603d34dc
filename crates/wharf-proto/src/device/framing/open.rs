//! Takes a message out of its frame, in place: escapes undone, checksum compared.

use std::ops::Range;

use super::{Cut, Plan, find::Why, number};
use crate::device::spec::{ChecksumForm, ChecksumSpec};

/// Why no message could be taken out of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no frame after all.
    Junk(Why),
    /// The checksum is another.
    Checksum {
        /// What the bytes come to.
        calculated: u32,
        /// What the frame says; none where no checksum stands there.
        found: Option<u32>,
    },
}

impl Plan {
    /// `frame` is what [`Plan::find`] found, and `content` what stands between its marks. Answers where the message
    /// stands now.
    pub(super) fn open(
        &self,
        frame: &mut [u8],
        content: Range<usize>,
        max: usize,
    ) -> Result<Range<usize>, Fault> {
        let mut content = content;
        let total = frame.len();
        if let Cut::Marks(Some(escape)) = &self.cut {
            let left = escape.undo(&mut frame[content.clone()]).map_err(|_| Fault::Junk(Why::Escape))?;
            content.end = content.start + left;
        }
        if let Some(sum) = &self.sum {
            let value = if sum.behind_end {
                total - sum.value_bytes()..total
            } else {
                let at = content.len().checked_sub(self.sum_bytes());
                let at = at.ok_or_else(|| Fault::Checksum {
                    calculated: self.checksum(sum, &frame[content.clone()]),
                    found: None,
                })?;
                let value = content.end - sum.value_bytes()..content.end;
                content.end = content.start + at;
                value
            };
            let calculated = self.checksum(sum, &frame[content.clone()]);
            let before = &frame[value.start - sum.before.len()..value.start];
            let found = if *before == *sum.before { sum.read(&frame[value]) } else { None };
            if found != Some(calculated) {
                return Err(Fault::Checksum { calculated, found });
            }
        }
        if let Cut::Length { head, width, .. } = self.cut {
            // What stands before the length field comes first in the message.
            frame.copy_within(content.start..content.start + head, content.start + width);
            content.start += width;
        }
        if content.len() > max {
            return Err(Fault::Junk(Why::TooLong));
        }
        Ok(content)
    }
}

impl ChecksumSpec {
    fn read(&self, value: &[u8]) -> Option<u32> {
        let bits = match self.form {
            ChecksumForm::Binary(endian) => number(value, endian),
            ChecksumForm::Hex => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from);
                value.iter().try_fold(0, |sum, byte| Some(sum << 4 | digit(byte)?))?
            }
        };
        u32::try_from(bits).ok()
    }
}
