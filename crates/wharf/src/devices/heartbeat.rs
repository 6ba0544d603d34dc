//! How the heartbeats of a profile are kept.

use wharf_core::liveness::{Counts, Heartbeat, LONGEST_INTERVAL_MS, MOST_MISSES, Policy};
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
    if heartbeat.pings {
        // A ping is answered before the next is due. The profile has checked both figures.
        let interval_ms = u32::try_from(heartbeat.interval_ms).unwrap_or(u32::MAX);
        let misses = u8::try_from(heartbeat.misses).unwrap_or(u8::MAX);
        return Policy {
            heartbeat: Heartbeat::Pong,
            timeout_ms: interval_ms,
            skips: !heartbeat.only,
            counts,
            ..silent(interval_ms, misses)
        }
        .bounded();
    }
    // Only the whole silence matters: in as few intervals as hold it, and what they leave.
    let whole_ms = heartbeat.silence_ms();
    let parts = whole_ms.div_ceil(LONGEST_INTERVAL_MS.into()).clamp(1, MOST_MISSES.into());
    let interval_ms = (whole_ms / parts).min(LONGEST_INTERVAL_MS.into());
    let [interval_ms, rest_ms] = [interval_ms, whole_ms - parts * interval_ms]
        .map(|part_ms| u32::try_from(part_ms).unwrap_or(u32::MAX));
    let misses = u8::try_from(parts).unwrap_or(MOST_MISSES);
    Policy { counts, timeout_ms: rest_ms, ..silent(interval_ms, misses) }.bounded()
}

#[cfg(test)]
mod tests {
    use wharf_proto::device::{LONGEST_BEAT_MS, LONGEST_SILENCE_MS, MOST_PINGS};

    use super::*;

    const EVERY_MINUTE: HeartbeatPolicy =
        HeartbeatPolicy { interval_ms: 60_000, misses: 2, pings: false, only: false };

    #[test]
    fn a_device_is_found_dead_after_the_silence_that_its_profile_allows() {
        for interval_ms in [1_000, 10_000, 60_001, 3_600_000, 86_399_999, 86_400_000] {
            for (pings, misses) in [(false, 0..=100), (true, 1..=MOST_PINGS)] {
                for misses in misses {
                    let heartbeat = HeartbeatPolicy { interval_ms, misses, pings, only: false };
                    if !pings && heartbeat.silence_ms() > LONGEST_SILENCE_MS {
                        continue; // Refused by the profile.
                    }
                    let policy = policy(Some(heartbeat), false);
                    assert_eq!(policy.found_within_ms(), Some(heartbeat.silence_ms()), "{heartbeat:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_profile_allows_can_be_kept() {
        assert_eq!(u64::from(MOST_MISSES) * u64::from(LONGEST_INTERVAL_MS), LONGEST_SILENCE_MS);
        assert_eq!(u64::from(LONGEST_INTERVAL_MS), LONGEST_BEAT_MS);
        assert_eq!(u32::from(MOST_MISSES), MOST_PINGS);
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
