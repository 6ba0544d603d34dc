//! The examples of `wharf::socket` run and print what they say, and docs/sockets.md shows them as they are.

mod common;

use std::{fs, path::Path, process::Command};

use common::example::example;

/// The examples' folder.
fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wharf/examples"))
}

/// The examples by name, with their text.
fn examples() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).expect("the crate has examples");
    let mut examples: Vec<(String, String)> = files
        .map(|file| file.expect("a file").path())
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| name.starts_with("socket_"))
        .map(|(name, path)| (name, fs::read_to_string(path).expect("text")))
        .collect();
    examples.sort();
    assert!(examples.len() >= 9, "{examples:?}");
    examples
}

/// What an example's own remarks behind its `println!` say that it prints.
fn promised(text: &str) -> Vec<&str> {
    let prints = text.lines().filter(|line| line.trim_start().starts_with("println!"));
    prints.map(|line| line.split_once("; // ").expect("it says what it prints").1).collect()
}

#[test]
fn every_example_prints_what_it_says() {
    for (name, text) in examples() {
        let output = Command::new(example(&name)).output().expect("the example was built");
        let printed = String::from_utf8(output.stdout).expect("text");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(printed, promised(&text), "{name}");
    }
}

#[test]
fn the_guide_shows_every_example_as_it_is() {
    let guide = fs::read_to_string(folder().join("../../../docs/sockets.md")).expect("the guide");
    let mut shown = guide.split("<!-- example: ").skip(1).map(|rest| {
        let (name, rest) = rest.split_once(" -->\n```rust\n").expect("a program follows");
        (name, rest.split_once("```").expect("it ends").0)
    });
    let mut names: Vec<&str> = Vec::new();
    let examples = examples();
    for (name, program) in shown.by_ref() {
        let (_, text) =
            examples.iter().find(|(example, _)| example == name).expect("an example of that name");
        assert_eq!(program, text, "docs/sockets.md shows {name} as it is no more");
        names.push(name);
    }
    names.sort_unstable();
    assert!(names.iter().eq(examples.iter().map(|(name, _)| name)), "not shown are all: {names:?}");
}

#[test]
fn no_example_takes_more_than_a_screen() {
    for (name, text) in examples() {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 25, "{name} has {lines} lines");
    }
}
