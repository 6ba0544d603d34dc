//! Moments, in UTC. Whoever fills a template in says what time it is.

use bytes::{BufMut, BytesMut};

/// How a moment is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeFormat {
    /// Text with `%Y`, `%y`, `%m`, `%d`, `%H`, `%M`, `%S` and `%%`.
    Pattern(Box<str>),
    /// Seconds since 1970, in decimal digits.
    Unix,
    /// Milliseconds since 1970, in decimal digits.
    UnixMs,
    /// Seconds since 1970 in four bytes, the highest first, or last.
    Unix32 { little: bool },
    /// Year of the century, month, day, hour, minute, second: a byte each.
    Bytes6,
    /// The same, two decimal digits a byte.
    Bcd6,
}

/// A moment, taken apart.
struct Moment {
    year: u64,
    parts: [u8; 5],
}

impl TimeFormat {
    pub fn new(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => Self::Pattern("%Y-%m-%dT%H:%M:%SZ".into()),
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMs,
            "u32be" => Self::Unix32 { little: false },
            "u32le" => Self::Unix32 { little: true },
            "bytes6" => Self::Bytes6,
            "bcd6" => Self::Bcd6,
            _ => {
                let known = |part: &str| part.starts_with(['Y', 'y', 'm', 'd', 'H', 'M', 'S']);
                if !text.contains('%') || !text.replace("%%", "").split('%').skip(1).all(known) {
                    return Err(format!(
                        "{text:?} is no way to write the time; known here: unix, unix_ms, u32be, u32le, bytes6, bcd6, \
                         and texts with %Y %y %m %d %H %M %S"
                    ));
                }
                Self::Pattern(text.into())
            }
        })
    }

    pub fn write(&self, unix_ms: u64, out: &mut BytesMut) {
        let seconds = unix_ms / 1_000;
        match self {
            Self::Unix => out.put_slice(seconds.to_string().as_bytes()),
            Self::UnixMs => out.put_slice(unix_ms.to_string().as_bytes()),
            // Devices with four bytes for it count until 2106.
            Self::Unix32 { little: false } => out.put_u32(seconds as u32),
            Self::Unix32 { little: true } => out.put_u32_le(seconds as u32),
            Self::Bytes6 => out.put_slice(&Moment::of(seconds).six()),
            Self::Bcd6 => {
                out.put_slice(&Moment::of(seconds).six().map(|part| ((part / 10) << 4) | (part % 10)))
            }
            Self::Pattern(pattern) => Moment::of(seconds).write(pattern, out),
        }
    }
}

impl Moment {
    /// The civil calendar, by days counted from 1 March of the year 0 (H. Hinnant, `chrono`-compatible low-level date
    /// algorithms).
    fn of(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        // Each is below 100.
        let parts = [month, day, second / 3_600, second / 60 % 60, second % 60].map(|part| part as u8);
        Self { year, parts }
    }

    fn six(&self) -> [u8; 6] {
        let [month, day, hour, minute, second] = self.parts;
        [(self.year % 100) as u8, month, day, hour, minute, second]
    }

    fn write(&self, pattern: &str, out: &mut BytesMut) {
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.put_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let text = match letters.next() {
                Some('Y') => format!("{:04}", self.year),
                Some('y') => format!("{:02}", self.year % 100),
                Some('m') => format!("{:02}", self.parts[0]),
                Some('d') => format!("{:02}", self.parts[1]),
                Some('H') => format!("{:02}", self.parts[2]),
                Some('M') => format!("{:02}", self.parts[3]),
                Some('S') => format!("{:02}", self.parts[4]),
                _ => "%".to_owned(),
            };
            out.put_slice(text.as_bytes());
        }
    }
}
