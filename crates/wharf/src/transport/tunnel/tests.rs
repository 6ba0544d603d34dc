use std::{convert::Infallible, os::unix::net::UnixStream, sync::mpsc, thread};

use http::{Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming as IncomingBody, client, ext::Protocol, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::transport::contract::{self, Rig};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of an HTTP/2 connection, opened by extended CONNECT and bridged to a socket, for the peer's calls block.
fn over_http_2() -> Rig {
    let (peer, bridge) = UnixStream::pair().unwrap();
    let (made, transports) = mpsc::channel();
    let (told, entries) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(TUNNEL_BYTES);
            tokio::spawn(serve(far, made, told));
            connect(near, bridge).await;
        });
    });
    let transport = transports.recv_timeout(PATIENCE).unwrap();
    Rig::told(Box::new(transport), Box::new(peer), entries)
}

async fn serve(socket: DuplexStream, made: mpsc::Sender<TunnelTransport>, told: mpsc::Sender<u64>) {
    let service = service_fn(move |mut request: Request<IncomingBody>| {
        let upgrade = hyper::upgrade::on(&mut request);
        let told = told.clone();
        let (transport, tunnel) = tunnel(move |entry| {
            let _ = told.send(entry); // The test may have ended.
            true
        });
        made.send(transport).unwrap();
        tokio::spawn(async move { tunnel.run(&mut upgrade.await.unwrap(), PATIENCE).await });
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.enable_connect_protocol().serve_connection(TokioIo::new(socket), service).await;
}

async fn connect(socket: DuplexStream, bridge: UnixStream) {
    bridge.set_nonblocking(true).unwrap();
    let mut bridge = tokio::net::UnixStream::from_std(bridge).unwrap();
    let builder = client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::connect("http://localhost/")
        .extension(Protocol::from_static("websocket"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut bridge).await;
}

#[test]
fn a_tunnel_over_http_2_keeps_the_contract() {
    contract::holds(over_http_2);
}

/// A tunnel whose stream is one end of a pipe of `room` bytes, the other end, and what the worker is told.
fn rig(room: usize) -> (TunnelTransport, DuplexStream, mpsc::Receiver<u64>, tokio::task::JoinHandle<bool>) {
    let (told, entries) = mpsc::channel();
    let (mut transport, tunnel) = tunnel(move |entry| told.send(entry).is_ok());
    transport.attached(7);
    let (near, far) = tokio::io::duplex(room);
    let task = tokio::spawn(async move { tunnel.run(&mut TokioIo::new(near), PATIENCE).await });
    (transport, far, entries, task)
}

/// Lets the other tasks run until they wait.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn read(transport: &mut TunnelTransport) -> io::Result<usize> {
    transport.try_read(&mut [0; 4 * TUNNEL_BYTES])
}

fn write(transport: &mut TunnelTransport, count: usize) -> io::Result<usize> {
    transport.try_write(&[IoSlice::new(&vec![1; count])])
}

#[tokio::test]
async fn a_worker_that_does_not_read_stops_the_peer_at_the_bound() {
    let (mut transport, mut peer, entries, _task) = rig(1_024);
    let mut sent = 0;
    let piece = [1; 1_024];
    loop {
        settle().await;
        match tokio::time::timeout(Duration::from_millis(1), peer.write(&piece)).await {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    assert!((TUNNEL_BYTES..=TUNNEL_BYTES + 1_024).contains(&sent), "{sent}");
    assert_eq!(entries.try_iter().collect::<Vec<_>>(), [7], "told once, however much came");
    assert_eq!(read(&mut transport).unwrap(), TUNNEL_BYTES);
    settle().await;
    assert_eq!(entries.try_iter().collect::<Vec<_>>(), [7], "told again of what came since");
    assert_eq!(read(&mut transport).unwrap(), sent - TUNNEL_BYTES);
    assert_eq!(read(&mut transport).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_written_to_up_to_the_bound() {
    let (mut transport, mut peer, entries, _task) = rig(1_024);
    let mut written = 0;
    loop {
        match write(&mut transport, PIECE_BYTES) {
            Ok(count) => written += count,
            Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        settle().await;
    }
    assert!(written <= 2 * TUNNEL_BYTES + 1_024, "{written}");
    assert!(entries.try_recv().is_err());
    let mut held = vec![0; written];
    peer.read_exact(&mut held).await.unwrap();
    assert_eq!(entries.try_recv(), Ok(7));
    assert!(write(&mut transport, 1).is_ok());
}

#[tokio::test]
async fn a_peer_that_is_gone_breaks_both_directions_and_the_worker_is_told() {
    let (mut transport, mut peer, entries, task) = rig(1_024);
    peer.write_all(b"last").await.unwrap();
    write(&mut transport, 2 * TUNNEL_BYTES).unwrap();
    settle().await;
    drop(peer);
    settle().await;
    assert!(entries.try_iter().count() > 0);
    assert_eq!(read(&mut transport).unwrap(), 4, "what came before the end is read");
    assert!(task.await.unwrap());
    assert_eq!(
        entries.try_iter().collect::<Vec<_>>(),
        [7],
        "a short read goes no further, so the end is told of"
    );
    assert_eq!(read(&mut transport).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(write(&mut transport, 1).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_stream_that_never_opens_is_broken_for_the_worker_even_if_it_comes_later() {
    let (told, entries) = mpsc::channel();
    let (mut transport, tunnel) = tunnel(move |entry| told.send(entry).is_ok());
    let failing = tokio::spawn(tunnel.fail());
    settle().await;
    transport.attached(9);
    failing.await.unwrap();
    assert_eq!(entries.try_recv(), Ok(9));
    assert_eq!(read(&mut transport).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_worker_whose_inbox_was_full_is_told_later() {
    let (asked, questions) = mpsc::channel();
    let answers = Arc::new(Mutex::new(vec![true, false, false]));
    let (mut transport, tunnel) = tunnel(move |entry| {
        asked.send(entry).unwrap();
        answers.lock().unwrap().pop().unwrap_or(true)
    });
    transport.attached(3);
    let (near, mut peer) = tokio::io::duplex(64);
    let _task = tokio::spawn(async move { tunnel.run(&mut TokioIo::new(near), PATIENCE).await });
    peer.write_all(b"a").await.unwrap();
    settle().await;
    assert_eq!(questions.try_iter().collect::<Vec<_>>(), [3, 3, 3], "until it was heard, and no more");
    assert_eq!(read(&mut transport).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_tunnel_waits_for_a_peer_that_takes_nothing_no_longer_than_it_may() {
    let (mut transport, _peer, _entries, task) = rig(16);
    write(&mut transport, 1_000).unwrap();
    settle().await;
    transport.close();
    let closed_at = tokio::time::Instant::now();
    assert!(!task.await.unwrap(), "not everything was handed on");
    assert_eq!(closed_at.elapsed(), PATIENCE);
}

#[tokio::test]
async fn a_closed_tunnel_hands_on_what_was_written_and_ends() {
    let (mut transport, mut peer, _entries, task) = rig(16);
    write(&mut transport, 1_000).unwrap();
    transport.close();
    let mut held = Vec::new();
    peer.read_to_end(&mut held).await.unwrap();
    assert_eq!(held.len(), 1_000);
    peer.write_all(&[1; 1_000]).await.unwrap();
    assert_eq!(
        read(&mut transport).unwrap_err().kind(),
        io::ErrorKind::NotConnected,
        "nobody reads it any more"
    );
    assert!(!task.is_finished(), "the stream is not reset before the peer has ended its half");
    peer.shutdown().await.unwrap();
    assert!(task.await.unwrap());
}
