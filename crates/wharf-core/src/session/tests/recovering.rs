use super::*;

/// What a client is told that asks to recover from `offset` of `epoch` where the history answers `page`.
fn recovered(offset: u64, epoch: &str, page: HistoryPage) -> SubscribeResult {
    let mut driver = Driver::connected(rules());
    let actions = recover(&mut driver, offset, epoch, false, page);
    subscribe_result(&actions).clone()
}

fn recover(driver: &mut Driver, offset: u64, epoch: &str, fail: bool, page: HistoryPage) -> Vec<Action> {
    let request = SubscribeRequest {
        channel: "news".into(),
        recover: true,
        offset,
        epoch: epoch.into(),
        fail_unrecoverable: fail,
        ..SubscribeRequest::default()
    };
    let action = only(driver.command(2, subscribe_as(request)));
    let Action::Subscribe { read: Some((filter, _)), .. } = &action else { panic!("{action:?}") };
    assert_eq!((filter.since_offset, filter.limit, filter.reverse), (Some(offset), 300, false));
    driver.seated(action, page)
}

fn offsets(result: &SubscribeResult) -> Vec<u64> {
    result.publications.iter().map(|publication| publication.offset).collect()
}

#[test]
fn what_was_missed_comes_with_the_clients_own_offset() {
    let result = recovered(4, epoch().as_str(), page(7, 5..8));
    assert!(result.recovered && result.was_recovering);
    assert_eq!((result.position, offsets(&result)), (Some(at(4)), vec![5, 6, 7]));
}

#[test]
fn nothing_missed_is_recovered_too() {
    let result = recovered(7, epoch().as_str(), page(7, 0..0));
    assert!(result.recovered && result.was_recovering && result.publications.is_empty());
    assert_eq!(result.position, Some(at(7)));
}

#[test]
fn an_empty_epoch_matches_any() {
    assert!(recovered(4, "", page(7, 5..8)).recovered);
    assert!(recovered(0, "", page(2, 1..3)).recovered, "from the beginning");
}

// Row 96.
#[test]
fn what_cannot_be_had_whole_is_not_recovered_in_part() {
    let cases = [
        ("a future offset", 9, epoch().as_str().to_owned(), page(7, 0..0)),
        ("the largest offset", u64::MAX, epoch().as_str().to_owned(), page(7, 0..0)),
        ("another epoch", 4, "QQQQQQQQ".to_owned(), page(7, 5..8)),
        ("another epoch at the same offset", 7, "QQQQQQQQ".to_owned(), page(7, 0..0)),
        ("a history that begins later", 4, epoch().as_str().to_owned(), page(7, 6..8)),
        ("a history that is empty", 4, epoch().as_str().to_owned(), page(7, 0..0)),
        ("more than one answer holds", 4, epoch().as_str().to_owned(), page(700, 5..305)),
    ];
    for (what, offset, epoch, page) in cases {
        let top = page.position;
        let result = recovered(offset, &epoch, page);
        assert!(!result.recovered && result.was_recovering, "{what}");
        assert_eq!((result.position, offsets(&result)), (Some(top), vec![]), "{what}");
    }
}

#[test]
fn a_hole_in_the_history_is_not_recovered() {
    let mut with_hole = page(8, 5..9);
    with_hole.publications.remove(1);
    assert!(!recovered(4, "", with_hole).recovered);
}

#[test]
fn a_client_that_says_so_gets_112_and_no_membership_instead() {
    let mut driver = Driver::connected(rules());
    let actions = recover(&mut driver, 9, "", true, page(7, 0..0));
    assert_eq!((kinds(&actions), error(&actions)), (vec!["vacate", "reply"], 112));
    assert_eq!(driver.session.subscriptions().len(), 0);
    let actions = recover(&mut driver, 6, "", true, page(7, 7..8));
    assert!(subscribe_result(&actions).recovered);
}

#[test]
fn where_nothing_is_recoverable_a_wish_to_recover_is_an_ordinary_subscribe() {
    let mut driver = Driver::connected(rules_with(|options| {
        (options.force_recovery, options.allow_recovery) = (false, false);
    }));
    let request =
        SubscribeRequest { channel: "news".into(), recover: true, offset: 3, ..SubscribeRequest::default() };
    let action = only(driver.command(2, subscribe_as(request)));
    let Action::Subscribe { read: Some((filter, _)), .. } = &action else { panic!("{action:?}") };
    assert_eq!((filter.since_offset, filter.limit), (None, 0));
    let actions = driver.seated(action, page(7, 0..0));
    assert!(!subscribe_result(&actions).was_recovering);
}

#[test]
fn a_member_is_activated_where_its_reply_ended() {
    for (offset, page, reached) in [(4, page(7, 5..8), 7), (9, page(7, 0..0), 7), (7, page(7, 0..0), 7)] {
        let mut driver = Driver::connected(rules());
        let actions = recover(&mut driver, offset, "", false, page);
        let Action::Activate { reached: told, .. } = &actions[1] else { panic!("{actions:?}") };
        assert_eq!(*told, Some(at(reached)));
    }
}
