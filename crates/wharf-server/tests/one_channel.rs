//! The main job: clients of every kind are in one channel, hear the same, and see the same list of who is there.
//!
//! WebSocket, HTTP streaming and server-sent events are spoken by npm `centrifuge`, and `/events` by npm
//! `eventsource` and by curl.

mod common;

use std::{collections::BTreeSet, thread, time::Duration};

use common::{
    client::{Client, Lines},
    curl::Events,
    eventually,
    javascript::Javascript,
    member::{Member, identifiers},
    poll::Poll,
    proxy::Proxy,
    server::{Server, Setup},
    socket::Address,
};
use serde_json::{Value, json};

const CHANNEL: &str = "quay";
const LEASE: Duration = Duration::from_secs(4);

/// A server that finds the dead and forgets who does not ask within [`LEASE`].
fn quick_server() -> Server {
    Setup::new()
        .quick_pings()
        .variable("WHARF_TIMES__PRESENCE_LEASE", "4s")
        .variable("WHARF_TIMES__PRESENCE_RENEW", "1s")
        .start()
}

/// A member, its identifier, and the proxy that it came through.
struct Guest {
    kind: &'static str,
    member: Box<dyn Member>,
    id: String,
    proxy: Proxy,
}

impl Guest {
    fn sdk(transport: &'static str, server: &Address) -> Self {
        let proxy = Proxy::before(server);
        let (member, id) = Javascript::subscribed(transport, &proxy.url(), CHANNEL);
        Self { kind: transport, member: Box::new(member), id, proxy }
    }

    fn lines(server: &Address) -> Self {
        let proxy = Proxy::before(server);
        let mut client = Client::new(Lines::open(&proxy.address()));
        client.connect();
        client.subscribe(CHANNEL);
        Self { kind: "lines", id: client.id.clone(), member: Box::new(client), proxy }
    }

    fn poll(server: &Address) -> Self {
        let proxy = Proxy::before(server);
        let mut client = Client::new(Poll::open(&proxy.address()));
        client.connect();
        client.subscribe(CHANNEL);
        Self { kind: "poll", id: client.id.clone(), member: Box::new(client), proxy }
    }

    fn five_kinds(server: &Address) -> Vec<Self> {
        vec![
            Self::sdk("websocket", server),
            Self::sdk("http_stream", server),
            Self::sdk("sse", server),
            Self::lines(server),
            Self::poll(server),
        ]
    }
}

/// Everybody who is in the channel, as the server API says.
fn present(server: &Server) -> Vec<String> {
    identifiers(&server.api("presence", &json!({"channel": CHANNEL}))["presence"])
}

fn messages(source: &mut Javascript, count: usize) -> Vec<Value> {
    (0..count).map(|_| source.event("message")["data"].take()).collect()
}

#[test]
fn clients_of_every_kind_hear_all_in_order_and_see_the_same_members() {
    let server = Server::start();
    let mut guests = Guest::five_kinds(server.address());
    let url = format!("{}/events?channel={CHANNEL}", server.url());
    let mut source = Javascript::run("event_source", &[&url]);
    source.event("open");

    let named: BTreeSet<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    let everybody = present(&server);
    assert_eq!(everybody.len(), 6, "five that have a name, and the event source: {everybody:?}");
    assert!(named.iter().all(|id| everybody.contains(id)), "{named:?} in {everybody:?}");
    for guest in &mut guests {
        assert_eq!(guest.member.presence(CHANNEL), everybody, "as {} sees it", guest.kind);
    }
    let mut curl = Events::open(&[], &server.url(), CHANNEL);

    // One after the other, so that the order is known; then all at once, so that it only has to be the same.
    let mut said = Vec::new();
    for round in 0..3 {
        for guest in &mut guests {
            let data = json!({"from": guest.kind, "round": round});
            guest.member.publish(CHANNEL, data.clone());
            said.push(data);
        }
    }
    for guest in &mut guests {
        assert_eq!(guest.member.publications(said.len()), said, "as {} hears it", guest.kind);
    }
    assert_eq!(messages(&mut source, said.len()), said);
    assert_eq!(curl.publications(said.len()), said);

    thread::scope(|scope| {
        for guest in &mut guests {
            scope.spawn(|| {
                (0..10).for_each(|n| guest.member.publish(CHANNEL, json!([guest.kind, n])));
            });
        }
    });
    let heard = curl.publications(50);
    for guest in &mut guests {
        let own: Vec<_> = heard.iter().filter(|said| said[0] == guest.kind).map(|said| &said[1]).collect();
        assert_eq!(own, (0..10).collect::<Vec<_>>(), "what {} said, in its order", guest.kind);
        assert_eq!(guest.member.publications(50), heard, "as {} hears it", guest.kind);
    }
    assert_eq!(messages(&mut source, 50), heard);
}

// Rows 44 and 98.
#[test]
fn whoever_is_cut_off_is_gone_within_the_lease_and_the_others_stay() {
    let server = quick_server();
    let mut guests = Guest::five_kinds(server.address());
    let mut observer = Client::new(Lines::open(server.address()));
    observer.connect();
    observer.subscribe(CHANNEL);
    while let Some(ghost) = guests.pop() {
        assert_eq!(present(&server).len(), guests.len() + 2);
        ghost.proxy.fall_silent();
        let mut rest: Vec<_> = guests.iter().map(|guest| guest.id.clone()).collect();
        rest.push(observer.id.clone());
        rest.sort();
        eventually(&format!("{} is gone", ghost.kind), LEASE + Duration::from_secs(1), || {
            // Whoever asks answers the pings that came before, and who polls is there as long as it asks.
            guests.iter_mut().for_each(|guest| drop(guest.member.presence(CHANNEL)));
            !observer.presence(CHANNEL).contains(&ghost.id)
        });
        assert_eq!(present(&server), rest, "after {} was cut off", ghost.kind);
    }
}
