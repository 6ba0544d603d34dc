//! A whole request head that was found strict, seen without copying.

use super::{Host, Refusal, field, judge::Facts, target::Form};

/// One request head, from the method to the blank line behind the fields. Borrows the caller's buffer.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    bytes: &'a [u8],
    facts: Facts,
}

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BodyLength {
    None,
    /// Content-Length, which may be 0.
    Bytes(u64),
    Chunked,
}

impl<'a> Head<'a> {
    pub(super) fn new(bytes: &'a [u8], facts: Facts) -> Self {
        Self { bytes, facts }
    }

    /// The head as it came, which is what may pass.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes of the buffer are this head.
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A token, such as `GET`; its case counts.
    pub fn method(&self) -> &'a str {
        ascii(&self.bytes[..self.facts.method_end])
    }

    /// The request target as it came: `/path?query`, `http://host/path?query` or `*`.
    pub fn target(&self) -> &'a str {
        ascii(&self.bytes[self.facts.method_end + 1..self.facts.target_end])
    }

    /// The path, still percent-encoded; `*` for a request about the server itself. Ask
    /// [`is_normal_path`](super::is_normal_path) before routing by it.
    pub fn path(&self) -> &'a str {
        match self.path_and_query().split('?').next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// What stands behind the first `?`, still encoded.
    pub fn query(&self) -> Option<&'a str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    fn path_and_query(&self) -> &'a str {
        let start = match &self.facts.form {
            Form::Absolute { authority, .. } => authority.end,
            Form::Origin | Form::Asterisk => 0,
        };
        &self.target()[start..]
    }

    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub fn minor_version(&self) -> u8 {
        self.facts.minor
    }

    /// The host that the request is for. `None` only in HTTP/1.0.
    pub fn host(&self) -> Option<Host<'a>> {
        match (&self.facts.form, &self.facts.host) {
            // RFC 9112 section 3.2.2: the authority of the target, which agrees with Host where both are there.
            (Form::Absolute { authority, .. }, _) => {
                Host::parse(&self.target().as_bytes()[authority.clone()])
            }
            (_, Some(range)) => Host::parse(&self.bytes[range.clone()]),
            (_, None) => None,
        }
    }

    /// The body that follows this head.
    pub fn body(&self) -> BodyLength {
        self.facts.body()
    }

    /// Whether the client lets the connection serve another request.
    pub fn keeps_alive(&self) -> bool {
        self.facts.keeps_alive()
    }

    /// Whether an Upgrade field, the connection option `upgrade` and HTTP/1.1 come together. To what, says
    /// `fields()`.
    pub fn asks_for_upgrade(&self) -> bool {
        self.facts.asks_for_upgrade()
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// All header fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        // The request line ends with CR LF behind ` HTTP/1.x`, and so does the blank line at the head's end.
        let start = self.facts.target_end + " HTTP/1.x\r\n".len();
        Fields { rest: &self.bytes[start..self.bytes.len() - "\r\n".len()] }
    }

    /// The values of every field of this name (in any case), in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields().filter(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of a field that may stand once (Origin, Authorization, Last-Event-ID). To be refused where the
    /// client sent it twice, for two readers would choose differently.
    pub fn value(&self, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Refusal::FieldDoubled) } else { Ok(first) }
    }
}

/// Names, as they were sent, and values, without white space at their ends, of a head's fields.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        let (name, value) = field::split(line.strip_suffix(b"\r").unwrap_or(line));
        Some((ascii(name), value))
    }
}

/// Methods, names and targets are ASCII: the guard shows no head before it has checked their every byte.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
