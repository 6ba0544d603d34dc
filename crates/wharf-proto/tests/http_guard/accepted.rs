//! What passes, and what is learnt of it.

use wharf_proto::http::{BodyLength, Guard, GuardLimits, Step};

use crate::{assert_becomes, assert_passes, body::feed, chunked, get};

#[test]
fn a_request_passes_unchanged_and_its_head_is_told() {
    let heads = assert_passes(
        "PATCH /a/b%20c?d=e?f HTTP/1.1\r\nHost: Example.com:8000\r\nX-One:  1 \t\r\nX-Empty:\r\nx-one: h\u{e9}\r\n\
         Content-Length: 3\r\n\r\nabc",
    );
    let head = &heads[0];
    assert_eq!((head.method.as_str(), head.target.as_str(), head.minor), ("PATCH", "/a/b%20c?d=e?f", 1));
    assert_eq!((head.path.as_str(), head.query.as_deref()), ("/a/b%20c", Some("d=e?f")));
    assert_eq!(head.host.as_deref(), Some("Host { name: Name(\"Example.com\"), port: Some(8000) }"));
    assert_eq!(head.body, BodyLength::Bytes(3));
    let fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(
        fields,
        [
            ("Host", &b"Example.com:8000"[..]),
            ("X-One", b"1"),
            ("X-Empty", b""),
            ("x-one", "h\u{e9}".as_bytes()),
            ("Content-Length", b"3"),
        ]
    );
}

#[test]
fn a_field_that_may_stand_once_is_refused_where_it_is_asked_for_and_doubled() {
    let request = get("Origin: https://a\r\nCookie: a\r\nCookie: b\r\n");
    let mut guard = Guard::new(GuardLimits::default());
    let Ok(Step::Head(head)) = guard.step(request.as_bytes()) else { panic!("a head") };
    assert_eq!(head.value("ORIGIN"), Ok(Some(&b"https://a"[..])));
    assert_eq!(head.value("Authorization"), Ok(None));
    assert_eq!(head.value("Cookie").map_err(|refusal| refusal.status()), Err(400));
    assert_eq!(head.values("cookie").collect::<Vec<_>>(), [b"a", b"b"]);
}

// Row 61.
#[test]
fn pipelined_requests_with_every_kind_of_body_stay_in_step() {
    let requests = [
        "GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n".to_owned(),
        get(""),
        "GET /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n12\r\nGET /no HTTP/1.1\r\n\r\n0\r\n\r\n".into(),
        "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".into(),
        "HEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
    ];
    let heads = assert_passes(requests.concat());
    let targets: Vec<_> = heads.iter().map(|head| head.target.as_str()).collect();
    assert_eq!(targets, ["/1", "/", "/2", "/3", "/4"]);
    let starts: Vec<_> = (0..requests.len()).map(|index| requests[..index].concat().len()).collect();
    assert_eq!(heads.iter().map(|head| head.at).collect::<Vec<_>>(), starts);
}

// Row 58.
#[test]
fn trailers_do_not_pass() {
    assert_becomes(
        chunked("3\r\nabc\r\n0\r\nHost: evil\r\nAuthorization: Bearer x\r\nContent-Length: 9\r\n\r\n"),
        chunked("3\r\nabc\r\n0\r\n\r\n"),
    );
}

#[test]
fn chunk_extensions_do_not_pass() {
    assert_becomes(
        chunked("3;a;b=\"c \\\" d\" ; e = f\r\nabc\r\n00 ;z\r\n\r\n"),
        chunked("3\r\nabc\r\n00\r\n\r\n"),
    );
}

#[test]
fn blank_lines_before_a_request_are_dropped() {
    assert_becomes(format!("\r\n\r\n{0}\r\n\r\n\r\n\r\n{0}", get("")), format!("{0}{0}", get("")));
}

#[test]
fn each_request_form_gives_path_query_and_host() {
    for (method, target, path, query, host) in [
        ("GET", "/", "/", None, "a"),
        ("GET", "/?", "/", Some(""), "a"),
        ("GET", "/b?c{|}[]^`\\", "/b", Some("c{|}[]^`\\"), "a"),
        ("OPTIONS", "*", "*", None, "a"),
        ("GET", "http://A/b?c", "/b", Some("c"), "A"),
        ("GET", "HTTPS://a", "/", None, "a"),
        ("GET", "http://a?c", "/", Some("c"), "a"),
    ] {
        let heads = assert_passes(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((heads[0].path.as_str(), heads[0].query.as_deref()), (path, query), "{target}");
        assert_eq!(heads[0].host, Some(format!("Host {{ name: Name({host:?}), port: None }}")), "{target}");
    }
    assert_passes("GET http://a:80/ HTTP/1.1\r\nHost: A\r\n\r\n");
}

#[test]
fn http_1_0_needs_no_host_and_stays_open_only_when_asked() {
    assert_eq!(assert_passes("GET / HTTP/1.0\r\n\r\n")[0].host, None);
    for (request, keeps_alive) in [
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".into(), true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n".into(), false),
        (get(""), true),
        (get("Connection: x,, Close\r\n"), false),
        (get("Connection: closed\r\n"), true),
    ] {
        assert_eq!(assert_passes(&request)[0].keeps_alive, keeps_alive, "{request}");
    }
}

#[test]
fn nothing_behind_the_last_request_passes() {
    let last = get("Connection: close\r\n");
    assert_becomes(format!("{last}{}\0\n", get("")), last);
}

// Row 6: HTTP/1.0 with Upgrade is served as if it had none. Row 7: so is an Upgrade without its option.
#[test]
fn an_upgrade_counts_with_its_option_and_in_http_1_1_only() {
    for (request, upgrade) in [
        (get("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"), true),
        (get("Upgrade: websocket\r\n"), false),
        (get("Connection: upgrade\r\n"), false),
        (get("Upgrade:\r\nConnection: upgrade\r\n"), false),
        ("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".into(), false),
    ] {
        assert_eq!(assert_passes(&request)[0].upgrade, upgrade, "{request}");
    }
}

// Row 13.
#[test]
fn bytes_behind_an_upgrade_request_are_judged_as_the_next_request() {
    let upgrade = get("Upgrade: websocket\r\nConnection: upgrade\r\n");
    let outcome = feed(GuardLimits::default(), [format!("{upgrade}\u{1}\u{2}\n").as_bytes()]);
    assert_eq!(outcome.heads.len(), 1);
    assert_eq!(outcome.passed, upgrade.as_bytes());
    assert_eq!(outcome.refusal.map(|refusal| refusal.status()), Some(400));
}

#[test]
fn the_only_expectation_is_told_and_ignored_in_http_1_0() {
    assert!(assert_passes(get("Expect: 100-Continue\r\n"))[0].expects_continue);
    assert!(!assert_passes(get(""))[0].expects_continue);
    assert!(!assert_passes("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")[0].expects_continue);
}

#[test]
fn a_guard_is_idle_before_and_between_requests() {
    let mut guard = Guard::new(GuardLimits::default());
    assert!(guard.is_idle());
    let request = get("");
    assert!(matches!(guard.step(&request.as_bytes()[..1]), Ok(Step::NeedMore)));
    assert!(!guard.is_idle(), "a head has begun");
    assert!(matches!(guard.step(request.as_bytes()), Ok(Step::Head(_))));
    assert!(!guard.is_idle(), "a request is under way");
    assert!(matches!(guard.step(b""), Ok(Step::End)));
    assert!(guard.is_idle());
}

#[test]
fn a_guard_holds_a_few_hundred_bytes() {
    assert!(size_of::<Guard>() <= 320, "{}", size_of::<Guard>());
}
