//! Heartbeats: how often each kind of connection is pinged, and what a client may wish.

use super::Settings;

/// The kinds of connection that are pinged, each of which may have times of its own. WebSockets over HTTP/2 are as those
/// over HTTP/1.1.
pub const BEATING: [&str; 9] = [
    "websocket",
    "tcp",
    "unix",
    "http_stream",
    "sse",
    "uni_websocket",
    "uni_http_stream",
    "uni_sse",
    "events",
];

/// The kinds among [`BEATING`] on which nobody answers a ping: a response held open has no way back.
pub const UNANSWERED: [&str; 3] = ["uni_http_stream", "uni_sse", "events"];

/// How often whom is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeats {
    /// In the order of [`BEATING`].
    pub beats: [Beat; BEATING.len()],
    /// The shortest interval that a client may wish for.
    pub ping_interval_least_ms: u64,
    /// The longest.
    pub ping_interval_most_ms: u64,
}

/// The times of one kind of connection, where they are not those of all ([`super::Times`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beat {
    /// Between pings.
    pub interval_ms: Option<u64>,
    /// From ping to pong.
    pub timeout_ms: Option<u64>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self { beats: Default::default(), ping_interval_least_ms: 5_000, ping_interval_most_ms: 120_000 }
    }
}

impl Settings {
    /// Between pings, and from ping to pong, of connections of this kind.
    pub fn beat_ms(&self, kind: &str) -> (u64, u64) {
        let kind = kind.strip_suffix("_http2").unwrap_or(kind);
        let place = BEATING.iter().position(|beating| *beating == kind);
        let beat = place.map_or_else(Beat::default, |place| self.heartbeats.beats[place]);
        let interval_ms = match kind {
            "events" => self.times.events_comment_ms,
            _ => self.times.ping_interval_ms,
        };
        (beat.interval_ms.unwrap_or(interval_ms), beat.timeout_ms.unwrap_or(self.times.pong_timeout_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_times_of_all_but_for_those_of_its_own() {
        let mut settings = Settings::development();
        settings.times.events_comment_ms = 15_000;
        settings.heartbeats.beats[0].interval_ms = Some(40_000);
        settings.heartbeats.beats[1].timeout_ms = Some(3_000);
        for (kind, expected) in [
            ("websocket", (40_000, 10_000)),
            ("websocket_http2", (40_000, 10_000)),
            ("tcp", (25_000, 3_000)),
            ("uni_websocket", (25_000, 10_000)),
            ("events", (15_000, 10_000)),
            ("nobody knows it", (25_000, 10_000)),
        ] {
            assert_eq!(settings.beat_ms(kind), expected, "{kind}");
        }
    }
}
