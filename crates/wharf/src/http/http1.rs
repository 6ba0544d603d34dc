//! One HTTP/1 connection: hyper for requests that end, and what follows when hyper is done with it.

use std::{pin::Pin, time::Duration};

use bytes::BytesMut;
use hyper::server::conn::http1;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    Context, answer,
    guarded::{End, Guarded},
    service,
    stream::Stream,
    takeover, whole,
};

/// How long a closing connection is read on, so that the last answer is not lost to a reset.
/// LIMITS.md, `linger_ms`.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read, and dropped, meanwhile. LIMITS.md, `linger_bytes`.
const LINGER_BYTES: usize = 256 * 1024;

/// Serves the connection to its end, or until a worker has it.
pub async fn serve(stream: Stream, buffer: BytesMut, context: Context, opened_at: Instant) {
    let mut guarded = Guarded::new(stream, buffer, &context.node.settings, opened_at);
    loop {
        match guarded.has_work_for_hyper().await {
            // Boxed, as most connections that stay come by and never need hyper's state.
            Ok(true) => match Box::pin(run_hyper(guarded, context.clone())).await {
                Some(back) => guarded = back,
                None => return,
            },
            Ok(false) => {}
            Err(_) => return, // The socket failed; there is nobody to tell.
        }
        let Some(whole) = guarded.take_whole() else { break };
        // Boxed for the same reason.
        if Box::pin(whole::serve(*whole, &mut guarded, &context)).await.is_err() {
            return;
        }
    }
    let Some((end, guard, stream, buffer)) = guarded.into_end() else { return };
    let metrics = &context.node.metrics;
    match end {
        // The loop above has served it.
        End::Whole(_) => {}
        End::Taken(taken) => takeover::carry_out(*taken, guard, stream, buffer, context).await,
        End::Quiet => close(stream, &[]).await,
        End::RefusedBody => {
            metrics.http_refusals.bump();
            close(stream, &[]).await;
        }
        End::Refused(refusal) => {
            metrics.http_refusals.bump();
            let mut bytes = BytesMut::new();
            refusal.write_response(&mut bytes);
            close(stream, &bytes).await;
        }
        End::TooSlow => {
            metrics.http_timeouts.bump();
            let mut bytes = BytesMut::new();
            answer::write_closing(
                answer::error(408, "the request's head did not come in time; send it at once"),
                &mut bytes,
            );
            close(stream, &bytes).await;
        }
    }
}

/// Runs hyper until the guarded socket ends for it, and gives the socket back. None: it failed.
async fn run_hyper(guarded: Guarded, context: Context) -> Option<Guarded> {
    let service = service::for_connection(context, guarded.peer());
    let mut connection = http1::Builder::new()
        // The guard's end must not cut off the answers to earlier requests.
        .half_close(true)
        .keep_alive(true)
        .serve_connection(guarded, service);
    match std::future::poll_fn(|task| Pin::new(&mut connection).poll(task)).await {
        Ok(()) => {}
        Err(error) => {
            tracing::debug!(%error, "an HTTP connection ended early");
            // A refused body leaves an answer that was sent and a peer that may still send; else it is dead.
            if !error.is_user() && !error.is_incomplete_message() && !error.is_parse() {
                return None;
            }
        }
    }
    Some(connection.into_parts().io)
}

/// Writes the last words and closes. Reads on for a moment: a socket closed with unread bytes is reset, and the
/// reset can overtake the answer (RFC 9112 section 9.6).
pub async fn close(mut stream: Stream, last_words: &[u8]) {
    let closing = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        // Not in the future itself, which is the task of every connection.
        let mut piece = vec![0; 4096];
        let mut dropped = 0;
        while dropped < LINGER_BYTES {
            match stream.read(&mut piece).await? {
                0 => break,
                count => dropped += count,
            }
        }
        std::io::Result::Ok(())
    };
    // Out of time or broken: the descriptor is closed either way.
    let _ = tokio::time::timeout(LINGER, closing).await;
}
