//! Clients that do not read, open too much, and give up what they asked for.

use super::*;

fn small_outbox() -> Settings {
    let limits = Limits { outbox_bytes: 64 * 1024, ..Limits::default() };
    let times = Times { close_handshake_ms: 200, ..Times::default() };
    Settings { limits, times, ..settings() }
}

// Row 43.
#[tokio::test]
async fn a_stream_that_is_not_read_is_closed_as_slow_and_reset_and_its_siblings_hear_everything() {
    let rig = start_with(small_outbox());
    // The connection's own window holds more than all that the slow stream's may.
    let mut link = Link::open_with(
        &rig,
        h2::client::Builder::new().initial_window_size(4 * 1024).initial_connection_window_size(1024 * 1024),
    )
    .await;
    let mut sibling = link.subscribed("news").await;
    let mut slow = link.subscribed("news").await;
    let text = "x".repeat(8 * 1024);
    let slow_closes = || rig.server.node().metrics.sum(|worker| &worker.slow_closes);
    let mut published = 0;
    while slow_closes() == 0 {
        published += 1;
        assert!(published < 200, "nothing bounds what waits for a stream");
        link.publish("news", &format!("{published} {text}")).await;
        sibling.until(&format!("{published} xxx")).await;
    }
    eventually(&mut link, "it is gone", || open_websockets(&rig) == 1).await;
    // Its farewell does not fit the window: nothing is kept for it for longer than a close may take.
    let error = within(async {
        loop {
            match slow.body.data().await {
                Some(Ok(_)) => {} // What was in its window; nothing is released.
                Some(Err(error)) => break error,
                None => panic!("the end came although the window is shut"),
            }
        }
    })
    .await;
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");
    link.publish("news", "still here").await;
    sibling.until("still here").await;
}

// Row 31.
#[tokio::test]
async fn a_ping_flood_from_a_client_that_does_not_read_is_bounded() {
    let rig = start_with(small_outbox());
    let mut link = Link::open_with(
        &rig,
        h2::client::Builder::new().initial_window_size(1024).initial_connection_window_size(1024 * 1024),
    )
    .await;
    // Who has not connected may not flood at all.
    let mut socket = link.subscribed("news").await;
    let mut ping = BytesMut::new();
    write_frame(&mut ping, Opcode::Ping, &[7; 125], Some([1, 2, 3, 4]));
    let ping = ping.freeze();
    // More pongs than any queue on the way would hold.
    for _ in 0..20_000 {
        socket.stream.reserve_capacity(ping.len());
        while socket.stream.capacity() < ping.len() {
            within(std::future::poll_fn(|context| socket.stream.poll_capacity(context)))
                .await
                .unwrap()
                .unwrap();
        }
        socket.stream.send_data(ping.clone(), false).unwrap();
    }
    let written = rig.server.node().metrics.sum(|worker| &worker.bytes_out);
    assert!(written < 300 * 1024, "{written} bytes of pongs were taken from the worker");
    assert_eq!(link.get("/health").await.0, 200);
}

// Rows 46 and 70.
#[tokio::test]
async fn a_thousand_opens_and_resets_leave_nothing_behind() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    for round in 0..1_000 {
        match round % 3 {
            0 => drop(link.subscribed("news").await),
            1 => link.websocket().await.stream.send_reset(Reason::CANCEL),
            // Given up before anything was answered.
            _ => link.send(connect(PATH).body(()).unwrap(), false).await.0.send_reset(Reason::CANCEL),
        }
        if round % 3 == 2 {
            // Rapid reset is bounded by itself, and is another test's.
            assert_eq!(link.get("/health").await.0, 200);
        }
    }
    let node = rig.server.node();
    eventually(&mut link, "all are gone", || node.load(0) + node.load(1) == 0).await;
    assert_eq!(open_websockets(&rig), 0);
    assert_eq!((node.directory.channel_count(), node.directory.subscription_count()), (0, 0));
    assert_eq!(
        node.in_gate.iter().map(|count| count.load(std::sync::atomic::Ordering::Relaxed)).sum::<usize>(),
        1
    );
    link.subscribed("news").await;
}

// Row 70.
#[tokio::test]
async fn rapid_resets_end_the_connection_and_nothing_else() {
    let rig = start();
    let link = Link::open(&rig).await;
    let mut other = Link::open(&rig).await;
    let mut kept = other.subscribed("news").await;
    let flood = async {
        loop {
            let Ok(mut ready) = link.sender.clone().ready().await else { return };
            let Ok((_, mut stream)) = ready.send_request(connect(PATH).body(()).unwrap(), false) else {
                return;
            };
            // Gives the connection a turn, so that both frames are sent.
            tokio::task::yield_now().await;
            stream.send_reset(Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    within(flood).await;
    eventually(&mut other, "all are gone", || open_websockets(&rig) == 1).await;
    other.publish("news", "still here").await;
    kept.until("still here").await;
}

/// Waits until the worker owns them all: an answer may come before.
async fn eventually_open(rig: &Rig, sockets: &mut [Socket], count: u64) {
    for socket in sockets {
        socket.connect().await;
    }
    assert_eq!(open_websockets(rig), count);
}

#[tokio::test]
async fn more_streams_than_a_connection_may_have_are_refused_and_the_rest_live() {
    let rig = start();
    let mut link = Link::open(&rig).await;
    let mut sockets = Vec::new();
    for _ in 0..128 {
        sockets.push(link.websocket().await);
    }
    eventually_open(&rig, &mut sockets, 128).await;
    // h2's client keeps to the server's bound: one more waits until another has ended.
    let (_stream, answer) = link.send(connect(PATH).body(()).unwrap(), false).await;
    let mut last = sockets.pop().unwrap();
    last.close(1000);
    assert_eq!(last.close_code().await, 1000);
    drop(last);
    assert_eq!(within(answer).await.unwrap().status(), 200);
    sockets[0].say(r#"{"id":9,"presence":{"channel":"news"}}"#);
    sockets[0].until("\"id\":9").await;
}

#[tokio::test]
async fn each_stream_counts_against_the_limit_of_connections() {
    let limits = Limits { connections: 4, ..Limits::default() };
    let rig = start_with(Settings { limits, ..settings() });
    let mut link = Link::open(&rig).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(link.websocket().await);
    }
    let (status, headers, body) = link.ask(connect(PATH).body(()).unwrap()).await;
    assert_eq!((status, &headers["retry-after"]), (503, &http::HeaderValue::from_static("1")), "{body}");
    assert_eq!(link.get("/events?channel=a").await.0, 503);
    assert_eq!(
        rig.ask(&crate::rig::get("/health")).status(),
        503,
        "nor is there room for another connection"
    );
    let mut first = sockets.remove(0);
    first.close(1000);
    assert_eq!(first.close_code().await, 1000);
    let node = rig.server.node();
    eventually(&mut link, "there is room", || !node.is_full()).await;
    link.websocket().await;
}
