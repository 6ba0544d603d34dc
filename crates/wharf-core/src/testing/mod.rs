//! what every engine must do.
//!
//! * [`clock`]: time that passes when it is told to.
//! * [`sink`]: a broker's sink that remembers what it heard.
//! * [`contract`]: the behaviours of [`crate::broker`], one function each; [`engine_contract!`](crate::engine_contract)
//!   makes a test of each.

pub mod clock;
pub mod contract;
pub mod sink;
