//! The client against a server that is written out request by request: what it asks, and what it makes of the answers.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wharf::client::{Client, Event, Position, ServerAddress, TransportKind};
use wharf_proto::message::Request;

/// A server that answers nothing by itself.
struct Server {
    listener: TcpListener,
}

/// One request, which waits for its answer.
struct Exchange {
    stream: TcpStream,
    head: String,
    body: String,
}

impl Server {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    fn address(&self) -> ServerAddress {
        let address = self.listener.local_addr().expect("a bound listener");
        format!("http://{address}").parse().expect("an address")
    }

    /// The next request. Every answer closes its connection, so each request brings its own.
    async fn next(&self) -> Exchange {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        let mut received = Vec::new();
        let head_end = loop {
            if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(stream.read_buf(&mut received).await.expect("a request") > 0, "the head ends");
        };
        let head = String::from_utf8_lossy(&received[..head_end]).to_lowercase();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
        while received.len() < head_end + length {
            assert!(stream.read_buf(&mut received).await.expect("a body") > 0, "the body ends");
        }
        Exchange { stream, head, body: String::from_utf8_lossy(&received[head_end..]).into_owned() }
    }

    /// The next request, which must be for this address.
    async fn expect(&self, line: &str) -> Exchange {
        let exchange = self.next().await;
        assert!(exchange.head.starts_with(line), "expected {line}, found {}", exchange.head);
        exchange
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

impl Exchange {
    async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        self.stream.write_all(answer.as_bytes()).await.expect("the client reads");
    }

    /// Answers with a body that goes on until the connection ends.
    async fn begin(&mut self, content_type: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n");
        self.say(&head).await;
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the client reads");
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

async fn publication(client: &mut Client) -> (u64, String) {
    match client.next_event().await {
        Some(Event::Publication { publication, .. }) => {
            (publication.offset, publication.data.expect("data").get().to_owned())
        }
        other => panic!("expected a publication, found {other:?}"),
    }
}

const SUBSCRIBED: &str =
    r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"abcdefgh","offset":0}}"#;

#[tokio::test]
async fn falls_back_to_a_stream_where_the_path_takes_no_websocket() {
    let server = Server::start().await;
    let client = Client::to(server.address()).subscribe("news", Default::default()).start();
    let script = async {
        server.expect("get /connection/websocket").await.answer("426 Upgrade Required", "", "").await;
        let mut stream = server.expect("post /connection/http_stream").await;
        assert!(stream.body.starts_with(r#"{"id":2,"connect":{"#), "{}", stream.body);
        stream.begin("application/octet-stream").await;
        stream.say("{\"id\":2,\"connect\":{\"client\":\"c\",\"session\":\"s\",\"node\":\"n\"}}\n").await;
        let command = server.expect("post /emulation").await;
        let emulation: serde_json::Value = serde_json::from_str(&command.body).expect("JSON");
        assert_eq!((&emulation["session"], &emulation["node"]), (&"s".into(), &"n".into()));
        let data = emulation["data"].as_str().expect("a text");
        assert!(data.starts_with(r#"{"id":3,"subscribe":{"channel":"news""#), "{data}");
        command.answer("204 No Content", "", "").await;
        // Cut in the middle of a line, as a network may.
        let push = r#"{"push":{"channel":"news","pub":{"data":1,"offset":1}}}"#;
        let text = format!("{}\n{push}\n", SUBSCRIBED.replace(r#""id":2"#, r#""id":3"#));
        let (one, other) = text.split_at(40);
        stream.say(one).await;
        stream.say(other).await;
        stream
    };
    let (client, _stream) = tokio::join!(client, script);
    let mut client = client.expect("a connection");
    assert_eq!(client.transport(), TransportKind::HttpStream);
    assert!(matches!(client.next_event().await, Some(Event::Connected { .. })));
    assert!(matches!(client.next_event().await, Some(Event::Subscribed { .. })));
    assert_eq!(publication(&mut client).await, (1, "1".to_owned()));
}

#[tokio::test]
async fn falls_back_to_polling_and_no_further() {
    let server = Server::start().await;
    let client = Client::to(server.address()).start();
    let script = async {
        for line in
            ["get /connection/websocket", "post /connection/http_stream", "get /connection/sse?cf_connect="]
        {
            server.expect(line).await.answer("404 Not Found", "", "").await;
        }
        let body = r#"{"error":{"code":404,"message":"nothing here"}}"#;
        server.expect("post /connection/poll?wait=25").await.answer("404 Not Found", "", body).await;
    };
    let (client, ()) = tokio::join!(client, script);
    let error = client.err().expect("no transport is left").to_string();
    assert_eq!(error, "the server answered /connection/poll?wait=25 with status 404: nothing here");
}

/// Opens a polling client up to its subscription; the server's next request is the first empty poll.
async fn polling(server: &Server, transport: TransportKind) -> Client {
    let builder = Client::to(server.address()).transport(transport).subscribe("news", Default::default());
    let script = async {
        let first = server.expect("post /connection/poll?wait=").await;
        assert_eq!((first.header("wharf-session"), first.header("wharf-ack")), (None, None));
        let headers = "Wharf-Session: one\r\nWharf-Seq: 1\r\n";
        first.answer("200 OK", headers, "{\"id\":1,\"connect\":{\"client\":\"c\"}}\n").await;
        let subscribe = server.next().await;
        assert_eq!(
            (subscribe.header("wharf-session"), subscribe.header("wharf-ack")),
            (Some("one"), Some("1"))
        );
        subscribe.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 2\r\n", SUBSCRIBED).await;
    };
    let (client, ()) = tokio::join!(builder.start(), script);
    let mut client = client.expect("a session");
    assert!(matches!(client.next_event().await, Some(Event::Connected { .. })));
    assert!(matches!(client.next_event().await, Some(Event::Subscribed { .. })));
    client
}

#[tokio::test]
async fn a_session_that_is_forgotten_is_begun_anew_and_recovered() {
    let server = Server::start().await;
    let mut client = polling(&server, TransportKind::LongPoll).await;
    let poll = server.next().await;
    assert_eq!((poll.body.as_str(), poll.header("wharf-ack")), ("", Some("2")));
    let push = "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"offset\":1}}}\n";
    poll.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 3\r\n", push).await;
    assert_eq!(publication(&mut client).await, (1, "1".to_owned()));

    server.next().await.answer("404 Not Found", "", "").await;
    let Some(Event::Disconnected { ending }) = client.next_event().await else {
        panic!("the session is gone")
    };
    assert!(ending.reconnects && ending.code == 404);

    let first = server.next().await;
    assert_eq!((first.header("wharf-session"), first.header("wharf-ack")), (None, None));
    let connected = "{\"id\":3,\"connect\":{\"client\":\"d\"}}\n";
    first.answer("200 OK", "Wharf-Session: two\r\nWharf-Seq: 1\r\n", connected).await;
    let subscribe = server.next().await;
    assert_eq!(subscribe.header("wharf-session"), Some("two"));
    assert!(subscribe.body.contains(r#""recover":true,"epoch":"abcdefgh","offset":1"#), "{}", subscribe.body);
    let missed = r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"abcdefgh","offset":1,"was_recovering":true,"recovered":true,"publications":[{"data":2,"offset":2}]}}"#;
    subscribe.answer("200 OK", "Wharf-Session: two\r\nWharf-Seq: 2\r\n", missed).await;
    assert!(matches!(client.next_event().await, Some(Event::Connected { client, .. }) if client == "d"));
    let Some(Event::Subscribed { recovered: true, position, .. }) = client.next_event().await else {
        panic!("the channel is recovered")
    };
    assert_eq!(position, Some(Position { offset: 1, epoch: "abcdefgh".to_owned() }));
    assert_eq!(publication(&mut client).await, (2, "2".to_owned()));
}

#[tokio::test]
async fn a_command_goes_out_beside_a_poll_that_waits_and_names_no_answer_that_is_on_its_way() {
    let server = Server::start().await;
    let mut client = polling(&server, TransportKind::LongPoll).await;
    let waiting = server.next().await;
    client.request(Request::Presence { channel: "news".into() }).await;
    let command = server.next().await;
    assert!(command.body.starts_with(r#"{"id":3,"presence":"#), "{}", command.body);
    assert_eq!((command.header("wharf-session"), command.header("wharf-ack")), (Some("one"), None));
    // The newer is answered before the older is: the older's content still comes first.
    let newer = "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":2,\"offset\":2}}}\n{\"id\":3,\"presence\":{\"presence\":{}}}";
    command.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 4\r\n", newer).await;
    let older = "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"offset\":1}}}\n";
    waiting.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 3\r\n", older).await;
    assert_eq!(publication(&mut client).await, (1, "1".to_owned()));
    assert_eq!(publication(&mut client).await, (2, "2".to_owned()));
    assert!(matches!(client.next_event().await, Some(Event::Answer { id: 3, result: Ok(_) })));
    assert_eq!(server.next().await.header("wharf-ack"), Some("4"));
}

#[tokio::test]
async fn a_short_poll_asks_again_after_an_empty_answer() {
    let server = Server::start().await;
    let mut client = polling(&server, TransportKind::ShortPoll).await;
    let poll = server.expect("post /connection/poll?wait=0").await;
    poll.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 3\r\n", "").await;
    let push = "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"offset\":1}}}\n";
    let poll = server.next().await;
    assert_eq!(poll.header("wharf-ack"), Some("3"));
    poll.answer("200 OK", "Wharf-Session: one\r\nWharf-Seq: 4\r\n", push).await;
    assert_eq!(publication(&mut client).await, (1, "1".to_owned()));
}

#[tokio::test]
async fn a_refusal_by_the_server_is_not_taken_for_the_path() {
    let server = Server::start().await;
    let client = Client::to(server.address()).start();
    let script = async {
        server.expect("get /connection/websocket").await.answer("403 Forbidden", "", "no such origin").await
    };
    let (client, ()) = tokio::join!(client, script);
    let error = client.err().expect("a refusal").to_string();
    let expected = "the server answered /connection/websocket with status 403: it forbids this to the client or to its \
                    Origin; it says: no such origin";
    assert_eq!(error, expected);
}

/// Lets a client find no WebSocket and then a stream, and says which transport it took.
async fn falls_back(refuse: impl AsyncFnOnce(Exchange)) -> TransportKind {
    let server = Server::start().await;
    let client = Client::to(server.address()).start();
    let script = async {
        refuse(server.expect("get /connection/websocket").await).await;
        let mut stream = server.expect("post /connection/http_stream").await;
        stream.begin("application/octet-stream").await;
        stream.say("{\"id\":2,\"connect\":{\"client\":\"c\"}}\n").await;
        stream
    };
    let (client, _stream) = tokio::join!(client, script);
    client.expect("a connection").transport()
}

#[tokio::test]
async fn falls_back_where_a_proxy_answers_for_the_server_or_hangs_up() {
    let page = falls_back(async |exchange| exchange.answer("200 OK", "", "<h1>Welcome</h1>").await).await;
    assert_eq!(page, TransportKind::HttpStream);
    let no_switch =
        falls_back(async |exchange| exchange.answer("101 Switching Protocols", "", "").await).await;
    assert_eq!(no_switch, TransportKind::HttpStream);
    let not_implemented =
        falls_back(async |exchange| exchange.answer("501 Not Implemented", "", "").await).await;
    assert_eq!(not_implemented, TransportKind::HttpStream);
    assert_eq!(falls_back(async |exchange| drop(exchange)).await, TransportKind::HttpStream);
}
