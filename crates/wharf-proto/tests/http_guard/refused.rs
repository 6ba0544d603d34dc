//! What is refused, and with which status.

use wharf_proto::http::{GuardLimits, Refusal};

use crate::{assert_passes, assert_refused, body::feed, chunked, feed_every_way, get};

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

// Row 54.
#[test]
fn content_length_with_transfer_encoding_is_refused_in_either_order() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        assert_refused(post(fields), Refusal::LengthAndTransferEncoding);
    }
}

// Row 55.
#[test]
fn a_content_length_that_is_not_one_plain_number_is_refused() {
    for value in [
        "+5",
        "-5",
        "0x5",
        "5, 6",
        "5, 5",
        "5,",
        "",
        " ",
        "5 5",
        "5.0",
        "5e0",
        "\"5\"",
        "\u{665}",
        "1_0",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        assert_refused(post(&format!("Content-Length: {value}\r\n")), Refusal::ContentLength);
    }
    for fields in ["Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\ncontent-length: 5\r\n"]
    {
        assert_refused(post(fields), Refusal::ContentLengthDoubled);
    }
}

// Row 56.
#[test]
fn a_transfer_encoding_other_than_chunked_is_refused() {
    for value in [
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "",
        "chunked;q=1",
        "\"chunked\"",
        "chunked,",
        ",chunked",
        "chun ked",
        "chunked, gzip, chunked",
        "g zip, chunked",
    ] {
        assert_refused(post(&format!("Transfer-Encoding: {value}\r\n")), Refusal::TransferEncoding);
    }
    for value in ["gzip, chunked", "identity,chunked", "x, y, Chunked"] {
        assert_refused(post(&format!("Transfer-Encoding: {value}\r\n")), Refusal::TransferEncodingUnknown);
    }
    assert_refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncodingDoubled,
    );
    assert_refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        Refusal::TransferEncodingDoubled,
    );
    assert_refused(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::TransferEncodingOnHttp10,
    );
}

/// Asserts that the body is refused after the head has passed, and that `passed` of the body passes.
#[track_caller]
fn assert_body_refused(body: &str, passed: &str, refusal: Refusal) {
    let request = chunked(body);
    let outcome = feed_every_way(GuardLimits::default(), request.as_bytes());
    assert_eq!(outcome.refusal, Some(refusal), "{body:?}");
    assert_eq!(outcome.ends, 0, "{body:?}");
    assert_eq!(String::from_utf8_lossy(&outcome.passed), chunked(passed), "{body:?}");
}

// Row 57.
#[test]
fn a_chunk_size_that_is_not_a_plain_hexadecimal_number_is_refused() {
    for line in ["+5", "-5", "0x5", "", "x", " 5", "10000000000000000", "fffffffffffffffff", "5\r"] {
        assert_body_refused(&format!("{line}\r\nabcde\r\n"), "", Refusal::ChunkSize);
    }
    assert_body_refused("5\nabcde\n", "", Refusal::BareLineFeed);
    assert_body_refused("5;a=\nabcde\r\n", "", Refusal::BareLineFeed);
    assert_body_refused("5;a=\"\0\"\r\nabcde\r\n", "", Refusal::ChunkExtension);
    assert_body_refused("5;a\u{1}\r\nabcde\r\n", "", Refusal::ChunkExtension);
    assert_body_refused("5;a\rb\r\nabcde\r\n", "", Refusal::ChunkExtension);
    assert_body_refused("5 \r\nabcde\r\n", "", Refusal::ChunkExtension);
}

// Row 57.
#[test]
fn a_long_chunk_extension_is_refused_before_it_has_ended() {
    let limit = GuardLimits::default().chunk_line_bytes;
    let longest = format!("1;{}\r\n", "a".repeat(limit - 4));
    assert_passes_body(&format!("{longest}x\r\n0\r\n\r\n"));
    assert_body_refused(&format!("1;a{}", &longest[2..]), "", Refusal::ChunkLineTooLong { limit });
    let endless = chunked(&format!("1;{}", "a".repeat(65_536)));
    let outcome = feed(GuardLimits::default(), [endless.as_bytes()]);
    assert_eq!(outcome.refusal, Some(Refusal::ChunkLineTooLong { limit }));
}

#[track_caller]
fn assert_passes_body(body: &str) {
    let outcome = feed_every_way(GuardLimits::default(), chunked(body).as_bytes());
    assert_eq!((outcome.refusal, outcome.ends), (None, 1), "{body:?}");
}

#[test]
fn chunk_data_that_does_not_end_where_its_size_says_is_refused() {
    assert_body_refused("3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc", Refusal::ChunkEnd);
    assert_body_refused("3\r\nabc\n0\r\n\r\n", "3\r\nabc", Refusal::ChunkEnd);
    assert_body_refused("3\r\nabc\rx0\r\n\r\n", "3\r\nabc", Refusal::ChunkEnd);
}

// Row 58.
#[test]
fn malformed_trailers_are_refused() {
    for (trailer, refusal) in [
        ("Host : a\r\n\r\n", Refusal::SpaceBeforeColon),
        (" folded: a\r\n\r\n", Refusal::FoldedLine),
        ("a: b\r\n c\r\n\r\n", Refusal::FoldedLine),
        ("no colon\r\n\r\n", Refusal::SpaceBeforeColon),
        ("nocolon\r\n\r\n", Refusal::FieldName),
        ("a: \0\r\n\r\n", Refusal::FieldValue),
        ("a: b\rc\r\n\r\n", Refusal::FieldValue),
        ("a: b\n\r\n", Refusal::BareLineFeed),
        ("\n", Refusal::BareLineFeed),
    ] {
        assert_body_refused(&format!("0\r\n{trailer}"), "0\r\n", refusal);
    }
}

// Row 58.
#[test]
fn trailers_are_bounded_in_number_and_size() {
    let limits = GuardLimits { trailer_bytes: 32, trailer_fields: 3, ..GuardLimits::default() };
    let refusal = |trailers: &str| {
        let outcome = feed_every_way(limits, chunked(&format!("0\r\n{trailers}\r\n")).as_bytes());
        assert_eq!(outcome.ends == 1, outcome.refusal.is_none());
        outcome.refusal
    };
    let large = Some(Refusal::TrailersTooLarge { limit: 32 });
    assert_eq!(refusal("a:1\r\na:2\r\na:3\r\n"), None);
    assert_eq!(refusal("a:1\r\na:2\r\na:3\r\na:4\r\n"), Some(Refusal::TooManyTrailers { limit: 3 }));
    assert_eq!(refusal(&format!("a:{}\r\n", "x".repeat(28))), None);
    for length in 29..40 {
        assert_eq!(refusal(&format!("a:{}\r\n", "x".repeat(length))), large, "{length}");
    }
    assert_eq!(refusal(&format!("a:{}\r\nb:{}\r\n", "x".repeat(12), "x".repeat(13))), large);
    assert_eq!(large.map(|refusal| refusal.status()), Some(431));
}

// Row 59.
#[test]
fn a_host_that_is_missing_doubled_or_invalid_is_refused() {
    assert_refused("GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing);
    assert_refused("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", Refusal::HostMissing);
    assert_refused("GET http://a/ HTTP/1.1\r\n\r\n", Refusal::HostMissing);
    assert_refused(get("Host: a\r\n"), Refusal::HostDoubled);
    assert_refused(get("hOsT: b\r\n"), Refusal::HostDoubled);
    assert_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostDoubled);
    for host in ["", "a b", "a/b", "me@a", "a:b", "a:99999", "a, b", "[::1", "a\\b", "http://a", "\u{e9}"] {
        assert_refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refusal::HostInvalid);
    }
}

// Row 59.
#[test]
fn a_target_and_a_host_that_disagree_are_refused() {
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a:81/", "a"),
        ("http://a/", "a:81"),
        ("https://a/", "a:80"),
        ("http://127.0.0.1/", "localhost"),
    ] {
        assert_refused(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refusal::HostMismatch);
    }
}

// Row 60.
#[test]
fn header_lines_that_two_parsers_could_read_differently_are_refused() {
    for (fields, refusal) in [
        ("X : a\r\n", Refusal::SpaceBeforeColon),
        ("X\t: a\r\n", Refusal::SpaceBeforeColon),
        ("X: a\r\n b\r\n", Refusal::FoldedLine),
        ("X: a\r\n\tb\r\n", Refusal::FoldedLine),
        ("X: a\rY: b\r\n", Refusal::FieldValue),
        ("X: a\r\r\n", Refusal::FieldValue),
        ("X: a\0b\r\n", Refusal::FieldValue),
        ("X: a\u{7f}\r\n", Refusal::FieldValue),
        ("X: a\u{b}\r\n", Refusal::FieldValue),
        ("X: \u{1b}[31m\r\n", Refusal::FieldValue),
        ("X: a\nY: b\r\n", Refusal::BareLineFeed),
        ("X: a\n\n", Refusal::BareLineFeed),
        (": a\r\n", Refusal::FieldName),
        ("X\r\n", Refusal::FieldName),
        ("X\0: a\r\n", Refusal::FieldName),
        ("X(y): a\r\n", Refusal::FieldName),
        ("\"X\": a\r\n", Refusal::FieldName),
        ("X\u{e9}: a\r\n", Refusal::FieldName),
        ("Transfer-Encoding\u{b}: chunked\r\n", Refusal::FieldName),
    ] {
        assert_refused(get(fields), refusal);
    }
    assert_refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::FoldedLine);
}

#[test]
fn a_request_line_that_is_not_three_words_is_refused() {
    for (line, refusal) in [
        ("GET /", Refusal::RequestLine),
        ("GET", Refusal::RequestLine),
        ("GET  / HTTP/1.1", Refusal::RequestLine),
        ("GET /  HTTP/1.1", Refusal::RequestLine),
        ("GET / HTTP/1.1 ", Refusal::RequestLine),
        ("GET /a b HTTP/1.1", Refusal::RequestLine),
        ("GET / http/1.1", Refusal::RequestLine),
        ("GET / HTTP/1", Refusal::RequestLine),
        ("GET / HTTP/1.1\0", Refusal::RequestLine),
        ("GET / HTTP/1.10", Refusal::RequestLine),
        (" GET / HTTP/1.1", Refusal::RequestLine),
        ("GET\t/ HTTP/1.1", Refusal::Method),
        ("G(T / HTTP/1.1", Refusal::Method),
        ("G\0T / HTTP/1.1", Refusal::Method),
        ("{\"id\":1} / HTTP/1.1", Refusal::Method),
        ("\u{16}\u{3}\u{1} / HTTP/1.1", Refusal::Method),
        ("GET /a\tb HTTP/1.1", Refusal::TargetByte),
        ("GET /\0 HTTP/1.1", Refusal::TargetByte),
        ("GET /a\rb HTTP/1.1", Refusal::TargetByte),
        ("GET /a#b HTTP/1.1", Refusal::TargetByte),
        ("GET a HTTP/1.1", Refusal::TargetForm),
        ("GET * HTTP/1.1", Refusal::TargetForm),
        ("CONNECT a:443 HTTP/1.1", Refusal::Connect),
        ("GET / HTTP/2.0", Refusal::Version),
        ("GET / HTTP/0.9", Refusal::Version),
        ("GET / HTTP/1.2", Refusal::Version),
        ("PRI * HTTP/2.0", Refusal::Version),
    ] {
        assert_refused(format!("{line}\r\nHost: a\r\n\r\n"), refusal);
    }
    assert_refused("GET / HTTP/1.1\nHost: a\n\n", Refusal::BareLineFeed);
    assert_refused("\n", Refusal::BareLineFeed);
    assert_eq!((Refusal::Version.status(), Refusal::Connect.status()), (505, 405));
}

#[test]
fn a_method_of_more_than_32_bytes_is_refused_even_without_an_end() {
    let refusal = Refusal::MethodTooLong { limit: 32 };
    assert_passes(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(32)));
    assert_refused(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33)), refusal);
    assert_eq!(feed(GuardLimits::default(), ["M".repeat(65_536).as_bytes()]).refusal, Some(refusal));
    assert_eq!(refusal.status(), 501);
}

#[test]
fn an_expectation_other_than_100_continue_is_refused() {
    for value in ["", "100-continue, 100-continue", "200-ok", "100"] {
        assert_refused(get(&format!("Expect: {value}\r\n")), Refusal::Expectation);
    }
    assert_eq!(Refusal::Expectation.status(), 417);
}

#[test]
fn more_blank_lines_than_four_are_refused() {
    let refusal = Refusal::BlankLines { limit: 4 };
    assert_refused(format!("{}{}", "\r\n".repeat(5), get("")), refusal);
    assert_refused("\r\n".repeat(5), refusal);
}

// Row 11.
#[test]
fn more_than_64_header_fields_are_refused() {
    assert_passes(get(&"a: b\r\n".repeat(63)));
    let refusal = Refusal::TooManyFields { limit: 64 };
    assert_refused(get(&"a: b\r\n".repeat(64)), refusal);
    assert_eq!(
        feed(GuardLimits::default(), [get(&"a: b\r\n".repeat(2000)).as_bytes()]).refusal,
        Some(refusal)
    );
    assert_eq!(refusal.status(), 431);
}

// Row 62.
#[test]
fn a_target_over_its_limit_is_refused_with_414_even_without_an_end() {
    let request = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
    let limit = GuardLimits::default().target_bytes;
    let refusal = Some(Refusal::TargetTooLong { limit });
    let small = GuardLimits { target_bytes: 100, ..GuardLimits::default() };
    for length in [101, 102, 140, 200] {
        let outcome = feed_every_way(small, request(length).as_bytes());
        assert_eq!(outcome.refusal, Some(Refusal::TargetTooLong { limit: 100 }), "{length}");
    }
    assert_eq!(feed_every_way(small, request(100).as_bytes()).refusal, None);
    assert_eq!(feed(GuardLimits::default(), [request(limit).as_bytes()]).refusal, None);
    assert_eq!(feed(GuardLimits::default(), [request(limit + 1).as_bytes()]).refusal, refusal);
    let endless = format!("GET /{}", "a".repeat(70 * 1024));
    assert_eq!(feed(GuardLimits::default(), [endless.as_bytes()]).refusal, refusal);
    assert_eq!(refusal.map(|refusal| refusal.status()), Some(414));
}

// Rows 12 and 62.
#[test]
fn a_head_over_its_limit_is_refused_with_431_while_it_drips() {
    let limits = GuardLimits { head_bytes: 200, ..GuardLimits::default() };
    let refusal = Some(Refusal::HeadTooLarge { limit: 200 });
    let with_length = |length: usize| get(&format!("a:{}\r\n", "b".repeat(length - get("a:\r\n").len())));
    assert_eq!(feed_every_way(limits, with_length(200).as_bytes()).refusal, None);
    for length in 201..206 {
        assert_eq!(feed_every_way(limits, with_length(length).as_bytes()).refusal, refusal, "{length}");
    }
    let megabyte = get(&format!("a: {}\r\n", "b".repeat(1 << 20)));
    let outcome = feed(GuardLimits::default(), megabyte.as_bytes().chunks(1000));
    assert_eq!(outcome.refusal, Some(Refusal::HeadTooLarge { limit: 16_384 }));
    assert_eq!(outcome.refusal.map(|refusal| refusal.status()), Some(431));
}

#[test]
fn a_body_over_its_limit_is_refused_with_413() {
    let limits = GuardLimits { body_bytes: 10, ..GuardLimits::default() };
    let refusal = Some(Refusal::BodyTooLarge { limit: 10 });
    let outcome = feed_every_way(limits, post("Content-Length: 11\r\n").as_bytes());
    assert_eq!((outcome.refusal, outcome.passed.len()), (refusal, 0));
    assert_eq!(feed_every_way(limits, (post("Content-Length: 10\r\n") + "0123456789").as_bytes()).ends, 1);
    assert_eq!(feed_every_way(limits, chunked("a\r\n0123456789\r\n0\r\n\r\n").as_bytes()).ends, 1);
    for body in ["b\r\n", "9\r\n012345678\r\n2\r\nab", "ffffffffffffffff\r\n"] {
        assert_eq!(feed_every_way(limits, chunked(body).as_bytes()).refusal, refusal, "{body}");
    }
    assert_eq!(refusal.map(|refusal| refusal.status()), Some(413));
}

#[test]
fn a_refusal_is_final() {
    let mut guard = wharf_proto::http::Guard::new(GuardLimits::default());
    assert!(guard.step(b"\n").is_err());
    assert_eq!(guard.step(get("").as_bytes()).map(|_| ()), Err(Refusal::BareLineFeed));
}
