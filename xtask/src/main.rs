//! The project's own tasks, so that nobody needs to remember a command line:
//!
//! ```text
//! cargo xtask test                        install what the tests need, run everything, sum it up
//! cargo xtask tidy                        what the architecture forbids and a compiler cannot see
//! cargo xtask lint                        clippy, every set of features, the documentation
//! cargo xtask autobahn                    the Autobahn cases against the examples of both sides
//! cargo xtask fuzz [TARGET] [SECONDS]     fuzz one target or all, long by default
//! cargo xtask bench-codec [ROUNDS]        the WebSocket codec beside its peers; writes docs/codec.md
//! cargo xtask growth [--quick]            how `wharf bench` finds cost and memory to grow; writes docs/growth.json
//! cargo xtask plot                        draws docs/growth/*.svg and writes the tables of docs/performance.md
//! cargo xtask instructions                what operations of codec and server take under callgrind, held to bounds
//! cargo xtask dist                        a release build, and a check of its size
//! cargo xtask lean                        how long a release build takes from nothing
//! ```
#![forbid(unsafe_code)]

mod autobahn;
mod bench_codec;
mod count;
mod dist;
mod fuzz;
mod growth;
mod instructions;
mod judges;
mod lint;
mod marks;
mod packages;
mod plot;
mod process;
mod stage;
mod test;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask test | tidy | lint | autobahn | fuzz [TARGET] [SECONDS] | bench-codec [ROUNDS] | growth [--quick] | plot | instructions | dist | lean";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out one task; false where it ran and found something wrong, which it has told already.
fn run(words: &[&str]) -> Result<bool> {
    let root = project_root();
    match words {
        ["test"] => test::run(&root),
        ["tidy"] => tidy::run(&root),
        ["lint"] => lint::run_alone(&root),
        ["autobahn"] => autobahn::run(&root),
        ["fuzz", rest @ ..] => fuzz::run_long(&root, rest),
        ["bench-codec", rest @ ..] => bench_codec::run(&root, rest),
        ["growth", rest @ ..] => growth::run(&root, rest),
        ["plot"] => plot::run(&root),
        ["instructions"] => instructions::run(&root),
        ["dist"] => dist::run(&root),
        ["lean"] => dist::run_lean(&root),
        _ => bail!(USAGE),
    }
}

/// The folder of the workspace.
fn project_root() -> PathBuf {
    // The manifest of this crate lies one folder below the workspace's.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
