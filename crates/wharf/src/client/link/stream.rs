//! A response that does not end, with commands by POST to `/emulation`.

use std::{collections::VecDeque, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;
use serde::Serialize;

use super::{HttpClient, Incoming, LinkError, SseReader, lines::LineBuffer};
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
    body: Body,
    reader: Reader,
    received: VecDeque<Bytes>,
}

enum Reader {
    Lines(LineBuffer),
    Sse(SseReader),
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
        let (body, reader) = match kind {
            StreamKind::Lines => {
                let target = target.unwrap_or("/connection/http_stream");
                let headers = [("Content-Type", "application/json")];
                (
                    http.open(Method::POST, target, &headers, first).await?,
                    Reader::Lines(LineBuffer::default()),
                )
            }
            StreamKind::Sse => {
                let target = target.map_or_else(|| sse_target(&first), str::to_owned);
                let headers = [("Accept", "text/event-stream")];
                let body = http.open(Method::GET, &target, &headers, Bytes::new()).await?;
                (body, Reader::Sse(SseReader::default()))
            }
        };
        Ok(Self { http, body, reader, received: VecDeque::new() })
    }

    /// The next message. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(Incoming::text(message));
            }
            let Some(frame) = self.body.frame().await else { return Err(LinkError::closed()) };
            let frame = frame.map_err(|error| {
                LinkError::Ended(Ending::transport_closed(format!("the stream broke off: {error}")))
            })?;
            if let Some(bytes) = frame.data_ref() {
                self.read(bytes)?;
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        match &mut self.reader {
            Reader::Lines(buffer) => {
                buffer.bytes.put_slice(bytes);
                while let Some(line) = buffer.pop()? {
                    self.received.push_back(line);
                }
            }
            Reader::Sse(reader) => {
                let mut events = Vec::new();
                reader.feed(bytes, &mut events)?;
                self.received.extend(events.into_iter().map(|event| Bytes::from(event.data)));
            }
        }
        Ok(())
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
