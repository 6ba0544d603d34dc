//! A response that does not end, with commands by POST to `/emulation`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use hyper::body::Incoming as Body;
use serde::Serialize;

use super::{EventsLink, HttpClient, Incoming, LinkError, events::next_bytes, lines::LineBuffer};
use crate::client::{address::Endpoint, event::Ending};

/// How messages are told apart in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// `/connection/http_stream`
    Lines,
    /// `/connection/sse`
    Sse,
}

/// A response that does not end.
pub struct StreamLink {
    http: HttpClient,
    source: Source,
}

enum Source {
    Lines { body: Body, buffer: LineBuffer },
    Events(EventsLink),
}

/// The body of a POST to `/emulation` (Centrifuge protocol, emulation).
#[derive(Serialize)]
struct Emulation<'a> {
    session: &'a str,
    node: &'a str,
    data: &'a str,
}

impl StreamLink {
    /// Sends `first` (which holds `connect`) and opens the response.
    pub async fn open(
        kind: StreamKind,
        endpoint: &Endpoint,
        target: Option<&str>,
        first: Bytes,
    ) -> Result<Self, LinkError> {
        let http = HttpClient::new(endpoint);
        let source = match kind {
            StreamKind::Lines => {
                let target = target.unwrap_or("/connection/http_stream");
                let headers = [("Content-Type", "application/json")];
                let body = http.open(Method::POST, target, &headers, first).await?;
                Source::Lines { body, buffer: LineBuffer::default() }
            }
            StreamKind::Sse => {
                let target = target.map_or_else(|| sse_target(&first), str::to_owned);
                Source::Events(EventsLink::open(&http, &target).await?)
            }
        };
        Ok(Self { http, source })
    }

    /// The next message. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        match &mut self.source {
            Source::Lines { body, buffer } => loop {
                if let Some(line) = buffer.pop()? {
                    return Ok(Incoming::text(line));
                }
                buffer.bytes.put_slice(&next_bytes(body).await?);
            },
            Source::Events(events) => Ok(Incoming::text(events.receive().await?.data.into())),
        }
    }

    /// Posts commands and waits until the server has taken them, so that they arrive in their order.
    pub async fn send(&mut self, commands: &[u8], session: Option<(&str, &str)>) -> Result<(), LinkError> {
        let Some((session, node)) = session else {
            let reason = "the server told no session, so no command can be sent on this stream";
            return Err(Ending { reconnects: false, ..Ending::transport_closed(reason) }.into());
        };
        let data = String::from_utf8_lossy(commands);
        let mut body = BytesMut::new().writer();
        // Three texts always have a JSON form, and a buffer takes them all.
        let _ = serde_json::to_writer(&mut body, &Emulation { session, node, data: &data });
        let headers = [("Content-Type", "application/json")];
        let body = body.into_inner().freeze();
        self.http.post("/emulation", &headers, body, Duration::ZERO).await?.accepted("/emulation").map(drop)
    }
}

/// The address of an SSE connection that begins with these commands.
fn sse_target(first: &[u8]) -> String {
    let commands = String::from_utf8_lossy(first);
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("cf_connect", &commands).finish();
    format!("/connection/sse?{query}")
}
