//! Which requests become WebSockets, and what the others are told.

use wharf::settings::Compression;

use super::*;

#[tokio::test]
async fn a_websocket_opens_on_a_stream_of_http_2() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    assert!(link.sender.is_extended_connect_protocol_enabled());
    let request = connect(PATH).header("sec-websocket-protocol", "other, centrifuge-json").body(()).unwrap();
    let (stream, answer) = link.send(request, false).await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "centrifuge-json");
    for absent in ["sec-websocket-accept", "sec-websocket-extensions", "content-length", "upgrade"] {
        assert!(!answer.headers().contains_key(absent), "{absent}");
    }
    let mut socket = Socket { stream, body: answer.into_body(), held: BytesMut::new() };
    socket.connect().await;
    assert_eq!(open_websockets(&rig), 1);
    let metrics = link.get("/metrics").await.2;
    assert!(metrics.contains("wharf_connections{kind=\"websocket_http2\"} 1"), "{metrics}");
}

#[tokio::test]
async fn every_websocket_address_is_served() {
    let routes = [wharf::settings::WebsocketRoute {
        path: "/echo/*".into(),
        dialect: wharf_proto::dialect::DialectId::Echo,
    }];
    let rig = start_with(Settings { websocket_routes: routes.into(), ..settings() });
    let mut link = Link::open(&rig).await;
    let open = async |link: &mut Link, path| {
        let (stream, answer) = link.send(connect(path).body(()).unwrap(), false).await;
        let answer = within(answer).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        Socket { stream, body: answer.into_body(), held: BytesMut::new() }
    };
    let mut echo = open(&mut link, "/echo/anything?at=all").await;
    echo.say("what is said");
    assert_eq!(echo.text().await, "what is said");
    let mut one_way = open(&mut link, "/connection/uni_websocket?cf_connect=%7B%7D").await;
    let first = one_way.text().await;
    assert!(first.contains("\"client\""), "{first}");
    assert_eq!(rig.server.node().metrics.connections("uni_websocket_http2").1, 1);
}

// Row 14.
#[tokio::test]
async fn without_the_setting_an_extended_connect_is_reset_and_the_connection_lives() {
    let rig = start_with(Settings { websocket_over_http2: false, ..settings() });
    let mut link = Link::open(&rig).await;
    assert!(!link.sender.is_extended_connect_protocol_enabled());
    let (_stream, answer) = link.send(connect(PATH).body(()).unwrap(), false).await;
    let error = within(answer).await.unwrap_err();
    assert!(error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR), "{error}");
    let (status, _, body) = link.get(PATH).await;
    assert!(status == 501 && body.contains("HTTP/1.1"), "{status} {body}");
    assert_eq!(link.get("/health").await.0, 200);
}

// Rows 2, 3, 4, 9 and 66.
#[tokio::test]
async fn a_wrong_request_is_told_in_a_line_what_is_wrong_and_what_would_be_right() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let without_version =
        |uri: &str, protocol| Request::connect(uri.to_owned()).extension(Protocol::from_static(protocol));
    let at = |path| without_version(&format!("http://localhost{path}"), "websocket");
    for (request, status, mend) in [
        (at(PATH), 400, "Sec-WebSocket-Version: 13"),
        (at(PATH).header("sec-websocket-version", "12"), 400, "Sec-WebSocket-Version: 13"),
        (connect(PATH).header("sec-websocket-version", "13"), 400, "one header"),
        (connect(PATH).header("origin", "https://evil.example"), 403, "allowed_origins"),
        (connect(PATH).header("origin", "null"), 403, "allowed_origins"),
        (connect(PATH).header("sec-websocket-protocol", "a b"), 400, "comma-separated"),
        (connect("/nowhere"), 404, "lists the addresses"),
        (connect("/connection/%77ebsocket"), 404, "lists the addresses"),
        (connect("/events"), 405, "GET"),
        (connect("/api/publish"), 405, "POST"),
        (connect("/connection/uni_websocket?cf_connect=["), 400, "expected an object"),
        (without_version("http://localhost/connection/websocket", "connect-udp"), 501, ":protocol websocket"),
        (without_version("ws://localhost/connection/websocket", "websocket"), 400, "http or https"),
        (
            without_version("http://rebound.example/connection/websocket", "websocket")
                .header("sec-websocket-version", "13"),
            403,
            "localhost",
        ),
        (Request::connect("localhost:80"), 501, ":protocol websocket"),
        (Request::get("http://localhost/connection/websocket"), 405, "CONNECT with :protocol websocket"),
    ] {
        let request = request.body(()).unwrap();
        let asked = format!("{request:?}");
        let (got, headers, body) = link.ask(request).await;
        assert_eq!(got, status, "{asked}: {body}");
        assert!(body.contains(mend) && !body.contains('\n'), "{asked}: {body}");
        if mend.starts_with("Sec-WebSocket-Version") {
            assert_eq!(headers["sec-websocket-version"], "13");
        }
    }
    assert_eq!(rig.server.node().metrics.connections("websocket_http2").0, 0, "none reached a worker");
}

// Row 8.
#[tokio::test]
async fn a_subprotocol_that_is_not_spoken_is_not_echoed() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let request = connect(PATH).header("sec-websocket-protocol", "mqtt").body(()).unwrap();
    let (_stream, answer) = link.send(request, false).await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-protocol"));
}

#[tokio::test]
async fn several_websockets_share_a_connection_with_requests_and_a_stream() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(link.subscribed("news").await);
    }
    let request = Request::get("http://localhost/events?channel=news").body(()).unwrap();
    let (_stream, answer) = link.send(request, true).await;
    let mut events = within(answer).await.unwrap().into_body();
    link.publish("news", "for all").await;
    for socket in &mut sockets {
        socket.until("for all").await;
    }
    let mut heard = String::new();
    while !heard.contains("data: \"for all\"") {
        heard.push_str(std::str::from_utf8(&within(events.data()).await.unwrap().unwrap()).unwrap());
    }
    let presence = link.post("/api/presence_stats", r#"{"channel":"news"}"#.to_owned()).await;
    assert!(presence.contains("\"num_clients\":6"), "{presence}");
}

#[tokio::test]
async fn compression_is_agreed_on_as_over_http_1() {
    let compression = Compression { enabled: true, ..Compression::default() };
    let rig = start_with(Settings { compression, ..settings() });
    let mut link = Link::open(&rig).await;
    let request = connect(PATH).header("sec-websocket-extensions", "permessage-deflate").body(()).unwrap();
    let (stream, answer) = link.send(request, false).await;
    let answer = within(answer).await.unwrap();
    let agreed = answer.headers()["sec-websocket-extensions"].to_str().unwrap().to_owned();
    assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
    let mut socket = Socket { stream, body: answer.into_body(), held: BytesMut::new() };
    socket.connect().await;
    socket.say(&format!(r#"{{"id":2,"rpc":{{"method":"echo","data":"{}"}}}}"#, "all the same ".repeat(100)));
    let (_, payload) = socket.frame().await.unwrap();
    assert!(payload.len() < 200, "{} bytes are not compressed", payload.len());
}
