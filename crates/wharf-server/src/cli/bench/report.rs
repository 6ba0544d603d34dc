//! What was measured, as a table for people and as JSON for programs.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use self::compressed::Compressed;
use super::{flags::Plan, process::Memory, run::over, side::Sample};

/// A generator that is busier than this holds the server back.
const GENERATOR_BUSY: f64 = 0.85;

/// All that one run measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub load: String,
    /// What is counted: a delivery, an echo, an open. Nothing, where only time passes.
    pub operation: Option<String>,
    pub setup: Setup,
    pub machine: Machine,
    pub server: Figures,
    pub floor: Option<Figures>,
    /// The same server without compression, where compression is measured.
    #[serde(default)]
    pub uncompressed: Option<Figures>,
    #[serde(default)]
    pub compression: Option<Compressed>,
    /// The server's processor time for an operation, in times of the floor's.
    pub ratio: Option<f64>,
    /// The same, of each round by itself: their spread is the noise.
    pub ratio_of_rounds: Vec<f64>,
    pub warnings: Vec<String>,
}

/// What is measured of the sides.
#[derive(Debug, Default)]
pub struct Measurements {
    pub server: Option<Figures>,
    pub floor: Option<Figures>,
    pub uncompressed: Option<Figures>,
    pub ratio_of_rounds: Vec<f64>,
    /// A message that came compressed, as it was before.
    pub deflated: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    pub connections: usize,
    pub channels: u32,
    pub payload_bytes: usize,
    pub transport: String,
    pub duration_s: f64,
    pub rounds: u32,
    /// What else makes the load what it is: a rate, a window.
    #[serde(flatten)]
    pub facts: BTreeMap<String, f64>,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    pub wharf: String,
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
            wharf: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What was measured of one side.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    pub operations: u64,
    /// Operations that were due and could not be asked.
    pub left_out: u64,
    /// Connections that the server had no time for, and which came again.
    pub refused: u64,
    /// Messages that came compressed.
    #[serde(default)]
    pub deflated: u64,
    pub operations_a_second: f64,
    /// Processor time of the server for an operation, in microseconds.
    pub cpu_us: Option<f64>,
    /// In percent of one core.
    pub server_cpu_percent: Option<f64>,
    /// The same of each of its workers, if it is a Wharf.
    #[serde(default)]
    pub workers_cpu_percent: Vec<f64>,
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

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
            left_out: sample.left_out,
            refused: sample.refused,
            deflated: sample.deflated,
            operations_a_second: sample.operations as f64 / sample.wall.as_secs_f64().max(1e-9),
            cpu_us: sample.cpu_us(),
            server_cpu_percent: sample.server_busy().map(|busy| busy * 100.0),
            workers_cpu_percent: sample.workers_busy().map(|busy| busy * 100.0).collect(),
            generator_cpu_percent: sample.generator_busy() * 100.0,
            latency_us: Latency::of(&sample.latency),
            anonymous_kib,
            resident_kib,
            anonymous_kib_a_connection: each(anonymous_kib),
            resident_kib_a_connection: each(resident_kib),
        }
    }

    /// Says what stands in the way of believing these figures, and what to do about it.
    pub fn warn(&self, name: &str, warnings: &mut Vec<String>) {
        if self.generator_cpu_percent > GENERATOR_BUSY * 100.0 {
            warnings.push(format!(
                "the generator was busy for {:.0} % of the time on {name}, so it and not {name} set the pace: rates \
                 and latencies are the generator's own, and only processor time for an operation holds. Ask for less \
                 (a --rate, a smaller --window, fewer --connections), or run it on another machine by --server",
                self.generator_cpu_percent
            ));
        }
        if self.left_out > 0 {
            warnings.push(format!(
                "{name} could not keep the rate: {} operations were due and not asked even in twice the time. Their \
                 latencies are missing, so the true ones are longer: ask for a lower --rate",
                self.left_out
            ));
        }
        if self.refused > 0 {
            warnings.push(format!(
                "{name} had too much to do for {} connections (503), which came again 0.1 s later: their latencies \
                 count from when they were due at first",
                self.refused
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
    pub fn new(plan: &Plan, measurements: Measurements, mut warnings: Vec<String>) -> anyhow::Result<Self> {
        let Plan { scenario, shape, .. } = plan;
        let Measurements { server, floor, uncompressed, ratio_of_rounds, deflated } = measurements;
        let server = server.context("the server was not measured")?;
        let of_plan = [("subscriptions", shape.subscriptions), ("workers", u32::from(plan.workers))];
        let of_plan = of_plan.into_iter().filter(|(_, value)| *value != 1);
        let facts = scenario.facts().into_iter().chain(of_plan.map(|(name, value)| (name, f64::from(value))));
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).collect();
        let machine = Machine::this();
        warn_of_plan(plan, &server, machine.cores, &mut warnings);
        let compression =
            deflated.map(|message| Compressed::of(plan, &message, &server, uncompressed.as_ref()));
        let setup = Setup {
            connections: plan.connections,
            channels: shape.channels,
            payload_bytes: shape.payload_bytes,
            transport: scenario.way().to_owned(),
            duration_s: plan.duration.as_secs_f64(),
            rounds: plan.rounds,
            facts,
        };
        Ok(Self {
            load: scenario.name().to_owned(),
            operation: scenario.operation().map(str::to_owned),
            setup,
            machine,
            ratio: over(server.cpu_us, floor.as_ref().and_then(|floor| floor.cpu_us)),
            server,
            floor,
            uncompressed,
            compression,
            ratio_of_rounds,
            warnings,
        })
    }

    /// Reads a report that was saved.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let text = std::fs::read(file).with_context(|| format!("{name} cannot be read"))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{name} is not what `wharf bench --json` of this version saves"))
    }

    /// The table, with what was done above it and the warnings below.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let Setup { connections, channels, payload_bytes, transport, duration_s, rounds, facts } =
            &self.setup;
        let _ = write!(text, "{}: {connections} connections by {transport}, channels: {channels}", self.load);
        if matches!(self.operation.as_deref(), Some("echo" | "delivery" | "publication")) {
            let _ = write!(text, ", {payload_bytes}-byte payloads");
        }
        for (name, value) in facts {
            let unit = if name == "rate" { "/s" } else { "" };
            let _ = write!(text, ", {name}: {value}{unit}");
        }
        let _ = writeln!(text, ", {duration_s} s a side, rounds: {rounds}");
        let Machine { processor, cores, kernel, wharf } = &self.machine;
        let _ = writeln!(text, "wharf {wharf}, Linux {kernel}, {cores} cores of {processor}\n");
        let floor_us = self.floor.as_ref().and_then(|floor| floor.cpu_us);
        let rows = [
            Some(("server", &self.server, self.ratio)),
            self.uncompressed.as_ref().map(|plain| ("uncompressed", plain, over(plain.cpu_us, floor_us))),
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
        if let Some(compression) = &self.compression {
            let _ = writeln!(text, "\n{}", compression.words());
        }
        let workers = &self.server.workers_cpu_percent;
        if workers.len() > 1 {
            let whole = workers.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            let shares: Vec<_> =
                workers.iter().map(|share| format!("{:.0} %", share / whole * 100.0)).collect();
            let _ = writeln!(text, "\nof the workers' time each had: {}", shares.join(", "));
        }
        if let (Some("reconnect"), Some(latency)) = (self.operation.as_deref(), self.server.latency_us) {
            let _ = writeln!(text, "\nall were back within {:.1} ms of the cut", latency.max / 1e3);
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "\nwarning: {warning}");
        }
        text
    }

    fn head(&self) -> Vec<String> {
        let Some(operation) = &self.operation else {
            return ["", "KiB a connection", "resident KiB", "CPU %"].map(str::to_owned).to_vec();
        };
        let cost = format!("us a{} {operation}", if operation.starts_with(['e', 'o']) { "n" } else { "" });
        let rate = format!("{operation}/s");
        [
            "",
            &cost,
            "x",
            &rate,
            "p50 us",
            "p99 us",
            "p999 us",
            "max us",
            "CPU %",
            "KiB a conn.",
            "generator %",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn row(&self, name: &str, figures: &Figures, ratio: Option<f64>) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), spell);
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let each = number(figures.anonymous_kib_a_connection);
        if self.operation.is_none() {
            let resident = number(figures.resident_kib_a_connection);
            return vec![name.to_owned(), each, resident, percent(figures.server_cpu_percent)];
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
            latency(|latency| latency.max),
            percent(figures.server_cpu_percent),
            each,
            percent(Some(figures.generator_cpu_percent)),
        ]
    }
}

/// Says what in the plan itself stands in the way of believing the figures.
fn warn_of_plan(plan: &Plan, server: &Figures, cores: usize, warnings: &mut Vec<String>) {
    // The floor and an uncompressed server wait while the server is measured.
    let busy = usize::from(plan.workers) + 1;
    if plan.workers > 1 && busy > cores {
        warnings.push(format!(
            "{} workers and the generator share {cores} cores: rates and latencies say nothing about more workers; \
             processor time for an operation and the workers' shares of it hold",
            plan.workers
        ));
    }
    if plan.apart {
        warnings.push(
            "server and floor were measured one after the other, since both at a time would need more descriptors than \
             `ulimit -n` allows: what drifts does not drift for both"
                .to_owned(),
        );
    }
    if plan.shape.compress && server.deflated < server.operations {
        warnings.push(format!(
            "of {} deliveries {} came compressed: shorter messages than the server's min_deflated_bytes, and those that \
             would become longer, are sent as they are",
            server.operations, server.deflated
        ));
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

mod changes;
mod compressed;

#[cfg(test)]
mod tests;
