//! The run itself: which side is measured when.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, anyhow};

use super::{
    flags::Plan,
    process::Memory,
    progress::Progress,
    report::{Figures, Report},
    scenario::Round,
    side::{Sample, Side},
};

/// A tenth of the time, and at most this, is spent on warming up.
const WARM_UP_AT_MOST: Duration = Duration::from_millis(500);

/// One side, with what is kept of it.
struct Measured {
    name: &'static str,
    side: Side,
    before: Option<Memory>,
    rounds: Vec<Sample>,
}

impl Measured {
    fn new(name: &'static str, mut side: Side) -> anyhow::Result<Self> {
        side.settle()?;
        let before = side.memory()?;
        Ok(Self { name, side, before, rounds: Vec::new() })
    }

    /// Opens connections and warms up.
    fn prepare(&mut self, plan: &Plan, progress: &Progress) -> anyhow::Result<()> {
        progress.say(format!("{}: opens connections", self.name));
        plan.scenario.prepare(&mut self.side.generator, plan.connections)?;
        if plan.scenario.takes_turns() {
            let time = (plan.duration / 10).min(WARM_UP_AT_MOST);
            let quiet = Progress::hidden();
            let round = Round { connections: plan.connections, time, progress: &quiet };
            plan.scenario.measure(&mut self.side, &round)?;
        }
        Ok(())
    }

    fn measure(&mut self, plan: &Plan, round: u32, progress: &Progress) -> anyhow::Result<()> {
        progress.say(format!("{}: round {round} of {}", self.name, plan.rounds));
        let round = Round { connections: plan.connections, time: plan.duration / plan.rounds, progress };
        self.rounds.push(plan.scenario.measure(&mut self.side, &round)?);
        Ok(())
    }

    fn figures(&self, plan: &Plan, warnings: &mut Vec<String>) -> anyhow::Result<Figures> {
        let sample = Sample::sum(&self.rounds).context("nothing was measured")?;
        let staying = if plan.scenario.connections_stay() { plan.connections } else { 0 };
        let figures = Figures::new(&sample, [self.before, self.side.memory()?], staying);
        figures.warn(&format!("the {}", self.name), warnings);
        Ok(figures)
    }
}

/// Measures what is planned.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let sides = if plan.floor { 2 } else { 1 };
    let progress = Progress::new(plan.duration * sides, plan.scenario.operation());
    if plan.floor && plan.scenario.takes_turns() {
        return in_turn(plan, &progress);
    }
    let mut warnings = Vec::new();
    let floor = plan.floor.then(|| alone("floor", Side::floor(plan)?, plan, &progress, &mut warnings));
    let floor = floor.transpose()?;
    let server = alone("server", Side::server(plan)?, plan, &progress, &mut warnings)?;
    Ok(Report::new(plan, server, floor, Vec::new(), warnings))
}

/// Measures one side; only its connections are open.
fn alone(
    name: &'static str,
    side: Side,
    plan: &Plan,
    progress: &Progress,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Figures> {
    let mut measured = Measured::new(name, side)?;
    measured.prepare(plan, progress)?;
    for round in 1..=plan.rounds {
        measured.measure(plan, round, progress)?;
    }
    measured.figures(plan, warnings)
}

/// Measures the floor and the server in turn, round by round, so that what drifts drifts for both.
fn in_turn(plan: &Plan, progress: &Progress) -> anyhow::Result<Report> {
    let mut floor = Measured::new("floor", Side::floor(plan)?)?;
    let mut server = Measured::new("server", Side::server(plan)?)?;
    floor.prepare(plan, progress)?;
    beside(&mut floor, || server.prepare(plan, progress))?;
    for round in 1..=plan.rounds {
        beside(&mut server, || floor.measure(plan, round, progress))?;
        beside(&mut floor, || server.measure(plan, round, progress))?;
    }
    let mut warnings = Vec::new();
    let figures = server.figures(plan, &mut warnings)?;
    let floor_figures = floor.figures(plan, &mut warnings)?;
    let rounds = server.rounds.iter().zip(&floor.rounds);
    let ratios = rounds.filter_map(|(one, other)| over(one.cpu_us(), other.cpu_us())).collect();
    Ok(Report::new(plan, figures, Some(floor_figures), ratios, warnings))
}

/// Does something while another thread answers the pings that come to a side.
fn beside(waiting: &mut Measured, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let name = waiting.name;
    let generator = &mut waiting.side.generator;
    std::thread::scope(|scope| {
        let attendant = scope.spawn(|| generator.attend(&stop));
        let outcome = work();
        stop.store(true, Ordering::Relaxed);
        let attended = attendant.join().map_err(|_| anyhow!("the thread that answers pings panicked"))?;
        outcome?;
        attended.with_context(|| format!("while the {name} waited for its turn"))
    })
}

/// One figure in times of another.
pub fn over(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other.filter(|other| *other > 0.0)?)
}
