use super::*;

fn opening(rules: Rules) -> Driver {
    Driver::new(rules, Heartbeat::Pong, false)
}

fn connect(token: &str) -> Request {
    Request::Connect(Box::new(ConnectRequest { token: token.into(), ..ConnectRequest::default() }))
}

#[test]
fn the_first_command_must_be_connect() {
    for request in [subscribe("news"), Request::Pong, Request::Unsupported, Request::Send { data: json("1") }]
    {
        let mut driver = opening(rules());
        assert_eq!(disconnect(&driver.command(1, request)), 3501);
        assert_eq!(driver.session.phase(), Phase::Ended);
    }
}

#[test]
fn a_second_connect_ends_the_connection() {
    let mut driver = Driver::connected(rules());
    assert_eq!(disconnect(&driver.command(2, connect(""))), 3501);
}

#[test]
fn the_connect_reply_tells_the_identifier_and_how_to_stay_alive() {
    for (heartbeat, ping_s, pong) in [
        (Heartbeat::Pong, 25, true),
        (Heartbeat::PingOnly, 25, false),
        (Heartbeat::Frame, 0, false),
        (Heartbeat::Asking, 0, false),
    ] {
        let mut driver = Driver::new(rules(), heartbeat, false);
        let actions = driver.command(1, connect("ignored in development"));
        let [(1, Ok(ReplyBody::Connect(result)))] = replies(&actions)[..] else { panic!("{actions:?}") };
        assert_eq!((result.ping_s, result.pong), (ping_s, pong), "{heartbeat:?}");
        assert_eq!((result.client, &*result.version), (driver.session.client(), "test"));
        assert_eq!(driver.session.info().unwrap().client, result.client);
    }
}

#[test]
fn a_ping_interval_of_less_than_whole_seconds_is_told_rounded_up() {
    let rules = Rules { ping_interval_ms: 1_001, ..rules() };
    let actions = opening(rules).command(1, connect(""));
    let [(1, Ok(ReplyBody::Connect(result)))] = replies(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(result.ping_s, 2);
}

#[test]
fn without_keys_a_token_is_refused_for_good() {
    let mut driver = opening(Rules { development: false, ..rules() });
    assert_eq!(disconnect(&driver.command(1, connect("x.y.z"))), 3500);
}

#[test]
fn without_a_token_only_the_operator_lets_a_client_in() {
    let mut driver = opening(Rules { development: false, ..rules() });
    assert_eq!(replies(&driver.command(1, connect(""))).len(), 1);
    let mut driver = opening(Rules { development: false, allow_anonymous_connect: false, ..rules() });
    assert_eq!(disconnect(&driver.command(1, connect(""))), 3501);
}

// Row 42.
#[test]
fn a_client_that_does_not_connect_in_time_is_stale() {
    let mut driver = opening(rules());
    assert!(driver.timeout(START.after_ms(9_999)).is_empty());
    assert_eq!(driver.session.poll_timeout(driver.now), Some(START.after_ms(10_000)));
    assert_eq!(disconnect(&driver.next_timeout()), 3502);
    assert_eq!(driver.session.poll_timeout(driver.now), None);
}

#[test]
fn an_ended_session_does_nothing_any_more() {
    let mut driver = Driver::subscribed(rules());
    let mut actions = Vec::new();
    driver.session.end(&mut actions);
    assert_eq!(kinds(&actions), ["vacate", "remove", "leave"]);
    assert!(driver.command(3, subscribe("other")).is_empty());
    assert!(driver.timeout(START.after_ms(100_000)).is_empty());
    let mut actions = Vec::new();
    driver.session.disconnect(&Disconnect::SHUTDOWN, &mut actions);
    driver.session.end(&mut actions);
    assert!(actions.is_empty(), "{actions:?}");
}
