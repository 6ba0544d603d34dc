use wharf_proto::message::PingWish;

use super::*;

fn connected(heartbeat: Heartbeat, rules: Rules) -> Driver {
    let mut driver = Driver::new(rules, heartbeat, false);
    driver.command(1, Request::Connect(Box::default()));
    driver
}

fn pong(driver: &mut Driver) -> Vec<Action> {
    driver.command(0, Request::Pong)
}

#[test]
fn the_first_ping_comes_in_the_second_half_of_the_interval_spread_by_identifier() {
    let mut dues = Vec::new();
    for low_bits in [0, 1_000, 30_000, 65_535] {
        let rules = Rules { presence_renew_ms: 1_000_000, ..rules() };
        let client = ClientId(low_bits);
        let mut session = Session::new(client, rules.heartbeat_policy(Heartbeat::Pong), false, &rules, START);
        let connect = Command { id: 1, request: Request::Connect(Box::default()) };
        session.handle_command(connect, &rules, START, &mut Vec::new());
        dues.push(session.poll_timeout(START).unwrap().ms_since(START));
    }
    assert!(dues.iter().all(|due| (12_300..=25_000).contains(due)), "{dues:?}");
    assert!(dues.is_sorted() && dues[0] < 12_500 && dues[3] > 24_700, "{dues:?}");
}

#[test]
fn clients_are_pinged_together_at_a_hundred_moments_of_the_interval() {
    let rules = Rules { presence_renew_ms: 1_000_000, ..rules() };
    let mut moments = std::collections::BTreeMap::<Millis, u32>::new();
    for number in 0..10_000_u64 {
        let came = Millis(START.0 + number % 977);
        let client = ClientId(u128::from(number * 6_553 % 65_536));
        let mut session = Session::new(client, rules.heartbeat_policy(Heartbeat::Pong), false, &rules, came);
        let connect = Command { id: 1, request: Request::Connect(Box::default()) };
        session.handle_command(connect, &rules, came, &mut Vec::new());
        *moments.entry(session.poll_timeout(came).unwrap()).or_default() += 1;
    }
    // Half an interval, and a second in which they came.
    assert!((50..=55).contains(&moments.len()), "{moments:?}");
    assert!(moments.values().all(|clients| *clients < 300), "{moments:?}");
}

#[test]
fn pings_go_on_at_their_interval_as_long_as_pongs_come() {
    let mut driver = connected(Heartbeat::Pong, rules());
    assert_eq!(kinds(&driver.next_ping_or_end()), ["ping"]);
    for _ in 0..5 {
        let pinged = driver.now;
        driver.timeout(pinged.after_ms(9_000));
        assert!(pong(&mut driver).is_empty());
        assert_eq!(kinds(&driver.next_ping_or_end()), ["ping"]);
        let waited = driver.now.ms_since(pinged);
        assert!((24_700..=25_000).contains(&waited), "the interval runs from the ping: {waited}");
    }
}

// Row 44.
#[test]
fn a_peer_that_does_not_answer_a_ping_is_dead_after_the_pong_time() {
    for (heartbeat, ping) in [(Heartbeat::Pong, "ping"), (Heartbeat::Frame, "ping frame")] {
        let mut driver = connected(heartbeat, rules());
        assert_eq!(kinds(&driver.next_ping_or_end()), [ping]);
        let pinged = driver.now;
        assert_eq!(disconnect(&driver.next_ping_or_end()), 3012);
        assert_eq!(driver.now.ms_since(pinged), 10_000);
    }
}

#[test]
fn a_pong_that_was_not_asked_for_is_a_bad_request() {
    let mut driver = connected(Heartbeat::Pong, rules());
    assert_eq!(disconnect(&pong(&mut driver)), 3501);
    let mut driver = connected(Heartbeat::Pong, rules());
    driver.next_ping_or_end();
    assert!(pong(&mut driver).is_empty());
    assert_eq!(disconnect(&pong(&mut driver)), 3501, "one ping has one pong");
    for heartbeat in [Heartbeat::PingOnly, Heartbeat::Frame] {
        assert_eq!(disconnect(&pong(&mut connected(heartbeat, rules()))), 3501, "{heartbeat:?}");
    }
}

#[test]
fn a_pong_frame_answers_a_ping_frame_and_means_nothing_else() {
    let mut driver = connected(Heartbeat::Frame, rules());
    driver.session.handle_pong_frame(driver.now);
    assert_eq!(driver.session.phase(), Phase::Connected, "an unasked one is allowed");
    driver.next_ping_or_end();
    driver.session.handle_pong_frame(driver.now);
    assert_eq!(kinds(&driver.next_ping_or_end()), ["ping frame"]);
    let mut driver = connected(Heartbeat::Pong, rules());
    driver.next_ping_or_end();
    driver.session.handle_pong_frame(driver.now);
    assert_eq!(disconnect(&driver.next_ping_or_end()), 3012, "it is no answer to the dialect's ping");
}

#[test]
fn who_cannot_answer_is_pinged_and_never_dead() {
    let mut driver = connected(Heartbeat::PingOnly, rules());
    driver.next_ping_or_end();
    for _ in 0..5 {
        let pinged = driver.now;
        assert_eq!(kinds(&driver.next_ping_or_end()), ["ping"]);
        assert!((24_700..=25_000).contains(&driver.now.ms_since(pinged)));
    }
}

#[test]
fn a_poller_lives_by_asking_and_its_lease_runs_from_the_answer() {
    let mut driver = connected(Heartbeat::Asking, rules());
    driver.session.handle_answered(driver.now);
    for _ in 0..3 {
        driver.timeout(driver.now.after_ms(59_000));
        driver.session.handle_asked();
        assert!(driver.timeout(driver.now.after_ms(300_000)).is_empty(), "a waiting poll holds its lease");
        driver.session.handle_answered(driver.now);
    }
    let answered = driver.now;
    assert_eq!(disconnect(&driver.next_ping_or_end()), 3502);
    assert_eq!(driver.now.ms_since(answered), 60_000);
}

#[test]
fn a_poller_may_send_a_pong_and_need_not() {
    let mut driver = connected(Heartbeat::Asking, rules());
    assert!(pong(&mut driver).is_empty());
}

#[test]
fn presence_is_renewed_in_every_channel_of_a_live_connection() {
    let mut driver = Driver::subscribed(rules());
    driver.subscribe("other", page(0, 0..0));
    driver.command(4, subscribe("not-yet"));
    let mut renewals = Vec::new();
    while renewals.len() < 6 {
        for action in driver.next_timeout() {
            match action {
                Action::RenewPresence { channel, .. } => renewals.push((driver.now.ms_since(START), channel)),
                Action::Push(Push::Ping) => assert!(pong(&mut driver).is_empty()),
                other => panic!("{other:?}"),
            }
        }
    }
    let expected = [20_000, 40_000, 60_000].map(|ms| [(ms, channel("news")), (ms, channel("other"))]);
    assert_eq!(renewals, expected.concat());
}

#[test]
fn asking_too_early_does_nothing() {
    let mut driver = Driver::subscribed(rules());
    let due = driver.session.poll_timeout(driver.now);
    for ms in [0, 1, 12_000] {
        assert!(driver.timeout(START.after_ms(ms)).is_empty());
    }
    assert_eq!(driver.session.poll_timeout(driver.now), due);
}

/// What a client is told that wishes this, and how long after its connect the first ping comes at the latest.
fn told(wish_ms: u32, policy: Policy, rules: &Rules) -> (u32, u64) {
    let mut session = Session::new(ClientId(65_535), policy, false, rules, START);
    let request = ConnectRequest { ping: Some(PingWish(wish_ms)), ..ConnectRequest::default() };
    let connect = Command { id: 1, request: Request::Connect(Box::new(request)) };
    let mut actions = Vec::new();
    session.handle_command(connect, rules, START, &mut actions);
    let [(_, Ok(ReplyBody::Connect(result)))] = replies(&actions)[..] else { panic!("{actions:?}") };
    (result.ping_s, session.poll_timeout(START).unwrap().ms_since(START))
}

#[test]
fn a_client_is_pinged_as_it_wishes_within_the_bounds_and_told_so() {
    let rules = Rules { presence_renew_ms: 1_000_000, ..rules() };
    let settled = rules.heartbeat_policy(Heartbeat::Pong);
    for (wish_ms, ping_s) in [(10_000, 10), (1, 5), (60_000, 60), (u32::MAX, 120)] {
        let (told_s, due_ms) = told(wish_ms, settled, &rules);
        assert_eq!(told_s, ping_s, "{wish_ms}");
        assert!(
            due_ms <= u64::from(ping_s) * 1_000 && due_ms > u64::from(ping_s) * 500,
            "{wish_ms}: {due_ms}"
        );
    }
    // What the path is known to bear bounds every wish.
    let settled = Policy { interval_ms: 20_000, is_longest: true, ..settled };
    assert_eq!([told(60_000, settled, &rules).0, told(10_000, settled, &rules).0], [20, 10]);
    // Who is not pinged in its dialect is told nothing.
    assert_eq!(told(10_000, rules.heartbeat_policy(Heartbeat::Frame), &rules).0, 0);
}

#[test]
fn a_member_is_pinged_as_often_as_the_strictest_of_its_channels_wants() {
    let mut rules = rules();
    rules.presence_renew_ms = 1_000_000;
    for (name, ping_interval_ms) in [("calm", 60_000), ("brisk", 10_000)] {
        let options = ChannelOptions { ping_interval_ms, ..ChannelOptions::DEVELOPMENT };
        rules.namespaces.named.insert(name.into(), options);
    }
    let mut driver = Driver::connected(rules);
    let due = driver.session.poll_timeout(driver.now).unwrap();
    driver.subscribe("calm:1", page(0, 0..0));
    assert_eq!(
        driver.session.poll_timeout(driver.now),
        Some(due),
        "nobody is pinged less often than it was told"
    );
    driver.subscribe("brisk:1", page(0, 0..0));
    let mut pinged = driver.now;
    for _ in 0..3 {
        assert_eq!(kinds(&driver.next_ping_or_end()), ["ping"]);
        assert!(driver.now.ms_since(pinged) <= 10_000);
        pinged = driver.now;
        assert!(pong(&mut driver).is_empty());
    }
}

// Row 44.
#[test]
fn a_one_way_client_whose_framing_answers_nothing_more_is_dead() {
    let mut driver = connected(Heartbeat::PingAndFrame, rules());
    assert_eq!(kinds(&driver.next_ping_or_end()), ["ping", "ping frame"]);
    driver.session.handle_pong_frame(driver.now);
    assert_eq!(kinds(&driver.next_ping_or_end()), ["ping", "ping frame"]);
    assert_eq!(disconnect(&driver.next_ping_or_end()), 3012);
}

#[test]
fn a_peer_that_beats_by_itself_is_never_pinged_and_dead_when_it_stops() {
    let mut driver = connected(Heartbeat::Peer, rules());
    let came = driver.now;
    driver.session.handle_traffic(came.after_ms(20_000));
    assert_eq!(disconnect(&driver.next_ping_or_end()), 3012);
    let found = driver.now.ms_since(came);
    assert!((55_000..=55_300).contains(&found), "the interval, and a pong's time of grace: {found}");
}
