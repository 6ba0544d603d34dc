use super::*;

fn publish(text: &'static str) -> Request {
    Request::Publish { channel: "news".into(), data: json(text) }
}

fn history(limit: i32, since: Option<u64>, reverse: bool) -> Request {
    let since = since.map(|offset| (offset, epoch().as_str().into()));
    Request::History(HistoryRequest { channel: "news".into(), limit, since, reverse })
}

/// The three flags that say who may do one thing.
type Flags = fn(&mut ChannelOptions) -> [&mut bool; 3];

fn questions() -> [(&'static str, Request, Flags); 4] {
    let presence: Flags = |options| {
        [
            &mut options.allow_presence_for_client,
            &mut options.allow_presence_for_subscriber,
            &mut options.allow_presence_for_anonymous,
        ]
    };
    let channel = || "news".into();
    [
        ("publish", publish("1"), |options| {
            [
                &mut options.allow_publish_for_client,
                &mut options.allow_publish_for_subscriber,
                &mut options.allow_publish_for_anonymous,
            ]
        }),
        ("presence", Request::Presence { channel: channel() }, presence),
        ("presence stats", Request::PresenceStats { channel: channel() }, presence),
        ("history", history(1, None, false), |options| {
            [
                &mut options.allow_history_for_client,
                &mut options.allow_history_for_subscriber,
                &mut options.allow_history_for_anonymous,
            ]
        }),
    ]
}

#[test]
fn each_question_is_allowed_to_clients_to_members_and_to_the_anonymous_apart() {
    for (kind, request, flags) in questions() {
        for (client, subscriber, anonymous, stranger_may, member_may) in [
            (true, false, true, true, true),
            (false, true, true, false, true),
            (false, false, true, false, false),
            (true, true, false, false, false),
        ] {
            let rules = rules_with(|options| {
                let [for_client, for_subscriber, for_anonymous] = flags(options);
                (*for_client, *for_subscriber, *for_anonymous) = (client, subscriber, anonymous);
            });
            let mut stranger = Driver::connected(rules.clone());
            let mut member = Driver::subscribed(rules);
            for (driver, may) in [(&mut stranger, stranger_may), (&mut member, member_may)] {
                let actions = driver.command(5, request.clone());
                let what = (kind, client, subscriber, anonymous);
                if may {
                    assert_eq!(kinds(&actions), [kind], "{what:?}");
                } else {
                    assert_eq!(error(&actions), 103, "{what:?}");
                }
            }
        }
    }
}

#[test]
fn who_is_only_about_to_be_a_member_is_none_yet() {
    let mut driver = Driver::connected(rules_with(|options| options.allow_publish_for_client = false));
    driver.command(2, subscribe("news"));
    assert_eq!(error(&driver.command(3, publish("1"))), 103);
}

#[test]
fn what_the_channel_does_not_keep_is_108() {
    let mut driver = Driver::connected(rules_with(|options| {
        options.presence = false;
        options.history = HistoryPolicy::default();
    }));
    for request in [
        Request::Presence { channel: "news".into() },
        Request::PresenceStats { channel: "news".into() },
        history(1, None, false),
    ] {
        assert_eq!(error(&driver.command(2, request.clone())), 108, "{request:?}");
    }
}

#[test]
fn questions_about_an_unknown_namespace_are_102() {
    let mut rules = rules();
    rules.namespaces.named.insert("chat".into(), ChannelOptions::DEVELOPMENT);
    let mut driver = Driver::connected(rules);
    for request in [
        Request::Publish { channel: "game:1".into(), data: json("1") },
        Request::Presence { channel: "game:1".into() },
        Request::History(HistoryRequest { channel: "game:1".into(), limit: 0, since: None, reverse: false }),
    ] {
        assert_eq!(error(&driver.command(2, request)), 102);
    }
}

#[test]
fn a_publish_names_its_publisher_and_is_answered_with_its_outcome() {
    let mut driver = Driver::connected(rules());
    let Action::Publish { channel, request, ticket } = only(driver.command(9, publish("{}"))) else {
        panic!("not published")
    };
    assert_eq!((channel.as_str(), &request.data), ("news", &json("{}")));
    assert_eq!(request.info.unwrap().client, driver.session.client());
    assert_eq!(request.history, ChannelOptions::DEVELOPMENT.history);
    let published = crate::broker::Published { position: Some(at(1)), duplicate: false };
    let actions = driver.outcome(ticket, Outcome::Published(Ok(published)));
    assert!(matches!(replies(&actions)[..], [(9, Ok(ReplyBody::Publish))]), "{actions:?}");
}

#[test]
fn a_publish_without_data_is_107_and_null_is_data() {
    let mut driver = Driver::connected(rules());
    assert_eq!(error(&driver.command(2, publish(""))), 107);
    assert_eq!(kinds(&driver.command(3, publish("null"))), ["publish"]);
}

// Row 105.
#[test]
fn a_publish_that_the_engine_did_not_take_is_not_acknowledged() {
    let mut driver = Driver::connected(rules());
    for (failure, code) in
        [(BrokerError::Unavailable("away".into()), 100), (BrokerError::Full { limit: "history_bytes" }, 106)]
    {
        let Action::Publish { ticket, .. } = only(driver.command(2, publish("1"))) else {
            panic!("no publish")
        };
        assert_eq!(error(&driver.outcome(ticket, Outcome::Published(Err(failure)))), code);
    }
}

#[test]
fn a_history_question_is_cut_to_the_servers_cap() {
    let mut driver = Driver::connected(rules());
    for (limit, since, reverse, expected) in [
        (0, None, false, 0),
        (7, Some(3), false, 7),
        (i32::MAX, None, true, 300),
        (-1, None, false, 300),
        (i32::MIN, Some(9), true, 300),
    ] {
        let Action::History { filter, .. } = only(driver.command(2, history(limit, since, reverse))) else {
            panic!("not asked")
        };
        assert_eq!((filter.limit, filter.since_offset, filter.reverse), (expected, since, reverse));
    }
    assert_eq!(error(&driver.command(2, history(1, Some(0), true))), 107);
}

#[test]
fn a_history_of_another_epoch_is_112() {
    let mut driver = Driver::connected(rules());
    for (asked, answer) in [("QQQQQQQQ", Err(112)), (epoch().as_str(), Ok(())), ("", Ok(()))] {
        let since = Some((1, asked.into()));
        let request = HistoryRequest { channel: "news".into(), limit: 5, since, reverse: false };
        let Action::History { ticket, .. } = only(driver.command(2, Request::History(request))) else {
            panic!("not asked")
        };
        let actions = driver.outcome(ticket, Outcome::History(Ok(page(3, 2..4))));
        match (answer, &replies(&actions)[..]) {
            (Err(code), [(2, Err(told))]) => assert_eq!(*told, code),
            (Ok(()), [(2, Ok(ReplyBody::History(result)))]) => {
                assert_eq!((result.publications.len(), result.position), (2, at(3)));
            }
            _ => panic!("{asked}: {actions:?}"),
        }
    }
}

#[test]
fn rpc_is_echo_or_nothing() {
    let rpc = |method: &str| Request::Rpc { method: method.into(), data: json("[1]") };
    let mut driver = Driver::connected(rules());
    let actions = driver.command(2, rpc("echo"));
    assert!(matches!(replies(&actions)[..], [(2, Ok(ReplyBody::Rpc(data)))] if *data == json("[1]")));
    assert_eq!(error(&driver.command(3, rpc("other"))), 104);
    let mut driver = Driver::connected(Rules { rpc_echo: false, ..rules() });
    assert_eq!(error(&driver.command(2, rpc("echo"))), 108);
}

#[test]
fn send_ends_the_connection_for_good() {
    let mut driver = Driver::subscribed(rules());
    let actions = driver.command(0, Request::Send { data: json("1") });
    assert_eq!(disconnect(&actions), 3508);
    assert_eq!(kinds(&actions), ["vacate", "remove", "leave", "disconnect"]);
}

#[test]
fn no_refresh_is_valid_on_a_server_without_keys() {
    for (token, code) in [("", 3501), ("x.y.z", 3500)] {
        let mut driver = Driver::connected(rules());
        assert_eq!(disconnect(&driver.command(2, Request::Refresh { token: token.into() })), code);
    }
}

#[test]
fn a_subscription_refresh_is_judged_by_token_and_membership() {
    let refresh =
        |channel: &str, token: &str| Request::SubRefresh { channel: channel.into(), token: token.into() };
    let mut driver = Driver::subscribed(rules());
    assert_eq!(error(&driver.command(3, refresh("news", ""))), 107);
    assert_eq!(error(&driver.command(4, refresh("other", "x"))), 103);
    assert_eq!(disconnect(&driver.command(5, refresh("news", "x"))), 3500);
}

// Row 39.
#[test]
fn a_reply_that_tells_of_a_channel_names_it() {
    let abouts = |actions: &[Action]| -> Vec<Option<Channel>> {
        let about = |action: &Action| match action {
            Action::Reply { about, .. } => Some(about.clone()),
            _ => None,
        };
        actions.iter().filter_map(about).collect()
    };
    let news = [Some(channel("news"))];
    let mut driver = Driver::connected(rules());
    let subscribed = driver.subscribe("news", page(0, 0..0));
    assert_eq!(abouts(&subscribed), news);
    let Action::History { ticket, .. } = only(driver.command(3, history(1, None, false))) else { panic!() };
    let historied = driver.outcome(ticket, Outcome::History(Ok(page(1, 1..2))));
    assert_eq!(abouts(&historied), news);
    let presence = Request::Presence { channel: "news".into() };
    let Action::Presence { ticket, .. } = only(driver.command(4, presence)) else { panic!() };
    assert_eq!(abouts(&driver.outcome(ticket, Outcome::Presence(Ok(Vec::new())))), news);
    let rpc = driver.command(5, Request::Rpc { method: "echo".into(), data: json("1") });
    assert_eq!(abouts(&rpc), [None]);
}
