//! Pieces make no difference, and what passes is what other parsers read in the same way.

use proptest::prelude::*;
use wharf_proto::http::GuardLimits;

use crate::body::{assert_reads_alike, feed, run};

/// Pieces of requests, good and bad, so that random sequences of them get far.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(&[
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /b?c HTTP/1.1\r\nHost: a\r\n", "GET /{|}\\^` HTTP/1.0\r\n",
            "GET http://a/ HTTP/1.1\r\n", "Host: a\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "Connection: close\r\n", "X-Y: \tz \r\n", "X:\r\n", "\r\n", "\r\n\r\n", "5\r\nabcde\r\n", "0\r\n", "0\r\n\r\n",
            "1;a=\"b\"\r\nx\r\n", "a: b\r\n", "hello", "Expect: 100-continue\r\n", "X: \u{e9}\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::sample::select(&["\r", "\n", " ", ":", "\0", ",", ";", "\t"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(fragment(), 0..24).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_comes_to_the_same(bytes in stream(), cuts in prop::collection::vec(0usize..400, 0..12)) {
        let mut cuts: Vec<_> = cuts.into_iter().filter(|&cut| cut < bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let whole = feed(GuardLimits::default(), [&bytes[..]]);
        let pieces = feed(GuardLimits::default(), cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]));
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn what_passes_reads_the_same_to_another_parser_and_passes_again(bytes in stream()) {
        run(&bytes);
    }
}

#[test]
fn every_byte_at_every_place_of_a_head_is_refused_or_read_alike() {
    let request = b"PUT /a?b HTTP/1.1\r\nHost: a\r\nX-Y: z z\r\nContent-Length: 0\r\n\r\n";
    for place in 0..request.len() {
        for byte in 0..=255 {
            let mut bytes = request.to_vec();
            bytes[place] = byte;
            assert_reads_alike(&feed(GuardLimits::default(), [&bytes[..]]));
            bytes.insert(place, request[place]);
            assert_reads_alike(&feed(GuardLimits::default(), [&bytes[..]]));
        }
    }
}
