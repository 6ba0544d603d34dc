//! The publish checker: while a publisher goes on, clients on every transport are cut off at random moments and
//! come back by themselves. Each must hear everything once and in order.
//!
//! A cut falls when a number of bytes has passed, so nearly always within a message. Half of the cuts the server
//! sees; after the others it goes on for a while with a connection whose client has come back on a new one.
//! `WHARF_TEST_SEED` sets another seed.

mod common;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use common::{
    javascript::Javascript,
    proxy::Proxy,
    server::{Server, Setup},
};
use serde_json::{Value, json};
use wharf::client::{Client, Event, Position, SubscribeOptions, TransportKind};

const CHANNEL: &str = "log";
/// How many times each client is cut off.
const CUTS: u32 = 6;
/// Every cut falls so many bytes after its connection began: sometimes before the subscription is there.
const BYTES: Range<usize> = 150..4_000;
/// So many bytes hold the head of an event stream and its first block, which tells the client where it begins.
const HEAD_OF_EVENTS: usize = 800;
/// The publisher may be so far ahead of the slowest, which is less than the history of 300 of development mode: so
/// that a client is cut off from the stream as often as while it catches up.
const AHEAD: u64 = 60;
/// So many connections of one client show that its stream ended and that it came back: commands take a part of them.
const ENDED_AND_BACK: usize = 4;
/// How many publications follow the last cut.
const AFTERWARDS: u64 = 40;
/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(90);

/// What every client has heard, for the publisher, which does not run away from the slowest.
#[derive(Default)]
struct Progress {
    heard: Mutex<BTreeMap<&'static str, u64>>,
    changed: Condvar,
}

impl Progress {
    fn note(&self, name: &'static str, heard: u64) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(name, heard);
        self.changed.notify_all();
    }

    /// Waits until everybody has heard what was published up to `number`; else says who has not.
    fn wait_for(&self, number: u64, deadline: Instant) -> Result<(), String> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        while heard.values().any(|heard| *heard < number) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("not everybody heard {number}: {heard:?}"));
            }
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

/// Holds one subscriber to the contract: the next number and no other.
struct Checker {
    name: &'static str,
    last: u64,
    progress: Arc<Progress>,
    faults: mpsc::Sender<String>,
}

impl Checker {
    fn heard(&mut self, data: &Value) -> Result<(), String> {
        if data["n"] != self.last + 1 {
            return Err(format!("heard {data}"));
        }
        self.last += 1;
        self.progress.note(self.name, self.last);
        Ok(())
    }

    /// No subscriber ends before the trial does, so this is a fault whatever the outcome.
    fn end(&self, outcome: Result<(), String>) {
        let why = outcome.err().unwrap_or_default();
        let _ = self.faults.send(format!("{} after {}: {why}", self.name, self.last)); // The trial may be over.
    }
}

/// The parts of one run.
struct Trial {
    server: Server,
    seed: u64,
    /// How many times each is cut off.
    cuts: u32,
    subscribers: Vec<Proxy>,
    progress: Arc<Progress>,
    faults: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Trial {
    /// Dead connections of cuts that the server does not see are found soon.
    fn new(setup: Setup, seed: u64, cuts: u32) -> Self {
        Self {
            server: setup.quick_pings().start(),
            seed,
            cuts,
            subscribers: Vec::new(),
            progress: Arc::default(),
            faults: mpsc::channel(),
        }
    }

    /// The address for one more subscriber, and who holds it to the contract.
    fn subscriber(&mut self, name: &'static str, cuts: u32, bytes: Range<usize>) -> (String, Checker) {
        let seed = self.seed * 100 + self.subscribers.len() as u64;
        let proxy = Proxy::that_cuts(self.server.address(), seed, cuts, bytes);
        let url = proxy.url();
        self.subscribers.push(proxy);
        self.progress.note(name, 0);
        let (progress, faults) = (Arc::clone(&self.progress), self.faults.0.clone());
        (url, Checker { name, last: 0, progress, faults })
    }

    /// Wharf's own client.
    fn wharf(&mut self, name: &'static str, transport: TransportKind) {
        let (url, mut checker) = self.subscriber(name, self.cuts, BYTES);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = runtime.expect("a runtime").block_on(listen(&url, transport, &mut checker));
            checker.end(outcome);
        });
    }

    /// npm `centrifuge`.
    fn sdk(&mut self, name: &'static str, transport: &str) {
        let (url, mut checker) = self.subscriber(name, self.cuts, BYTES);
        let options = json!({"subscription": {"since": {"offset": 0, "epoch": ""}}});
        let mut client = Javascript::start(transport, &url, CHANNEL, &options);
        thread::spawn(move || {
            let outcome = loop {
                let Some(event) = client.next() else { break Err("it says nothing more".to_owned()) };
                let outcome = match event["event"].as_str() {
                    Some("publication") => checker.heard(&event["data"]),
                    Some("subscribed") if event["wasRecovering"] == true && event["recovered"] == false => {
                        Err("the position is lost".to_owned())
                    }
                    Some("disconnected" | "unsubscribed") => Err(event.to_string()),
                    _ => Ok(()),
                };
                if outcome.is_err() {
                    break outcome;
                }
            };
            checker.end(outcome);
        });
    }

    /// npm `eventsource`, which comes back after three seconds each time. It knows its position from the moment on when its stream is open.
    fn event_source(&mut self, name: &'static str) {
        let (url, mut checker) = self.subscriber(name, self.cuts / 2, HEAD_OF_EVENTS..BYTES.end);
        let mut source = Javascript::run("event_source", &[&format!("{url}/events?channel={CHANNEL}")]);
        source.event("open");
        thread::spawn(move || {
            let outcome = loop {
                let Some(event) = source.next() else { break Err("it says nothing more".to_owned()) };
                let outcome = match event["event"].as_str() {
                    Some("message") => checker.heard(&event["data"]),
                    Some("wharf.reset") => Err("the position is lost".to_owned()),
                    _ => Ok(()),
                };
                if outcome.is_err() {
                    break outcome;
                }
            };
            checker.end(outcome);
        });
    }

    /// Publishes until every subscriber's connections have come to the end that the trial is about, and everybody
    /// has heard what followed.
    #[track_caller]
    fn run(&self, is_through: impl Fn(&Proxy) -> bool) {
        let deadline = Instant::now() + WITHIN;
        let mut published = 0;
        let mut last = u64::MAX;
        while published < last {
            self.progress
                .wait_for((published + 1).saturating_sub(AHEAD), deadline)
                .unwrap_or_else(|late| self.fail(&late));
            published += 1;
            let position = self.server.api("publish", &json!({"channel": CHANNEL, "data": {"n": published}}));
            assert_eq!(position["offset"], published, "acknowledged with another offset: {position}");
            if let Ok(fault) = self.faults.1.try_recv() {
                self.fail(&fault);
            }
            if last == u64::MAX && self.subscribers.iter().all(&is_through) {
                last = published + AFTERWARDS;
            }
        }
        self.progress.wait_for(last, deadline).unwrap_or_else(|late| self.fail(&late));
        println!("{} clients, up to {} cuts each, {last} publications", self.subscribers.len(), self.cuts);
    }

    fn fail(&self, what: &str) -> ! {
        let left: Vec<_> = self.subscribers.iter().map(|proxy| proxy.cuts_left()).collect();
        let faults: Vec<_> = self.faults.1.try_iter().collect();
        panic!("seed {}: {what}; {faults:?}; cuts left: {left:?}", self.seed);
    }
}

/// Tells the checker what Wharf's own client hears.
async fn listen(url: &str, transport: TransportKind, checker: &mut Checker) -> Result<(), String> {
    let since = Some(Position { offset: 0, epoch: String::new() });
    let mut failed = Vec::new();
    let mut client = loop {
        if failed.len() > CUTS as usize {
            return Err(failed.join("; "));
        }
        let client = Client::to(url.parse().map_err(|error| format!("{error}"))?).transport(transport);
        let options = SubscribeOptions { since: since.clone(), ..SubscribeOptions::default() };
        // An error of the first connection is the caller's; here it is only one of the cuts.
        match client.subscribe(CHANNEL, options).start().await {
            Ok(client) => break client,
            Err(error) => failed.push(error.to_string()),
        }
    };
    while let Some(event) = client.next_event().await {
        match event {
            Event::Publication { publication, .. } => {
                let data = publication.data.ok_or("a publication without data")?;
                checker.heard(&serde_json::from_str(data.get()).map_err(|error| error.to_string())?)?;
            }
            Event::Subscribed { was_recovering: true, recovered: false, .. } => {
                return Err("the position is lost".to_owned());
            }
            Event::Unsubscribed { code, reason, .. } => return Err(format!("unsubscribed: {code} {reason}")),
            Event::Disconnected { ending } if !ending.reconnects => return Err(ending.to_string()),
            _ => {}
        }
    }
    Err("it ended".to_owned())
}

#[test]
fn clients_that_are_cut_off_on_any_transport_miss_nothing_and_hear_nothing_twice() {
    let seed = std::env::var("WHARF_TEST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut trial = Trial::new(Setup::new(), seed, CUTS);
    for (name, transport) in [
        ("wharf websocket", TransportKind::Websocket),
        ("wharf tcp", TransportKind::Lines),
        ("wharf http-stream", TransportKind::HttpStream),
        ("wharf sse", TransportKind::Sse),
        ("wharf long-poll", TransportKind::LongPoll),
        ("wharf short-poll", TransportKind::ShortPoll),
    ] {
        trial.wharf(name, transport);
    }
    for (name, transport) in
        [("sdk websocket", "websocket"), ("sdk http_stream", "http_stream"), ("sdk sse", "sse")]
    {
        trial.sdk(name, transport);
    }
    trial.event_source("event source");
    trial.run(|proxy| proxy.cuts_left() == 0);
}

#[test]
fn streams_that_the_server_ends_for_their_age_lose_nothing() {
    let mut trial = Trial::new(Setup::new().variable("WHARF_TIMES__STREAM_MAX_AGE", "1s"), 0, 0);
    trial.wharf("wharf http-stream", TransportKind::HttpStream);
    trial.wharf("wharf sse", TransportKind::Sse);
    trial.sdk("sdk http_stream", "http_stream");
    trial.sdk("sdk sse", "sse");
    trial.event_source("event source");
    trial.run(|proxy| proxy.connections() >= ENDED_AND_BACK);
}
