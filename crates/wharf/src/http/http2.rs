//! One HTTP/2 connection: all of it is hyper's. Streams are fed through a body transport, since they share the
//! connection with other requests.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{self, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{Context, service, stream::Stream};

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
    let activity = Arc::new(Activity::new(opened_at));
    let mut builder = http2::Builder::new(TokioExecutor::new());
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
    let io = TokioIo::new(Replayed { buffer, stream });
    let service = service::for_shared_connection(context.clone(), activity.clone());
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut deadline = opened_at + Duration::from_millis(times.http_head_ms);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "an HTTP/2 connection ended early");
                }
                return;
            }
            () = tokio::time::sleep_until(deadline) => {}
        }
        match activity.idle_until(&times) {
            Some(until) if until <= Instant::now() => break,
            Some(until) => deadline = until,
            None => deadline = Instant::now() + Duration::from_millis(times.http_idle_ms),
        }
    }
    connection.as_mut().graceful_shutdown();
    // Out of time: whatever is left is cut off with the connection.
    let _ = tokio::time::timeout(GOODBYE, connection).await;
}

/// What goes on on a connection, so that an idle one can be closed.
pub struct Activity {
    opened_at: Instant,
    in_flight: AtomicUsize,
    /// When the last request ended, in milliseconds since `opened_at`; 0: there was none.
    last_ended_ms: AtomicU64,
}

/// One request in flight, until its answer's body is dropped.
pub struct Busy(Arc<Activity>);

impl Activity {
    fn new(opened_at: Instant) -> Self {
        Self { opened_at, in_flight: AtomicUsize::new(0), last_ended_ms: AtomicU64::new(0) }
    }

    /// Counts a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        Busy(self.clone())
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
        self.0.in_flight.fetch_sub(1, Relaxed);
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
