//! How the heartbeats of a profile are kept.

use wharf_core::liveness::{Counts, Heartbeat, LONGEST_INTERVAL_MS, Policy};
use wharf_proto::device::HeartbeatPolicy;

/// How long a UDP peer may be silent whose profile has no heartbeat: nothing else would ever end it. LIMITS.md,
/// `silent_peer_ms`.
const SILENT_PEER_MS: u32 = 300_000;

/// The policy for the connections of a profile. If it names no heartbeat, a peer over UDP that says nothing must end some
/// time; the kernel finds the dead of all others, and who only receives is left in peace.
pub fn policy(heartbeat: Option<HeartbeatPolicy>, over_udp: bool) -> Policy {
    let silent = |interval_ms, misses| Policy {
        heartbeat: Heartbeat::Peer,
        interval_ms,
        timeout_ms: 0,
        misses,
        counts: Counts::Traffic,
        skips: false,
        is_longest: false,
    };
    let Some(heartbeat) = heartbeat else {
        let never = Policy { heartbeat: Heartbeat::Nobody, ..silent(LONGEST_INTERVAL_MS, 1) };
        return if over_udp { silent(SILENT_PEER_MS, 1) } else { never };
    };
    let counts = if heartbeat.only { Counts::Heartbeats } else { Counts::Traffic };
    let interval_ms = u32::try_from(heartbeat.interval_ms).unwrap_or(u32::MAX);
    let misses = u8::try_from(heartbeat.misses).unwrap_or(u8::MAX);
    let policy = if heartbeat.pings {
        // A ping is answered before the next is due.
        Policy {
            heartbeat: Heartbeat::Pong,
            timeout_ms: interval_ms,
            misses,
            skips: !heartbeat.only,
            counts,
            ..silent(interval_ms, misses)
        }
    } else {
        Policy { counts, ..silent(interval_ms, misses.saturating_add(1)) }
    };
    policy.bounded()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_MINUTE: HeartbeatPolicy =
        HeartbeatPolicy { interval_ms: 60_000, misses: 2, pings: false, only: false };

    #[test]
    fn a_device_is_found_dead_after_the_silence_that_its_profile_allows() {
        for pings in [false, true] {
            let heartbeat = HeartbeatPolicy { pings, ..EVERY_MINUTE };
            let policy = policy(Some(heartbeat), false);
            assert_eq!(policy.found_within_ms(), Some(heartbeat.silence_ms()), "{policy:?}");
        }
    }

    #[test]
    fn without_a_heartbeat_a_udp_peer_ends_all_the_same() {
        assert_eq!(policy(None, true).found_within_ms(), Some(300_000));
        assert_eq!(policy(None, false).found_within_ms(), None, "the kernel finds it");
    }

    #[test]
    fn only_heartbeats_count_where_the_profile_says_so() {
        let only = HeartbeatPolicy { only: true, ..EVERY_MINUTE };
        assert_eq!(policy(Some(only), false).counts, Counts::Heartbeats);
        assert_eq!(policy(Some(EVERY_MINUTE), false).counts, Counts::Traffic);
    }
}
