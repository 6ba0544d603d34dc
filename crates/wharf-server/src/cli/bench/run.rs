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
    report::{Figures, Measurements, Report},
    scenario::Round,
    side::{Sample, Side},
};

/// A tenth of the time, and at most this, is spent on warming up.
const WARM_UP_AT_MOST: Duration = Duration::from_millis(500);

/// What a side is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Server,
    /// The same server for clients to which nothing is compressed.
    Uncompressed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Server => "server",
            Self::Uncompressed => "server without compression",
        }
    }

    fn start(self, plan: &Plan) -> anyhow::Result<Measured> {
        let side = match self {
            Self::Floor => Side::floor(plan),
            Self::Server => Side::server(plan),
            Self::Uncompressed => Side::uncompressed(plan),
        };
        Measured::new(self, side?)
    }
}

/// The sides of a run, in the order in which they take turns.
pub fn kinds(plan: &Plan) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if plan.floor {
        kinds.push(Kind::Floor);
    }
    kinds.push(Kind::Server);
    // A server that runs already would deliver to both kinds of clients at a time.
    if plan.shape.compress && plan.server.is_none() {
        kinds.push(Kind::Uncompressed);
    }
    kinds
}

/// One side, with what is kept of it.
struct Measured {
    kind: Kind,
    side: Side,
    before: Option<Memory>,
    rounds: Vec<Sample>,
}

impl Measured {
    fn new(kind: Kind, mut side: Side) -> anyhow::Result<Self> {
        side.settle()?;
        let before = side.memory()?;
        Ok(Self { kind, side, before, rounds: Vec::new() })
    }

    /// Opens connections and warms up.
    fn prepare(&mut self, plan: &Plan, progress: &Progress) -> anyhow::Result<()> {
        progress.say(format!("{}: opens connections", self.kind.name()));
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
        progress.say(format!("{}: round {round} of {}", self.kind.name(), plan.rounds));
        let round = Round { connections: plan.connections, time: plan.duration / plan.rounds, progress };
        self.rounds.push(plan.scenario.measure(&mut self.side, &round)?);
        Ok(())
    }

    fn finish(self, plan: &Plan, warnings: &mut Vec<String>) -> anyhow::Result<Finished> {
        let sample = Sample::sum(&self.rounds).context("nothing was measured")?;
        let staying = if plan.scenario.connections_stay() { plan.connections } else { 0 };
        let figures = Figures::new(&sample, [self.before, self.side.memory()?], staying);
        figures.warn(&format!("the {}", self.kind.name()), warnings);
        let deflated = self.side.generator.shared.inflated.example().map(<[u8]>::to_vec);
        Ok(Finished { kind: self.kind, figures, rounds: self.rounds, deflated })
    }
}

/// What is left of a side that was measured.
struct Finished {
    kind: Kind,
    figures: Figures,
    rounds: Vec<Sample>,
    /// A message that came compressed, as it was before.
    deflated: Option<Vec<u8>>,
}

/// Measures what is planned.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let kinds = kinds(plan);
    let progress = Progress::new(plan.duration * kinds.len() as u32, plan.scenario.operation());
    let mut warnings = Vec::new();
    let in_turn = plan.scenario.takes_turns() && !plan.apart;
    let sides = if in_turn {
        in_turn_with(kinds, plan, &progress, &mut warnings)?
    } else {
        let alone = |kind| alone(kind, plan, &progress, &mut warnings);
        kinds.into_iter().map(alone).collect::<anyhow::Result<_>>()?
    };
    let mut measurements = Measurements { ratio_of_rounds: ratios(&sides), ..Measurements::default() };
    for Finished { kind, figures, deflated, .. } in sides {
        measurements.deflated = measurements.deflated.or(deflated);
        *match kind {
            Kind::Floor => &mut measurements.floor,
            Kind::Server => &mut measurements.server,
            Kind::Uncompressed => &mut measurements.uncompressed,
        } = Some(figures);
    }
    Report::new(plan, measurements, warnings)
}

/// The server in times of the floor, round by round.
fn ratios(sides: &[Finished]) -> Vec<f64> {
    let rounds = |kind| sides.iter().find(|side| side.kind == kind).map_or(&[][..], |side| &side.rounds);
    let pairs = rounds(Kind::Server).iter().zip(rounds(Kind::Floor));
    pairs.filter_map(|(server, floor)| over(server.cpu_us(), floor.cpu_us())).collect()
}

/// Measures one side; only its connections are open.
fn alone(
    kind: Kind,
    plan: &Plan,
    progress: &Progress,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Finished> {
    let mut measured = kind.start(plan)?;
    measured.prepare(plan, progress)?;
    for round in 1..=plan.rounds {
        measured.measure(plan, round, progress)?;
    }
    measured.finish(plan, warnings)
}

/// Measures the sides in turn, round by round, so that what drifts drifts for all.
fn in_turn_with(
    kinds: Vec<Kind>,
    plan: &Plan,
    progress: &Progress,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Vec<Finished>> {
    let mut sides = Vec::new();
    for kind in kinds {
        let mut side = kind.start(plan)?;
        beside(sides.iter_mut().collect(), || side.prepare(plan, progress))?;
        sides.push(side);
    }
    for round in 1..=plan.rounds {
        for turn in 0..sides.len() {
            let (before, rest) = sides.split_at_mut(turn);
            let Some((side, after)) = rest.split_first_mut() else { break };
            beside(before.iter_mut().chain(after).collect(), || side.measure(plan, round, progress))?;
        }
    }
    sides.into_iter().map(|side| side.finish(plan, warnings)).collect()
}

/// Does something while other threads answer the pings that come to the sides that wait.
fn beside(waiting: Vec<&mut Measured>, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attend = |side: &'_ mut Measured| {
            let name = side.kind.name();
            let generator = &mut side.side.generator;
            generator.attend(stop).with_context(|| format!("while the {name} waited for its turn"))
        };
        let attendants: Vec<_> = waiting.into_iter().map(|side| scope.spawn(move || attend(side))).collect();
        let outcome = work();
        stop.store(true, Ordering::Relaxed);
        let attended: Vec<_> = attendants.into_iter().map(|attendant| attendant.join()).collect();
        outcome?;
        attended.into_iter().try_for_each(|attended| {
            attended.map_err(|_| anyhow!("the thread that answers pings panicked"))?
        })
    })
}

/// One figure in times of another.
pub fn over(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other.filter(|other| *other > 0.0)?)
}
