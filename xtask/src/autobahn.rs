//! The Autobahn cases: a foreign fuzzing client against the example `websocket_echo`, and in [`client`] a foreign
//! fuzzing server against the example `websocket_client`; both judged by the report. The judge's own exit code hides
//! failures, so it counts for nothing.
//!
//! ```text
//! cargo xtask autobahn
//! ```

pub mod client;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    count::Counts,
    judges,
    process::{command, finish},
    stage::{self, Outcome, Report},
};

/// How many cases there are. A run that judges fewer has failed, whatever it says of them.
const CASES: usize = 517;

/// How long a program may take to say where it listens.
const START: Duration = Duration::from_secs(10);

/// `cargo xtask autobahn`.
pub fn run(root: &Path) -> Result<bool> {
    let reports = [
        Report::run(&stage::JUDGES, || judges::install_python(root, stage::JUDGES.deadline())),
        Report::run(&stage::AUTOBAHN, || judge(root, stage::AUTOBAHN.deadline())),
        Report::run(&stage::AUTOBAHN_CLIENT, || client::judge(root, stage::AUTOBAHN_CLIENT.deadline())),
    ];
    Ok(reports.iter().all(|report| report.outcome.failure.is_none()))
}

/// Builds the example, runs all cases against it and reads what the judge reports. The judges are installed.
pub fn judge(root: &Path, deadline: Instant) -> Result<Outcome> {
    let build = command(root, "cargo", "build --release --locked --package wharf --example websocket_echo");
    let built = finish(build, deadline)?;
    if !built.success {
        return Ok(Outcome::failed(built.output));
    }
    let folder = root.join("target/judges/autobahn");
    if folder.exists() {
        // An old report must not be taken for this run's.
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let echo = Echo::start(Command::new(root.join("target/release/examples/websocket_echo")))?;
    let mut cases = Command::new(judges::python(root).join("bin/kosoku"));
    cases.arg("--outdir").arg(&folder).arg(&echo.address);
    let finished = finish(cases, deadline)?;
    drop(echo);
    match verdicts(&folder) {
        Ok(verdicts) => Ok(outcome(&verdicts)),
        Err(error) => Ok(Outcome::failed(format!("{error:#}\n{}", finished.output))),
    }
}

/// The example, which ends with this.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    /// Starts it on a port of the kernel's choice and waits until it says which.
    fn start(mut program: Command) -> Result<Self> {
        let name = program.get_program().to_string_lossy().into_owned();
        program.arg("127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = program.spawn().with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take();
        let mut echo = Self { child, address: String::new() };
        let line = first_line(output);
        match line.trim_end().strip_prefix("listening on ") {
            Some(address) => echo.address = address.to_owned(),
            None => bail!("{name} did not say where it listens, but {line:?}"),
        }
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line that a program writes within [`START`]; empty if it writes none. What follows is read and dropped,
/// so that the program can go on writing.
fn first_line(output: Option<impl Read + Send + 'static>) -> String {
    let (told, first_line) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut line = String::new();
        if let Some(output) = output {
            let mut output = BufReader::new(output);
            // An output that cannot be read has no first line, which the caller tells.
            let _ = output.read_line(&mut line);
            let _ = told.send(line);
            let _ = io::copy(&mut output, &mut io::sink());
        }
    });
    first_line.recv_timeout(START).unwrap_or_default()
}

/// What the report says of one case.
#[derive(Debug)]
struct Verdict {
    /// For example `6.4.1`, as numbers.
    case: Vec<u32>,
    behavior: String,
    behavior_close: String,
    /// For people, where the case did not pass.
    reason: String,
}

impl Verdict {
    /// Autobahn's own words, of which only these mean that the case passed. NON-STRICT, FAILED, UNIMPLEMENTED,
    /// FAILED BY CLIENT, WRONG CODE, UNCLEAN and whatever a later version says are failures.
    fn passed(&self) -> bool {
        [&self.behavior, &self.behavior_close]
            .iter()
            .all(|word| ["OK", "INFORMATIONAL"].contains(&word.as_str()))
    }

    fn section(&self) -> u32 {
        self.case.first().copied().unwrap_or(0)
    }
}

/// Reads the report. An error: there is none, or it is not one of a single server.
fn verdicts(folder: &Path) -> Result<Vec<Verdict>> {
    let index = json(&folder.join("index.json"))?;
    let servers: Vec<&Value> = index.as_object().into_iter().flat_map(|servers| servers.values()).collect();
    let [Value::Object(cases)] = servers[..] else { bail!("the report is not of one server: {index}") };
    let mut verdicts = Vec::new();
    for (case, entry) in cases {
        let word = |name: &str| entry[name].as_str().unwrap_or("MISSING").to_owned();
        let numbers = case.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>();
        let mut verdict = Verdict {
            case: numbers.with_context(|| format!("the report names a case {case:?}"))?,
            behavior: word("behavior"),
            behavior_close: word("behaviorClose"),
            reason: String::new(),
        };
        if !verdict.passed() {
            verdict.reason = reason(&folder.join(word("reportfile")));
        }
        verdicts.push(verdict);
    }
    verdicts.sort_by(|one, other| one.case.cmp(&other.case));
    Ok(verdicts)
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// What the report of one case says went wrong.
fn reason(path: &Path) -> String {
    let Ok(case) = json(path) else { return format!("(no report in {})", path.display()) };
    let text = |name: &str| case[name].as_str().unwrap_or("-").to_owned();
    let close = format!("{} (code {})", text("resultClose"), case["remoteCloseCode"]);
    format!("{}\n    result: {}; close: {close}", text("description"), text("result"))
}

/// One section's cases.
#[derive(Debug, Default)]
struct Section {
    passed: u64,
    failed: u64,
}

/// Judges the verdicts: by section, and each bad case with its reason.
fn outcome(verdicts: &[Verdict]) -> Outcome {
    let mut sections: BTreeMap<u32, Section> = BTreeMap::new();
    let mut wrong = String::new();
    for verdict in verdicts {
        let section = sections.entry(verdict.section()).or_default();
        if verdict.passed() {
            section.passed += 1;
        } else {
            section.failed += 1;
            let case = verdict.case.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
            let (behavior, close) = (&verdict.behavior, &verdict.behavior_close);
            // Writing into a String cannot fail.
            let _ = writeln!(wrong, "case {case}: {behavior}, close {close}\n    {}", verdict.reason);
        }
    }
    if verdicts.len() != CASES {
        let _ = writeln!(wrong, "{} cases were judged, and there are {CASES}", verdicts.len());
    }
    let sum = |part: fn(&Section) -> u64| sections.values().map(part).sum::<u64>();
    let note = format!("{} of {CASES} cases pass", sum(|section| section.passed));
    Outcome {
        counts: Counts { passed: sum(|section| section.passed), failed: sum(|section| section.failed) },
        note: format!("{note}; by section: {}", by_section(&sections)),
        left_out: false,
        failure: (!wrong.is_empty()).then_some(wrong),
    }
}

/// `1 16/16, 2 11/11, ...`: passed of all.
fn by_section(sections: &BTreeMap<u32, Section>) -> String {
    let part = |(number, section): (&u32, &Section)| {
        format!("{number} {}/{}", section.passed, section.passed + section.failed)
    };
    sections.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many cases as there are, of which so many say these words.
    fn report(changed: &[(&str, &str, &str)]) -> Vec<Verdict> {
        let verdict = |case: Vec<u32>, behavior: &str, close: &str| Verdict {
            case,
            behavior: behavior.into(),
            behavior_close: close.into(),
            reason: "because".into(),
        };
        let mut verdicts: Vec<_> =
            (0..CASES as u32).map(|number| verdict(vec![number % 13 + 1, 1, number], "OK", "OK")).collect();
        for (at, (case, behavior, close)) in changed.iter().enumerate() {
            let case = case.split('.').map(|number| number.parse().expect("a number")).collect();
            verdicts[at] = verdict(case, behavior, close);
        }
        verdicts
    }

    #[test]
    fn a_report_without_a_fault_passes() {
        let outcome = outcome(&report(&[("7.13.1", "INFORMATIONAL", "INFORMATIONAL")]));
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.counts, Counts { passed: CASES as u64, failed: 0 });
        assert!(!outcome.left_out);
    }

    #[test]
    fn every_word_but_a_pass_fails_and_names_its_case() {
        for (behavior, close) in [
            ("FAILED", "OK"),
            ("NON-STRICT", "OK"),
            ("UNIMPLEMENTED", "OK"),
            ("MISSING", "OK"),
            ("OK", "WRONG CODE"),
            ("OK", "UNCLEAN"),
            ("OK", "FAILED BY CLIENT"),
        ] {
            let outcome = outcome(&report(&[("6.4.1", behavior, close)]));
            let told = outcome.failure.expect("a fault");
            assert!(told.contains("case 6.4.1") && told.contains("because"), "{told}");
            assert_eq!(outcome.counts.failed, 1);
        }
    }

    #[test]
    fn a_case_that_was_not_judged_fails() {
        let mut verdicts = report(&[]);
        verdicts.pop();
        assert!(outcome(&verdicts).failure.is_some_and(|told| told.contains("516 cases")));
        assert!(outcome(&[]).failure.is_some());
    }

    #[test]
    fn reads_the_report_of_one_server_with_the_reasons() {
        let folder = std::env::temp_dir().join(format!("wharf-xtask-autobahn-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the report");
        let index = r#"{"localhost:1":{
            "6.4.10":{"behavior":"OK","behaviorClose":"OK","reportfile":"good.json"},
            "6.4.2":{"behavior":"NON-STRICT","behaviorClose":"OK","reportfile":"bad.json"}}}"#;
        let bad =
            r#"{"description":"Send it.","result":"Too late.","resultClose":"Fine.","remoteCloseCode":1007}"#;
        fs::write(folder.join("index.json"), index).expect("the report is written");
        fs::write(folder.join("bad.json"), bad).expect("the report is written");
        let read = verdicts(&folder);
        fs::write(folder.join("index.json"), r#"{"a":{},"b":{}}"#).expect("the report is written");
        let of_two = verdicts(&folder);
        fs::remove_dir_all(&folder).expect("the folder is removed");
        let missing = verdicts(&folder);

        let read = read.expect("a whole report");
        assert_eq!((&read[0].case[..], &read[1].case[..]), (&[6, 4, 2][..], &[6, 4, 10][..]));
        assert_eq!(read[0].reason, "Send it.\n    result: Too late.; close: Fine. (code 1007)");
        assert!(of_two.is_err() && missing.is_err());
    }

    #[test]
    fn a_program_that_does_not_listen_is_told() {
        let mut program = Command::new("echo");
        program.arg("no server");
        let error = Echo::start(program).err().expect("echo does not listen").to_string();
        assert!(error.contains("did not say where it listens"), "{error}");
    }
}
