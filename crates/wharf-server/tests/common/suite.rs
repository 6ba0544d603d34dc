//! Runs the conformance suites in `judges/`, and holds them to their number of checks.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a whole suite may take.
const SUITE: Duration = Duration::from_secs(180);
/// How many lines of a suite may wait to be read.
const MAX_LINES: usize = 10_000;

/// A folder that `cargo xtask test` has filled. Without it a test fails, since a judge that does not judge is no
/// reason to pass.
#[track_caller]
pub fn folder(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable);
    folder.map(PathBuf::from).unwrap_or_else(|| {
        panic!(
            "{variable} is not set, so the foreign clients cannot be found: run `cargo xtask test`, which \
                installs them and sets it"
        )
    })
}

/// Whether the test is to be left out for want of a program of Debian's, which `cargo xtask test` has then said
/// loudly. Where nobody said so the program is taken to be there, and its absence fails the test.
pub fn left_out(package: &str) -> bool {
    let left_out = std::env::var("WHARF_JUDGES_LEFT_OUT").unwrap_or_default();
    let left_out = left_out.split(' ').any(|other| other == package);
    if left_out {
        println!("LEFT OUT: {package} is not here");
    }
    left_out
}

/// A script in `judges/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../judges").join(name)
}

/// Runs a suite in Node, which must make at least `checks` checks, all passed.
#[track_caller]
pub fn javascript(name: &str, arguments: &[&str], checks: usize) {
    let mut command = Command::new("node");
    command.arg(script(&format!("js/{name}.mjs"))).args(arguments);
    command.env("WHARF_JUDGES_JS", folder("WHARF_JUDGES_JS"));
    judge(name, command, checks);
}

/// Runs a suite in Python, which must make at least `checks` checks, all passed.
#[track_caller]
pub fn python(name: &str, arguments: &[&str], checks: usize) {
    let mut command = Command::new(folder("WHARF_JUDGES_PYTHON").join("bin/python"));
    command.arg(script(&format!("python/{name}.py"))).args(arguments);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    judge(name, command, checks);
}

#[track_caller]
fn judge(name: &str, mut command: Command, checks: usize) {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the interpreter is installed; run `cargo xtask test`");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (tell, lines) = mpsc::sync_channel(MAX_LINES);
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + SUITE;
    let mut verdicts = Verdicts::default();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => verdicts.hear(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                verdicts.failed.push(format!("the suite did not end within {SUITE:?}"));
                break;
            }
        }
    }
    let _ = child.kill(); // It has ended, or hangs.
    let _ = child.wait();
    verdicts.count(name);
    assert!(verdicts.failed.is_empty(), "{name}:\n{}", verdicts.failed.join("\n"));
    assert!(verdicts.passed >= checks, "{name} made {} checks of {checks}", verdicts.passed);
    let sum = format!("{} passed, 0 failed", verdicts.passed);
    assert_eq!(verdicts.last, sum, "{name} did not run to its end");
}

/// What a suite has said.
#[derive(Default)]
struct Verdicts {
    passed: usize,
    failed: Vec<String>,
    last: String,
}

impl Verdicts {
    fn hear(&mut self, line: String) {
        println!("{line}");
        if line.starts_with("ok ") {
            self.passed += 1;
        } else if line.starts_with("not ok ") {
            self.failed.push(line.clone());
        }
        self.last = line;
    }

    /// Adds a line to the file in which `cargo xtask test` sums the checks up.
    fn count(&self, name: &str) {
        let Some(path) = std::env::var_os("WHARF_JUDGES_CHECKS") else { return };
        let line = format!("{name} {} {}\n", self.passed, self.failed.len());
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write of a short line, so that suites that end at once do not mix.
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file for the counts is written");
    }
}
