//! `cargo xtask bench-codec [ROUNDS]`: times the WebSocket codec beside its peers, and writes `docs/codec.json` and
//! the tables in `docs/codec.md`. Each round times everything once, so that what drifts drifts for all; of all
//! samples of all rounds the least counts, which is the one that was disturbed least.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    marks::replaced,
    process::{command, said},
};

const ROUNDS: u64 = 5;
const DATA: &str = "docs/codec.json";
const DOCUMENT: &str = "docs/codec.md";
/// What is between these two lines of the document is written by the program.
const MARKS: (&str, &str) = ("<!-- measured: begin -->", "<!-- measured: end -->");

const WHARF: &str = "wharf-proto";
/// Wharf driven in another way that its documentation offers. Never marked as the first.
const OTHERWISE: &str = "wharf-proto, otherwise";
const CODECS: [&str; 6] = [WHARF, "tungstenite", "fastwebsockets", "tokio-websockets", "yawc", OTHERWISE];
const MASKING: [&str; 4] = [WHARF, "fastwebsockets", "yawc", "copy"];
const VALIDATION: [&str; 4] = [WHARF, "simdutf8", "std", "copy"];
/// No codec: floors and ingredients, never marked as the first.
const YARDSTICKS: [&str; 3] = [OTHERWISE, "simdutf8", "copy"];

/// One row: what is done, how many bytes of payload it handles, and the least nanoseconds of each crate.
#[derive(Debug, Default, Clone, PartialEq)]
struct Row {
    name: String,
    bytes: u64,
    least_ns: BTreeMap<String, f64>,
}

/// `cargo xtask bench-codec [ROUNDS]`.
pub fn run(root: &Path, words: &[&str]) -> Result<bool> {
    let rounds = match words {
        [] => ROUNDS,
        [rounds] => rounds.parse().context("ROUNDS is a number")?,
        _ => bail!("usage: cargo xtask bench-codec [ROUNDS]"),
    };
    let mut rows = listed(root)?;
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let log = root.join("target/bench-codec.log");
        let output = bench(root, &[]).output()?;
        fs::write(&log, [&output.stdout[..], &output.stderr[..]].concat())?;
        if !output.status.success() {
            bail!("the benchmarks failed; see {}", log.display());
        }
        collect(&results(root), &mut rows)?;
    }
    let data = json!({
        "measured": said(root, "date", "-u +%Y-%m-%d"),
        "processor": processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        "rustc": said(root, "rustc", "--version"),
        "rounds": rounds,
        "versions": versions(&fs::read_to_string(root.join("benches/codec/Cargo.lock"))?),
        "rows": rows.iter().map(|row| json!({
            "name": row.name, "bytes": row.bytes, "least_ns": row.least_ns,
        })).collect::<Vec<_>>(),
    });
    fs::write(root.join(DATA), serde_json::to_string_pretty(&data)? + "\n")?;
    let document = root.join(DOCUMENT);
    let text = fs::read_to_string(&document).with_context(|| format!("cannot read {DOCUMENT}"))?;
    fs::write(&document, replaced(&text, MARKS, &report(&data, &rows))?)?;
    println!("wrote {DATA} and {DOCUMENT}");
    Ok(true)
}

fn results(root: &Path) -> PathBuf {
    root.join("target/bench-codec/criterion")
}

fn bench(root: &Path, arguments: &[&str]) -> Command {
    let mut command = command(
        root,
        "cargo",
        "bench --quiet --locked --manifest-path benches/codec/Cargo.toml --bench codec --target-dir target/bench-codec --",
    );
    command.args(arguments).env("CRITERION_HOME", results(root));
    command
}

/// The rows, in the order in which they are measured, without figures.
fn listed(root: &Path) -> Result<Vec<Row>> {
    let output = bench(root, &["--list"]).output()?;
    if !output.status.success() {
        bail!("the benchmarks cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut rows: Vec<Row> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, _)) = line.strip_suffix(": benchmark").and_then(|line| line.rsplit_once('/')) else {
            continue;
        };
        if rows.last().is_none_or(|row| row.name != name) {
            rows.push(Row { name: name.to_owned(), ..Row::default() });
        }
    }
    Ok(rows)
}

/// Lowers the rows' figures to what criterion stored, where that is less.
fn collect(folder: &Path, rows: &mut [Row]) -> Result<()> {
    for row in rows {
        for function in fs::read_dir(folder.join(&row.name))? {
            let run = function?.path().join("new");
            if !run.exists() {
                continue; // Criterion's report of the row.
            }
            let about: Value = serde_json::from_slice(&fs::read(run.join("benchmark.json"))?)?;
            let sample: Value = serde_json::from_slice(&fs::read(run.join("sample.json"))?)?;
            let name = about["function_id"].as_str().context("a benchmark without a name")?;
            row.bytes = about["throughput"]["Bytes"].as_u64().context("a benchmark without a throughput")?;
            let least = least_of(&sample).context("a benchmark without samples")?;
            let kept = row.least_ns.entry(name.to_owned()).or_insert(least);
            *kept = kept.min(least);
        }
    }
    Ok(())
}

/// The least time of an iteration in criterion's file of samples.
fn least_of(sample: &Value) -> Option<f64> {
    let numbers =
        |key: &str| Some(sample[key].as_array()?.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    numbers("times")?.iter().zip(numbers("iters")?).map(|(time, count)| time / count).min_by(f64::total_cmp)
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown", |(_, model)| model).to_owned()
}

/// The versions of the crates in the columns, as the lock file has them.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    let lines: Vec<&str> = lock.lines().collect();
    let pairs =
        lines.windows(2).filter_map(|pair| Some((value(pair[0], "name = ")?, value(pair[1], "version = ")?)));
    pairs.filter(|(name, _)| CODECS.contains(&&name[..]) || name == "simdutf8").collect()
}

fn report(data: &Value, rows: &[Row]) -> String {
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    let versions: Vec<String> = data["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect();
    let about = format!(
        "{}, {}, {}, the least of {} rounds. {}.",
        text("measured"),
        text("processor"),
        text("rustc"),
        data["rounds"],
        versions.join(", "),
    );
    let of =
        |prefix: &str| rows.iter().filter(|row| row.name.starts_with(prefix)).cloned().collect::<Vec<_>>();
    [
        about,
        format!("### Reading, ns\n\n{}", table(&of("parse "), &CODECS, nanoseconds)),
        format!("### Writing, ns\n\n{}", table(&of("write "), &CODECS, nanoseconds)),
        format!("### Masking, GB/s\n\n{}", table(&of("mask "), &MASKING, gigabytes)),
        format!("### Validation of text, GB/s\n\n{}", table(&of("utf8 "), &VALIDATION, gigabytes)),
        format!("### Rows in which {WHARF} is not the first\n\n{}", lost(rows)),
    ]
    .join("\n\n")
}

fn nanoseconds(_: u64, ns: f64) -> String {
    if ns < 100.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}

fn gigabytes(bytes: u64, ns: f64) -> String {
    format!("{:.1}", bytes as f64 / ns)
}

/// The crate with the least time, of those that compete, and its time.
fn first(row: &Row) -> Option<(&str, f64)> {
    let competing = row.least_ns.iter().filter(|(name, _)| !YARDSTICKS.contains(&&name[..]));
    competing.map(|(name, ns)| (&name[..], *ns)).min_by(|one, other| one.1.total_cmp(&other.1))
}

fn table(rows: &[Row], columns: &[&str], shown: fn(u64, f64) -> String) -> String {
    let mut text = format!("| | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let winner = first(row).map(|(name, _)| name);
        let cells = columns.iter().map(|column| match row.least_ns.get(*column) {
            Some(&ns) if winner == Some(*column) => format!("**{}**", shown(row.bytes, ns)),
            Some(&ns) => shown(row.bytes, ns),
            None => String::new(),
        });
        let name = row.name.split_once(' ').map_or(&row.name[..], |(_, rest)| rest);
        text += &format!("\n| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// A line for each row that another crate leads.
fn lost(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let (name, ns) = first(row).filter(|(name, _)| *name != WHARF)?;
        let ours = row.least_ns.get(WHARF)? / ns;
        let otherwise = row.least_ns.get(OTHERWISE).map(|other| format!("; otherwise {:.2} x", other / ns));
        Some(format!("- {}: {ours:.2} x {name}{}", row.name, otherwise.unwrap_or_default()))
    };
    let lines: Vec<String> = rows.iter().filter_map(line).collect();
    if lines.is_empty() { "None.".into() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, figures: &[(&str, f64)]) -> Row {
        let least_ns = figures.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect();
        Row { name: name.into(), bytes: 1_000, least_ns }
    }

    #[test]
    fn marks_the_first_of_each_row_and_no_yardstick() {
        let rows = [row("mask 1000", &[(WHARF, 20.0), ("yawc", 10.0), ("copy", 5.0)])];
        let text = table(&rows, &MASKING, gigabytes);
        assert!(text.ends_with("| 1000 | 50.0 |  | **100.0** | 200.0 |"), "{text}");
    }

    #[test]
    fn tells_the_rows_that_are_lost_and_by_how_much() {
        let rows = [
            row("parse a", &[(WHARF, 10.0), ("yawc", 20.0)]),
            row("parse b", &[(WHARF, 30.0), ("yawc", 20.0), (OTHERWISE, 10.0)]),
        ];
        assert_eq!(lost(&rows), "- parse b: 1.50 x yawc; otherwise 0.50 x");
        assert_eq!(lost(&rows[..1]), "None.");
    }

    #[test]
    fn takes_the_least_time_of_an_iteration() {
        let sample = json!({ "iters": [1.0, 10.0, 100.0], "times": [9.0, 50.0, 700.0] });
        assert_eq!(least_of(&sample), Some(5.0));
        assert_eq!(least_of(&json!({})), None);
    }

    #[test]
    fn finds_versions_in_a_lock_file() {
        let lock = "[[package]]\nname = \"yawc\"\nversion = \"0.5.0\"\n\n[[package]]\nname = \"zmij\"\nversion = \"1.0.0\"\n";
        let expected = BTreeMap::from([("yawc".to_owned(), "0.5.0".to_owned())]);
        assert_eq!(versions(lock), expected);
    }
}
