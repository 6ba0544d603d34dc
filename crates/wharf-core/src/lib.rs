//! The meaning of Wharf: who is in which channel, what was said there, and what one client may do.
//!
//! No sockets, no runtime, no clock: time and randomness come in as arguments.
#![forbid(unsafe_code)]

pub mod broker;
mod channel_map;
pub mod hub;
pub mod lived_time;
pub mod liveness;
pub mod memory;
pub mod namespace;
pub mod path;
pub mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
