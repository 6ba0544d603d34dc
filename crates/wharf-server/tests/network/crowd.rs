//! One connection of each kind, each alone in a channel, so that presence tells which are there.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{
    PATIENCE, eventually,
    http::Stream,
    network::{Network, SERVER},
    program::{Running, wharf_arguments},
    server::{Server, Setup},
};

/// How much later than stated anything may be seen: the server's steps of time, and two processors that do much else.
pub const SLACK: Duration = Duration::from_millis(1_500);

/// The times of a server, from which follows in how long it must know of a peer that is gone.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub ping_interval: Duration,
    pub pong_timeout: Duration,
    pub user_timeout: Duration,
    pub poll_wait: Duration,
    pub lease: Duration,
}

impl Times {
    /// About the shortest that a server takes, so that a test takes seconds.
    pub const QUICK: Self = Self {
        ping_interval: Duration::from_millis(1_000),
        pong_timeout: Duration::from_millis(500),
        user_timeout: Duration::from_millis(1_000),
        poll_wait: Duration::from_millis(1_000),
        lease: Duration::from_millis(1_600),
    };

    /// The same with another interval between pings.
    pub const fn pinging_each(seconds: u64) -> Self {
        let ping_interval = Duration::from_secs(seconds);
        Self { ping_interval, lease: Duration::from_secs(seconds + 1), ..Self::QUICK }
    }

    /// Gives a server these times.
    pub fn of(&self, setup: Setup) -> Setup {
        let times = [
            ("PING_INTERVAL", self.ping_interval),
            ("EVENTS_COMMENT", self.ping_interval),
            ("PONG_TIMEOUT", self.pong_timeout),
            ("TCP_USER_TIMEOUT", self.user_timeout),
            ("POLL_WAIT_MAX", self.poll_wait),
            ("PRESENCE_LEASE", self.lease),
            ("PRESENCE_RENEW", self.lease / 4),
        ];
        times.into_iter().fold(setup.more_configuration(DEVICES), |setup, (name, time)| {
            setup.variable(&format!("WHARF_TIMES__{name}"), &format!("{}ms", time.as_millis()))
        })
    }

    /// In how long after the last that was heard of such a client the server must know that it is gone, whatever
    /// happened to it: the sums in LIMITS.md.
    fn stated(&self, way: Way) -> Duration {
        match way {
            // A poll may just have begun; the lease runs from its answer.
            Way::Subscribe("long-poll" | "short-poll") => self.poll_wait + self.lease,
            // HTTP/2 has pings of its own, which each implementation answers.
            Way::Subscribe(_) | Way::Http2 => self.ping_interval + self.pong_timeout,
            // Of a device that says nothing; one that hears nothing has to acknowledge the answers to its heartbeats.
            Way::Device => DEVICE_SILENCE.max(self.user_timeout) + DEVICE_PAUSE,
            // Nobody answers but the kernel, so that what was said last must have stayed unacknowledged.
            Way::Events => self.ping_interval + self.user_timeout,
        }
    }
}

/// A kind of device, as part of a server's configuration.
const DEVICES: &str = "
[[device]]
name = \"counters\"
listen = \"tcp://10.77.2.2:7000\"
[device.framing]
kind = \"marks\"
end = \"\\n\"
[device.login]
pattern = \"{id} LOGIN\"
allow = [\"*\"]
[device.heartbeat]
pattern = \"HB\"
answer = \"OK\"
interval = \"1s\"
misses = 1
[[device.up]]
pattern = \"{count}\"
channel = \"devices/{id}/up\"
";
/// How long such a device may be silent.
const DEVICE_SILENCE: Duration = Duration::from_secs(2);
/// One of them, in bash: its first argument is the server's address. What it pauses with must not hold its socket.
const DEVICE: &str = "exec 3<>/dev/tcp/$0/7000; echo d1 LOGIN >&3
    while echo HB >&3; do read -u 3; sleep 0.3 3>&-; done";
const DEVICE_PAUSE: Duration = Duration::from_millis(300);

/// How a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `wharf subscribe` over this transport.
    Subscribe(&'static str),
    /// A plain EventSource, which never says anything.
    Events,
    /// A one-way stream on an HTTP/2 connection, by curl.
    Http2,
    /// A device that sends heartbeats and waits for their answers.
    Device,
}

/// The ways that ask again and again.
pub const POLLS: [Way; 2] = [Way::Subscribe("long-poll"), Way::Subscribe("short-poll")];

/// The ways that stay connected, each on a connection of its own.
pub const STREAMS: [Way; 5] = [
    Way::Subscribe("websocket"),
    Way::Subscribe("tcp"),
    Way::Subscribe("http-stream"),
    Way::Subscribe("sse"),
    Way::Events,
];

/// Every way.
pub fn every_way() -> Vec<Way> {
    [&STREAMS[..], &[Way::Http2, Way::Device], &POLLS].concat()
}

/// Of a poller the ledger can only say that it asked no more; of all others so.
pub fn unless_poll(verdict: &'static str) -> impl Fn(Way) -> &'static str {
    move |way| if POLLS.contains(&way) { "unasked" } else { verdict }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Subscribe(transport) => transport,
            Self::Events => "events",
            Self::Http2 => "uni_sse",
            Self::Device => "devices/d1/up",
        }
    }

    /// What the server calls it.
    fn kind(self) -> &'static str {
        match self {
            Self::Subscribe("http-stream") => "http_stream",
            Self::Subscribe("long-poll" | "short-poll") => "poll",
            Self::Device => "device_tcp",
            _ => self.name(),
        }
    }
}

/// A client on the client's machine.
struct Member {
    way: Way,
    program: Option<Running>,
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
            Way::Device => {
                let mut bash = network.client.command("bash");
                bash.args(["-c", DEVICE, SERVER]).stdout(Stdio::piped()).stdin(Stdio::null());
                program = Some(Running::start(bash));
            }
            Way::Http2 => {
                let url = format!("{}/connection/uni_sse", network.url());
                let connect = json!({"subs": {channel: {}}}).to_string();
                let mut curl = network.client.command("curl");
                curl.args(["-sN", "--http2-prior-knowledge", "-G", &url, "--data-urlencode"]);
                curl.arg(format!("cf_connect={connect}")).stdout(Stdio::piped()).stdin(Stdio::null());
                program = Some(Running::start(curl));
            }
        }
        Self { way, program, stream }
    }

    fn is_there(&self, server: &Server) -> bool {
        server.api("presence_stats", &json!({"channel": self.way.name()}))["num_clients"] != 0
    }
}

/// A client of each way that was asked for.
pub struct Crowd {
    members: Vec<Member>,
}

impl Crowd {
    /// Everybody comes, and is there.
    #[track_caller]
    pub fn join(network: &Network, server: &Server, ways: &[Way]) -> Self {
        let members = ways.iter().map(|way| Member::join(network, *way)).collect();
        let crowd = Self { members };
        for member in &crowd.members {
            eventually(member.way.name(), PATIENCE, || member.is_there(server));
        }
        crowd
    }

    /// Waits for as many intervals between pings; then everybody is still there. One of them must be an EventSource.
    #[track_caller]
    pub fn assert_stays(&mut self, server: &Server, intervals: usize) {
        let events = self.members.iter_mut().find_map(|member| member.stream.as_mut()).expect("one of them");
        for _ in 0..intervals {
            while !events.line().expect("the stream goes on").starts_with(':') {}
        }
        self.assert_there(server);
    }

    /// How many came.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Everybody is there.
    #[track_caller]
    pub fn assert_there(&self, server: &Server) {
        for member in &self.members {
            assert!(member.is_there(server), "{} is gone, and nothing was wrong", member.way.name());
        }
    }

    /// Sends every program a signal by its name, such as `STOP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        self.members
            .iter()
            .filter_map(|member| member.program.as_ref())
            .for_each(|program| program.signal(name));
    }

    /// Publishes in everybody's channel.
    #[track_caller]
    pub fn publish(&self, server: &Server, data: impl Into<Value>) {
        let data = data.into();
        for member in &self.members {
            server.api("publish", &json!({"channel": member.way.name(), "data": data}));
        }
    }

    /// Every `wharf subscribe` has heard this next.
    #[track_caller]
    pub fn assert_hears(&self, data: impl Into<Value>) {
        let data = data.into();
        let subscribers = self.members.iter().filter(|member| matches!(member.way, Way::Subscribe(_)));
        for program in subscribers.filter_map(|member| member.program.as_ref()) {
            assert_eq!(program.event_of("publication")["data"], data);
        }
    }

    /// The ledger says of each how it ended. How a connection ended that several streams share, none of them knows.
    #[track_caller]
    pub fn assert_verdicts(&self, server: &Server, verdict: impl Fn(Way) -> &'static str) {
        let answer = server.api("connections", &json!({"ended": true, "limit": 1_000}));
        let ends = answer["ended"].as_array().expect("a list");
        let ways = self.members.iter().map(|member| member.way);
        for way in ways.filter(|way| *way != Way::Http2) {
            let mut its = ends.iter().filter(|end| end["transport"] == way.kind()).peekable();
            assert!(its.peek().is_some(), "{}: no end in {answer}", way.name());
            for end in its {
                let (silence, survived) = (&end["quiet_ms"], &end["survived_ms"]);
                println!("{}: {} after {silence} ms, survived {survived} ms", way.name(), end["verdict"]);
                // Of a device that is only listened to nobody can say whether it was silent or the path.
                let silent = way == Way::Device && end["verdict"] == "missed_heartbeat";
                assert!(silent || end["verdict"] == verdict(way), "{}: {end}", way.name());
            }
        }
    }

    /// Waits until the server knows that nobody is there any more, each in the time that is stated, after something
    /// went wrong `since` then.
    #[track_caller]
    pub fn assert_gone_in_time(&self, server: &Server, times: &Times, since: Instant) {
        self.assert_gone_between(server, since, |_| Duration::ZERO, |way| times.stated(way));
    }

    /// The same between two times after `since`.
    #[track_caller]
    pub fn assert_gone_between(
        &self,
        server: &Server,
        since: Instant,
        earliest: impl Fn(Way) -> Duration,
        latest: impl Fn(Way) -> Duration,
    ) {
        let mut left: Vec<&Member> = self.members.iter().collect();
        eventually("everybody is gone", PATIENCE, || {
            left.retain(|member| {
                let gone = !member.is_there(server);
                if gone {
                    let (took, name) = (since.elapsed(), member.way.name());
                    let (earliest, latest) = (earliest(member.way), latest(member.way));
                    println!("{name}: gone after {took:?} of {latest:?}");
                    assert!(took >= earliest, "{name} is gone after {took:?}, before {earliest:?}");
                    assert!(
                        took <= latest + SLACK,
                        "{name} is gone after {took:?}, but {latest:?} are stated"
                    );
                }
                !gone
            });
            left.is_empty()
        });
    }
}

/// A `wharf` that is to run on the client's machine.
pub fn wharf_within(network: &Network, arguments: &[&str]) -> std::process::Command {
    let mut command = network.client.command(env!("CARGO_BIN_EXE_wharf"));
    wharf_arguments(&mut command, arguments);
    command
}
