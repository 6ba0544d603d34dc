//! Our own clients on paths that break: they find it out, come back, and miss nothing or are told what.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use wharf::client::{Client, Event, TransportKind};
use wharf_proto::message::{Data, Request};

use crate::{
    checker::{Attempt, Heard, MOST_PUBLICATIONS, Truth},
    common::{
        PATIENCE, eventually,
        network::{self, Fault, Network, Stranger, within},
        program::Running,
        server::Server,
    },
    crowd::{Crowd, SLACK, STREAMS, Times, Way, wharf_within},
};

/// A client waits for a ping so much longer than the server said: `ping_slack` of LIMITS.md.
const PING_SLACK: Duration = Duration::from_secs(10);
/// The longest pause before a client's first attempt to come back.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

// Row 45.
#[test]
fn a_subscriber_behind_a_nat_that_forgets_finds_out_comes_back_and_misses_nothing() {
    if network::left_out() {
        return;
    }
    let (network, times) = (Network::new(), Times::pinging_each(2));
    network.translate(1, Stranger::Dropped);
    let server = times.of(network.setup()).start();
    let ways: Vec<Way> = STREAMS.into_iter().filter(|way| matches!(way, Way::Subscribe(_))).collect();
    let crowd = Crowd::join(&network, &server, &ways);
    let latest = times.ping_interval * 2 + times.pong_timeout;
    crowd.assert_gone_between(&server, Instant::now(), |_| Duration::ZERO, |_| latest);
    let since = Instant::now();
    for number in 1..=3 {
        crowd.publish(&server, number);
    }
    // Each stands where it stood and hears the rest.
    for number in 1..=3 {
        crowd.assert_hears(number);
    }
    let took = since.elapsed();
    println!("back after {took:?}");
    assert!(took < times.ping_interval + PING_SLACK + FIRST_PAUSE + SLACK, "{took:?}");
}

/// A publisher on the client's machine, which publishes one after the other until it is told to stop. What was
/// acknowledged.
fn publish(
    network: &Network,
    transport: TransportKind,
    number: u64,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Vec<Attempt> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = network.url().parse().expect("a URL");
    // A runtime of one thread makes its sockets on this thread, which is on the client's machine.
    runtime.block_on(async {
        let mut client = Client::to(address).transport(transport).start().await.expect("a sound path");
        let mut acknowledged = Vec::new();
        for attempt in 1.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let data = Data::Json(json!([number, attempt]).to_string().into());
            client.request(Request::Publish { channel: CHANNEL.into(), data }).await;
            let answer = loop {
                match client.next_event().await.expect("it comes back for ever") {
                    Event::Answer { result, .. } => break result,
                    Event::Disconnected { ending } => assert!(ending.reconnects, "{ending}"),
                    _ => {}
                }
            };
            if answer.is_ok() {
                acknowledged.push((number, attempt));
                count.fetch_add(1, Ordering::Relaxed);
            }
            // tidy: sleeps because a publisher that knows no pause would publish tens of thousands.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        acknowledged
    })
}

/// Where everybody publishes.
const CHANNEL: &str = "checked";
/// A channel that keeps only five publications, so that whoever is away for long loses some.
const BRIEF: &str = "brief:checked";
/// How many of those come at once, while everybody is away.
const BURST: usize = 20;

/// How the subscribers come.
const TRANSPORTS: [&str; 6] = ["websocket", "tcp", "http-stream", "sse", "long-poll", "short-poll"];
const EVERYBODY: u64 = TRANSPORTS.len() as u64;

fn present(server: &Server) -> u64 {
    server.api("presence_stats", &json!({"channel": CHANNEL}))["num_clients"].as_u64().expect("a number")
}

/// Breaks and heals the path several times; what was published meanwhile by the server API.
fn break_and_heal(network: &Network, server: &Server, count: &AtomicU64) -> Vec<Attempt> {
    let mut published = Vec::new();
    for fault in [Fault::TowardsServer, Fault::TowardsClient, Fault::Reset, Fault::Blackhole] {
        let before = count.load(Ordering::Relaxed);
        eventually("publications are acknowledged", PATIENCE, || count.load(Ordering::Relaxed) > before + 20);
        network.fault(fault);
        // Twice for long enough that publishers lose their answers, and the brief channel forgets before anybody is
        // back; otherwise most connections outlive it.
        let left = if [Fault::TowardsClient, Fault::Blackhole].contains(&fault) { 0 } else { EVERYBODY - 1 };
        eventually("they are gone", PATIENCE, || present(server) <= left);
        for _ in 0..BURST {
            let attempt = (0, published.len() as u64 + 1);
            for channel in [CHANNEL, BRIEF] {
                server.api("publish", &json!({"channel": channel, "data": attempt}));
            }
            published.push(attempt);
        }
        network.heal();
    }
    eventually("everybody is back", PATIENCE, || present(server) == EVERYBODY);
    published
}

#[test]
fn publishers_and_subscribers_keep_the_contract_on_a_path_that_breaks_again_and_again() {
    if network::left_out() {
        return;
    }
    let network = Network::new();
    let most = MOST_PUBLICATIONS.to_string();
    let setup = Times::QUICK.of(network.setup()).variable("WHARF_LIMITS__HISTORY_ANSWER", &most);
    let server = setup.start();
    let subscribers = TRANSPORTS.map(|transport| {
        let url = network.url();
        let arguments = ["subscribe", CHANNEL, BRIEF, "--server", &url, "--transport", transport];
        Running::start(wharf_within(&network, &arguments))
    });
    eventually("everybody is there", PATIENCE, || present(&server) == EVERYBODY);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let (acknowledged, published) = thread::scope(|scope| {
        let transports = [TransportKind::Websocket, TransportKind::Lines, TransportKind::HttpStream];
        let publishers: Vec<_> = (1..)
            .zip(transports)
            .map(|(number, transport)| {
                let (network, stop, count) = (&network, &stop, &count);
                scope.spawn(move || {
                    within(&network.client.path(), || publish(network, transport, number, stop, count))
                })
            })
            .collect();
        let published = break_and_heal(&network, &server, &count);
        stop.store(true, Ordering::Relaxed);
        let told = publishers.into_iter().flat_map(|publisher| publisher.join().expect("it publishes"));
        (told.collect::<Vec<_>>(), published)
    });

    let truth = Truth::ask(&server, CHANNEL);
    truth.assert_holds(&acknowledged);
    truth.assert_holds(&published);
    let brief = Truth::told(&server, BRIEF, published);
    for (name, subscriber) in TRANSPORTS.iter().zip(&subscribers) {
        let (mut all, mut some) = (Heard::default(), Heard::default());
        // It fails if it is left waiting.
        while !(all.is_complete(&truth) && some.is_complete(&brief)) {
            let event = subscriber.event();
            all.take(&event, &truth);
            some.take(&event, &brief);
        }
        println!("{name}: {all:?} {some:?}");
        assert_eq!(all.losses, 0, "{name}: everything is kept for it");
        assert!(some.losses > 0, "{name}: {BURST} of which 5 are kept cannot all be heard");
    }
    println!("{} of {} were acknowledged", acknowledged.len(), truth.len() - brief.len());
}
