//! WebSocket over HTTP/2 (RFC 8441), by a client that chooses each frame of HTTP/2.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, client::SendRequest, ext::Protocol};
use http::{HeaderMap, Request, StatusCode};
use wharf::settings::{Limits, Settings, Times};
use wharf_proto::websocket::{CloseCode, Opcode, write_close, write_frame};

use crate::rig::{Rig, settings, start, start_with};

mod abuse;
mod endings;
mod handshake;

const PATH: &str = "/connection/websocket";
const PATIENCE: Duration = Duration::from_secs(20);

/// One HTTP/2 connection.
struct Link {
    sender: SendRequest<Bytes>,
    /// Ends when the connection does.
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Link {
    async fn open(rig: &Rig) -> Self {
        Self::open_with(rig, &mut h2::client::Builder::new()).await
    }

    async fn open_with(rig: &Rig, builder: &mut h2::client::Builder) -> Self {
        let socket = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (sender, connection) = builder.handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut link = Self { sender, connection };
        // RFC 8441 section 3: a client asks once the server's SETTINGS have come, and an answer comes behind them.
        assert_eq!(link.get("/health").await.0, 200);
        link
    }

    /// Sends a request; the stream to write to, and the answer to come.
    async fn send(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (SendStream<Bytes>, h2::client::ResponseFuture) {
        let mut ready = within(self.sender.clone().ready()).await.unwrap();
        let (answer, stream) = ready.send_request(request, ends).unwrap();
        (stream, answer)
    }

    /// Status, headers and body of a request without one.
    async fn ask(&mut self, request: Request<()>) -> (u16, HeaderMap, String) {
        let (_stream, answer) = self.send(request, true).await;
        let (head, mut body) = within(answer).await.unwrap().into_parts();
        (head.status.as_u16(), head.headers, whole(&mut body).await)
    }

    async fn get(&mut self, path: &str) -> (u16, HeaderMap, String) {
        self.ask(Request::get(format!("http://localhost{path}")).body(()).unwrap()).await
    }

    async fn post(&mut self, path: &str, body: String) -> String {
        let request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
        let (mut stream, answer) = self.send(request, false).await;
        stream.send_data(body.into(), true).unwrap();
        let (head, mut body) = within(answer).await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        whole(&mut body).await
    }

    async fn publish(&mut self, channel: &str, data: &str) {
        let answer = self.post("/api/publish", format!(r#"{{"channel":"{channel}","data":"{data}"}}"#)).await;
        assert!(answer.contains("offset"), "{answer}");
    }

    async fn websocket(&mut self) -> Socket {
        let (stream, answer) = self.send(connect(PATH).body(()).unwrap(), false).await;
        let answer = within(answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Socket { stream, body: answer.into_body(), held: BytesMut::new() }
    }

    /// A WebSocket whose client has connected and subscribed.
    async fn subscribed(&mut self, channel: &str) -> Socket {
        let mut socket = self.websocket().await;
        socket.connect().await;
        socket.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#));
        let reply = socket.text().await;
        assert!(reply.contains("\"subscribe\""), "{reply}");
        socket
    }
}

/// One WebSocket on a [`Link`].
struct Socket {
    stream: SendStream<Bytes>,
    body: RecvStream,
    held: BytesMut,
}

impl Socket {
    fn say(&mut self, text: &str) {
        let mut frame = BytesMut::new();
        write_frame(&mut frame, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
        self.stream.send_data(frame.freeze(), false).unwrap();
    }

    fn ping(&mut self) {
        let mut frame = BytesMut::new();
        write_frame(&mut frame, Opcode::Ping, b"", Some([1, 2, 3, 4]));
        self.stream.send_data(frame.freeze(), false).unwrap();
    }

    async fn connect(&mut self) {
        self.say(r#"{"id":1,"connect":{}}"#);
        let reply = self.text().await;
        assert!(reply.starts_with(r#"{"id":1,"connect":{"client":"#), "{reply}");
    }

    async fn text(&mut self) -> String {
        let (opcode, payload) = self.frame().await.expect("the stream ended");
        assert_eq!(opcode, Opcode::Text as u8, "{payload:?}");
        String::from_utf8(payload.to_vec()).unwrap()
    }

    /// Texts up to one that holds `wanted`.
    async fn until(&mut self, wanted: &str) {
        while !self.text().await.contains(wanted) {}
    }

    /// Opcode and payload of the next frame; none at the end of the stream.
    async fn frame(&mut self) -> Option<(u8, Bytes)> {
        loop {
            if let Some((header, length)) = frame_at(&self.held) {
                let opcode = self.held[0] & 0x0f;
                self.held.advance(header);
                return Some((opcode, self.held.split_to(length).freeze()));
            }
            let data = within(self.body.data()).await?.unwrap();
            self.body.flow_control().release_capacity(data.len()).unwrap();
            self.held.extend_from_slice(&data);
        }
    }

    /// The code of the close frame, and that the stream ends behind it.
    async fn close_code(&mut self) -> u16 {
        loop {
            match self.frame().await.expect("a close frame comes before the end") {
                (8, mut payload) => break payload.get_u16(),
                _ => continue,
            }
        }
    }

    fn close(&mut self, code: u16) {
        let mut frame = BytesMut::new();
        write_close(&mut frame, Some(CloseCode::new(code).unwrap()), "", Some([9, 8, 7, 6]));
        self.stream.send_data(frame.freeze(), false).unwrap();
    }
}

/// The lengths of header and payload of the whole unmasked frame that stands first.
fn frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, length) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= header + length).then_some((header, length))
}

/// A right extended CONNECT request, to be spoilt by those who want it so.
fn connect(path: &str) -> http::request::Builder {
    Request::connect(format!("http://localhost{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
}

async fn whole(body: &mut RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    String::from_utf8(text).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came in time")
}

/// Waits until the server is in some state. Each look is a request, which gives the server a turn.
async fn eventually(link: &mut Link, what: &str, is: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if is() {
            return;
        }
        assert_eq!(link.get("/health").await.0, 200);
    }
    panic!("never: {what}");
}

fn open_websockets(rig: &Rig) -> u64 {
    rig.server.node().metrics.connections("websocket_http2").1
}
