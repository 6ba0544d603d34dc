//! What is done to a server while it is measured: one function for each kind of load.

use std::time::{Duration, Instant};

use super::{
    generator::Generator,
    side::{Sample, Side},
};

/// Connections that are being opened at one time, where opening is not what is measured.
pub const OPENING_WINDOW: usize = 64;

/// One kind of load.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// So many publications a second; each delivery is alone in its write.
    Sparse { rate: f64 },
    /// As many publications as keep this number in flight.
    Saturated { window: u64 },
    /// An RPC on each connection, again as soon as it is answered.
    Echo,
    /// Connections opened and subscribed, at most this number at a time, then closed, unmeasured.
    Open { connections: usize, window: usize },
    /// Nothing but heartbeats.
    Idle,
}

impl Work {
    /// Opens what the load needs, before it is measured.
    pub fn prepare(self, side: &mut Side, connections: usize) -> anyhow::Result<()> {
        match self {
            Self::Sparse { .. } | Self::Saturated { .. } => {
                side.generator.open_subscribers(connections, OPENING_WINDOW)?;
                // The last connection publishes.
                side.generator.open_callers(1, OPENING_WINDOW)
            }
            Self::Echo => side.generator.open_callers(connections, OPENING_WINDOW),
            Self::Open { .. } => Ok(()),
            Self::Idle => side.generator.open_subscribers(connections, OPENING_WINDOW),
        }
    }

    /// Puts the load on for about so long, and measures it. `progress` is called now and then.
    pub fn measure(self, side: &mut Side, time: Duration, progress: &dyn Fn()) -> anyhow::Result<Sample> {
        match self {
            Self::Sparse { rate } => side.measure(|generator| sparse(generator, rate, time, progress)),
            Self::Saturated { window } => {
                side.measure(|generator| saturated(generator, window, time, progress))
            }
            Self::Echo => side.measure(|generator| generator.echo(time, progress)),
            Self::Open { connections, window } => open(side, connections, window, time, progress),
            Self::Idle => side.measure(|generator| idle(generator, time, progress)),
        }
    }
}

fn sparse(generator: &mut Generator, rate: f64, time: Duration, progress: &dyn Fn()) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let (mut published, mut expected) = (0_usize, 0);
    loop {
        let due = Duration::from_secs_f64(published as f64 / rate);
        let elapsed = begun.elapsed();
        if due >= time && published > 0 {
            break;
        }
        if elapsed >= due {
            expected += generator.publish(published % generator.channels())?;
            published += 1;
        } else {
            generator.turn(due - elapsed)?;
        }
        progress();
    }
    generator.drain(expected)?;
    Ok(expected)
}

fn saturated(
    generator: &mut Generator,
    window: u64,
    time: Duration,
    progress: &dyn Fn(),
) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let (mut expected, mut channel) = (0, 0);
    while begun.elapsed() < time || expected == 0 {
        let each = generator.members(channel).max(1);
        let room = window.saturating_sub((expected - generator.delivered()) / each);
        if room > 0 {
            expected += generator.publish_many(channel, room)?;
            channel = (channel + 1) % generator.channels();
        }
        generator.turn(Duration::from_millis(10))?;
        progress();
    }
    generator.drain(expected)?;
    Ok(expected)
}

fn open(
    side: &mut Side,
    connections: usize,
    window: usize,
    time: Duration,
    progress: &dyn Fn(),
) -> anyhow::Result<Sample> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    loop {
        samples.push(side.measure(|generator| {
            generator.open_subscribers(connections, window)?;
            Ok(connections as u64)
        })?);
        side.generator.close_all();
        progress();
        if begun.elapsed() >= time
            && let Some(sum) = Sample::sum(&samples)
        {
            return Ok(sum);
        }
    }
}

fn idle(generator: &mut Generator, time: Duration, progress: &dyn Fn()) -> anyhow::Result<u64> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        generator.turn(left.min(Duration::from_millis(200)))?;
        progress();
    }
    Ok(0)
}
