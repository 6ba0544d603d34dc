//! The server API, as Centrifugo's clients speak it.

use serde_json::json;
use wharf::settings::Settings;

use crate::rig::{get, post, settings, start, start_with};

#[test]
fn a_publication_gets_its_offset_and_a_known_key_publishes_nothing() {
    let rig = start();
    // Row 95.
    let body = r#"{"channel":"a","data":{"n":1},"idempotency_key":"k"}"#;
    let first = rig.post("/api/publish", body).json();
    assert_eq!(first["result"]["offset"], 1);
    let epoch = first["result"]["epoch"].as_str().unwrap().to_owned();
    assert_eq!(rig.post("/api/publish", body).json(), first);
    let history = rig.post("/api/history", r#"{"channel":"a","limit":10}"#).json();
    assert_eq!(
        history["result"],
        json!({"publications":[{"data":{"n":1},"offset":1}],"epoch":epoch,"offset":1})
    );
    let unkept = rig.post("/api/publish", r#"{"channel":"a","data":2,"skip_history":true}"#).json();
    assert_eq!(unkept, json!({"result":{}}));
}

#[test]
fn tags_and_binary_are_published_too() {
    let rig = start();
    let tagged = rig.post("/api/publish", r#"{"channel":"a","data":1,"tags":{"k":"v"}}"#);
    assert_eq!(tagged.json()["result"]["offset"], 1);
    let history = rig.post("/api/history", r#"{"channel":"a","limit":-1}"#).json();
    assert_eq!(history["result"]["publications"][0]["tags"], json!({"k":"v"}));
    let binary = rig.post("/api/publish", r#"{"channel":"b","b64data":"AAEC"}"#);
    assert_eq!(binary.json()["result"]["offset"], 1);
    assert_eq!(rig.post("/api/publish", r#"{"channel":"b","b64data":"?"}"#).json()["error"]["code"], 107);
}

#[test]
fn a_broadcast_answers_for_each_channel() {
    let rig = start();
    let answer = rig.post("/api/broadcast", r#"{"channels":["a","","b"],"data":"x"}"#).json();
    let responses = answer["result"]["responses"].as_array().unwrap();
    assert_eq!(responses[0]["result"]["offset"], 1);
    assert_eq!(responses[1]["error"]["code"], 107);
    assert_eq!(responses[2]["result"]["offset"], 1);
    assert_eq!(rig.post("/api/broadcast", r#"{"data":1}"#).json()["error"]["code"], 107);
}

#[test]
fn history_is_read_from_either_end_and_removed() {
    let rig = start();
    for n in 1..=5 {
        rig.post("/api/publish", &json!({"channel":"a","data":n}).to_string());
    }
    let offsets = |params: &str| -> Vec<u64> {
        let answer = rig.post("/api/history", params).json();
        let publications = answer["result"]["publications"].as_array().unwrap().clone();
        publications.iter().map(|publication| publication["offset"].as_u64().unwrap()).collect()
    };
    assert_eq!(offsets(r#"{"channel":"a","limit":2}"#), [1, 2]);
    assert_eq!(offsets(r#"{"channel":"a","limit":2,"reverse":true}"#), [5, 4]);
    assert_eq!(offsets(r#"{"channel":"a","limit":9,"since":{"offset":3}}"#), [4, 5]);
    assert_eq!(offsets(r#"{"channel":"a"}"#), [0; 0]);
    let gone = r#"{"channel":"a","limit":9,"since":{"offset":3,"epoch":"xxxxxxxx"}}"#;
    assert_eq!(rig.post("/api/history", gone).json()["error"]["code"], 112);
    assert_eq!(rig.post("/api/history_remove", r#"{"channel":"a"}"#).json(), json!({"result":{}}));
    assert_eq!(offsets(r#"{"channel":"a","limit":9}"#), [0; 0]);
}

#[test]
fn presence_channels_and_info_tell_who_is_there() {
    let rig = start();
    let mut client = rig.connect();
    client.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"chat:1\"}}\n");
    client.until("\"id\":2");
    client.until("\n");
    let presence = rig.post("/api/presence", r#"{"channel":"chat:1"}"#).json();
    let members = presence["result"]["presence"].as_object().unwrap();
    let (id, member) = members.iter().next().unwrap();
    assert_eq!((members.len(), member), (1, &json!({"user":"","client":id})));
    let stats = rig.post("/api/presence_stats", r#"{"channel":"chat:1"}"#).json();
    assert_eq!(stats, json!({"result":{"num_clients":1,"num_users":1}}));
    let channels = rig.post("/api/channels", r#"{"pattern":"chat:*"}"#).json();
    assert_eq!(channels, json!({"result":{"channels":{"chat:1":{"num_clients":1}}}}));
    assert_eq!(rig.post("/api/channels", r#"{"pattern":"x*"}"#).json()["result"]["channels"], json!({}));
    let info = rig.post("/api/info", "{}").json();
    let node = &info["result"]["nodes"][0];
    assert_eq!(
        (&node["num_clients"], &node["num_subs"], &node["name"]),
        (&json!(1), &json!(1), &json!("wharf"))
    );
}

#[test]
fn clients_are_unsubscribed_and_disconnected() {
    let rig = start();
    let mut client = rig.connect();
    client.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n");
    client.until("\"id\":2");
    client.until("\n");
    assert_eq!(rig.post("/api/unsubscribe", r#"{"user":"","channel":"a"}"#).json(), json!({"result":{}}));
    assert!(client.until("\n").contains("\"unsubscribe\":{\"code\":2000"));
    let body = r#"{"user":"","disconnect":{"code":4001,"reason":"enough"}}"#;
    assert_eq!(rig.post("/api/disconnect", body).json(), json!({"result":{}}));
    assert!(client.rest().contains("\"disconnect\":{\"code\":4001,\"reason\":\"enough\""));
    assert_eq!(rig.post("/api/disconnect", "{}").json()["error"]["code"], 107);
    let reserved = r#"{"user":"","disconnect":{"code":1000}}"#;
    assert_eq!(rig.post("/api/disconnect", reserved).json()["error"]["code"], 107);
}

#[test]
fn a_batch_answers_in_its_order_under_each_method() {
    let rig = start();
    let body = r#"{"commands":[{"publish":{"channel":"a","data":1}},{"publish":{}},{"rpc":{}},{"info":{}}],"parallel":true}"#;
    let answer = rig.post("/api/batch", body).json();
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies[0]["publish"]["offset"], 1);
    assert_eq!(replies[1]["error"]["code"], 107);
    assert_eq!(replies[2]["error"]["code"], 108);
    assert!(replies[3]["info"]["nodes"].is_array());
    assert_eq!(rig.post("/api/batch", r#"{"commands":[{"a":{},"b":{}}]}"#).status(), 400);
    let nested = rig.post("/api/batch", r#"{"commands":[{"batch":{}}]}"#).json();
    assert_eq!(nested["replies"][0]["error"]["code"], 104);
}

#[test]
fn a_channel_may_be_spelt_with_escapes_and_a_long_key_is_a_bad_request() {
    let rig = start();
    let escaped = r#"{"channel":"a\u002fb","data":1}"#;
    assert_eq!(rig.post("/api/publish", escaped).json()["result"]["offset"], 1);
    assert_eq!(rig.post("/api/history", r#"{"channel":"a/b"}"#).json()["result"]["offset"], 1);
    let batch = r#"{"commands":[{"publ\u0069sh":{"channel":"a\/b","data":2}}]}"#;
    assert_eq!(rig.post("/api/batch", batch).json()["replies"][0]["publish"]["offset"], 2);
    let key = "k".repeat(256);
    let keyed = format!(r#"{{"channel":"a","data":1,"idempotency_key":"{key}"}}"#);
    assert_eq!(rig.post("/api/publish", &keyed).json()["error"]["code"], 107);
}

#[test]
fn the_old_form_answers_line_by_line() {
    let rig = start();
    let lines =
        "{\"method\":\"publish\",\"params\":{\"channel\":\"a\",\"data\":1}}\n\n{\"method\":\"nothing\"}\n";
    let answer = rig.post("/api", lines);
    let said: Vec<serde_json::Value> =
        answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said[0]["result"]["offset"], 1);
    assert_eq!((said.len(), &said[1]["error"]["code"]), (2, &json!(104)));
    assert_eq!(rig.post("/api", "").status(), 400);
    assert_eq!(rig.post("/api", "{\"method\":").status(), 400);
}

// Row 69.
#[test]
fn json_that_could_hurt_a_reader_is_400() {
    let rig = start();
    let deep = "[".repeat(100_000);
    for body in [
        deep.as_str(),
        &format!("{{\"channel\":\"a\",\"data\":{deep}}}"),
        &format!("{{\"channel\":\"a\",\"data\":{}{}}}", "[".repeat(129), "]".repeat(129)),
        "{\"channel\":\"a\",\"data\":\"\\ud800\"}",
        "{\"channel\":\"a\",\"channel\":\"b\",\"data\":1}",
        "{\"channel\":\"a\",\"data\":1,}",
        "not json",
    ] {
        let answer = rig.post("/api/publish", body);
        assert_eq!(answer.status(), 400, "{:.80}", body);
        assert_eq!(answer.json()["error"]["code"], 107);
    }
    assert_eq!(
        rig.post("/api/history", r#"{"channel":"a"}"#).json()["result"]["offset"],
        0,
        "nothing came through"
    );
}

#[test]
fn errors_are_200_or_statuses_as_the_caller_wishes() {
    let rig = start();
    let answer = rig.post("/api/publish", r#"{"channel":"","data":1}"#);
    assert_eq!((answer.status(), &answer.json()["error"]["code"]), (200, &json!(107)));
    let by_status = "X-Centrifugo-Error-Mode: transport\r\n";
    let answer = rig.post_with("/api/publish", by_status, r#"{"channel":"","data":1}"#);
    assert_eq!((answer.status(), &answer.json()["code"]), (400, &json!(107)));
    let unknown = rig.post("/api/nothing", "{}");
    assert_eq!((unknown.status(), &unknown.json()["error"]["code"]), (404, &json!(104)));
    assert_eq!(rig.post("/api/subscribe", "{}").json()["error"]["code"], 108);
}

#[test]
fn a_key_is_asked_for_in_any_of_its_three_places() {
    let keys = vec!["first".to_owned(), "second".to_owned()];
    let rig = start_with(Settings { development: false, api_keys: keys, ..settings() });
    for (path, header) in [
        ("/api/info", "X-API-Key: second\r\n"),
        ("/api/info", "Authorization: apikey first\r\n"),
        ("/api/info", "Authorization: ApiKey first\r\n"),
        ("/api/info?api_key=first", ""),
    ] {
        assert_eq!(rig.post_with(path, header, "{}").status(), 200, "{path} {header}");
    }
    for (path, header) in [
        ("/api/info", ""),
        ("/api/info", "X-API-Key: firs\r\n"),
        ("/api/info", "X-API-Key: \r\n"),
        ("/api/info", "Authorization: Bearer first\r\n"),
        ("/api/info?api_key=", ""),
    ] {
        let answer = rig.post_with(path, header, "{}");
        assert_eq!(answer.status(), 401, "{path} {header}");
        assert!(answer.error().contains("API key"), "{}", answer.body);
    }
}

#[test]
fn without_a_configured_key_the_api_is_closed() {
    let rig = start_with(Settings { development: false, ..settings() });
    let answer = rig.post_with("/api/info", "X-API-Key: \r\n", "{}");
    assert_eq!(answer.status(), 401);
    assert!(answer.error().contains("configure api_keys"));
}

#[test]
fn a_body_over_the_api_limit_is_413() {
    let mut settings = settings();
    settings.limits.api_body_bytes = 100_000;
    let rig = start_with(settings);
    let mut client = rig.connect();
    client.try_send(post("/api/publish", "", &"a".repeat(100_001))).ok();
    assert_eq!(client.answer().status(), 413);
}

/// A request that is all here is answered without hyper; whatever stands between two of them is not.
#[test]
fn requests_of_all_kinds_on_one_connection_are_answered_alike_and_in_their_order() {
    let rig = start();
    let publish = |n: u32| post("/api/publish", "", &format!("{{\"channel\":\"a\",\"data\":{n}}}"));
    let chunked = "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
        18\r\n{\"channel\":\"a\",\"data\":3}\r\n0\r\n\r\n";
    let requests = [
        (publish(1), 200),
        (publish(2), 200),
        (get("/health"), 200),
        (chunked.to_owned(), 200),
        (publish(4), 200),
        (post("/api/nothing", "", "{}"), 404),
        (post("/api/publish", "", "{"), 400),
        (get("/nothing"), 404),
        (post("/api/publish", "Origin: https://evil.example\r\n", "{}"), 403),
        (publish(5), 200),
        (post("/api/history", "Connection: close\r\n", r#"{"channel":"a","limit":-1}"#), 200),
    ];
    let all: String = requests.iter().map(|(request, _)| request.as_str()).collect();
    // In one write, and cut at places where a head is whole and its body is not.
    for pieces in [1, 3, 40] {
        rig.post("/api/history_remove", r#"{"channel":"a"}"#);
        let mut client = rig.connect();
        for piece in all.as_bytes().chunks(all.len().div_ceil(pieces)) {
            client.send(piece);
        }
        for (request, status) in &requests {
            let answer = client.answer();
            assert_eq!(answer.status(), *status, "{pieces} pieces: {request}: {}", answer.body);
            assert!(answer.header("date").is_some(), "{request}");
            let is_last = request.contains("Connection: close");
            assert_eq!(
                answer.header("connection").is_some_and(|value| value == "close"),
                is_last,
                "{request}"
            );
            if is_last {
                let publications = answer.json()["result"]["publications"].as_array().unwrap().clone();
                let said: Vec<_> = publications.iter().map(|one| one["data"].as_u64().unwrap()).collect();
                assert_eq!(said, [1, 2, 3, 4, 5]);
            }
        }
        assert_eq!(client.rest(), "", "and that is all");
    }
}

#[test]
fn a_key_is_asked_for_before_a_body_is_looked_at() {
    let rig = start_with(Settings { development: false, api_keys: vec!["secret".to_owned()], ..settings() });
    let mut client = rig.connect();
    client.send(post("/api/publish", "", "no json"));
    assert_eq!(client.answer().status(), 401);
    client.send(post("/api/publish", "X-API-Key: secret\r\n", "no json"));
    assert_eq!(client.answer().status(), 400, "the connection goes on");
}

/// RFC 9112 section 9.6: a client may send again what stood behind an answer that closes.
#[test]
fn nothing_is_carried_out_behind_an_answer_that_closes_the_connection() {
    let mut settings = settings();
    settings.limits.api_body_bytes = 1_024;
    let rig = start_with(settings);
    let mut client = rig.connect();
    let long = post("/api/publish", "", &format!("{{\"channel\":\"a\",\"data\":\"{}\"}}", "x".repeat(2_000)));
    let short = post("/api/publish", "", r#"{"channel":"a","data":1}"#);
    client.send(long + &short);
    let answer = client.answer();
    assert_eq!((answer.status(), answer.header("connection")), (413, Some("close")));
    assert_eq!(client.rest(), "");
    let history = rig.post("/api/history", r#"{"channel":"a","limit":-1}"#).json();
    assert_eq!(history["result"]["publications"], json!([]));
}
