//! `cargo xtask test`: everything, in stages. What fetches and what compiles run beside each other; what
//! measures time or memory runs after both.

use std::{fs, path::Path, thread, time::Instant};

use anyhow::Result;

use crate::{
    autobahn, count, dist, fuzz, instructions, judges, lint, packages,
    process::{Finished, command, finish},
    stage::{self, Outcome, Report, TOTAL_BUDGET_S},
    tidy,
};

/// Runs all stages, prints a line for each and the sum, and says whether all passed.
pub fn run(root: &Path) -> Result<bool> {
    let start = Instant::now();
    let mut reports = thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(root));
        let mut reports = compile(root);
        reports.extend(fetching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        reports
    });
    reports.push(Report::run(&stage::CLIENTS, || clients(root)));
    let counted = || instructions::judge(root, stage::INSTRUCTIONS.deadline());
    reports.push(Report::run(&stage::INSTRUCTIONS, counted));
    reports.push(Report::run(&stage::AUTOBAHN, || autobahn::judge(root, stage::AUTOBAHN.deadline())));
    let deadline = || stage::AUTOBAHN_CLIENT.deadline();
    reports.push(Report::run(&stage::AUTOBAHN_CLIENT, || autobahn::client::judge(root, deadline())));
    reports.push(Report::run(&stage::FUZZ, || fuzz::run_short(root, stage::FUZZ.deadline())));
    Ok(conclude(&reports, start.elapsed().as_secs_f64()))
}

/// What mostly waits for the network.
fn fetch(root: &Path) -> Vec<Report> {
    vec![
        Report::run(&stage::PACKAGES, || packages::install(root, stage::PACKAGES.deadline())),
        Report::run(&stage::JUDGES, || judges::install(root, stage::JUDGES.deadline())),
        Report::run(&stage::FUZZ_TOOL, || fuzz::install(root, stage::FUZZ_TOOL.deadline())),
    ]
}

/// What mostly waits for the compiler.
fn compile(root: &Path) -> Vec<Report> {
    let cargo = |stage: &'static stage::Stage, arguments: &str| {
        Report::run(stage, || {
            Ok(Outcome::of(finish(command(root, "cargo", arguments), stage.deadline())?, ""))
        })
    };
    vec![
        cargo(&stage::FORMAT, "fmt --all --check"),
        Report::run(&stage::TIDY, || tidy::outcome(root)),
        Report::run(&stage::LINT, || lint::run(root, stage::LINT.deadline())),
        Report::run(&stage::UNIT, || unit(root)),
        Report::run(&stage::RELEASE, || dist::build(root, stage::RELEASE.deadline())),
    ]
}

/// The tests inside of the crates: no server is started and no other language is needed.
fn unit(root: &Path) -> Result<Outcome> {
    let deadline = stage::UNIT.deadline();
    let code = command(root, "cargo", "test --workspace --locked --no-fail-fast --lib --bins --examples");
    let documentation = command(root, "cargo", "test --workspace --locked --no-fail-fast --doc");
    let mut outcome = tested(finish(code, deadline)?);
    let alone =
        "test --package wharf-proto --locked --no-fail-fast --lib --no-default-features --features websocket";
    for further in [documentation, command(root, "cargo", alone)] {
        let further = tested(finish(further, deadline)?);
        outcome.counts += further.counts;
        if let Some(output) = further.failure {
            outcome.failure.get_or_insert_default().push_str(&output);
        }
    }
    if outcome.failure.is_none() && outcome.counts.passed == 0 {
        outcome.failure = Some("no test ran\n".into());
    }
    outcome.note = format!("{} passed", outcome.counts.passed);
    Ok(outcome)
}

/// The tests that start a server and put real clients on it, foreign ones among them.
fn clients(root: &Path) -> Result<Outcome> {
    let checks = judges::checks(root);
    if checks.exists() {
        fs::remove_file(&checks)?;
    }
    let mut command = command(root, "cargo", "test --workspace --locked --no-fail-fast --test *");
    command
        .env("WHARF_JUDGES_JS", judges::javascript(root))
        .env("WHARF_JUDGES_PYTHON", judges::python(root))
        .env("WHARF_JUDGES_LEFT_OUT", packages::left_out().join(" "))
        .env("WHARF_JUDGES_CHECKS", &checks);
    let mut outcome = tested(finish(command, stage::CLIENTS.deadline())?);
    let tests = outcome.counts.passed;
    let checked = count::judge_checks(&fs::read_to_string(&checks).unwrap_or_default());
    outcome.counts += checked;
    outcome.note = format!("{tests} passed, with {} checks by foreign clients", checked.passed);
    Ok(outcome)
}

/// What a run of `cargo test` came to.
fn tested(finished: Finished) -> Outcome {
    Outcome { counts: count::cargo_test(&finished.output), ..Outcome::of(finished, "") }
}

/// Prints what the stages came to; the last line is the sum alone.
fn conclude(reports: &[Report], took_s: f64) -> bool {
    println!();
    for report in reports {
        let (name, note) = (report.stage.name, &report.outcome.note);
        if report.outcome.left_out {
            println!("LEFT OUT: {name}: {note}");
        }
        if report.over_budget() {
            println!(
                "OVER BUDGET: {name}: {:.0} s of {} s",
                report.took.as_secs_f64(),
                report.stage.budget_s
            );
        }
        if report.outcome.failure.is_some() {
            println!("FAILED: {name}");
        }
    }
    println!("the whole took {:.1} of {} minutes", took_s / 60.0, TOTAL_BUDGET_S / 60);
    let sum = stage::sum(reports);
    println!("{} passed, {} failed", sum.passed, sum.failed);
    sum.failed == 0
}
