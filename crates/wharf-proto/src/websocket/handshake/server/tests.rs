use std::{sync::Mutex, time::Instant};

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request that is right, with some headers replaced or, by an empty list, removed.
struct Asked {
    method: &'static str,
    minor_version: u8,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Asked {
    fn rightly() -> Self {
        let headers = [
            ("Host", "wharf.example"),
            ("Upgrade", "websocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        let headers = headers.map(|(name, value)| (name, value.as_bytes().to_vec())).to_vec();
        Self { method: "GET", minor_version: 1, headers }
    }

    fn with(mut self, name: &'static str, values: &[&[u8]]) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.extend(values.iter().map(|value| (name, value.to_vec())));
        self
    }

    fn judge(&self, policy: &Policy<'static>) -> Result<Accepted<'static>, Refusal> {
        let headers = self.headers.iter().map(|(name, value)| (*name, &value[..]));
        accept(self.method, self.minor_version, headers, policy)
    }

    fn refusal(&self) -> Option<Refusal> {
        self.judge(&ANY).err()
    }
}

const ANY: Policy<'static> =
    Policy { subprotocols: &["one", "two"], origin_allowed: &|_| true, deflate: None };

fn chosen(offers: &[&[u8]]) -> Result<Option<&'static str>, Refusal> {
    let asked = Asked::rightly().with("Sec-WebSocket-Protocol", offers);
    asked.judge(&ANY).map(|accepted| accepted.subprotocol())
}

#[test]
fn accepts_the_example_of_the_rfc_and_writes_its_answer() {
    // RFC 6455 section 1.2.
    let asked = Asked::rightly().with("Sec-WebSocket-Protocol", &[b"chat, one"]);
    let accepted = asked.judge(&ANY).unwrap();
    let mut out = BytesMut::new();
    accepted.write_response(&mut out);
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
                    Upgrade: websocket\r\n\
                    Connection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                    Sec-WebSocket-Protocol: one\r\n\r\n";
    assert_eq!(std::str::from_utf8(&out), Ok(expected));
}

#[test]
fn reads_names_and_tokens_in_any_case() {
    let headers: [(&str, &[u8]); 5] = [
        ("hOST", b"wharf.example"),
        ("UPGRADE", b"WebSocket"),
        ("connection", b"UPGRADE"),
        ("sec-websocket-version", b" 13\t"),
        ("SEC-WEBSOCKET-KEY", KEY.as_bytes()),
    ];
    assert!(accept("GET", 1, headers, &ANY).is_ok());
}

// Row 1.
#[test]
fn refuses_a_key_that_is_missing_doubled_or_not_16_bytes_with_400() {
    let cases: [(&[&[u8]], Refusal); 9] = [
        (&[], Refusal::KeyMissing),
        (&[KEY.as_bytes(), KEY.as_bytes()], Refusal::KeyRepeated),
        (&[b""], Refusal::KeyInvalid),
        (&[b"c2hvcnQ="], Refusal::KeyInvalid),
        (&[b"dGhlIHNhbXBsZSBub25jZSE="], Refusal::KeyInvalid), // 17 bytes in 24 characters
        (&[b"dGhlIHNhbXBsZSBub25jZSEh"], Refusal::KeyInvalid), // 18
        (&[b"dGhlIHNhbXBsZSBub25jZQ"], Refusal::KeyInvalid),   // no padding
        (&[b"dGhl*HNhbXBsZSBub25jZQ=="], Refusal::KeyInvalid),
        (&[&[b'A'; 20_000]], Refusal::KeyInvalid),
    ];
    for (values, expected) in cases {
        let refusal = Asked::rightly().with("Sec-WebSocket-Key", values).refusal();
        assert_eq!(refusal, Some(expected), "{values:?}");
        assert_eq!(expected.status(), 400);
    }
}

// Row 2.
#[test]
fn refuses_every_version_but_13_with_426_that_names_13() {
    let cases: [&[&[u8]]; 7] = [&[], &[b"12"], &[b"99"], &[b"8"], &[b"013"], &[b"13, 8"], &[b"13", b"13"]];
    for values in cases {
        let refusal = Asked::rightly().with("Sec-WebSocket-Version", values).refusal();
        assert_eq!(refusal, Some(Refusal::Version), "{values:?}");
    }
    assert_eq!(Refusal::Version.status(), 426);
    assert!(Refusal::Version.headers().contains(&("Sec-WebSocket-Version", "13")));
    assert!(Refusal::Version.headers().contains(&("Upgrade", "websocket")));
}

// Rows 3 and 4.
#[test]
fn refuses_an_origin_that_the_policy_refuses_with_403() {
    let allowed = |origin: Option<&str>| matches!(origin, None | Some("https://wharf.example"));
    let judge = |values: &[&[u8]]| {
        let asked = Asked::rightly().with("Origin", values);
        let headers = asked.headers.iter().map(|(name, value)| (*name, &value[..]));
        accept("GET", 1, headers, &Policy { subprotocols: &[], origin_allowed: &allowed, deflate: None })
            .err()
    };
    assert_eq!(judge(&[]), None);
    assert_eq!(judge(&[b"https://wharf.example"]), None);
    let refused: [&[&[u8]]; 6] = [
        &[b"https://evil.example"],
        &[b"null"],
        &[b"https://wharf.example.evil.example"],
        &[b""],
        &[b"https://wharf.example\xff"],
        &[b"https://wharf.example", b"https://wharf.example"],
    ];
    for values in refused {
        assert_eq!(judge(values), Some(Refusal::Origin), "{values:?}");
    }
    assert_eq!(Refusal::Origin.status(), 403);
}

#[test]
fn asks_the_policy_for_the_origin_as_it_was_sent() {
    let asked_for = Mutex::new(Vec::new());
    let allowed = |origin: Option<&str>| {
        asked_for.lock().unwrap().push(origin.map(str::to_owned));
        true
    };
    let asked = Asked::rightly().with("Origin", &[b" https://Wharf.example:8000 "]);
    let headers = asked.headers.iter().map(|(name, value)| (*name, &value[..]));
    accept("GET", 1, headers, &Policy { subprotocols: &[], origin_allowed: &allowed, deflate: None })
        .unwrap();
    assert_eq!(asked_for.into_inner().unwrap(), [Some("https://Wharf.example:8000".to_owned())]);
}

// Row 5.
#[test]
fn refuses_post_with_405_that_allows_get() {
    for method in ["POST", "PUT", "get", ""] {
        let asked = Asked { method, ..Asked::rightly() };
        assert_eq!(asked.refusal(), Some(Refusal::Method), "{method:?}");
    }
    assert_eq!(Refusal::Method.status(), 405);
    assert_eq!(Refusal::Method.headers(), [("Allow", "GET")]);
}

// Row 6.
#[test]
fn ignores_upgrade_over_http_1_0_and_says_426() {
    let asked = Asked { minor_version: 0, ..Asked::rightly() };
    assert_eq!(asked.refusal(), Some(Refusal::HttpVersion));
    assert_eq!(Refusal::HttpVersion.status(), 426);
}

// Row 7.
#[test]
fn refuses_a_request_without_upgrade_or_without_its_connection_option_with_426() {
    for values in [&[][..], &[&b"h2c"[..]], &[b"websockets"]] {
        assert_eq!(Asked::rightly().with("Upgrade", values).refusal(), Some(Refusal::NoUpgrade));
    }
    for values in [&[][..], &[&b"keep-alive"[..]], &[b"close", b"keep-alive"]] {
        assert_eq!(Asked::rightly().with("Connection", values).refusal(), Some(Refusal::NoConnectionUpgrade));
    }
    for refusal in [Refusal::NoUpgrade, Refusal::NoConnectionUpgrade] {
        assert_eq!(refusal.status(), 426);
        assert!(refusal.headers().contains(&("Upgrade", "websocket")));
    }
    let spread = Asked::rightly().with("Connection", &[b"keep-alive", b"upgrade"]);
    assert_eq!(spread.refusal(), None);
}

#[test]
fn suggests_to_fall_back_where_a_proxy_may_have_changed_the_request() {
    let refused = |asked: Asked| asked.refusal().is_some_and(Refusal::suggests_fallback);
    assert!(refused(Asked { minor_version: 0, ..Asked::rightly() }));
    assert!(refused(Asked::rightly().with("Upgrade", &[])));
    assert!(refused(Asked::rightly().with("Connection", &[b"close"])));
    // No proxy changes these: a client that falls back would only be refused elsewhere.
    assert!(!refused(Asked { method: "POST", ..Asked::rightly() }));
    for name in ["Host", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        assert!(!refused(Asked::rightly().with(name, &[])), "{name}");
    }
}

#[test]
fn refuses_a_missing_or_doubled_host_with_400() {
    assert_eq!(Asked::rightly().with("Host", &[]).refusal(), Some(Refusal::Host));
    assert_eq!(Asked::rightly().with("Host", &[b"a", b"b"]).refusal(), Some(Refusal::Host));
    assert_eq!(Refusal::Host.status(), 400);
}

// Row 8.
#[test]
fn echoes_only_a_subprotocol_that_was_offered() {
    assert_eq!(chosen(&[]), Ok(None));
    assert_eq!(chosen(&[b""]), Ok(None));
    assert_eq!(chosen(&[b"three, ONE, tw"]), Ok(None), "names are compared in their case");
    let accepted = Asked::rightly().judge(&ANY).unwrap();
    assert!(accepted.headers().all(|(name, _)| name != "Sec-WebSocket-Protocol"));
}

#[test]
fn chooses_the_first_of_the_clients_list_that_it_speaks() {
    assert_eq!(chosen(&[b"zero, two, one"]), Ok(Some("two")));
    assert_eq!(chosen(&[b"zero", b"one,two"]), Ok(Some("one")));
    assert_eq!(chosen(&[b", ,two,, one"]), Ok(Some("two")));
}

// Row 9.
#[test]
fn refuses_a_subprotocol_that_is_not_an_ascii_token_with_400() {
    for offer in
        [&b"caf\xc3\xa9"[..], b"one, \xff", b"a b", b"one, two/3", b"\"one\"", b"one;v=2", b"one\x00"]
    {
        assert_eq!(chosen(&[offer]), Err(Refusal::Subprotocol), "{offer:?}");
    }
    assert_eq!(Refusal::Subprotocol.status(), 400);
}

// Row 10.
#[test]
fn reads_32_kb_of_spaces_in_a_subprotocol_in_linear_time() {
    let spaces = b" ".repeat(32 * 1024);
    let started = Instant::now();
    assert_eq!(chosen(&[&[&spaces[..], b"one", &spaces].concat()]), Ok(Some("one")));
    assert_eq!(chosen(&[&[b"one", &spaces[..], b"two"].concat()]), Err(Refusal::Subprotocol));
    assert_eq!(chosen(&[&[&spaces[..], b",", &spaces, b"\t,two"].concat()]), Ok(Some("two")));
    assert_eq!(chosen(&[&b" ,".repeat(16 * 1024)]), Ok(None));
    // Some 200 thousand looks at a byte take a millisecond; quadratic time would be a thousand million and more.
    assert!(started.elapsed().as_millis() < 2_000, "{:?}", started.elapsed());
}

#[test]
fn takes_up_no_extension() {
    let asked = Asked::rightly().with("Sec-WebSocket-Extensions", &[b"permessage-deflate"]);
    let accepted = asked.judge(&ANY).unwrap();
    assert!(accepted.headers().all(|(name, _)| name != "Sec-WebSocket-Extensions"));
}
