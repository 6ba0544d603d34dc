//! The rules on Rust source.

use super::{
    Project, Rule, Violation,
    source::{Line, Source, has_word, identifiers},
};

/// All rules of this file.
pub const ALL: &[Rule] = &[
    no_world_in_proto_and_core,
    hub_names_no_dialect,
    queues_are_bounded,
    no_long_file,
    nothing_unfinished,
    no_sleep_in_tests,
    nothing_runs_out_by_date,
    unsafe_forbidden_in_proto_and_core,
    unsafe_has_its_proof,
    unwrap_has_its_proof,
];

/// A file longer than this, without its tests, needs a reason.
const LONG_LINES: usize = 500;

/// The crates that know no socket, runtime, clock or randomness.
const PURE: [&str; 2] = ["crates/wharf-proto/src/", "crates/wharf-core/src/"];

/// What the pure crates may not name, and what to do instead.
const WORLD: &[(&[&str], &str)] = &[
    (
        &["tokio", "mio", "socket2", "hyper", "rustls", "libc"],
        "names a runtime or a socket; move it to the crate wharf and hand its outcome in",
    ),
    (
        &[
            "std::net",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "ToSocketAddrs",
        ],
        "names a socket; take bytes instead (addresses as values are in core::net)",
    ),
    (&["Instant", "SystemTime"], "reads a clock; take `now: Millis` as an argument"),
    (
        &["thread_rng", "ThreadRng", "OsRng", "SysRng", "getrandom", "rand::rng", "rand::random"],
        "has randomness of its own; take a generator as an argument",
    ),
];

fn violation(rule: &'static str, source: &Source, line: &Line, message: impl Into<String>) -> Violation {
    Violation { rule, path: source.path.clone(), line: line.number, message: message.into() }
}

/// `wharf-proto` and `wharf-core` know no socket, runtime or clock, and have no randomness of their own.
fn no_world_in_proto_and_core(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    let pure = |source: &&Source| PURE.iter().any(|folder| source.path.starts_with(folder));
    for source in project.sources.iter().filter(pure) {
        for line in source.product() {
            for (words, mend) in WORLD {
                if let Some(word) = words.iter().find(|word| has_word(&line.code, word)) {
                    found.push(violation(
                        "no_world_in_proto_and_core",
                        source,
                        line,
                        format!("`{word}` {mend}"),
                    ));
                }
            }
        }
    }
    found
}

/// The words in which a dialect's name would show.
const DIALECT_WORDS: &[&str] = &[
    "centrifuge",
    "pusher",
    "mqtt",
    "socketio",
    "json",
    "protobuf",
    "sse",
    "websocket",
    "events",
    "dialectid",
    "framingid",
];

/// The hub names no dialect: it knows wires by their number.
fn hub_names_no_dialect(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    let hub = |source: &&Source| source.path.starts_with("crates/wharf-core/src/hub");
    for source in project.sources.iter().filter(hub) {
        for line in source.product() {
            let named = identifiers(&line.code).find(|identifier| {
                let whole = identifier.to_lowercase();
                let parts = words_of(identifier);
                DIALECT_WORDS.iter().any(|word| whole == *word || parts.iter().any(|part| part == word))
            });
            if let Some(identifier) = named {
                let message = format!("`{identifier}` names a dialect or framing in the hub; go by WireId");
                found.push(violation("hub_names_no_dialect", source, line, message));
            }
        }
    }
    found
}

/// The words of a snake_case or CamelCase identifier, in lower case.
fn words_of(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in identifier.chars() {
        // A word is always there: the list starts with one and only grows.
        let last = words.last_mut().expect("the list is never empty");
        if character == '_' || (character.is_uppercase() && !last.chars().all(char::is_uppercase)) {
            words.push(String::new());
        }
        if character != '_' {
            words.last_mut().expect("the list is never empty").extend(character.to_lowercase());
        }
    }
    words
}

/// Every queue has a bound.
fn queues_are_bounded(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &project.sources {
        for line in source.product() {
            if lacks_bound(&line.code) {
                let message =
                    "a queue without a bound; give it one, name it in LIMITS.md and test what happens there";
                found.push(violation("queues_are_bounded", source, line, message));
            }
        }
    }
    found
}

fn lacks_bound(code: &str) -> bool {
    const NAMES: [&str; 4] = ["unbounded", "unbounded_channel", "UnboundedSender", "UnboundedReceiver"];
    let named = identifiers(code).any(|word| NAMES.contains(&word));
    // The standard library's channel takes no capacity; tokio's takes one and is bounded.
    let standard = code.match_indices("mpsc::channel").any(|(at, word)| {
        let mut rest = &code[at + word.len()..];
        if let Some((_, after)) = rest.strip_prefix("::<").and_then(|inner| inner.rsplit_once('>')) {
            rest = after;
        }
        rest.trim_start().strip_prefix('(').is_some_and(|rest| rest.trim_start().starts_with(')'))
    });
    named || standard
}

/// A file holds one idea, and few ideas need more than 500 lines.
fn no_long_file(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &project.sources {
        let length = source.product().count();
        let excused =
            source.lines.iter().any(|line| line.text.trim_start().starts_with("// tidy: long because "));
        if length > LONG_LINES && !excused {
            found.push(Violation {
                rule: "no_long_file",
                path: source.path.clone(),
                line: length,
                message: format!(
                    "{length} lines beside the tests, over {LONG_LINES}; split it, or say `// tidy: long because ...`"
                ),
            });
        }
    }
    found
}

/// Nothing on the main branch waits to be finished, and no test is switched off.
fn nothing_unfinished(project: &Project) -> Vec<Violation> {
    const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    const REMARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    let mut found = Vec::new();
    for source in &project.sources {
        for line in &source.lines {
            let code = MACROS.iter().find(|word| has_macro(&line.code, word));
            let ignored = line.code.contains("#[ignore").then_some(&"#[ignore]");
            let remark = REMARKS.iter().find(|word| has_word(line.comment().unwrap_or_default(), word));
            if let Some(word) = code.or(ignored).or(remark) {
                let message = format!("`{word}`: finish it or take it out");
                found.push(violation("nothing_unfinished", source, line, message));
            }
        }
    }
    found
}

fn has_macro(code: &str, name: &str) -> bool {
    let before = |at: usize| code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| !before(at))
}

/// A test waits for what happens, not for time to go by. A sleep on tokio's paused clock takes no time.
fn no_sleep_in_tests(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &project.sources {
        for (at, line) in source.lines.iter().enumerate().filter(|(_, line)| line.test) {
            let sleeps =
                ["sleep(", "sleep_until(", "sleep_ms("].iter().any(|call| has_macro(&line.code, call));
            if sleeps && !on_paused_clock(source, at) && !source.remarked(at, 1, "// tidy: sleeps because ") {
                let message =
                    "a test sleeps; wait for a condition instead, or say `// tidy: sleeps because ...` above";
                found.push(violation("no_sleep_in_tests", source, line, message));
            }
        }
    }
    found
}

/// The machine's date may leap, so nothing runs out by it (row 106): the library reads it only to tell it to somebody.
fn nothing_runs_out_by_date(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in project.sources.iter().filter(|source| source.path.starts_with("crates/wharf/src/")) {
        for (at, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
            let reads = line.code.contains("SystemTime::now(");
            if reads && !source.remarked(at, 1, "// tidy: the date because ") {
                let message = "reads the machine's date, by which nothing may run out; take the node's clock, or say \
                               `// tidy: the date because ...` above";
                found.push(violation("nothing_runs_out_by_date", source, line, message));
            }
        }
    }
    found
}

/// Whether the test around the line runs on tokio's paused clock.
fn on_paused_clock(source: &Source, at: usize) -> bool {
    let mut attributes = source.lines[..=at].iter().rev().map(|line| line.code.trim());
    let nearest = attributes.find(|code| code.starts_with("#[tokio::test") || *code == "#[test]");
    nearest.is_some_and(|attribute| attribute.contains("start_paused = true"))
}

/// `wharf-proto` and `wharf-core` forbid unsafe code as a whole.
fn unsafe_forbidden_in_proto_and_core(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &project.sources {
        let root = PURE.iter().any(|folder| source.path == format!("{folder}lib.rs"));
        let forbids = source.lines.iter().any(|line| line.code.trim() == "#![forbid(unsafe_code)]");
        if root && !forbids {
            found.push(Violation {
                rule: "unsafe_forbidden_in_proto_and_core",
                path: source.path.clone(),
                line: 1,
                message: "the crate must say `#![forbid(unsafe_code)]`".into(),
            });
        }
    }
    found
}

/// How many lines may lie between an unsafe block and its proof.
const PROOF_LINES: usize = 6;

/// Unsafe code stands beside the proof that it is sound.
fn unsafe_has_its_proof(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &project.sources {
        for (at, line) in source.lines.iter().enumerate() {
            let proved = || {
                source.remarked(at, PROOF_LINES, "// SAFETY:") || source.remarked(at, PROOF_LINES, "# Safety")
            };
            if has_word(&line.code, "unsafe") && !proved() {
                let message = "unsafe without a `// SAFETY:` comment right above that proves it sound";
                found.push(violation("unsafe_has_its_proof", source, line, message));
            }
        }
    }
    found
}

/// An `unwrap` outside of tests stands beside the comment that proves it cannot panic; `expect` says it itself.
fn unwrap_has_its_proof(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in project.sources.iter().filter(|source| source.path.starts_with("crates/")) {
        for (at, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
            let commented = source.lines[at.saturating_sub(1)..=at].iter().any(has_comment);
            if line.code.contains(".unwrap()") && !commented {
                let message =
                    "`unwrap` without a comment beside it that proves it; handle the error or prove it";
                found.push(violation("unwrap_has_its_proof", source, line, message));
            }
        }
    }
    found
}

/// Whether the line holds a comment that is not documentation.
fn has_comment(line: &Line) -> bool {
    line.comment().is_some_and(|comment| !comment.starts_with("///") && !comment.starts_with("//!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `rule` finds in one file: the lines.
    fn found(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        let project = Project { sources: vec![Source::new(path, text)], ..Project::default() };
        rule(&project).iter().map(|violation| violation.line).collect()
    }

    const CORE: &str = "crates/wharf-core/src/session/mod.rs";

    #[test]
    fn a_clock_a_socket_and_a_runtime_are_found_in_the_pure_crates() {
        let rule = no_world_in_proto_and_core;
        for planted in [
            "use tokio::time;",
            "use std::net::TcpStream;",
            "use std::{net::UdpSocket};",
            "let now = Instant::now();",
            "let now = std::time::SystemTime::now();",
            "let mut rng = rand::rng();",
        ] {
            assert_eq!(found(rule, CORE, planted), [1], "{planted}");
        }
        assert_eq!(found(rule, CORE, "use core::net::Ipv6Addr; // not a TcpStream\n"), [0; 0]);
        assert_eq!(found(rule, CORE, "#[cfg(test)]\nmod tests { use std::time::Instant; }\n"), [0; 0]);
        assert_eq!(found(rule, "crates/wharf/src/worker/mod.rs", "use tokio::time;"), [0; 0]);
    }

    #[test]
    fn a_dialect_is_found_in_the_hub() {
        let rule = hub_names_no_dialect;
        let hub = "crates/wharf-core/src/hub/local.rs";
        for planted in ["DialectId::CentrifugeJson", "fn to_json() {}", "let sse_members = 0;"] {
            assert_eq!(found(rule, hub, planted), [1], "{planted}");
        }
        assert_eq!(found(rule, hub, "let passed = possessed; // centrifuge"), [0; 0]);
        assert_eq!(found(rule, CORE, "DialectId::CentrifugeJson"), [0; 0]);
    }

    #[test]
    fn a_queue_without_a_bound_is_found() {
        let rule = queues_are_bounded;
        for planted in [
            "let (a, b) = mpsc::unbounded_channel();",
            "let (a, b) = std::sync::mpsc::channel();",
            "let (a, b) = mpsc::channel::<Vec<u8>>();",
            "let (a, b) = crossbeam::channel::unbounded();",
            "inbox: UnboundedSender<u8>,",
        ] {
            assert_eq!(found(rule, CORE, planted), [1], "{planted}");
        }
        assert_eq!(found(rule, CORE, "let (a, b) = mpsc::channel(16); mpsc::sync_channel(1);"), [0; 0]);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "fn a() {}\n".repeat(501);
        assert_eq!(found(no_long_file, CORE, &long), [501]);
        let excused = format!("// tidy: long because it is one table.\n{long}");
        assert_eq!(found(no_long_file, CORE, &excused), [0; 0]);
        let tested = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(found(no_long_file, CORE, &tested), [0; 0]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        for planted in
            ["todo!()", "unimplemented!()", "dbg!(x)", "#[ignore]", "#[ignore = \"slow\"]", "// TODO: x"]
        {
            assert_eq!(found(nothing_unfinished, CORE, planted), [1], "{planted}");
        }
        assert_eq!(found(nothing_unfinished, CORE, "let text = \"todo!() TODO\";"), [0; 0]);
    }

    // Row 106.
    #[test]
    fn finds_what_might_run_out_by_the_date() {
        let (rule, path) = (nothing_runs_out_by_date, "crates/wharf/src/node.rs");
        assert_eq!(found(rule, path, "let now = SystemTime::now();"), [1]);
        let told = "// tidy: the date because it is told.\nlet now = SystemTime::now();";
        assert_eq!(found(rule, path, told), [0; 0]);
        assert_eq!(found(rule, path, "let now = Instant::now();"), [0; 0]);
    }

    #[test]
    fn a_sleeping_test_needs_a_reason() {
        let rule = no_sleep_in_tests;
        let path = "crates/wharf/tests/a.rs";
        assert_eq!(found(rule, path, "std::thread::sleep(d);"), [1]);
        assert_eq!(found(rule, path, "tokio::time::sleep(d).await;"), [1]);
        assert_eq!(found(rule, path, "// tidy: sleeps because nothing tells.\nthread::sleep(d);"), [0; 0]);
        assert_eq!(found(rule, "crates/wharf/src/a.rs", "tokio::time::sleep(d).await;"), [0; 0]);
        let two = "#[tokio::test(start_paused = true)]\nfn a() { time::sleep(d) }\n#[tokio::test]\nfn b() { time::sleep(d) }";
        assert_eq!(found(rule, path, two), [4]);
    }

    #[test]
    fn a_pure_crate_that_allows_unsafe_is_found() {
        let rule = unsafe_forbidden_in_proto_and_core;
        assert_eq!(found(rule, "crates/wharf-proto/src/lib.rs", "pub mod wire;"), [1]);
        assert_eq!(found(rule, "crates/wharf-proto/src/lib.rs", "#![forbid(unsafe_code)]"), [0; 0]);
    }

    #[test]
    fn unsafe_without_a_proof_is_found() {
        let rule = unsafe_has_its_proof;
        assert_eq!(found(rule, "crates/wharf/src/a.rs", "unsafe { f() }"), [1]);
        assert_eq!(found(rule, "crates/wharf/src/a.rs", "// SAFETY: f is safe.\nunsafe { f() }"), [0; 0]);
        assert_eq!(found(rule, "crates/wharf/src/a.rs", "#![deny(unsafe_code)] // unsafe"), [0; 0]);
    }

    #[test]
    fn an_unwrap_without_a_proof_is_found() {
        let rule = unwrap_has_its_proof;
        assert_eq!(found(rule, CORE, "a.unwrap();"), [1]);
        assert_eq!(found(rule, CORE, "/// Documentation.\na.unwrap();"), [2]);
        assert_eq!(found(rule, CORE, "a.unwrap(); // Set two lines above."), [0; 0]);
        assert_eq!(found(rule, CORE, "// Set two lines above.\na.unwrap();"), [0; 0]);
    }
}
