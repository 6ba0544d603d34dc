//! From a description to a framing that works, or to what is wrong with it.

use super::{Counters, Cut, Escape, LONGEST_FRAME_BYTES, MARK_BYTES, Plan};
use crate::device::{
    error::ProfileError,
    spec::{
        ChecksumForm, ChecksumSpec, Counts, CutSpec, EscapeHow, EscapeSpec, FramingSpec, Junk, LengthSpec,
    },
};

type Checked<T = ()> = Result<T, ProfileError>;

fn fault<T>(key: &str, message: impl Into<String>) -> Checked<T> {
    Err(ProfileError::new(key, message))
}

impl Plan {
    pub(super) fn new(spec: &FramingSpec) -> Checked<Self> {
        check_marks(spec)?;
        if !(1..=LONGEST_FRAME_BYTES).contains(&spec.max_bytes) {
            return fault("max_bytes", format!("write a number from 1 to {LONGEST_FRAME_BYTES}"));
        }
        if let Some(sum) = &spec.checksum {
            check_checksum(sum, spec)?;
        }
        let cut = match &spec.cut {
            CutSpec::Marks { escape } => {
                let escape = escape.as_ref().map(|escape| check_escape(escape, spec)).transpose()?;
                Cut::Marks(escape)
            }
            CutSpec::Length(length) => check_length(length, spec)?,
            CutSpec::Fixed { bytes } if *bytes == 0 || *bytes > spec.max_bytes => {
                return fault("bytes", "write how many bytes a message has, at most max_bytes");
            }
            CutSpec::Fixed { bytes } => Cut::Fixed(*bytes),
            CutSpec::Datagram => Cut::Datagram,
        };
        let finds_again = matches!(cut, Cut::Marks(_) | Cut::Datagram);
        if matches!(spec.junk, Junk::Skip { .. }) && spec.start.is_empty() && !finds_again {
            return fault(
                "junk",
                "without start bytes nobody can tell where the next frame begins; give `start`, or write junk = \"close\"",
            );
        }
        Ok(Self {
            cut,
            start: spec.start.as_slice().into(),
            end: spec.end.as_slice().into(),
            sum: spec.checksum.clone(),
            max: spec.max_bytes,
            junk: spec.junk,
            counters: Counters::default(),
        })
    }
}

fn check_marks(spec: &FramingSpec) -> Checked {
    for (key, mark) in [("start", &spec.start), ("end", &spec.end)] {
        if mark.len() > MARK_BYTES {
            return fault(key, format!("has {} bytes; at most {MARK_BYTES} are allowed", mark.len()));
        }
    }
    if matches!(spec.cut, CutSpec::Datagram)
        && !spec.end.is_empty()
        && memchr::memmem::find(&spec.start, &spec.end).is_some()
    {
        return fault("start", "holds the end bytes, at which a datagram is cut");
    }
    if matches!(spec.cut, CutSpec::Marks { .. }) && spec.end.is_empty() {
        return fault("end", "a framing by marks needs the bytes that end a frame, such as \"\\r\\n\"");
    }
    Ok(())
}

fn check_checksum(sum: &ChecksumSpec, spec: &FramingSpec) -> Checked {
    let key = |name: &str| format!("checksum.{name}");
    if sum.before.len() > MARK_BYTES {
        return fault(&key("before"), format!("has more than {MARK_BYTES} bytes"));
    }
    if sum.behind_end && !matches!(spec.cut, CutSpec::Marks { .. }) {
        return fault(
            &key("behind_end"),
            "only a framing by marks can have the checksum behind its end bytes",
        );
    }
    if sum.behind_end && (spec.start.is_empty() || spec.start == spec.end) {
        return fault(&key("behind_end"), "needs start bytes that differ from the end bytes");
    }
    for (name, count) in [("skip", sum.skip.unwrap_or(0)), ("leave", sum.leave)] {
        if count > spec.max_bytes {
            return fault(&key(name), "leaves nothing of a frame; write a smaller number");
        }
    }
    // The digits of a checksum in text stand where marks are looked for, and so do its bytes.
    let plain = matches!(spec.cut, CutSpec::Marks { escape: None }) || matches!(spec.cut, CutSpec::Datagram);
    if plain && !sum.behind_end && matches!(sum.form, ChecksumForm::Binary(_)) && !spec.end.is_empty() {
        return fault(
            &key("form"),
            "a binary checksum may hold the end bytes, and nothing escapes them; write form = \"hex\", an escape, or \
             behind_end = true",
        );
    }
    let before_ends = !spec.end.is_empty() && memchr::memmem::find(&sum.before, &spec.end).is_some();
    if plain && !sum.behind_end && before_ends {
        return fault(&key("before"), "holds the end bytes, at which a frame is cut");
    }
    if plain && sum.form == ChecksumForm::Hex && spec.end.iter().any(u8::is_ascii_hexdigit) {
        return fault("end", "holds a hexadecimal digit, which may be one of the checksum's");
    }
    Ok(())
}

fn check_escape(spec: &EscapeSpec, framing: &FramingSpec) -> Checked<Escape> {
    let mut special = vec![spec.byte, framing.end[0]];
    special.extend(framing.start.first());
    special.extend(&spec.also);
    special.sort_unstable();
    special.dedup();
    let marks = [Some(&framing.end[0]), framing.start.first()];
    if marks.contains(&Some(&spec.byte)) {
        return fault("escape.byte", "is the first byte of a mark; it must be another");
    }
    let escape = Escape { byte: spec.byte, how: spec.how.clone(), special: special.into() };
    match &spec.how {
        EscapeHow::Xor(0) => {
            return fault("escape.xor", "0 changes nothing; write how = \"literal\" for that");
        }
        EscapeHow::Table(pairs) => check_table(pairs, &escape)?,
        EscapeHow::Xor(_) | EscapeHow::Literal => {}
    }
    if spec.how != EscapeHow::Literal {
        for byte in &*escape.special {
            let changed = escape.changed(*byte);
            if escape.special.contains(&changed) {
                let message = format!("{byte:02x} becomes {changed:02x}, which is to be escaped itself");
                return fault("escape", message);
            }
        }
    }
    Ok(escape)
}

fn check_table(pairs: &[(u8, u8)], escape: &Escape) -> Checked {
    for byte in &*escape.special {
        if !pairs.iter().any(|(raw, _)| raw == byte) {
            return fault("escape.table", format!("does not say what {byte:02x} becomes"));
        }
    }
    for (at, (raw, changed)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(other, to)| other == raw || to == changed) {
            return fault("escape.table", format!("has {raw:02x} or {changed:02x} twice"));
        }
    }
    Ok(())
}

fn check_length(length: &LengthSpec, spec: &FramingSpec) -> Checked<Cut> {
    let key = |name: &str| format!("length.{name}");
    if !matches!(length.bytes, 1..=4 | 8) {
        return fault(&key("bytes"), "write 1, 2, 3, 4 or 8");
    }
    let Some(head) = length.at.checked_sub(spec.start.len()) else {
        return fault(
            &key("at"),
            format!("the field stands within the start bytes; write {} or more", spec.start.len()),
        );
    };
    if head > spec.max_bytes {
        return fault(&key("at"), "stands behind the longest message");
    }
    if length.plus.unsigned_abs() > LONGEST_FRAME_BYTES as u64 {
        return fault(&key("plus"), "is longer than any frame");
    }
    let sum = spec.checksum.as_ref().map_or(0, |sum| sum.before.len() + sum.value_bytes());
    let around = match length.counts {
        Counts::Message => 0,
        Counts::Rest => sum + spec.end.len(),
        Counts::Frame => length.at + length.bytes + sum + spec.end.len(),
    };
    let extra = around as i64 + length.plus; // Both are small.
    Ok(Cut::Length { head, width: length.bytes, endian: length.endian, extra })
}

impl ChecksumSpec {
    /// How many bytes the value takes.
    pub(super) fn value_bytes(&self) -> usize {
        match self.form {
            ChecksumForm::Binary(_) => self.kind.width(),
            ChecksumForm::Hex => 2 * self.kind.width(),
        }
    }
}
