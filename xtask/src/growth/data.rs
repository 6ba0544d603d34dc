//! What `cargo xtask growth` measured, as it stands in `docs/growth.json`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where it stands.
pub const FILE: &str = "docs/growth.json";

/// All runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// The day.
    pub measured: String,
    /// By `--quick`: the times are too short to believe.
    pub quick: bool,
    pub machine: Machine,
    pub runs: Vec<Run>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: u64,
    pub kernel: String,
    pub wharf: String,
}

/// One run of `wharf bench`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What grows in it, and with what it is drawn.
    pub chart: String,
    pub line: String,
    /// How large that was.
    pub x: u64,
    pub command: String,
    pub server: Side,
    pub floor: Option<Side>,
    /// The server's time in times of the floor's, and of each round by itself.
    pub ratio: Option<f64>,
    pub ratio_of_rounds: Vec<f64>,
    pub compression: Option<Compression>,
    /// What the kernel took for a connection, for each of its two ends.
    pub kernel_kib: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Processor time for an operation.
    pub us: Option<f64>,
    /// Operations a second.
    pub rate: f64,
    /// Of one core.
    pub cpu_percent: Option<f64>,
    pub workers_percent: Vec<f64>,
    pub generator_percent: f64,
    /// Anonymous memory that a connection added.
    pub kib: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compression {
    pub one_us: f64,
    /// In times of the uncompressed delivery.
    pub ratio: f64,
    pub ratio_without_compressing: f64,
}

impl Growth {
    pub fn read(root: &Path) -> Result<Self> {
        let text = fs::read(root.join(FILE))
            .with_context(|| format!("{FILE} cannot be read: run `cargo xtask growth`"))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{FILE} is not of this version: run `cargo xtask growth`"))
    }

    pub fn write(&self, root: &Path) -> Result<()> {
        fs::write(root.join(FILE), serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("{FILE} cannot be written"))
    }

    pub fn run(&self, chart: &str, line: &str, x: u64) -> Result<&Run> {
        let found = self.runs.iter().find(|run| run.chart == chart && run.line == line && run.x == x);
        found.with_context(|| format!("{FILE} lacks the run {chart}, {line}, {x}: run `cargo xtask growth`"))
    }

    /// The server's microseconds for an operation.
    pub fn us(&self, chart: &str, line: &str, x: u64) -> Result<f64> {
        let run = self.run(chart, line, x)?;
        run.server.us.with_context(|| format!("the run {chart}, {line}, {x} has no time"))
    }

    /// The server's KiB for a connection that waits.
    pub fn kib(&self, line: &str, x: u64) -> Result<f64> {
        let run = self.run("memory", line, x)?;
        run.server.kib.with_context(|| format!("the run memory, {line}, {x} has no memory"))
    }
}

impl Run {
    /// With four digits each, which is more than is known.
    pub fn rounded(mut self) -> Self {
        let round = |value: &mut f64| *value = four_digits(*value);
        for side in [Some(&mut self.server), self.floor.as_mut()].into_iter().flatten() {
            round(&mut side.rate);
            round(&mut side.generator_percent);
            [&mut side.us, &mut side.cpu_percent, &mut side.kib].into_iter().flatten().for_each(round);
            side.workers_percent.iter_mut().for_each(round);
        }
        self.ratio.iter_mut().for_each(round);
        self.ratio_of_rounds.iter_mut().for_each(round);
        if let Some(compression) = &mut self.compression {
            round(&mut compression.one_us);
            round(&mut compression.ratio);
            round(&mut compression.ratio_without_compressing);
        }
        self
    }

    /// What a reader wants to see while it goes on.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.server.us.map(|us| format!("{} us", spell(us))));
        words.extend(self.ratio.map(|ratio| format!("{ratio:.2} x the floor")));
        words.extend(self.server.kib.map(|kib| format!("{} KiB a connection", spell(kib))));
        words.extend(self.kernel_kib.map(|kib| format!("{} KiB of the kernel's", spell(kib))));
        words.extend(self.server.cpu_percent.map(|percent| format!("{} % of a core", spell(percent))));
        words.join(", ")
    }
}

fn four_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = (3.0 - value.abs().log10().floor()) as i32;
    let text = format!("{:.*}", digits.clamp(0, 12) as usize, value);
    text.parse().unwrap_or(value)
}

/// A figure with two or three digits that mean something.
pub fn spell(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_kept_with_four_digits() {
        for (value, kept) in [(0.0, 0.0), (0.012_345_6, 0.012_35), (9.123_456, 9.123), (98_765.4, 98_765.0)] {
            assert_eq!(four_digits(value), kept);
        }
    }
}
