//! The release build, its size, and how long it takes from nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    process::{command, finish},
    stage::{self, Outcome, Report},
};

/// The largest release binary, in bytes. LIMITS.md: `binary_bytes`.
const BINARY_BYTES: u64 = 15_000_000;
/// The longest release build from nothing on two cores, in seconds.
const LEAN_BUDGET_S: u64 = 5 * 60;

/// `cargo xtask dist`.
pub fn run(root: &Path) -> Result<bool> {
    let report = Report::run(&stage::RELEASE, || build(root, stage::RELEASE.deadline()));
    Ok(report.outcome.failure.is_none())
}

/// Builds the release binary and holds it to its size.
pub fn build(root: &Path, deadline: Instant) -> Result<Outcome> {
    let binary = root.join("target/release/wharf");
    let from_nothing = !root.join("target/release/deps").exists();
    let built = finish(command(root, "cargo", "build --release --locked --package wharf-server"), deadline)?;
    if !built.success {
        return Ok(Outcome::failed(built.output));
    }
    let started = if from_nothing { "from nothing" } else { "from an earlier build" };
    size_checked(&binary, started)
}

fn size_checked(binary: &Path, started: &str) -> Result<Outcome> {
    let size = fs::metadata(binary).with_context(|| format!("cannot find {}", binary.display()))?.len();
    if size > BINARY_BYTES {
        return Ok(Outcome::failed(format!(
            "{} has {size} bytes; the limit is {BINARY_BYTES}. Look at what the last dependency brought.\n",
            binary.display()
        )));
    }
    Ok(Outcome::passed(format!(
        "{started}; binary {:.1} MB of {} MB",
        size as f64 / 1e6,
        BINARY_BYTES / 1_000_000
    )))
}

/// `cargo xtask lean`: a release build in a folder of its own that is empty at the start.
pub fn run_lean(root: &Path) -> Result<bool> {
    let folder = root.join("target/lean");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let start = Instant::now();
    let mut build = command(root, "cargo", "build --release --locked --package wharf-server");
    build.env("CARGO_TARGET_DIR", &folder);
    let built = finish(build, start + Duration::from_secs(4 * LEAN_BUDGET_S))?;
    let took = start.elapsed().as_secs_f64();
    if !built.success {
        print!("{}", built.output);
        return Ok(false);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "release build from nothing: {took:.0} s on {cores} cores; the budget is {LEAN_BUDGET_S} s on 2"
    );
    let size = size_checked(&folder.join("release/wharf"), "from nothing")?;
    println!("{}", size.failure.as_deref().unwrap_or(&size.note).trim_end());
    Ok(size.failure.is_none() && took <= LEAN_BUDGET_S as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_over_the_limit_fails() {
        let path = std::env::temp_dir().join(format!("wharf-xtask-dist-{}", std::process::id()));
        let file = fs::File::create(&path).expect("a file to measure");
        file.set_len(BINARY_BYTES).expect("a sparse file of any size");
        let fits = size_checked(&path, "").expect("the file is there");
        file.set_len(BINARY_BYTES + 1).expect("a sparse file of any size");
        let too_large = size_checked(&path, "").expect("the file is there");
        fs::remove_file(&path).expect("the file is removed");
        assert!(fits.failure.is_none());
        assert!(too_large.failure.is_some_and(|text| text.contains("15000001")));
    }
}
