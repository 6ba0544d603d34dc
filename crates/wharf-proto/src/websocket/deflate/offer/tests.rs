use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::websocket::{
    deflate::{deflate_context_bytes, inflate_context_bytes},
    handshake::{AnswerError, ClientRequest, Policy, Refusal, accept},
};

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap_or_else(|| panic!("{bits} bits"))
}

/// A policy that remembers in both directions as long as the budget lasts.
fn remembering(budget: &Arc<CompressorBudget>) -> DeflatePolicy<'_> {
    DeflatePolicy {
        budget: Some(budget),
        server_context_takeover: true,
        client_context_takeover: true,
        ..DeflatePolicy::default()
    }
}

/// What the server answers to the offers of these headers; empty if it declines all.
fn answer_with(policy: DeflatePolicy<'_>, offers: &[&str]) -> Result<String, Malformed> {
    let mut negotiation = Negotiation::new(Some(policy));
    offers.iter().for_each(|value| negotiation.add(value.as_bytes()));
    let agreed = negotiation.finish()?;
    Ok(agreed.map_or_else(String::new, |(_, value)| value.as_str().to_owned()))
}

/// The answer without the name, of a server that remembers.
fn answer(offers: &[&str]) -> String {
    let budget = CompressorBudget::new(usize::MAX);
    let value = answer_with(remembering(&budget), offers).unwrap();
    value.strip_prefix("permessage-deflate").map_or(value.clone(), |rest| format!("yes{rest}"))
}

#[test]
fn answers_each_parameter_as_it_was_offered() {
    let cases = [
        ("", "yes"),
        ("; server_no_context_takeover", "yes; server_no_context_takeover"),
        ("; client_no_context_takeover", "yes; client_no_context_takeover"),
        ("; server_max_window_bits=10", "yes; server_max_window_bits=10"),
        ("; server_max_window_bits=15", "yes; server_max_window_bits=15"),
        ("; server_max_window_bits=\"11\"", "yes; server_max_window_bits=11"),
        ("; client_max_window_bits", "yes"),
        ("; client_max_window_bits=15", "yes"),
        ("; client_max_window_bits=9", "yes; client_max_window_bits=9"),
        ("; client_max_window_bits=8", "yes; client_max_window_bits=8"),
        (
            "; client_max_window_bits; server_max_window_bits=9; client_no_context_takeover; \
             server_no_context_takeover",
            "yes; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        ),
    ];
    for (parameters, expected) in cases {
        assert_eq!(answer(&[&format!("permessage-deflate{parameters}")]), expected, "{parameters:?}");
    }
}

// Row 37.
#[test]
fn takes_the_first_offer_that_is_valid_and_declines_the_others() {
    let cases: [(&[&str], &str); 14] = [
        (
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            "yes; server_max_window_bits=10",
        ),
        (&["permessage-deflate", "permessage-deflate; server_max_window_bits=10"], "yes"),
        (
            &["permessage-deflate; unknown, permessage-deflate; server_max_window_bits=9"],
            "yes; server_max_window_bits=9",
        ),
        (&["permessage-deflate; server_max_window_bits=7", "permessage-deflate"], "yes"),
        (&["permessage-deflate; server_max_window_bits, permessage-deflate"], "yes"),
        (&["permessage-deflate; server_no_context_takeover=1, permessage-deflate"], "yes"),
        (&["permessage-deflate; client_max_window_bits; client_max_window_bits, permessage-deflate"], "yes"),
        (&["x-webkit-deflate-frame, bbf-usp-protocol; a=\"b\", permessage-deflate"], "yes"),
        (&["permessage-deflate; server_max_window_bits=16"], ""),
        (&["permessage-deflate; server_max_window_bits=08"], ""),
        (&["permessage-deflate; x=1", "permessage-deflate; y"], ""),
        (&["permessage-bzip2"], ""),
        (&["Permessage-Deflate"], ""),
        (&[" , ", ""], ""),
    ];
    for (offers, expected) in cases {
        assert_eq!(answer(offers), expected, "{offers:?}");
    }
}

// Row 37.
#[test]
fn declines_a_window_that_cannot_be_written_and_takes_the_next_offer() {
    assert_eq!(answer(&["permessage-deflate; server_max_window_bits=8"]), "");
    let fallback =
        ["permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits"];
    assert_eq!(answer(&fallback), "yes");
    let unwilling = DeflatePolicy { server_max_window_bits: WindowBits::MIN, ..DeflatePolicy::default() };
    assert_eq!(answer_with(unwilling, &["permessage-deflate"]), Ok(String::new()));
}

// Row 37.
#[test]
fn refuses_what_is_no_list_of_extensions_also_after_a_valid_offer() {
    for value in
        ["permessage-deflate;", "permessage-deflate, a b", "permessage-deflate; server_max_window_bits=\"9"]
    {
        assert_eq!(answer_with(DeflatePolicy::default(), &[value]), Err(Malformed), "{value:?}");
    }
}

#[test]
fn asks_for_what_the_policy_wants_where_the_client_can_be_asked() {
    let policy = DeflatePolicy {
        server_max_window_bits: bits(12),
        client_max_window_bits: bits(11),
        ..DeflatePolicy::default()
    };
    let no_takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let cases = [
        ("permessage-deflate", "; server_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits",
            "; server_max_window_bits=12; client_max_window_bits=11",
        ),
        (
            "permessage-deflate; client_max_window_bits=10",
            "; server_max_window_bits=12; client_max_window_bits=10",
        ),
        (
            "permessage-deflate; client_max_window_bits=13",
            "; server_max_window_bits=12; client_max_window_bits=11",
        ),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
    ];
    for (offer, expected) in cases {
        assert_eq!(answer_with(policy, &[offer]), Ok(format!("{no_takeover}{expected}")), "{offer}");
    }
}

// Row 38.
#[test]
fn agrees_without_takeover_once_ten_thousand_connections_have_used_the_budget_up() {
    let each = deflate_context_bytes(WindowBits::MAX) + inflate_context_bytes(WindowBits::MAX);
    let budget = CompressorBudget::new(CompressorBudget::COMPRESSOR_BYTES);
    let agree = || {
        let mut negotiation = Negotiation::new(Some(remembering(&budget)));
        negotiation.add(b"permessage-deflate; client_max_window_bits");
        negotiation.finish().unwrap().unwrap()
    };
    let connections: Vec<_> = (0..10_000).map(|_| agree()).collect();
    assert!(budget.used_bytes() <= CompressorBudget::COMPRESSOR_BYTES);
    let remembering = CompressorBudget::COMPRESSOR_BYTES / each;
    for (at, (agreement, value)) in connections.iter().enumerate() {
        let takeover = at < remembering;
        let Parameters { server, client } = agreement.parameters();
        assert_eq!((server.context_takeover, client.context_takeover), (takeover, takeover), "{at}");
        let says = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(value.as_str() == says, !takeover, "{at}: {value:?}");
    }
    // A connection that ends makes room for another.
    drop(connections);
    assert_eq!(budget.used_bytes(), 0);
    assert!(agree().0.parameters().server.context_takeover);
}

#[test]
fn sets_aside_no_more_than_what_is_remembered() {
    let budget = CompressorBudget::new(usize::MAX);
    let used = |offer: &str| {
        let mut negotiation = Negotiation::new(Some(remembering(&budget)));
        negotiation.add(offer.as_bytes());
        let _agreed = negotiation.finish().unwrap().unwrap();
        budget.used_bytes()
    };
    assert_eq!(
        used("permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"),
        deflate_context_bytes(bits(9)) + inflate_context_bytes(bits(10))
    );
    assert_eq!(
        used("permessage-deflate; server_no_context_takeover"),
        inflate_context_bytes(WindowBits::MAX)
    );
    assert_eq!(used("permessage-deflate; server_no_context_takeover; client_no_context_takeover"), 0);
    assert_eq!(budget.used_bytes(), 0);
}

#[cfg(feature = "deflate")]
#[test]
fn gives_each_half_of_the_memory_back_when_it_is_dropped() {
    let budget = CompressorBudget::new(usize::MAX);
    let mut negotiation = Negotiation::new(Some(remembering(&budget)));
    negotiation.add(b"permessage-deflate");
    let (agreement, _) = negotiation.finish().unwrap().unwrap();
    let (inflater, deflater) = agreement.into_halves(Role::Server);
    drop(deflater);
    assert_eq!(budget.used_bytes(), inflate_context_bytes(WindowBits::MAX));
    drop(inflater);
    assert_eq!(budget.used_bytes(), 0);
}

// ---- The client ------------------------------------------------------------------------------------------

const OFFER: DeflateOffer = DeflateOffer {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: WindowBits::MAX,
    client_max_window_bits: WindowBits::MAX,
};

fn check(offer: DeflateOffer, answers: &[&str]) -> Result<Option<Parameters>, Malformed> {
    DeflateOffer::check_values(Some(&offer), answers.iter().map(|value| value.as_bytes()))
}

fn side(context_takeover: bool, window_bits: u8) -> Compression {
    Compression { context_takeover, window_bits: bits(window_bits) }
}

#[test]
fn offers_each_parameter() {
    assert_eq!(OFFER.value().as_str(), "permessage-deflate; client_max_window_bits");
    let all = DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: bits(10),
        client_max_window_bits: bits(12),
    };
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    server_max_window_bits=10; client_max_window_bits=12";
    assert_eq!(all.value().as_str(), expected);
}

#[test]
fn takes_the_answers_that_its_offer_allows() {
    let yes = |server, client| Ok(Some(Parameters { server, client }));
    assert_eq!(check(OFFER, &[]), Ok(None));
    assert_eq!(check(OFFER, &[" , "]), Ok(None));
    assert_eq!(check(OFFER, &["permessage-deflate"]), yes(side(true, 15), side(true, 15)));
    let told = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                server_max_window_bits=9; client_max_window_bits=\"8\"";
    assert_eq!(check(OFFER, &[told]), yes(side(false, 9), side(false, 8)));
    // What the client hinted at, it keeps where the server says nothing of it.
    let hinted = DeflateOffer { client_no_context_takeover: true, client_max_window_bits: bits(10), ..OFFER };
    assert_eq!(check(hinted, &["permessage-deflate"]), yes(side(true, 15), side(false, 10)));
    let asked = DeflateOffer { server_max_window_bits: bits(12), ..OFFER };
    let smaller = check(asked, &["permessage-deflate; server_max_window_bits=11"]);
    assert_eq!(smaller, yes(side(true, 11), side(true, 15)));
}

#[test]
fn fails_on_an_answer_that_was_not_offered() {
    let wrong: [&[&str]; 12] = [
        &["permessage-bzip2"],
        &["permessage-deflate, permessage-deflate"],
        &["permessage-deflate", "permessage-deflate"],
        &["permessage-deflate, x"],
        &["permessage-deflate; unknown"],
        &["permessage-deflate; client_max_window_bits"],
        &["permessage-deflate; server_max_window_bits"],
        &["permessage-deflate; server_max_window_bits=16"],
        &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
        &["permessage-deflate; server_no_context_takeover=1"],
        &["permessage-deflate;"],
        &["é"],
    ];
    for answers in wrong {
        assert_eq!(check(OFFER, answers), Err(Malformed), "{answers:?}");
    }
    let no_takeover = DeflateOffer { server_no_context_takeover: true, ..OFFER };
    assert_eq!(check(no_takeover, &["permessage-deflate"]), Err(Malformed));
    let window = DeflateOffer { server_max_window_bits: bits(10), ..OFFER };
    for answer in ["permessage-deflate", "permessage-deflate; server_max_window_bits=11"] {
        assert_eq!(check(window, &[answer]), Err(Malformed), "{answer}");
    }
    let window = DeflateOffer { client_max_window_bits: bits(10), ..OFFER };
    assert_eq!(check(window, &["permessage-deflate; client_max_window_bits=11"]), Err(Malformed));
    // Nothing was offered at all.
    assert_eq!(DeflateOffer::check_values(None, [&b"permessage-deflate"[..]]), Err(Malformed));
}

// ---- Both halves of the handshake ------------------------------------------------------------------------

/// The client's request and the server's answer as bytes, and what each side makes of them.
fn shake_hands(
    offer: Option<DeflateOffer>,
    policy: Option<DeflatePolicy<'_>>,
) -> (Option<Parameters>, Result<Option<Parameters>, AnswerError>) {
    let request = ClientRequest {
        host: "wharf.example",
        target: "/",
        key: *b"the sample nonce",
        subprotocols: &[],
        deflate: offer,
        headers: &[],
    };
    let mut head = BytesMut::new();
    request.write(&mut head).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(&head).unwrap().is_complete());
    let fields = parsed.headers.iter().map(|header| (header.name, header.value));
    let policy = Policy { subprotocols: &[], origin_allowed: &|_| true, deflate: policy };
    let accepted = accept("GET", 1, fields, &policy).unwrap();
    let mut answer = BytesMut::new();
    accepted.write_response(&mut answer);
    let said = request.check(&answer).map(|answer| answer.unwrap().deflate);
    (accepted.into_deflate().map(|agreement| agreement.parameters()), said)
}

#[test]
fn says_nothing_of_compression_where_either_side_is_silent() {
    assert_eq!(shake_hands(Some(OFFER), None), (None, Ok(None)));
    assert_eq!(shake_hands(None, Some(DeflatePolicy::default())), (None, Ok(None)));
}

#[test]
fn refuses_a_malformed_list_with_400_only_where_compression_is_on() {
    let judge = |deflate| {
        let headers: [(&str, &[u8]); 6] = [
            ("Host", b"wharf.example"),
            ("Upgrade", b"websocket"),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Version", b"13"),
            ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Extensions", b"permessage-deflate; ="),
        ];
        let policy = Policy { subprotocols: &[], origin_allowed: &|_| true, deflate };
        accept("GET", 1, headers, &policy).err()
    };
    assert_eq!(judge(None), None);
    assert_eq!(judge(Some(DeflatePolicy::default())), Some(Refusal::Extensions));
    assert_eq!(Refusal::Extensions.status(), 400);
}

fn any_bits() -> impl Strategy<Value = WindowBits> {
    (8_u8..=15).prop_map(bits)
}

proptest! {
    #[test]
    fn both_sides_agree_on_the_same_whatever_they_want(
        (no_server, no_client, server_bits, client_bits) in (any::<bool>(), any::<bool>(), any_bits(), any_bits()),
        (server_takeover, client_takeover) in (any::<bool>(), any::<bool>()),
        (policy_server_bits, policy_client_bits) in (any_bits(), any_bits()),
        budget_bytes in prop_oneof![Just(0), Just(usize::MAX)],
    ) {
        let budget = CompressorBudget::new(budget_bytes);
        let offer = DeflateOffer {
            server_no_context_takeover: no_server,
            client_no_context_takeover: no_client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        };
        let policy = DeflatePolicy {
            budget: Some(&budget),
            server_context_takeover: server_takeover,
            client_context_takeover: client_takeover,
            server_max_window_bits: policy_server_bits,
            client_max_window_bits: policy_client_bits,
        };
        let (server, client) = shake_hands(Some(offer), Some(policy));
        prop_assert_eq!(client, Ok(server));
        let writable = server_bits.min(policy_server_bits) > WindowBits::MIN;
        prop_assert_eq!(server.is_some(), writable);
        if let Some(Parameters { server, client }) = server {
            let remembers = budget_bytes > 0;
            prop_assert_eq!(server.context_takeover, remembers && server_takeover && !no_server);
            prop_assert_eq!(client.context_takeover, remembers && client_takeover && !no_client);
            prop_assert_eq!(server.window_bits, server_bits.min(policy_server_bits));
            prop_assert_eq!(client.window_bits, client_bits.min(policy_client_bits));
        }
    }

    #[test]
    fn reads_any_bytes_without_fault(value: Vec<u8>) {
        let budget = CompressorBudget::new(1_000_000);
        let mut negotiation = Negotiation::new(Some(remembering(&budget)));
        negotiation.add(&value);
        let _ = negotiation.finish();
        prop_assert_eq!(budget.used_bytes(), 0);
        let _ = DeflateOffer::check_values(Some(&OFFER), [&value[..]]);
    }
}
