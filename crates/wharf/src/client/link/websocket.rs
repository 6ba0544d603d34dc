//! A WebSocket to a server.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf_proto::{
    websocket::{
        CloseCode, Opcode, Role, WebsocketDeframer, WebsocketEvent, handshake::ClientRequest, write_close,
        write_frame,
    },
    wire::DeframeLimits,
};

use super::{CLIENT_MESSAGE_BYTES, Incoming, LinkError, Wire, dial, within};
use crate::client::{address::Endpoint, event::Ending};

/// Where the Centrifuge protocol has its WebSocket.
const TARGET: &str = "/connection/websocket";

/// An established WebSocket.
pub struct WebsocketLink {
    stream: Box<dyn Wire>,
    deframer: WebsocketDeframer,
    input: BytesMut,
    output: BytesMut,
    received: VecDeque<Incoming>,
    ended: Option<Ending>,
}

impl WebsocketLink {
    /// Dials and shakes hands.
    pub async fn open(endpoint: &Endpoint, target: Option<&str>) -> Result<Self, LinkError> {
        let mut stream = dial(endpoint).await?;
        let (host, target) = (endpoint.host(), target.unwrap_or(TARGET));
        let request = ClientRequest {
            host: &host,
            target,
            key: rand::random(),
            subprotocols: &[],
            deflate: None,
            headers: &[],
        };
        let mut output = BytesMut::new();
        request.write(&mut output).map_err(|error| LinkError::Handshake(error.to_string()))?;
        within(stream.write_all(&output)).await.map_err(|error| LinkError::cut(&error))?;
        output.clear();
        let mut input = BytesMut::new();
        let head_bytes = loop {
            if let Some(answer) =
                request.check(&input).map_err(|error| LinkError::handshake(target, &error))?
            {
                break answer.head_bytes;
            }
            if within(stream.read_buf(&mut input)).await.map_err(|error| LinkError::cut(&error))? == 0 {
                return Err(LinkError::closed());
            }
        };
        let _ = input.split_to(head_bytes);
        let limits = DeframeLimits { message_bytes: CLIENT_MESSAGE_BYTES, ..DeframeLimits::default() };
        let deframer = WebsocketDeframer::new(Role::Client, limits);
        let mut link = Self { stream, deframer, input, output, received: VecDeque::new(), ended: None };
        link.read_input();
        Ok(link)
    }

    /// The next message, ping or pong. Pings are answered first. May be dropped while it waits.
    pub async fn receive(&mut self) -> Result<Incoming, LinkError> {
        loop {
            self.flush().await?;
            if let Some(incoming) = self.received.pop_front() {
                return Ok(incoming);
            }
            if let Some(ending) = &self.ended {
                return Err(ending.clone().into());
            }
            if self.stream.read_buf(&mut self.input).await.map_err(|error| LinkError::cut(&error))? == 0 {
                return Err(LinkError::closed());
            }
            self.read_input();
        }
    }

    /// Sends one text message.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), LinkError> {
        write_frame(&mut self.output, Opcode::Text, message, Some(rand::random()));
        self.flush().await
    }

    /// Says that this side ends the connection.
    pub async fn close(&mut self) {
        if self.ended.is_none() {
            write_close(&mut self.output, CloseCode::new(1000), "", Some(rand::random()));
            // The connection is over either way.
            let _ = self.flush().await;
        }
    }

    /// Writes what is to be written. What was written is taken off at once, so that this may be dropped half-way.
    async fn flush(&mut self) -> Result<(), LinkError> {
        while !self.output.is_empty() {
            within(self.stream.write_buf(&mut self.output)).await.map_err(|error| LinkError::cut(&error))?;
        }
        Ok(())
    }

    fn read_input(&mut self) {
        let Self { deframer, input, output, received, ended, .. } = self;
        let result = deframer.feed(input, &mut |event| match event {
            WebsocketEvent::Message { kind, payload, .. } => {
                received.push_back(Incoming::Message(kind, Bytes::copy_from_slice(payload)));
            }
            WebsocketEvent::Ping(payload) => {
                write_frame(output, Opcode::Pong, payload, Some(rand::random()));
                received.push_back(Incoming::Ping(Bytes::copy_from_slice(payload)));
            }
            WebsocketEvent::Pong(payload) => {
                received.push_back(Incoming::Pong(Bytes::copy_from_slice(payload)))
            }
            WebsocketEvent::Close { code, reason } => {
                write_close(output, code, "", Some(rand::random()));
                // RFC 6455 section 7.1.5: a close frame without a code counts as 1005.
                let number = code.map_or(1005, CloseCode::number);
                *ended = Some(Ending::by_server(number.into(), reason));
            }
        });
        input.clear();
        if let Err(error) = result {
            write_close(output, CloseCode::new(error.close_code()), &error.to_string(), Some(rand::random()));
            *ended = Some(Ending::unreadable(format!("the server broke a rule of WebSocket: {error}")));
        }
    }
}
