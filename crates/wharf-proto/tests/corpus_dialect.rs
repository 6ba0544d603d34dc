//! Replays the stored fuzz corpus of the dialects through the fuzz target's own body, on stable Rust. The body holds
//! what must be true of any input; the tables hold what stored inputs are there for.

use std::{collections::BTreeMap, fs, path::Path};

use wharf_proto::PeerError;

#[path = "../../../fuzz/bodies/dialect.rs"]
mod dialect;

fn outcomes() -> BTreeMap<String, Result<usize, PeerError>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dialect");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.expect("the folder can be listed"))
        .map(|file| {
            let input = fs::read(file.path()).expect("a stored input can be read");
            (file.file_name().into_string().expect("a stored input has an ASCII name"), dialect::run(&input))
        })
        .collect()
}

// Rows 64, 65, 67 and 69, each whole and in pieces.
#[test]
fn stored_inputs_hold_the_commands_or_break_the_rule_that_they_are_stored_for() {
    let outcomes = outcomes();
    let commands = [
        ("the_sdk_sends_connect_and_all_subscribes_1", 3),
        ("the_pong_is_the_empty_command_2", 2),
        ("row69_deepest", 1),
        ("surrogate_pair", 1),
        ("line_over_the_limit", 2),
    ];
    for (name, count) in commands {
        assert_eq!(outcomes[name], Ok(count), "{name}");
    }
    let refusals = [
        ("row65_cursor_of_junk", "expected value"),
        ("row67_empty_lines", "command 1"),
        ("row69_deep", "nested deeper than 128 at byte 128"),
        ("row69_duplicate_key", "duplicate field `channel`"),
        ("row69_duplicate_sub", "stands twice"),
        ("row69_lone_surrogate", "half of a surrogate pair at byte 1"),
        ("not_utf8", "UTF-8"),
        ("empty", "empty"),
    ];
    for (name, reason) in refusals {
        let error = outcomes[name].as_ref().expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
    assert!(outcomes.len() > 50, "the corpus is there");
}
