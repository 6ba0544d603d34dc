//! HTTP/2 with prior knowledge: requests side by side, and streams that a worker writes through hyper.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf::settings::{Settings, Times};

use crate::rig::{Rig, settings, start, start_with};

async fn connect(rig: &Rig) -> SendRequest<Full<Bytes>> {
    let socket = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .version(Version::HTTP_2)
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: &str,
) -> http::Response<Incoming> {
    sender.send_request(request(method, path, body)).await.unwrap()
}

async fn until(body: &mut Incoming, held: &mut String, wanted: &str) {
    while !held.contains(wanted) {
        let frame = body.frame().await.expect("the stream ended").unwrap();
        held.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn requests_share_a_connection_with_a_stream() {
    let rig = start();
    let mut sender = connect(&rig).await;
    let mut stream = ask(&mut sender, "GET", "/events?channel=a", "").await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert!(!stream.headers().contains_key("transfer-encoding"));
    let mut held = String::new();
    until(stream.body_mut(), &mut held, "id: ").await;
    let published = ask(&mut sender, "POST", "/api/publish", r#"{"channel":"a","data":"over two"}"#).await;
    assert_eq!(published.status(), 200);
    until(stream.body_mut(), &mut held, "data: \"over two\"\n").await;
    assert_eq!(ask(&mut sender, "GET", "/health", "").await.status(), 200);
}

#[tokio::test]
async fn an_emulated_stream_keeps_its_bare_line_end_and_ends_with_its_client() {
    let rig = start();
    let mut sender = connect(&rig).await;
    let mut stream = ask(&mut sender, "POST", "/connection/sse", r#"{"id":1,"connect":{}}"#).await;
    let mut held = String::new();
    until(stream.body_mut(), &mut held, "}\n\n").await;
    assert!(held.starts_with("\r\ndata: {\"id\":1,\"connect\""), "{held}");
    let open = |rig: &Rig| rig.server.node().metrics.connections("sse").1;
    assert_eq!(open(&rig), 1);
    drop(stream);
    // The reset passes through hyper to the worker; each request gives both a turn.
    for _ in 0..10_000 {
        if open(&rig) == 0 {
            return;
        }
        assert_eq!(ask(&mut sender, "GET", "/health", "").await.status(), 200);
    }
    panic!("the worker was never told that the stream's client is gone");
}

#[tokio::test]
async fn a_foreign_authority_is_refused_in_development_mode() {
    let rig = start();
    let mut sender = connect(&rig).await;
    let foreign = Request::get("http://rebound.example/health").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(foreign).await.unwrap().status(), 403);
}

// Rows 40 and 42.
#[tokio::test]
async fn a_connection_without_requests_is_closed_in_time() {
    let times = Times { http_head_ms: 100, http_idle_ms: 100, ..Times::default() };
    let rig = start_with(Settings { times, ..settings() });
    let mut socket = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    // RFC 9113 section 3.4: the preface, and a SETTINGS frame.
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), socket.read_to_end(&mut said));
    ended.await.expect("the connection was never closed").ok();
}
