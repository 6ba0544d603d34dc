use std::{
    sync::{Arc, Mutex},
    thread,
};

use rand::{SeedableRng, rngs::StdRng};
use wharf_proto::message::Data;

use super::*;
use crate::{
    broker::{BrokerSink, Engine, IDEMPOTENCY_MS},
    hub::{
        broadcast::SharedBroadcast,
        directory::{Directory, Inbox, InboxFull},
    },
    testing::{clock::SimulatedClock, contract::Subject, sink::RecordingSink},
};

/// The memory engine on simulated time.
#[derive(Default)]
struct Memory(SimulatedClock);

impl Subject for Memory {
    fn start(&self, sink: Arc<dyn BrokerSink>) -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::new(sink, MemoryLimits::default()))
    }

    fn now(&self) -> Millis {
        self.0.now()
    }

    fn pass_ms(&self, ms: u64) {
        self.0.advance_ms(ms);
    }
}

crate::engine_contract!(contract, Memory::default());

// ---- Bounds, and what is given back --------------------------------------------------------------------------

const KEEPS: HistoryPolicy = HistoryPolicy { size: 10, ttl_ms: 60_000, meta_ttl_ms: 600_000 };
const KEEPS_NOTHING: HistoryPolicy = HistoryPolicy { size: 0, ttl_ms: 0, meta_ttl_ms: 0 };

/// An engine with its clock, its randomness and a sink.
struct Fixture {
    engine: MemoryEngine,
    sink: Arc<RecordingSink>,
    clock: SimulatedClock,
    rng: StdRng,
}

impl Fixture {
    fn new(limits: MemoryLimits) -> Self {
        let sink = RecordingSink::new();
        let engine = MemoryEngine::new(sink.clone(), limits);
        Self { engine, sink, clock: SimulatedClock::default(), rng: StdRng::seed_from_u64(1) }
    }

    fn publish(
        &mut self,
        name: &str,
        key: Option<&str>,
        bytes: usize,
        history: HistoryPolicy,
    ) -> Result<Published, BrokerError> {
        let data = Data::Binary(vec![b'1'; bytes].into());
        let idempotency_key = key.map(Into::into);
        let request = PublishRequest { data, info: None, tags: None, idempotency_key, history };
        let mut context = Context { now: self.clock.now(), rng: &mut self.rng };
        ready(self.engine.publish(&channel(name), request, &mut context))
    }

    fn history(&mut self, name: &str, policy: HistoryPolicy) -> Result<HistoryPage, BrokerError> {
        let filter = HistoryFilter { limit: usize::MAX, since_offset: None, reverse: false };
        let mut context = Context { now: self.clock.now(), rng: &mut self.rng };
        ready(self.engine.history(&channel(name), filter, policy, &mut context))
    }

    fn renew(&self, name: &str, client: u128, lease_ms: u64) -> Result<(), BrokerError> {
        let info =
            ClientInfo { user: "u".into(), client: ClientId(client), conn_info: None, chan_info: None };
        ready(self.engine.renew(&channel(name), &Arc::new(info), lease_ms, self.clock.now()))
    }

    fn present(&self, name: &str) -> usize {
        ready(self.engine.presence(&channel(name), self.clock.now())).unwrap().len()
    }

    /// Calls `expire` as often as it takes to come round.
    fn expire_all(&self) {
        for _ in 0..100 {
            self.engine.expire(self.clock.now());
        }
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn ready<T>(pending: Pending<T>) -> T {
    match pending {
        Pending::Ready(outcome) => outcome,
        Pending::Later(_) => panic!("the memory engine answers at once"),
    }
}

fn full<T: std::fmt::Debug>(outcome: Result<T, BrokerError>) -> &'static str {
    match outcome {
        Err(BrokerError::Full { limit }) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refuses_one_channel_over_the_bound_and_serves_those_it_has() {
    let mut fixture = Fixture::new(MemoryLimits { channels: 2, ..MemoryLimits::default() });
    fixture.publish("kept", None, 1, KEEPS).unwrap();
    fixture.renew("present", 1, 1_000).unwrap();
    assert_eq!(full(fixture.publish("other", None, 1, KEEPS)), "channels");
    assert_eq!(full(fixture.history("other", KEEPS)), "channels");
    assert_eq!(full(fixture.renew("other", 1, 1_000)), "channels");
    assert_eq!(fixture.sink.heard(&channel("other")), [], "what was refused was not handed over");
    assert_eq!(fixture.publish("kept", None, 1, KEEPS).unwrap().position.unwrap().offset, 2);
    fixture.publish("passing", None, 1, KEEPS_NOTHING).unwrap();
    fixture.clock.advance_ms(1_000);
    fixture.expire_all();
    fixture.publish("other", None, 1, KEEPS).unwrap();
}

#[test]
fn a_channel_that_only_passes_on_takes_no_memory() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    fixture.publish("passing", None, 1, KEEPS_NOTHING).unwrap();
    assert_eq!(fixture.present("passing"), 0);
    assert_eq!(fixture.engine.usage(), Usage::default());
}

#[test]
fn keeps_no_more_than_the_engine_allows_whatever_the_policy() {
    let mut fixture = Fixture::new(MemoryLimits { history_size: 3, ..MemoryLimits::default() });
    for _ in 0..5 {
        fixture.publish("kept", None, 1, KEEPS).unwrap();
    }
    assert_eq!(fixture.history("kept", KEEPS).unwrap().publications.len(), 3);
}

#[test]
fn refuses_what_would_pass_the_bytes_of_all_histories() {
    let mut fixture = Fixture::new(MemoryLimits { history_bytes: 10_000, ..MemoryLimits::default() });
    let three = HistoryPolicy { size: 3, ..KEEPS };
    for _ in 0..3 {
        fixture.publish("large", None, 2_500, three).unwrap();
    }
    assert_eq!(full(fixture.publish("other", None, 2_500, three)), "history_bytes");
    assert_eq!(fixture.history("other", three).unwrap().position.offset, 0, "no offset was spent");
    assert_eq!(fixture.sink.heard(&channel("other")), []);
    // One that replaces another of its channel fits.
    assert_eq!(fixture.publish("large", None, 2_500, three).unwrap().position.unwrap().offset, 4);
    assert!((7_500..10_000).contains(&fixture.engine.usage().history_bytes));
    ready(fixture.engine.history_remove(&channel("large"))).unwrap();
    assert_eq!(fixture.engine.usage().history_bytes, 0);
    fixture.publish("other", None, 2_500, three).unwrap();
}

// Row 95.
#[test]
fn a_key_is_forgotten_after_its_time_and_not_before() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    fixture.publish("orders", Some("key"), 1, KEEPS).unwrap();
    fixture.clock.advance_ms(IDEMPOTENCY_MS - 1);
    assert!(fixture.publish("orders", Some("key"), 1, KEEPS).unwrap().duplicate);
    fixture.clock.advance_ms(1);
    assert!(!fixture.publish("orders", Some("key"), 1, KEEPS).unwrap().duplicate);
    assert!(fixture.publish("orders", Some("key"), 1, KEEPS).unwrap().duplicate);
}

#[test]
fn over_the_bound_a_channel_forgets_its_oldest_key() {
    let mut fixture =
        Fixture::new(MemoryLimits { idempotency_keys_per_channel: 2, ..MemoryLimits::default() });
    for key in ["first", "second", "third"] {
        assert!(!fixture.publish("orders", Some(key), 1, KEEPS).unwrap().duplicate);
    }
    assert_eq!(fixture.engine.usage().idempotency_keys, 2);
    assert!(fixture.publish("orders", Some("second"), 1, KEEPS).unwrap().duplicate);
    assert!(!fixture.publish("orders", Some("first"), 1, KEEPS).unwrap().duplicate);
}

#[test]
fn refuses_keys_over_the_bound_of_all_channels_and_forgets_none_of_another() {
    let limits =
        MemoryLimits { idempotency_keys: 2, idempotency_keys_per_channel: 2, ..MemoryLimits::default() };
    let mut fixture = Fixture::new(limits);
    for key in ["first", "second"] {
        fixture.publish("orders", Some(key), 1, KEEPS_NOTHING).unwrap();
    }
    assert_eq!(full(fixture.publish("other", Some("third"), 1, KEEPS)), "idempotency_keys");
    assert_eq!(fixture.sink.heard(&channel("other")), []);
    fixture.publish("other", None, 1, KEEPS).unwrap();
    fixture.publish("orders", Some("third"), 1, KEEPS_NOTHING).unwrap();
    fixture.clock.advance_ms(IDEMPOTENCY_MS);
    fixture.expire_all();
    fixture.publish("other", Some("third"), 1, KEEPS).unwrap();
}

#[test]
fn refuses_a_key_that_is_too_long() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    let key = "k".repeat(IDEMPOTENCY_KEY_BYTES + 1);
    assert_eq!(full(fixture.publish("orders", Some(&key), 1, KEEPS)), "idempotency_key_bytes");
    assert_eq!(fixture.sink.heard(&channel("orders")), []);
    fixture.publish("orders", Some(&key[1..]), 1, KEEPS).unwrap();
}

#[test]
fn refuses_one_present_over_the_bound_and_renews_those_it_has() {
    let fixture = Fixture::new(MemoryLimits { presence_entries: 2, ..MemoryLimits::default() });
    fixture.renew("lobby", 1, 1_000).unwrap();
    fixture.renew("lobby", 2, 2_000).unwrap();
    assert_eq!(full(fixture.renew("lobby", 3, 1_000)), "presence_entries");
    fixture.renew("lobby", 2, 2_000).unwrap();
    fixture.clock.advance_ms(1_000);
    fixture.renew("lobby", 3, 1_000).expect("a lease that ran out leaves its place");
    assert_eq!(fixture.present("lobby"), 2);
}

#[test]
fn gives_everything_back_when_it_has_run_out() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    for number in 0..5_000 {
        let name = format!("channel-{number}");
        fixture.publish(&name, Some("key"), 1, KEEPS).unwrap();
        fixture.renew(&name, number, 1_000).unwrap();
    }
    assert_eq!(fixture.engine.usage().channels, 5_000);
    fixture.clock.advance_ms(KEEPS.meta_ttl_ms - 1);
    fixture.expire_all();
    assert_eq!(fixture.engine.usage(), Usage { channels: 5_000, history_bytes: 0, idempotency_keys: 0 });
    fixture.clock.advance_ms(1);
    fixture.expire_all();
    assert_eq!(fixture.engine.usage(), Usage::default());
}

#[test]
fn the_last_to_leave_takes_the_channel_along() {
    let fixture = Fixture::new(MemoryLimits::default());
    fixture.renew("lobby", 1, 1_000).unwrap();
    fixture.renew("lobby", 2, 1_000).unwrap();
    for client in [1, 2] {
        ready(fixture.engine.remove(&channel("lobby"), ClientId(client))).unwrap();
    }
    assert_eq!(fixture.engine.usage(), Usage::default());
}

#[test]
fn expiry_takes_only_what_has_run_out() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    fixture.renew("lobby", 1, 1_000).unwrap();
    fixture.renew("lobby", 2, 3_000).unwrap();
    fixture.publish("lobby", Some("key"), 1, KEEPS).unwrap();
    fixture.clock.advance_ms(1_000);
    fixture.renew("lobby", 3, 500).unwrap();
    fixture.expire_all();
    assert_eq!(fixture.present("lobby"), 2);
    assert_eq!(fixture.history("lobby", KEEPS).unwrap().publications.len(), 1);
    assert!(fixture.publish("lobby", Some("key"), 1, KEEPS).unwrap().duplicate);
    fixture.clock.advance_ms(500);
    fixture.expire_all();
    assert_eq!(fixture.present("lobby"), 1);
}

#[test]
fn a_lease_that_outlives_one_round_goes_in_a_later_one() {
    let fixture = Fixture::new(MemoryLimits::default());
    fixture.renew("lobby", 1, 1_000).unwrap();
    fixture.renew("lobby", 2, 3_000).unwrap();
    for expected in [1, 0] {
        fixture.clock.advance_ms(1_500);
        fixture.expire_all();
        assert_eq!(fixture.engine.usage().channels, expected);
    }
}

#[test]
fn one_call_of_expire_looks_at_a_bounded_part() {
    let fixture = Fixture::new(MemoryLimits::default());
    let count = 4 * EXPIRE_WORK as u128 * 64;
    for number in 0..count {
        fixture.renew(&format!("channel-{number}"), number, 1_000).unwrap();
    }
    fixture.clock.advance_ms(1_000);
    fixture.engine.expire(fixture.clock.now());
    let gone = count as usize - fixture.engine.usage().channels;
    assert!((1..=EXPIRE_WORK * 64).contains(&gone), "{gone} channels went in one call");
}

// Row 106.
#[test]
fn a_moment_that_lies_before_another_call_s_expires_nothing() {
    let mut fixture = Fixture::new(MemoryLimits::default());
    let position = fixture.publish("kept", None, 1, KEEPS).unwrap().position.unwrap();
    let earlier = SimulatedClock::new(Millis(0));
    fixture.clock = earlier;
    fixture.expire_all();
    assert_eq!(fixture.history("kept", KEEPS).unwrap().position, position);
}

/// Tells the directory's tale with the engine: publishers on several threads while workers subscribe, and what
/// each worker's inbox gets is a run of offsets without a hole.
#[test]
fn each_worker_s_inbox_gets_a_run_of_offsets_without_a_hole() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 500;
    let inboxes = [Arc::new(Offsets::default()), Arc::new(Offsets::default())];
    let directory = Arc::new(Directory::new(inboxes.iter().map(|inbox| inbox.clone() as _).collect()));
    let engine = MemoryEngine::new(directory.clone(), MemoryLimits::default());
    let news = channel("news");
    directory.subscribe(&news, 0);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (engine, directory, news) = (&engine, &directory, &news);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(publisher as u64);
                for number in 0..EACH {
                    if publisher == 0 && number == EACH / 2 {
                        directory.subscribe(news, 1);
                    }
                    let data = Data::Json("1".into());
                    let history = KEEPS;
                    let request =
                        PublishRequest { data, info: None, tags: None, idempotency_key: None, history };
                    let mut context = Context { now: Millis(1), rng: &mut rng };
                    ready(engine.publish(news, request, &mut context)).unwrap();
                }
            });
        }
    });
    let [early, late] = inboxes.each_ref().map(|inbox| inbox.0.lock().unwrap().clone());
    assert_eq!(early, (1..=(PUBLISHERS * EACH) as u64).collect::<Vec<_>>());
    assert!(!late.is_empty() && early.ends_with(&late));
}

#[derive(Default)]
struct Offsets(Mutex<Vec<u64>>);

impl Inbox for Offsets {
    fn try_push(&self, broadcast: &Arc<SharedBroadcast>) -> Result<(), InboxFull> {
        self.0.lock().unwrap().push(broadcast.position().unwrap().offset);
        Ok(())
    }

    fn mark_lost(&self, _: &Channel) {
        panic!("this inbox has no bound");
    }
}
