//! The rule on docs/reliability.md: each row of the catalogue names tests that are there and say that they show it.

use std::ops::RangeInclusive;

use super::{
    Project, Rule, Violation,
    documents::{document, rows},
    source::{Line, Source},
};

/// All rules of this file.
pub const ALL: &[Rule] = &[rows_are_shown];

/// The document with the table.
pub const DOCUMENT: &str = "docs/reliability.md";

/// The rows that the table must have: those on WebSocket.
const ROWS: RangeInclusive<u32> = 1..=39;

/// Every row of the catalogue names at least one test as `file::test`, and each such test says `// Row N.` above.
fn rows_are_shown(project: &Project) -> Vec<Violation> {
    let violation =
        |line, message| Violation { rule: "rows_are_shown", path: DOCUMENT.into(), line, message };
    let mut found = Vec::new();
    let mut missing: Vec<u32> = ROWS.collect();
    for (line, cells) in rows(document(project, DOCUMENT)) {
        let Ok(row) = cells[0].parse::<u32>() else { continue };
        missing.retain(|other| *other != row);
        let tests: Vec<&str> = cells[1..].iter().flat_map(|cell| tests_of(cell)).collect();
        if tests.is_empty() {
            found.push(violation(line, format!("row {row} names no test; name one as `file::test`")));
        }
        for test in tests {
            if !shows(project, test, row) {
                let message = format!(
                    "no test `{test}` has the comment `// Row {row}.` above it; correct the name, or write it there"
                );
                found.push(violation(line, message));
            }
        }
    }
    found.extend(missing.iter().map(|row| violation(0, format!("row {row} is missing; say what shows it"))));
    found
}

/// What stands in backticks in a cell and has the form `file::test`.
fn tests_of(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::"))
}

/// Whether a test of this name, in a file whose path ends so, says that it shows the row.
fn shows(project: &Project, test: &str, row: u32) -> bool {
    let Some((file, function)) = test.rsplit_once("::") else { return false };
    let ending = format!("/{file}.rs");
    let declaration = format!("fn {function}(");
    project.sources.iter().filter(|source| source.path.ends_with(&ending)).any(|source| {
        let mut lines = source.lines.iter().enumerate();
        lines.any(|(at, line)| line.test && line.code.contains(&declaration) && says_row(source, at, row))
    })
}

/// Whether the comments and attributes right above a line name the row.
fn says_row(source: &Source, at: usize, row: u32) -> bool {
    let belongs = |line: &&Line| {
        line.code.trim().is_empty() != line.text.trim().is_empty() || line.code.trim_start().starts_with("#[")
    };
    let above = source.lines[..at].iter().rev().take_while(belongs);
    above.filter_map(Line::comment).any(|comment| rows_in(comment).any(|range| range.contains(&row)))
}

/// The rows that a comment names: `// Row 3.`, `// Rows 3, 5 and 7-9: why`.
fn rows_in(comment: &str) -> impl Iterator<Item = RangeInclusive<u32>> {
    let text =
        comment.split_once("Rows ").or_else(|| comment.split_once("Row ")).map_or("", |(_, text)| text);
    let words = text.split([' ', ',']).filter(|word| !word.is_empty() && *word != "and");
    words.map_while(|word| {
        let word = word.trim_end_matches(['.', ':', ')']);
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(first.parse().ok()?..=last.parse().ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "
// Rows 1-37 and 39.
#[test]
fn holds() {}

fn no_row() {}

// Row 38, on one machine.
#[tokio::test]
async fn holds_too() {}
";

    fn found(change: impl Fn(u32) -> Option<&'static str>) -> Vec<(usize, String)> {
        let row = |row| Some(format!("| {row} | holds | {} |\n", change(row)?));
        let table: String = ROWS.filter_map(row).collect();
        let text = format!("| row | promise | tests |\n|---|---|---|\n{table}");
        let project = Project {
            documents: vec![(DOCUMENT.into(), text)],
            sources: vec![Source::new("crates/wharf/tests/catalogue.rs", TESTS)],
            ..Project::default()
        };
        rows_are_shown(&project).into_iter().map(|found| (found.line, found.message)).collect()
    }

    fn right(row: u32) -> Option<&'static str> {
        Some(if row == 38 { "`catalogue::holds_too`" } else { "`catalogue::holds`" })
    }

    #[test]
    fn rows_that_name_their_tests_are_in_order() {
        assert_eq!(found(right), []);
    }

    #[test]
    fn a_row_that_is_missing_or_names_no_test_is_found() {
        let lines = |change: fn(u32) -> Option<&'static str>| -> Vec<usize> {
            found(change).iter().map(|(line, _)| *line).collect()
        };
        assert_eq!(lines(|row| right(row).filter(|_| row != 39)), [0]);
        assert_eq!(lines(|row| if row == 2 { Some("`holds`, by hand") } else { right(row) }), [4]);
    }

    #[test]
    fn a_test_that_is_gone_or_says_another_row_is_found() {
        for wrong in ["`catalogue::held`", "`other::holds`", "`catalogue::no_row`", "`catalogue::holds_too`"]
        {
            let found = found(|row| if row == 3 { Some(wrong) } else { right(row) });
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert_eq!(found[0].0, 5, "{wrong}");
        }
    }

    #[test]
    fn reads_numbers_lists_and_ranges() {
        let rows = |comment| rows_in(comment).flatten().collect::<Vec<_>>();
        assert_eq!(rows("// Row 23."), [23]);
        assert_eq!(rows("// Rows 1, 3 and 7-9: the rest, 10"), [1, 3, 7, 8, 9]);
        assert_eq!(rows("// Row 38, on 5 machines"), [38]);
        assert!(rows("// A row of 5").is_empty());
    }
}
