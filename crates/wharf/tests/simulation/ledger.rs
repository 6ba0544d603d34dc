//! What becomes of connections, as the ledger has it.

use std::{collections::BTreeMap, sync::Arc};

use rand::RngExt;
use tokio::sync::oneshot;
use wharf::{
    ledger::{ENDS_KEPT, Ended, Ledger, Verdict},
    settings::Settings,
    worker::{
        PollRequest, Selector, ToWorker,
        listing::{Filter, ListConnections, Order, WALKED_A_PAGE},
    },
};
use wharf_core::testing::link::{End, LinkOptions};
use wharf_proto::Disconnect;

use super::{
    client::{Client, WAYS, Way},
    recovery::run,
    world::{Machine, Shape},
};

fn all(ledger: &Ledger) -> impl Iterator<Item = &Ended> {
    ledger.newest_before(u64::MAX).map(|(_, ended)| ended)
}

fn end_all(machine: &Machine, disconnect: Disconnect) {
    for worker in 0..2 {
        let (selector, disconnect) = (Arc::new(Selector::default()), disconnect.clone());
        machine.send(worker, ToWorker::Disconnect { selector, disconnect });
    }
}

/// A poll that begins a session, or is refused one, and then is not heard of again.
fn poll_once(machine: &mut Machine, body: &'static str) {
    let (answer, _) = oneshot::channel();
    let request = PollRequest { session: None, ack: None, body: body.into(), wait_ms: 0, answer };
    machine.attached += 1;
    machine.send(0, ToWorker::Poll(request));
}

/// Something happens to a client.
fn trouble(machine: &mut Machine, client: &mut Client) {
    let Some(link) = client.link() else { return };
    match machine.rng.random_range(0..9) {
        0 => link.cut(),
        1 => link.reset(),
        2 => client.hang_up(),
        3 => client.finish(),
        4 => client.mute = true,
        5 => client.stuck = true,
        6 => client.send_bytes(b"\xff\xff no protocol at all\n"),
        7 => end_all(machine, Disconnect::FORCE_RECONNECT),
        _ => poll_once(machine, "{\"id\":1,\"connect\":{}}\n"),
    }
}

/// Random lives and deaths. Returns the verdicts, counted.
fn history(seed: u64) -> BTreeMap<Verdict, usize> {
    let mut settings = Settings::development();
    settings.limits.outbox_bytes = 4_000;
    let mut machine = Machine::plain(seed, settings);
    let mut strangers: Vec<End> = Vec::new();
    for _ in 0..20 {
        let mut clients: Vec<Client> =
            WAYS.iter().map(|way| Client::new(*way, 0).with_capacity(300)).collect();
        for _ in 0..machine.rng.random_range(1..60) {
            clients.iter_mut().for_each(|client| client.step(&mut machine));
            machine.step();
            machine.publish("news", "1".repeat(18));
            if machine.rng.random_bool(0.2) {
                let chosen = machine.rng.random_range(0..clients.len());
                trouble(&mut machine, &mut clients[chosen]);
            }
            if machine.rng.random_bool(0.05) {
                let max_age_ms = Some(machine.rng.random_range(0..20_000));
                let shape = Shape { max_age_ms, ..Shape::lines() };
                strangers.push(machine.dial(1, LinkOptions::default(), shape).0);
            }
        }
        if machine.rng.random_bool(0.5) {
            clients.iter_mut().for_each(|client| client.returns = false);
            run(&mut machine, &mut clients, 4_000);
        }
    }
    poll_once(&mut machine, "no command");
    let drained = Client::new(Way::Websocket, 0);
    run(&mut machine, &mut [drained], 20);
    for worker in 0..2 {
        machine.send(worker, ToWorker::Drain { within_ms: 1_000 });
    }
    machine.pass_ms(20_000);
    assert_eq!((machine.connections(), machine.open_sockets()), (0, 0));
    let ledgers = [machine.ledger(0), machine.ledger(1)];
    let booked: u64 = ledgers.iter().map(|ledger| ledger.booked()).sum();
    assert_eq!(booked, machine.attached, "each connection is booked once, seed {seed}");
    for ledger in ledgers {
        assert_eq!(all(ledger).count() as u64, ledger.booked().min(ENDS_KEPT as u64));
    }
    let metrics: u64 = machine.node.metrics.ended().map(|(_, _, count)| count).sum();
    assert_eq!(metrics, booked);
    let mut verdicts = BTreeMap::new();
    ledgers.into_iter().flat_map(all).for_each(|ended| *verdicts.entry(ended.verdict).or_insert(0) += 1);
    verdicts
}

#[test]
fn whatever_happens_each_connection_that_ended_is_booked_exactly_once() {
    let mut seen = BTreeMap::new();
    for seed in 0..6 {
        for (verdict, count) in history(seed) {
            *seen.entry(verdict).or_insert(0) += count;
        }
    }
    // The histories were of many kinds.
    for verdict in [
        Verdict::ClosedByPeer,
        Verdict::Reset,
        Verdict::MissedHeartbeat,
        Verdict::Slow,
        Verdict::Drained,
        Verdict::Kicked,
        Verdict::ProtocolError,
        Verdict::Stale,
        Verdict::ResponseEnded,
        Verdict::Unasked,
    ] {
        assert!(seen.contains_key(&verdict), "{verdict:?} of {seen:?}");
    }
}

/// A client that is settled, and its end after `doing` something to it.
fn end_of(seed: u64, way: Way, quiet_ms: u64, doing: impl FnOnce(&mut Client)) -> Ended {
    let mut machine = Machine::plain(seed, Settings::development());
    let mut clients = [Client::new(way, 0)];
    run(&mut machine, &mut clients, 50);
    clients[0].returns = false;
    run(&mut machine, &mut clients, (quiet_ms / super::world::STEP_MS) as usize);
    doing(&mut clients[0]);
    run(&mut machine, &mut clients, 6_000);
    let ends: Vec<Ended> = (0..2).flat_map(|worker| all(machine.ledger(worker))).cloned().collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends.into_iter().next().unwrap()
}

// Row 44.
#[test]
fn a_cut_is_blackholed_once_pings_were_answered_and_an_idle_kill_at_the_first() {
    let late = end_of(1, Way::Websocket, 90_000, |client| client.link().unwrap().cut());
    assert_eq!((late.verdict, late.code), (Verdict::Blackholed, 3012));
    assert!(late.survived_ms.abs_diff(25_000) < 500 && late.quiet_ms.abs_diff(25_000) < 500, "{late:?}");
    assert_eq!(late.origin.network.unwrap().to_string(), "10.0.0.0/24");
    assert!((100_000..150_000).contains(&late.age_ms()), "{late:?}");
    // Its first silence: nobody can tell a NAT that forgot from a peer that lost power.
    let early = end_of(1, Way::Websocket, 1_000, |client| client.link().unwrap().cut());
    assert_eq!((early.verdict, early.code), (Verdict::IdleKill, 3012));
    assert!((12_000..26_000).contains(&early.quiet_ms) && early.survived_ms < 1_500, "{early:?}");
}

#[test]
fn who_answers_no_pings_although_its_kernel_does_has_missed_a_heartbeat() {
    let ended = end_of(2, Way::Lines, 1_000, |client| client.mute = true);
    assert_eq!((ended.verdict, ended.code), (Verdict::MissedHeartbeat, 3012));
    assert_eq!(ended.kind, "tcp");
    assert!(ended.messages_in >= 1 && ended.messages_out >= 3, "replies, and a ping: {ended:?}");
}

#[test]
fn a_reset_in_the_midst_is_a_reset_and_a_close_is_the_peers() {
    let reset = end_of(3, Way::Websocket, 1_000, |client| client.link().unwrap().reset());
    assert_eq!((reset.verdict, reset.quiet_ms), (Verdict::Reset, 0));
    let gone = end_of(4, Way::Websocket, 1_000, Client::hang_up);
    assert_eq!((gone.verdict, &*gone.reason), (Verdict::ClosedByPeer, "without a farewell"));
}

#[test]
fn a_page_looks_at_a_bounded_number_of_connections_however_many_there_are() {
    let mut machine = Machine::plain(5, Settings::development());
    let count = WALKED_A_PAGE + 500;
    let _ends: Vec<_> = (0..count).map(|_| machine.dial(0, LinkOptions::default(), Shape::lines())).collect();
    machine.steps(3);
    let (mut from, mut seen, mut pages) = (Some(0), 0, 0);
    while let Some(entry) = from {
        let (answer, mut page) = oneshot::channel();
        let (filter, order) = (Arc::new(Filter::default()), Order::Oldest);
        let question =
            ListConnections { filter, order, from: entry, limit: 10_000, better_than: None, answer };
        machine.send(0, ToWorker::ListConnections(question));
        machine.steps(2);
        let page = page.try_recv().expect("a page a tick");
        assert!(page.rows.len() <= WALKED_A_PAGE);
        (from, seen, pages) = (page.next, seen + page.rows.len(), pages + 1);
    }
    assert_eq!((seen, pages), (count, 2));
}

/// Clients behind something that forgets after 5 seconds, for six minutes. How many were killed in the last two, and the
/// interval that was found.
fn behind_a_nat(seed: u64, enabled: bool) -> (usize, Option<u32>) {
    let mut settings = Settings::development();
    settings.paths.enabled = enabled;
    let mut machine = Machine::plain(seed, settings);
    machine.forget_after_ms(5_000);
    let mut clients: Vec<Client> = (0..8).map(|number| Client::new(WAYS[number % WAYS.len()], 0)).collect();
    let kills = |machine: &Machine| {
        let ends = (0..2).flat_map(|worker| all(machine.ledger(worker)));
        ends.filter(|ended| ended.verdict == Verdict::IdleKill).count()
    };
    run(&mut machine, &mut clients, 240_000 / super::world::STEP_MS as usize);
    let before = kills(&machine);
    assert!(before > 0);
    run(&mut machine, &mut clients, 120_000 / super::world::STEP_MS as usize);
    let estimates = machine.node.paths.as_ref().map(|paths| paths.estimates()).unwrap_or_default();
    (kills(&machine) - before, estimates.first().map(|(_, estimate)| estimate.interval_ms))
}

// Row 45.
#[test]
fn a_nat_that_forgets_after_5_seconds_kills_nobody_any_more_once_that_is_found() {
    let (kills, interval) = behind_a_nat(6, true);
    assert!(kills == 0 && interval.unwrap() < 5_000, "{kills} {interval:?}");
    let (kills, interval) = behind_a_nat(6, false);
    assert!(kills > 8 && interval.is_none(), "switched off: {kills} {interval:?}");
}

#[test]
fn whoever_answers_pings_by_other_requests_was_heard_with_its_last_pong() {
    let mut machine = Machine::plain(1, Settings::development());
    let mut clients: Vec<Client> =
        [Way::HttpStream, Way::Sse].map(|way| Client::new(way, 0)).into_iter().collect();
    run(&mut machine, &mut clients, 9_000);
    let (answer, mut page) = oneshot::channel();
    let (filter, order) = (Arc::new(Filter::default()), Order::Silent);
    let question = ListConnections { filter, order, from: 0, limit: 10, better_than: None, answer };
    machine.send(0, ToWorker::ListConnections(question));
    machine.steps(2);
    let rows = page.try_recv().unwrap().rows;
    assert_eq!(rows.len(), 2);
    for (_, row) in &rows {
        assert!(row.age_ms > 89_000 && row.heard_ms <= 25_100, "{row:?}");
    }
}
