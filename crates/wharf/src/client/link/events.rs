//! A stream of server-sent events, to read.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;

use super::{HttpClient, LinkError, SseEvent, SseReader};

/// A stream of server-sent events.
pub struct EventsLink {
    body: Body,
    reader: SseReader,
    received: VecDeque<SseEvent>,
}

impl EventsLink {
    /// Asks for the stream at this path and query.
    pub async fn open(http: &HttpClient, target: &str) -> Result<Self, LinkError> {
        let accept = [("Accept", "text/event-stream")];
        let body = http.open(Method::GET, target, &accept, Bytes::new()).await?;
        Ok(Self { body, reader: SseReader::default(), received: VecDeque::new() })
    }

    /// The next event. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<SseEvent, LinkError> {
        loop {
            if let Some(event) = self.received.pop_front() {
                return Ok(event);
            }
            let bytes = next_bytes(&mut self.body).await?;
            let mut events = Vec::new();
            self.reader.feed(&bytes, &mut events)?;
            self.received.extend(events);
        }
    }
}

/// The next bytes of a body that does not end; its end is the connection's.
pub(super) async fn next_bytes(body: &mut Body) -> Result<Bytes, LinkError> {
    loop {
        let Some(frame) = body.frame().await else { return Err(LinkError::closed()) };
        // Trailers mean nothing here.
        if let Ok(bytes) = frame.map_err(|error| LinkError::broke_off(&error))?.into_data() {
            return Ok(bytes);
        }
    }
}
