//! Kinds of devices: trackers, meters, controllers, each with a framing, a login, a heartbeat and messages of its own.

pub mod checksum;
mod error;
pub mod framing;
pub mod spec;

pub use self::{
    error::ProfileError,
    framing::{DeviceFraming, FrameReader, Unframeable},
};
