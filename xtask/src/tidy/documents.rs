//! The rules on documents: those that must exist, and those that repeat what the code says.

use std::collections::HashSet;

use super::{Project, Rule, Violation, source::identifiers};
use crate::stage;

/// All rules of this file.
pub const ALL: &[Rule] = &[documents_exist, limits_exist, budgets_agree, locks_name_no_host];

/// The documents that the project must have.
pub const NEEDED: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LIMITS.md", "CHANGELOG.md", "LICENSE"];

/// Files that fix the versions of the judges.
pub const LOCK_FILES: &[&str] = &["judges/js/package-lock.json", "judges/python/requirements.txt"];

/// The documents that a newcomer looks for are there.
fn documents_exist(project: &Project) -> Vec<Violation> {
    let there =
        |name: &&&str| project.documents.iter().any(|(path, text)| path == **name && !text.trim().is_empty());
    let missing = NEEDED.iter().filter(|name| !there(name));
    missing
        .map(|name| Violation {
            rule: "documents_exist",
            path: (*name).into(),
            line: 0,
            message: "the document is missing or empty; write it".into(),
        })
        .collect()
}

pub fn document<'a>(project: &'a Project, name: &str) -> &'a str {
    project.documents.iter().find(|(path, _)| path == name).map_or("", |(_, text)| text)
}

/// The rows of all tables in a document, with their line numbers. Heads and rules come along.
pub fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter_map(|(at, line)| {
        let row = line.trim().strip_prefix('|')?;
        Some((at + 1, row.trim_end_matches('|').split('|').map(str::trim).collect()))
    })
}

/// The name in backticks with which a cell starts.
fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.split_once('`').map(|(name, _)| name)
}

/// Every bound that LIMITS.md names in a table's first column exists in the code, as a constant or a field:
/// `message_bytes` may be `MESSAGE_BYTES`.
fn limits_exist(project: &Project) -> Vec<Violation> {
    let known: HashSet<String> = project
        .sources
        .iter()
        .flat_map(|source| source.product())
        .flat_map(|line| identifiers(&line.code))
        .map(str::to_lowercase)
        .collect();
    let mut found = Vec::new();
    for (line, cells) in rows(document(project, "LIMITS.md")) {
        let Some(name) = quoted(cells[0]) else { continue };
        let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
        if !known.contains(&last) {
            found.push(Violation {
                rule: "limits_exist",
                path: "LIMITS.md".into(),
                line,
                message: format!("no code names the bound `{name}`; correct the name or take the row out"),
            });
        }
    }
    found
}

/// CONTRIBUTING.md's table of stages says what the code says, and leaves none out.
fn budgets_agree(project: &Project) -> Vec<Violation> {
    let text = document(project, "CONTRIBUTING.md");
    if text.is_empty() {
        return Vec::new(); // `documents_exist` says so.
    }
    let disagreement = |line: usize, message: String| Violation {
        rule: "budgets_agree",
        path: "CONTRIBUTING.md".into(),
        line,
        message,
    };
    let mut found = Vec::new();
    for stage in stage::ALL {
        let row = rows(text).find(|(_, cells)| quoted(cells[0]) == Some(stage.name));
        let expected = format!("{} s", stage.budget_s);
        match row {
            None => {
                found.push(disagreement(0, format!("the stage `{}` ({expected}) has no row", stage.name)))
            }
            Some((line, cells)) if cells.get(1) != Some(&expected.as_str()) => {
                let message = format!("the budget of `{}` is {expected} in xtask/src/stage.rs", stage.name);
                found.push(disagreement(line, message));
            }
            Some(_) => {}
        }
    }
    found
}

/// Lock files fix versions and checksums, and leave to the user from where packages come.
fn locks_name_no_host(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in LOCK_FILES {
        for (at, line) in document(project, name).lines().enumerate() {
            if line.contains("://") || line.contains("\"resolved\"") {
                found.push(Violation {
                    rule: "locks_name_no_host",
                    path: (*name).into(),
                    line: at + 1,
                    message: "names a host; lock with `npm install --omit-lockfile-registry-resolved`".into(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    fn project(documents: &[(&str, &str)]) -> Project {
        let documents = documents.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let sources =
            vec![Source::new("crates/wharf/src/a.rs", "pub const MESSAGE_BYTES: usize = 65_536;\n")];
        Project { documents, sources, ..Project::default() }
    }

    fn lines(violations: &[Violation]) -> Vec<usize> {
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_missing_or_empty_document_is_found() {
        let found = documents_exist(&project(&[("README.md", "# Wharf"), ("LIMITS.md", " \n")]));
        let paths: Vec<_> = found.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, ["ARCHITECTURE.md", "CONTRIBUTING.md", "LIMITS.md", "CHANGELOG.md", "LICENSE"]);
    }

    #[test]
    fn a_limit_that_no_code_names_is_found() {
        let table =
            "| bound | default |\n|---|---|\n| `message_bytes` | 64 KB |\n| `server.message_count` | 3 |\n";
        assert_eq!(lines(&limits_exist(&project(&[("LIMITS.md", table)]))), [4]);
    }

    #[test]
    fn limits_without_a_table_are_tolerated() {
        assert_eq!(limits_exist(&project(&[("LIMITS.md", "Soon.")])), []);
    }

    fn budgets(change: impl Fn(&stage::Stage) -> Option<u64>) -> String {
        let row = |stage: &&stage::Stage| Some(format!("| `{}` | {} s | x |\n", stage.name, change(stage)?));
        stage::ALL.iter().filter_map(row).collect()
    }

    #[test]
    fn a_budget_that_differs_is_found() {
        let right = budgets(|stage| Some(stage.budget_s));
        assert_eq!(budgets_agree(&project(&[("CONTRIBUTING.md", &right)])), []);
        let wrong = budgets(|stage| Some(stage.budget_s + u64::from(stage.name == "judges")));
        assert_eq!(lines(&budgets_agree(&project(&[("CONTRIBUTING.md", &wrong)]))), [2]);
        let short = budgets(|stage| (stage.name != "judges").then_some(stage.budget_s));
        assert_eq!(lines(&budgets_agree(&project(&[("CONTRIBUTING.md", &short)]))), [0]);
    }

    #[test]
    fn a_lock_that_names_a_host_is_found() {
        let lock = "{\n\"resolved\": \"https://packages.example/ws.tgz\"\n}";
        assert_eq!(lines(&locks_name_no_host(&project(&[("judges/js/package-lock.json", lock)]))), [2]);
    }
}
