//! Many sockets at once.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use wharf::socket::{Heartbeat, Listener, Socket};
use wharf_proto::framing::Lines;

use crate::rig::{echo, soon};

fn beats() -> Heartbeat {
    Heartbeat::every(Duration::from_millis(500))
        .within(Duration::from_secs(30))
        .saying("PING")
        .answering(|message| (message == b"PING").then(|| Bytes::from_static(b"PONG")))
        .answered_by(|message| message == b"PONG")
}

#[tokio::test]
async fn a_thousand_sockets_speak_and_beat_and_leave_nothing_behind() {
    let before = descriptors();
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).heartbeat(beats()).await.unwrap();
    let address = listener.address();
    echo(listener);
    let mut clients = JoinSet::new();
    for client in 0..1_000 {
        let address = address.clone();
        clients.spawn(async move {
            let socket = Socket::connect(&address).framing(Lines).heartbeat(beats()).await.unwrap();
            for number in 0..10 {
                let message = format!("{client} {number}");
                socket.write(message.as_bytes()).await.unwrap();
                assert_eq!(socket.read().await.unwrap().unwrap(), message.as_bytes());
            }
            socket
        });
    }
    let sockets: Vec<Socket> =
        tokio::time::timeout(Duration::from_secs(120), clients.join_all()).await.unwrap();
    assert!(descriptors() > before + 1_800);
    // Two beats each, while nobody reads or writes.
    soon(async {
        while sockets.iter().any(|socket| socket.tally().messages_in < 12) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(sockets.iter().all(Socket::is_open));
    let mut closing = JoinSet::new();
    for socket in sockets {
        closing.spawn(async move { socket.close().await });
    }
    let closed = soon(closing.join_all()).await;
    assert!(closed.iter().all(Result::is_ok), "{:?}", closed.iter().find(|closed| closed.is_err()));
    // Other tests beside this one hold some.
    soon(async {
        while descriptors() > before + 500 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
