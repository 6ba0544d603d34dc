//! The link over a pipe in memory, on a clock that moves when both sides wait.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use wharf_proto::websocket::{
    Opcode, Role, WebsocketDeframer, WebsocketEvent,
    deflate::DeflatePolicy,
    handshake::{Policy, accept},
    write_close, write_frame,
};

use super::*;
use crate::client::link::STEP_TIMEOUT;

/// What the pipe holds; more than that waits to be read.
const PIPE_BYTES: usize = 4_096;

/// The server's end of the pipe.
struct Server {
    stream: DuplexStream,
    deframer: WebsocketDeframer,
    /// What was heard since the handshake.
    heard: Vec<String>,
}

impl Server {
    fn new(stream: DuplexStream) -> Self {
        let limits = DeframeLimits { message_bytes: 4 << 20, fragments: 1 };
        Self { stream, deframer: WebsocketDeframer::new(Role::Server, limits), heard: Vec::new() }
    }

    async fn request(&mut self) -> BytesMut {
        let mut head = BytesMut::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(self.stream.read_buf(&mut head).await.expect("a request") > 0);
        }
        head
    }

    /// Reads the request and says yes, with `rest` in the same breath.
    async fn accept(&mut self, deflate: Option<DeflatePolicy<'_>>, rest: &[u8]) {
        let head = self.request().await;
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&head).expect("a request of ours is sound");
        let fields = request.headers.iter().map(|header| (header.name, header.value));
        let policy = Policy { subprotocols: &["two"], origin_allowed: &|_| true, deflate };
        let mut answer = BytesMut::new();
        accept("GET", 1, fields, &policy).expect("a right request").write_response(&mut answer);
        self.say(&[&answer, rest].concat()).await;
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client is there");
    }

    async fn say_close(&mut self) {
        let mut bytes = BytesMut::new();
        write_close(&mut bytes, Some(CloseCode::NORMAL), "", None);
        self.say(&bytes).await;
    }

    /// Reads until something was heard; false at the end of the client's half.
    async fn hear(&mut self) -> bool {
        let before = self.heard.len();
        while self.heard.len() == before {
            let mut bytes = [0; 1_024];
            let count = self.stream.read(&mut bytes).await.expect("the pipe does not break");
            if count == 0 {
                return false;
            }
            let heard = &mut self.heard;
            let mut sink = |event: WebsocketEvent<'_>| heard.push(describe(&event));
            self.deframer.feed(&mut bytes[..count], &mut sink).expect("a client of ours breaks no rule");
        }
        true
    }

    /// Waits for the end of the client's half, and says when it came.
    async fn end(&mut self) -> Instant {
        while self.hear().await {}
        Instant::now()
    }
}

fn describe(event: &WebsocketEvent<'_>) -> String {
    match event {
        WebsocketEvent::Message { payload, .. } => format!("message of {}", payload.len()),
        WebsocketEvent::Ping(_) => "ping".to_owned(),
        WebsocketEvent::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
        WebsocketEvent::Close { code, .. } => format!("close {}", code.map_or(0, CloseCode::number)),
    }
}

fn pipe() -> (Box<dyn Wire>, Server) {
    let (ours, theirs) = duplex(PIPE_BYTES);
    (Box::new(ours), Server::new(theirs))
}

async fn open(stream: Box<dyn Wire>, options: &WebsocketOptions) -> Result<WebsocketLink, LinkError> {
    WebsocketLink::over(stream, "host", "/path", options).await
}

async fn established() -> (WebsocketLink, Server) {
    let (stream, mut server) = pipe();
    let options = WebsocketOptions::default();
    let (link, ()) = tokio::join!(open(stream, &options), server.accept(None, b""));
    (link.expect("a WebSocket"), server)
}

/// What a client is told where the server answers so and ends.
async fn told(answer: &str) -> LinkError {
    let (stream, mut server) = pipe();
    let options = WebsocketOptions::default();
    let script = async {
        server.request().await;
        server.say(answer.as_bytes()).await;
        drop(server);
    };
    tokio::join!(open(stream, &options), script).0.err().expect("no WebSocket")
}

#[tokio::test(start_paused = true)]
async fn a_frame_may_come_with_the_answer() {
    let (stream, mut server) = pipe();
    let options = WebsocketOptions { subprotocols: vec!["one".into(), "two".into()], ..Default::default() };
    let (link, ()) = tokio::join!(open(stream, &options), server.accept(None, b"\x81\x02hi"));
    let mut link = link.expect("a WebSocket");
    assert_eq!(link.subprotocol(), Some("two"));
    assert!(!link.compresses());
    let hi = Incoming::Message(MessageKind::Text, Bytes::from_static(b"hi"));
    assert_eq!(link.receive().await.expect("a message"), hi);
}

#[tokio::test(start_paused = true)]
async fn compresses_where_both_sides_want_it() {
    let (stream, mut server) = pipe();
    let options = WebsocketOptions { deflate: Some(DeflateOffer::default()), ..Default::default() };
    let policy = DeflatePolicy::default();
    let (link, ()) = tokio::join!(open(stream, &options), server.accept(Some(policy), b""));
    assert!(link.expect("a WebSocket").compresses());

    let (stream, mut server) = pipe();
    let (link, ()) = tokio::join!(open(stream, &options), server.accept(None, b""));
    assert!(!link.expect("a WebSocket").compresses(), "the server declined");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_refuses_is_told_with_what_it_means() {
    let error = told(
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 31\r\n\r\n\
                      {\"error\":{\"message\":\"no, so.\"}}and junk",
    )
    .await;
    let text = error.to_string();
    assert!(text.contains("/path with status 426") && text.contains("use an HTTP transport"), "{text}");
    assert!(text.ends_with("; it says: no, so."), "{text}");
    assert!(error.suggests_another_transport());

    let error = told("HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n").await;
    assert!(error.to_string().contains("points to /other") && !error.suggests_another_transport());
    let error = told("HTTP/1.1 200 OK\r\n\r\n<h1>Welcome</h1>\n").await;
    assert!(error.to_string().contains("<h1>Welcome</h1>") && error.suggests_another_transport());
    let error = told("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(error.to_string().contains("credentials") && !error.to_string().contains("hello"), "{error}");
    assert!(!error.suggests_another_transport());
    let error =
        told("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await;
    assert!(error.to_string().contains("does not answer this request"), "{error}");
    let error = told("").await;
    assert!(error.to_string().contains("ended before /path was answered") && error.may_pass(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_does_not_come_is_told_without_it() {
    let (stream, mut server) = pipe();
    let begun = Instant::now();
    let options = WebsocketOptions::default();
    let script = async {
        server.request().await;
        server.say(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 900\r\n\r\nonly").await;
    };
    let (link, ()) = tokio::join!(open(stream, &options), script);
    let text = link.err().expect("a refusal").to_string();
    assert!(text.contains("status 503") && text.contains("try again later"), "{text}");
    assert_eq!(begun.elapsed(), crate::client::link::REFUSAL_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_ends_in_time() {
    let (stream, mut server) = pipe();
    let begun = Instant::now();
    let options = WebsocketOptions::default();
    let script = async {
        server.request().await;
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n".iter().cycle() {
            if server.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(STEP_TIMEOUT / 4).await;
        }
    };
    let (link, ()) = tokio::join!(open(stream, &options), script);
    assert!(link.err().expect("no answer").to_string().contains("the WebSocket handshake on /path"));
    assert!((STEP_TIMEOUT..STEP_TIMEOUT * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn our_close_is_given_up_where_nobody_answers_it() {
    let (mut link, mut server) = established().await;
    let begun = Instant::now();
    let ((), end) = tokio::join!(link.close(), server.end());
    assert_eq!(server.heard, ["close 1000"]);
    assert_eq!(end - begun, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_the_stream_first_unless_it_takes_too_long() {
    let (mut link, mut server) = established().await;
    let begun = Instant::now();
    let script = async {
        server.hear().await;
        server.say_close().await;
        server.end().await
    };
    let ((), end) = tokio::join!(link.close(), script);
    assert_eq!(end - begun, END_TIMEOUT);

    let (mut link, mut server) = established().await;
    let begun = Instant::now();
    let script = async {
        server.hear().await;
        server.say_close().await;
        server.stream.shutdown().await.expect("the pipe is there");
        server.end().await
    };
    let ((), end) = tokio::join!(link.close(), script);
    assert_eq!(end, begun, "nothing is waited for once the server has ended");
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_servers_is_told_when_the_stream_has_ended() {
    let (mut link, mut server) = established().await;
    let script = async {
        server.say(b"\x81\x02hi").await;
        server.say_close().await;
        server.stream.shutdown().await.expect("the pipe is there");
        while server.hear().await && server.heard.is_empty() {}
    };
    let listening = async {
        link.receive().await.expect("the message before the close");
        link.receive().await.expect_err("the close").into_ending()
    };
    let (ending, ()) = tokio::join!(listening, script);
    assert_eq!((ending.code, server.heard), (1000, vec!["close 1000".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_while_a_long_message_comes() {
    let (mut link, mut server) = established().await;
    let script = async {
        server.say(b"\x01\x7e\x01\x00").await;
        server.say(&[b'x'; 256]).await;
        server.say(b"\x89\x02hi").await;
        server.hear().await;
        server.say(b"\x80\x00").await;
    };
    let listening = async {
        assert!(matches!(link.receive().await, Ok(Incoming::Ping(_))));
        link.receive().await
    };
    let (message, ()) = tokio::join!(listening, script);
    assert!(matches!(message, Ok(Incoming::Message(_, message)) if message.len() == 256));
    assert_eq!(server.heard, ["pong hi"]);
}

#[tokio::test(start_paused = true)]
async fn two_sides_who_both_write_first_do_not_wait_for_each_other() {
    let (mut link, mut server) = established().await;
    let mut bytes = BytesMut::new();
    write_frame(&mut bytes, Opcode::Binary, &[7; 500_000], None);
    let script = async {
        server.say(&bytes).await;
        server.hear().await;
    };
    let message = vec![b'x'; 1_000_000];
    let (sent, ()) = tokio::join!(link.send(&message), script);
    sent.expect("it was taken");
    assert_eq!(server.heard, ["message of 1000000"]);
    assert!(matches!(link.receive().await, Ok(Incoming::Message(_, message)) if message.len() == 500_000));
}

#[tokio::test(start_paused = true)]
async fn masks_differ_from_frame_to_frame_and_from_connection_to_connection() {
    let mut masks = std::collections::HashSet::new();
    for _ in 0..2 {
        let (mut link, mut server) = established().await;
        for _ in 0..20 {
            link.send(b"hello").await.expect("it is taken");
            let mut frame = [0; 11];
            server.stream.read_exact(&mut frame).await.expect("a frame");
            masks.insert(frame[2..6].to_vec());
        }
    }
    assert_eq!(masks.len(), 40);
}
