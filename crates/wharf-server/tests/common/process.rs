//! What a server costs, as `/proc` tells from outside, and what it says of itself in `/metrics`.

use std::fs;

use super::{http, server::Server};

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS_A_SECOND: f64 = 100.0;

impl Server {
    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A line such as `Rss:   1234 kB` of a file in `/proc`.
    fn proc_number(&self, file: &str, name: &str) -> u64 {
        let text = self.proc(file);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Memory that is not of a file, in KiB: heap and stacks. (Pages of a binary that was just built count as dirty.)
    pub fn memory_kib(&self) -> u64 {
        self.proc_number("smaps_rollup", "Anonymous")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        fs::read_dir(folder).expect("the server runs").count()
    }

    /// Threads.
    pub fn threads(&self) -> u64 {
        self.proc_number("status", "Threads")
    }

    /// Processor time used since the start, in seconds.
    pub fn processor_s(&self) -> f64 {
        let stat = self.proc("stat");
        // The name in parentheses may hold anything; the fields behind it are counted from 3 (proc(5)).
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |at: usize| fields[at - 3].parse::<f64>().expect("a number");
        (ticks(14) + ticks(15)) / TICKS_A_SECOND
    }

    /// The node's identifier, as `/emulation` asks for it.
    #[track_caller]
    pub fn node_id(&self) -> String {
        let info = self.api("info", &serde_json::json!({}));
        info["nodes"][0]["uid"].as_str().expect("a node has an identifier").to_owned()
    }

    /// A number of `/metrics`, summed over its labels.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        sum_of_metric(&http::get(self.control(), "/metrics").text(), name)
    }
}

/// A number in the text of `/metrics`, summed over its labels.
#[track_caller]
pub fn sum_of_metric(text: &str, name: &str) -> u64 {
    let values: Vec<u64> = text
        .lines()
        .filter(|line| line.split([' ', '{']).next() == Some(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(!values.is_empty(), "no metric {name} in {text}");
    values.into_iter().sum()
}
