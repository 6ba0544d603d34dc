//! Which address answers what, and how it says no.

use wharf::settings::Settings;

use crate::rig::{get, settings, start, start_with};

#[test]
fn the_page_says_what_runs_and_warns_of_development_mode() {
    let answer = start().ask(&get("/"));
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.body.contains("/connection/websocket") && answer.body.contains("Development mode"));
}

#[test]
fn an_unknown_path_is_404_in_json_with_the_mend() {
    let rig = start();
    for path in ["/nothing", "/connection", "/api2", "/connection/websocket/", "/events/"] {
        let answer = rig.ask(&get(path));
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.error().contains("/ lists the addresses"));
    }
}

// Row 66.
#[test]
fn a_path_that_climbs_or_hides_is_404() {
    let rig = start();
    for path in ["/..%2fapi/info", "/health%00", "/%2e%2e/health", "/./health", "/api%2finfo", "/a/../health"]
    {
        assert_eq!(rig.ask(&get(path)).status(), 404, "{path}");
    }
}

#[test]
fn a_wrong_method_is_405_and_names_the_right_ones() {
    let rig = start();
    for (request, allow) in [
        (get("/connection/poll"), "POST, OPTIONS"),
        (get("/api/info"), "POST, OPTIONS"),
        (get("/connection/http_stream"), "POST, OPTIONS"),
        ("DELETE /events?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "GET, OPTIONS"),
    ] {
        let answer = rig.ask(&request);
        assert_eq!(answer.status(), 405, "{request}");
        assert_eq!(answer.header("allow"), Some(allow));
        assert!(answer.error().contains(allow));
    }
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let rig = start();
    let mut client = rig.connect();
    for _ in 0..3 {
        client.send(get("/health"));
        assert_eq!(client.answer().body, "{}");
    }
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_preflight_is_answered_for_local_pages() {
    let rig = start();
    let preflight = |path: &str, origin: &str| {
        rig.ask(&format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: wharf-session\r\n\r\n"
        ))
    };
    let answer = preflight("/connection/poll", "http://localhost:3000");
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("wharf-session"));
    assert_eq!(answer.header("access-control-max-age"), Some("300"));
    assert_eq!(
        preflight("/events?channel=a", "http://localhost").header("access-control-allow-methods"),
        Some("GET, OPTIONS")
    );
    // Rows 3 and 4.
    let foreign = preflight("/connection/poll", "http://localhost.evil.example");
    assert_eq!(foreign.status(), 403);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

#[test]
fn development_mode_answers_to_local_names_only() {
    let rig = start();
    let answer = rig.ask("POST /api/info HTTP/1.1\r\nHost: rebound.example\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(answer.status(), 403);
    assert!(answer.error().contains("localhost"));
}

// Row 102.
#[test]
fn a_draining_node_is_not_ready_and_takes_nothing_new() {
    let rig = start();
    rig.server.node().draining.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = rig.ask(&get("/health"));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(rig.ask(&get("/events?channel=a")).status(), 503);
}

// Row 101.
#[test]
fn metrics_count_by_kind_and_never_by_channel() {
    let rig = start();
    let mut client = rig.connect();
    client.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"secret\"}}\n");
    client.until("\"id\":2");
    let answer = rig.ask(&get("/metrics"));
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.body.contains("wharf_connections{kind=\"tcp\"} 1"), "{}", answer.body);
    assert!(answer.body.contains("wharf_channels 1") && answer.body.ends_with("# EOF\n"), "{}", answer.body);
    assert!(!answer.body.contains("secret"));
}

#[test]
fn other_origins_must_be_configured() {
    let rig = start_with(Settings {
        development: false,
        allowed_origins: vec!["https://app.example".to_owned()],
        ..settings()
    });
    let ask = |origin: &str| {
        rig.ask(&format!("GET /health HTTP/1.1\r\nHost: chat.example\r\nOrigin: {origin}\r\n\r\n"))
    };
    let answer = ask("https://app.example");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    let answer = ask("https://other.example");
    assert_eq!(answer.status(), 403);
    assert!(answer.error().contains("allowed_origins"));
}
