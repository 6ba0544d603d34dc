//! What is done to a server while it is measured: one file for each kind of load, with its flags.

mod asking;
mod echo;
mod fanout;
mod idle;
mod open;
mod publish;
mod storm;

use std::time::Duration;

use clap::Subcommand;

pub use self::{echo::Echo, fanout::Fanout, idle::Idle, open::Open, publish::Publish, storm::Storm};
use super::{
    flags::With,
    generator::Generator,
    progress::Progress,
    side::{Sample, Side},
    wire::Transport,
};

/// Connections that are being opened at one time, where opening is not what is measured.
pub const OPENING_WINDOW: usize = 64;
/// Opening and closing leaves each port unusable for a minute, so openings are spread over more addresses.
pub const OPENING_SOURCE_ADDRESSES: u8 = 16;

#[derive(Debug, Subcommand)]
pub enum Load {
    /// One publication to many subscribers: the server's time for each delivery.
    ///
    /// Without --saturate each publication is due at its time by the schedule, and latency counts from then until it
    /// is received, also where server or generator was late.
    Fanout(With<Fanout>),
    /// An RPC that is answered with its own payload, one at a time on each connection: the server's time for each.
    Echo(With<Echo>),
    /// Connect and subscribe at full speed: the server's time for each (handshake, connect, subscribe).
    Open(With<Open>),
    /// Subscribed connections that do nothing: memory of each, and the server's share of a processor.
    Idle(With<Idle>),
    /// Publications through the server's HTTP API, on kept-alive connections, or by clients or devices that wait for
    /// each to be acknowledged: the server's time for each.
    Publish(With<Publish>),
    /// All subscribers are cut off at one moment, miss something, and come back at once: the server's time for each
    /// that comes back, and how long it takes until all are there.
    ///
    /// Each one that comes back subscribes from its last position, and must get what it missed.
    Storm(With<Storm>),
    /// The floor itself, which the others start.
    #[command(hide = true)]
    FloorServer,
}

/// A number that makes a run what it is.
pub type Fact = (&'static str, f64);

/// What a scenario is measured in.
pub struct Round<'a> {
    pub connections: usize,
    pub time: Duration,
    pub progress: &'a Progress,
}

/// One kind of load.
pub trait Scenario: std::fmt::Debug {
    /// What the table begins with.
    fn name(&self) -> &'static str;

    /// What is counted: a delivery, an echo. Nothing, where only time passes.
    fn operation(&self) -> Option<&'static str>;

    /// What else makes the load what it is.
    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }

    /// How its connections come.
    fn transport(&self) -> Transport {
        Transport::Websocket
    }

    /// The same, as it is told.
    fn way(&self) -> &'static str {
        self.transport().name()
    }

    /// It asks for WebSocket and nothing above it.
    fn is_plain(&self) -> bool {
        false
    }

    /// What its connections ask is that something be published, instead of an echo.
    fn publishes(&self) -> bool {
        false
    }

    /// Each message to its subscribers is compressed.
    fn compresses(&self) -> bool {
        false
    }

    /// Its connections connect and subscribe in one frame.
    fn opens_in_one_frame(&self) -> bool {
        false
    }

    /// Whether one connection may have several channels.
    fn shares_connections(&self) -> bool {
        false
    }

    /// Connections, where the user names no number.
    fn connections(&self) -> usize {
        1_000
    }

    /// How long each side is measured, where the user names no time.
    fn duration(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Whether it opens so many connections that one address has not enough ports.
    fn opens_many(&self) -> bool {
        false
    }

    /// Whether server and floor take turns. Otherwise one is measured after the other.
    fn takes_turns(&self) -> bool {
        true
    }

    /// Whether the connections are still there when it was measured.
    fn connections_stay(&self) -> bool {
        true
    }

    /// Opens what the load needs, before it is measured.
    fn prepare(&self, generator: &mut Generator, connections: usize) -> anyhow::Result<()>;

    /// Puts the load on for about the round's time, and measures it.
    fn measure(&self, side: &mut Side, round: &Round<'_>) -> anyhow::Result<Sample>;
}

/// Opens subscribers without measuring it.
fn open_subscribers(generator: &mut Generator, connections: usize) -> anyhow::Result<()> {
    let mut schedule = generator.at_once();
    generator.open_subscribers(connections, OPENING_WINDOW, &mut schedule)
}
