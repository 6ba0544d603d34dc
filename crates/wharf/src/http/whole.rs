//! Requests that end and came as a whole: answered without hyper, which would read their heads once more, and keep a
//! state machine and buffers for a body that is there already. They are what a backend that publishes sends all day, and
//! what a poller waits with.
//!
//! Whatever else a request may be (a body that comes later or in chunks, HTTP/1.0, another method) is hyper's.

use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::BytesMut;
use http::header;

use super::{
    Context, answer,
    body::Body,
    guarded::{Guarded, Whole},
    service::{self, Way},
};

/// After so many requests in a row the worker's other tasks have a turn. LIMITS.md, `WHOLE_TURN`.
const WHOLE_TURN: usize = 16;

/// What answers are made in keeps so much memory between requests. LIMITS.md, `ANSWER_ROOM_BYTES`.
const ANSWER_ROOM_BYTES: usize = 4 * 1024;

/// Serves a request and those like it that follow, until one comes that is for others, or the connection ends.
pub async fn serve(first: Whole, guarded: &mut Guarded, context: &Context) -> io::Result<()> {
    let mut out = BytesMut::new();
    let mut next = Some(first);
    let mut served = 0;
    while let Some(whole) = next {
        let closes = answer(whole, guarded, context, &mut out).await;
        write(guarded, &out, context).await?;
        if closes {
            guarded.end_quietly();
            return Ok(());
        }
        match out.capacity() <= ANSWER_ROOM_BYTES {
            true => out.clear(),
            false => out = BytesMut::new(),
        }
        served += 1;
        if served % WHOLE_TURN == 0 {
            tokio::task::yield_now().await;
        }
        // What is for hyper waits in `guarded` and is found there.
        next =
            if guarded.has_work_for_hyper().await? { None } else { guarded.take_whole().map(|whole| *whole) };
    }
    Ok(())
}

/// Writes the answer to `out`, and says whether it is the connection's last.
async fn answer(whole: Whole, guarded: &Guarded, context: &Context, out: &mut BytesMut) -> bool {
    let Whole { head, body, keeps_alive } = whole;
    let answering = service::route(&head, Body::Here(body), Way::Alone(guarded.peer()), context);
    let answer = service::checked(&head, context, answering).await;
    // RFC 9112 section 9.6: behind an answer that says so nothing is processed.
    let says_so = answer.headers().contains_key(header::CONNECTION);
    let closes = says_so || !keeps_alive || context.node.draining.load(Relaxed);
    answer::write(answer, closes, out);
    closes
}

/// Writes an answer, for which a client that reads nothing has as long as any other.
async fn write(guarded: &Guarded, bytes: &[u8], context: &Context) -> io::Result<()> {
    let stall = Duration::from_millis(context.node.settings.times.write_stall_ms);
    let mut rest = bytes;
    while !rest.is_empty() {
        let writing = guarded.write_some(rest);
        let count = tokio::time::timeout(stall, writing).await.map_err(|_| io::ErrorKind::TimedOut)??;
        rest = &rest[count..];
    }
    Ok(())
}
