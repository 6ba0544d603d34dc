//! Reads how many tests ran out of what test runners print.

use std::ops::AddAssign;

/// Tests and checks by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Sums the `test result:` lines of `cargo test`, of which there is one for each test binary.
pub fn cargo_test(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines() {
        let Some((_, result)) = line.split_once("test result: ") else { continue };
        for part in result.split(['.', ';']) {
            match part.split_whitespace().collect::<Vec<_>>()[..] {
                [number, "passed"] => counts.passed += number.parse().unwrap_or(0),
                [number, "failed"] => counts.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    counts
}

/// Sums the lines `NAME PASSED FAILED` that the tests with foreign clients write, one for each suite that they
/// drove: the checks inside of one Rust test.
pub fn judge_checks(lines: &str) -> Counts {
    let mut counts = Counts::default();
    for line in lines.lines() {
        if let [_, passed, failed] = line.split_whitespace().collect::<Vec<_>>()[..] {
            counts.passed += passed.parse().unwrap_or(0);
            counts.failed += failed.parse().unwrap_or(0);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_results_of_every_test_binary() {
        let output = "\
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 40 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s
";
        assert_eq!(cargo_test(output), Counts { passed: 42, failed: 3 });
    }

    #[test]
    fn output_without_results_counts_nothing() {
        assert_eq!(cargo_test("error: could not compile `wharf`\n12 passed\n"), Counts::default());
    }

    #[test]
    fn sums_the_checks_of_foreign_suites() {
        assert_eq!(judge_checks("javascript 40 1\npython 20 0\n"), Counts { passed: 60, failed: 1 });
    }
}
