use super::*;

/// Part of the budget of an idle connection, which ARCHITECTURE.md lists.
#[test]
fn an_idle_session_and_its_subscription_stay_small() {
    println!("Session {}, Subscription {}", size_of::<Session>(), size_of::<Subscription>());
    assert!(size_of::<Session>() <= 88, "{}", size_of::<Session>());
    assert!(size_of::<Subscription>() <= 40, "{}", size_of::<Subscription>());
}

#[test]
fn the_one_channel_of_a_client_takes_the_room_of_one() {
    let driver = Driver::subscribed(rules());
    assert_eq!(driver.session.subscriptions.capacity(), 1);
}
