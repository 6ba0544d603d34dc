//! How a WebSocket on a stream ends, and that it ends alone.

use super::*;

/// The stream has ended well from the server's side, and so ends from the client's.
async fn ends(socket: &mut Socket) {
    assert!(socket.frame().await.is_none(), "only the end was to come");
    let _ = socket.stream.send_data(Bytes::new(), true); // It may have ended its half before.
}

#[tokio::test]
async fn a_close_is_answered_and_ends_the_stream_and_no_other() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sibling = link.subscribed("news").await;
    let mut socket = link.subscribed("news").await;
    socket.close(4321);
    assert_eq!(socket.close_code().await, 4321);
    ends(&mut socket).await;
    eventually(&mut link, "it is gone", || open_websockets(&rig) == 1).await;
    link.publish("news", "still here").await;
    sibling.until("still here").await;
}

// Row 47.
#[tokio::test]
async fn a_half_closed_stream_is_flushed_and_ended() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sibling = link.subscribed("news").await;
    let mut socket = link.websocket().await;
    socket.connect().await;
    socket.say(r#"{"id":3,"publish":{"channel":"news","data":"last words"}}"#);
    socket.stream.send_data(Bytes::new(), true).unwrap();
    socket.until("\"id\":3").await;
    ends(&mut socket).await;
    sibling.until("last words").await;
    eventually(&mut link, "it is gone", || open_websockets(&rig) == 1).await;
}

// Row 46.
#[tokio::test]
async fn a_reset_stream_is_gone_at_once_and_its_siblings_stay() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sibling = link.subscribed("news").await;
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::PROTOCOL_ERROR, Reason::INTERNAL_ERROR] {
        let mut socket = link.subscribed("news").await;
        socket.stream.send_reset(reason);
        eventually(&mut link, "it is gone", || open_websockets(&rig) == 1).await;
        let stats = link.post("/api/presence_stats", r#"{"channel":"news"}"#.to_owned()).await;
        assert!(stats.contains("\"num_clients\":1"), "{reason:?}: {stats}");
    }
    link.publish("news", "still here").await;
    sibling.until("still here").await;
}

#[tokio::test]
async fn a_broken_frame_is_answered_with_its_code_and_the_stream_ends() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sibling = link.subscribed("news").await;
    let mut socket = link.websocket().await;
    // RFC 6455 section 5.1: a client's frames are masked. Row 15.
    socket.stream.send_data(Bytes::from_static(b"\x81\x02{}"), false).unwrap();
    assert_eq!(socket.close_code().await, 1002);
    ends(&mut socket).await;
    sibling.say(r#"{"id":9,"presence":{"channel":"news"}}"#);
    sibling.until("\"id\":9").await;
}

// RFC 6455 section 7.1.1, RFC 8441 section 5: the END_STREAM is the end of TCP.
#[tokio::test]
async fn a_close_of_the_servers_ends_the_stream_after_the_clients_close() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    for (said, code) in [("nonsense", 3501), (r#"{"id":2,"connect":{}}"#, 3501)] {
        let mut socket = link.websocket().await;
        socket.connect().await;
        socket.say(said);
        assert_eq!(socket.close_code().await, code);
        // The half of the server's is open as long as it answers.
        socket.ping();
        assert_eq!(socket.frame().await.map(|(opcode, _)| opcode), Some(Opcode::Pong as u8));
        socket.close(code);
        ends(&mut socket).await;
    }
    eventually(&mut link, "both are gone", || open_websockets(&rig) == 0).await;
}

#[tokio::test]
async fn a_lost_connection_ends_all_its_websockets() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let sockets = [link.subscribed("news").await, link.subscribed("news").await];
    link.connection.abort();
    drop((link, sockets));
    let mut other = Link::open(&rig).await;
    eventually(&mut other, "both are gone", || open_websockets(&rig) == 0).await;
    let stats = other.post("/api/presence_stats", r#"{"channel":"news"}"#.to_owned()).await;
    assert!(stats.contains("\"num_clients\":0"), "{stats}");
}

#[tokio::test]
async fn a_client_that_says_goaway_keeps_its_websockets_until_they_end() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut socket = link.subscribed("news").await;
    // h2's client says GOAWAY when nobody can send requests any more.
    let Link { sender, connection } = link;
    drop(sender);
    let mut other = Link::open(&rig).await;
    other.publish("news", "still here").await;
    socket.until("still here").await;
    socket.close(1000);
    assert_eq!(socket.close_code().await, 1000);
    ends(&mut socket).await;
    drop(socket);
    within(connection).await.unwrap().unwrap();
}

// Row 102.
#[tokio::test]
async fn a_drain_closes_each_websocket_with_its_code_and_then_the_connection() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sockets = [link.subscribed("news").await, link.subscribed("news").await];
    let idle = Link::open(&rig).await;
    let begun = std::time::Instant::now();
    let told = async {
        for socket in &mut sockets {
            assert_eq!(socket.close_code().await, 3001);
            socket.close(3001);
            ends(socket).await;
        }
        // GOAWAY, and the end, without an error.
        within(link.connection).await.unwrap().unwrap();
        within(idle.connection).await.unwrap().unwrap();
    };
    tokio::join!(rig.server.drain(200), told);
    assert!(begun.elapsed() < Duration::from_secs(4), "nobody was waited for in vain: {:?}", begun.elapsed());
    assert_eq!(rig.server.node().load(0) + rig.server.node().load(1), 0);
}

#[tokio::test]
async fn the_server_pings_as_over_http_1() {
    let times =
        Times { ping_interval_ms: 1_000, pong_timeout_ms: 300, http_idle_ms: 60_000, ..Times::default() };
    let rig = start_with(Settings { times, ..settings() });
    let mut link = Link::open(&rig).await;
    let mut socket = link.websocket().await;
    socket.connect().await;
    assert_eq!(socket.text().await, "{}");
    assert_eq!(socket.close_code().await, 3012, "the ping was not answered");
}
