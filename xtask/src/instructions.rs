//! `cargo xtask instructions`: counts the instructions of a few operations of the WebSocket codec under callgrind, and
//! fails where one takes more than its bound. Counts do not drift with the machine's load as times do; they do differ
//! with its vectors and its C library, so each bound is about three times what AVX2 takes: it catches what is gross
//! (masking byte by byte, a copy or an allocation for each message), not a percent.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::process::{command, succeeds};

/// Operations of `benches/instructions`, and the most instructions that each may take.
const BOUNDS: [(&str, u64); 7] = [
    ("parse_text_128", 1_000),
    ("parse_binary_1024", 1_200),
    ("parse_burst", 50_000),
    ("mask_16384", 4_500),
    ("validate_16384", 40_000),
    ("write_masked_128", 850),
    ("write_unmasked_128", 400),
];

/// How often an operation runs in the shorter of two runs, and in the longer. The difference is free of what it
/// takes to start.
const TIMES: (u64, u64) = (1_000, 3_000);

/// Counts everything, prints it, and says whether all bounds hold.
pub fn run(root: &Path) -> Result<bool> {
    if !succeeds("valgrind", &["--version"]) {
        bail!("valgrind is missing: on Debian, apt-get install valgrind");
    }
    let build = "build --quiet --release --locked --manifest-path benches/instructions/Cargo.toml --target-dir target/instructions";
    if !command(root, "cargo", build).status()?.success() {
        bail!("benches/instructions does not build");
    }
    let mut held = true;
    for (operation, most) in BOUNDS {
        let (shorter, longer) = (counted(root, operation, TIMES.0)?, counted(root, operation, TIMES.1)?);
        let each = longer.saturating_sub(shorter) / (TIMES.1 - TIMES.0);
        held &= each <= most;
        println!("{}", verdict(operation, each, most));
    }
    Ok(held)
}

fn verdict(operation: &str, each: u64, most: u64) -> String {
    let verdict = if each <= most { "ok" } else { "TOO MANY" };
    format!("{operation:<20} {each:>7} instructions, at most {most:>7}: {verdict}")
}

/// The instructions of a whole run.
fn counted(root: &Path, operation: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(root.join("target/instructions/release/wharf-codec-instructions"));
    let output = valgrind.args([operation, &times.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{operation} failed under callgrind:\n{text}");
    }
    collected(&text)
        .with_context(|| format!("callgrind does not say how many instructions it counted:\n{text}"))
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
        assert!(verdict("mask", 10, 10).ends_with("ok"));
        assert!(verdict("mask", 11, 10).ends_with("TOO MANY"));
    }
}
