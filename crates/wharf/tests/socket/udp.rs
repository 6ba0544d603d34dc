//! Datagrams, both sides.

use std::time::Duration;

use tokio::{net::UdpSocket, time::timeout};
use wharf::socket::{Bounds, End, Event, Heartbeat, Listener, Reconnect, Socket, WriteError};
use wharf_proto::framing::Lines;

use crate::rig::{echo, soon, text};

#[tokio::test]
async fn each_peer_of_a_listener_is_a_socket_of_its_own() {
    let listener = Listener::bind("udp://127.0.0.1:0").await.unwrap();
    let mut pairs = Vec::new();
    for number in 0..20 {
        let client = Socket::connect(&listener.address()).await.unwrap();
        client.write(format!("hello {number}").as_bytes()).await.unwrap();
        let server = soon(listener.accept()).await.unwrap();
        assert_eq!(text(&server).await, format!("hello {number}"));
        assert_eq!(
            server.peer_address(),
            client.local_address().map(|mut address| {
                address.set_ip([127, 0, 0, 1].into());
                address
            })
        );
        pairs.push((client, server));
    }
    for (number, (client, server)) in pairs.iter().enumerate() {
        server.write(format!("answer {number}").as_bytes()).await.unwrap();
        assert_eq!(text(client).await, format!("answer {number}"));
        client.write(b"").await.unwrap();
        assert_eq!(text(server).await, "", "a datagram without bytes is a message");
    }
    // The listener goes, its peers stay.
    drop(listener);
    for (client, server) in &pairs {
        client.write(b"still here").await.unwrap();
        assert_eq!(text(server).await, "still here");
        soon(server.close()).await.unwrap();
        assert_eq!(server.ended(), Some(End::ClosedHere { unsent: 0 }));
    }
}

#[tokio::test]
async fn nobody_there_is_told_where_the_kernel_says_so_and_a_socket_may_come_back() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = format!("udp://{gone}");
    let socket = Socket::connect(&address).await.unwrap();
    socket.write(b"anybody?").await.unwrap();
    let end = soon(socket.read()).await.unwrap_err();
    assert_eq!(end.name(), "refused", "{end}");
    let pauses = Reconnect::default().pauses(Duration::from_millis(5), Duration::from_millis(20));
    let socket = Socket::connect(&address).reconnect(pauses).await.unwrap();
    socket.write(b"anybody?").await.unwrap();
    let lost = soon(async {
        loop {
            if let Some(Event::Lost { end, .. }) = socket.next_event().await.unwrap() {
                return end;
            }
        }
    });
    assert_eq!(lost.await.name(), "refused");
    let server = UdpSocket::bind(gone).await.unwrap();
    socket.write(b"now?").await.unwrap();
    let mut buffer = [0; 100];
    let (length, peer) = soon(server.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"now?");
    server.send_to(b"now", peer).await.unwrap();
    assert_eq!(text(&socket).await, "now");
}

#[tokio::test]
async fn a_datagram_that_is_too_long_is_refused_on_one_side_and_dropped_on_the_other() {
    let bounds = Bounds { message_bytes: 1_000, ..Bounds::default() };
    let listener = Listener::bind("udp://127.0.0.1:0").bounds(bounds).await.unwrap();
    let client = Socket::connect(&listener.address()).await.unwrap();
    let error = client.write(&[0; 65_508]).await.unwrap_err();
    assert!(matches!(error, WriteError::TooLong { bytes: 65_508, limit: 65_507, .. }), "{error}");
    for length in [1_000, 1_001, 65_507, 999] {
        client.write(&vec![b'x'; length]).await.unwrap();
    }
    let server = soon(listener.accept()).await.unwrap();
    assert_eq!(text(&server).await.len(), 1_000);
    assert_eq!(text(&server).await.len(), 999);
    assert_eq!(server.tally().dropped_in, 2);
}

#[tokio::test]
async fn datagrams_may_hold_framed_messages() {
    let listener = Listener::bind("udp://127.0.0.1:0").framing(Lines).await.unwrap();
    let plain = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = listener.address().strip_prefix("udp://").unwrap().to_owned();
    plain.send_to(b"one\ntwo\n", &target).await.unwrap();
    plain.send_to(b"no end", &target).await.unwrap();
    plain.send_to(b"three\n", &target).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    for expected in ["one", "two", "three"] {
        assert_eq!(text(&server).await, expected);
    }
    assert_eq!(server.tally().dropped_in, 1);
}

#[tokio::test]
async fn as_many_peers_as_may_be_are_taken_and_the_rest_are_counted() {
    let listener = Listener::bind("udp://127.0.0.1:0").udp_peers(10).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..15 {
        let client = Socket::connect(&listener.address()).await.unwrap();
        client.write(b"hello").await.unwrap();
        clients.push(client);
    }
    let mut servers = Vec::new();
    for _ in 0..10 {
        servers.push(soon(listener.accept()).await.unwrap());
    }
    soon(async {
        while listener.refused() < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // One place becomes free, and the next that asks has it.
    soon(servers.pop().unwrap().close()).await.unwrap();
    let late = clients.last().unwrap();
    soon(async {
        while listener.refused() == 5 {
            late.write(b"again").await.unwrap();
            tokio::select! {
                biased;
                server = listener.accept() => return assert_eq!(text(&server.unwrap()).await, "again"),
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_ends_by_its_heartbeat_and_gives_its_place_back() {
    let heartbeat = Heartbeat::every(Duration::from_millis(200)).within(Duration::ZERO);
    let listener = Listener::bind("udp://127.0.0.1:0").heartbeat(heartbeat).udp_peers(1).await.unwrap();
    let client = Socket::connect(&listener.address()).await.unwrap();
    client.write(b"once").await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    assert_eq!(text(&server).await, "once");
    assert_eq!(soon(server.read()).await.unwrap_err().name(), "missed_heartbeat");
    client.write(b"and again").await.unwrap();
    // The first may have come before the place was free.
    let server = soon(async {
        loop {
            match timeout(Duration::from_millis(20), listener.accept()).await {
                Ok(server) => return server.unwrap(),
                Err(_) => client.write(b"and again").await.unwrap(),
            }
        }
    })
    .await;
    assert_eq!(text(&server).await, "and again");
}

#[tokio::test]
async fn a_flood_fills_only_what_its_peer_may_fill() {
    let bounds = Bounds { read_ahead_bytes: 10_000, ..Bounds::default() };
    let listener = Listener::bind("udp://127.0.0.1:0").bounds(bounds).await.unwrap();
    let flood = Socket::connect(&listener.address()).await.unwrap();
    for _ in 0..2_000 {
        flood.write(&[0; 100]).await.unwrap();
    }
    soon(flood.flush()).await.unwrap();
    let flooded = soon(listener.accept()).await.unwrap();
    let other = Socket::connect(&listener.address()).await.unwrap();
    other.write(b"unharmed").await.unwrap();
    assert_eq!(text(&soon(listener.accept()).await.unwrap()).await, "unharmed");
    let mut read = 0;
    while let Ok(Ok(Some(_))) = timeout(Duration::from_millis(50), flooded.read()).await {
        read += 1;
    }
    // 164 bytes each; the kernel drops some of a flood too.
    assert!(read <= 62, "{read}");
    assert!(flooded.tally().dropped_in > 0);
}

#[tokio::test]
async fn an_echo_of_datagrams_serves_many() {
    let listener = Listener::bind("udp://127.0.0.1:0").await.unwrap();
    let address = listener.address();
    echo(listener);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let address = address.clone();
        clients.spawn(async move {
            let socket = Socket::connect(&address).await.unwrap();
            for number in 0..20 {
                let message = format!("{client} {number}");
                socket.write(message.as_bytes()).await.unwrap();
                assert_eq!(text(&socket).await, message);
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_closure_that_panics_over_one_peers_datagram_ends_that_peer_alone() {
    let heartbeat = Heartbeat::every(Duration::from_secs(60)).answering(|message| match message {
        b"trap" => panic!("the user's own fault"),
        _ => None,
    });
    let listener = Listener::bind("udp://127.0.0.1:0").heartbeat(heartbeat).await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let client = Socket::connect(&listener.address()).await.unwrap();
        client.write(b"hello").await.unwrap();
        let server = soon(listener.accept()).await.unwrap();
        assert_eq!(text(&server).await, "hello");
        pairs.push((client, server));
    }
    pairs[0].0.write(b"trap").await.unwrap();
    assert!(matches!(soon(pairs[0].1.read()).await, Err(End::Failed(_))));
    pairs[1].0.write(b"unharmed").await.unwrap();
    assert_eq!(text(&pairs[1].1).await, "unharmed");
}

#[tokio::test]
async fn a_flood_that_nobody_reads_leaves_others_their_turn() {
    let flooded = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let socket = Socket::connect(&format!("udp://{}", flooded.local_addr().unwrap())).await.unwrap();
    socket.write(b"I am here").await.unwrap();
    let (_, peer) = soon(flooded.recv_from(&mut [0; 10])).await.unwrap();
    let (reader, writer) = socket.split();
    drop(reader);
    let flooded = flooded.into_std().unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = stop.clone();
    let flooding = std::thread::spawn(move || {
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            let _full = flooded.send_to(&[0; 50], peer);
        }
    });
    for _ in 0..100 {
        soon(writer.write(b"still here")).await.unwrap();
        soon(writer.flush()).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flooding.join().unwrap();
}
