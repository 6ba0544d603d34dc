//! `/connection/poll` over HTTP; what a poll session does is the worker's to test.

use crate::rig::{post, start};

const PATH: &str = "/connection/poll";
const CONNECT: &str = "{\"id\":1,\"connect\":{}}";

#[test]
fn a_session_connects_subscribes_and_hears_by_asking_again() {
    let rig = start();
    let first = rig.post("/connection/poll?wait=0", CONNECT);
    assert_eq!(first.status(), 200);
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    assert!(first.body.starts_with("{\"id\":1,\"connect\":{"), "{}", first.body);
    let session = format!("Wharf-Session: {}\r\n", first.header("wharf-session").unwrap());
    let subscribed =
        rig.post_with("/connection/poll?wait=0", &session, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n");
    assert!(subscribed.body.contains("\"id\":2,\"subscribe\""), "{}", subscribed.body);
    let mut waiting = rig.connect();
    waiting.send(post("/connection/poll?wait=20", &session, ""));
    rig.post("/api/publish", "{\"channel\":\"a\",\"data\":\"now\"}");
    let heard = waiting.answer();
    assert!(heard.body.contains("\"data\":\"now\""), "{}", heard.body);
    assert!(heard.header("wharf-seq").unwrap().parse::<u64>().is_ok());
}

#[test]
fn a_client_that_left_while_it_waited_takes_nothing_with_it() {
    let rig = start();
    let first = rig.post("/connection/poll?wait=0", CONNECT);
    let session = format!("Wharf-Session: {}\r\n", first.header("wharf-session").unwrap());
    let subscribed =
        rig.post_with("/connection/poll?wait=0", &session, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n");
    assert!(subscribed.body.contains("\"id\":2"), "{}", subscribed.body);
    let mut waiting = rig.connect();
    waiting.send(post("/connection/poll?wait=60", &session, ""));
    waiting.finish();
    let nothing = waiting.answer();
    assert_eq!((nothing.status(), nothing.body.as_str()), (200, ""), "long before its 60 seconds");
    rig.post("/api/publish", "{\"channel\":\"a\",\"data\":\"kept\"}");
    let heard = rig.post_with("/connection/poll?wait=20", &session, "");
    assert!(heard.body.contains("\"data\":\"kept\""), "{}", heard.body);
}

#[test]
fn what_is_pipelined_behind_a_waiting_poll_is_answered_after_it() {
    let rig = start();
    let first = rig.post("/connection/poll?wait=0", CONNECT);
    let session = format!("Wharf-Session: {}\r\n", first.header("wharf-session").unwrap());
    let mut waiting = rig.connect();
    waiting.send(post("/connection/poll?wait=1", &session, ""));
    waiting.send(crate::rig::get("/health"));
    assert_eq!(waiting.answer().header("content-type"), Some("application/x-ndjson"));
    assert_eq!(waiting.answer().body, "{}");
}

// Row 68.
#[test]
fn a_guessed_session_is_404_and_says_what_to_do() {
    let rig = start();
    let first = rig.post("/connection/poll?wait=0", CONNECT);
    let session = first.header("wharf-session").unwrap();
    let last = if session.ends_with('A') { 'Q' } else { 'A' };
    let forged = format!("{}{last}", &session[..session.len() - 1]);
    for guess in [forged.as_str(), "guess", ""] {
        let answer = rig.post_with(PATH, &format!("Wharf-Session: {guess}\r\n"), "");
        assert_eq!(answer.status(), 404, "{guess:?}");
        assert!(answer.error().contains("connect anew"));
    }
}

// Row 67.
#[test]
fn eight_megabytes_of_line_ends_are_refused_while_they_come() {
    let rig = start();
    let mut client = rig.connect();
    client.send(format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let chunk = format!("4000\r\n{}\r\n", "\n".repeat(0x4000));
    let sent = (0..512).take_while(|_| client.try_send(&chunk).is_ok()).count();
    let answer = client.answer();
    assert_eq!(answer.status(), 413, "after {sent} chunks");
    assert!(answer.error().contains("65536"));
}

#[test]
fn what_cannot_be_understood_is_400() {
    let rig = start();
    assert_eq!(rig.post("/connection/poll?wait=soon", CONNECT).status(), 400);
    assert_eq!(rig.post_with(PATH, "Wharf-Ack: x\r\n", CONNECT).status(), 400);
    for first in ["", "{", "[]"] {
        let answer = rig.post("/connection/poll?wait=0", first);
        assert_eq!(answer.status(), 400, "{first:?}");
        assert_eq!(answer.json()["error"]["code"], 3501);
    }
}
