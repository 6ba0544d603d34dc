//! How a value is written.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, BytesMut};

use super::Unfillable;
use crate::device::{spec::Endian, unhex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As text.
    Plain,
    /// As text, control characters and all.
    Raw,
    /// A whole number in so many decimal digits.
    Padded(usize),
    /// A whole number in so many hexadecimal digits.
    Hex { digits: usize, upper: bool },
    /// A whole number as bytes.
    Binary { bytes: usize, endian: Endian, signed: bool },
    /// IEEE 754.
    Float { bytes: usize, endian: Endian },
    /// How many bytes the text has, and so many more, in one byte.
    Length { more: usize },
    /// Hexadecimal digits, as the bytes that they name.
    Unhex,
    /// base64, as the bytes that it names.
    Unbase64,
}

/// The most digits that a number is padded to.
const DIGITS: usize = 32;

impl Format {
    pub const KNOWN: &str = "04 (digits), x4, X4, u8, u16be, u16le, ... u64le, i8 ... i64le, f32be ... f64le, len, len+4 (bytes of the text), unhex, \
         unbase64, raw";

    pub fn new(text: &str) -> Option<Self> {
        let digits = |text: &str| text.parse().ok().filter(|digits| (1..=DIGITS).contains(digits));
        match text {
            "" => return Some(Self::Plain),
            "len" => return Some(Self::Length { more: 0 }),
            "raw" => return Some(Self::Raw),
            "unhex" => return Some(Self::Unhex),
            "unbase64" => return Some(Self::Unbase64),
            _ => {}
        }
        if let Some(more) = text.strip_prefix("len+") {
            return more
                .parse()
                .ok()
                .filter(|more| *more <= usize::from(u8::MAX))
                .map(|more| Self::Length { more });
        }
        if let Some(width) = text.strip_prefix('0') {
            return digits(width).map(Self::Padded);
        }
        if let Some(width) = text.strip_prefix(['x', 'X']) {
            return digits(width).map(|digits| Self::Hex { digits, upper: text.starts_with('X') });
        }
        let (kind, size) = text.split_at_checked(1)?;
        let (bits, endian) = match size.strip_suffix("le") {
            Some(bits) => (bits, Endian::Little),
            None => (size.strip_suffix("be").unwrap_or(size), Endian::Big),
        };
        let bytes =
            ["8", "16", "24", "32", "40", "48", "56", "64"].iter().position(|known| *known == bits)? + 1;
        if size == bits && bytes > 1 {
            return None; // The order must be said.
        }
        match kind {
            "u" | "i" => Some(Self::Binary { bytes, endian, signed: kind == "i" }),
            "f" if matches!(bytes, 4 | 8) => Some(Self::Float { bytes, endian }),
            _ => None,
        }
    }

    /// Appends `value`, which is called `field`.
    pub fn write(
        self,
        value: &str,
        field: &str,
        in_text: bool,
        out: &mut BytesMut,
    ) -> Result<(), Unfillable> {
        let wrong = |expected| Unfillable::Kind { field: field.to_owned(), found: quoted(value), expected };
        let whole = || value.parse::<i128>().map_err(|_| wrong("a whole number"));
        match self {
            Self::Plain if in_text && value.chars().any(char::is_control) => {
                return Err(Unfillable::Control(field.to_owned()));
            }
            Self::Plain | Self::Raw => out.put_slice(value.as_bytes()),
            Self::Padded(digits) => {
                let text = format!("{:0digits$}", whole()?);
                if text.len() > digits {
                    return Err(wrong("a number with fewer digits"));
                }
                out.put_slice(text.as_bytes());
            }
            Self::Hex { digits, upper } => {
                let number = u128::try_from(whole()?).map_err(|_| wrong("a number from 0 on"))?;
                let text = if upper { format!("{number:0digits$X}") } else { format!("{number:0digits$x}") };
                if text.len() > digits {
                    return Err(wrong("a number with fewer digits"));
                }
                out.put_slice(text.as_bytes());
            }
            Self::Binary { bytes, endian, signed } => {
                let bits = 8 * bytes as u32; // At most 64.
                let (least, most) = match signed {
                    true => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
                    false => (0, (1_i128 << bits) - 1),
                };
                let number = whole()?;
                if !(least..=most).contains(&number) {
                    return Err(wrong("a number that fits its bytes"));
                }
                match endian {
                    Endian::Big => out.put_slice(&number.to_be_bytes()[16 - bytes..]),
                    Endian::Little => out.put_slice(&number.to_le_bytes()[..bytes]),
                }
            }
            Self::Float { bytes, endian } => {
                let number: f64 = value.parse().map_err(|_| wrong("a number"))?;
                match (bytes, endian) {
                    (4, Endian::Big) => out.put_f32(number as f32), // As near as it comes.
                    (4, Endian::Little) => out.put_f32_le(number as f32),
                    (_, Endian::Big) => out.put_f64(number),
                    (_, Endian::Little) => out.put_f64_le(number),
                }
            }
            Self::Length { more } => {
                out.put_u8(u8::try_from(value.len() + more).map_err(|_| wrong("a shorter text"))?);
            }
            Self::Unhex => out.put_slice(&unhex(value).ok_or_else(|| wrong("pairs of hexadecimal digits"))?),
            Self::Unbase64 => out.put_slice(&STANDARD.decode(value).map_err(|_| wrong("base64"))?),
        }
        Ok(())
    }
}

/// The most of a value that an error repeats, in bytes.
const QUOTED_BYTES: usize = 40;

fn quoted(value: &str) -> String {
    let cut = value.floor_char_boundary(QUOTED_BYTES);
    format!("{:?}{}", &value[..cut], if cut < value.len() { "..." } else { "" })
}
