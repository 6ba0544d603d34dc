//! HTTP requests to one server, over kept connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;

use super::{CLIENT_MESSAGE_BYTES, LinkError, STEP_TIMEOUT, dial};
use crate::client::{address::Endpoint, event::Ending};

/// The most idle connections that are kept. A client has at most a waiting poll and a command under way.
const IDLE_CONNECTIONS: usize = 2;

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct HttpClient {
    endpoint: Endpoint,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// HTTP's status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// What the body says went wrong: the first line of the message in `{"error":{"message":...}}`, or of the
    /// text.
    pub fn message(&self) -> String {
        Self::message_of(&self.body)
    }

    /// The same of a body that came by itself, of which the end may be missing.
    pub(super) fn message_of(body: &[u8]) -> String {
        #[derive(serde::Deserialize)]
        struct Body {
            error: Fault,
        }
        #[derive(serde::Deserialize)]
        struct Fault {
            message: String,
        }
        let text = match serde_json::from_slice::<Body>(body) {
            Ok(body) => body.error.message,
            Err(_) => String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        };
        // What would steer a terminal is left out.
        let line = text.trim().lines().next().unwrap_or_default();
        line.chars().filter(|character| !character.is_control()).collect()
    }

    /// The answer, if its status is below 300.
    pub fn accepted(self, target: &str) -> Result<Self, LinkError> {
        if self.status < 300 {
            return Ok(self);
        }
        Err(LinkError::Refused { target: target.to_owned(), status: self.status, message: self.message() })
    }
}

impl HttpClient {
    /// A client that has not dialled yet.
    pub fn new(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), idle: Arc::default() }
    }

    /// Posts a body and reads the whole answer, within `wait` and [`STEP_TIMEOUT`].
    pub async fn post(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        wait: Duration,
    ) -> Result<HttpAnswer, LinkError> {
        let whole = async {
            let (response, sender) = self.send(Method::POST, target, headers, body).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, CLIENT_MESSAGE_BYTES).collect().await.map_err(|error| {
                LinkError::Ended(Ending::transport_closed(format!(
                    "the answer to {target} broke off: {error}"
                )))
            })?;
            self.keep(sender);
            Ok(HttpAnswer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
        };
        let late = |_| LinkError::Ended(Ending::no_answer(target));
        tokio::time::timeout(wait + STEP_TIMEOUT, whole).await.map_err(late)?
    }

    /// Sends a request and leaves the body of its answer to be read as it comes. Any status but 200 is an error.
    pub async fn open(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Incoming, LinkError> {
        let opened = async {
            let (head, body) = self.send(method, target, headers, body).await?.0.into_parts();
            let status = head.status.as_u16();
            if status == 200 {
                return Ok(body);
            }
            // Without a body the status speaks for itself.
            let body = Limited::new(body, CLIENT_MESSAGE_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let message = HttpAnswer { status, headers: head.headers, body }.message();
            Err(LinkError::Refused { target: target.to_owned(), status, message })
        };
        let late = |_| LinkError::Ended(Ending::no_answer(target));
        tokio::time::timeout(STEP_TIMEOUT, opened).await.map_err(late)?
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), LinkError> {
        let mut builder = Request::builder().method(method).uri(target);
        builder = builder.header(http::header::HOST, self.endpoint.host());
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(Full::new(body)).map_err(|error| {
            let reason = format!("the request for {target} cannot be written: {error}");
            LinkError::Ended(Ending { reconnects: false, ..Ending::transport_closed(reason) })
        })?;
        // A kept connection may have been closed since. Then the request comes back unsent, and goes to a new one.
        if let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(target, error.error())),
                },
            }
        }
        let stream = TokioIo::new(dial(&self.endpoint).await?);
        let handshake = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(target, &error))?;
        // Ends with the sender, or with the connection; the response tells how.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| broken(target, &error))?;
        Ok((response, sender))
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(sender);
        }
    }
}

fn broken(target: &str, error: &hyper::Error) -> LinkError {
    LinkError::Ended(Ending::transport_closed(format!("the request for {target} failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_went_wrong_steers_no_terminal() {
        for (body, said) in [
            (&b"no\x1b[31m such page\nand more"[..], "no[31m such page"),
            (br#"{"error":{"message":"no\u001b[31m such\u009b channel\nand more"}}"#, "no[31m such channel"),
            (b"", ""),
            (b"\xff", "\u{fffd}"),
        ] {
            assert_eq!(HttpAnswer::message_of(body), said);
        }
    }
}
