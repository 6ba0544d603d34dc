//! Sockets that come back.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    time::timeout,
};
use wharf::socket::{End, Event, Listener, Reconnect, Socket, Unsent, WriteError};
use wharf_proto::framing::Lines;

use crate::rig::{soon, text};

fn quick() -> Reconnect {
    Reconnect::default().pauses(Duration::from_millis(10), Duration::from_millis(100))
}

#[tokio::test]
async fn a_client_is_back_after_the_server_restarts_and_says_who_it_is() {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let address = listener.address();
    let reconnect = quick().greeting(|connection| vec![Bytes::from(format!("LOGIN {connection}"))]);
    let client = Socket::connect(&address).framing(Lines).reconnect(reconnect).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    assert_eq!(text(&server).await, "LOGIN 1");
    assert_eq!(soon(client.next_event()).await, Ok(Some(Event::Opened { connection: 1 })));
    drop((server, listener));
    let lost = soon(client.next_event()).await.unwrap().unwrap();
    assert!(matches!(lost, Event::Lost { end: End::ClosedByPeer | End::Reset, unsent: 0, .. }), "{lost:?}");
    client.write(b"while you were away").await.unwrap();
    let listener = soon(async {
        loop {
            match Listener::bind(&address).framing(Lines).await {
                Ok(listener) => return listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let server = soon(listener.accept()).await.unwrap();
    let greeting = text(&server).await;
    assert!(greeting.starts_with("LOGIN "), "{greeting}");
    assert_eq!(text(&server).await, "while you were away");
    server.write(b"welcome back").await.unwrap();
    assert_eq!(text(&client).await, "welcome back");
    assert!(client.tally().connections >= 2);
    soon(client.close()).await.unwrap();
    assert_eq!(soon(server.read()).await, Ok(None));
}

#[tokio::test]
async fn the_first_connection_must_succeed_unless_it_may_be_tried_again() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = format!("tcp://{port}");
    let error = Socket::connect(&address).reconnect(quick()).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("nobody listens"), "{error}");
    let error = Socket::connect(&address).reconnect(quick().at_first().attempts(3)).await.unwrap_err();
    assert!(error.to_string().contains("nobody listens"), "{error}");
    let patient = quick().at_first();
    let dialling = tokio::spawn(async move { Socket::connect(&address).reconnect(patient).await });
    let listener = TcpListener::bind(port).await.unwrap();
    let accepted = soon(listener.accept()).await.unwrap();
    assert!(soon(dialling).await.unwrap().unwrap().is_open());
    drop(accepted);
}

#[tokio::test]
async fn messages_are_refused_while_away_where_that_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let slow = Duration::from_secs(3_600);
    let reconnect = Reconnect::default().pauses(slow, slow).unsent(Unsent::Refuse);
    let client = Socket::connect(&address).framing(Lines).reconnect(reconnect).await.unwrap();
    drop(listener.accept().await.unwrap());
    let told = soon(async {
        loop {
            if let Some(Event::Lost { retry_in, .. }) = client.next_event().await.unwrap() {
                return retry_in;
            }
        }
    });
    assert_eq!(told.await, slow);
    assert_eq!(client.write(b"x").await, Err(WriteError::NotConnected));
    assert!(!client.is_open() && client.ended().is_none());
    // Closing does not wait for the next attempt.
    soon(client.close()).await.unwrap();
    assert_eq!(client.read().await, Ok(None));
}

#[tokio::test]
async fn flushing_fails_where_messages_went_with_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let reconnect = quick().unsent(Unsent::Refuse);
    for flushes_before in [true, false] {
        let client = Socket::connect(&address).framing(Lines).reconnect(reconnect.clone()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        // Until the kernel's buffers are full, and then the queue.
        while let Ok(written) = timeout(Duration::from_millis(200), client.write(&[b'x'; 10_000])).await {
            written.unwrap();
        }
        let lose = || {
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
        };
        let flushed = if flushes_before {
            let (flushed, ()) = tokio::join!(biased; soon(client.flush()), async { lose() });
            flushed
        } else {
            lose();
            while !matches!(soon(client.next_event()).await.unwrap(), Some(Event::Lost { .. })) {}
            soon(client.flush()).await
        };
        assert_eq!(flushed, Err(End::Reset), "flush before the loss: {flushes_before}");
        // It is told once.
        assert_eq!(soon(client.flush()).await, Ok(()));
        let _again = soon(listener.accept()).await.unwrap();
        soon(client.close()).await.unwrap_or_default();
    }
}

#[tokio::test]
async fn what_was_cut_short_comes_again_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let client = Socket::connect(&address).framing(Lines).reconnect(quick()).await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    socket2::SockRef::from(&first).set_recv_buffer_size(4_096).unwrap();
    let writing = tokio::spawn(async move {
        for number in 0..500 {
            client.write(format!("{number} {}", "x".repeat(20_000)).as_bytes()).await.unwrap();
        }
        client.close().await.unwrap();
    });
    let mut piece = vec![0; 30_000];
    soon(first.read_exact(&mut piece)).await.unwrap();
    socket2::SockRef::from(&first).set_linger(Some(Duration::ZERO)).unwrap();
    drop(first);
    let (second, _) = soon(listener.accept()).await.unwrap();
    let mut lines = BufReader::new(second).lines();
    let mut numbers = Vec::new();
    while let Some(line) = soon(lines.next_line()).await.unwrap() {
        let (number, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest.len(), 20_000);
        numbers.push(number.parse::<usize>().unwrap());
    }
    // Lost is what the first connection's kernels had; all the rest came, once and in order.
    let first = numbers[0];
    assert!(numbers.iter().copied().eq(first..500), "{numbers:?}");
    soon(writing).await.unwrap();
}
