use super::*;

#[test]
fn the_reply_comes_before_the_membership_and_its_announcement() {
    let mut driver = Driver::connected(rules());
    let actions = driver.subscribe("news", page(7, 0..0));
    assert_eq!(kinds(&actions), ["reply", "activate", "renew", "join"]);
    let Action::Activate { reached, .. } = &actions[1] else { panic!("{actions:?}") };
    assert_eq!(*reached, Some(at(7)));
    let result = subscribe_result(&actions);
    assert_eq!((result.position, result.recoverable, result.positioned), (Some(at(7)), true, true));
    assert!(!result.recovered && !result.was_recovering && result.publications.is_empty());
}

#[test]
fn a_channel_without_history_has_no_position() {
    let mut driver = Driver::connected(rules_with(|options| options.history = HistoryPolicy::default()));
    let Action::Subscribe { read, grant, channel, ticket } = only(driver.command(2, subscribe("news")))
    else {
        panic!("not asked")
    };
    assert!(read.is_none() && !grant.recoverable && !grant.positioned);
    let actions = driver.outcome(ticket, Outcome::Subscribed { channel, page: Ok(None) });
    assert_eq!(subscribe_result(&actions), &SubscribeResult::default());
    assert!(matches!(actions[1], Action::Activate { reached: None, .. }));
}

#[test]
fn wishes_are_granted_only_where_the_channel_allows_them() {
    let wishes = SubscribeRequest {
        channel: "news".into(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        ..SubscribeRequest::default()
    };
    let granted = |change: &dyn Fn(&mut ChannelOptions), request: &SubscribeRequest| {
        let mut driver = Driver::connected(rules_with(change));
        match only(driver.command(2, subscribe_as(request.clone()))) {
            Action::Subscribe { grant, .. } => (grant.positioned, grant.recoverable, grant.hears_joins),
            other => panic!("{other:?}"),
        }
    };
    let plain = |options: &mut ChannelOptions| {
        (options.force_recovery, options.allow_recovery, options.allow_positioning) = (false, false, false);
        options.join_leave = false;
    };
    let allowing = |options: &mut ChannelOptions| {
        plain(options);
        (options.allow_recovery, options.allow_positioning, options.join_leave) = (true, true, true);
    };
    let none = SubscribeRequest { channel: "news".into(), ..SubscribeRequest::default() };
    assert_eq!(granted(&plain, &wishes), (false, false, false));
    assert_eq!(granted(&allowing, &wishes), (true, true, true));
    assert_eq!(granted(&allowing, &none), (false, false, false));
    let forcing = |options: &mut ChannelOptions| {
        plain(options);
        (options.force_positioning, options.force_push_join_leave) = (true, true);
    };
    assert_eq!(granted(&forcing, &none), (true, false, true));
}

#[test]
fn an_unknown_namespace_is_102() {
    let mut rules = rules();
    rules.namespaces.named.insert("chat".into(), ChannelOptions::DEVELOPMENT);
    let mut driver = Driver::connected(rules);
    assert_eq!(error(&driver.command(2, subscribe("game:1"))), 102);
    assert_eq!(kinds(&driver.command(3, subscribe("chat:1"))), ["subscribe"]);
}

#[test]
fn who_may_not_subscribe_gets_103() {
    let open = Rules { development: false, ..rules() };
    let mut driver = Driver::connected(rules_with(|options| options.allow_subscribe_for_client = false));
    assert_eq!(error(&driver.command(2, subscribe("news"))), 103);
    let mut driver = Driver::connected(rules_with(|options| options.allow_subscribe_for_anonymous = false));
    assert_eq!(error(&driver.command(2, subscribe("news"))), 103);
    let mut driver = Driver::connected(open);
    assert_eq!(error(&driver.command(2, subscribe("$private"))), 103);
    let token = SubscribeRequest { channel: "a".into(), token: "t".into(), ..SubscribeRequest::default() };
    assert_eq!(error(&driver.command(3, subscribe_as(token))), 103);
}

#[test]
fn a_second_subscribe_is_105_also_while_the_first_is_under_way() {
    let mut driver = Driver::connected(rules());
    let first = only(driver.command(2, subscribe("news")));
    assert_eq!(error(&driver.command(3, subscribe("news"))), 105);
    driver.seated(first, page(0, 0..0));
    assert_eq!(error(&driver.command(4, subscribe("news"))), 105);
}

// Row 92.
#[test]
fn one_channel_too_many_is_106_and_room_comes_back() {
    let mut driver = Driver::connected(rules());
    for number in 0..128 {
        driver.subscribe(&format!("channel-{number}"), page(0, 0..0));
    }
    assert_eq!(error(&driver.command(200, subscribe("one-more"))), 106);
    driver.command(201, Request::Unsubscribe { channel: "channel-5".into() });
    assert_eq!(kinds(&driver.command(202, subscribe("one-more"))), ["subscribe"]);
    assert_eq!(driver.session.subscriptions().len(), 128);
}

// Row 91.
#[test]
fn a_bad_name_is_107_and_a_missing_one_the_end() {
    for name in ["a b", "a*", "a>", "a\r\nb", "a\0", "\u{e9}", &"x".repeat(256)] {
        let mut driver = Driver::connected(rules());
        assert_eq!(error(&driver.command(2, subscribe(name))), 107, "{name:?}");
    }
    let requests = || {
        let channel = Box::<str>::default;
        let history = HistoryRequest { channel: "".into(), limit: 1, since: None, reverse: false };
        [
            subscribe(""),
            Request::Unsubscribe { channel: channel() },
            Request::Publish { channel: channel(), data: json("1") },
            Request::Presence { channel: channel() },
            Request::PresenceStats { channel: channel() },
            Request::History(history),
            Request::SubRefresh { channel: channel(), token: "t".into() },
        ]
    };
    for request in requests() {
        let mut driver = Driver::connected(rules());
        assert_eq!(disconnect(&driver.command(2, request.clone())), 3501, "{request:?}");
    }
}

#[test]
fn what_wharf_does_not_offer_is_108() {
    let mut driver = Driver::connected(rules());
    let map = SubscribeRequest { channel: "a".into(), unsupported: true, ..SubscribeRequest::default() };
    assert_eq!(error(&driver.command(2, subscribe_as(map))), 108);
    assert_eq!(error(&driver.command(3, Request::Unsupported)), 108);
}

#[test]
fn an_engine_that_fails_is_an_error_that_may_pass_and_leaves_no_member() {
    for (failure, code) in
        [(BrokerError::Unavailable("away".into()), 100), (BrokerError::Full { limit: "channels" }, 106)]
    {
        let mut driver = Driver::connected(rules());
        let Action::Subscribe { channel, ticket, .. } = only(driver.command(2, subscribe("news"))) else {
            panic!("not asked")
        };
        let actions = driver.outcome(ticket, Outcome::Subscribed { channel, page: Err(failure) });
        assert_eq!((kinds(&actions), error(&actions)), (vec!["vacate", "reply"], code));
        assert_eq!(driver.session.subscriptions().len(), 0);
    }
}

#[test]
fn unsubscribing_takes_back_everything_once() {
    let mut driver = Driver::subscribed(rules());
    let unsubscribe = || Request::Unsubscribe { channel: "news".into() };
    assert_eq!(kinds(&driver.command(3, unsubscribe())), ["vacate", "remove", "leave", "reply"]);
    let again = driver.command(4, unsubscribe());
    assert!(matches!(replies(&again)[..], [(4, Ok(ReplyBody::Unsubscribe))]), "{again:?}");
    assert_eq!(kinds(&again), ["reply"], "not being subscribed is no error");
}

#[test]
fn a_subscribe_that_is_given_up_before_its_outcome_is_answered_and_leaves_no_member() {
    let mut driver = Driver::connected(rules());
    let given_up = only(driver.command(2, subscribe("news")));
    let actions = driver.command(3, Request::Unsubscribe { channel: "news".into() });
    assert_eq!(kinds(&actions), ["vacate", "reply"], "neither present nor announced yet");
    let actions = driver.seated(given_up, page(3, 0..0));
    assert_eq!((kinds(&actions), error(&actions)), (vec!["reply"], 100));
    assert_eq!(driver.session.subscriptions().len(), 0);
}

#[test]
fn a_new_subscribe_is_not_taken_for_the_one_that_was_given_up() {
    let mut driver = Driver::connected(rules());
    let given_up = only(driver.command(2, subscribe("news")));
    driver.command(3, Request::Unsubscribe { channel: "news".into() });
    let new = only(driver.command(4, subscribe("news")));
    assert_eq!(error(&driver.seated(given_up, page(3, 0..0))), 100);
    assert_eq!(driver.session.subscriptions()[0].state, SubscriptionState::Subscribing);
    let actions = driver.seated(new, page(5, 0..0));
    assert_eq!(subscribe_result(&actions).position, Some(at(5)));
}

#[test]
fn an_outcome_after_the_end_says_nothing() {
    let mut driver = Driver::connected(rules());
    let under_way = only(driver.command(2, subscribe("news")));
    let publish = only(driver.command(3, Request::Publish { channel: "a".into(), data: json("1") }));
    let mut actions = Vec::new();
    driver.session.end(&mut actions);
    assert_eq!(kinds(&actions), ["vacate"]);
    assert!(driver.seated(under_way, page(3, 0..0)).is_empty());
    let Action::Publish { ticket, .. } = publish else { panic!("{publish:?}") };
    let failed = Outcome::Published(Err(BrokerError::Unavailable("away".into())));
    assert!(driver.outcome(ticket, failed).is_empty());
}

#[test]
fn the_server_removes_a_member_with_a_push_that_says_why() {
    for (code, reason) in [(UNSUBSCRIBED_BY_SERVER, "gone"), (INSUFFICIENT_STATE, "missed")] {
        let mut driver = Driver::subscribed(rules());
        let mut actions = Vec::new();
        driver.session.handle_unsubscribed(&channel("news"), code, reason, &mut actions);
        assert_eq!(kinds(&actions), ["vacate", "remove", "leave", "push"]);
        let Action::Push(Push::Unsubscribe { code: told, .. }) = &actions[3] else { panic!("{actions:?}") };
        assert_eq!(*told, code);
        assert_eq!(driver.session.phase(), Phase::Connected);
        let mut actions = Vec::new();
        driver.session.handle_unsubscribed(&channel("news"), code, reason, &mut actions);
        assert!(actions.is_empty(), "nobody is removed twice");
    }
}
