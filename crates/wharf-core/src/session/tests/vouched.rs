//! Devices: sessions that their listener vouches for.

use wharf_proto::message::Vouched;

use super::*;

/// Nobody may do anything, but who is there is told.
fn closed() -> Rules {
    let mut rules = rules_with(|options| {
        *options = ChannelOptions {
            presence: true,
            join_leave: true,
            history: HistoryPolicy { size: 10, ..ChannelOptions::DEVELOPMENT.history },
            ..ChannelOptions::default()
        };
    });
    rules.development = false;
    rules.allow_anonymous_connect = false;
    rules
}

fn login() -> Request {
    let vouched = Vouched { user: "7".into(), attends: vec!["devices/7/up".into()] };
    let down = SubscribeRequest { channel: "devices/7/down".into(), ..SubscribeRequest::default() };
    Request::Connect(Box::new(ConnectRequest {
        subs: vec![down],
        vouched: Some(vouched),
        ..ConnectRequest::default()
    }))
}

/// A device that has logged in, and what that led to.
fn device(rules: Rules) -> (Driver, Vec<Action>) {
    let mut driver = Driver::new(rules, Heartbeat::Pong, false);
    let mut actions = driver.command(1, login());
    assert_eq!(kinds(&actions), ["claim", "subscribe"]);
    let seated = driver.seated(actions.remove(1), page(0, 0..0));
    (driver, seated)
}

#[test]
fn a_device_needs_no_token_and_is_seen_where_it_hears_and_where_it_speaks() {
    let (driver, actions) = device(closed());
    assert_eq!(kinds(&actions), ["reply", "activate", "renew", "join", "renew", "join"]);
    let seen = actions.iter().filter_map(|action| match action {
        Action::AnnounceJoin { channel, info } => Some((channel.as_str(), &*info.user)),
        _ => None,
    });
    assert_eq!(seen.collect::<Vec<_>>(), [("devices/7/down", "7"), ("devices/7/up", "7")]);
    assert!(driver.session.is_vouched());
}

#[test]
fn a_device_publishes_without_permission_and_others_do_not() {
    let (mut driver, _) = device(closed());
    let publish = || Request::Publish { channel: "devices/7/up".into(), data: json("1") };
    let Action::Publish { channel, request, .. } = only(driver.command(2, publish())) else { panic!() };
    assert_eq!(channel.as_str(), "devices/7/up");
    assert_eq!((&*request.info.unwrap().user, request.history.size), ("7", 10));

    let rules = Rules { allow_anonymous_connect: true, ..closed() };
    let mut client = Driver::connected(rules);
    assert_eq!(error(&client.command(2, publish())), 103);
    assert_eq!(error(&client.command(3, subscribe("devices/7/up"))), 103);
}

#[test]
fn a_device_is_gone_from_all_its_channels_and_gives_its_name_back_once() {
    let (mut driver, _) = device(closed());
    let mut actions = Vec::new();
    driver.session.end(&mut actions);
    assert_eq!(kinds(&actions), ["release", "vacate", "remove", "leave", "vacate", "remove", "leave"]);
    actions.clear();
    driver.session.end(&mut actions);
    assert!(actions.is_empty());
}

#[test]
fn a_device_whose_claim_is_refused_leaves_nothing_since_it_was_nowhere() {
    for subs in [0, 1] {
        let mut driver = Driver::new(closed(), Heartbeat::Pong, false);
        let Request::Connect(mut request) = login() else { panic!() };
        request.subs.truncate(subs);
        assert_eq!(kinds(&driver.command(1, Request::Connect(request)))[0], "claim");
        driver.session.end_unclaimed();
        let mut actions = Vec::new();
        driver.session.end(&mut actions);
        assert!(actions.is_empty() && driver.session.subscriptions().is_empty(), "{actions:?}");
        assert_eq!(driver.session.phase(), Phase::Ended);
    }
}

#[test]
fn a_device_that_never_logged_in_has_no_name_to_give_back() {
    let mut driver = Driver::new(closed(), Heartbeat::Pong, false);
    let actions = driver.timeout(START.after_ms(10_000));
    assert_eq!((kinds(&actions), disconnect(&actions)), (vec!["disconnect"], 3502));
}

#[test]
fn presence_is_renewed_where_a_device_only_speaks() {
    let (mut driver, _) = device(closed());
    let renewed = driver.timeout(START.after_ms(20_000));
    assert_eq!(kinds(&renewed).iter().filter(|kind| **kind == "renew").count(), 2);
}

#[test]
fn what_a_device_says_before_its_login_is_answered_counts() {
    let mut driver = Driver::new(closed(), Heartbeat::Pong, false);
    driver.command(1, login());
    let publish = Request::Publish { channel: "devices/7/up".into(), data: json("1") };
    assert_eq!(kinds(&driver.command(2, publish)), ["publish"]);
    assert_eq!(kinds(&driver.command(3, Request::Heartbeat)), ["reply"]);
}

#[test]
fn a_channel_of_an_unknown_namespace_is_left_out_and_publishing_there_is_an_error() {
    let mut rules = closed();
    rules.namespaces.named.insert("chat".into(), ChannelOptions::DEVELOPMENT);
    let mut driver = Driver::new(rules, Heartbeat::Pong, false);
    let vouched = Vouched { user: "7".into(), attends: vec!["fleet:7:up".into(), "a b".into()] };
    let request = ConnectRequest { vouched: Some(vouched), ..ConnectRequest::default() };
    let actions = driver.command(1, Request::Connect(Box::new(request)));
    assert_eq!(kinds(&actions), ["claim", "reply"]);
    let publish = Request::Publish { channel: "fleet:7:up".into(), data: json("1") };
    assert_eq!(error(&driver.command(2, publish)), 102);
}

#[test]
fn a_heartbeat_is_answered_and_counts_as_the_answer_to_a_ping() {
    let (mut driver, _) = device(closed());
    let ping = driver.next_ping_or_end();
    assert_eq!(kinds(&ping), ["ping"]);
    let actions = driver.command(4, Request::Heartbeat);
    assert!(matches!(replies(&actions)[..], [(4, Ok(ReplyBody::Heartbeat))]), "{actions:?}");
    assert_eq!(kinds(&driver.next_ping_or_end()), ["ping"], "it lives on to the next ping");
}

#[test]
fn an_answer_goes_to_whoever_asked_and_only_devices_are_asked() {
    let (mut driver, _) = device(closed());
    let answer = || Request::Answer { data: json("\"ok\"") };
    let Action::Answered { id, data } = only(driver.command(9, answer())) else { panic!() };
    assert_eq!((id, data), (9, json("\"ok\"")));
    let mut client = Driver::connected(rules());
    assert_eq!(disconnect(&client.command(9, answer())), 3501);
}
