//! What happens to an accepted socket until it is known what it speaks. Its first bytes tell.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{io::AsyncReadExt, time::Instant};
use tokio_rustls::TlsAcceptor;
use wharf_core::session::Heartbeat;
use wharf_proto::{dialect::DialectId, framing::FramingId, wire::WireId};

use super::{Context, http1, http2, stream::Stream, takeover};
use crate::{
    listener::AcceptedSocket,
    node::Node,
    patience,
    worker::{Attachment, Opening},
};

/// RFC 9112 section 2.2 lets a server skip line ends before a request; so many are skipped.
/// LIMITS.md, `leading_line_ends`.
const LEADING_LINE_ENDS: usize = 4;

/// What the first read takes at the most; the memory is held until the protocol is known.
const FIRST_READ_BYTES: usize = 2 * 1024;

/// RFC 9113 section 3.4: what an HTTP/2 client with prior knowledge starts with.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The last words to a client whose protocol is not known.
const HINT: &[u8] = b"Wharf speaks HTTP, WebSocket, TLS and JSON lines here: start with a request, or with {\"id\":1,\"connect\":{}}\n";

/// RFC 8446 section 6: a fatal handshake_failure alert, for a TLS client where no certificate is configured.
const NO_TLS: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];

/// What the first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tls,
    Http1,
    Http2,
    Lines,
    Unknown,
}

/// Finds out what a connection speaks and serves it, until it ends or a worker has it. Must run on the runtime of
/// `worker`.
pub async fn serve(accepted: AcceptedSocket, node: Arc<Node>, worker: usize) {
    let opened_at = Instant::now();
    // Counts the connection for this worker until the worker itself does.
    let AcceptedSocket { socket, origin, slot: _slot, .. } = accepted;
    let context = Context { node, worker, origin };
    serve_plain(Stream::new(socket), context, opened_at).await;
}

async fn serve_plain(mut stream: Stream, context: Context, opened_at: Instant) {
    let Some((protocol, buffer)) = first_bytes(&mut stream, &context, opened_at).await else {
        return;
    };
    match protocol {
        Protocol::Tls => {
            if let Some(stream) = Box::pin(handshake(stream, buffer, &context, opened_at)).await {
                Box::pin(serve_inside_tls(stream, context, opened_at)).await;
            }
        }
        other => serve_protocol(other, stream, buffer, context, opened_at).await,
    }
}

async fn serve_inside_tls(mut stream: Stream, context: Context, opened_at: Instant) {
    let Some((protocol, buffer)) = first_bytes(&mut stream, &context, opened_at).await else {
        return;
    };
    // TLS inside TLS is nobody's protocol.
    let protocol = if protocol == Protocol::Tls { Protocol::Unknown } else { protocol };
    serve_protocol(protocol, stream, buffer, context, opened_at).await;
}

async fn serve_protocol(
    protocol: Protocol,
    stream: Stream,
    buffer: BytesMut,
    context: Context,
    opened_at: Instant,
) {
    match protocol {
        Protocol::Http1 => http1::serve(stream, buffer, context, opened_at).await,
        Protocol::Http2 => Box::pin(http2::serve(stream, buffer.freeze(), context, opened_at)).await,
        Protocol::Lines => attach_lines(stream, buffer, &context),
        Protocol::Tls | Protocol::Unknown => http1::close(stream, HINT).await,
    }
}

/// Reads until the protocol is known. None: the connection ended, or took too long.
async fn first_bytes(
    stream: &mut Stream,
    context: &Context,
    opened_at: Instant,
) -> Option<(Protocol, BytesMut)> {
    let deadline = opened_at + Duration::from_millis(context.node.settings.times.first_byte_ms);
    // Room for a whole head, so that most requests need one read.
    let mut buffer = BytesMut::with_capacity(FIRST_READ_BYTES);
    let known = {
        let known = pin!(async {
            loop {
                if let Some(protocol) = detect(&buffer) {
                    return Some(protocol);
                }
                match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        });
        patience::until(deadline, known).await
    };
    match known {
        Some(protocol) => protocol.map(|protocol| (protocol, buffer)),
        // Rows 40 and 42.
        None => {
            context.node.metrics.http_timeouts.bump();
            None
        }
    }
}

/// What the first bytes tell; `None` if more are needed.
fn detect(bytes: &[u8]) -> Option<Protocol> {
    let mut start = bytes;
    for _ in 0..LEADING_LINE_ENDS {
        start = start.strip_prefix(b"\r\n").or(start.strip_prefix(b"\n")).unwrap_or(start);
    }
    Some(match start {
        [] | [b'\r'] => return None,
        // RFC 8446 section 5.1: a handshake record, of version 3.x.
        [0x16] | [0x16, 3] => return if start.len() == 1 { None } else { Some(Protocol::Tls) },
        [0x16, 3, ..] => Protocol::Tls,
        [b'{', ..] => Protocol::Lines,
        [b'P'] | [b'P', b'R'] | [b'P', b'R', b'I'] => return None,
        [b'P', b'R', b'I', b' ', ..]
            if HTTP2_PREFACE.starts_with(&start[..start.len().min(HTTP2_PREFACE.len())]) =>
        {
            Protocol::Http2
        }
        [b'A'..=b'Z', ..] => Protocol::Http1,
        _ => Protocol::Unknown,
    })
}

/// TLS, by the certificates of the moment. None: it failed, and the socket is closed.
async fn handshake(
    mut stream: Stream,
    buffer: BytesMut,
    context: &Context,
    opened_at: Instant,
) -> Option<Stream> {
    stream.watch().ok()?;
    let (Some(tls), Stream::Tcp(_)) = (context.node.tls.get(), &stream) else {
        http1::close(stream, NO_TLS).await;
        return None;
    };
    let Stream::Tcp(socket) = stream else { return None };
    // Row 75: a slow or fragmented ClientHello has the time that a head has.
    let deadline = opened_at + Duration::from_millis(context.node.settings.times.http_head_ms);
    // The first records were read to tell the protocol; rustls gets them before it reads the socket.
    let replay = |connection: &mut rustls::ServerConnection| {
        let mut bytes = &buffer[..];
        while !bytes.is_empty() && connection.read_tls(&mut bytes).is_ok() {
            // An error is reported again by the handshake, after its alert was sent.
            if connection.process_new_packets().is_err() {
                break;
            }
        }
    };
    let accepting = pin!(TlsAcceptor::from(tls.config()).accept_with(socket, replay));
    match patience::until(deadline, accepting).await {
        Some(Ok(stream)) => return Some(Stream::Tls(Box::new(stream))),
        Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        None => tracing::debug!("a TLS handshake did not end in time"),
    }
    context.node.metrics.tls_failures.bump();
    None
}

/// Gives a JSON-line connection to the worker, with all that was read.
fn attach_lines(stream: Stream, mut buffer: BytesMut, context: &Context) {
    let start = buffer.iter().position(|byte| *byte == b'{').unwrap_or(0);
    buffer.advance(start);
    let kind = stream.kind();
    let (transport, read_by_tls) = match stream.into_transport(context.origin) {
        Ok(parts) => parts,
        Err(error) => return tracing::debug!(%error, "a socket could not be taken out of the runtime"),
    };
    buffer.extend_from_slice(&read_by_tls);
    let attachment = Attachment {
        transport,
        wire: WireId::new(DialectId::CentrifugeJson, FramingId::Lines),
        deflate: None,
        prelude: Bytes::new(),
        leftover: buffer.freeze(),
        opening: Opening::Peer,
        heartbeat: Heartbeat::Pong,
        policy: None,
        emulated: false,
        one_way: false,
        max_age_ms: None,
        kind,
        parts: None,
        device: None,
    };
    takeover::hand_over(attachment, context);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol_however_many_have_come() {
        for (bytes, protocol, known_after) in [
            (&b"\x16\x03\x01\x02\x00"[..], Protocol::Tls, 2),
            (b"GET / HTTP/1.1\r\n", Protocol::Http1, 1),
            (b"POST / HTTP/1.1\r\n", Protocol::Http1, 2),
            (b"PROPFIND / HTTP/1.1\r\n", Protocol::Http1, 3),
            (b"PRIVET / HTTP/1.1\r\n", Protocol::Http1, 4),
            (HTTP2_PREFACE, Protocol::Http2, 4),
            (b"{\"id\":1}", Protocol::Lines, 1),
            (b"\r\n\r\n{}", Protocol::Lines, 5),
            (b"\r\nGET / HTTP/1.1", Protocol::Http1, 3),
            (b"get / http/1.1", Protocol::Unknown, 1),
            (b"\x16\x02", Protocol::Unknown, 2),
            (b"\r\r", Protocol::Unknown, 2),
        ] {
            for end in 0..=bytes.len() {
                let expected = (end >= known_after).then_some(protocol);
                assert_eq!(detect(&bytes[..end]), expected, "{:?}", String::from_utf8_lossy(&bytes[..end]));
            }
        }
    }

    fn bytes_of_task<F>(_: impl Fn(AcceptedSocket, Arc<Node>, usize) -> F) -> usize {
        size_of::<F>()
    }

    /// A task is moved when it is spawned, several times, and held until the protocol is known.
    #[test]
    fn the_task_of_a_new_connection_is_small() {
        let bytes = bytes_of_task(serve);
        assert!(bytes <= 4096, "{bytes}");
    }

    #[test]
    fn line_ends_without_end_are_no_protocol() {
        assert_eq!(detect(&b"\r\n".repeat(LEADING_LINE_ENDS)), None);
        assert_eq!(detect(&b"\r\n".repeat(LEADING_LINE_ENDS + 1)), Some(Protocol::Unknown));
    }
}
