//! npm `centrifuge`, which nobody here wrote, over each of its transports.

mod common;

use common::{
    javascript::Javascript,
    server::{Server, Setup},
    suite,
};
use serde_json::json;

/// How many checks `judges/js/sdk_suite.mjs` makes: 30 over each of three transports, and one of WebSocket's own.
const CHECKS: usize = 91;

#[test]
fn the_javascript_sdk_conforms_over_every_transport() {
    let server = Setup::new().quick_pings().start();
    suite::javascript("sdk_suite", &[&server.url()], CHECKS);
}

#[test]
fn clients_on_different_transports_meet_in_one_channel() {
    let server = Server::start();
    let mut clients: Vec<_> = ["websocket", "http_stream", "sse"]
        .map(|transport| Javascript::subscribed(transport, &server.url(), "meeting"))
        .into();
    let mut everybody: Vec<String> = clients.iter().map(|(_, id)| id.clone()).collect();
    everybody.sort();
    for (client, id) in &mut clients {
        client.call(json!({"op": "publish", "data": {"from": id}}));
    }
    for (client, _) in &mut clients {
        let mut authors: Vec<String> = client
            .publications(3)
            .iter()
            .map(|data| data["from"].as_str().expect("each says who published").to_owned())
            .collect();
        authors.sort();
        assert_eq!(authors, everybody);
        let present = client.call(json!({"op": "presence"}));
        let mut present: Vec<_> = present.as_object().expect("presence is a map").keys().cloned().collect();
        present.sort();
        assert_eq!(present, everybody);
    }
}
