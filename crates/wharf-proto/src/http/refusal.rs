//! Why a request is refused, and the complete response that says so.

use bytes::{BufMut, BytesMut};

/// A request that the guard does not let through. The bytes behind it can't be trusted to start a request, so
/// the connection closes after [`Refusal::write_response`]. No text of the peer's is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("more than {limit} blank lines stand before the request; begin with the request line")]
    BlankLines { limit: usize },
    #[error("a line ends in LF without CR; end every line with CR LF")]
    BareLineFeed,
    #[error("the request line is not `METHOD TARGET HTTP/1.1` with single spaces")]
    RequestLine,
    #[error("the method is not a token; use a method such as GET or POST")]
    Method,
    #[error("the method is longer than any that this server knows ({limit} bytes); use GET or POST")]
    MethodTooLong { limit: usize },
    #[error("the request target is longer than {limit} bytes; send long data in the body of a POST")]
    TargetTooLong { limit: usize },
    #[error("the request target holds a byte that must be percent-encoded")]
    TargetByte,
    #[error("the request target is neither a path that starts with `/` nor an http URL (`*` is for OPTIONS)")]
    TargetForm,
    #[error("CONNECT is not served: this is not a proxy; use GET or POST")]
    Connect,
    #[error("this HTTP version is not served here; use HTTP/1.1")]
    Version,
    #[error("the request head is larger than {limit} bytes; send fewer or shorter header fields")]
    HeadTooLarge { limit: usize },
    #[error("the request has more than {limit} header fields; send fewer")]
    TooManyFields { limit: usize },
    #[error("a header line is not `name: value`, or its name is not a token")]
    FieldName,
    #[error("white space stands before the colon of a header field; remove it")]
    SpaceBeforeColon,
    #[error("a header line starts with white space (line folding is obsolete); write the field in one line")]
    FoldedLine,
    #[error("a header value holds CR, NUL or another control byte; remove it")]
    FieldValue,
    #[error("a header field that may stand once is sent more than once; send it once")]
    FieldDoubled,
    #[error("the Host header is missing; HTTP/1.1 asks for exactly one")]
    HostMissing,
    #[error("the Host header is sent more than once; send exactly one")]
    HostDoubled,
    #[error("the host is not a name, IPv4 address or [IPv6 address] with an optional port")]
    HostInvalid,
    #[error("the Host header and the authority in the request target differ; make them the same")]
    HostMismatch,
    #[error("Content-Length is not a decimal number of at most 64 bits")]
    ContentLength,
    #[error("Content-Length is sent more than once; send it once")]
    ContentLengthDoubled,
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    #[error("Transfer-Encoding is sent more than once; send `chunked` once")]
    TransferEncodingDoubled,
    #[error("this transfer coding is not served; send `Transfer-Encoding: chunked` alone")]
    TransferEncodingUnknown,
    #[error("Transfer-Encoding does not exist in HTTP/1.0; use HTTP/1.1 or Content-Length")]
    TransferEncodingOnHttp10,
    #[error("Content-Length and Transfer-Encoding are both sent; send only one of them")]
    LengthAndTransferEncoding,
    #[error("this expectation cannot be met; only `Expect: 100-continue` is served")]
    Expectation,
    #[error("the body is longer than {limit} bytes; send less in one request")]
    BodyTooLarge { limit: u64 },
    #[error("a chunk size is not a hexadecimal number of at most 16 digits")]
    ChunkSize,
    #[error("a chunk extension is malformed; send chunks without extensions")]
    ChunkExtension,
    #[error("a chunk-size line is longer than {limit} bytes; send chunks without extensions")]
    ChunkLineTooLong { limit: usize },
    #[error("a chunk's data is not followed by CR LF; its size is wrong")]
    ChunkEnd,
    #[error("the trailer section is larger than {limit} bytes; send no trailers, they are ignored")]
    TrailersTooLarge { limit: usize },
    #[error("the trailer section has more than {limit} fields; send no trailers, they are ignored")]
    TooManyTrailers { limit: usize },
}

impl Refusal {
    /// The HTTP status that says this.
    pub fn status(&self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::BodyTooLarge { .. } => 413,
            Self::TargetTooLong { .. } => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge { .. }
            | Self::TooManyFields { .. }
            | Self::TrailersTooLarge { .. }
            | Self::TooManyTrailers { .. } => 431,
            Self::MethodTooLong { .. } | Self::TransferEncodingUnknown => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// Appends a complete HTTP/1.1 response that closes the connection and says in JSON what is wrong and how
    /// to mend it. Carries no `Date`, for there is no clock here.
    pub fn write_response(&self, out: &mut BytesMut) {
        let status = self.status();
        let body = serde_json::json!({"error": {"code": status, "message": self.to_string()}}).to_string();
        // RFC 9110 section 15.5.6: a 405 names the methods that are served.
        let allow = if status == 405 { "Allow: GET, HEAD, POST, OPTIONS\r\n" } else { "" };
        out.put_slice(
            format!(
                "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{allow}\
                 Connection: close\r\n\r\n{body}",
                reason_phrase(status),
                body.len(),
            )
            .as_bytes(),
        );
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_whole_response_that_closes_and_says_the_mend_in_json() {
        let mut out = BytesMut::new();
        Refusal::TransferEncodingUnknown.write_response(&mut out);
        let text = std::str::from_utf8(&out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["error"]["code"], 501);
        assert!(json["error"]["message"].as_str().unwrap().contains("chunked` alone"));
    }

    #[test]
    fn a_405_names_the_methods_that_are_served() {
        let mut out = BytesMut::new();
        Refusal::Connect.write_response(&mut out);
        assert!(out.starts_with(b"HTTP/1.1 405 Method Not Allowed\r\n"));
        assert!(out.windows(7).any(|window| window == b"\r\nAllow"));
    }
}
