//! `cargo xtask plot`: draws `docs/growth/*.svg` from `docs/growth.json`, and writes what is between the marks of
//! `docs/performance.md`: tables of the same figures, and what larger machines would take by them.

mod chart;
mod paper;
mod tables;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use self::chart::{Chart, Line};
use crate::{
    growth::{
        IDLE, MEMBERS, WIRES,
        data::{Growth, Run},
    },
    marks::{Marks, replaced},
};

const DOCUMENT: &str = "docs/performance.md";
/// As long as the document's lines.
const LINE: usize = 120;
const GROWTH_MARKS: Marks = ("<!-- growth: begin -->", "<!-- growth: end -->");
const PAPER_MARKS: Marks = ("<!-- paper: begin -->", "<!-- paper: end -->");

/// `cargo xtask plot`.
pub fn run(root: &Path) -> Result<bool> {
    let growth = Growth::read(root)?;
    for (file, svg) in drawings(&growth)? {
        let path = root.join(&file);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, svg).with_context(|| format!("{file} cannot be written"))?;
        println!("wrote {file}");
    }
    let document = root.join(DOCUMENT);
    let text = fs::read_to_string(&document).with_context(|| format!("{DOCUMENT} cannot be read"))?;
    fs::write(&document, written(&growth, &text)?)?;
    println!("wrote {DOCUMENT}");
    Ok(true)
}

/// The document with what the figures say between its marks.
fn written(growth: &Growth, document: &str) -> Result<String> {
    let document = replaced(document, GROWTH_MARKS, &wrapped(&tables::growth(growth)?))?;
    replaced(&document, PAPER_MARKS, &wrapped(&paper::paper(&paper::Costs::of(growth)?)))
}

/// The text with its paragraphs in lines of at most so many characters as the document's others have.
fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        if paragraph.starts_with(['|', '#', '!']) {
            lines.push(paragraph.to_owned());
            continue;
        }
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// All drawings, each with its file.
fn drawings(growth: &Growth) -> Result<Vec<(String, String)>> {
    let charts = [
        ("members", members(growth)?),
        ("wires", wires(growth)?),
        ("channels", channels(growth)?),
        ("memory", memory(growth)?),
    ];
    Ok(charts.into_iter().map(|(name, chart)| (format!("docs/growth/{name}.svg"), chart.svg())).collect())
}

/// A line through the runs of one name.
fn line(
    growth: &Growth,
    (chart, line): (&str, &str),
    name: &str,
    xs: &[u64],
    y: impl Fn(&Run) -> Option<f64>,
) -> Result<Line> {
    let point = |x: &u64| {
        let y = y(growth.run(chart, line, *x)?);
        Ok((*x as f64, y.with_context(|| format!("the run {chart}, {line}, {x} lacks a figure"))?))
    };
    let mut points: Vec<_> = xs.iter().map(point).collect::<Result<_>>()?;
    // What costs nothing that can be seen has no place on a logarithmic axis.
    points.retain(|(_, y)| *y > 0.0);
    Ok(Line { name: name.to_owned(), points, floor: name.starts_with("floor") })
}

fn server_us(run: &Run) -> Option<f64> {
    run.server.us
}

fn floor_us(run: &Run) -> Option<f64> {
    run.floor.as_ref()?.us
}

fn members(growth: &Growth) -> Result<Chart> {
    Ok(Chart {
        title: "A delivery, by the number of subscribers",
        y: "microseconds of the server's processor for each delivery",
        x: "subscribers of one channel, by WebSocket",
        lines: vec![
            line(growth, ("members", "websocket"), "sparse", &MEMBERS, server_us)?,
            line(growth, ("members", "saturated"), "64 in flight", &MEMBERS, server_us)?,
            line(growth, ("members", "websocket"), "floor, sparse", &MEMBERS, floor_us)?,
        ],
    })
}

fn wires(growth: &Growth) -> Result<Chart> {
    let wire = |wire: &&str| line(growth, ("members", wire), wire, &MEMBERS, server_us);
    let mut lines: Vec<_> = WIRES.iter().map(wire).collect::<Result<_>>()?;
    lines.push(line(growth, ("members", "websocket"), "floor", &MEMBERS, floor_us)?);
    Ok(Chart {
        title: "A delivery, by the wire",
        y: "microseconds of the server's processor for each sparse delivery",
        x: "subscribers of one channel",
        lines,
    })
}

fn channels(growth: &Growth) -> Result<Chart> {
    let xs = [1, 1_000, 100_000];
    Ok(Chart {
        title: "A delivery, by the number of channels",
        y: "microseconds of the server's processor for each delivery; the publication itself counts in",
        x: "channels, of ten subscribers each",
        lines: vec![
            line(growth, ("channels", "websocket"), "server", &xs, server_us)?,
            line(growth, ("channels", "websocket"), "floor", &xs, floor_us)?,
        ],
    })
}

fn memory(growth: &Growth) -> Result<Chart> {
    let kib = |run: &Run| run.server.kib;
    let wire = |wire: &&str| line(growth, ("memory", wire), wire, &IDLE, kib);
    let mut lines: Vec<_> = WIRES.iter().map(wire).collect::<Result<_>>()?;
    let floor_kib = |run: &Run| run.floor.as_ref()?.kib;
    lines.push(line(growth, ("memory", "websocket"), "floor", &IDLE, floor_kib)?);
    Ok(Chart {
        title: "Memory of a connection that waits",
        y: "KiB of the server's own memory for each connection, subscribed to one channel",
        x: "connections",
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project_root;

    #[test]
    fn paragraphs_are_wrapped_and_tables_are_not() {
        let words = "word ".repeat(30);
        let text = format!("{}\n\n| {words} |", words.trim());
        let lines: Vec<_> = wrapped(&text).lines().map(str::len).collect();
        assert_eq!(lines, [119, 29, 0, 154]);
    }

    #[test]
    fn what_is_checked_in_is_what_the_figures_draw() {
        let root = project_root();
        let growth = Growth::read(&root).expect("figures");
        for (file, svg) in drawings(&growth).expect("drawings") {
            let there = fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(there == svg, "{file} is not drawn from the figures: run `cargo xtask plot`");
        }
        let text = fs::read_to_string(root.join(DOCUMENT)).expect("the document");
        let written = written(&growth, &text).expect("both pairs of marks");
        assert!(text == written, "{DOCUMENT} does not say what the figures say: run `cargo xtask plot`");
    }
}
