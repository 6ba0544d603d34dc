//! What became of a connection: a verdict from the facts at its end. Pure; the table of the tests is the specification.

use std::io::ErrorKind;

use wharf_proto::Disconnect;

use crate::transport::PathState;

/// What ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The server ended it with this code, by its own rules.
    Ended(u16),
    /// The server API asked for its end.
    Asked,
    /// The peer said its farewell by the framing.
    Farewell,
    /// The peer ended its half without a farewell.
    Finished,
    /// Reading or writing failed.
    Broke(ErrorKind),
    /// A held response reached its age.
    Aged,
}

/// What is known of a connection at its end.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What ended it.
    pub cause: Cause,
    /// It had connected: a session was there.
    pub connected: bool,
    /// Of the silences that words of ours have ended since the peer was last heard, the longest; in milliseconds.
    pub quiet_ms: u64,
    /// The longest silence that is known to have done no harm, in milliseconds.
    pub survived_ms: u64,
    /// How the path does; none where no single TCP connection carries it.
    pub path: Option<PathState>,
}

macro_rules! verdicts {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// What became of a connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Verdict {
            $($(#[$doc])* $name,)*
        }

        impl Verdict {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in the API and in metrics.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

verdicts! {
    /// The peer said its farewell, or ended its half.
    ClosedByPeer = "closed_by_peer";
    /// The peer's kernel, or something in between, answered with a reset.
    Reset = "reset";
    /// The peer's kernel is there, and its program did not answer a ping.
    MissedHeartbeat = "missed_heartbeat";
    /// What was sent is not acknowledged any more: the peer or the path to it is gone.
    Blackholed = "blackholed";
    /// A reset or a silent death that came with the first words after a silence longer than any before, as a NAT or
    /// a firewall that forgot the connection makes it.
    IdleKill = "idle_kill";
    /// The peer did not read as fast as it was spoken to.
    Slow = "slow";
    /// The server went away and told it to come back.
    Drained = "drained";
    /// The operator or the application ended it.
    Kicked = "kicked";
    /// A newer connection of the same device took its place.
    Replaced = "replaced";
    /// The peer broke a rule of what it spoke.
    ProtocolError = "protocol_error";
    /// The peer did not connect in time.
    Stale = "stale";
    /// The peer may not connect, or not so often.
    Refused = "refused";
    /// Its permission ran out.
    Expired = "expired";
    /// A held response reached its age and ended; the client resumes.
    ResponseEnded = "response_ended";
    /// A poller that asked no more.
    Unasked = "unasked";
    /// The server's own fault.
    ServerFault = "server_fault";
}

/// A shorter silence is nobody's reason to forget a connection.
pub const IDLE_AT_LEAST_MS: u64 = 2_000;

/// A kernel that has acknowledged something since is there: segments are lost and sent again on paths that live.
const UNANSWERED_AT_LEAST_MS: u32 = 1_000;

impl Verdict {
    /// The verdict that the facts allow.
    pub fn of(facts: &Facts) -> Self {
        match facts.cause {
            Cause::Asked => Self::Kicked,
            Cause::Farewell | Cause::Finished => Self::ClosedByPeer,
            Cause::Aged => Self::ResponseEnded,
            Cause::Broke(error) => Self::of_error(error, facts),
            Cause::Ended(code) => Self::of_code(code, facts),
        }
    }

    fn of_error(error: ErrorKind, facts: &Facts) -> Self {
        match error {
            // It had ended before we wrote.
            ErrorKind::BrokenPipe => Self::ClosedByPeer,
            // TLS that cannot be read.
            ErrorKind::InvalidData => Self::ProtocolError,
            _ if facts.is_idle_kill() => Self::IdleKill,
            // TCP_USER_TIMEOUT, or the keep-alive's probes; and what routers say meanwhile.
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Self::Blackholed
            }
            _ => Self::Reset,
        }
    }

    fn of_code(code: u16, facts: &Facts) -> Self {
        let is = |disconnects: &[Disconnect]| disconnects.iter().any(|disconnect| disconnect.code == code);
        match code {
            _ if is(&[Disconnect::SHUTDOWN]) => Self::Drained,
            // What does not answer the kernel either is not slow.
            _ if is(&[Disconnect::SLOW]) => match () {
                () if !facts.is_unanswered() => Self::Slow,
                () if facts.is_idle_kill() => Self::IdleKill,
                () => Self::Blackholed,
            },
            _ if is(&[Disconnect::NO_PONG]) => match () {
                () if !facts.is_unacknowledged() => Self::MissedHeartbeat,
                () if facts.is_idle_kill() => Self::IdleKill,
                () => Self::Blackholed,
            },
            _ if is(&[Disconnect::STALE]) && facts.connected => Self::Unasked,
            _ if is(&[Disconnect::STALE]) => Self::Stale,
            _ if is(&[Disconnect::FORCE_RECONNECT, Disconnect::FORCE_NO_RECONNECT]) => Self::Kicked,
            _ if is(&[Disconnect::EXPIRED, Disconnect::SUBSCRIPTION_EXPIRED]) => Self::Expired,
            _ if is(&PROTOCOL_ERRORS) => Self::ProtocolError,
            _ if is(&[Disconnect::REPLACED]) => Self::Replaced,
            _ if is(&[Disconnect::ALREADY_CONNECTED]) => Self::Refused,
            // RFC 6455 section 7.4.1: what a peer of ours may have done wrong.
            1002 | 1003 | 1007..=1009 => Self::ProtocolError,
            3_500..=3_999 => Self::Refused,
            4_000.. => Self::Kicked,
            _ => Self::ServerFault,
        }
    }
}

const PROTOCOL_ERRORS: [Disconnect; 5] = [
    Disconnect::BAD_REQUEST,
    Disconnect::INAPPROPRIATE_PROTOCOL,
    Disconnect::TOO_MANY_REQUESTS,
    Disconnect::TOO_MANY_ERRORS,
    Disconnect::NOT_AVAILABLE,
];

impl Facts {
    fn is_unacknowledged(&self) -> bool {
        self.path.is_some_and(|path| path.unacknowledged > 0 || path.unanswered > 0)
    }

    /// The peer's kernel does not answer what is sent to it again and again. One whose program reads nothing still says
    /// that its window is shut, and then nothing is under way; one on a bad path acknowledges something now and then.
    fn is_unanswered(&self) -> bool {
        self.path.is_some_and(|path| {
            path.unacknowledged > 0
                && path.unanswered > 0
                && path.acknowledged_ago_ms >= UNANSWERED_AT_LEAST_MS
        })
    }

    /// The end came with the first words after a silence, and that was longer than any that had done no harm. Whoever
    /// loses power or restarts looks the same only in the first silence of its kind.
    pub fn is_idle_kill(&self) -> bool {
        let longest = self.survived_ms + self.survived_ms / 8;
        self.path.is_some() && self.quiet_ms >= IDLE_AT_LEAST_MS && self.quiet_ms > longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: PathState = PathState {
        rtt_us: 20_000,
        rtt_variation_us: 1_000,
        unacknowledged: 0,
        unanswered: 0,
        retransmits: 0,
        congestion_window: 10,
        not_sent_bytes: 0,
        acknowledged_ago_ms: 0,
    };

    fn facts(cause: Cause) -> Facts {
        Facts { cause, connected: true, quiet_ms: 0, survived_ms: 0, path: Some(CALM) }
    }

    fn silent(facts: Facts) -> Facts {
        Facts { path: Some(PathState { unacknowledged: 2, unanswered: 5, ..CALM }), ..facts }
    }

    #[track_caller]
    fn expect(facts: Facts, verdict: Verdict) {
        assert_eq!(Verdict::of(&facts), verdict, "{facts:?}");
    }

    #[test]
    fn each_code_of_the_servers_has_its_verdict() {
        for (disconnect, verdict) in [
            (Disconnect::SHUTDOWN, Verdict::Drained),
            (Disconnect::SERVER_ERROR, Verdict::ServerFault),
            (Disconnect::EXPIRED, Verdict::Expired),
            (Disconnect::SUBSCRIPTION_EXPIRED, Verdict::Expired),
            (Disconnect::SLOW, Verdict::Slow),
            (Disconnect::INSUFFICIENT_STATE, Verdict::ServerFault),
            (Disconnect::FORCE_RECONNECT, Verdict::Kicked),
            (Disconnect::NO_PONG, Verdict::MissedHeartbeat),
            (Disconnect::TOO_MANY_REQUESTS, Verdict::ProtocolError),
            (Disconnect::ALREADY_CONNECTED, Verdict::Refused),
            (Disconnect::INVALID_TOKEN, Verdict::Refused),
            (Disconnect::BAD_REQUEST, Verdict::ProtocolError),
            (Disconnect::FORCE_NO_RECONNECT, Verdict::Kicked),
            (Disconnect::CONNECTION_LIMIT, Verdict::Refused),
            (Disconnect::CHANNEL_LIMIT, Verdict::Refused),
            (Disconnect::INAPPROPRIATE_PROTOCOL, Verdict::ProtocolError),
            (Disconnect::PERMISSION_DENIED, Verdict::Refused),
            (Disconnect::NOT_AVAILABLE, Verdict::ProtocolError),
            (Disconnect::TOO_MANY_ERRORS, Verdict::ProtocolError),
            (Disconnect::REPLACED, Verdict::Replaced),
        ] {
            expect(facts(Cause::Ended(disconnect.code)), verdict);
        }
        for code in [1002, 1003, 1007, 1009] {
            expect(facts(Cause::Ended(code)), Verdict::ProtocolError);
        }
        expect(facts(Cause::Ended(4_123)), Verdict::Kicked);
    }

    #[test]
    fn whoever_the_operator_ends_was_kicked_whatever_the_code() {
        expect(facts(Cause::Asked), Verdict::Kicked);
    }

    #[test]
    fn a_peer_that_goes_has_closed() {
        expect(facts(Cause::Farewell), Verdict::ClosedByPeer);
        expect(facts(Cause::Finished), Verdict::ClosedByPeer);
        expect(facts(Cause::Broke(ErrorKind::BrokenPipe)), Verdict::ClosedByPeer);
        expect(facts(Cause::Aged), Verdict::ResponseEnded);
    }

    #[test]
    fn a_reset_in_the_midst_of_traffic_is_a_reset() {
        expect(facts(Cause::Broke(ErrorKind::ConnectionReset)), Verdict::Reset);
        let brief = Facts { quiet_ms: 1_500, ..facts(Cause::Broke(ErrorKind::ConnectionReset)) };
        expect(brief, Verdict::Reset);
    }

    #[test]
    fn a_reset_upon_the_first_words_after_a_new_silence_is_an_idle_kill() {
        let reset = facts(Cause::Broke(ErrorKind::ConnectionReset));
        expect(Facts { quiet_ms: 5_000, survived_ms: 1_000, ..reset }, Verdict::IdleKill);
        expect(Facts { quiet_ms: 25_000, survived_ms: 13_000, ..reset }, Verdict::IdleKill);
        expect(Facts { quiet_ms: 25_000, survived_ms: 24_500, ..reset }, Verdict::Reset);
        expect(Facts { quiet_ms: 25_000, survived_ms: 60_000, ..reset }, Verdict::Reset);
    }

    #[test]
    fn what_is_not_acknowledged_is_blackholed_unless_a_new_silence_came_before() {
        for cause in [
            Cause::Ended(Disconnect::NO_PONG.code),
            Cause::Broke(ErrorKind::TimedOut),
            Cause::Broke(ErrorKind::HostUnreachable),
        ] {
            let facts = silent(facts(cause));
            expect(Facts { quiet_ms: 300, ..facts }, Verdict::Blackholed);
            expect(Facts { quiet_ms: 25_000, survived_ms: 25_000, ..facts }, Verdict::Blackholed);
            expect(Facts { quiet_ms: 25_000, survived_ms: 2_000, ..facts }, Verdict::IdleKill);
        }
    }

    #[test]
    fn whoever_reads_slowly_is_slow_and_whose_kernel_answers_no_more_is_gone() {
        let slow = facts(Cause::Ended(Disconnect::SLOW.code));
        let on = |path| Facts { path: Some(path), ..slow };
        // A shut window: nothing is under way, and its kernel answers.
        let shut = PathState { not_sent_bytes: 1 << 20, acknowledged_ago_ms: 5_000, ..CALM };
        expect(on(shut), Verdict::Slow);
        // Probes of it were lost.
        expect(on(PathState { unanswered: 2, ..shut }), Verdict::Slow);
        // Much is under way, on a path that loses some of it.
        expect(on(PathState { unacknowledged: 40, acknowledged_ago_ms: 300, ..CALM }), Verdict::Slow);
        let lossy = PathState { unacknowledged: 40, unanswered: 1, acknowledged_ago_ms: 300, ..CALM };
        expect(on(lossy), Verdict::Slow);
        // It has lost power while it was spoken to.
        let gone = on(PathState { acknowledged_ago_ms: 10_000, unanswered: 5, ..lossy });
        expect(gone, Verdict::Blackholed);
        expect(Facts { quiet_ms: 25_000, survived_ms: 2_000, ..gone }, Verdict::IdleKill);
        expect(Facts { path: None, ..slow }, Verdict::Slow);
    }

    #[test]
    fn a_missed_heartbeat_that_the_kernel_acknowledged_is_the_programs() {
        let facts = facts(Cause::Ended(Disconnect::NO_PONG.code));
        expect(Facts { quiet_ms: 25_000, ..facts }, Verdict::MissedHeartbeat);
        expect(Facts { path: None, quiet_ms: 25_000, ..facts }, Verdict::MissedHeartbeat);
    }

    #[test]
    fn what_no_single_connection_carries_is_never_an_idle_kill() {
        let reset = facts(Cause::Broke(ErrorKind::ConnectionReset));
        expect(Facts { path: None, quiet_ms: 25_000, ..reset }, Verdict::Reset);
    }

    #[test]
    fn whoever_never_connected_is_stale_and_a_poller_asks_no_more() {
        let stale = facts(Cause::Ended(Disconnect::STALE.code));
        expect(Facts { connected: false, ..stale }, Verdict::Stale);
        expect(stale, Verdict::Unasked);
    }

    #[test]
    fn labels_differ_and_are_words_of_a_metric() {
        let labels: std::collections::BTreeSet<_> =
            Verdict::ALL.iter().map(|verdict| verdict.label()).collect();
        assert_eq!(labels.len(), Verdict::ALL.len());
        let word = |label: &&str| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(labels.iter().all(word));
    }
}
