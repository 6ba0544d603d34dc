//! Replays the stored fuzz corpus of the WebSocket codec through the fuzz targets' own bodies, on stable Rust. The
//! bodies hold what must be true of any input; the tables hold what each stored input is there for.

use std::{collections::BTreeMap, fs, path::Path};

use wharf_proto::websocket::{
    CloseCode, FrameError,
    handshake::{AnswerError, Refusal},
};

#[path = "../../../fuzz/bodies/frames.rs"]
mod frames;
#[path = "../../../fuzz/bodies/handshake.rs"]
mod handshake;
#[cfg(feature = "deflate")]
#[path = "../../../fuzz/bodies/inflate.rs"]
mod inflate;
#[cfg(all(feature = "deflate", feature = "http"))]
#[path = "../../../fuzz/bodies/roles.rs"]
mod roles;

/// Every stored input of a target, by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.expect("the folder can be listed"))
        .map(|file| {
            let bytes = fs::read(file.path()).expect("a stored input can be read");
            (file.file_name().into_string().expect("a stored input has an ASCII name"), bytes)
        })
        .collect()
}

/// Runs `body` on every stored input of `target`; those named in `expected` come to what stands there.
fn replay<T: std::fmt::Debug + PartialEq>(
    target: &str,
    expected: impl IntoIterator<Item = (&'static str, T)>,
    body: impl Fn(&[u8]) -> T,
) {
    let mut outcomes: BTreeMap<_, _> =
        corpus(target).into_iter().map(|(name, input)| (name, body(&input))).collect();
    for (name, expected) in expected {
        assert_eq!(outcomes.remove(name), Some(expected), "corpus/{target}/{name}");
    }
}

// Rows 15-30 and 32, each whole and in pieces (row 34).
#[test]
fn stored_streams_break_the_rules_that_they_are_stored_for() {
    let expected = [
        ("row15_masked_from_server", FrameError::Masked),
        ("row15_unmasked", FrameError::Unmasked),
        ("row16_reserved_bit", FrameError::ReservedBits),
        ("row17_rsv1_on_continuation", FrameError::ReservedBits),
        ("row18_reserved_opcode", FrameError::ReservedOpcode(11)),
        ("row19_long_ping", FrameError::ControlTooLong),
        ("row20_fragmented_ping", FrameError::ControlFragmented),
        ("row21_interleaved", FrameError::Interleaved),
        ("row21_stray_continuation", FrameError::StrayContinuation),
        ("row23_utf8_unfinished", FrameError::InvalidUtf8),
        ("row23_utf8_wrong_over_fragments", FrameError::InvalidUtf8),
        ("row24_close_code_1005", FrameError::CloseCode(1005)),
        ("row24_close_of_one_byte", FrameError::CloseTruncated),
        ("row25_close_reason_not_utf8", FrameError::CloseReasonUtf8),
        ("row26_top_bit", FrameError::LengthTopBit),
        ("row27_claim_of_2_to_the_62", FrameError::MessageTooLong { limit: 1_000 }),
        ("row28_length_200_in_64_bits", FrameError::NonMinimalLength),
        ("row28_length_5_in_16_bits", FrameError::NonMinimalLength),
        ("row29_fragments_over_the_limit", FrameError::MessageTooLong { limit: 100 }),
        ("row30_too_many_fragments", FrameError::TooManyFragments { limit: 8 }),
    ];
    let expected = expected.map(|(name, error)| (name, Some(frames::Seen::Broken(error))));
    replay("frames", expected, |input| frames::run(input).pop());
}

#[test]
fn stored_streams_hold_what_they_are_stored_for() {
    use frames::Seen::{Broken, Close, Message, Ping, Pong};
    let text = |text: &str| Message { text: true, marked: false, payload: text.into() };
    let binary = |payload: Vec<u8>| Message { text: false, marked: false, payload };
    let conversation = [text("naïve"), Ping(b"tick".to_vec()), binary((0..200).collect()), Pong(Vec::new())];
    let closed = Close(Some(CloseCode::NORMAL), "bye".into());
    let expected = [
        ("as_client_text_ping_binary_close", [&conversation[..], &[Close(None, String::new())]].concat()),
        ("fragments_with_ping_between", vec![Ping(b"now".to_vec()), text("naïve"), text("next")]),
        ("length_of_16_bits_within_the_limit", vec![binary(vec![b'z'; 900])]),
        ("marked_by_rsv1", vec![Message { text: true, marked: true, payload: b"\xff\x00!".to_vec() }]),
        (
            "row29_close_behind_a_message_too_long",
            vec![
                Ping(b"before".to_vec()),
                Broken(FrameError::MessageTooLong { limit: 40 }),
                Close(Some(CloseCode::NORMAL), "heard".into()),
            ],
        ),
        ("row32_data_after_close", vec![closed.clone()]),
        ("text_ping_binary_close", [&conversation[..], &[closed]].concat()),
        ("unfinished_message", vec![]),
    ];
    replay("frames", expected, frames::run);
}

// Rows 1-10.
#[test]
fn stored_requests_are_refused_for_what_they_are_stored_for() {
    let accepted = |name| (name, Some(None));
    let refused = |name, refusal| (name, Some(Some(refusal)));
    let expected = [
        accepted("request_right"),
        accepted("request_right_in_odd_case"),
        refused("request_without_host", Refusal::Host),
        refused("row1_key_doubled", Refusal::KeyRepeated),
        refused("row1_key_missing", Refusal::KeyMissing),
        refused("row1_key_of_17_bytes", Refusal::KeyInvalid),
        refused("row2_version_99", Refusal::Version),
        refused("row3_foreign_origin", Refusal::Origin),
        refused("row4_origin_null", Refusal::Origin),
        refused("row4_origin_with_suffix", Refusal::Origin),
        refused("row5_post", Refusal::Method),
        refused("row6_http_1_0", Refusal::HttpVersion),
        refused("row7_no_connection_upgrade", Refusal::NoConnectionUpgrade),
        refused("row7_no_upgrade", Refusal::NoUpgrade),
        accepted("row8_subprotocol_not_spoken"),
        refused("row9_subprotocol_not_ascii", Refusal::Subprotocol),
        refused("row10_spaces_in_subprotocol", Refusal::Subprotocol),
    ];
    replay("handshake", expected, |input| handshake::run(input).request.map(Result::err));
}

#[test]
fn stored_answers_open_a_websocket_or_fail_for_what_they_are_stored_for() {
    let expected = [
        ("answer_404", Err(AnswerError::Status(404))),
        ("answer_malformed_behind_an_interim_one", Err(AnswerError::Malformed)),
        ("answer_right_with_a_frame_behind", Ok(Some("chat"))),
        ("answer_unfinished", Ok(None)),
        ("answer_with_bare_lf_head", Err(AnswerError::Malformed)),
        ("answer_with_extension", Err(AnswerError::Extension)),
        ("answer_with_foreign_subprotocol", Err(AnswerError::Subprotocol)),
        ("answer_with_wrong_key", Err(AnswerError::AcceptKey)),
        ("answer_without_connection_upgrade", Err(AnswerError::NoConnectionUpgrade)),
        ("answer_without_upgrade", Err(AnswerError::NoUpgrade)),
    ];
    replay("handshake", expected, |input| {
        handshake::run(input).answer.map(|answer| answer.and_then(|answer| answer.subprotocol))
    });
}

// Rows 35 and 36, and what must be read besides.
#[cfg(feature = "deflate")]
#[test]
fn stored_compressed_messages_come_to_what_they_are_stored_for() {
    let hello = || Ok(b"Hello".to_vec());
    let corrupt = || Err(FrameError::InvalidDeflate);
    let push = |at| {
        let text = format!(
            "{{\"push\":{{\"channel\":\"news\",\"pub\":{{\"data\":{{\"text\":\"ahoy {at}\"}},\"offset\":{at}}}}}}}"
        );
        Ok(text.into_bytes())
    };
    let expected = [
        ("at_the_limit", vec![Ok(b"0123456789abcdef".to_vec())]),
        ("conversation_by_c_zlib", (0..6).map(push).collect()),
        ("conversation_in_the_least_window", (0..6).map(push).collect()),
        ("final_block_without_the_empty_one", vec![hello(), hello()]),
        ("many_streams_in_one_message", vec![Ok(Vec::new())]),
        ("rfc_7_2_3_1_hello", vec![hello()]),
        ("rfc_7_2_3_2_shared_window", vec![hello(), hello(), hello()]),
        ("rfc_7_2_3_3_stored", vec![hello()]),
        ("rfc_7_2_3_4_final_block", vec![hello(), hello(), hello()]),
        ("rfc_7_2_3_5_two_blocks", vec![hello()]),
        ("rfc_7_2_3_6_nothing", vec![Ok(Vec::new())]),
        ("row23_not_utf8", vec![Err(FrameError::InvalidUtf8)]),
        ("row35_bomb", vec![Err(FrameError::MessageTooLong { limit: 4_080 })]),
        ("row35_one_over_the_limit", vec![Err(FrameError::MessageTooLong { limit: 16 })]),
        ("row36_cut_off", vec![corrupt()]),
        ("row36_empty_payload", vec![corrupt()]),
        ("row36_refers_beyond_a_final_block", vec![hello(), hello(), hello(), corrupt()]),
        ("row36_refers_to_what_was_not", vec![corrupt()]),
        ("row36_reserved_block", vec![corrupt()]),
    ];
    replay("inflate", expected, inflate::run);
}

/// What a stored conversation came to: the subprotocol, what was agreed on of compression (as the server's and the
/// client's window, with a `+` where messages may refer to earlier ones), and how much each said.
#[cfg(all(feature = "deflate", feature = "http"))]
fn summary(outcome: roles::Outcome) -> (Option<&'static str>, Option<String>, usize, usize) {
    let side = |side: wharf_proto::websocket::deflate::Compression| {
        format!("{}{}", side.window_bits.bits(), if side.context_takeover { "+" } else { "" })
    };
    let deflate = outcome.deflate.map(|agreed| format!("{} {}", side(agreed.server), side(agreed.client)));
    (outcome.subprotocol, deflate, outcome.by_client.len(), outcome.by_server.len())
}

#[cfg(all(feature = "deflate", feature = "http"))]
#[test]
fn stored_conversations_are_understood_by_both_roles() {
    let talk = |deflate: Option<&str>| Some((None, deflate.map(str::to_owned), 9, 9));
    let said = |client, server| Some((None, None, client, server));
    let expected = [
        ("close_reason_cut_between_characters", said(1, 1)),
        ("close_without_a_code", said(1, 3)),
        ("compressed_as_the_client_asks", talk(Some("10 9"))),
        ("compressed_in_the_servers_windows", talk(Some("9+ 8+"))),
        ("compressed_with_takeover", Some((None, Some("15+ 15+".to_owned()), 10, 10))),
        ("compressed_without_memory_for_takeover", talk(Some("15 15"))),
        ("compressed_without_takeover", talk(Some("15 15"))),
        ("control_frames_between_fragments", said(8, 8)),
        ("declined_by_the_server", talk(None)),
        ("declined_window_of_8", talk(None)),
        ("empty_messages", Some((None, Some("15+ 15+".to_owned()), 10, 4))),
        ("header_of_the_handshake", None),
        ("lengths_of_16_and_64_bits", said(4, 1)),
        ("more_than_a_window", Some((None, Some("9+ 9+".to_owned()), 3, 16))),
        ("nothing_said", said(0, 0)),
        ("own_headers", said(0, 0)),
        ("plain_both_ways", said(3, 3)),
        ("subprotocol_both_know", Some((Some("chat"), None, 0, 0))),
        ("subprotocol_nobody_knows", said(0, 0)),
        ("target_with_a_fragment", None),
        ("two_origins", None),
    ];
    replay("roles", expected, |input| roles::run(input).map(summary));
}
