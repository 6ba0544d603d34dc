//! Replays the stored fuzz corpus of the HTTP guard through the fuzz target's own body, on stable Rust. The body
//! holds what must be true of any input; the table holds what each stored input is there for.

use std::{collections::BTreeMap, fs, path::Path};

use wharf_proto::http::Refusal;

#[path = "../../../fuzz/bodies/http_guard.rs"]
mod body;

// Rows 6, 11 and 54-62.
#[test]
fn stored_streams_are_refused_for_what_they_are_stored_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http_guard");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut refusals: BTreeMap<_, _> = files
        .map(|file| file.expect("the folder can be listed"))
        .map(|file| {
            let bytes = fs::read(file.path()).expect("a stored input can be read");
            (file.file_name().into_string().expect("a stored input has an ASCII name"), body::run(&bytes))
        })
        .collect();
    for (name, expected) in EXPECTED {
        assert_eq!(refusals.remove(*name), Some(*expected), "corpus/http_guard/{name}");
    }
}

/// What each stored input with a meaning of its own comes to; inputs that fuzzing added need no line.
const EXPECTED: &[(&str, Option<Refusal>)] = &[
    ("row11_65_fields", Some(Refusal::TooManyFields { limit: 64 })),
    ("row54_length_and_chunked", Some(Refusal::LengthAndTransferEncoding)),
    ("row55_length_with_sign", Some(Refusal::ContentLength)),
    ("row55_length_list", Some(Refusal::ContentLength)),
    ("row55_length_over_64_bits", Some(Refusal::ContentLength)),
    ("row55_length_doubled", Some(Refusal::ContentLengthDoubled)),
    ("row56_gzip_chunked", Some(Refusal::TransferEncodingUnknown)),
    ("row56_xchunked", Some(Refusal::TransferEncoding)),
    ("row56_chunked_doubled", Some(Refusal::TransferEncodingDoubled)),
    ("row56_chunked_in_http_1_0", Some(Refusal::TransferEncodingOnHttp10)),
    ("row57_size_overflow", Some(Refusal::ChunkSize)),
    ("row57_size_with_prefix", Some(Refusal::ChunkSize)),
    ("row57_bare_lf", Some(Refusal::BareLineFeed)),
    ("row57_nul_in_extension", Some(Refusal::ChunkExtension)),
    ("row57_long_extension", Some(Refusal::ChunkLineTooLong { limit: 256 })),
    ("row57_wrong_size", Some(Refusal::ChunkEnd)),
    ("row58_malformed_trailer", Some(Refusal::SpaceBeforeColon)),
    ("row58_many_trailers", Some(Refusal::TooManyTrailers { limit: 16 })),
    ("row59_host_missing", Some(Refusal::HostMissing)),
    ("row59_host_doubled", Some(Refusal::HostDoubled)),
    ("row59_host_invalid", Some(Refusal::HostInvalid)),
    ("row59_host_mismatch", Some(Refusal::HostMismatch)),
    ("row60_space_before_colon", Some(Refusal::SpaceBeforeColon)),
    ("row60_folded_line", Some(Refusal::FoldedLine)),
    ("row60_bare_cr", Some(Refusal::FieldValue)),
    ("row60_nul", Some(Refusal::FieldValue)),
    ("row60_bare_lf", Some(Refusal::BareLineFeed)),
    ("row62_long_target", Some(Refusal::TargetTooLong { limit: 8_192 })),
    ("connect", Some(Refusal::Connect)),
    ("http_2_preface", Some(Refusal::Version)),
    ("expectation", Some(Refusal::Expectation)),
    ("body_too_large", Some(Refusal::BodyTooLarge { limit: 16_777_216 })),
    ("row58_trailers_and_extensions", None),
    ("row61_pipelined", None),
    ("http_1_0_keep_alive", None),
    ("row6_upgrade", None),
    ("unfinished_head", None),
];
