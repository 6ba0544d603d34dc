//! `connections` of the server API.

use serde_json::{Value, json};
use wharf::settings::Settings;

use super::rig::{Client, Rig, settings, start, start_with};

fn joined(rig: &Rig, channel: &str) -> Client {
    let mut client = rig.connect();
    client.send("{\"id\":1,\"connect\":{}}\n");
    client.until("\n");
    client.send(format!("{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}\n"));
    client.until("\n");
    client
}

fn ask(rig: &Rig, params: Value) -> Value {
    let answer = rig.post("/api/connections", &params.to_string());
    assert_eq!(answer.status(), 200, "{}", answer.body);
    answer.json()
}

fn rows(rig: &Rig, params: Value) -> Vec<Value> {
    let answer = ask(rig, params);
    answer["result"]["connections"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

/// The ends of JSON lines over TCP, once there are so many.
fn ends(rig: &Rig, count: usize, params: &Value) -> Vec<Value> {
    loop {
        let answer = ask(rig, params.clone());
        let ended = answer["result"]["ended"].as_array().unwrap().clone();
        if ended.len() >= count {
            return ended;
        }
        std::thread::yield_now();
    }
}

#[test]
fn who_is_connected_is_listed_with_what_the_kernel_knows() {
    let rig = start();
    let _client = joined(&rig, "news");
    let [row] = &rows(&rig, json!({}))[..] else { panic!() };
    assert_eq!(
        (&row["transport"], &row["carrier"], &row["state"]),
        (&json!("tcp"), &json!("tcp"), &json!("connected"))
    );
    assert_eq!(row["channels"], json!(["news"]));
    assert_eq!(row["network"], "127.0.0.0/24");
    assert_eq!(row["listener"], format!("tcp://{}", rig.address()));
    assert!(row["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{row}");
    assert_eq!(
        (&row["messages_in"], &row["messages_out"], &row["queue_bytes"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(row["ping_ms"], 25_000);
    assert!(row["bytes_in"].as_u64().unwrap() > 40 && row["bytes_out"].as_u64().unwrap() > 40, "{row}");
    assert!(
        row["tcp"]["rtt_us"].as_u64().unwrap() > 0 && row["tcp"]["congestion_window"].as_u64().unwrap() > 0
    );
}

#[test]
fn filters_choose_and_a_cursor_finds_each_once() {
    let rig = start();
    let mut clients: Vec<Client> = (0..7).map(|_| joined(&rig, "news")).collect();
    clients.push(joined(&rig, "weather"));
    assert_eq!(rows(&rig, json!({"channel": "weather"})).len(), 1);
    assert_eq!(rows(&rig, json!({"channel": "nothing"})).len(), 0);
    assert_eq!(rows(&rig, json!({"transport": "websocket"})).len(), 0);
    assert_eq!(rows(&rig, json!({"user": ""})).len(), 8);
    assert_eq!(rows(&rig, json!({"user": "ann"})).len(), 0);
    assert_eq!(rows(&rig, json!({"network": "127.0.0.9"})).len(), 8);
    let client = rows(&rig, json!({"channel": "weather"}))[0]["client"].clone();
    assert_eq!(rows(&rig, json!({"client": client})).len(), 1);

    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let answer = ask(&rig, json!({"limit": 3, "cursor": cursor}));
        let page = answer["result"]["connections"].as_array().unwrap().clone();
        assert!(page.len() <= 3);
        seen.extend(page.iter().map(|row| row["client"].as_str().unwrap().to_owned()));
        cursor = answer["result"]["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8);
}

#[test]
fn an_order_gives_the_first_of_all_workers() {
    let rig = start();
    let _clients: Vec<Client> = (0..6).map(|_| joined(&rig, "news")).collect();
    let ages = |order: &str| -> Vec<u64> {
        let rows = rows(&rig, json!({"order": order, "limit": 4}));
        assert_eq!(rows.len(), 4);
        rows.iter().map(|row| row["age_ms"].as_u64().unwrap()).collect()
    };
    // The clock goes on between one worker's answer and the other's.
    let slack = |ages: &[u64], newer: bool| {
        ages.windows(2)
            .all(|pair| if newer { pair[0] <= pair[1] + 1_000 } else { pair[0] + 1_000 >= pair[1] })
    };
    assert!(slack(&ages("oldest"), false) && slack(&ages("newest"), true));
    let error = rig.post("/api/connections", r#"{"order":"prettiest"}"#).body;
    assert!(error.contains("queued"), "{error}");
}

#[test]
fn what_became_of_connections_is_listed_the_newest_first() {
    let rig = start();
    drop(joined(&rig, "news"));
    ends(&rig, 1, &json!({"ended": true}));
    let mut rude = rig.connect();
    rude.send("{\"id\":1,\"connect\":{}}\n{\"id\":1,\"connect\":{}}\n");
    rude.rest();
    let ended = ends(&rig, 2, &json!({"ended": true}));
    let verdicts: Vec<_> = ended.iter().map(|row| row["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["protocol_error", "closed_by_peer"]);
    let [rude, gone] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((&rude["code"], &rude["reason"]), (&json!(3501), &json!("connect was sent twice")));
    assert_eq!((&gone["network"], &gone["user"]), (&json!("127.0.0.0/24"), &json!("")));
    assert!(gone["bytes_in"].as_u64().unwrap() > 40, "known after the end: {gone}");

    let first = ask(&rig, json!({"ended": true, "limit": 1}));
    let cursor = first["result"]["cursor"].as_str().expect("there is another");
    let second = ask(&rig, json!({"ended": true, "limit": 1, "cursor": cursor}));
    assert_eq!(second["result"]["ended"][0]["verdict"], "closed_by_peer");
    let third = match second["result"]["cursor"].as_str() {
        Some(cursor) => ask(&rig, json!({"ended": true, "cursor": cursor}))["result"]["ended"].clone(),
        None => json!([]),
    };
    assert_eq!(third, json!([]));
    assert_eq!(ends(&rig, 1, &json!({"ended": true, "verdict": "protocol_error"})).len(), 1);
    assert_eq!(ask(&rig, json!({"ended": true, "transport": "poll"}))["result"]["ended"], json!([]));
    let metrics = rig.ask(&super::rig::get("/metrics")).body;
    assert!(
        metrics.contains("wharf_connections_ended_total{kind=\"tcp\",verdict=\"closed_by_peer\"} 1"),
        "{metrics}"
    );
}

#[test]
fn nobody_asks_without_a_key() {
    let rig = start_with(Settings { development: false, api_keys: vec!["secret".to_owned()], ..settings() });
    assert_eq!(rig.post("/api/connections", "{}").status(), 401);
    assert_eq!(rig.post_with("/api/connections", "X-API-Key: secret\r\n", "{}").status(), 200);
}

#[test]
fn paths_of_which_nothing_is_known_are_none_and_it_is_said_whether_they_are_watched() {
    let rig = start();
    let answer = rig.post("/api/paths", "").json();
    assert_eq!(answer["result"], json!({"enabled": true, "ping_ms": 25_000, "paths": []}));
    let mut off = settings();
    off.paths.enabled = false;
    let answer = start_with(off).post("/api/paths", "").json();
    assert_eq!(answer["result"]["enabled"], false);
}
