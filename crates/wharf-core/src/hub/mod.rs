//! Who is in which channel on this node, and what all of them are told.
//!
//! * [`directory`]: channel -> workers that have members; where the broker hands over.
//! * [`broadcast`]: one thing said to a channel, and its bytes for each wire, made once.
//! * [`local`]: one worker's members of each channel, and where each channel stands.
//! * [`glob`]: patterns over channel names.
//!
//! The hub names no dialect and no transport.

pub mod broadcast;
pub mod directory;
pub mod glob;
pub mod local;

pub use self::broadcast::SharedBroadcast;
pub use self::directory::{Directory, Inbox, InboxFull};
pub use self::local::{LocalHub, Member, Seat};
