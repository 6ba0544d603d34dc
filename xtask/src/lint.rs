//! The stage `lint`: clippy on everything, the crate `wharf-proto` with each set of features that it can be built
//! with, how many crates each brings along, and the documentation. A warning is an error in all of them.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use anyhow::{Context, Result};

use crate::{
    process::{command, finish},
    stage::{self, Outcome, Report},
};

/// The sets of features of `wharf-proto` that make sense beside its default, which is all of them.
const FEATURE_SETS: [&str; 6] = ["", "websocket", "deflate", "http", "dialect", "deflate,http"];

/// The document whose table of features says how many crates each brings along.
const README: &str = "crates/wharf-proto/README.md";

/// `cargo xtask lint`.
pub fn run_alone(root: &Path) -> Result<bool> {
    let report = Report::run(&stage::LINT, || run(root, stage::LINT.deadline()));
    Ok(report.outcome.failure.is_none())
}

/// Runs all of it, to its end, and tells everything that is wrong.
pub fn run(root: &Path, deadline: Instant) -> Result<Outcome> {
    let mut wrong = String::new();
    let mut fail = |outcome: Outcome| {
        if let Some(output) = outcome.failure {
            wrong.push_str(&output);
        }
    };
    let everything =
        command(root, "cargo", "clippy --workspace --all-targets --locked --quiet -- -D warnings");
    fail(Outcome::of(finish(everything, deadline)?, ""));
    for features in FEATURE_SETS {
        let arguments = "clippy --package wharf-proto --all-targets --locked --quiet --no-default-features";
        let mut clippy = command(root, "cargo", arguments);
        clippy.args(["--features", features, "--", "-D", "warnings"]);
        let outcome = Outcome::of(finish(clippy, deadline)?, "");
        fail(named(outcome, &format!("wharf-proto with the features {features:?} alone")));
    }
    fail(crates_brought_along(root, deadline)?);
    let arguments = "doc --workspace --exclude xtask --no-deps --lib --all-features --locked --quiet";
    let mut documentation = command(root, "cargo", arguments);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    fail(named(Outcome::of(finish(documentation, deadline)?, ""), "the documentation"));
    Ok(if wrong.is_empty() { Outcome::passed("") } else { Outcome::failed(wrong) })
}

/// Says in front of a failure what it is of.
fn named(mut outcome: Outcome, what: &str) -> Outcome {
    if let Some(output) = &mut outcome.failure {
        output.insert_str(0, &format!("{what}:\n"));
    }
    outcome
}

/// Holds what the README promises of dependencies: as many crates as the table says, and no more.
fn crates_brought_along(root: &Path, deadline: Instant) -> Result<Outcome> {
    let readme = fs::read_to_string(root.join(README)).with_context(|| format!("cannot read {README}"))?;
    let mut wrong = String::new();
    for feature in ["websocket", "deflate"] {
        let arguments =
            "tree --package wharf-proto --locked --no-default-features --edges normal --prefix none";
        let mut tree = command(root, "cargo", arguments);
        tree.args(["--features", feature]);
        let finished = finish(tree, deadline)?;
        if !finished.success {
            return Ok(Outcome::failed(finished.output));
        }
        let crates = crates_in(&finished.output);
        let promised = promised(&readme, feature);
        if promised != Some(crates.len()) {
            wrong += &format!(
                "{README}: the feature `{feature}` brings {} crates along, and the table's row says {promised:?}; \
                 leave one out or say so: {crates:?}\n",
                crates.len(),
            );
        }
    }
    Ok(if wrong.is_empty() { Outcome::passed("") } else { Outcome::failed(wrong) })
}

/// The crates that `cargo tree --prefix none` names, but for its own.
fn crates_in(tree: &str) -> BTreeSet<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "wharf-proto").collect()
}

/// The number in the last cell of the table's row that begins with `feature`.
fn promised(readme: &str, feature: &str) -> Option<usize> {
    let row = readme.lines().find(|line| line.starts_with(&format!("| `{feature}` |")))?;
    row.trim_end_matches([' ', '|']).rsplit('|').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_crate_of_a_tree_once_and_not_the_root() {
        let tree = "wharf-proto v0.1.0 (/somewhere)\nbytes v1.12.2\nsha1 v0.11.0\ncfg-if v1.0.5\nbytes v1.12.2 (*)\n";
        assert_eq!(crates_in(tree), BTreeSet::from(["bytes", "cfg-if", "sha1"]));
    }

    #[test]
    fn reads_what_the_table_of_features_promises() {
        let readme = "# A\n\n| feature | what | crates |\n|---|---|---|\n| `websocket` | the codec | 19 |\n";
        assert_eq!(promised(readme, "websocket"), Some(19));
        assert_eq!(promised(readme, "deflate"), None);
        assert_eq!(promised("| `deflate` | few |", "deflate"), None);
    }
}
