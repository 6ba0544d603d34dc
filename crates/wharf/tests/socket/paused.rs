//! Heartbeats and ends that are a matter of time, on tokio's paused clock.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    time::Instant,
};
use wharf::socket::{Bounds, End, Heartbeat, Socket};
use wharf_proto::framing::Lines;

fn socket(heartbeat: Heartbeat) -> (Socket, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    (Socket::over(ours).framing(Lines).heartbeat(heartbeat).open().unwrap(), theirs)
}

// Row 44.
#[tokio::test(start_paused = true)]
async fn a_frozen_peer_is_found_in_the_stated_time() {
    let heartbeat = Heartbeat::every(Duration::from_secs(25)).saying("PING");
    let stated = heartbeat.found_within();
    let (socket, _theirs) = socket(heartbeat);
    let before = Instant::now();
    let end = socket.read().await.unwrap_err();
    let found = before.elapsed();
    assert!(found <= stated && found >= Duration::from_secs(22), "{found:?}");
    let End::MissedHeartbeat { silent_ms } = end else { panic!("{end}") };
    assert!(u128::from(silent_ms).abs_diff(found.as_millis()) <= 2, "{silent_ms} {found:?}");
}

#[tokio::test(start_paused = true)]
async fn beats_go_out_although_nobody_reads_or_writes() {
    let heartbeat =
        Heartbeat::every(Duration::from_secs(60)).saying_with(|number| Bytes::from(format!("beat {number}")));
    let (socket, theirs) = socket(heartbeat);
    let (reading, mut writing) = tokio::io::split(theirs);
    let mut lines = BufReader::new(reading).lines();
    let before = Instant::now();
    for number in 0..100 {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("beat {number}"));
        writing.write_all(b"\n").await.unwrap();
    }
    // 99 intervals, of which each may be a hundredth shorter, and a first of between half and a whole.
    let passed = before.elapsed().as_secs();
    assert!((99 * 59..=100 * 60).contains(&passed), "{passed} s");
    assert!(socket.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_must_speak_of_its_own_accord_has_its_time() {
    let heartbeat = Heartbeat::every(Duration::from_secs(60)).within(Duration::from_secs(5)).misses(3);
    assert_eq!(heartbeat.found_within(), Duration::from_secs(185));
    let (socket, mut theirs) = socket(heartbeat);
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(180)).await;
        theirs.write_all(b"I am here\n").await.unwrap();
        assert_eq!(socket.read().await.unwrap().unwrap(), "I am here");
    }
    let before = Instant::now();
    assert_eq!(socket.read().await.unwrap_err().name(), "missed_heartbeat");
    let found = before.elapsed().as_secs();
    assert!((185..=187).contains(&found), "{found} s");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_told_from_one_that_says_nothing() {
    let (ours, _theirs) = tokio::io::duplex(100);
    let bounds = Bounds { write_stall: Duration::from_secs(10), ..Bounds::default() };
    let socket = Socket::over(ours).bounds(bounds).open().unwrap();
    socket.write(&[0; 1_000]).await.unwrap();
    let before = Instant::now();
    assert_eq!(socket.read().await, Err(End::NotReading { stalled_ms: 10_000 }));
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_in_its_time_beside_a_peer_that_speaks_for_ever() {
    let (ours, theirs) = tokio::io::duplex(1_000);
    let socket = Socket::over(ours).open().unwrap();
    let (mut reading, mut writing) = tokio::io::split(theirs);
    tokio::spawn(async move {
        while writing.write_all(&[0; 500]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let before = Instant::now();
    socket.close().await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!(reading.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_half_does_not_stop_the_heart() {
    let heartbeat = Heartbeat::every(Duration::from_secs(10)).saying("PING");
    let (socket, theirs) = socket(heartbeat);
    let (reader, writer) = socket.split();
    drop(reader);
    let (reading, mut speaking) = tokio::io::split(theirs);
    let mut lines = BufReader::new(reading).lines();
    for _ in 0..20 {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "PING");
        speaking.write_all(b"PONG, and much else that nobody reads\n").await.unwrap();
    }
    writer.write(b"the other half works").await.unwrap();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "the other half works");
    drop(writer);
    assert_eq!(lines.next_line().await.unwrap(), None);
}
