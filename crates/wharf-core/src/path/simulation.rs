//! Clients behind something that forgets, and what becomes of them with the intervals that are found.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Bounds, PathTable};
use crate::time::Millis;

const HOUR_MS: u64 = 3_600_000;

/// One client, as its connection stands.
#[derive(Debug, Clone, Copy, Default)]
struct Client {
    interval_ms: u64,
    survived_ms: u64,
    since: u64,
    told: u64,
}

/// Clients behind a NAT with a limit; a share of their pings meets accidents instead of a NAT.
struct World {
    table: PathTable<u8>,
    rng: StdRng,
    limit_ms: u64,
    accidents: f64,
    clients: Vec<Client>,
    turns: BinaryHeap<Reverse<(u64, usize)>>,
    usual_ms: u64,
}

/// What happened in a time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    pings: u64,
    /// Connections that the NAT killed.
    kills: u64,
}

impl World {
    fn new(clients: usize, bounds: Bounds, limit_ms: u64, accidents: f64, seed: u64) -> Self {
        let mut world = Self {
            table: PathTable::new(bounds),
            rng: StdRng::seed_from_u64(seed),
            limit_ms,
            accidents,
            clients: vec![Client::default(); clients],
            turns: BinaryHeap::new(),
            usual_ms: bounds.usual_ms.into(),
        };
        (0..clients).for_each(|client| world.connect(client, 0));
        world
    }

    /// The client connects a little after `now`; its first ping comes in the interval's second half.
    fn connect(&mut self, client: usize, now: u64) {
        let at = now + self.rng.random_range(500..5_000);
        let interval_ms = self.table.interval_ms(0, Millis(at)).map_or(self.usual_ms, u64::from);
        self.clients[client] = Client { interval_ms, since: at, ..Client::default() };
        self.turns.push(Reverse((at + self.rng.random_range(interval_ms / 2..=interval_ms), client)));
    }

    fn run_until(&mut self, end: u64) -> Tally {
        let mut tally = Tally::default();
        while let Some(&Reverse((now, number))) = self.turns.peek().filter(|turn| turn.0.0 < end) {
            self.turns.pop();
            tally.pings += 1;
            let client = self.clients[number];
            let silence = now - client.since;
            let forgotten = silence > self.limit_ms;
            if forgotten || self.rng.random_bool(self.accidents) {
                tally.kills += u64::from(forgotten);
                // As the verdict has it: a silence that was survived before is no reason.
                if silence > client.survived_ms * 9 / 8 {
                    self.table.handle_killed(0, silence, Millis(now));
                }
                self.connect(number, now);
                continue;
            }
            let client = &mut self.clients[number];
            client.survived_ms = client.survived_ms.max(silence);
            if silence > client.told * 9 / 8 + 1_000 {
                client.told = silence;
                self.table.handle_survived(0, silence, Millis(now));
            }
            client.since = now;
            // Connections live for hours, and then somebody closes a page.
            if self.rng.random_bool(0.002) {
                self.connect(number, now);
            } else {
                let jitter = self.rng.random_range(0..=client.interval_ms / 100);
                self.turns.push(Reverse((now + client.interval_ms + jitter, number)));
            }
        }
        tally
    }

    fn interval_ms(&self) -> u64 {
        self.table.estimates().next().map_or(self.usual_ms, |(_, estimate)| estimate.interval_ms.into())
    }
}

const USUAL: Bounds = Bounds { usual_ms: 25_000, shortest_ms: 2_000, longest_ms: 25_000 };

#[test]
fn behind_a_nat_of_5_seconds_the_killing_ends_within_minutes() {
    for seed in 0..10 {
        let mut world = World::new(50, USUAL, 5_000, 0.001, seed);
        let first = world.run_until(4 * 60_000);
        assert!(first.kills > 0, "{first:?}");
        let interval = world.interval_ms();
        assert!((2_000..5_000).contains(&interval), "seed {seed}: {interval}");
        let rest = world.run_until(HOUR_MS);
        assert_eq!(rest.kills, 0, "seed {seed}: {rest:?}");
    }
}

#[test]
fn a_nat_that_forgets_later_than_pings_come_changes_nothing() {
    for limit_ms in [30_000, 60_000, 350_000] {
        for seed in 0..3 {
            // One ping in a hundred meets an accident.
            let mut world = World::new(20, USUAL, limit_ms, 0.01, seed);
            let tally = world.run_until(24 * HOUR_MS);
            assert_eq!((tally.kills, world.interval_ms()), (0, 25_000), "limit {limit_ms}, seed {seed}");
        }
    }
}

/// Where longer intervals are allowed they are tried, and what kills is found and not tried often.
#[test]
fn a_longer_limit_is_found_and_rarely_overstepped() {
    let bounds = Bounds { longest_ms: 600_000, ..USUAL };
    for limit_ms in [30_000, 60_000, 350_000] {
        for seed in 0..2 {
            let mut world = World::new(20, bounds, limit_ms, 0.0005, seed);
            world.run_until(10 * 24 * HOUR_MS);
            let interval = world.interval_ms();
            assert!(
                interval > limit_ms / 3 && interval < limit_ms * 13 / 10,
                "{limit_ms}, {seed}: {interval}"
            );
            let days = world.run_until(15 * 24 * HOUR_MS);
            let a_client_a_day = days.kills as f64 / 20.0 / 5.0;
            assert!(a_client_a_day < 0.5, "limit {limit_ms}, seed {seed}: {days:?} {a_client_a_day}");
        }
    }
}

#[test]
fn a_nat_that_is_gone_is_forgotten_slowly() {
    let mut world = World::new(10, USUAL, 5_000, 0.001, 7);
    world.run_until(HOUR_MS);
    assert!(world.interval_ms() < 5_000);
    world.limit_ms = u64::MAX;
    world.run_until(3 * HOUR_MS);
    assert!(world.interval_ms() < 10_000, "slowly");
    world.run_until(20 * 24 * HOUR_MS);
    assert_eq!(world.interval_ms(), 25_000);
}
