//! The opening handshake over a stream of bytes, in either role, up to the connection that it makes.

use bytes::{Buf, BytesMut};

use super::{Connection, Role};
use crate::websocket::{
    DeframeLimits,
    handshake::{
        AnswerError, ClientRequest, InvalidRequest, MAX_ANSWER_HEAD_BYTES, MAX_REQUEST_HEAD_BYTES, Policy,
        Refusal, Request,
    },
};

/// What came of a head that ends with an empty line. Each byte is searched once for that end, however they come.
#[derive(Debug, Default)]
struct Received {
    bytes: BytesMut,
    searched: usize,
}

impl Received {
    /// Adds what was read; true if an end is in it, or reaches into it from before.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        let from = self.searched.saturating_sub(3);
        self.searched = self.bytes.len();
        self.bytes[from..].windows(4).any(|end| end == b"\r\n\r\n")
    }
}

/// The server's half: takes bytes until a request is whole, shows it, and makes the connection.
///
/// Nothing is written before [`accept`](Self::accept), so a [`request`](Self::request) for what is not served here can
/// be answered by the caller. A [`Refusal`] brings its answer along: [`Refusal::response`]. How much is taken is bounded
/// by [`MAX_REQUEST_HEAD_BYTES`], and for how long by the caller.
#[derive(Debug, Default)]
pub struct ServerHandshake {
    received: Received,
    /// The end of the head has come.
    is_whole: bool,
}

impl ServerHandshake {
    /// Waits for a request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read; true once the head of the request is whole, and from then on. Nothing means the end of the
    /// stream.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        self.is_whole |= self.received.add(bytes);
        match self.is_whole {
            false if bytes.is_empty() => Err(Refusal::Malformed),
            false if self.received.bytes.len() < MAX_REQUEST_HEAD_BYTES => Ok(false),
            _ => Request::read(&self.received.bytes).map(|request| request.is_some()),
        }
    }

    /// The request, once it is whole: for whoever serves several paths, or looks at cookies or tokens.
    pub fn request(&self) -> Option<Request<'_>> {
        Request::read(&self.received.bytes).ok().flatten()
    }

    /// Accepts the request, if it is whole and the policy allows it: the answer is in the connection's output, and what
    /// came after the request in its input.
    ///
    /// Compression is agreed on only where the crate is built with the feature `deflate`.
    pub fn accept(self, policy: &Policy<'_>, limits: DeframeLimits) -> Result<Connection, Refusal> {
        let Self { received: Received { bytes: mut received, .. }, .. } = self;
        let request = Request::read(&received)?.ok_or(Refusal::Malformed)?;
        #[cfg(not(feature = "deflate"))]
        let policy = &Policy { deflate: None, ..*policy };
        let (head_bytes, accepted) = (request.head_bytes(), request.accept(policy)?);
        received.advance(head_bytes);
        let mut connection = Connection::new(Role::Server, limits, None);
        accepted.write_response(connection.output());
        connection.input = received;
        connection.subprotocol = accepted.subprotocol().map(Into::into);
        #[cfg(feature = "deflate")]
        if let Some(agreement) = accepted.into_deflate() {
            connection = connection.with_deflate(agreement);
        }
        Ok(connection)
    }
}

/// The client's half: writes the request, checks the answer, and makes the connection.
#[derive(Debug)]
pub struct ClientHandshake<'a> {
    request: ClientRequest<'a>,
    output: BytesMut,
    received: Received,
    /// The answer is whole, and a yes.
    is_open: bool,
}

impl<'a> ClientHandshake<'a> {
    /// Begins with a request, or says what of it cannot be written.
    ///
    /// Compression is offered only where the crate is built with the feature `deflate`.
    pub fn new(request: ClientRequest<'a>) -> Result<Self, InvalidRequest> {
        #[cfg(not(feature = "deflate"))]
        let request = ClientRequest { deflate: None, ..request };
        let mut output = BytesMut::new();
        request.write(&mut output)?;
        Ok(Self { request, output, received: Received::default(), is_open: false })
    }

    /// What is to be written to the server: the request. Take off what was written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Takes what was read; true once the server's answer is whole and a yes, and from then on. Nothing means the end of
    /// the stream.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, AnswerError> {
        let has_end = self.received.add(bytes);
        // Interim answers have ends as well.
        if !self.is_open && (has_end || self.received.bytes.len() >= MAX_ANSWER_HEAD_BYTES) {
            self.is_open = self.request.check(&self.received.bytes)?.is_some();
        }
        if self.is_open || !bytes.is_empty() { Ok(self.is_open) } else { Err(AnswerError::Ended) }
    }

    /// All that came so far. Where [`receive`](Self::receive) said [`AnswerError::Status`],
    /// [`OrdinaryAnswer::read`](crate::websocket::handshake::OrdinaryAnswer::read) finds in it what the server says of it.
    pub fn received(&self) -> &[u8] {
        &self.received.bytes
    }

    /// The connection that the answer opened, with what came after the answer in its input. Each frame is masked by
    /// four bytes that `masks` gives, from a strong source of entropy (RFC 6455 section 5.3): `|| rand::random()`.
    ///
    /// [`AnswerError::Ended`] if the answer is not whole.
    pub fn open(
        self,
        limits: DeframeLimits,
        masks: impl FnMut() -> [u8; 4] + Send + 'static,
    ) -> Result<Connection, AnswerError> {
        let Self { request, received: Received { bytes: mut received, .. }, .. } = self;
        let answer = request.check(&received)?.ok_or(AnswerError::Ended)?;
        received.advance(answer.head_bytes);
        let mut connection = Connection::client(limits, masks);
        connection.input = received;
        connection.subprotocol = answer.subprotocol.map(Into::into);
        #[cfg(feature = "deflate")]
        if let Some(parameters) = answer.deflate {
            connection = connection.with_deflate(crate::websocket::deflate::Agreement::new(parameters));
        }
        Ok(connection)
    }
}
