//! The registry of dialects: what a message means. To add one: a folder beside this, and a line in [`ALL`] and
//! [`DialectId`].

use crate::wire::Dialect;

/// The place of a dialect in [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum DialectId {
    /// Centrifuge JSON, both ways.
    CentrifugeJson,
    /// Centrifuge JSON, server to client only: bare pushes (`/connection/uni_*`).
    CentrifugeUni,
    /// A plain EventSource on one channel (`/events`): its cursor is the publication's own, so bytes are shared.
    EventsOne,
    /// A plain EventSource on several channels: the cursor covers all of them, so each member's bytes are its own.
    EventsMany,
}

/// All dialects, in the order of [`DialectId`].
pub const ALL: &[&dyn Dialect] = &[];
