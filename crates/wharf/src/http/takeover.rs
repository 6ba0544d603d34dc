//! A long-lived request over HTTP/1, carried out without hyper: its socket leaves the runtime for the worker.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf_proto::{
    http::{BodyLength, Guard, Step},
    websocket::handshake,
};

use super::{
    Context,
    answer::{self, Answer},
    body::{BodyError, Rate, Whole},
    guarded::Taken,
    http1,
    long_lived::{self, Kind, Prepared},
    stream::Stream,
};
use crate::worker::{Attachment, ToWorker};

/// What answers a request that was taken: a head of ours and a worker, or an answer that ends.
struct Start {
    prepared: Prepared,
    head: BytesMut,
    chunked: bool,
}

/// Answers the request and gives the socket to the worker, or says why not and closes.
pub async fn carry_out(
    taken: Taken,
    mut guard: Guard,
    mut stream: Stream,
    mut buffer: BytesMut,
    context: Context,
) {
    let is_websocket = taken.kind.is_websocket();
    let asks_for_head = taken.head.method == Method::HEAD;
    let start = match start(taken, &mut guard, &mut stream, &mut buffer, &context).await {
        Ok(start) => start,
        Err(answer) => {
            let mut bytes = BytesMut::new();
            let body_at = answer::write_closing(*answer, &mut bytes);
            if asks_for_head {
                // RFC 9110 section 9.3.2: an answer to HEAD has no body, but the header that says how long it were.
                bytes.truncate(body_at);
            }
            return http1::close(stream, &bytes).await;
        }
    };
    // Behind the request of a stream only another request could stand, and a stream is the last answer.
    let leftover = if is_websocket { buffer } else { BytesMut::new() };
    if let Err(error) = attach(start, leftover, stream, &context) {
        tracing::debug!(%error, "a socket could not be given to its worker");
    }
}

async fn start(
    taken: Taken,
    guard: &mut Guard,
    stream: &mut Stream,
    buffer: &mut BytesMut,
    context: &Context,
) -> Result<Start, Box<Answer>> {
    let node = &context.node;
    if node.draining.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(Box::new(answer::busy("the server is going away; connect again")));
    }
    if taken.kind.is_websocket() {
        return upgrade(&taken, context);
    }
    let checked = node.access.check(&taken.head);
    if taken.expects_continue && checked.is_ok() && buffer.is_empty() {
        let written = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        written.map_err(|_| Box::new(BodyError::Broken.answer()))?;
    }
    checked?;
    let limit = node.settings.limits.message_bytes;
    let body = read_body(taken.body, guard, stream, buffer, limit).await.map_err(|error| {
        let mut answer = error.answer();
        super::access::allow_reading(&taken.head.headers, answer.headers_mut());
        Box::new(answer)
    })?;
    let mut prepared =
        long_lived::prepare_stream(taken.kind, &taken.head, body, node).map_err(|mut answer| {
            super::access::allow_reading(&taken.head.headers, answer.headers_mut());
            answer
        })?;
    let chunked = taken.minor_version > 0;
    let headers = &mut prepared.headers;
    if chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // RFC 9112 section 9.6: a stream is the last answer on its connection, and a client that was told otherwise sends
    // its next request into our end.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut head = BytesMut::new();
    answer::write_head(StatusCode::OK, headers, &mut head);
    let first = taken.kind.first_bytes();
    match first {
        [] => {}
        first if chunked => head.extend_from_slice(&chunk(first)),
        first => head.extend_from_slice(first),
    }
    Ok(Start { prepared, head, chunked })
}

fn chunk(data: &[u8]) -> Bytes {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk.into()
}

fn upgrade(taken: &Taken, context: &Context) -> Result<Start, Box<Answer>> {
    let access = &context.node.access;
    let origin_allowed = |origin: Option<&str>| access.allows_origin(origin.map(str::as_bytes));
    let policy = long_lived::handshake_policy(taken.kind, &context.node, &origin_allowed);
    let headers = taken.head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let accepted = handshake::accept(taken.head.method.as_str(), taken.minor_version, headers, &policy)
        .map_err(|refusal| match access.check(&taken.head) {
            // It names the setting.
            Err(foreign) if refusal == handshake::Refusal::Origin => foreign,
            _ => Box::new(refused(taken.kind, refusal)),
        })?;
    // Also the host, which the handshake leaves to us.
    access.check(&taken.head)?;
    if !matches!(taken.body, BodyLength::None | BodyLength::Bytes(0)) {
        return Err(Box::new(answer::error(400, "a WebSocket handshake has no body; send none")));
    }
    let mut head = BytesMut::new();
    accepted.write_response(&mut head);
    let deflate = accepted.into_deflate();
    let prepared = long_lived::prepare_websocket(taken.kind, &taken.head, deflate, &context.node)?;
    Ok(Start { prepared, head, chunked: false })
}

/// The answer to a handshake that failed: what is wrong, what would be right, and where WebSocket may not pass, the
/// addresses to fall back to.
pub fn refused(kind: Kind, refusal: handshake::Refusal) -> Answer {
    let mut message = refusal.to_string();
    if let Some(addresses) = kind.fallbacks().filter(|_| refusal.suggests_fallback()) {
        message = format!("{message}; fall back to {addresses}");
    }
    let mut answer = answer::error(refusal.status(), &message);
    for (name, value) in refusal.headers() {
        answer.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    answer
}

fn attach(start: Start, leftover: BytesMut, stream: Stream, context: &Context) -> std::io::Result<()> {
    let Start { prepared, head, chunked } = start;
    let (transport, read_by_tls) = stream.into_transport(context.origin)?;
    let mut leftover = leftover;
    leftover.extend_from_slice(&read_by_tls);
    let attachment = prepared.attach(transport, chunked, head.freeze(), leftover.freeze(), &context.node);
    hand_over(attachment, context);
    Ok(())
}

/// Gives a connection to this worker. Where its inbox is full the client hears so, as far as the kernel takes it.
pub fn hand_over(attachment: Attachment, context: &Context) {
    let inbox = &context.node.workers[context.worker];
    if let Err(ToWorker::Attach(mut attachment)) = inbox.send(ToWorker::Attach(Box::new(attachment))) {
        context.node.metrics.turned_away.bump();
        let mut bytes = BytesMut::new();
        answer::write_closing(
            answer::busy("the server has too much to do; connect again in a second"),
            &mut bytes,
        );
        let _ = attachment.transport.try_write(&[std::io::IoSlice::new(&bytes)]);
        attachment.transport.close();
    }
}

/// Reads the body of a request that hyper does not have, through the same guard.
async fn read_body(
    length: BodyLength,
    guard: &mut Guard,
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Bytes, BodyError> {
    if matches!(length, BodyLength::Bytes(length) if length > limit as u64) {
        return Err(BodyError::TooLarge { limit });
    }
    // What passes is the body in its transfer coding; the data are between the lines of chunks.
    let mut data = Data { chunked: length == BodyLength::Chunked, chunk_left: 0, line: Vec::new() };
    let mut whole = Whole::new(limit);
    let mut rate = Rate::new();
    loop {
        let (take, pass) = match guard.step(buffer).map_err(BodyError::Refused)? {
            Step::End => return Ok(whole.finish()),
            Step::Bytes { take, pass } => (take, pass),
            // No head is shown before the end of the request.
            Step::NeedMore | Step::Head(_) => {
                let read = rate.within(stream.read_buf(buffer)).await?;
                match read {
                    Ok(0) | Err(_) => return Err(BodyError::Broken),
                    Ok(count) => rate.came(count),
                }
                continue;
            }
        };
        let mut passed = buffer.split_to(take).freeze();
        passed.truncate(pass);
        data.take(passed, &mut whole)?;
    }
}

/// Finds the data in a body that the guard has found well-formed and stripped of extensions and trailers.
struct Data {
    chunked: bool,
    chunk_left: usize,
    line: Vec<u8>,
}

impl Data {
    fn take(&mut self, mut passed: Bytes, whole: &mut Whole) -> Result<(), BodyError> {
        if !self.chunked {
            return whole.add(passed);
        }
        while !passed.is_empty() {
            if self.chunk_left > 0 {
                let count = self.chunk_left.min(passed.len());
                self.chunk_left -= count;
                whole.add(passed.split_to(count))?;
                continue;
            }
            // Size lines, and the line ends behind data; a line without digits is one of the latter.
            match passed.get_u8() {
                b'\r' => {}
                b'\n' => {
                    let digits = std::mem::take(&mut self.line);
                    let text = std::str::from_utf8(&digits).unwrap_or_default();
                    // The guard has judged the digits; the limit cuts what does not fit.
                    self.chunk_left = usize::from_str_radix(text, 16).unwrap_or(0);
                }
                digit => self.line.push(digit),
            }
        }
        Ok(())
    }
}
