//! Our own end stands still: the whole process, or one of its threads. Nobody dies of that who is alive.

use rand::RngExt;
use tokio::sync::oneshot;
use wharf::{
    settings::Settings,
    worker::{PollAnswer, PollRequest, SessionKey, ToWorker},
};

use super::{
    client::{CHANNEL, Client, WAYS, Way},
    recovery::run,
    world::{Machine, STEP_MS},
};

fn machine(seed: u64) -> Machine {
    Machine::plain(seed, Settings::development())
}

fn settled(machine: &mut Machine, clients: impl Iterator<Item = Client>) -> Vec<Client> {
    let mut clients: Vec<Client> = clients.collect();
    run(machine, &mut clients, 100);
    clients.iter_mut().for_each(|client| client.returns = false);
    assert_eq!(machine.present(CHANNEL), clients.len());
    clients
}

/// A poller: it asks, and keeps its place by asking again.
struct Poller {
    session: Option<SessionKey>,
    waits: Option<oneshot::Receiver<PollAnswer>>,
}

impl Poller {
    fn ask(&mut self, machine: &Machine, body: &str) {
        let (answer, waits) = oneshot::channel();
        let body = body.to_owned().into();
        let request = PollRequest { session: self.session, ack: None, body, wait_ms: 0, answer };
        machine.send(0, ToWorker::Poll(request));
        self.waits = Some(waits);
    }

    fn hear(&mut self) {
        let Ok(answer) = self.waits.as_mut().expect("it has asked").try_recv() else { return };
        match answer {
            PollAnswer::Lines { session, .. } => self.session = Some(session),
            other => panic!("{other:?}"),
        }
    }
}

// Row 51.
#[test]
fn a_process_that_was_stopped_finds_everybody_alive_and_present() {
    for seed in 0..10 {
        let mut machine = machine(seed);
        let mut poller = Poller { session: None, waits: None };
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{CHANNEL}"}}}}"#);
        poller.ask(&machine, &format!("{{\"id\":1,\"connect\":{{}}}}\n{subscribe}"));
        machine.steps(3);
        poller.hear();
        let mut clients: Vec<Client> =
            (0..20).map(|number| Client::new(WAYS[number % WAYS.len()], number % 2)).collect();
        run(&mut machine, &mut clients, 100);
        clients.iter_mut().for_each(|client| client.returns = false);
        assert_eq!(machine.present(CHANNEL), 21);
        for _ in 0..20 {
            let between = machine.rng.random_range(1..900);
            run(&mut machine, &mut clients, between);
            // The clients hear what was said to them and answer; nobody reads it.
            clients.iter_mut().for_each(|client| client.step(&mut machine));
            let ms = machine.rng.random_range(0..120_000);
            machine.freeze_ms(ms);
            assert_eq!(machine.present(CHANNEL), 21, "before anybody has renewed anything");
            poller.ask(&machine, "");
            run(&mut machine, &mut clients, 100);
            assert_eq!(machine.present(CHANNEL), 21);
            poller.hear();
        }
        assert!(clients.iter().all(|client| client.closed_with.is_empty() && client.connects == 1));
    }
}

// Row 51.
#[test]
fn who_dies_while_the_process_is_stopped_is_found_in_the_stated_time_after_it() {
    for seed in 0..10 {
        let mut machine = machine(seed);
        let ways = [Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse];
        let clients = (0..8).map(|number| Client::new(ways[number % 4], number % 2));
        let mut clients = settled(&mut machine, clients);
        let before = machine.rng.random_range(0..3_000);
        run(&mut machine, &mut clients, before);
        machine.freeze_ms(90_000);
        let dead: Vec<Client> = clients.drain(..4).collect();
        dead.iter().for_each(|client| client.link().unwrap().cut());
        run(&mut machine, &mut clients, 35_100 / STEP_MS as usize);
        assert_eq!(machine.present(CHANNEL), 4);
        assert!(clients.iter().all(|client| client.closed_with.is_empty()));
    }
}

// Row 51: one thread alone, as under a load that others do not have. The clock goes on.
#[test]
fn a_worker_that_was_held_up_reads_every_socket_before_it_calls_anybody_dead() {
    for (seed, events) in [(0, 3), (1, 3), (2, 3), (3, 512), (4, 512), (5, 512)] {
        let mut machine = machine(seed);
        let ways = [Way::Websocket, Way::Tunnel, Way::HttpStream, Way::Sse, Way::Lines];
        let clients = (0..60).map(|number| Client::new(ways[number % ways.len()], 0));
        let mut clients = settled(&mut machine, clients);
        machine.hand_out_events(events);
        // Pings go out, and are answered while nobody reads; when somebody does, it is later than any answer may be.
        let moment = machine.rng.random_range(1_250..1_800);
        run(&mut machine, &mut clients, moment);
        clients.iter_mut().for_each(|client| client.stuck = true);
        run(&mut machine, &mut clients, 700);
        machine.hold_up(0, true);
        clients.iter_mut().for_each(|client| client.stuck = false);
        run(&mut machine, &mut clients, 400);
        machine.hold_up(0, false);
        run(&mut machine, &mut clients, 1_000);
        let ended: Vec<_> = clients.iter().filter(|client| !client.closed_with.is_empty()).collect();
        assert!(ended.is_empty(), "seed {seed}: {} of 60 ended", ended.len());
        assert_eq!(machine.connections(), 60);
    }
}

// Row 51: the clock of a stopped process goes on for two seconds, in which answers run out that have come.
#[test]
fn a_time_for_answers_that_is_shorter_than_what_a_stop_counts_ends_nobody_who_has_answered() {
    for seed in 0..5 {
        let mut settings = Settings::development();
        settings.times.pong_timeout_ms = 1_500;
        let mut machine = Machine::plain(seed, settings);
        let ways = [Way::Websocket, Way::Tunnel, Way::HttpStream, Way::Sse, Way::Lines];
        let clients = (0..60).map(|number| Client::new(ways[number % ways.len()], number % 2));
        let mut clients = settled(&mut machine, clients);
        for _ in 0..10 {
            let between = machine.rng.random_range(1_000..2_000);
            run(&mut machine, &mut clients, between);
            // Pings go out to clients that are a second away.
            clients.iter_mut().for_each(|client| client.stuck = true);
            run(&mut machine, &mut clients, 100);
            clients.iter_mut().for_each(|client| client.stuck = false);
            clients.iter_mut().for_each(|client| client.step(&mut machine));
            machine.freeze_ms(60_000);
        }
        run(&mut machine, &mut clients, 1_000);
        let ended: Vec<_> = clients.iter().filter(|client| !client.closed_with.is_empty()).collect();
        assert!(ended.is_empty(), "seed {seed}: {} of 60 ended", ended.len());
        assert_eq!(machine.connections(), 60);
    }
}

#[test]
fn a_worker_that_never_has_an_end_of_its_events_finds_the_dead_all_the_same() {
    let mut machine = machine(1);
    let clients = (0..20).map(|_| Client::new(Way::Websocket, 0));
    let mut clients = settled(&mut machine, clients);
    machine.hand_out_events(1);
    for client in &clients[..5] {
        client.link().unwrap().cut();
    }
    let mut living: Vec<Client> = clients.drain(..).skip(5).collect();
    for _ in 0..36_000 / STEP_MS {
        for client in &mut living {
            // A pong of the framing that nobody has asked for: an event in every turn.
            client.send_bytes(&[0x8a, 0x80, 0, 0, 0, 0]);
            client.step(&mut machine);
        }
        machine.step();
    }
    assert_eq!(machine.present(CHANNEL), 15);
}
