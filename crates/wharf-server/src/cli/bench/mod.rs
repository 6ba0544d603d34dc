//! `wharf bench`: puts load on a server, measures it from outside, and measures a floor in the same run.
//!
//! Absolute times drift from machine to machine; processor time for each operation, as a ratio to the floor of the
//! same run, holds. See [`floor`] for what that is.

mod connection;
mod descriptors;
mod flags;
mod floor;
mod generator;
mod message;
mod process;
mod report;
mod side;
mod work;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

pub use flags::Flags;
use flags::Plan;
use process::{Memory, Served};
use report::{Figures, Machine, Report, Setup};
use side::{Sample, Side};
use work::Work;

use super::output::print;

/// Where the server speaks WebSocket.
const PATH: &str = "/connection/websocket";

/// A tenth of the time, and at most this, is spent on warming up.
const WARM_UP_AT_MOST: Duration = Duration::from_millis(500);

/// Runs the load that the flags name, and prints its table.
pub fn run(flags: Flags) -> anyhow::Result<()> {
    let Some(plan) = Plan::new(flags.load)? else { return floor::serve() };
    descriptors::check(&plan)?;
    let report = match plan.work {
        Work::Idle => idle(&plan)?,
        _ => compare(&plan)?,
    };
    print(report.table().as_bytes())?;
    if let Some(file) = &plan.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

/// One side, with what is kept of it.
struct Measured {
    name: &'static str,
    side: Side,
    before: Option<Memory>,
    rounds: Vec<Sample>,
}

impl Measured {
    fn new(name: &'static str, side: Side) -> anyhow::Result<Self> {
        side.settle()?;
        let before = side.memory()?;
        Ok(Self { name, side, before, rounds: Vec::new() })
    }

    fn figures(&self, staying: usize, warnings: &mut Vec<String>) -> anyhow::Result<Figures> {
        let sample = Sample::sum(&self.rounds).context("nothing was measured")?;
        let figures = Figures::new(&sample, [self.before, self.side.memory()?], staying);
        figures.warn(&format!("the {}", self.name), warnings);
        Ok(figures)
    }
}

/// Measures the floor and the server in turn, round by round, so that what drifts drifts for both.
fn compare(plan: &Plan) -> anyhow::Result<Report> {
    let progress = Progress::new(plan.duration * 2);
    let mut sides =
        [Measured::new("floor", start_floor(plan)?)?, Measured::new("server", start_server(plan)?)?];
    for measured in &mut sides {
        progress.say(measured.name, "opens connections");
        plan.work.prepare(&mut measured.side, plan.connections)?;
        plan.work.measure(&mut measured.side, (plan.duration / 10).min(WARM_UP_AT_MOST), &|| {})?;
    }
    for round in 1..=plan.rounds {
        for measured in &mut sides {
            progress.say(measured.name, &format!("round {round} of {}", plan.rounds));
            let sample =
                plan.work.measure(&mut measured.side, plan.duration / plan.rounds, &|| progress.tick())?;
            measured.rounds.push(sample);
        }
    }
    let [floor, server] = &sides;
    let staying = if matches!(plan.work, Work::Open { .. }) { 0 } else { plan.connections };
    let mut warnings = Vec::new();
    let figures = server.figures(staying, &mut warnings)?;
    let floor_figures = floor.figures(staying, &mut warnings)?;
    let over = |one: Option<f64>, other: Option<f64>| Some(one? / other.filter(|other| *other > 0.0)?);
    let ratio = over(figures.cpu_us, floor_figures.cpu_us);
    let rounds = server.rounds.iter().zip(&floor.rounds);
    let ratio_of_rounds = rounds.filter_map(|(one, other)| over(one.cpu_us(), other.cpu_us())).collect();
    Ok(report(plan, figures, floor_figures, ratio, ratio_of_rounds, warnings))
}

/// Measures first the floor and then the server, so that only the connections of one are open at a time.
fn idle(plan: &Plan) -> anyhow::Result<Report> {
    let progress = Progress::new(plan.duration * 2);
    let mut warnings = Vec::new();
    let mut measure = |mut measured: Measured| {
        progress.say(measured.name, "opens connections");
        plan.work.prepare(&mut measured.side, plan.connections)?;
        progress.say(measured.name, "is left alone");
        let sample = plan.work.measure(&mut measured.side, plan.duration, &|| progress.tick())?;
        measured.rounds.push(sample);
        measured.figures(plan.connections, &mut warnings)
    };
    let floor = measure(Measured::new("floor", start_floor(plan)?)?)?;
    let server = measure(Measured::new("server", start_server(plan)?)?)?;
    Ok(report(plan, server, floor, None, Vec::new(), warnings))
}

fn report(
    plan: &Plan,
    server: Figures,
    floor: Figures,
    ratio: Option<f64>,
    ratio_of_rounds: Vec<f64>,
    warnings: Vec<String>,
) -> Report {
    let (load, operation, rate, window) = match plan.work {
        Work::Sparse { rate } => ("fanout, sparse", Some("delivery"), Some(rate), None),
        Work::Saturated { window } => ("fanout, saturated", Some("delivery"), None, Some(window)),
        Work::Echo => ("echo", Some("echo"), None, None),
        Work::Open { window, .. } => ("open and subscribe", Some("open"), None, Some(window as u64)),
        Work::Idle => ("idle", None, None, None),
    };
    let setup = Setup {
        connections: plan.connections,
        channels: plan.shape.channels,
        payload_bytes: plan.shape.payload_bytes,
        publications_a_second: rate,
        window,
        duration_s: plan.duration.as_secs_f64(),
        rounds: plan.rounds,
    };
    let machine = Machine::this();
    Report { load, operation, setup, machine, server, floor: Some(floor), ratio, ratio_of_rounds, warnings }
}

fn start_floor(plan: &Plan) -> anyhow::Result<Side> {
    Side::of_child(Served::floor()?, PATH, &plan.shape)
}

fn start_server(plan: &Plan) -> anyhow::Result<Side> {
    match &plan.server {
        Some(target) => Side::of_server(target.clone(), plan.pid, &plan.shape),
        None => Side::of_child(Served::wharf()?, PATH, &plan.shape),
    }
}

/// A line that says how far it is; nothing where standard error is no terminal.
struct Progress {
    bar: ProgressBar,
    /// Time that was measured, so far, and since when it goes on.
    done: Cell<Duration>,
    since: Cell<Instant>,
}

impl Progress {
    fn new(total: Duration) -> Self {
        let bar = ProgressBar::new(total.as_millis() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self { bar, done: Cell::new(Duration::ZERO), since: Cell::new(Instant::now()) }
    }

    /// Says what happens now. Time begins to count anew at the next [`tick`](Self::tick).
    fn say(&self, name: &str, what: &str) {
        self.bar.set_message(format!("{name}: {what}"));
        self.since.set(Instant::now());
    }

    fn tick(&self) {
        let now = Instant::now();
        self.done.set(self.done.get() + (now - self.since.replace(now)));
        self.bar.set_position(self.done.get().as_millis() as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
