//! A framing in words, for `wharf check`.

use super::{Cut, DeviceFraming, Plan};
use crate::device::{
    hex,
    spec::{ChecksumForm, Endian, Junk},
};

impl DeviceFraming {
    /// What the description means.
    pub(in crate::device) fn explain(&self) -> String {
        self.0.explain()
    }
}

impl Plan {
    fn explain(&self) -> String {
        let mark = |bytes: &[u8]| match bytes.iter().all(u8::is_ascii_graphic) {
            true => format!("\"{}\"", String::from_utf8_lossy(bytes)),
            false => hex(bytes),
        };
        let mut words = match &self.cut {
            Cut::Marks(escape) => {
                let escaped = escape.as_ref().map(|escape| format!(", escaped by {:02x}", escape.byte));
                format!("end with {}{}", mark(&self.end), escaped.unwrap_or_default())
            }
            Cut::Length { head, width, endian, .. } => {
                let order = match endian {
                    _ if *width == 1 => "",
                    Endian::Big => ", the highest byte first",
                    Endian::Little => ", the lowest byte first",
                };
                format!("have their length at {} in {width} bytes{order}", self.start.len() + head)
            }
            Cut::Fixed(bytes) => format!("have {bytes} bytes each"),
            Cut::Datagram if self.end.is_empty() => "are datagrams".to_owned(),
            Cut::Datagram => format!("are datagrams, or parts of them between {}", mark(&self.end)),
        };
        if !self.start.is_empty() {
            words = format!("begin with {}, {words}", mark(&self.start));
        }
        if !matches!(self.cut, Cut::Marks(_) | Cut::Datagram) && !self.end.is_empty() {
            words += &format!(", end with {}", mark(&self.end));
        }
        if let Some(sum) = &self.sum {
            let form = if sum.form == ChecksumForm::Hex { " in digits" } else { "" };
            words += &format!(", bear a {}{form}", sum.kind.name());
        }
        let junk = match self.junk {
            Junk::Skip { limit } => format!("what is no frame is skipped, at most {limit} bytes in a row"),
            Junk::Close => "what is no frame closes the connection".to_owned(),
        };
        format!("{words}; messages have at most {} bytes; {junk}", self.max)
    }
}
