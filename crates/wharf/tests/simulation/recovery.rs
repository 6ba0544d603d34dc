use std::sync::Arc;

use rand::RngExt;
use wharf::settings::Settings;

use super::{
    client::{CHANNEL, Client, WAYS, Way},
    slow_engine::SlowEngine,
    world::Machine,
};

/// A steady publisher, and clients of one way that are cut at random moments. Returns how many cuts there were.
fn cuts(machine: &mut Machine, way: Way, publications: u64) -> usize {
    let mut clients: Vec<Client> = (0..4).map(|number| Client::new(way, number % 2)).collect();
    let (mut published, mut cuts) = (0, 0);
    while published < publications {
        if machine.rng.random_bool(0.5) {
            published += 1;
            machine.publish(CHANNEL, published.to_string());
        }
        for client in &mut clients {
            client.step(machine);
            if machine.rng.random_bool(0.04)
                && let Some(link) = client.link()
            {
                cuts += 1;
                match machine.rng.random_range(0..3) {
                    // Without notice to the server: its end stays until it finds out.
                    0 => link.cut(),
                    1 => link.reset(),
                    _ => {}
                }
                client.hang_up();
            }
        }
        machine.step();
    }
    // Once more after everything, so that a tail that is missing shows.
    for _ in 0..400 {
        clients.iter_mut().for_each(|client| client.step(machine));
        machine.step();
    }
    for (number, client) in clients.iter().enumerate() {
        client.progress.check_whole(publications, &format!("{way:?} {number}, seed {}", machine.seed));
    }
    cuts
}

fn settings() -> Settings {
    let mut settings = Settings::development();
    settings.namespaces.without_namespace.history.size = 10_000;
    settings
}

fn a_thousand_cuts(way: Way) {
    let mut sum = 0;
    let mut seed = 0;
    while sum < 1_000 {
        sum += cuts(&mut Machine::plain(seed, settings()), way, 250);
        seed += 1;
    }
}

#[test]
fn recovers_under_a_thousand_cuts_on_websocket() {
    a_thousand_cuts(Way::Websocket);
}

#[test]
fn recovers_under_a_thousand_cuts_on_json_lines() {
    a_thousand_cuts(Way::Lines);
}

#[test]
fn recovers_under_a_thousand_cuts_on_http_stream() {
    a_thousand_cuts(Way::HttpStream);
}

#[test]
fn recovers_under_a_thousand_cuts_on_sse() {
    a_thousand_cuts(Way::Sse);
}

#[test]
fn recovers_under_a_thousand_cuts_on_events() {
    a_thousand_cuts(Way::Events);
}

// Row 97.
#[test]
fn nothing_is_missed_or_doubled_where_the_engine_answers_later() {
    for seed in 0..10 {
        for way in [Way::Websocket, Way::Lines] {
            let mut machine = Machine::new(seed, settings(), |engine| Arc::new(SlowEngine(engine)));
            ordered_cuts(&mut machine, way);
        }
    }
}

/// An engine that answers later publishes in an order of its own, so that numbers say nothing; offsets do.
fn ordered_cuts(machine: &mut Machine, way: Way) {
    let mut clients: Vec<Client> = (0..4).map(|number| Client::new(way, number % 2)).collect();
    let mut published = 0;
    while published < 150 {
        if machine.rng.random_bool(0.5) {
            published += 1;
            machine.publish(CHANNEL, published.to_string());
        }
        for client in &mut clients {
            client.step(machine);
            if machine.rng.random_bool(0.03) {
                client.hang_up();
            }
        }
        machine.step();
    }
    for _ in 0..600 {
        clients.iter_mut().for_each(|client| client.step(machine));
        machine.step();
    }
    for client in &clients {
        let offsets: Vec<u64> = client.progress.heard.iter().map(|(offset, _)| *offset).collect();
        let expected: Vec<u64> = (*offsets.first().expect("something was heard")..=published).collect();
        assert_eq!((client.progress.lost, offsets), (0, expected), "{way:?}, seed {}", machine.seed);
    }
}

// Row 43.
#[test]
fn a_full_inbox_is_made_good_from_history() {
    for seed in 0..10 {
        let mut settings = settings();
        settings.limits.inbox_broadcasts = 3;
        let mut machine = Machine::plain(seed, settings);
        let mut clients: Vec<Client> =
            WAYS.iter().map(|way| Client::new(*way, 0).with_capacity(4_096)).collect();
        run(&mut machine, &mut clients, 100);
        for burst in 0..20 {
            (1..=10).for_each(|number| machine.publish(CHANNEL, (burst * 10 + number).to_string()));
            run(&mut machine, &mut clients, 3);
        }
        run(&mut machine, &mut clients, 100);
        assert!(machine.node.directory.refused_count() > 0, "the inbox was never full");
        for (client, way) in clients.iter().zip(WAYS) {
            client.progress.check_whole(200, &format!("{way:?}"));
            assert_eq!(client.progress.heard[0].1, 1);
            assert_eq!(client.connects, 1, "{way:?}: nobody had to come back");
        }
    }
}

#[test]
fn without_history_a_full_inbox_makes_its_members_subscribe_again() {
    let mut settings = settings();
    settings.limits.inbox_broadcasts = 3;
    settings.namespaces.without_namespace.history.size = 0;
    let mut machine = Machine::plain(1, settings);
    let mut clients = vec![Client::new(Way::Websocket, 0), Client::new(Way::Lines, 1)];
    run(&mut machine, &mut clients, 50);
    (1..=10).for_each(|number| machine.publish(CHANNEL, number.to_string()));
    run(&mut machine, &mut clients, 50);
    machine.publish(CHANNEL, "11".to_owned());
    run(&mut machine, &mut clients, 50);
    for client in &clients {
        assert_eq!(client.progress.unsubscribes, [2500]);
        assert_eq!((client.connects, client.progress.heard.last()), (1, Some(&(0, 11))));
    }
}

#[test]
fn what_is_left_while_a_tick_serves_leftovers_is_not_forgotten() {
    let mut machine = Machine::plain(2, settings());
    let mut clients = vec![Client::new(Way::Lines, 0).with_capacity(1 << 20)];
    run(&mut machine, &mut clients, 50);
    // More than one tick delivers, and one more while the rest is served.
    (1..=2_500).for_each(|number| machine.publish(CHANNEL, number.to_string()));
    run(&mut machine, &mut clients, 2);
    machine.publish(CHANNEL, "2501".to_owned());
    run(&mut machine, &mut clients, 20);
    clients[0].progress.check_whole(2_501, "the one that waits");
}

pub fn run(machine: &mut Machine, clients: &mut [Client], steps: usize) {
    for _ in 0..steps {
        clients.iter_mut().for_each(|client| client.step(machine));
        machine.step();
    }
}
