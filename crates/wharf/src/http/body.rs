//! Request bodies: read whole, within a length and at a minimum rate.

use std::{future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;
use wharf_proto::http::Refusal;

use super::{
    answer::{self, Answer},
    guarded::RefusedBody,
};
use crate::patience;

/// How long a body may take to bring [`RATE_BYTES`] more. LIMITS.md, `body_rate_window_ms`.
pub const RATE_WINDOW: Duration = Duration::from_secs(5);
/// What each [`RATE_WINDOW`] must bring, unless the body ends in it. LIMITS.md, `body_rate_bytes`.
pub const RATE_BYTES: usize = 1_024;

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge {
        limit: usize,
    },
    TooSlow,
    /// The guard found the body malformed.
    Refused(Refusal),
    /// The peer went away.
    Broken,
}

impl BodyError {
    /// The answer that says it. The connection cannot be used further (RFC 9112 section 9.6: the answer says so;
    /// over HTTP/2 hyper leaves the header out).
    pub fn answer(&self) -> Answer {
        let mut answer = self.say();
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    }

    fn say(&self) -> Answer {
        match self {
            Self::TooLarge { limit } => answer::error(
                413,
                &format!("the body is longer than {limit} bytes; send less in one request"),
            ),
            Self::TooSlow => answer::error(408, "the body comes too slowly; send it at once"),
            Self::Refused(refusal) => answer::error(refusal.status(), &refusal.to_string()),
            Self::Broken => {
                answer::error(400, "the body ended before its length was reached; send all of it")
            }
        }
    }
}

/// Where a body comes from.
pub enum Body<'a> {
    /// hyper, as it comes.
    Coming(&'a mut Incoming),
    /// It is here.
    Here(Bytes),
}

impl Body<'_> {
    /// All of it.
    pub async fn read(self, limit: usize) -> Result<Bytes, BodyError> {
        match self {
            Self::Coming(body) => read(body, limit).await,
            Self::Here(body) if body.len() > limit => Err(BodyError::TooLarge { limit }),
            Self::Here(body) => Ok(body),
        }
    }
}

/// Reads a body from hyper.
pub async fn read(body: &mut Incoming, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let mut rate = Rate::new();
    let mut whole = Whole::new(limit);
    while let Some(frame) = rate.within(body.frame()).await? {
        let frame = frame.map_err(|error| refusal_in(&error))?;
        if let Ok(data) = frame.into_data() {
            rate.came(data.len());
            whole.add(data)?;
        }
    }
    Ok(whole.finish())
}

/// Reads on where an answer was made without the body, so that the next request stands where both sides look for it
/// (row 61). False: that is not possible, and the connection must close.
pub async fn skip(head: &Parts, body: &mut Incoming, limit: usize) -> bool {
    // Who waits for a 100 was answered instead, and may send the body or not (RFC 9110 section 10.1.1).
    body.is_end_stream() || !head.headers.contains_key(header::EXPECT) && read(body, limit).await.is_ok()
}

fn refusal_in(error: &hyper::Error) -> BodyError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if let Some(RefusedBody(refusal)) = inner.and_then(|inner| inner.downcast_ref()) {
            return BodyError::Refused(*refusal);
        }
        source = cause.source();
    }
    BodyError::Broken
}

/// The parts of a body, joined only if there are several.
pub struct Whole {
    limit: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Whole {
    pub fn new(limit: usize) -> Self {
        Self { limit, first: Bytes::new(), joined: BytesMut::new() }
    }

    pub fn add(&mut self, part: Bytes) -> Result<(), BodyError> {
        if self.first.len() + self.joined.len() + part.len() > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = part;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.joined.extend_from_slice(&part);
        }
        Ok(())
    }

    pub fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// Watches that a body comes fast enough.
pub struct Rate {
    window_ends: Instant,
    bytes: usize,
}

impl Rate {
    pub fn new() -> Self {
        Self { window_ends: Instant::now() + RATE_WINDOW, bytes: 0 }
    }

    /// Awaits more of the body, as long as every window brings enough.
    pub async fn within<T>(&mut self, more: impl Future<Output = T>) -> Result<T, BodyError> {
        let mut more = std::pin::pin!(more);
        loop {
            match patience::until(self.window_ends, more.as_mut()).await {
                Some(output) => return Ok(output),
                None if self.bytes < RATE_BYTES => return Err(BodyError::TooSlow),
                None => *self = Self::new(),
            }
        }
    }

    pub fn came(&mut self, bytes: usize) {
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row 41.
    #[tokio::test(start_paused = true)]
    async fn a_dripped_body_is_too_slow_and_a_steady_one_is_not() {
        let mut rate = Rate::new();
        for _ in 0..20 {
            rate.within(tokio::time::sleep(RATE_WINDOW / 4)).await.unwrap();
            rate.came(RATE_BYTES / 3);
        }
        let mut rate = Rate::new();
        let started = Instant::now();
        let slow = loop {
            if let Err(error) = rate.within(tokio::time::sleep(RATE_WINDOW / 4)).await {
                break error;
            }
            rate.came(1);
        };
        assert_eq!(slow, BodyError::TooSlow);
        assert_eq!(started.elapsed(), RATE_WINDOW);
    }

    #[test]
    fn parts_are_joined_and_bounded() {
        let mut whole = Whole::new(5);
        whole.add(Bytes::from_static(b"ab")).unwrap();
        whole.add(Bytes::from_static(b"cde")).unwrap();
        assert_eq!(whole.add(Bytes::from_static(b"f")), Err(BodyError::TooLarge { limit: 5 }));
        assert_eq!(whole.finish(), "abcde");
    }
}
