//! Who is in which channel on this node, and what all of them are told.
//!
//! * [`directory`]: channel -> workers that have members; where the broker hands over.
//! * [`broadcast`]: one thing said to a channel, and its bytes for each wire, made once.
//! * [`glob`]: patterns over channel names.
//!
//! The hub names no dialect and no transport.

pub mod broadcast;
pub mod directory;
pub mod glob;
