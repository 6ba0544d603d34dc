//! The library's sockets on a path that fails.

use std::{
    future::Future,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use wharf::socket::{Bounds, End, Event, Heartbeat, KernelWatch, Listener, Reconnect, Socket};
use wharf_proto::framing::Lines;

use crate::common::network::{self, Fault, Namespace, Network, SERVER, within};

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_secs(5);

fn address() -> String {
    format!("tcp://{SERVER}:7000")
}

/// Runs something on a machine.
fn on<T: Send, F: Future<Output = T>>(machine: &Namespace, act: impl FnOnce() -> F + Send) -> T {
    within(&machine.path(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(act())
    })
}

fn beats() -> Heartbeat {
    Heartbeat::every(Duration::from_secs(1)).within(Duration::from_secs(1)).saying("PING")
}

/// Reads to the end; how that is called, and when it came.
async fn end_of(socket: Socket) -> (&'static str, Instant) {
    loop {
        match socket.read().await {
            Ok(Some(_)) => {}
            Ok(None) => return (socket.ended().map_or("closed_by_peer", |end| end.name()), Instant::now()),
            Err(end) => return (end.name(), Instant::now()),
        }
    }
}

/// Lets a client and a server find each other, and then the fault happen; the end of each and how long it took.
fn ends_after(
    fault: Fault,
    heartbeat: Option<Heartbeat>,
    watch: KernelWatch,
) -> [(&'static str, Duration); 2] {
    let network = Network::new();
    let (tell, told) = mpsc::sync_channel(3);
    let (tell_too, heartbeat_too) = (tell.clone(), heartbeat.clone());
    let server = async move {
        let address = address();
        let builder = Listener::bind(&address).framing(Lines).kernel_watch(watch);
        let listener = match heartbeat {
            Some(heartbeat) => builder.heartbeat(heartbeat).await,
            None => builder.await,
        };
        let listener = listener.unwrap();
        tell.send(()).unwrap();
        let socket = listener.accept().await.unwrap();
        tell.send(()).unwrap();
        end_of(socket).await
    };
    let client = async move {
        let address = address();
        let builder = Socket::connect(&address).framing(Lines).kernel_watch(watch);
        let socket = match heartbeat_too {
            Some(heartbeat) => builder.heartbeat(heartbeat).await,
            None => builder.await,
        };
        let socket = socket.unwrap();
        tell_too.send(()).unwrap();
        end_of(socket).await
    };
    thread::scope(|scope| {
        let server = scope.spawn(|| on(&network.server, || server));
        told.recv().unwrap();
        let client = scope.spawn(|| on(&network.client, || client));
        told.recv().unwrap();
        told.recv().unwrap();
        network.fault(fault);
        let since = Instant::now();
        [client, server].map(|side| {
            let (name, at) = side.join().unwrap();
            (name, at.saturating_duration_since(since))
        })
    })
}

// Row 44.
#[test]
fn a_socket_finds_a_path_that_swallows_everything_in_the_stated_time_and_names_it() {
    if network::left_out() {
        return;
    }
    let stated = beats().found_within();
    for (name, took) in ends_after(Fault::Blackhole, Some(beats()), KernelWatch::default()) {
        assert_eq!(name, "blackholed");
        assert!(took <= stated + SLACK, "{took:?}");
    }
}

// Row 44.
#[test]
fn the_kernels_watch_finds_it_as_well_although_nothing_is_said() {
    if network::left_out() {
        return;
    }
    let second = Duration::from_secs(1);
    let watch = KernelWatch { user_timeout: Some(2 * second), keepalive: Some(second) };
    for (name, took) in ends_after(Fault::Blackhole, None, watch) {
        assert_eq!(name, "blackholed");
        assert!(took <= 4 * second + SLACK, "{took:?}");
    }
}

#[test]
fn a_router_that_resets_is_told_as_a_reset() {
    if network::left_out() {
        return;
    }
    let ends = ends_after(Fault::Reset, Some(beats()), KernelWatch::default());
    // Whoever speaks first is told; the other, too, or finds the first gone.
    assert!(ends.iter().any(|(name, _)| *name == "reset"), "{ends:?}");
}

#[test]
fn a_socket_is_back_when_the_path_is_and_says_what_waited() {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    let (tell, told) = mpsc::sync_channel(1);
    let tell_too = tell.clone();
    let server = async move {
        let listener = Listener::bind(&address()).framing(Lines).heartbeat(beats()).await.unwrap();
        tell.send("listening").unwrap();
        let (hear, mut heard) = tokio::sync::mpsc::channel(16);
        loop {
            tokio::select! {
                socket = listener.accept() => {
                    let (socket, hear) = (socket.unwrap(), hear.clone());
                    tokio::spawn(async move {
                        while let Ok(Some(message)) = socket.read().await {
                            hear.send(message).await.unwrap();
                        }
                    });
                }
                message = heard.recv() => {
                    if message.unwrap() == "written while away" {
                        return;
                    }
                }
            }
        }
    };
    let client = async move {
        let reconnect = Reconnect::default().pauses(Duration::from_millis(100), Duration::from_millis(500));
        let bounds = Bounds { dial: Duration::from_millis(500), ..Bounds::default() };
        let address = address();
        let builder = Socket::connect(&address).framing(Lines).heartbeat(beats()).bounds(bounds);
        let socket = builder.reconnect(reconnect).await.unwrap();
        tell_too.send("open").unwrap();
        let lost = next(&socket, |event| matches!(event, Event::Lost { .. })).await;
        assert!(matches!(lost, Event::Lost { end: End::Blackholed, .. }), "{lost:?}");
        socket.write(b"written while away").await.unwrap();
        tell_too.send("lost").unwrap();
        next(&socket, |event| matches!(event, Event::Opened { .. })).await;
        // Kept until the server has gone.
        while socket.next_event().await.is_ok_and(|event| !matches!(event, Some(Event::Lost { .. }))) {}
    };
    thread::scope(|scope| {
        let server = scope.spawn(|| on(&network.server, || server));
        assert_eq!(told.recv().unwrap(), "listening");
        let client = scope.spawn(|| on(&network.client, || client));
        assert_eq!(told.recv().unwrap(), "open");
        network.fault(Fault::Blackhole);
        assert_eq!(told.recv().unwrap(), "lost");
        network.heal();
        server.join().unwrap();
        client.join().unwrap();
    });
}

/// The next event of a kind.
async fn next(socket: &Socket, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = socket.next_event().await.unwrap().expect("it comes back");
        if wanted(&event) {
            return event;
        }
    }
}
