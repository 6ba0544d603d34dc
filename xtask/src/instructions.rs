//! `cargo xtask instructions`, and a stage of `cargo xtask test`: counts the instructions of a few operations of the
//! server and of the WebSocket codec under callgrind, and fails where one takes more than its bound. Counts do not
//! drift with the machine's load as times do; they do differ with its vectors, its C library and the compiler, so each
//! bound is two to three times what was counted: it catches what is gross (an encoding for each subscriber, masking byte
//! by byte, an allocation for each message), not a percent.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{command, finish, succeeds, target},
    stage::Outcome,
};

/// A program that carries out one operation as often as it is told.
struct Program {
    /// What builds it, and what it is then.
    build: &'static str,
    path: fn(&Path) -> PathBuf,
    operations: &'static [Operation],
}

struct Operation {
    name: &'static str,
    /// The most instructions that it may take.
    most: u64,
    /// How often it runs in the shorter of two runs; in the longer three times as often. The difference is free of
    /// what it takes to start.
    times: u64,
}

const fn operation(name: &'static str, most: u64, times: u64) -> Operation {
    Operation { name, most, times }
}

/// One worker with simulated sockets: `crates/wharf/examples/worker_instructions.rs`.
const SERVER: Program = Program {
    build: "build --quiet --release --locked --package wharf --example worker_instructions",
    path: |root| target(root).join("release/examples/worker_instructions"),
    operations: &[
        operation("deliver_to_1000", 1_600_000, 20),
        operation("echo", 22_000, 500),
        operation("open_and_close", 85_000, 100),
        operation("publish", 28_000, 500),
        operation("ping_1000", 25_000_000, 4),
    ],
};

/// `benches/instructions`.
const CODEC: Program = Program {
    build: "build --quiet --release --locked --manifest-path benches/instructions/Cargo.toml --target-dir target/instructions",
    path: |root| root.join("target/instructions/release/wharf-codec-instructions"),
    operations: &[
        operation("parse_text_128", 1_000, 1_000),
        operation("parse_binary_1024", 1_200, 1_000),
        operation("parse_burst", 50_000, 1_000),
        operation("mask_16384", 4_500, 1_000),
        operation("validate_16384", 40_000, 1_000),
        operation("write_masked_128", 850, 1_000),
        operation("write_unmasked_128", 400, 1_000),
    ],
};

/// How long `cargo xtask instructions` may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// `cargo xtask instructions`: counts everything, prints it, and says whether all bounds hold.
pub fn run(root: &Path) -> Result<bool> {
    let outcome = judge(root, Instant::now() + PATIENCE)?;
    if outcome.left_out {
        bail!("{}: on Debian, apt-get install valgrind", outcome.note);
    }
    println!("{}", outcome.failure.as_deref().unwrap_or(&outcome.note).trim_end());
    Ok(outcome.failure.is_none())
}

/// The same as a stage: what was counted is its note, unless one is too many.
pub fn judge(root: &Path, deadline: Instant) -> Result<Outcome> {
    if !succeeds("valgrind", &["--version"]) {
        return Ok(Outcome::left_out("no instructions are counted, since valgrind is missing"));
    }
    let (mut lines, mut held, mut count) = (String::new(), true, 0);
    for program in [SERVER, CODEC] {
        let built = finish(command(root, "cargo", program.build), deadline)?;
        if !built.success {
            return Ok(Outcome::failed(built.output));
        }
        for Operation { name, most, times } in program.operations {
            let path = (program.path)(root);
            // Beside each other: what is counted does not depend on what else runs.
            let (shorter, longer) = thread::scope(|scope| {
                let longer = scope.spawn(|| counted(&path, name, 3 * times, deadline));
                let shorter = counted(&path, name, *times, deadline);
                (shorter, longer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            });
            let each = longer?.saturating_sub(shorter?) / (2 * times);
            held &= each <= *most;
            count += 1;
            lines += &verdict(name, each, *most);
        }
    }
    if !held {
        return Ok(Outcome::failed(lines));
    }
    Ok(Outcome::passed(format!("{count} operations within their bounds\n{lines}")))
}

fn verdict(operation: &str, each: u64, most: u64) -> String {
    let verdict = if each <= most { "ok" } else { "TOO MANY" };
    format!("{operation:<20} {each:>9} instructions, at most {most:>9}: {verdict}\n")
}

/// The instructions of a whole run.
fn counted(program: &Path, operation: &str, times: u64, deadline: Instant) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    valgrind.args([operation, &times.to_string()]);
    let finished = finish(valgrind, deadline)?;
    if !finished.success {
        bail!("{operation} failed under callgrind:\n{}", finished.output);
    }
    let what = || format!("callgrind does not say how many instructions it counted:\n{}", finished.output);
    collected(&finished.output).with_context(what)
}

/// The number in callgrind's line `==1== Collected : 123`.
fn collected(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_callgrind_counted() {
        let text = "==7== Events    : Ir\n==7== Collected : 5880159\n==7==\n";
        assert_eq!(collected(text), Some(5_880_159));
        assert_eq!(collected("==7== Events : Ir"), None);
    }

    #[test]
    fn tells_more_than_the_bound_from_the_bound() {
        assert!(verdict("mask", 10, 10).ends_with("ok\n"));
        assert!(verdict("mask", 11, 10).ends_with("TOO MANY\n"));
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let mut names: Vec<_> =
            [SERVER, CODEC].iter().flat_map(|program| program.operations).map(|one| one.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (12, 12));
    }
}
