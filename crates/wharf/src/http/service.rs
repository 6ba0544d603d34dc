//! Requests that end: which address is answered by what. Over HTTP/2 also streams, whose bodies a worker writes.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version, header, request::Parts};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use wharf_proto::http::is_normal_path;

use super::{
    Context, access,
    answer::{self, Answer},
    api,
    body::{self, Body},
    emulation::{self, Turn, Turns},
    extended_connect,
    http2::Activity,
    long_lived::{self, Kind},
    metrics, page,
    peer::Peer,
    poll, takeover,
};
use crate::{
    transport::body::{PIPE_BYTES, pipe},
    worker::ToWorker,
};

/// Said at `limits.connections`, which a stream of a shared connection counts against like any other.
pub const FULL: &str = "the server has as many connections as it may; come back in some seconds";

type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// How a request came.
pub enum Way {
    /// Alone on its HTTP/1 connection.
    Alone(Peer),
    /// Beside others on an HTTP/2 connection; with its turn, where their order matters. hyper drops the answering
    /// when the client gives the request up.
    Shared(Option<Turn>),
}

/// The service of an HTTP/1 connection, where one request is answered after the other.
pub fn for_connection(
    context: Context,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future = Answering> {
    service_fn(move |request| {
        let (context, way) = (context.clone(), Way::Alone(peer.clone()));
        let answering: Answering = Box::pin(async move { Ok(answer(request, way, &context).await) });
        answering
    })
}

/// The service of an HTTP/2 connection, where requests are answered side by side.
pub fn for_shared_connection(
    context: Context,
    activity: Arc<Activity>,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future = Answering> {
    let turns = Turns::default();
    service_fn(move |request: Request<Incoming>| {
        let context = context.clone();
        let busy = activity.begin();
        if request.method() == Method::CONNECT {
            let answering: Answering =
                Box::pin(async move { Ok(extended_connect::answer(request, busy, &context)) });
            return answering;
        }
        // Taken here, where requests come in their order.
        let way = Way::Shared((request.uri().path() == emulation::PATH).then(|| turns.take()));
        let answering: Answering = Box::pin(async move {
            let mut answer = answer(request, way, &context).await;
            answer.body_mut().hold(busy);
            Ok(answer)
        });
        answering
    })
}

/// The answer to whoever may ask at all.
pub async fn checked(head: &Parts, context: &Context, answering: impl Future<Output = Answer>) -> Answer {
    context.node.metrics.http_requests.bump();
    if let Err(refusal) = context.node.access.check(head) {
        return *refusal;
    }
    let mut answer = answering.await;
    access::allow_reading(&head.headers, answer.headers_mut());
    answer
}

async fn answer(request: Request<Incoming>, way: Way, context: &Context) -> Answer {
    let node = &context.node;
    let (head, mut body) = request.into_parts();
    let mut answer = checked(&head, context, route(&head, Body::Coming(&mut body), way, context)).await;
    if head.version == Version::HTTP_2 {
        return answer; // Its requests share no stream of bytes.
    }
    let closes = answer.headers().contains_key(header::CONNECTION);
    let in_step = closes || body::skip(&head, &mut body, node.settings.limits.message_bytes).await;
    if !in_step || node.draining.load(Relaxed) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Whether requests that end are POSTed to this path.
pub fn takes_posts(path: &str) -> bool {
    path == poll::PATH || path == emulation::PATH || api::is_at(path)
}

/// The answer of the address that is asked.
pub async fn route(head: &Parts, body: Body<'_>, way: Way, context: &Context) -> Answer {
    let path = head.uri.path();
    // Row 66.
    let kind = Kind::of_path(path, &context.node.settings.websocket_routes);
    let methods = if is_normal_path(path) { methods(path, kind) } else { None };
    let Some(methods) = methods else {
        return answer::error(404, "nothing is at this path; / lists the addresses");
    };
    if head.method == Method::OPTIONS {
        return access::preflight(head, methods);
    }
    let asked = if head.method == Method::HEAD { "GET" } else { head.method.as_str() };
    if !methods.split(", ").any(|method| method == asked) {
        return answer::wrong_method(methods);
    }
    let node = &context.node;
    if let Some(kind) = kind {
        return stream(kind, head, body, context).await;
    }
    match path {
        "/" => page::answer(node),
        "/health" if node.draining.load(Relaxed) => answer::busy("the server is going away"),
        "/health" => answer::json(200, "{}"),
        "/metrics" => metrics::answer(node),
        poll::PATH => poll::answer(head, body, &way, context).await,
        emulation::PATH => emulation::answer(body, way, context).await,
        // `methods` knows no other path.
        _ => api::answer(head, body, context).await,
    }
}

/// The methods of an address, with OPTIONS for pages elsewhere; `None` if nothing is there.
pub fn methods(path: &str, kind: Option<Kind>) -> Option<&'static str> {
    if let Some(kind) = kind {
        return Some(match kind.methods() {
            "GET" => "GET, OPTIONS",
            "POST" => "POST, OPTIONS",
            _ => "GET, POST, OPTIONS",
        });
    }
    Some(match path {
        "/" | "/health" | "/metrics" => "GET, HEAD, OPTIONS",
        _ if takes_posts(path) => "POST, OPTIONS",
        _ => return None,
    })
}

/// A long-lived address, asked over HTTP/2; over HTTP/1 these never get here.
async fn stream(kind: Kind, head: &Parts, body: Body<'_>, context: &Context) -> Answer {
    if kind.is_websocket() {
        return match head.version {
            Version::HTTP_2 => extended_connect::not_by_get(context),
            _ => takeover::refused(kind, wharf_proto::websocket::handshake::Refusal::NoUpgrade),
        };
    }
    let node = &context.node;
    if node.is_full() {
        node.metrics.turned_away.bump();
        return answer::busy(FULL);
    }
    if node.draining.load(Relaxed) {
        return answer::busy("the server is going away; connect again");
    }
    let body = match body.read(node.settings.limits.message_bytes).await {
        Ok(body) => body,
        Err(error) => return error.answer(),
    };
    let mut prepared = match long_lived::prepare_stream(kind, head, body, node) {
        Ok(prepared) => prepared,
        Err(answer) => return *answer,
    };
    let inbox = node.workers[context.worker].clone();
    let on_ready = {
        let inbox = inbox.clone();
        move |entry| inbox.send(ToWorker::Ready { entry }).is_ok()
    };
    let (transport, pipe_body) = pipe(PIPE_BYTES, Box::new(on_ready));
    let transport = transport.from_origin(context.origin);
    let headers = std::mem::take(&mut prepared.headers);
    let first = Bytes::from_static(kind.first_bytes());
    let attachment = prepared.attach(Box::new(transport), false, first, Bytes::new(), node);
    if inbox.send(ToWorker::Attach(Box::new(attachment))).is_err() {
        node.metrics.turned_away.bump();
        return answer::busy("the server has too much to do; connect again in a second");
    }
    let mut answer = answer::stream(pipe_body);
    *answer.headers_mut() = headers;
    answer
}
