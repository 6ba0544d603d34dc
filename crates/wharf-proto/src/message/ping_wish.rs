//! How often a client wishes to be pinged. It knows what its path and its battery bear; the server bounds the wish.

use std::{fmt, str::FromStr};

/// The header by which a client says it: of an HTTP request, or of those that Centrifuge's SDKs send within their connect
/// command ("emulated headers", `{"connect":{"headers":{"Wharf-Ping":"10s"}}}`), which a JSON line can say as well.
pub const HEADER: &str = "Wharf-Ping";

/// The URL parameter by which a client says it where it can set no header: `?ping=10s`.
pub const PARAMETER: &str = "ping";

/// A wished time between pings, in milliseconds. Not bounded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingWish(pub u32);

/// The text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wished time between pings cannot be read; write seconds, as 10 or 10s, or 500ms or 2m")]
pub struct PingWishError;

impl FromStr for PingWish {
    type Err = PingWishError;

    /// Reads a whole number of seconds, or a whole number with its unit: `ms`, `s`, `m` or `h`.
    fn from_str(text: &str) -> Result<Self, PingWishError> {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let number: u32 = text[..digits].parse().map_err(|_| PingWishError)?;
        let unit_ms = match &text[digits..] {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(PingWishError),
        };
        Ok(Self(number.saturating_mul(unit_ms)))
    }
}

impl fmt::Display for PingWish {
    /// As it is read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_seconds_or_has_a_unit() {
        for (text, ms) in
            [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(text.parse(), Ok(PingWish(ms)), "{text}");
        }
        assert_eq!("4294967295h".parse(), Ok(PingWish(u32::MAX)), "beyond every bound");
        for text in ["", "s", "-1", "1.5s", "10 s", "10sec", "99999999999", "٣s"] {
            assert_eq!(text.parse::<PingWish>(), Err(PingWishError), "{text}");
        }
        assert_eq!(PingWish(1_500).to_string().parse(), Ok(PingWish(1_500)));
    }
}
