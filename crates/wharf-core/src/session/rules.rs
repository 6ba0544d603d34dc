//! What the operator decided about sessions.

use wharf_proto::message::PingWish;

use crate::{
    liveness::{Counts, Heartbeat, Policy},
    namespace::Namespaces,
};

/// What the operator decided about sessions; one for all sessions of a node.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What channels are like.
    pub namespaces: Namespaces,
    /// Tokens are ignored and everybody may connect.
    pub development: bool,
    /// Clients without a token may connect.
    pub allow_anonymous_connect: bool,
    /// RPC method `echo` answers its data.
    pub rpc_echo: bool,
    /// The most channels of one client.
    pub channels_per_client: usize,
    /// The most publications in one recovery or history reply.
    pub history_answer: usize,
    /// From the start of the session to a successful `connect`, in milliseconds.
    pub authenticate_ms: u64,
    /// Between pings, in milliseconds.
    pub ping_interval_ms: u64,
    /// From ping to pong, in milliseconds.
    pub pong_timeout_ms: u64,
    /// The shortest and the longest interval that a client may wish for, in milliseconds.
    pub ping_interval_least_ms: u64,
    #[allow(missing_docs)]
    pub ping_interval_most_ms: u64,
    /// How long a presence entry or a session that is not renewed lives, in milliseconds.
    pub presence_lease_ms: u64,
    /// Between renewals of presence entries, in milliseconds.
    pub presence_renew_ms: u64,
    /// Told to clients.
    pub version: &'static str,
}

impl Rules {
    /// What holds of connections that show life so, where nothing else is decided. The dialect's pings are sent also
    /// while there is traffic, since its clients may wait for them ([`crate::liveness`] has the evidence).
    pub fn heartbeat_policy(&self, heartbeat: Heartbeat) -> Policy {
        let is_asking = heartbeat == Heartbeat::Asking;
        let interval_ms = if is_asking { self.presence_lease_ms } else { self.ping_interval_ms };
        let timeout_ms = if is_asking { 0 } else { self.pong_timeout_ms };
        Policy {
            heartbeat,
            interval_ms: within(interval_ms),
            timeout_ms: within(timeout_ms),
            misses: 1,
            counts: Counts::Traffic,
            skips: heartbeat == Heartbeat::Frame,
            is_longest: false,
        }
        .bounded()
    }

    /// The interval that a client gets which wishes for another than was settled: within the bounds, and no longer than
    /// its path is known to bear.
    pub fn wished_interval_ms(&self, settled: &Policy, wish: PingWish) -> u32 {
        let bounded =
            within(u64::from(wish.0).min(self.ping_interval_most_ms).max(self.ping_interval_least_ms));
        if settled.is_longest { bounded.min(settled.interval_ms) } else { bounded }
    }
}

fn within(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}
