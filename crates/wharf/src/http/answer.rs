//! Answers: the body type that hyper sends, JSON errors, and the head as bytes where hyper is not involved.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::json;

use super::{date, http2::Busy};
use crate::transport::body::PipeBody;

/// What a request is answered with.
pub type Answer = Response<AnswerBody>;

/// The body of an [`Answer`].
pub struct AnswerBody {
    content: Content,
    busy: Option<Busy>,
}

enum Content {
    /// All of it; `None` once it was sent.
    Whole(Option<Bytes>),
    /// What a worker writes, until it ends.
    Stream(PipeBody),
}

impl AnswerBody {
    fn new(content: Content) -> Self {
        Self { content, busy: None }
    }

    /// Counts the request as in flight until the body is dropped.
    pub fn hold(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::new(Content::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Stream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer without a body.
pub fn empty(status: u16) -> Answer {
    with_body(status, None, Bytes::new())
}

/// An answer with a body of this type.
pub fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_body(status, Some(content_type), body.into())
}

/// An answer in JSON.
pub fn json(status: u16, body: impl Into<Bytes>) -> Answer {
    whole(status, "application/json", body)
}

/// An error of HTTP itself: code and status are the same number, and the message says the mend.
pub fn error(status: u16, message: &str) -> Answer {
    coded_error(status, u32::from(status), message)
}

/// An error with a code of its own.
pub fn coded_error(status: u16, code: u32, message: &str) -> Answer {
    json(status, json!({"error": {"code": code, "message": message}}).to_string())
}

/// 200, with a body that goes on.
pub fn stream(body: PipeBody) -> Answer {
    Response::new(AnswerBody::new(Content::Stream(body)))
}

/// 405, with the methods that would do.
pub fn wrong_method(allow: &'static str) -> Answer {
    let mut answer = error(405, &format!("this address is asked by {allow}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

/// 503: the worker has more requests waiting than it may, or the node is ending.
pub fn busy(message: &str) -> Answer {
    let mut answer = error(503, message);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn with_body(status: u16, content_type: Option<&'static str>, body: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::from(body));
    // Every caller gives a literal between 200 and 599, or what a refusal names.
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = content_type {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        // What is said about one session is nobody else's to keep.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

/// Appends a status line and header fields, with the blank line, for a connection that hyper does not hold.
pub fn write_head(status: StatusCode, headers: &HeaderMap, out: &mut BytesMut) {
    write_start(status, headers, out);
    out.put_slice(b"\r\n");
}

fn write_start(status: StatusCode, headers: &HeaderMap, out: &mut BytesMut) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in headers {
        // A `HeaderValue` holds no CR, LF or NUL, so nothing reflected ends a line (row 63).
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// A whole answer as bytes, which says that the connection closes. Returns where in `out` the body begins.
pub fn write_closing(answer: Answer, out: &mut BytesMut) -> usize {
    write(answer, true, out)
}

/// A whole answer as bytes, which says whether the connection closes. Returns where in `out` the body begins.
pub fn write(answer: Answer, closes: bool, out: &mut BytesMut) -> usize {
    let (mut parts, body) = answer.into_parts();
    let body = match body.content {
        Content::Whole(body) => body.unwrap_or_default(),
        // Streams are written by a worker, never from here.
        Content::Stream(_) => Bytes::new(),
    };
    if closes {
        // RFC 9110 section 7.8: whoever sends `Upgrade`, as a 426 does, names it in `Connection`.
        let upgrades = parts.headers.contains_key(header::UPGRADE);
        let connection = if upgrades { "close, Upgrade" } else { "close" };
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
    }
    out.reserve(HEAD_BYTES + body.len());
    write_start(parts.status, &parts.headers, out);
    // RFC 9110 sections 6.6.1 and 8.6.
    out.put_slice(b"date: ");
    date::write_now(out);
    out.put_slice(b"\r\ncontent-length: ");
    out.put_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.put_slice(b"\r\n\r\n");
    let body_at = out.len();
    out.put_slice(&body);
    body_at
}

/// What the head of most answers takes at the most.
const HEAD_BYTES: usize = 256;
