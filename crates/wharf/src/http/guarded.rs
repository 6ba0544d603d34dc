//! The socket as hyper sees it: no byte of a head reaches hyper before the guard has judged it, and a request
//! that hyper must not have is an end of the stream to it.
//!
//! hyper asks for the next head only when it has answered the requests before (it is set to `half_close`), so a
//! head boundary is always a moment at which nothing is in flight.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep},
};
use wharf_proto::http::{BodyLength, Guard, GuardLimits, Head, Refusal, Step, is_normal_path};

use super::{
    long_lived::Kind,
    peer::{Peer, Side},
    service,
    stream::Stream,
};
use crate::{
    patience,
    settings::{Settings, Times, WebsocketRoute},
};

/// Why hyper gets nothing more.
pub enum End {
    /// The peer ended its half, or waited too long between requests.
    Quiet,
    /// A head did not come in time.
    TooSlow,
    /// The guard refused the bytes before a head was passed on; hyper does not know of it.
    Refused(Refusal),
    /// As `Refused`, but hyper knows, for the request's head was passed on: it answers.
    RefusedBody,
    /// A request that stays. Its head is taken from the buffer.
    Taken(Box<Taken>),
    /// A request that ends and is all here. It is taken from the buffer, and the next may follow.
    Whole(Box<Whole>),
}

/// A request that ends and came as a whole, so that nothing is left for hyper to do.
pub struct Whole {
    pub head: Parts,
    pub body: Bytes,
    /// The client lets the connection serve another.
    pub keeps_alive: bool,
}

/// A request that never enters hyper.
pub struct Taken {
    pub kind: Kind,
    pub head: Parts,
    pub minor_version: u8,
    pub body: BodyLength,
    pub expects_continue: bool,
}

/// A malformed body, as hyper's body reader learns of it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RefusedBody(pub Refusal);

/// What the connection waits for, which decides how long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    FirstHead,
    NextRequest,
    RestOfHead,
    /// Whoever reads the body watches its rate.
    Body,
}

/// A socket behind a guard.
pub struct Guarded {
    peer: Peer,
    guard: Guard,
    /// Judged, and hyper's to read.
    passed: Bytes,
    in_message: bool,
    had_request: bool,
    end: Option<End>,
    times: Times,
    routes: Arc<[WebsocketRoute]>,
    opened_at: Instant,
    wait: Option<Wait>,
    /// When the wait ends.
    deadline: Instant,
    /// Rings at the deadline or before it: most waits are over long before, and each would set it anew.
    timer: Pin<Box<Sleep>>,
    /// The deadline has passed, and the runtime looks at the socket before that is judged.
    looking: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Guarded {
    /// Guards a socket of which `buffer` was read already. The time for the first head runs from `opened_at`.
    pub fn new(stream: Stream, buffer: BytesMut, settings: &Settings, opened_at: Instant) -> Self {
        let limits = GuardLimits {
            head_bytes: settings.limits.http_head_bytes,
            header_fields: settings.limits.http_headers,
            target_bytes: settings.limits.http_uri_bytes,
            body_bytes: settings.limits.api_body_bytes.max(settings.limits.message_bytes) as u64,
            ..GuardLimits::default()
        };
        Self {
            peer: Peer::new(stream, buffer),
            guard: Guard::new(limits),
            passed: Bytes::new(),
            in_message: false,
            had_request: false,
            end: None,
            times: settings.times,
            routes: settings.websocket_routes.clone(),
            opened_at,
            wait: None,
            deadline: opened_at,
            timer: Box::pin(tokio::time::sleep_until(opened_at)),
            looking: None,
        }
    }

    /// Waits for the first bytes that hyper may have. False: there are none, and [`Guarded::into_end`] says why.
    pub async fn has_work_for_hyper(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|context| self.poll_pass(context)).await
    }

    /// The request that hyper need not have, if one is why it got nothing more.
    pub fn take_whole(&mut self) -> Option<Box<Whole>> {
        match self.end.take() {
            Some(End::Whole(whole)) => Some(whole),
            other => {
                self.end = other;
                None
            }
        }
    }

    /// Writes what the socket takes; waits until it takes something.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        std::future::poll_fn(|context| Pin::new(&mut self.peer.side().stream).poll_write(context, bytes))
            .await
    }

    /// No request follows.
    pub fn end_quietly(&mut self) {
        self.end = Some(End::Quiet);
    }

    /// The socket, for requests that wait and want to know whether their client still does.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Why hyper got an end, and what a request that was taken goes on with. `None` if a request still has a
    /// share in the socket; hyper drops its requests before it ends, so that is never so.
    pub fn into_end(self) -> Option<(End, Guard, Stream, BytesMut)> {
        let Side { stream, buffer } = self.peer.into_side()?;
        Some((self.end.unwrap_or(End::Quiet), self.guard, stream, buffer))
    }

    /// Makes `passed` hold something. False: hyper gets nothing more.
    fn poll_pass(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if !self.passed.is_empty() {
                return Poll::Ready(Ok(true));
            }
            if self.end.is_some() {
                return Poll::Ready(Ok(false));
            }
            let mut side = self.peer.side();
            match self.guard.step(&side.buffer) {
                Ok(Step::Head(head)) => {
                    let length = head.len();
                    let taken = taken(&head, &self.routes);
                    let whole = if taken.is_none() { whole(&head, side.buffer.len()) } else { None };
                    self.had_request = true;
                    self.wait = None;
                    if let Some(taken) = taken {
                        side.buffer.advance(length);
                        self.end = Some(End::Taken(Box::new(taken)));
                    } else if let Some(mut whole) = whole {
                        side.buffer.advance(length);
                        whole.body = take_body(&mut self.guard, &mut side.buffer);
                        self.end = Some(End::Whole(Box::new(whole)));
                    } else {
                        self.in_message = true;
                        self.passed = side.buffer.split_to(length).freeze();
                    }
                }
                Ok(Step::Bytes { take, pass }) => {
                    self.passed = side.buffer.split_to(take).freeze();
                    self.passed.truncate(pass);
                }
                Ok(Step::End) => {
                    self.in_message = false;
                    self.wait = None;
                }
                Ok(Step::NeedMore) => {
                    drop(side);
                    ready!(self.poll_fill(context))?;
                }
                Err(refusal) if self.in_message => {
                    self.end = Some(End::RefusedBody);
                    return Poll::Ready(Err(io::Error::other(RefusedBody(refusal))));
                }
                Err(refusal) => self.end = Some(End::Refused(refusal)),
            }
        }
    }

    /// Reads from the socket until something came, or sets `end`.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(filled) = self.poll_read_some(context) {
            return Poll::Ready(filled);
        }
        let late = ready!(self.poll_late(context));
        if let Poll::Ready(filled) = self.poll_read_some(context) {
            return Poll::Ready(filled);
        }
        self.end = Some(late);
        Poll::Ready(Ok(()))
    }

    /// Reads what has come, or sets `end` where the peer ended its half.
    fn poll_read_some(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.peer.side().poll_fill(context))?;
        self.looking = None;
        if count == 0 {
            self.end = Some(End::Quiet);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until what is awaited is late, and the runtime has looked whether it has come all the same. What it then is
    /// an end of.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let buffer_is_empty = self.peer.side().buffer.is_empty();
        let wait = self.current_wait(buffer_is_empty);
        if self.wait != Some(wait) {
            self.wait = Some(wait);
            self.deadline = match wait {
                Wait::FirstHead => self.opened_at + Duration::from_millis(self.times.http_head_ms),
                Wait::NextRequest => Instant::now() + Duration::from_millis(self.times.http_idle_ms),
                Wait::RestOfHead => Instant::now() + Duration::from_millis(self.times.http_head_ms),
                Wait::Body => return Poll::Pending,
            };
            if self.deadline < self.timer.deadline() {
                self.timer.as_mut().reset(self.deadline);
            }
        }
        if wait == Wait::Body {
            return Poll::Pending;
        }
        ready!(self.timer.as_mut().poll(context));
        while self.timer.deadline() < self.deadline {
            self.timer.as_mut().reset(self.deadline);
            ready!(self.timer.as_mut().poll(context));
        }
        let looking = self.looking.get_or_insert_with(|| Box::pin(patience::look_at_sockets()));
        ready!(looking.as_mut().poll(context));
        self.looking = None;
        Poll::Ready(if wait == Wait::NextRequest { End::Quiet } else { End::TooSlow })
    }

    fn current_wait(&self, buffer_is_empty: bool) -> Wait {
        if self.in_message {
            Wait::Body
        } else if !self.had_request {
            Wait::FirstHead
        } else if buffer_is_empty {
            Wait::NextRequest
        } else {
            Wait::RestOfHead
        }
    }
}

/// The request of this head, if it is one that never enters hyper.
fn taken(head: &Head<'_>, routes: &[WebsocketRoute]) -> Option<Taken> {
    let kind = Kind::of_path(head.path(), routes)?;
    // Preflights, and methods that are answered with 405, are requests that end.
    if kind.is_websocket() || kind.methods().split(", ").any(|method| method == head.method()) {
        Some(Taken {
            kind,
            head: parts(head)?,
            minor_version: head.minor_version(),
            body: head.body(),
            expects_continue: head.expects_continue(),
        })
    } else {
        None
    }
}

/// The request of this head, if it is a POST that ends and its body is in the buffer as well. Its body is still to be
/// taken.
fn whole(head: &Head<'_>, buffered: usize) -> Option<Whole> {
    let ends = head.method() == "POST" && service::takes_posts(head.path()) && is_normal_path(head.path());
    // What HTTP/1.0, chunks and `100 Continue` ask for is hyper's.
    if !ends || head.minor_version() == 0 || head.expects_continue() {
        return None;
    }
    let body = match head.body() {
        BodyLength::None => 0,
        BodyLength::Bytes(length) => usize::try_from(length).ok()?,
        BodyLength::Chunked => return None,
    };
    if buffered - head.len() < body {
        return None;
    }
    Some(Whole { head: parts(head)?, body: Bytes::new(), keeps_alive: head.keeps_alive() })
}

/// Takes a body of which every byte is in the buffer, and nothing of what follows it.
fn take_body(guard: &mut Guard, buffer: &mut BytesMut) -> Bytes {
    let mut body = Bytes::new();
    // A counted body that is all here is one step and the end.
    while let Ok(Step::Bytes { take, pass }) = guard.step(buffer) {
        body = buffer.split_to(take).freeze();
        body.truncate(pass);
    }
    if buffer.is_empty() {
        // A request may wait for long.
        *buffer = BytesMut::new();
    }
    body
}

/// The head in the words of the `http` crate. `None` for what that crate does not read; hyper, which is built on
/// it, then refuses the request.
fn parts(head: &Head<'_>) -> Option<Parts> {
    let mut request = http::Request::builder().method(head.method()).uri(head.target());
    for (name, value) in head.fields() {
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

impl hyper::rt::Read for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if ready!(this.poll_pass(context))? {
            let count = this.passed.len().min(into.remaining());
            into.put_slice(&this.passed[..count]);
            this.passed.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.peer.side().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.peer.side().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.peer.side().stream).poll_flush(context)
    }

    /// Does nothing: hyper has flushed its answers, and what becomes of the socket is decided behind it.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::UnixStream, time::sleep};

    use super::*;

    fn guarded() -> (UnixStream, Guarded) {
        let (peer, socket) = UnixStream::pair().unwrap();
        let settings = Settings::development();
        (peer, Guarded::new(Stream::Unix(socket), BytesMut::new(), &settings, Instant::now()))
    }

    // Row 40.
    #[tokio::test(start_paused = true)]
    async fn a_dripped_head_wins_no_time() {
        let (mut peer, mut guarded) = guarded();
        let opened_at = Instant::now();
        let dripping = tokio::spawn(async move {
            for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Drip: aaaaaaaaaaaaaaa".iter().cycle() {
                if peer.write_all(&[*byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(700)).await;
            }
        });
        assert!(!guarded.has_work_for_hyper().await.unwrap());
        assert!(matches!(guarded.into_end().unwrap().0, End::TooSlow));
        assert_eq!(opened_at.elapsed(), Duration::from_secs(10));
        dripping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_gets_a_request_and_then_an_end_for_one_that_stays() {
        let (mut peer, mut guarded) = guarded();
        let health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
        let events = "GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n";
        peer.write_all(format!("{health}{events}rest").as_bytes()).await.unwrap();
        assert!(guarded.has_work_for_hyper().await.unwrap());
        assert_eq!(guarded.passed, health, "no byte of the next request");
        guarded.passed.clear();
        assert!(!guarded.has_work_for_hyper().await.unwrap());
        let (end, _, _, buffer) = guarded.into_end().unwrap();
        assert!(matches!(end, End::Taken(taken) if taken.kind == Kind::Events));
        assert_eq!(buffer, "rest");
    }
}
