//! One HTTP/2 connection: all of it is hyper's. Streams are fed through a body transport, and WebSockets through a
//! tunnel, since they share the connection with other requests.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{self, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::AbortHandle,
    time::Instant,
};

use super::{Context, service, stream::Stream};
use crate::listener::Slot;

/// Requests in flight on one connection, streams among them. LIMITS.md, `http2_streams`.
const STREAMS: u32 = 128;
/// What a client may send of one body before it is read. LIMITS.md, `http2_stream_window_bytes`.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// What a client may send of all bodies before they are read. LIMITS.md, `http2_connection_window_bytes`.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits to be sent of one answer. LIMITS.md, `http2_send_bytes`.
const SEND_BYTES: usize = 64 * 1024;
/// Streams that the client reset before they were answered (row 70, rapid reset), and that were reset because of
/// the client's errors (row 71, MadeYouReset); one more ends the connection. LIMITS.md, `http2_resets`.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 256;
/// How long a connection may still finish what is in flight after it was told to go away.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves the connection to its end. `buffer` was read from it already.
pub async fn serve(stream: Stream, buffer: Bytes, context: Context, opened_at: Instant) {
    let settings = &context.node.settings;
    let times = settings.times;
    let _counted = Slot::take(&context.node.http2_connections);
    let activity = Arc::new(Activity::new(opened_at));
    let mut builder = http2::Builder::new(Spawner);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(u32::try_from(settings.limits.http_head_bytes).unwrap_or(u32::MAX))
        // Row 44: a peer that is gone answers no pings.
        .keep_alive_interval(Duration::from_millis(times.ping_interval_ms))
        .keep_alive_timeout(Duration::from_millis(times.pong_timeout_ms));
    if settings.websocket_over_http2 {
        // RFC 8441 section 3: SETTINGS_ENABLE_CONNECT_PROTOCOL. Without it h2 answers an extended CONNECT as section 4
        // has it, as malformed: its stream is reset with PROTOCOL_ERROR (row 14).
        builder.enable_connect_protocol();
    }
    let io = TokioIo::new(Replayed { buffer, stream });
    let service = service::for_shared_connection(context.clone(), activity.clone());
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut deadline = opened_at + Duration::from_millis(times.http_head_ms);
    let mut drain_begun = pin!(context.node.drain_begun.notified());
    drain_begun.as_mut().enable();
    while !context.node.draining.load(Relaxed) {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "an HTTP/2 connection ended early");
                }
                return;
            }
            () = drain_begun.as_mut() => break,
            () = tokio::time::sleep_until(deadline) => {}
        }
        match activity.idle_until(&times) {
            Some(until) if until <= Instant::now() => break,
            Some(until) => deadline = until,
            None => deadline = Instant::now() + Duration::from_millis(times.http_idle_ms),
        }
    }
    // RFC 9113 section 6.8: GOAWAY. What is in flight goes on; streams that stay are ended by their workers.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection.as_mut() => return,
        () = activity.quiet() => {}
    }
    // Out of time: whatever is left is cut off with the connection.
    let _ = tokio::time::timeout(GOODBYE, connection).await;
}

/// What goes on on a connection, so that an idle one can be closed.
pub struct Activity {
    opened_at: Instant,
    in_flight: AtomicUsize,
    /// When the last request ended, in milliseconds since `opened_at`; 0: there was none.
    last_ended_ms: AtomicU64,
    /// Nothing is in flight any more.
    calmed: Notify,
}

/// One request in flight, until its answer's body is dropped.
pub struct Busy(Arc<Activity>);

impl Activity {
    fn new(opened_at: Instant) -> Self {
        Self {
            opened_at,
            in_flight: AtomicUsize::new(0),
            last_ended_ms: AtomicU64::new(0),
            calmed: Notify::new(),
        }
    }

    /// Counts a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    /// Waits until nothing is in flight.
    async fn quiet(&self) {
        while self.in_flight.load(Relaxed) > 0 {
            self.calmed.notified().await;
        }
    }

    /// Until when the connection may go on doing nothing; `None` while it does something.
    fn idle_until(&self, times: &crate::settings::Times) -> Option<Instant> {
        if self.in_flight.load(Relaxed) > 0 {
            return None;
        }
        Some(match self.last_ended_ms.load(Relaxed) {
            0 => self.opened_at + Duration::from_millis(times.http_head_ms),
            ended => self.opened_at + Duration::from_millis(ended.saturating_add(times.http_idle_ms)),
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let elapsed = self.0.opened_at.elapsed().as_millis();
        self.0.last_ended_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX).max(1), Relaxed);
        if self.0.in_flight.fetch_sub(1, Relaxed) == 1 {
            // Remembered if nobody waits yet.
            self.0.calmed.notify_one();
        }
    }
}

tokio::task_local! {
    /// Within the task of one request: where the task is noted that sends on the request's stream after an upgrade.
    static SENDING: Sending;
}

/// Spawns hyper's tasks. A request is one, and the sending half of a stream that was upgraded another, which outlives
/// the upgraded stream for as long as the peer takes nothing.
#[derive(Clone)]
struct Spawner;

impl<F> Executor<F> for Spawner
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        match SENDING.try_with(Sending::clone) {
            Err(_) => drop(tokio::spawn(SENDING.scope(Sending::default(), task))),
            // A request upgrades once, so nothing was noted before.
            Ok(sending) => sending.0.set(tokio::spawn(task).abort_handle()).unwrap_or_default(),
        }
    }
}

/// What sends on the stream of one request after its upgrade.
#[derive(Clone, Default)]
pub struct Sending(Arc<OnceLock<AbortHandle>>);

impl Sending {
    /// Of the request that is being answered; must be called from its task.
    pub fn of_this_request() -> Self {
        SENDING.try_with(Self::clone).unwrap_or_default()
    }

    /// Gives up what waits to be sent. The stream is reset once its upgraded end is dropped as well.
    pub fn abort(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

/// A stream of which something was read already, to tell its protocol.
struct Replayed {
    buffer: Bytes,
    stream: Stream,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let count = self.buffer.len().min(into.remaining());
        into.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
