//! How connections end on a real network stack.

use std::time::Duration;

use bytes::Bytes;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use wharf::socket::{Bounds, End, Heartbeat, Listener, Socket, WriteError};
use wharf_proto::framing::Lines;

use crate::rig::{soon, text};

async fn connected(heartbeat: Option<Heartbeat>) -> (Socket, tokio::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let builder = Socket::connect(&address).framing(Lines);
    let socket = match heartbeat {
        Some(heartbeat) => builder.heartbeat(heartbeat).await,
        None => builder.await,
    };
    let (peer, _) = listener.accept().await.unwrap();
    (socket.unwrap(), peer)
}

#[tokio::test]
async fn a_reset_is_told_as_one() {
    let (socket, peer) = connected(None).await;
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(soon(socket.read()).await, Err(End::Reset));
}

#[tokio::test]
async fn what_a_peer_said_before_it_reset_is_read_although_writing_to_it_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    // Most of what comes waits with the kernel.
    let bounds = Bounds { read_ahead_bytes: 1_000, ..Bounds::default() };
    let socket = Socket::connect(&address).framing(Lines).bounds(bounds).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let lines: Vec<String> = (0..5_000).map(|number| format!("line {number}")).collect();
    peer.write_all((lines.join("\n") + "\n").as_bytes()).await.unwrap();
    socket.write(b"got some").await.unwrap();
    soon(socket.flush()).await.unwrap();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    socket.write(b"got more").await.unwrap();
    assert_eq!(soon(socket.flush()).await, Err(End::Reset));
    assert_eq!(socket.write(b"again").await, Err(WriteError::Ended(End::Reset)));
    for line in &lines {
        assert_eq!(&text(&socket).await, line);
    }
    assert_eq!(soon(socket.read()).await, Err(End::Reset));
    assert_eq!(socket.tally().unsent, 1);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_found_by_its_heartbeat_although_its_kernel_does() {
    let heartbeat =
        Heartbeat::every(Duration::from_millis(200)).within(Duration::from_millis(200)).saying("PING");
    let stated = heartbeat.found_within();
    assert_eq!(stated, Duration::from_millis(400));
    let before = std::time::Instant::now();
    let (socket, _peer) = connected(Some(heartbeat)).await;
    let end = soon(socket.read()).await.unwrap_err();
    let End::MissedHeartbeat { silent_ms } = end else { panic!("{end}") };
    assert!((200..).contains(&silent_ms) && before.elapsed() >= Duration::from_millis(200), "{silent_ms}");
}

#[tokio::test]
async fn two_sides_that_beat_stay_together() {
    let beats = || {
        Heartbeat::every(Duration::from_millis(20))
            .within(Duration::from_secs(10))
            .saying_with(|number| Bytes::from(format!("PING {number}")))
            .answered_by(|message| message.starts_with(b"PONG"))
            .answering(|message| message.starts_with(b"PING").then(|| Bytes::from_static(b"PONG")))
    };
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).heartbeat(beats()).await.unwrap();
    let client = Socket::connect(&listener.address()).framing(Lines).heartbeat(beats()).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    // Forty messages each way that nobody sees are beats and answers.
    soon(async {
        while client.tally().messages_in < 40 || server.tally().messages_in < 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.write(b"and this is seen").await.unwrap();
    assert_eq!(text(&server).await, "and this is seen");
    assert!(client.is_open() && server.is_open());
}

#[tokio::test]
async fn a_closure_that_panics_ends_its_socket_and_is_told() {
    let heartbeat =
        Heartbeat::every(Duration::from_millis(1)).saying_with(|_| panic!("the user's own fault"));
    let (socket, _peer) = connected(Some(heartbeat)).await;
    let end = soon(socket.read()).await.unwrap_err();
    assert!(matches!(end, End::Failed(_)), "{end}");
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (socket, _peer) = first.block_on(connected(None));
    drop(first);
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = second.block_on(soon(socket.read())).unwrap_err();
    assert!(matches!(end, End::Failed(_)), "{end}");
}

// Row 51.
#[test]
fn a_process_that_was_stopped_does_not_take_its_own_sleep_for_the_peers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let heartbeat = || Heartbeat::every(Duration::from_millis(150)).within(Duration::from_millis(150));
    // Two peers speak all the time, on threads that go on while the runtime stands still.
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", tcp.local_addr().unwrap());
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        while std::io::Write::write_all(&mut stream, b"I am here\n").is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let (socket, peer) = runtime.block_on(async {
        let socket = Socket::connect(&address).framing(Lines).heartbeat(heartbeat()).await.unwrap();
        let listener = Listener::bind("udp://127.0.0.1:0").heartbeat(heartbeat()).await.unwrap();
        let target = listener.address().strip_prefix("udp://").unwrap().to_owned();
        std::thread::spawn(move || {
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            while udp.send_to(b"I am here", &target).is_ok() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        (socket, soon(listener.accept()).await.unwrap())
    });
    // Nothing of the runtime runs for as long as three peers' deaths take.
    std::thread::park_timeout(Duration::from_millis(900));
    runtime.block_on(async {
        for _ in 0..20 {
            assert_eq!(text(&socket).await, "I am here");
            assert_eq!(text(&peer).await, "I am here");
        }
        drop(socket);
    });
    drop(runtime);
    speaking.join().unwrap();
}

/// Names the address that the process of `what_comes_during_a_stop_is_read_before_a_peer_is_called_dead` dials.
const STOPPED: &str = "WHARF_TEST_STOPPED";

/// Answers each question until it is told that its peer is dead, or has ended.
async fn answer_questions(address: &str) {
    let heartbeat = Heartbeat::every(Duration::from_millis(500)).within(Duration::from_millis(500));
    let socket = Socket::connect(address).framing(Lines).heartbeat(heartbeat).await.unwrap();
    while let Ok(Some(line)) = socket.read().await {
        if line == "?" {
            socket.write(b"!").await.unwrap();
        }
    }
}

// Row 51: the kernel interrupts whoever goes on after a stop, and timers come before anything was read.
#[test]
fn what_comes_during_a_stop_is_read_before_a_peer_is_called_dead() {
    use std::io::{BufRead, BufReader, Write};

    if let Ok(address) = std::env::var(STOPPED) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(answer_questions(&address));
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "endings::what_comes_during_a_stop_is_read_before_a_peer_is_called_dead"])
        .env(STOPPED, address)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut beats = stream.try_clone().unwrap();
    let beating = std::thread::spawn(move || {
        while beats.write_all(b"I am here\n").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    for _ in 0..3 {
        stream.write_all(b"?\n").unwrap();
        assert_eq!(answers.next().and_then(Result::ok).as_deref(), Some("!"));
        for signal in ["-STOP", "-CONT"] {
            let pid = process.id().to_string();
            assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
            // A process that is stopped does nothing that could be waited for.
            std::thread::park_timeout(Duration::from_millis(if signal == "-STOP" { 2_500 } else { 0 }));
        }
    }
    stream.write_all(b"?\n").unwrap();
    assert_eq!(answers.next().and_then(Result::ok).as_deref(), Some("!"));
    process.kill().unwrap();
    process.wait().unwrap();
    beating.join().unwrap();
}
