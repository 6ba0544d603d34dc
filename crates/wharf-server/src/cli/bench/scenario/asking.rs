//! Questions of which each connection has one at a time on the way: echoes, and publications that are acknowledged.

use std::time::Instant;

use super::{Generator, Round, Sample, Side};
use crate::cli::bench::{patience::Patience, schedule::Schedule, side::Done};

/// Asks by schedule where there is a rate, otherwise as fast as it is answered.
pub fn measure(side: &mut Side, rate: Option<f64>, round: &Round<'_>) -> anyhow::Result<Sample> {
    side.measure(|generator| match rate {
        Some(rate) => scheduled(generator, rate, round),
        None => closed(generator, round),
    })
}

/// Each question at its time, on whichever connection waits for no answer.
fn scheduled(generator: &mut Generator, rate: f64, round: &Round<'_>) -> anyhow::Result<Done> {
    let mut schedule = Schedule::new(generator.shared.now_ns(), round.time, Some(rate));
    let mut asked = 0;
    while !schedule.is_over(generator.shared.now_ns()) {
        while !generator.shared.idle.is_empty()
            && let Some(due_ns) = schedule.take(generator.shared.now_ns())
        {
            generator.ask(due_ns)?;
            asked += 1;
        }
        generator.turn(schedule.wait(generator.shared.now_ns()))?;
        round.progress.tick(generator.delivered());
    }
    generator.drain(asked)?;
    Ok(Done { operations: asked, left_out: schedule.left_out() })
}

/// Every connection asks, and asks again when it is answered, until the time is over and the last answer came.
fn closed(generator: &mut Generator, round: &Round<'_>) -> anyhow::Result<Done> {
    generator.shared.asking = true;
    let mut under_way = 0;
    while generator.ask(generator.shared.now_ns())? {
        under_way += 1;
    }
    let end = Instant::now() + round.time;
    let mut patience = Patience::new();
    while Instant::now() < end {
        generator.turn(round.time)?;
        patience.watch(generator.delivered(), || "no answer comes any more".to_owned())?;
        round.progress.tick(generator.delivered());
    }
    generator.shared.asking = false;
    generator.drain(generator.delivered() + under_way)?;
    Ok(Done::all(generator.delivered()))
}
