//! What the lines of a head say together: one line is judged when it is whole, the sum when the blank line
//! comes. Knows neither buffers nor bodies.

use std::ops::Range;

use super::{
    BodyLength, GuardLimits, Host, Refusal, field,
    limits::METHOD_BYTES,
    target::{self, Form},
};

/// All that was learnt of a head. Offsets count from the head's first byte.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) method_end: usize,
    pub(super) target_end: usize,
    pub(super) form: Form,
    /// The minor version: 0 or 1.
    pub(super) minor: u8,
    /// The value of the Host field.
    pub(super) host: Option<Range<usize>>,
    fields: usize,
    content_length: Option<u64>,
    chunked: bool,
    connection: Connection,
    has_upgrade: bool,
    pub(super) expects_continue: bool,
}

/// What the Connection fields say.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Facts {
    /// Judges the request line (RFC 9112 section 3): a token, a target and a version, with single spaces.
    pub(super) fn from_request_line(line: &[u8], limits: &GuardLimits) -> Result<Self, Refusal> {
        let method_end = method_end(line)?;
        let rest = &line[method_end + 1..];
        let target_length = memchr::memchr(b' ', rest).ok_or(Refusal::RequestLine)?;
        if target_length == 0 {
            return Err(Refusal::RequestLine);
        }
        if target_length > limits.target_bytes {
            return Err(Refusal::TargetTooLong { limit: limits.target_bytes });
        }
        let minor = minor_version(&rest[target_length + 1..])?;
        Ok(Self {
            method_end,
            target_end: method_end + 1 + target_length,
            form: target::judge(&line[..method_end], &rest[..target_length])?,
            minor,
            host: None,
            fields: 0,
            content_length: None,
            chunked: false,
            connection: Connection::default(),
            has_upgrade: false,
            expects_continue: false,
        })
    }

    /// Judges one header line that starts at `start`.
    pub(super) fn add_field(
        &mut self,
        line: &[u8],
        start: usize,
        limits: &GuardLimits,
    ) -> Result<(), Refusal> {
        self.fields += 1;
        if self.fields > limits.header_fields {
            return Err(Refusal::TooManyFields { limit: limits.header_fields });
        }
        let (name, value) = field::judge(line)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("host") {
            // The value is a part of the line, so its start is not before the line's.
            let value_start = start + (value.as_ptr() as usize - line.as_ptr() as usize);
            self.add_host(value, value_start)
        } else if is("content-length") {
            self.add_content_length(value)
        } else if is("transfer-encoding") {
            self.add_transfer_encoding(value)
        } else if is("connection") {
            self.connection.add(value);
            Ok(())
        } else if is("upgrade") {
            self.has_upgrade |= !value.is_empty();
            Ok(())
        } else if is("expect") {
            self.add_expectation(value)
        } else {
            Ok(())
        }
    }

    /// Judges what only the whole head can tell.
    pub(super) fn conclude(&self, head: &[u8], limits: &GuardLimits) -> Result<(), Refusal> {
        self.conclude_host(head)?;
        if self.chunked && self.minor == 0 {
            // RFC 9112 section 6.1: faulty framing, to be refused.
            return Err(Refusal::TransferEncodingOnHttp10);
        }
        if self.chunked && self.content_length.is_some() {
            // RFC 9112 section 6.1: ought to be handled as an error, for it smells of request smuggling.
            return Err(Refusal::LengthAndTransferEncoding);
        }
        if self.content_length.is_some_and(|length| length > limits.body_bytes) {
            return Err(Refusal::BodyTooLarge { limit: limits.body_bytes });
        }
        Ok(())
    }

    /// The body that follows. RFC 9112 section 6.3: a request without framing fields has none.
    pub(super) fn body(&self) -> BodyLength {
        match self.content_length {
            _ if self.chunked => BodyLength::Chunked,
            Some(length) => BodyLength::Bytes(length),
            None => BodyLength::None,
        }
    }

    /// RFC 9112 section 9.3.
    pub(super) fn keeps_alive(&self) -> bool {
        !self.connection.close && (self.minor == 1 || self.connection.keep_alive)
    }

    /// RFC 9110 section 7.8: Upgrade counts only with the connection option, and not in HTTP/1.0.
    pub(super) fn asks_for_upgrade(&self) -> bool {
        self.minor == 1 && self.has_upgrade && self.connection.upgrade
    }

    fn add_host(&mut self, value: &[u8], start: usize) -> Result<(), Refusal> {
        // RFC 9112 section 3.2: more than one Host, or an invalid one, is answered with 400.
        if self.host.is_some() {
            return Err(Refusal::HostDoubled);
        }
        Host::parse(value).ok_or(Refusal::HostInvalid)?;
        self.host = Some(start..start + value.len());
        Ok(())
    }

    fn conclude_host(&self, head: &[u8]) -> Result<(), Refusal> {
        let Some(host) = self.host.clone() else {
            return if self.minor == 0 { Ok(()) } else { Err(Refusal::HostMissing) };
        };
        let Form::Absolute { scheme, authority } = &self.form else { return Ok(()) };
        // RFC 9112 section 3.2.2 lets the authority win; where the two differ somebody is being misled.
        let target = &head[self.method_end + 1..self.target_end];
        let scheme = std::str::from_utf8(&target[..*scheme]).unwrap_or_default();
        match (Host::parse(&head[host]), Host::parse(&target[authority.clone()])) {
            (Some(host), Some(authority)) if host.is_same_for(scheme, &authority) => Ok(()),
            _ => Err(Refusal::HostMismatch),
        }
    }

    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.content_length.is_some() {
            return Err(Refusal::ContentLengthDoubled);
        }
        // RFC 9110 section 8.6: 1*DIGIT. No sign, no list, no overflow.
        if value.is_empty() {
            return Err(Refusal::ContentLength);
        }
        let length = value.iter().try_fold(0u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        });
        self.content_length = Some(length.ok_or(Refusal::ContentLength)?);
        Ok(())
    }

    fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(Refusal::TransferEncodingDoubled);
        }
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if is_chunked(value) {
            self.chunked = true;
            return Ok(());
        }
        // RFC 9112 section 6.1: 501 for codings that are not understood, and section 6.3: 400 where the length
        // can't be found for want of a final chunked.
        let codings = || field::list(value);
        let well_formed = codings().all(field::is_token)
            && codings().filter(|coding| is_chunked(coding)).count() == 1
            && codings().last().is_some_and(is_chunked)
            && codings().count() > 1;
        Err(if well_formed { Refusal::TransferEncodingUnknown } else { Refusal::TransferEncoding })
    }

    fn add_expectation(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
        self.expects_continue = self.minor == 1;
        Ok(())
    }
}

impl Connection {
    fn add(&mut self, value: &[u8]) {
        for option in field::list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
}

/// What to say of a request line that has not ended within `head` bytes: a method or a target without an end.
pub(super) fn endless_request_line(start: &[u8], limits: &GuardLimits) -> Refusal {
    method_end(start).err().unwrap_or(Refusal::TargetTooLong { limit: limits.target_bytes })
}

/// The length of the method, behind which a space stands.
fn method_end(line: &[u8]) -> Result<usize, Refusal> {
    let end = field::token_length(line);
    match line.get(end) {
        // RFC 9112 section 3: 501 for a method longer than any that is implemented.
        _ if end > METHOD_BYTES => Err(Refusal::MethodTooLong { limit: METHOD_BYTES }),
        Some(b' ') if end > 0 => Ok(end),
        None | Some(b' ') => Err(Refusal::RequestLine),
        Some(_) => Err(Refusal::Method),
    }
}

/// RFC 9112 section 2.3: `HTTP/` DIGIT `.` DIGIT, in capitals.
fn minor_version(text: &[u8]) -> Result<u8, Refusal> {
    match text {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}
