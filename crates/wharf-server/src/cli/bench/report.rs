//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{process::Memory, side::Sample};

/// A generator that is busier than this holds the server back.
const GENERATOR_BUSY: f64 = 0.85;

/// All that one run measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub load: &'static str,
    /// What is counted: a delivery, an echo, an open. Nothing, where only time passes.
    pub operation: Option<&'static str>,
    pub setup: Setup,
    pub machine: Machine,
    pub server: Figures,
    pub floor: Option<Figures>,
    /// The server's processor time for an operation, in times of the floor's.
    pub ratio: Option<f64>,
    /// The same, of each round by itself: their spread is the noise.
    pub ratio_of_rounds: Vec<f64>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    pub connections: usize,
    pub channels: u32,
    pub payload_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publications_a_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    pub duration_s: f64,
    pub rounds: u32,
}

/// Where it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    pub wharf: &'static str,
}

impl Machine {
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            processor: model.map_or("unknown processor", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            wharf: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// What was measured of one side.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub operations: u64,
    pub operations_a_second: f64,
    /// Processor time of the server for an operation, in microseconds.
    pub cpu_us: Option<f64>,
    /// In percent of one core.
    pub server_cpu_percent: Option<f64>,
    pub generator_cpu_percent: f64,
    /// Microseconds; none where nothing was awaited.
    pub latency_us: Option<Latency>,
    /// Before the connections were opened, and at the end.
    pub anonymous_kib: Option<[u64; 2]>,
    pub resident_kib: Option<[u64; 2]>,
    /// Anonymous memory that each connection added, in KiB; only where connections stay.
    pub anonymous_kib_a_connection: Option<f64>,
    pub resident_kib_a_connection: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        })
    }
}

impl Figures {
    /// `staying`: how many connections were there at the end that were not at the beginning.
    pub fn new(sample: &Sample, memory: [Option<Memory>; 2], staying: usize) -> Self {
        let both = |field: fn(Memory) -> u64| Some([field(memory[0]?), field(memory[1]?)]);
        let anonymous_kib = both(|memory| memory.anonymous_kib);
        let resident_kib = both(|memory| memory.resident_kib);
        let each = |kib: Option<[u64; 2]>| {
            kib.filter(|_| staying > 0)
                .map(|[before, after]| after.saturating_sub(before) as f64 / staying as f64)
        };
        Self {
            operations: sample.operations,
            operations_a_second: sample.operations as f64 / sample.wall.as_secs_f64().max(1e-9),
            cpu_us: sample.cpu_us(),
            server_cpu_percent: sample.server_busy().map(|busy| busy * 100.0),
            generator_cpu_percent: sample.generator_busy() * 100.0,
            latency_us: Latency::of(&sample.latency),
            anonymous_kib,
            resident_kib,
            anonymous_kib_a_connection: each(anonymous_kib),
            resident_kib_a_connection: each(resident_kib),
        }
    }

    /// Says if the generator, and not the server, set the pace.
    pub fn warn(&self, name: &str, warnings: &mut Vec<String>) {
        if self.generator_cpu_percent > GENERATOR_BUSY * 100.0 {
            warnings.push(format!(
                "the generator was busy for {:.0} % of the time on {name}: rates and latencies are its own; \
                 processor time holds, but at a lower load than asked for",
                self.generator_cpu_percent
            ));
        }
        if self.cpu_us.is_none() && self.server_cpu_percent.is_none() {
            warnings.push(format!(
                "the processor time and memory of {name} are not measured: name its process by --pid"
            ));
        }
    }
}

impl Report {
    /// The table, with what was done above it and the warnings below.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let Setup { connections, channels, payload_bytes, duration_s, rounds, .. } = &self.setup;
        let _ = write!(text, "{}: {connections} connections", self.load);
        if self.operation != Some("echo") {
            let _ = write!(text, ", channels: {channels}");
        }
        if matches!(self.operation, Some("echo" | "delivery")) {
            let _ = write!(text, ", {payload_bytes}-byte payloads");
        }
        if let Some(rate) = self.setup.publications_a_second {
            let _ = write!(text, ", {rate} publications/s");
        }
        if let Some(window) = self.setup.window {
            let _ = write!(text, ", {window} in flight");
        }
        let _ = writeln!(text, ", {duration_s} s a side, rounds: {rounds}");
        let Machine { processor, cores, kernel, wharf } = &self.machine;
        let _ = writeln!(text, "wharf {wharf}, Linux {kernel}, {cores} cores of {processor}\n");
        let rows = [
            Some(("server", &self.server, self.ratio)),
            self.floor.as_ref().map(|floor| ("floor", floor, Some(1.0))),
        ];
        let mut cells = vec![self.head()];
        cells.extend(rows.into_iter().flatten().map(|(name, figures, ratio)| self.row(name, figures, ratio)));
        align(&cells, &mut text);
        let mut rounds = self.ratio_of_rounds.clone();
        rounds.sort_by(f64::total_cmp);
        if let [least, .., most] = rounds[..] {
            let median = rounds[rounds.len() / 2];
            let _ = writeln!(text, "\nx of single rounds: {least:.2} to {most:.2}, median {median:.2}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "\nwarning: {warning}");
        }
        text
    }

    fn head(&self) -> Vec<String> {
        let Some(operation) = self.operation else {
            return ["", "KiB a connection", "resident KiB", "CPU %"].map(str::to_owned).to_vec();
        };
        let cost = format!("us a{} {operation}", if operation.starts_with(['e', 'o']) { "n" } else { "" });
        let rate = format!("{operation}/s");
        ["", &cost, "x", &rate, "p50 us", "p99 us", "p999 us", "CPU %", "generator %"]
            .map(str::to_owned)
            .to_vec()
    }

    fn row(&self, name: &str, figures: &Figures, ratio: Option<f64>) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), spell);
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        if self.operation.is_none() {
            let each = figures.anonymous_kib_a_connection;
            let resident = figures.resident_kib_a_connection;
            return vec![
                name.to_owned(),
                number(each),
                number(resident),
                percent(figures.server_cpu_percent),
            ];
        }
        let latency = |quantile: fn(Latency) -> f64| number(figures.latency_us.map(quantile));
        vec![
            name.to_owned(),
            number(figures.cpu_us),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            format!("{:.0}", figures.operations_a_second),
            latency(|latency| latency.p50),
            latency(|latency| latency.p99),
            latency(|latency| latency.p999),
            percent(figures.server_cpu_percent),
            percent(Some(figures.generator_cpu_percent)),
        ]
    }
}

/// A figure with two or three digits that mean something.
fn spell(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Columns as wide as their widest cell; the first to the left, the others to the right.
fn align(rows: &[Vec<String>], text: &mut String) {
    let width = |column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
