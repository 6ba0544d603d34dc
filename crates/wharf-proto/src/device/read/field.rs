//! Values at places of a message.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Value, check_name, place};
use crate::device::{
    error::ProfileError,
    framing::number,
    hex,
    spec::{Endian, FieldKind, FieldSpec},
};

/// A [`FieldSpec`] that was checked.
#[derive(Debug)]
pub(super) struct Field {
    spec: FieldSpec,
}

impl Field {
    pub fn new(spec: &FieldSpec) -> Result<Self, ProfileError> {
        let fault = |key: &str, message: String| Err(ProfileError::new(key, message));
        if let Err(message) = check_name(&spec.name) {
            return fault("name", message);
        }
        let widths = match spec.kind {
            FieldKind::Unsigned(_) | FieldKind::Signed(_) => 1..=8,
            FieldKind::Float(_) => 4..=8,
            FieldKind::Time6 => 6..=6,
            _ => 1..=usize::MAX,
        };
        let is_number =
            matches!(spec.kind, FieldKind::Unsigned(_) | FieldKind::Signed(_) | FieldKind::Float(_));
        match spec.bytes {
            Some(bytes)
                if !widths.contains(&bytes)
                    || (matches!(spec.kind, FieldKind::Float(_)) && !matches!(bytes, 4 | 8)) =>
            {
                return fault("bytes", format!("{bytes} bytes cannot be read as this kind"));
            }
            None if is_number => {
                return fault("bytes", "is missing; write how many bytes the number has".into());
            }
            _ => {}
        }
        if spec.bytes.is_some_and(|bytes| spec.at < 0 && spec.at.unsigned_abs() < bytes as u64) {
            return fault("at", format!("{} and its bytes stand beyond the end of a message", spec.at));
        }
        if spec.at.unsigned_abs() > super::super::framing::LONGEST_FRAME_BYTES as u64 {
            return fault("at", "stands beyond the longest message".into());
        }
        if !is_number && (spec.bits.is_some() || spec.times.is_some() || spec.divided_by.is_some()) {
            return fault("kind", "only a number has bits, and is multiplied or divided".into());
        }
        if let Some((first, count)) = spec.bits
            && (matches!(spec.kind, FieldKind::Float(_))
                || count == 0
                || first.checked_add(count).is_none_or(|end| end > 64))
        {
            return fault("bits", "a whole number has the bits 0 to 63".into());
        }
        for (key, factor) in [("times", spec.times), ("divided_by", spec.divided_by)] {
            if factor.is_some_and(|factor| !factor.is_normal()) {
                return fault(key, "write a number other than 0".into());
            }
        }
        if spec.decimals.is_some_and(|decimals| decimals > 15) {
            return fault("decimals", "write a number from 0 to 15".into());
        }
        Ok(Self { spec: spec.clone() })
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// None where the message has no such place, or the bytes there cannot be of this kind.
    pub fn read<'a>(&'a self, message: &'a [u8]) -> Option<Value<'a>> {
        let at = place(self.spec.at, message.len())?;
        let end = match (self.spec.bytes, self.spec.kind) {
            (Some(bytes), _) => at.checked_add(bytes)?,
            (None, FieldKind::Time6) => at.checked_add(6)?,
            (None, _) => message.len().checked_sub(self.spec.leave)?,
        };
        let bytes = message.get(at..end)?;
        match self.spec.kind {
            FieldKind::Unsigned(endian) => self.integer(number(bytes, endian).into(), bytes.len()),
            FieldKind::Signed(endian) => {
                let shift = 64 - 8 * bytes.len();
                let value = (number(bytes, endian) << shift).cast_signed() >> shift;
                self.integer(value.into(), bytes.len())
            }
            FieldKind::Float(endian) => self.float(float(bytes, endian)),
            FieldKind::Bcd => bcd(bytes).map(|text| self.text(text.into())),
            FieldKind::Hex => Some(self.text(hex(bytes).into())),
            FieldKind::Text => Some(self.text(String::from_utf8_lossy(bytes))),
            FieldKind::Base64 => Some(self.text(STANDARD.encode(bytes).into())),
            FieldKind::Time6 => time6(bytes).map(|text| self.text(text.into())),
        }
    }

    fn text<'a>(&self, text: Cow<'a, str>) -> Value<'a> {
        Value::Text(match (self.spec.trim, text) {
            (None, text) => text,
            (Some(trim), Cow::Borrowed(text)) => Cow::Borrowed(text.trim_start_matches(trim)),
            (Some(trim), Cow::Owned(text)) => Cow::Owned(text.trim_start_matches(trim).to_owned()),
        })
    }

    fn integer(&self, value: i128, bytes: usize) -> Option<Value<'static>> {
        let value = match self.spec.bits {
            Some((first, count)) => {
                let all = value & ((1 << (8 * bytes)) - 1);
                all >> first & ((1 << count) - 1)
            }
            None => value,
        };
        match (self.spec.times, self.spec.divided_by) {
            (None, None) => Some(Value::Integer(value)),
            _ => self.float(value as f64), // A scaled number is a fraction, to 53 bits.
        }
    }

    fn float(&self, value: f64) -> Option<Value<'static>> {
        let scaled = value * self.spec.times.unwrap_or(1.0) / self.spec.divided_by.unwrap_or(1.0);
        let rounded = match self.spec.decimals {
            Some(decimals) => {
                let unit = 10_f64.powi(decimals.into());
                let units = (scaled * unit).round() / unit;
                if units.is_finite() { units } else { scaled }
            }
            None => scaled,
        };
        rounded.is_finite().then_some(Value::Float(rounded))
    }
}

fn float(bytes: &[u8], endian: Endian) -> f64 {
    let bits = number(bytes, endian);
    match bytes.len() {
        4 => f32::from_bits(bits as u32).into(), // Four bytes were read.
        _ => f64::from_bits(bits),
    }
}

fn bcd(bytes: &[u8]) -> Option<String> {
    let is_decimal = |byte: &u8| byte >> 4 < 10 && byte & 0xf < 10;
    bytes.iter().all(is_decimal).then(|| hex(bytes))
}

fn time6(bytes: &[u8]) -> Option<String> {
    let [year, month, day, hour, minute, second] = *<&[u8; 6]>::try_from(bytes).ok()?;
    let is_time = year < 100
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    is_time.then(|| format!("20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}
