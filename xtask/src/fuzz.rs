//! Fuzzing by cargo-fuzz, which needs a nightly toolchain: ten seconds a target in the tests, long by
//! `cargo xtask fuzz`. Where the tool cannot run the tests go on without it and say so; they still replay the
//! stored corpus, which is a unit test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{command, finish, succeeds},
    stage::{FUZZ_TOOL, Outcome},
};

/// The version that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// How long the tests fuzz each target, in seconds.
const SHORT_S: u64 = 10;
/// How long `cargo xtask fuzz` fuzzes each target, in seconds.
const LONG_S: u64 = 600;
/// The largest input that is tried, in bytes: a message of 64 KiB and what frames it.
const INPUT_BYTES: u64 = 66_000;

/// Makes cargo-fuzz available below `target/tools`, if a nightly toolchain and a C++ compiler are there.
pub fn install(root: &Path, deadline: Instant) -> Result<Outcome> {
    if let Some(why) = unavailable(root) {
        return Ok(Outcome::left_out(why));
    }
    if tool_runs(root) {
        return Ok(Outcome::passed("there already"));
    }
    let arguments = "install cargo-fuzz --locked --root target/tools --version";
    let mut install = command(root, "cargo", arguments);
    install.arg(CARGO_FUZZ_VERSION);
    let installed = finish(install, deadline)?;
    Ok(if installed.success {
        Outcome::passed(format!("installed cargo-fuzz {CARGO_FUZZ_VERSION}"))
    } else {
        let last = installed.output.lines().last().unwrap_or("it said nothing").to_owned();
        Outcome::left_out(format!("cargo-fuzz cannot be installed: {last}"))
    })
}

/// Fuzzes every target shortly. A crash is a failure, and so is a target that does not compile.
pub fn run_short(root: &Path, deadline: Instant) -> Result<Outcome> {
    if let Some(why) = unavailable(root) {
        return Ok(Outcome::left_out(why));
    }
    if !tool_runs(root) {
        return Ok(Outcome::left_out("cargo-fuzz does not run; see the stage fuzz-tool"));
    }
    let mut outcome = Outcome::default();
    for target in targets(root)? {
        let finished = finish(fuzz_command(root, &target, SHORT_S)?, deadline)?;
        if finished.success {
            outcome.counts.passed += 1;
        } else {
            outcome.counts.failed += 1;
            outcome.failure.get_or_insert_default().push_str(&finished.output);
        }
    }
    outcome.note = format!("{} targets, {SHORT_S} s each", outcome.counts.passed);
    Ok(outcome)
}

/// `cargo xtask fuzz [TARGET] [SECONDS]`.
pub fn run_long(root: &Path, words: &[&str]) -> Result<bool> {
    let (only, seconds) = long_arguments(words)?;
    let ready = install(root, FUZZ_TOOL.deadline())?;
    if ready.left_out {
        bail!("cannot fuzz: {}", ready.note);
    }
    let all = targets(root)?;
    let chosen: Vec<_> = all.iter().filter(|target| only.is_none_or(|only| only == *target)).collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", all.join(", "));
    }
    let mut clean = true;
    for target in chosen {
        println!("fuzzing {target} for {seconds} s; new inputs go to {}", scratch(root, target).display());
        clean &= fuzz_command(root, target, seconds)?.status()?.success();
    }
    Ok(clean)
}

fn long_arguments<'a>(words: &[&'a str]) -> Result<(Option<&'a str>, u64)> {
    Ok(match *words {
        [] => (None, LONG_S),
        [one] => one.parse().map_or((Some(one), LONG_S), |seconds| (None, seconds)),
        [target, seconds] => (
            Some(target),
            seconds.parse().with_context(|| format!("{seconds:?} is not a number of seconds"))?,
        ),
        _ => bail!("usage: cargo xtask fuzz [TARGET] [SECONDS]"),
    })
}

/// Why fuzzing is not possible on this machine, if it is not.
fn unavailable(root: &Path) -> Option<String> {
    if !root.join("fuzz/Cargo.toml").exists() {
        Some("fuzz/ has no targets".into())
    } else if !succeeds("cargo", &["+nightly", "--version"]) {
        Some("no nightly toolchain (rustup toolchain install nightly)".into())
    } else if !succeeds("c++", &["--version"]) {
        Some("no C++ compiler (apt-get install g++)".into())
    } else {
        None
    }
}

fn tool_runs(root: &Path) -> bool {
    nightly(root)
        .and_then(|mut command| {
            command.args(["fuzz", "--version"]);
            finish(command, Instant::now() + Duration::from_secs(10))
        })
        .is_ok_and(|finished| finished.success)
}

/// A nightly cargo that finds the tool, without what the surrounding cargo has put into the environment.
fn nightly(root: &Path) -> Result<Command> {
    let tools = root.join("target/tools/bin");
    let before = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&before)))?;
    let mut cargo = command(root, "cargo", "+nightly");
    cargo.env("PATH", path);
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "RUSTFLAGS", "LD_LIBRARY_PATH"] {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

/// Where libFuzzer writes what it finds interesting, so that the stored corpus changes by hand only.
fn scratch(root: &Path, target: &str) -> PathBuf {
    root.join("target/fuzz-corpus").join(target)
}

fn fuzz_command(root: &Path, target: &str, seconds: u64) -> Result<Command> {
    let scratch = scratch(root, target);
    let stored = root.join("fuzz/corpus").join(target);
    for folder in [&scratch, &stored] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzz = nightly(root)?;
    fuzz.args(["fuzz", "run", target]).arg(scratch).arg(stored).arg("--");
    fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES}"));
    fuzz.args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"]);
    Ok(fuzz)
}

/// The names of the binaries in `fuzz/Cargo.toml`.
fn targets(root: &Path) -> Result<Vec<String>> {
    let path = root.join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = binaries(&manifest);
    if names.is_empty() {
        bail!("{} names no [[bin]]", path.display());
    }
    Ok(names)
}

fn binaries(manifest: &str) -> Vec<String> {
    let mut in_binary = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_binary = line == "[[bin]]";
        } else if let Some((key, value)) = line.split_once('=')
            && in_binary
            && key.trim() == "name"
        {
            names.push(value.trim().trim_matches('"').to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_targets_from_the_manifest() {
        let manifest = "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"frames\"\npath = \"a.rs\"\n\n[[bin]]\nname = \"json\"\n";
        assert_eq!(binaries(manifest), ["frames", "json"]);
    }

    #[test]
    fn arguments_are_a_target_and_a_time_or_either() {
        assert_eq!(long_arguments(&[]).ok(), Some((None, LONG_S)));
        assert_eq!(long_arguments(&["frames"]).ok(), Some((Some("frames"), LONG_S)));
        assert_eq!(long_arguments(&["30"]).ok(), Some((None, 30)));
        assert_eq!(long_arguments(&["frames", "30"]).ok(), Some((Some("frames"), 30)));
        assert!(long_arguments(&["frames", "soon"]).is_err());
    }
}
