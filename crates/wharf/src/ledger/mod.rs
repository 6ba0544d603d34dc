//! The ledger of ends: what became of each connection, in a bounded ring for each worker.
//!
//! | file | knows |
//! |---|---|
//! | `verdict` | facts at the end -> verdict (pure) |
//! | `ring` | the last so many ends |
//! | `origin` | listener and client network |
//! | `paths` | what [`wharf_core::path`] finds for each origin, for all workers |

mod origin;
mod paths;
mod ring;
mod verdict;

use std::{borrow::Cow, sync::Arc};

use wharf_core::time::Millis;
use wharf_proto::message::ClientId;

pub use self::origin::{Network, Origin};
pub use self::paths::Paths;
pub use self::ring::{ENDS_KEPT, Ledger};
pub use self::verdict::{Cause, Facts, IDLE_AT_LEAST_MS, Verdict};

use crate::transport::Vitals;

/// The most bytes of a user's name that the ledger keeps. LIMITS.md, `USER_KEPT_BYTES`.
pub const USER_KEPT_BYTES: usize = 128;

/// One connection that has ended. About 200 bytes, and a user's name and a reason that only it may hold.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What became of it.
    pub verdict: Verdict,
    /// The code that it was told, or that it told; 3000 where nothing was said.
    pub code: u16,
    /// The reason that went with the code; at most 123 bytes.
    pub reason: Cow<'static, str>,
    /// What carried it ([`crate::worker::Attachment::kind`]).
    pub kind: &'static str,
    /// Where it came from.
    pub origin: Origin,
    /// Which connection it was.
    pub client: ClientId,
    /// Whose; none before it has connected. Cut at [`USER_KEPT_BYTES`].
    pub user: Option<Arc<str>>,
    /// When it opened, was last heard, last spoken to, and ended.
    pub opened: Millis,
    #[allow(missing_docs)]
    pub heard: Millis,
    #[allow(missing_docs)]
    pub spoke: Millis,
    #[allow(missing_docs)]
    pub ended: Millis,
    /// When it ended by the calendar, in milliseconds since 1970. The clock of the other moments leaves out what the
    /// process has not lived, so that this cannot be told from them later.
    pub ended_unix_ms: u64,
    /// Of the silences that words of ours had ended since the peer was last heard, the longest; in milliseconds. With
    /// [`Verdict::IdleKill`] it is the one that killed.
    pub quiet_ms: u64,
    /// The longest silence that is known to have done no harm, in milliseconds.
    pub survived_ms: u64,
    /// Messages from the peer and to it.
    pub messages_in: u32,
    #[allow(missing_docs)]
    pub messages_out: u32,
    /// Bytes and round trips, as the transport knew them at the end.
    pub vitals: Vitals,
}

impl Ended {
    /// How long it was open, in milliseconds.
    pub fn age_ms(&self) -> u64 {
        self.ended.ms_since(self.opened)
    }
}

/// A user's name as the ledger keeps it: shared with the session that is going, or a copy of its begin.
pub fn kept_user(user: &Arc<str>) -> Arc<str> {
    match user.len() {
        0..=USER_KEPT_BYTES => Arc::clone(user),
        _ => user[..user.floor_char_boundary(USER_KEPT_BYTES)].into(),
    }
}

#[cfg(test)]
impl Ended {
    /// A connection that was closed by its peer, for tests.
    pub(crate) fn example() -> Self {
        Self {
            verdict: Verdict::ClosedByPeer,
            code: 3000,
            reason: "".into(),
            kind: "websocket",
            origin: Origin::UNKNOWN,
            client: ClientId::from_random(1),
            user: None,
            opened: Millis(1_000),
            heard: Millis(2_000),
            spoke: Millis(3_000),
            ended: Millis(4_000),
            ended_unix_ms: 1_700_000_000_000,
            quiet_ms: 0,
            survived_ms: 0,
            messages_in: 0,
            messages_out: 0,
            vitals: Vitals::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_kept_by_its_begin_alone() {
        let short: Arc<str> = "ann".into();
        assert!(Arc::ptr_eq(&kept_user(&short), &short));
        let long: Arc<str> = "\u{e4}".repeat(USER_KEPT_BYTES).into();
        assert_eq!(kept_user(&long).len(), USER_KEPT_BYTES);
    }

    /// LIMITS.md counts with it.
    #[test]
    fn an_end_is_about_200_bytes() {
        assert!(size_of::<Ended>() <= 240, "{}", size_of::<Ended>());
    }
}
