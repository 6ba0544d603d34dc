//! Requests of the server API that came as a whole: answered without hyper, which would read their heads once more and
//! keep a state machine for a body that is there already. It is what a backend that publishes sends all day.
//!
//! Whatever else a request may be (a body that comes later or in chunks, HTTP/1.0, another address) is hyper's.

use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::BytesMut;

use super::{
    Context, answer, api,
    body::Body,
    guarded::{Guarded, Whole},
    service,
};

/// Serves a request and those like it that follow, until one comes that is for others, or the connection ends.
pub async fn serve(first: Whole, guarded: &mut Guarded, context: &Context) -> io::Result<()> {
    let mut next = Some(first);
    let mut out = BytesMut::new();
    while let Some(Whole { head, body, keeps_alive }) = next {
        let answer = service::checked(&head, context, api::answer(&head, Body::Here(body), context)).await;
        let closes = !keeps_alive || context.node.draining.load(Relaxed);
        out.clear();
        answer::write(answer, closes, &mut out);
        write(guarded, &out, context).await?;
        if closes {
            guarded.end_quietly();
            return Ok(());
        }
        // What is for hyper waits in `guarded` and is found there.
        next =
            if guarded.has_work_for_hyper().await? { None } else { guarded.take_whole().map(|whole| *whole) };
    }
    Ok(())
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
