//! `wharf bench`: puts load on a server, measures it from outside, and measures a floor in the same run.
//!
//! Absolute times drift from machine to machine; processor time for each operation, as a ratio to the floor of the
//! same run, holds. See [`floor`] for what that is. A kind of load is a file of [`scenario`], a way to connect a file
//! of [`wire`].

mod callers;
mod compression;
mod connection;
mod descriptors;
mod dial;
mod flags;
mod floor;
mod generator;
mod http;
mod message;
mod patience;
mod process;
mod progress;
mod report;
mod run;
mod scenario;
mod schedule;
mod side;
mod socket;
mod tally;
mod wire;

use anyhow::Context as _;

pub use flags::Flags;
use flags::Plan;
use report::Report;

use super::output::print;

/// Runs the load that the flags name, and prints its table.
pub fn run(flags: Flags) -> anyhow::Result<()> {
    let Some(mut plan) = Plan::new(flags.load)? else { return floor::serve() };
    plan.apart = descriptors::check(&plan)?;
    let saved = plan.compare.as_deref().map(Report::read).transpose()?;
    let report = run::run(&plan)?;
    print(report.table().as_bytes())?;
    if let Some(saved) = saved {
        print(report.changes(&saved).as_bytes())?;
    }
    if let Some(file) = &plan.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}
