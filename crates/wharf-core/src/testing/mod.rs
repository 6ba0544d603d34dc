//! What tests of this crate and of others stand on: simulated time, simulated links, and the suite that says
//! what every engine must do.
//!
//! * [`clock`]: time that passes when it is told to.
//! * [`link`]: two ends of a byte stream, with the troubles that a network has, repeatable by its seed.
//! * [`sink`]: a broker's sink that remembers what it heard.
//! * [`contract`]: the behaviours of [`crate::broker`], one function each; [`engine_contract!`](crate::engine_contract)
//!   makes a test of each.

pub mod clock;
pub mod contract;
pub mod link;
pub mod sink;
