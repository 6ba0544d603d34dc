//! Replays the stored fuzz corpus of kinds of devices through the fuzz target's own body, on stable Rust, and any bytes
//! beside it. The body holds what must be true of any input; the tables hold what stored inputs are there for.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/device.rs"]
mod device;

fn outcomes() -> BTreeMap<String, Result<usize, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/device");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.expect("the folder can be listed"))
        .map(|file| {
            let input = fs::read(file.path()).expect("a stored input can be read");
            let name = file.file_name().into_string().expect("a stored input has an ASCII name");
            (name, outcome(&input))
        })
        .collect()
}

/// How many commands an input comes to, or why it ends.
fn outcome(input: &[u8]) -> Result<usize, String> {
    match device::run(input) {
        Ok(commands) => Ok(commands.len()),
        Err(device::Ended::Description(key)) => Err(key),
        Err(device::Ended::Peer(error)) => Err(error.to_string()),
    }
}

// Row 52, each whole and in pieces.
#[test]
fn stored_inputs_hold_the_commands_or_break_the_rule_that_they_are_stored_for() {
    let outcomes = outcomes();
    let commands = [
        ("text_position", 2),
        ("text_junk_between", 4),
        ("text_a_frame_cut_short", 2),
        ("binary_login_position_status", 3),
        ("binary_wrong_checksum_between", 2),
        ("binary_row52_length_0", 1),
        ("row52_wide_length_right", 1),
    ];
    for (name, count) in commands {
        assert_eq!(outcomes[name], Ok(count), "{name}");
    }
    let refusals = [
        ("text_row52_junk", "too many bytes in a row were no frame"),
        ("text_another_device", "names another device"),
        ("row52_wide_length_0", "length of a frame is less"),
        ("row52_wide_length_2_32", "longer than the limit of 64 bytes"),
        ("row52_wide_junk", "do not begin as a frame does"),
    ];
    for (name, reason) in refusals {
        let error = outcomes[name].as_ref().expect_err(name);
        assert!(error.contains(reason), "{name}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_kind_of_device_takes_any_bytes(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = outcome(&input);
    }

    #[test]
    fn a_kind_that_is_good_takes_any_bytes(
        kind in proptest::sample::select(&b"TBL"[..]),
        input in proptest::collection::vec(prop_oneof![
            Just(b'*'), Just(b'#'), Just(0x78), Just(b','), Just(b'H'), Just(b'Q'), Just(b'7'), Just(b'\r'), Just(b'\n'), any::<u8>()
        ], 0..200),
    ) {
        let _outcome = outcome(&[&[kind][..], &input].concat());
    }
}
