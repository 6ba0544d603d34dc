//! The tables beside the drawings, of the same figures.

use std::fmt::Write as _;

use anyhow::Result;

use crate::growth::{
    IDLE, MEMBERS, WIRES,
    data::{Growth, Machine, Run, spell},
};

/// All of it: what was measured where, and a drawing and a table for each thing that grows.
pub fn growth(growth: &Growth) -> Result<String> {
    let parts = [
        about(growth),
        members(growth)?,
        wires(growth)?,
        channels(growth)?,
        memory(growth)?,
        workers(growth)?,
    ];
    Ok(parts.join("\n\n"))
}

fn about(growth: &Growth) -> String {
    let Machine { processor, cores, kernel, wharf } = &growth.machine;
    let mut text =
        format!("{}, Wharf {wharf}, Linux {kernel}, {cores} cores of {processor}.", growth.measured);
    if growth.quick {
        text += " **By `--quick`, on a machine that did other things as well: these figures show the form, and are worth nothing.**";
    }
    text
}

fn members(growth: &Growth) -> Result<String> {
    let row = |x: &u64| {
        let (sparse, saturated) =
            (growth.run("members", "websocket", *x)?, growth.run("members", "saturated", *x)?);
        Ok(vec![number(*x), with_ratio(sparse), with_ratio(saturated)])
    };
    let rows = MEMBERS.iter().map(row).collect::<Result<Vec<_>>>()?;
    Ok(section(
        "Subscribers",
        Some("members"),
        "Sparse is a publication by itself, and 5,000 deliveries a second (20,000 to 10,000 subscribers); saturated is 64 \
         publications in flight. With few subscribers the publication itself counts among few deliveries. At 10,000 server \
         and floor are measured one after the other, as the sockets of both are more than a process may have here.",
        &["subscribers", "sparse, us (x)", "saturated, us (x)"],
        &rows,
    ))
}

fn wires(growth: &Growth) -> Result<String> {
    let row = |x: &u64| {
        let mut row = vec![number(*x)];
        for wire in WIRES {
            row.push(with_ratio(growth.run("members", wire, *x)?));
        }
        Ok(row)
    };
    let rows = MEMBERS.iter().map(row).collect::<Result<Vec<_>>>()?;
    let head: Vec<_> = ["subscribers"].into_iter().chain(WIRES).collect();
    Ok(section(
        "Wires",
        Some("wires"),
        "Microseconds for each sparse delivery, in brackets in times of the floor, which writes WebSocket frames whatever \
         the wire. A delivery by poll is an HTTP request and its answer.",
        &head,
        &rows,
    ))
}

fn channels(growth: &Growth) -> Result<String> {
    let row = |x: u64| {
        let run = growth.run("channels", "websocket", x)?;
        Ok(vec![number(x), number(10 * x), with_ratio(run)])
    };
    let rows = [1, 1_000, 100_000].into_iter().map(row).collect::<Result<Vec<_>>>()?;
    Ok(section(
        "Channels",
        Some("channels"),
        "Each channel has ten subscribers, and 500 publications a second go to the channels in turn: with 100,000 of \
         them 10,000 connections have 100 subscriptions each, and nothing that is touched was touched lately.",
        &["channels", "subscriptions", "us (x)"],
        &rows,
    ))
}

fn memory(growth: &Growth) -> Result<String> {
    let row = |x: &u64| {
        let mut row = vec![number(*x)];
        for wire in WIRES {
            row.push(spell(growth.kib(wire, *x)?));
        }
        let kernel = growth.run("memory", "websocket", *x)?.kernel_kib;
        row.push(kernel.map_or("-".to_owned(), spell));
        Ok(row)
    };
    let rows = IDLE.iter().map(row).collect::<Result<Vec<_>>>()?;
    let head: Vec<_> = ["connections"].into_iter().chain(WIRES).chain(["kernel"]).collect();
    Ok(section(
        "Memory",
        Some("memory"),
        "KiB for each connection that is subscribed to one channel and waits: anonymous memory of the server, and the \
         kernel's own objects (socket, file, event) for one end of it, as `/proc/meminfo` has them.",
        &head,
        &rows,
    ))
}

fn workers(growth: &Growth) -> Result<String> {
    let mut rows = Vec::new();
    for (line, of_one) in [("sparse", "websocket"), ("saturated", "saturated")] {
        let (one, two) = (growth.run("members", of_one, 1_000)?, growth.run("workers", line, 2)?);
        let whole: f64 = two.server.workers_percent.iter().sum();
        let shares: Vec<_> = two
            .server
            .workers_percent
            .iter()
            .map(|share| format!("{:.0} %", share / whole * 100.0))
            .collect();
        rows.push(vec![line.to_owned(), with_ratio(one), with_ratio(two), shares.join(", ")]);
    }
    let cores = growth.machine.cores;
    Ok(section(
        "Workers",
        None,
        &format!(
            "Microseconds for each delivery to 1,000 subscribers of one channel, which are spread over the workers. The \
             generator needs a core of its own, so that with {cores} cores the rate of two workers says nothing: what can \
             be seen is whether a delivery costs more, and how the work is shared."
        ),
        &["", "one worker (x)", "two workers (x)", "shares of the two"],
        &rows,
    ))
}

/// Microseconds, and in brackets in times of the floor.
fn with_ratio(run: &Run) -> String {
    let us = run.server.us.map_or("-".to_owned(), spell);
    run.ratio.map_or(us.clone(), |ratio| format!("{us} ({ratio:.2})"))
}

fn section(title: &str, drawing: Option<&str>, words: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("### {title}\n\n");
    if let Some(name) = drawing {
        let _ = writeln!(text, "![{title}](growth/{name}.svg)\n");
    }
    let _ = writeln!(text, "{words}\n");
    text + &table(head, rows)
}

/// A table in Markdown, without a line end.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    text
}

/// A whole number with commas.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_numbers_are_as_markdown_and_readers_have_them() {
        let rows = [vec![number(1_234_567), number(12)]];
        assert_eq!(table(&["a", "b"], &rows), "| a | b |\n|---|---|\n| 1,234,567 | 12 |");
    }
}
