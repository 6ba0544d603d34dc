//! Reads `Sec-WebSocket-Extensions` (RFC 6455 section 9.1): a list of extensions, each with its parameters.
//!
//! Each byte is looked at a fixed number of times, and no memory is taken.

use super::WindowBits;
use crate::websocket::handshake::{is_token_byte, token};

/// The header is not such a list. RFC 6455 section 9.1: whoever receives this fails the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct Malformed;

/// One extension that is offered, or chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'h> {
    pub(super) name: &'h str,
    /// What its parameters mean if it is permessage-deflate; `None` if they are not parameters of that: one is
    /// unknown, stands there twice, or has a value that it cannot have (RFC 7692 section 7.1).
    pub(super) terms: Option<Terms>,
}

/// The parameters of permessage-deflate as they stand in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Terms {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<WindowBits>,
    pub(super) client_max_window_bits: Option<ClientWindow>,
}

/// RFC 7692 section 7.1.2.2: in an offer the parameter may stand without a value, in an answer it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientWindow {
    Supported,
    AtMost(WindowBits),
}

/// The extensions of one header, in its order. Nothing follows an error.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = Result<Element<'_>, Malformed>> {
    let mut cursor = Cursor { rest: value };
    std::iter::from_fn(move || {
        // RFC 9110 section 5.6.1.2: empty elements are left out.
        cursor.skip(b", \t");
        if cursor.rest.is_empty() {
            return None;
        }
        let element = cursor.element();
        if element.is_err() {
            cursor.rest = &[];
        }
        Some(element)
    })
}

struct Cursor<'h> {
    rest: &'h [u8],
}

impl<'h> Cursor<'h> {
    /// `extension-token *( ";" extension-param )`, up to the comma or the end.
    fn element(&mut self) -> Result<Element<'h>, Malformed> {
        let name = self.token()?;
        let mut terms = Some(Terms::default());
        loop {
            self.skip(b" \t");
            match self.next() {
                None | Some(b',') => return Ok(Element { name, terms }),
                Some(b';') => {
                    let (name, value) = self.parameter()?;
                    terms = terms.and_then(|terms| terms.with(name, value));
                }
                Some(_) => return Err(Malformed),
            }
        }
    }

    /// `token [ "=" ( token | quoted-string ) ]`
    fn parameter(&mut self) -> Result<(&'h str, Option<Value>), Malformed> {
        self.skip(b" \t");
        let name = self.token()?;
        self.skip(b" \t");
        if self.rest.first() != Some(&b'=') {
            return Ok((name, None));
        }
        self.next();
        self.skip(b" \t");
        let mut value = Value::default();
        if self.rest.first() == Some(&b'"') {
            self.quoted(&mut value)?;
        } else {
            self.token()?.bytes().for_each(|byte| value.push(byte));
        }
        Ok((name, Some(value)))
    }

    /// RFC 6455 section 9.1: the value after quoted-string unescaping must conform to the token ABNF.
    fn quoted(&mut self, value: &mut Value) -> Result<(), Malformed> {
        self.next();
        loop {
            let byte = match self.next() {
                Some(b'"') if value.len > 0 => return Ok(()),
                Some(b'\\') => self.next(),
                byte => byte,
            };
            value.push(byte.filter(is_token_byte).ok_or(Malformed)?);
        }
    }

    fn token(&mut self) -> Result<&'h str, Malformed> {
        let end = self.rest.iter().position(|byte| !is_token_byte(byte)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        token(name).ok_or(Malformed)
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn skip(&mut self, bytes: &[u8]) {
        while let [first, rest @ ..] = self.rest
            && bytes.contains(first)
        {
            self.rest = rest;
        }
    }
}

/// As much of a parameter's value as can be a number of bits: two bytes, and whether there were more.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    bytes: [u8; 2],
    /// How many there were, counted up to three.
    len: usize,
}

impl Value {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len = (self.len + 1).min(3);
    }

    /// RFC 7692 section 7.1.2.1: a decimal integer without leading zeroes, 8 to 15.
    fn window_bits(self) -> Option<WindowBits> {
        let bits = match self.bytes.get(..self.len)? {
            [digit @ b'8'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'5'] => 10 + (digit - b'0'),
            _ => return None,
        };
        WindowBits::new(bits)
    }
}

impl Terms {
    /// RFC 7692 section 7.1: a parameter stands there at most once, with a value that it can have.
    fn with(mut self, name: &str, value: Option<Value>) -> Option<Self> {
        let repeated = match (name, value) {
            ("server_no_context_takeover", None) => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            ("client_no_context_takeover", None) => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            ("server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(value.window_bits()?).is_some()
            }
            ("client_max_window_bits", None) => {
                self.client_max_window_bits.replace(ClientWindow::Supported).is_some()
            }
            ("client_max_window_bits", Some(value)) => {
                let window = ClientWindow::AtMost(value.window_bits()?);
                self.client_max_window_bits.replace(window).is_some()
            }
            _ => return None,
        };
        (!repeated).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn read(value: &str) -> Vec<Result<Element<'_>, Malformed>> {
        elements(value.as_bytes()).collect()
    }

    fn terms(parameters: &str) -> Option<Terms> {
        let value = format!("x; {parameters}");
        let found = read(&value);
        assert_eq!(found.len(), 1, "{value:?}");
        found[0].unwrap_or_else(|_| panic!("{value:?} is well-formed")).terms
    }

    #[test]
    fn reads_names_and_parameters_with_space_and_empty_elements_between() {
        let found = read(",, a ;server_no_context_takeover\t; client_max_window_bits = 9 ,b,\t");
        let expected = Terms {
            server_no_context_takeover: true,
            client_max_window_bits: Some(ClientWindow::AtMost(WindowBits::new(9).unwrap())),
            ..Terms::default()
        };
        let [Ok(first), Ok(second)] = found[..] else { panic!("{found:?}") };
        assert_eq!((first.name, first.terms), ("a", Some(expected)));
        assert_eq!((second.name, second.terms), ("b", Some(Terms::default())));
    }

    #[test]
    fn reads_values_in_quotes_as_without() {
        for quoted in [r#"server_max_window_bits="12""#, r#"server_max_window_bits="1\2""#] {
            assert_eq!(terms(quoted), terms("server_max_window_bits=12"), "{quoted}");
        }
        assert!(terms("server_max_window_bits=12").is_some());
    }

    // Row 37.
    #[test]
    fn takes_8_to_15_without_leading_zeroes_and_nothing_else_for_a_window() {
        for name in ["server_max_window_bits", "client_max_window_bits"] {
            for bits in 8..=15 {
                assert!(terms(&format!("{name}={bits}")).is_some(), "{name}={bits}");
            }
            for bad in ["7", "16", "08", "010", "+9", "9.", "1", "100", "0", "x", "1f", "-8", "256", "80"] {
                assert_eq!(terms(&format!("{name}={bad}")), None, "{name}={bad}");
            }
        }
    }

    // Row 37.
    #[test]
    fn tells_unknown_repeated_and_wrongly_valued_parameters() {
        let bad = [
            "unknown",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_max_window_bits",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits; client_max_window_bits=10",
            "Server_No_Context_Takeover",
        ];
        for parameters in bad {
            assert_eq!(terms(parameters), None, "{parameters}");
        }
        assert_eq!(
            terms("client_max_window_bits").unwrap().client_max_window_bits,
            Some(ClientWindow::Supported)
        );
    }

    // Row 37.
    #[test]
    fn tells_what_is_no_list_of_extensions() {
        let malformed = [
            ";",
            "a;",
            "a;;b",
            "a b",
            "a;b=",
            "a;b=;c",
            "a;=1",
            "a;b=\"",
            "a;b=\"1",
            "a;b=\"\"",
            "a;b=\"1 2\"",
            "a;b=\"1\\",
            "a;b=\"1\"2",
            "a/b",
            "=",
            "\"a\"",
            "é",
            "a;b=é",
            "a;b==1",
        ];
        for value in malformed {
            assert_eq!(read(value).last(), Some(&Err(Malformed)), "{value:?}");
            assert!(read(&format!("good,{value},b"))[0].is_ok());
        }
    }

    #[test]
    fn takes_linear_time() {
        let time = |value: &str| {
            let begun = Instant::now();
            let count = elements(value.as_bytes()).count();
            (count, begun.elapsed())
        };
        // Quadratic work on 4 MB would take hours.
        for hostile in ["a;b=\"", "a;", ",", " ", "a;b=\\", "a,"] {
            let (_, elapsed) = time(&hostile.repeat(1_000_000));
            assert!(elapsed.as_secs() < 60, "{hostile:?}: {elapsed:?}");
        }
    }
}
