//! WebSocket over HTTP/2 (RFC 8441): an extended CONNECT request, whose stream becomes a tunnel between its client and
//! a worker.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header, request::Parts};
use hyper::{
    body::Incoming,
    ext::Protocol,
    upgrade::{self, OnUpgrade},
};
use wharf_proto::{
    http::is_normal_path,
    websocket::{
        deflate::Agreement,
        handshake::{self, ConnectHead, ConnectRefusal},
    },
};

use super::{
    Context,
    answer::{self, Answer},
    http2::{Busy, Sending},
    long_lived::{self, Kind},
    service,
};
use crate::{
    listener::Slot,
    transport::tunnel::{Tunnel, tunnel},
    worker::ToWorker,
};

/// Answers CONNECT. Must be called from the task of the request.
pub fn answer(mut request: Request<Incoming>, busy: Busy, context: &Context) -> Answer {
    context.node.metrics.http_requests.bump();
    let upgrade = upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    match open(&head, context) {
        Ok((tunnel, answer)) => {
            let linger = Duration::from_millis(context.node.settings.times.close_handshake_ms);
            tokio::spawn(carry(tunnel, upgrade, Sending::of_this_request(), linger, busy));
            answer
        }
        Err(mut answer) => {
            answer.body_mut().hold(busy);
            *answer
        }
    }
}

/// Answers a request for a WebSocket that came over HTTP/2 by another method. There 426, which HTTP/1 would be
/// answered with, has nothing to upgrade to.
pub fn not_by_get(context: &Context) -> Answer {
    if !context.node.settings.websocket_over_http2 {
        return answer::error(
            501,
            "WebSocket over HTTP/2 (RFC 8441) is switched off; connect by HTTP/1.1, as wss:// URLs do by themselves",
        );
    }
    let mut answer = answer::error(
        405,
        "over HTTP/2 a WebSocket is opened by CONNECT with :protocol websocket (RFC 8441); or connect by HTTP/1.1",
    );
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("CONNECT, OPTIONS"));
    answer
}

/// Gives the WebSocket to its worker, or says why not.
fn open(head: &Parts, context: &Context) -> Result<(Tunnel, Answer), Box<Answer>> {
    let node = &context.node;
    if node.draining.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(Box::new(answer::busy("the server is going away; connect again")));
    }
    let (kind, mut answer, deflate) = judge(head, context)?;
    let prepared = long_lived::prepare_websocket(kind, head, deflate, node)?;
    if node.is_full() {
        node.metrics.turned_away.bump();
        return Err(Box::new(answer::busy(service::FULL)));
    }
    let inbox = node.workers[context.worker].clone();
    let (transport, tunnel) = {
        let inbox = inbox.clone();
        tunnel(move |entry| inbox.send(ToWorker::Ready { entry }).is_ok())
    };
    let transport = transport.counted(Slot::take(&node.in_gate[context.worker])).from_origin(context.origin);
    let mut attachment = prepared.attach(Box::new(transport), false, Bytes::new(), Bytes::new(), node);
    attachment.kind = kind.name_over_http2();
    if inbox.send(ToWorker::Attach(Box::new(attachment))).is_err() {
        node.metrics.turned_away.bump();
        return Err(Box::new(answer::busy("the server has too much to do; connect again in a second")));
    }
    *answer.status_mut() = http::StatusCode::OK;
    Ok((tunnel, answer))
}

/// The handshake: which address is meant, the answer that makes it a WebSocket, and how that is compressed.
fn judge(head: &Parts, context: &Context) -> Result<(Kind, Answer, Option<Agreement>), Box<Answer>> {
    let Some(protocol) = head.extensions.get::<Protocol>() else {
        let message = "CONNECT without :protocol asks for a tunnel, which is not served; a WebSocket is opened by CONNECT \
                       with :protocol websocket";
        return Err(Box::new(answer::error(501, message)));
    };
    let pseudo = ConnectHead {
        protocol: protocol.as_str(),
        scheme: head.uri.scheme_str(),
        authority: head.uri.authority().map(|authority| authority.as_str()),
    };
    if !pseudo.is_websocket() {
        return Err(Box::new(refused(ConnectRefusal::Protocol)));
    }
    let kind = websocket_at(head.uri.path(), context)?;
    let access = &context.node.access;
    // The host, which the handshake leaves to us, and the origin, with the name of the setting that allows it.
    access.check(head)?;
    let origin_allowed = |origin: Option<&str>| access.allows_origin(origin.map(str::as_bytes));
    let policy = long_lived::handshake_policy(kind, &context.node, &origin_allowed);
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let accepted =
        handshake::accept_connect(pseudo, headers, &policy).map_err(|refusal| Box::new(refused(refusal)))?;
    let mut answer = answer::empty(200);
    for (name, value) in accepted.headers() {
        // Subprotocols and extensions are tokens, which every header can hold.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok((kind, answer, accepted.into_deflate()))
}

/// Row 66 as for any request: the WebSocket address at this path, or why there is none.
fn websocket_at(path: &str, context: &Context) -> Result<Kind, Box<Answer>> {
    let kind = Kind::of_path(path, &context.node.settings.websocket_routes);
    match (kind, is_normal_path(path).then(|| service::methods(path, kind)).flatten()) {
        (Some(kind), Some(_)) if kind.is_websocket() => Ok(kind),
        (_, Some(methods)) => Err(Box::new(answer::wrong_method(methods))),
        (_, None) => Err(Box::new(answer::error(404, "no WebSocket is at this path; / lists the addresses"))),
    }
}

fn refused(refusal: ConnectRefusal) -> Answer {
    let mut answer = answer::error(refusal.status(), &refusal.to_string());
    for (name, value) in refusal.headers() {
        answer.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    answer
}

/// Moves the bytes of one WebSocket until it ends. `busy` counts it as in flight on its connection.
async fn carry(tunnel: Tunnel, upgrade: OnUpgrade, sending: Sending, linger: Duration, busy: Busy) {
    match upgrade.await {
        Ok(mut stream) => {
            if !tunnel.run(&mut stream, linger).await {
                // RFC 9113 section 5.4.2: RST_STREAM, for a peer that does not take our last words in time.
                sending.abort();
            }
        }
        // The client gave the request up before it was answered.
        Err(error) => {
            tracing::debug!(%error, "an HTTP/2 stream ended before it became a WebSocket");
            tunnel.fail().await;
        }
    }
    drop(busy);
}
