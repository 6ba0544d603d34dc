//! One connection of each kind, each alone in a channel, so that presence tells which are there.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{
    PATIENCE, eventually,
    http::Stream,
    network::Network,
    program::{Running, wharf_arguments},
    server::{Server, Setup},
};

/// The shortest times that a server takes, so that a test takes seconds.
const PING_INTERVAL: Duration = Duration::from_millis(1_000);
const PONG_TIMEOUT: Duration = Duration::from_millis(500);
const USER_TIMEOUT: Duration = Duration::from_millis(1_000);
const POLL_WAIT: Duration = Duration::from_millis(1_000);
const LEASE: Duration = Duration::from_millis(1_600);

/// How much later than stated anything may be seen: the server's steps of time, and two processors that do much else.
pub const SLACK: Duration = Duration::from_millis(1_500);

/// A server's times, as short as above.
pub fn quick(setup: Setup) -> Setup {
    let times = [
        ("PING_INTERVAL", PING_INTERVAL),
        ("PONG_TIMEOUT", PONG_TIMEOUT),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT),
        ("POLL_WAIT_MAX", POLL_WAIT),
        ("EVENTS_COMMENT", PING_INTERVAL),
        ("PRESENCE_LEASE", LEASE),
        ("PRESENCE_RENEW", LEASE / 4),
    ];
    times.into_iter().fold(setup, |setup, (name, time)| {
        setup.variable(&format!("WHARF_TIMES__{name}"), &format!("{}ms", time.as_millis()))
    })
}

/// How a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `wharf subscribe` over this transport.
    Subscribe(&'static str),
    /// A plain EventSource, which never says anything.
    Events,
}

/// Every way.
pub const WAYS: [Way; 7] = [
    Way::Subscribe("websocket"),
    Way::Subscribe("tcp"),
    Way::Subscribe("http-stream"),
    Way::Subscribe("sse"),
    Way::Subscribe("long-poll"),
    Way::Subscribe("short-poll"),
    Way::Events,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Subscribe(transport) => transport,
            Self::Events => "events",
        }
    }

    /// In how long the server must know that this client's path is gone, whatever goes wrong with it. LIMITS.md.
    pub fn stated(self) -> Duration {
        match self {
            // A poll may just have begun; the lease runs from its answer.
            Self::Subscribe("long-poll" | "short-poll") => POLL_WAIT + LEASE,
            Self::Subscribe(_) => PING_INTERVAL + PONG_TIMEOUT,
            // Nothing is answered but by the kernel: what was said last must stay unacknowledged.
            Self::Events => PING_INTERVAL + USER_TIMEOUT,
        }
    }
}

/// A client on the client's machine.
pub struct Member {
    way: Way,
    /// Kept open, and ended with the test.
    _program: Option<Running>,
    stream: Option<Stream>,
}

impl Member {
    fn join(network: &Network, way: Way) -> Self {
        let channel = way.name();
        let (mut program, mut stream) = (None, None);
        match way {
            Way::Subscribe(transport) => {
                let url = network.url();
                let arguments = ["subscribe", channel, "--server", &url, "--transport", transport];
                program = Some(Running::start(wharf_within(network, &arguments)));
            }
            Way::Events => {
                let path = format!("/events?channel={channel}");
                stream = Some(Stream::open(&network.address(), "GET", &path, &[], ""));
            }
        }
        Self { way, _program: program, stream }
    }

    fn is_there(&self, server: &Server) -> bool {
        server.api("presence_stats", &json!({"channel": self.way.name()}))["num_clients"] != 0
    }
}

/// A client of each way.
pub struct Crowd {
    pub members: Vec<Member>,
}

impl Crowd {
    /// Everybody comes, and is there.
    #[track_caller]
    pub fn join(network: &Network, server: &Server) -> Self {
        let crowd = Self { members: WAYS.map(|way| Member::join(network, way)).into() };
        for member in &crowd.members {
            eventually(member.way.name(), PATIENCE, || member.is_there(server));
        }
        crowd
    }

    /// Lives on for some pings and leases, and everybody stays.
    #[track_caller]
    pub fn assert_stays(&mut self, server: &Server) {
        let comments = |line: Option<String>| line.expect("the stream goes on").starts_with(':');
        let events = self.members.iter_mut().find_map(|member| member.stream.as_mut()).expect("one of them");
        for _ in 0..3 {
            while !comments(events.line()) {}
        }
        for member in &self.members {
            assert!(member.is_there(server), "{} is gone, and nothing was wrong", member.way.name());
        }
    }

    /// Waits until the server knows that nobody is there any more, each in the time that is stated, `since` when
    /// something went wrong.
    #[track_caller]
    pub fn assert_gone_in_time(&self, server: &Server, since: Instant) {
        let mut left: Vec<&Member> = self.members.iter().collect();
        eventually("everybody is gone", PATIENCE, || {
            left.retain(|member| {
                let gone = !member.is_there(server);
                if gone {
                    let (name, stated, took) = (member.way.name(), member.way.stated(), since.elapsed());
                    println!("{name}: gone after {took:?}, {stated:?} are stated");
                    assert!(took <= stated + SLACK, "{name}: after {took:?}, but {stated:?} are stated");
                }
                !gone
            });
            left.is_empty()
        });
        eventually("their connections are given back", PATIENCE, || {
            server.metric("wharf_subscriptions") == 0
        });
    }
}

/// A `wharf` that is to run on the client's machine.
pub fn wharf_within(network: &Network, arguments: &[&str]) -> std::process::Command {
    let mut command = network.client.command(env!("CARGO_BIN_EXE_wharf"));
    wharf_arguments(&mut command, arguments);
    command
}
