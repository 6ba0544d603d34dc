//! One member of a channel on one worker, and its place.

/// Where a member sits: which channel of the worker, and which place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    pub(super) channel: u32,
    pub(super) place: u32,
}

/// One connection's membership.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Broadcasts up to this offset are not for this member. From [`BEING_SEATED`] on: it hears nothing yet, and
    /// the lower bits are the number of the first broadcast that is kept for it.
    skip_through: u64,
    /// The connection, as the worker numbers them.
    pub entry: u32,
    hears_joins: bool,
}

/// The first value that says "being seated". No channel has so many publications.
const BEING_SEATED: u64 = 1 << 63;

/// The member is being seated, and something that it should have heard was not kept.
const MISSED: u64 = u64::MAX;

impl Member {
    pub(super) fn being_seated(entry: u32, hears_joins: bool, first_kept: u64) -> Self {
        Self { entry, skip_through: BEING_SEATED | first_kept, hears_joins }
    }

    /// Whether this member is to hear a broadcast with this offset (0 without one).
    pub fn hears(&self, offset: u64) -> bool {
        offset > self.skip_through || offset == 0 && !self.is_being_seated()
    }

    /// Whether this member is to hear who joins and leaves.
    pub fn hears_joins(&self) -> bool {
        self.hears_joins && !self.is_being_seated()
    }

    /// Whether it waits for its subscribe reply, and hears nothing until then.
    pub fn is_being_seated(&self) -> bool {
        self.skip_through >= BEING_SEATED
    }

    pub(super) fn wishes_joins(&self) -> bool {
        self.hears_joins
    }

    /// The number of the first broadcast that is kept for it, while it is being seated.
    pub(super) fn first_kept(&self) -> Option<u64> {
        self.is_being_seated().then_some(self.skip_through & !BEING_SEATED)
    }

    pub(super) fn seat(&mut self, skip_through: u64) {
        self.skip_through = skip_through;
    }

    pub(super) fn miss(&mut self) {
        self.skip_through = MISSED;
    }
}
