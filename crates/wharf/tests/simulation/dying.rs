//! The ways in which a peer can be gone, and the time in which each is known, with its presence.

use wharf::settings::Settings;

use super::{
    client::{CHANNEL, Client, Way},
    recovery::run,
    world::{Machine, STEP_MS},
};

/// Those that answer pings.
const ANSWERING: [Way; 4] = [Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse];

/// Four live, and four to whom `happens` what happens: within so many milliseconds the presence of these is gone, and
/// nobody else's.
#[track_caller]
fn assert_gone_within(what: &str, stated_ms: u64, happens: impl Fn(&mut Client)) {
    for seed in 0..5 {
        let mut machine = Machine::plain(seed, Settings::development());
        let ways = ANSWERING.iter().chain(&ANSWERING);
        let mut clients: Vec<Client> =
            ways.enumerate().map(|(number, way)| Client::new(*way, number % 2)).collect();
        run(&mut machine, &mut clients, 100 + 300 * seed as usize);
        assert_eq!(machine.present(CHANNEL), 8, "{what}");
        clients.iter_mut().for_each(|client| client.returns = false);
        clients[..4].iter_mut().for_each(&happens);
        run(&mut machine, &mut clients, ((stated_ms + 100) / STEP_MS) as usize);
        assert_eq!(machine.present(CHANNEL), 4, "{what}, seed {seed}");
        // Whoever is left has noticed nothing, for as long again.
        run(&mut machine, &mut clients, (stated_ms / STEP_MS) as usize);
        assert_eq!(machine.present(CHANNEL), 4, "{what}, seed {seed}");
        assert!(clients[4..].iter().all(|client| client.closed_with.is_empty() && client.connects == 1));
    }
}

/// The ping interval and the time for a pong: LIMITS.md.
const PING_AND_PONG_MS: u64 = 35_000;

// Row 44.
#[test]
fn power_that_is_lost_and_paths_that_swallow_everything_are_found_within_ping_and_pong() {
    assert_gone_within("a cut", PING_AND_PONG_MS, |client| client.link().unwrap().cut());
}

// Row 44: its kernel still acknowledges, until its buffer is full.
#[test]
fn a_program_that_is_frozen_is_found_within_ping_and_pong() {
    assert_gone_within("a freeze", PING_AND_PONG_MS, |client| client.stuck = true);
}

#[test]
fn a_program_that_hears_and_answers_nothing_is_found_within_ping_and_pong() {
    assert_gone_within("silence", PING_AND_PONG_MS, |client| client.mute = true);
}

// Row 47. (The half of a stream that its client would end has ended with its request.)
#[test]
fn a_half_that_ends_is_known_at_once() {
    assert_gone_within("a FIN", 100, Client::finish);
}

#[test]
fn a_program_that_ends_is_known_at_once() {
    assert_gone_within("an end", 100, Client::hang_up);
}

// Row 43.
#[test]
fn a_window_that_stays_shut_is_found_by_the_write_stall() {
    for way in ANSWERING {
        let mut machine = Machine::plain(7, Settings::development());
        let mut clients = vec![Client::new(way, 0), Client::new(way, 1)];
        run(&mut machine, &mut clients, 100);
        clients.iter_mut().for_each(|client| client.returns = false);
        clients[0].stuck = true;
        // What is said fills its window at once.
        (1..=50).for_each(|number| machine.publish(CHANNEL, number.to_string()));
        run(&mut machine, &mut clients, 10_100 / STEP_MS as usize);
        assert_eq!(machine.present(CHANNEL), 1, "{way:?}");
        clients[1].progress.check_whole(50, "the other");
    }
}
