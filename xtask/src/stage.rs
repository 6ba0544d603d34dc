//! The stages of `cargo xtask test`: their names, what they do, how long each may take, and what came of one.
//! CONTRIBUTING.md repeats the table; `cargo xtask tidy` compares the two.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{count::Counts, process::Finished};

/// One step of the test run.
#[derive(Debug)]
pub struct Stage {
    /// One word, as it is printed.
    pub name: &'static str,
    /// How long it may take on two cores with nothing cached. Over it the run says so; at [`HANG_FACTOR`] times
    /// it the stage is stopped and has failed.
    pub budget_s: u64,
}

/// A stage that takes this many times its budget hangs, and is stopped.
pub const HANG_FACTOR: u64 = 2;

/// What the whole run may take on two cores with nothing cached, in seconds.
pub const TOTAL_BUDGET_S: u64 = 40 * 60;

pub const PACKAGES: Stage = Stage { name: "packages", budget_s: 120 };
pub const JUDGES: Stage = Stage { name: "judges", budget_s: 120 };
pub const FUZZ_TOOL: Stage = Stage { name: "fuzz-tool", budget_s: 300 };
pub const FORMAT: Stage = Stage { name: "format", budget_s: 20 };
pub const TIDY: Stage = Stage { name: "tidy", budget_s: 10 };
pub const LINT: Stage = Stage { name: "lint", budget_s: 270 };
pub const UNIT: Stage = Stage { name: "unit", budget_s: 420 };
pub const RELEASE: Stage = Stage { name: "release", budget_s: 240 };
pub const CLIENTS: Stage = Stage { name: "clients", budget_s: 420 };
pub const INSTRUCTIONS: Stage = Stage { name: "instructions", budget_s: 120 };
pub const AUTOBAHN: Stage = Stage { name: "autobahn", budget_s: 300 };
pub const AUTOBAHN_CLIENT: Stage = Stage { name: "autobahn-client", budget_s: 300 };
pub const FUZZ: Stage = Stage { name: "fuzz", budget_s: 300 };

/// All stages, in the order of CONTRIBUTING.md's table: those that fetch, those that compile beside them, and those
/// that run alone.
pub const ALL: [&Stage; 13] = [
    &PACKAGES,
    &JUDGES,
    &FUZZ_TOOL,
    &FORMAT,
    &TIDY,
    &LINT,
    &UNIT,
    &RELEASE,
    &CLIENTS,
    &INSTRUCTIONS,
    &AUTOBAHN,
    &AUTOBAHN_CLIENT,
    &FUZZ,
];

/// How many stages of [`ALL`] fetch, and how many compile beside them.
#[cfg(test)]
const BESIDE: (usize, usize) = (3, 5);

impl Stage {
    /// The moment at which the stage, started now, is taken to hang.
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.budget_s * HANG_FACTOR)
    }
}

/// What a stage came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Tests and checks that ran in it.
    pub counts: Counts,
    /// What a reader should know of a stage that passed: what it built, or what it left out and why.
    pub note: String,
    /// Something that ought to run on a well-equipped machine was left out. Told again at the end.
    pub left_out: bool,
    /// Everything that the stage printed, if it failed.
    pub failure: Option<String>,
}

impl Outcome {
    pub fn passed(note: impl Into<String>) -> Self {
        Self { note: note.into(), ..Self::default() }
    }

    pub fn left_out(why: impl Into<String>) -> Self {
        Self { note: why.into(), left_out: true, ..Self::default() }
    }

    pub fn failed(output: impl Into<String>) -> Self {
        Self { failure: Some(output.into()), ..Self::default() }
    }

    /// Passed with the note if the command succeeded, else failed with its output.
    pub fn of(finished: Finished, note: impl Into<String>) -> Self {
        if finished.success { Self::passed(note) } else { Self::failed(finished.output) }
    }
}

/// A stage that ran.
#[derive(Debug)]
pub struct Report {
    pub stage: &'static Stage,
    pub took: Duration,
    pub outcome: Outcome,
}

impl Report {
    /// Runs a stage and prints its line; a failing one's output as well. An error of the stage's own making
    /// (a tool that cannot be started) is a failure like any other.
    pub fn run(stage: &'static Stage, work: impl FnOnce() -> anyhow::Result<Outcome>) -> Self {
        let start = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::failed(format!("{error:#}\n")));
        let report = Self { stage, took: start.elapsed(), outcome };
        print!("{}", report.text()); // One call, so that stages that run beside each other do not mix.
        report
    }

    pub fn over_budget(&self) -> bool {
        self.took > Duration::from_secs(self.stage.budget_s)
    }

    fn text(&self) -> String {
        let verdict = match (&self.outcome.failure, self.outcome.left_out) {
            (Some(_), _) => "FAILED",
            (None, true) => "LEFT OUT",
            (None, false) => "ok",
        };
        let (name, budget) = (self.stage.name, self.stage.budget_s);
        let over = if self.over_budget() { "  OVER BUDGET" } else { "" };
        let took = self.took.as_secs_f64();
        let note = &self.outcome.note;
        let mut text = format!("{name:<10} {verdict:<8} {took:>6.1} s of {budget:>4} s{over}  {note}");
        text.truncate(text.trim_end().len());
        text.push('\n');
        if let Some(output) = &self.outcome.failure {
            let end = if output.ends_with('\n') { "" } else { "\n" };
            // Writing into a String cannot fail.
            let _ = write!(text, "--- {name}: output\n{output}{end}--- {name}: end of output\n");
        }
        text
    }
}

/// The sum of a run. A stage that failed without counting a failed test (a compile error, a lint) counts as
/// one failure, so that the sum never says 0 failed of a run that did.
pub fn sum(reports: &[Report]) -> Counts {
    let mut total = Counts::default();
    for Report { outcome, .. } in reports {
        total += outcome.counts;
        if outcome.failure.is_some() && outcome.counts.failed == 0 {
            total.failed += 1;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(passed: u64, failed: u64, failure: Option<&str>) -> Report {
        let outcome = Outcome {
            counts: Counts { passed, failed },
            failure: failure.map(str::to_owned),
            ..Outcome::default()
        };
        Report { stage: &UNIT, took: Duration::from_secs(1), outcome }
    }

    #[test]
    fn a_failed_stage_without_failed_tests_counts_as_one_failure() {
        let reports = [report(10, 0, None), report(0, 0, Some("does not compile"))];
        assert_eq!(sum(&reports), Counts { passed: 10, failed: 1 });
    }

    #[test]
    fn failed_tests_are_not_counted_twice() {
        assert_eq!(sum(&[report(3, 2, Some("two failed"))]), Counts { passed: 3, failed: 2 });
    }

    #[test]
    fn a_failing_stage_prints_its_whole_output() {
        let text = report(0, 0, Some("first\nlast")).text();
        assert!(text.contains("FAILED") && text.contains("first\nlast\n---"), "{text}");
    }

    #[test]
    fn a_stage_over_its_budget_says_so() {
        let mut slow = report(1, 0, None);
        slow.took = Duration::from_secs(UNIT.budget_s + 1);
        assert!(slow.text().contains("OVER BUDGET"));
        assert!(!report(1, 0, None).text().contains("OVER BUDGET"));
    }

    #[test]
    fn the_stages_fit_into_the_total() {
        let sum = |stages: &[&Stage]| stages.iter().map(|stage| stage.budget_s).sum::<u64>();
        let (fetching, rest) = ALL.split_at(BESIDE.0);
        let (compiling, alone) = rest.split_at(BESIDE.1);
        let whole = sum(fetching).max(sum(compiling)) + sum(alone);
        assert!(whole <= TOTAL_BUDGET_S, "{whole} s of stages in a total of {TOTAL_BUDGET_S} s");
    }
}
