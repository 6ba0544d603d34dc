//! Messages over TCP and Unix paths, and what a program does with a socket: halves, several tasks, cancelled calls.

use std::{collections::HashSet, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use wharf::socket::{Bounds, End, Event, Listener, OpenError, Socket, WriteError};
use wharf_proto::framing::{Lines, Plain};

use crate::rig::{echo, short, soon, text};

#[tokio::test]
async fn lines_pass_both_ways_over_tcp_and_unix_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("echo.sock").display());
    for address in ["tcp://127.0.0.1:0", &path] {
        let listener = Listener::bind(address).framing(Lines).await.unwrap();
        let address = listener.address();
        echo(listener);
        let socket = Socket::connect(&address).framing(Lines).await.unwrap();
        for message in ["ahoy", "ship in sight"] {
            socket.write(message.as_bytes()).await.unwrap();
            assert_eq!(text(&socket).await, message);
        }
        assert_eq!(socket.peer_address().is_some(), address.starts_with("tcp"));
        soon(socket.close()).await.unwrap();
        assert_eq!(socket.read().await, Ok(None));
        assert_eq!(socket.ended(), Some(End::ClosedHere { unsent: 0 }));
        assert_eq!(socket.write(b"late").await, Err(WriteError::Ended(End::ClosedHere { unsent: 0 })));
        let tally = socket.tally();
        assert_eq!((tally.messages_in, tally.messages_out, tally.bytes_out), (2, 2, 19));
    }
}

#[tokio::test]
async fn without_a_framing_a_stream_is_read_as_it_comes() {
    let listener = Listener::bind("tcp://127.0.0.1:0").await.unwrap();
    let address = listener.address();
    echo(listener);
    let socket = Socket::connect(&address).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (reader, writer) = socket.split();
    let expected = sent.clone();
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        while let Some(piece) = reader.read().await.unwrap() {
            received.extend_from_slice(&piece);
        }
        assert!(received == expected, "{} bytes came", received.len());
    });
    for piece in sent.chunks(50_000) {
        writer.write(piece).await.unwrap();
    }
    // Dropping the writing half ends it, and the echo ends its own when it has sent everything.
    drop(writer);
    soon(reading).await.unwrap();
}

#[tokio::test]
async fn the_peer_may_end_its_half_and_still_be_told_something() {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let client = Socket::connect(&listener.address()).framing(Lines).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    client.write(b"question").await.unwrap();
    client.finish();
    assert_eq!(client.write(b"more").await, Err(WriteError::Finished));
    assert_eq!(text(&server).await, "question");
    assert_eq!(soon(server.read()).await, Ok(None));
    server.write(b"answer").await.unwrap();
    assert_eq!(text(&client).await, "answer");
    soon(server.close()).await.unwrap();
    assert_eq!(soon(client.read()).await, Ok(None));
    assert_eq!(server.ended(), Some(End::ClosedByPeer));
}

#[tokio::test]
async fn a_socket_that_is_dropped_has_said_what_was_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = Socket::connect(&address).framing(Lines).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let message = [b'x'; 9_999];
    for _ in 0..100 {
        socket.write(&message).await.unwrap();
    }
    drop(socket);
    let mut received = Vec::new();
    soon(peer.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 1_000_000);
}

/// A socket whose peer reads nothing until it is told to, with a queue that is full.
async fn stuffed(bounds: Bounds) -> (Socket, tokio::net::TcpStream, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = Socket::connect(&address).framing(Lines).bounds(bounds).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let mut written = 0;
    // Much is in the kernel's buffers; what is written when nothing moves for a while is our own queue.
    while timeout(Duration::from_millis(200), socket.write(&message(written))).await.is_ok() {
        written += 1;
    }
    (socket, peer, written)
}

fn message(number: usize) -> Vec<u8> {
    format!("{number} {}", "x".repeat(10_000)).into_bytes()
}

// Row 43.
#[tokio::test]
async fn a_write_that_waits_for_room_may_be_dropped_and_sends_nothing() {
    let bounds = Bounds { queue_bytes: 100_000, ..Bounds::default() };
    let (socket, mut peer, written) = stuffed(bounds).await;
    for _ in 0..10 {
        assert!(timeout(Duration::from_millis(5), socket.write(b"dropped while it waits")).await.is_err());
    }
    let reading = tokio::spawn(async move {
        let mut received = String::new();
        peer.read_to_string(&mut received).await.unwrap();
        received
    });
    soon(socket.write(b"last")).await.unwrap();
    soon(socket.close()).await.unwrap();
    let received = soon(reading).await.unwrap();
    let lines: Vec<&str> = received.lines().collect();
    assert_eq!(lines.len(), written + 1);
    assert_eq!(lines.last(), Some(&"last"));
    for (number, line) in lines[..written].iter().enumerate() {
        assert!(line.as_bytes() == message(number), "line {number}");
    }
}

// Row 43.
#[tokio::test]
async fn a_peer_that_stops_reading_ends_the_socket_after_the_stall() {
    let (socket, _peer, _) =
        stuffed(Bounds { write_stall: Duration::from_secs(1), ..Bounds::default() }).await;
    let end = soon(socket.read()).await.unwrap_err();
    assert_eq!(end, End::NotReading { stalled_ms: 1_000 });
    assert_eq!(soon(socket.write(b"x")).await, Err(WriteError::Ended(end)));
    assert!(socket.tally().unsent > 0);
}

#[tokio::test]
async fn closing_beside_a_peer_that_reads_nothing_takes_its_time_and_says_what_was_not_sent() {
    let (socket, _peer, _) = stuffed(Bounds { close: Duration::from_millis(300), ..Bounds::default() }).await;
    let end = soon(socket.close()).await.unwrap_err();
    let End::ClosedHere { unsent } = end else { panic!("{end}") };
    assert!(unsent >= 90, "{unsent} messages of 10 KB are at least the queue of 1 MiB");
}

#[tokio::test]
async fn a_read_that_is_dropped_loses_no_message() {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let client = Socket::connect(&listener.address()).framing(Lines).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    let writing = tokio::spawn(async move {
        for number in 0..2_000 {
            server.write(number.to_string().as_bytes()).await.unwrap();
            if number % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        server.close().await
    });
    let mut received = Vec::new();
    loop {
        // Half of the reads are dropped after one look.
        tokio::select! {
            biased;
            read = client.read() => match read.unwrap() {
                Some(message) => received.push(String::from_utf8(message.to_vec()).unwrap()),
                None => break,
            },
            () = tokio::task::yield_now() => {}
        }
    }
    let expected: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    assert_eq!(received, expected);
    drop(client);
    soon(writing).await.unwrap().unwrap();
}

#[tokio::test]
async fn messages_of_several_tasks_do_not_mix() {
    let bounds = Bounds { queue_bytes: 10_000, ..Bounds::default() };
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let client = Socket::connect(&listener.address()).framing(Lines).bounds(bounds).await.unwrap();
    let client = std::sync::Arc::new(client);
    let server = soon(listener.accept()).await.unwrap();
    for task in 0..20 {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..50 {
                let message = format!("{task} {number} {}", "x".repeat(500));
                client.write(message.as_bytes()).await.unwrap();
            }
        });
    }
    let mut seen = HashSet::new();
    let mut next = [0; 20];
    for _ in 0..1_000 {
        let message = text(&server).await;
        let words: Vec<&str> = message.split(' ').collect();
        let (task, number): (usize, u32) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        assert_eq!((number, words[2].len()), (next[task], 500), "each task's own are in order and whole");
        next[task] += 1;
        assert!(seen.insert((task, number)));
    }
}

#[tokio::test]
async fn flushing_waits_until_the_kernel_has_everything() {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let client = Socket::connect(&listener.address()).framing(Lines).await.unwrap();
    for _ in 0..10 {
        client.write(&[b'x'; 1_000]).await.unwrap();
    }
    soon(client.flush()).await.unwrap();
    assert_eq!(client.tally().messages_out, 10);
}

#[tokio::test]
async fn a_framing_that_is_broken_ends_the_socket_behind_what_was_whole() {
    let bounds = Bounds { message_bytes: 10, ..short() };
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).bounds(bounds).await.unwrap();
    let client = Socket::connect(&listener.address()).await.unwrap();
    client.write(b"whole\nmuch longer than ten\n").await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    assert_eq!(text(&server).await, "whole");
    let end = soon(server.read()).await.unwrap_err();
    assert!(end.to_string().contains("longer than the limit of 10 bytes"), "{end}");
    // The peer is told by the end of the connection.
    let told = soon(client.read()).await;
    assert!(matches!(told, Ok(None) | Err(End::Reset)), "{told:?}");
}

#[tokio::test]
async fn a_stream_of_the_programs_own_is_a_socket_too() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let socket = Socket::over(ours).framing(Lines).open().unwrap();
    assert_eq!(socket.next_event().await, Ok(Some(Event::Opened { connection: 1 })));
    theirs.write_all(b"by other ways\n").await.unwrap();
    assert_eq!(text(&socket).await, "by other ways");
    drop(theirs);
    assert_eq!(soon(socket.read()).await, Ok(None));
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_the_mend() {
    let missing = "unix:/nonexistent/meter.sock";
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (address, said) in [
        ("127.0.0.1:7000", "write tcp://127.0.0.1:7000"),
        (missing, "there is no such path"),
        (&format!("tcp://{port}"), "nobody listens there"),
    ] {
        let error = soon(async { Socket::connect(address).await }).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let taken = Listener::bind("tcp://127.0.0.1:0").await.unwrap();
    for (address, said) in [
        (taken.address().as_str(), "another process has it"),
        ("tls://127.0.0.1:0", "ServerTls::showing"),
        ("unix:/nonexistent/meter.sock", "the directory must exist"),
    ] {
        let error = Listener::bind(address).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = Socket::connect("tcp://127.0.0.1:1").framing(Plain).await.unwrap_err().to_string();
    assert!(error.contains("read bytes as they come"), "{error}");
    let heartbeat = wharf::socket::Heartbeat::every(Duration::from_secs(1)).answered_by(|_| true);
    let error = Socket::connect("tcp://127.0.0.1:1").heartbeat(heartbeat).await.unwrap_err();
    assert!(matches!(error, OpenError::Parts(text) if text.contains(".framing(")), "{error}");
}

#[tokio::test]
async fn a_listener_that_is_dropped_frees_its_address_and_its_sockets_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("here.sock").display());
    for address in ["tcp://127.0.0.1:0", &path] {
        let listener = Listener::bind(address).framing(Lines).await.unwrap();
        let address = listener.address();
        let client = Socket::connect(&address).framing(Lines).await.unwrap();
        let server = soon(listener.accept()).await.unwrap();
        drop(listener);
        client.write(b"still here").await.unwrap();
        assert_eq!(text(&server).await, "still here");
        // The task that accepts ends a moment later than its handle.
        soon(async {
            while let Err(error) = Listener::bind(&address).await {
                assert!(error.to_string().contains("another process"), "{error}");
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn sockets_that_nobody_takes_wait_up_to_the_bound_and_then_with_the_kernel() {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let address = listener.address();
    let mut clients = Vec::new();
    for number in 0..200 {
        let client = Socket::connect(&address).framing(Lines).await.unwrap();
        client.write(format!("{number}").as_bytes()).await.unwrap();
        clients.push(client);
    }
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let server = soon(listener.accept()).await.unwrap();
        assert!(seen.insert(text(&server).await));
    }
}
