//! The kinds of value that a configuration holds. Each reads itself strictly: whatever was read is possible, and
//! whatever is refused is refused with words for people.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Unexpected, Visitor},
};
use wharf::settings::ListenAddress;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for CountVisitor<MIN, MAX> {
            type Value = Count<MIN, MAX>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a whole number from {MIN} to {MAX}")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                match u64::try_from(value) {
                    Ok(count) if (MIN..=MAX).contains(&count) => Ok(Count(count)),
                    _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(CountVisitor::<MIN, MAX>)
    }
}

/// A duration with its unit, `"25s"` or `"1h30m"`, from `MIN` to `MAX` milliseconds. Held in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Span<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for SpanVisitor<MIN, MAX> {
            type Value = Span<MIN, MAX>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (shortest, longest) = (HumanDuration(MIN), HumanDuration(MAX));
                write!(
                    formatter,
                    "a duration with its unit (ms, s, m, h or d), such as \"25s\", from {shortest} to {longest}"
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match parse_duration_ms(text) {
                    Some(ms) if (MIN..=MAX).contains(&ms) => Ok(Span(ms)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(SpanVisitor::<MIN, MAX>)
    }
}

/// Units of a duration, the longest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads one or more of a number and a unit, as in `1h30m`; none if it is anything else or overflows.
pub fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit_ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        total = total.checked_add(count.checked_mul(*unit_ms)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// Milliseconds as a person writes them: the fewest units that say it exactly.
pub struct HumanDuration(pub u64);

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, unit_ms) in UNITS {
            if rest >= unit_ms {
                write!(formatter, "{}{unit}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

/// Reads an address to listen on: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000` or `unix:/path`. The error says
/// the mend.
pub fn parse_listen_address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("the path after `unix:` is empty; write unix:/run/wharf.sock".to_owned()),
            path => Ok(ListenAddress::Unix(PathBuf::from(path))),
        };
    }
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse::<SocketAddr>().map(ListenAddress::Tcp).map_err(|_| {
        let port = text.strip_prefix(':').unwrap_or(text);
        if port.parse::<u16>().is_ok() {
            format!("{text:?} has no address; write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for every interface")
        } else {
            format!(
                "{text:?} is not an address to listen on; write ADDRESS:PORT with a numeric address, as in \
                 \"127.0.0.1:8000\", or \"unix:/path\""
            )
        }
    })
}

/// Checks an origin that browsers may come from: `https://example.com`, `https://*.example.com:8443` or `*`. The
/// error says the mend.
fn check_origin(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    let Some((scheme, host)) = text.split_once("://") else {
        return Err(format!("{text:?} has no scheme; write \"https://{text}\""));
    };
    if scheme.is_empty() || host.is_empty() || host.contains(char::is_whitespace) {
        return Err(format!("{text:?} is not an origin; write \"https://example.com\""));
    }
    if let Some((bare, _)) = host.split_once(['/', '?', '#']) {
        return Err(format!("an origin ends with its host and port; write \"{scheme}://{bare}\""));
    }
    Ok(())
}

/// A text that one of the functions above has accepted.
pub trait Checked: Sized {
    /// What is expected, for an error about a wrong type.
    const EXPECTED: &'static str;
    /// Reads the text; the error says the mend.
    fn read(text: &str) -> Result<Self, String>;
}

/// An address to listen on.
#[derive(Debug, Clone)]
pub struct Listen(pub ListenAddress);

impl Checked for Listen {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:8000\" or \"unix:/path\"";
    fn read(text: &str) -> Result<Self, String> {
        parse_listen_address(text).map(Self)
    }
}

/// An origin that browsers may come from.
#[derive(Debug, Clone)]
pub struct AllowedOrigin(pub String);

impl Checked for AllowedOrigin {
    const EXPECTED: &'static str = "an origin such as \"https://example.com\"";
    fn read(text: &str) -> Result<Self, String> {
        check_origin(text).map(|()| Self(text.to_owned()))
    }
}

/// A key of the server API.
#[derive(Clone)]
pub struct ApiKey(pub String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}

impl Checked for ApiKey {
    const EXPECTED: &'static str = "a key";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an API key is empty; write a long random text".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "an API key travels in an HTTP header: write printable ASCII without spaces".to_owned()
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a namespace: what stands before the first `:` of a channel.
#[derive(Debug, Clone)]
pub struct NamespaceName(pub Box<str>);

impl Checked for NamespaceName {
    const EXPECTED: &'static str = "a name such as \"chat\"";
    fn read(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return Err(format!(
                "{text:?} holds a `:`; write the name without it, it ends at a channel's first `:`"
            ));
        }
        match wharf_proto::message::Channel::parse(text) {
            Ok(channel) => Ok(Self(channel.as_str().into())),
            Err(error) => Err(format!("{text:?} cannot name a namespace: {error}")),
        }
    }
}

/// One [`Checked`] text.
#[derive(Debug, Clone)]
pub struct Text<T>(pub T);

impl<'de, T: Checked> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(std::marker::PhantomData<T>);
        impl<T: Checked> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

/// A list of [`Checked`] texts, or one of them without brackets.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

impl<'de, T: Checked> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Checked> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}, or a list of them", T::EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(|item| List(vec![item])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Text(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(ListVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_with_their_units() {
        for (text, ms) in
            [("25s", 25_000), ("500ms", 500), ("1h30m", 5_400_000), ("30d", 2_592_000_000), ("0s", 0)]
        {
            assert_eq!(parse_duration_ms(text), Some(ms), "{text}");
        }
        for text in
            ["", "25", "s", "25 s", "-1s", "1.5s", "25sec", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(parse_duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn writes_a_duration_as_it_can_be_read() {
        for ms in [1, 999, 1_000, 25_000, 60_000, 5_400_000, 86_400_000, 90_061_001] {
            assert_eq!(parse_duration_ms(&HumanDuration(ms).to_string()), Some(ms));
        }
        assert_eq!(HumanDuration(300_000).to_string(), "5m");
    }

    #[test]
    fn reads_addresses_to_listen_on() {
        let tcp = |text: &str| Ok(ListenAddress::Tcp(text.parse().unwrap())); // Literals of this test.
        assert_eq!(parse_listen_address("127.0.0.1:8000"), tcp("127.0.0.1:8000"));
        assert_eq!(parse_listen_address("localhost:0"), tcp("127.0.0.1:0"));
        assert_eq!(parse_listen_address("[::]:80"), tcp("[::]:80"));
        assert_eq!(parse_listen_address("unix:/run/w.sock"), Ok(ListenAddress::Unix("/run/w.sock".into())));
        assert_eq!(parse_listen_address("unix:///run/w.sock"), Ok(ListenAddress::Unix("/run/w.sock".into())));
    }

    #[test]
    fn an_address_error_says_what_to_write() {
        for (text, mend) in [
            ("8000", "\"127.0.0.1:8000\""),
            (":8000", "\"0.0.0.0:8000\""),
            ("example.com:8000", "numeric address"),
            ("unix:", "unix:/run/wharf.sock"),
        ] {
            let error = parse_listen_address(text).unwrap_err();
            assert!(error.contains(mend), "{error}");
        }
    }
}
