use super::*;

fn wish(channel: &str) -> SubscribeRequest {
    SubscribeRequest { channel: channel.into(), ..SubscribeRequest::default() }
}

/// A one-way client that connects for these channels, and what it waits for.
fn connecting(rules: Rules, channels: &[&str]) -> (Driver, Vec<Action>) {
    let mut driver = Driver::new(rules, Heartbeat::PingOnly, true);
    let subs = channels.iter().map(|name| wish(name)).collect();
    let request = ConnectRequest { subs, ..ConnectRequest::default() };
    let actions = driver.command(1, Request::Connect(Box::new(request)));
    (driver, actions)
}

/// The channels in the connect reply.
fn told(actions: &[Action]) -> Vec<&str> {
    let [(1, Ok(ReplyBody::Connect(result)))] = replies(actions)[..] else { panic!("{actions:?}") };
    result.subs.iter().map(|(channel, _)| channel.as_str()).collect()
}

#[test]
fn the_connect_reply_waits_for_all_subscriptions_and_members_are_seated_after_it() {
    let (mut driver, actions) = connecting(rules(), &["a", "b"]);
    assert_eq!((kinds(&actions), driver.session.phase()), (vec!["subscribe"; 2], Phase::Connecting));
    let [first, second] = <[Action; 2]>::try_from(actions).unwrap();
    assert!(driver.seated(second, page(2, 0..0)).is_empty());
    let actions = driver.seated(first, page(1, 0..0));
    assert_eq!(told(&actions), ["b", "a"]);
    assert_eq!(kinds(&actions), ["reply", "activate", "renew", "join", "activate", "renew", "join"]);
    let Action::Activate { channel, reached } = &actions[1] else { panic!("{actions:?}") };
    assert_eq!((channel.as_str(), *reached), ("b", Some(at(2))));
    assert_eq!(driver.session.phase(), Phase::Connected);
}

#[test]
fn channels_that_may_not_be_joined_are_left_out_silently() {
    let mut rules = rules();
    rules.namespaces.named.insert("chat".into(), ChannelOptions::DEVELOPMENT);
    let (mut driver, mut actions) = connecting(rules, &["game:1", "", "a b", "chat:1", "chat:1"]);
    assert_eq!(kinds(&actions), ["subscribe"]);
    let actions = driver.seated(actions.remove(0), page(0, 0..0));
    assert_eq!(told(&actions), ["chat:1"]);
}

#[test]
fn without_channels_the_reply_comes_at_once() {
    let (driver, actions) = connecting(rules(), &[]);
    assert!(told(&actions).is_empty() && driver.session.phase() == Phase::Connected);
}

#[test]
fn a_two_way_client_names_no_channels_at_connect() {
    let mut driver = Driver::new(rules(), Heartbeat::Pong, false);
    let request = ConnectRequest { subs: vec![wish("a")], ..ConnectRequest::default() };
    let actions = driver.command(1, Request::Connect(Box::new(request)));
    assert_eq!((kinds(&actions), told(&actions)), (vec!["reply"], vec![]));
}

#[test]
fn a_subscription_that_fails_is_left_out_and_the_others_stand() {
    let (mut driver, actions) = connecting(rules(), &["a", "b"]);
    let [first, second] = <[Action; 2]>::try_from(actions).unwrap();
    let Action::Subscribe { channel, ticket, .. } = first else { panic!("{first:?}") };
    let failed = Outcome::Subscribed { channel, page: Err(BrokerError::Unavailable("away".into())) };
    assert_eq!(kinds(&driver.outcome(ticket, failed)), ["vacate"]);
    assert_eq!(told(&driver.seated(second, page(0, 0..0))), ["b"]);
}

#[test]
fn a_one_way_client_recovers_in_its_connect_reply() {
    let mut driver = Driver::new(rules(), Heartbeat::PingOnly, true);
    let subs = vec![SubscribeRequest { recover: true, offset: 4, ..wish("a") }];
    let request = ConnectRequest { subs, ..ConnectRequest::default() };
    let action = only(driver.command(1, Request::Connect(Box::new(request))));
    let actions = driver.seated(action, page(6, 5..7));
    let [(1, Ok(ReplyBody::Connect(result)))] = replies(&actions)[..] else { panic!("{actions:?}") };
    let (_, sub) = &result.subs[0];
    assert_eq!((sub.recovered, sub.publications.len(), sub.position), (true, 2, Some(at(4))));
}

#[test]
fn an_engine_that_never_answers_holds_no_connection_open() {
    let (mut driver, _) = connecting(rules(), &["a"]);
    let actions = driver.next_timeout();
    assert_eq!((disconnect(&actions), driver.now), (3502, START.after_ms(10_000)));
}

#[test]
fn a_channel_that_is_taken_away_before_the_reply_is_not_in_it() {
    for outcome_first in [true, false] {
        let (mut driver, actions) = connecting(rules(), &["a", "b"]);
        let [first, second] = <[Action; 2]>::try_from(actions).unwrap();
        let mut first = Some(first);
        if outcome_first {
            driver.seated(first.take().unwrap(), page(0, 0..0));
        }
        let mut actions = Vec::new();
        driver.session.handle_unsubscribed(&channel("a"), UNSUBSCRIBED_BY_SERVER, "gone", &mut actions);
        assert_eq!(kinds(&actions), ["vacate"], "the client knows nothing of it yet");
        if let Some(first) = first {
            driver.seated(first, page(0, 0..0));
        }
        let actions = driver.seated(second, page(0, 0..0));
        assert_eq!(told(&actions), ["b"]);
        assert_eq!(kinds(&actions), ["reply", "activate", "renew", "join"]);
    }
}

#[test]
fn a_command_before_the_reply_ends_a_one_way_client() {
    let (mut driver, _) = connecting(rules(), &["a"]);
    let actions = driver.command(2, subscribe("b"));
    assert_eq!((disconnect(&actions), kinds(&actions)), (3501, vec!["vacate", "disconnect"]));
}

#[test]
fn losing_the_position_of_a_servers_subscription_ends_the_connection() {
    let (mut driver, mut actions) = connecting(rules(), &["a"]);
    driver.seated(actions.remove(0), page(0, 0..0));
    let mut actions = Vec::new();
    driver.session.handle_unsubscribed(&channel("a"), INSUFFICIENT_STATE, "missed", &mut actions);
    assert_eq!(disconnect(&actions), 3010);
}

#[test]
fn a_servers_subscription_taken_away_for_good_is_told() {
    let (mut driver, mut actions) = connecting(rules(), &["a"]);
    driver.seated(actions.remove(0), page(0, 0..0));
    let mut actions = Vec::new();
    driver.session.handle_unsubscribed(&channel("a"), UNSUBSCRIBED_BY_SERVER, "gone", &mut actions);
    assert_eq!(kinds(&actions), ["vacate", "remove", "leave", "push"]);
}
