use wharf_proto::message::{Broadcast, BroadcastBody, ClientId, ClientInfo, Data, Epoch, Publication};

use super::*;

pub(super) fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch::from_random(number)
}

pub(super) fn at(offset: u64) -> Position {
    Position { offset, epoch: epoch(1) }
}

pub(super) fn publication(name: &str, position: Option<Position>) -> Arc<SharedBroadcast> {
    let publication = Arc::new(Publication {
        data: Data::Json("1".into()),
        info: None,
        offset: position.map_or(0, |position| position.offset),
        tags: None,
    });
    let body = BroadcastBody::Publication { publication, epoch: position.map(|position| position.epoch) };
    Arc::new(SharedBroadcast::new(Broadcast { channel: channel(name), body }))
}

fn join(name: &str) -> Arc<SharedBroadcast> {
    let info = ClientInfo { user: "".into(), client: ClientId(1), conn_info: None, chan_info: None };
    let body = BroadcastBody::Join(Arc::new(info));
    Arc::new(SharedBroadcast::new(Broadcast { channel: channel(name), body }))
}

fn news(offset: u64) -> Arc<SharedBroadcast> {
    publication("news", Some(at(offset)))
}

const HEARS_JOINS: Grant = Grant {
    positioned: true,
    recoverable: true,
    hears_joins: true,
    presence: false,
    announced: false,
    server_side: false,
    silent: false,
};

fn sit(hub: &mut LocalHub, entry: u32) -> Seat {
    hub.sit_down(&channel("news"), entry, Grant::default())
}

fn seated(hub: &mut LocalHub, entry: u32, offset: u64) -> Seat {
    let seat = sit(hub, entry);
    assert_eq!(hub.activate(seat, Some(at(offset))).unwrap().len(), 0);
    seat
}

fn offsets<'a>(broadcasts: impl IntoIterator<Item = &'a Arc<SharedBroadcast>>) -> Vec<u64> {
    let offset =
        |broadcast: &Arc<SharedBroadcast>| broadcast.position().map_or(0, |position| position.offset);
    broadcasts.into_iter().map(offset).collect()
}

fn hearers(hub: &LocalHub, offset: u64) -> Vec<u32> {
    let members = hub.members(&channel("news")).iter();
    members.filter(|member| member.hears(offset)).map(|member| member.entry).collect()
}

#[test]
fn a_member_that_stands_up_tells_who_sits_there_now() {
    let mut hub = LocalHub::default();
    let seats = [sit(&mut hub, 10), sit(&mut hub, 11), sit(&mut hub, 12)];
    let departure = hub.stand_up(seats[0], 10).unwrap();
    assert_eq!(departure, Departure { channel: channel("news"), moved: Some((12, seats[0])) });
    let departure = hub.stand_up(seats[1], 11).unwrap();
    assert_eq!(departure.moved, None, "the last place is nobody else's");
    assert_eq!(hub.members(&channel("news")).iter().map(|member| member.entry).collect::<Vec<_>>(), [12]);
}

#[test]
fn a_seat_from_before_a_move_still_names_its_member() {
    let mut hub = LocalHub::default();
    let seats = [sit(&mut hub, 10), sit(&mut hub, 11), sit(&mut hub, 12)];
    hub.stand_up(seats[0], 10).unwrap();
    let departure = hub.stand_up(seats[2], 12).unwrap();
    assert_eq!(departure.moved, Some((11, Seat { place: 0, ..seats[0] })));
    assert_eq!(hub.stand_up(seats[2], 12), None, "it has left already");
    assert_eq!(hub.members(&channel("news")).len(), 1);
}

#[test]
fn a_channel_that_all_have_left_is_forgotten_and_its_number_used_again() {
    let mut hub = LocalHub::default();
    let old = seated(&mut hub, 1, 9);
    hub.stand_up(old, 1).unwrap();
    assert_eq!((hub.channel_count(), hub.position(&channel("news"))), (0, None));
    let new = hub.sit_down(&channel("other"), 2, Grant::default());
    assert_eq!(new, old, "the number is used again");
    assert_eq!(hub.handle_broadcast(&news(10)), Verdict::Drop);
    assert_eq!(hub.members(&channel("other")).len(), 1);
}

#[test]
fn broadcasts_in_order_are_delivered_and_known_ones_dropped() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 5);
    for (offset, verdict) in [
        (5, Verdict::Drop),
        (6, Verdict::Deliver),
        (6, Verdict::Drop),
        (7, Verdict::Deliver),
        (2, Verdict::Drop),
    ] {
        assert_eq!(hub.handle_broadcast(&news(offset)), verdict, "offset {offset}");
    }
}

// Row 111.
#[test]
fn a_gap_holds_everything_back_until_the_history_was_read() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 5);
    assert_eq!(hub.handle_broadcast(&news(8)), Verdict::CatchUp(at(5)));
    assert_eq!(hub.handle_broadcast(&news(9)), Verdict::Hold);
    assert!(hub.is_catching_up_from(&channel("news"), at(5)));
    for offset in 6..=8 {
        hub.delivered_from_history(&news(offset));
    }
    let held = hub.caught_up(&channel("news"), at(8));
    assert_eq!(offsets(&held), [8, 9]);
    let verdicts: Vec<Verdict> = held.iter().map(|broadcast| hub.handle_broadcast(broadcast)).collect();
    assert_eq!(verdicts, [Verdict::Drop, Verdict::Deliver]);
}

// Row 109.
#[test]
fn a_broadcast_of_another_epoch_asks_for_the_history_whatever_its_offset() {
    for offset in [1, 5, 6, 7] {
        let mut hub = LocalHub::default();
        seated(&mut hub, 1, 5);
        let other = publication("news", Some(Position { offset, epoch: epoch(2) }));
        assert_eq!(hub.handle_broadcast(&other), Verdict::CatchUp(at(5)));
    }
}

// Row 97.
#[test]
fn what_comes_while_a_member_is_seated_is_for_it_from_after_its_reply() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 5);
    let seat = sit(&mut hub, 2);
    for offset in 6..=9 {
        assert_eq!(hub.handle_broadcast(&news(offset)), Verdict::Deliver);
        assert_eq!(hearers(&hub, offset), [1], "who is being seated hears nothing");
    }
    assert_eq!(offsets(&hub.activate(seat, Some(at(7))).unwrap()), [8, 9]);
    assert_eq!(hearers(&hub, 10), [1, 2]);
}

#[test]
fn a_member_whose_reply_is_ahead_of_the_worker_skips_what_the_reply_held() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 5);
    let seat = sit(&mut hub, 2);
    assert_eq!(hub.activate(seat, Some(at(7))).unwrap().len(), 0);
    for (offset, expected) in [(6, vec![1]), (7, vec![1]), (8, vec![1, 2])] {
        assert_eq!(hub.handle_broadcast(&news(offset)), Verdict::Deliver);
        assert_eq!(hearers(&hub, offset), expected);
    }
}

#[test]
fn a_reply_that_ended_before_what_was_kept_began_is_a_miss() {
    let mut hub = LocalHub::default();
    let seat = sit(&mut hub, 1);
    // Offset 7 was lost on the way here, and nobody stood anywhere, so that nobody saw the gap.
    assert_eq!(hub.handle_broadcast(&news(8)), Verdict::Deliver);
    assert_eq!(hub.activate(seat, Some(at(6))).unwrap_err(), Missed::NotKept);
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 9);
    let seat = sit(&mut hub, 2);
    assert_eq!(hub.activate(seat, Some(at(8))).unwrap_err(), Missed::NotKept, "a replica that lags");
}

#[test]
fn a_reply_of_another_epoch_than_the_channels_makes_all_start_over() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 9);
    let seat = sit(&mut hub, 2);
    let reached = Position { offset: 2, epoch: epoch(2) };
    assert_eq!(hub.activate(seat, Some(reached)).unwrap_err(), Missed::OtherEpoch);
}

#[test]
fn what_came_before_a_member_sat_down_is_not_for_it() {
    let mut hub = LocalHub::default();
    let first = sit(&mut hub, 1);
    let (early, late) = (publication("news", None), publication("news", None));
    hub.handle_broadcast(&early);
    let second = sit(&mut hub, 2);
    hub.handle_broadcast(&late);
    let heard = hub.activate(second, None).unwrap();
    assert!(heard.len() == 1 && Arc::ptr_eq(&heard[0], &late));
    assert_eq!(hub.activate(first, None).unwrap().len(), 2);
}

#[test]
fn joins_reach_only_those_who_wish_them_also_while_they_are_seated() {
    let mut hub = LocalHub::default();
    let (deaf, keen) = (sit(&mut hub, 1), hub.sit_down(&channel("news"), 2, HEARS_JOINS));
    assert_eq!(hub.handle_broadcast(&join("news")), Verdict::Deliver);
    assert_eq!(hub.activate(deaf, Some(at(0))).unwrap().len(), 0);
    assert!(!hub.members(&channel("news"))[1].hears_joins(), "not before its reply");
    assert_eq!(hub.activate(keen, Some(at(0))).unwrap().len(), 1);
    let hears: Vec<bool> = hub.members(&channel("news")).iter().map(Member::hears_joins).collect();
    assert_eq!(hears, [false, true]);
}

#[test]
fn a_member_is_activated_once() {
    let mut hub = LocalHub::default();
    let first = sit(&mut hub, 1);
    let _other = sit(&mut hub, 2);
    hub.handle_broadcast(&news(1));
    assert_eq!(hub.activate(first, Some(at(0))).unwrap().len(), 1);
    assert_eq!(hub.activate(first, Some(at(0))).unwrap().len(), 0);
}

#[test]
fn the_oldest_kept_goes_over_the_bound_and_only_who_needs_it_has_missed_it() {
    let mut hub = LocalHub::default();
    let early = sit(&mut hub, 1);
    hub.handle_broadcast(&news(1));
    let late = sit(&mut hub, 2);
    for offset in 2..=HELD_BACK_BROADCASTS as u64 + 1 {
        hub.handle_broadcast(&news(offset));
    }
    assert_eq!(hub.activate(early, Some(at(0))).unwrap_err(), Missed::NotKept);
    assert_eq!(hub.activate(late, Some(at(1))).unwrap().len(), HELD_BACK_BROADCASTS);
}

#[test]
fn what_is_held_back_over_the_bound_is_not_kept_in_memory() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 0);
    assert_eq!(hub.handle_broadcast(&news(2)), Verdict::CatchUp(at(0)));
    for offset in 3..HELD_BACK_BROADCASTS as u64 + 100 {
        assert_eq!(hub.handle_broadcast(&news(offset)), Verdict::Hold);
    }
    assert_eq!(hub.caught_up(&channel("news"), at(1)).len(), HELD_BACK_BROADCASTS);
}

#[test]
fn what_is_kept_is_given_up_with_the_last_who_waits() {
    let mut hub = LocalHub::default();
    let seats = [sit(&mut hub, 1), sit(&mut hub, 2)];
    let broadcast = news(1);
    hub.handle_broadcast(&broadcast);
    hub.activate(seats[0], Some(at(0))).unwrap();
    assert_eq!(Arc::strong_count(&broadcast), 2);
    hub.stand_up(seats[1], 2).unwrap();
    assert_eq!(Arc::strong_count(&broadcast), 1);
}

#[test]
fn a_loss_is_made_good_from_history_where_the_position_is_known() {
    let mut hub = LocalHub::default();
    assert_eq!(hub.handle_lost(&channel("news")), Lost::Nobody);
    let seat = sit(&mut hub, 1);
    assert_eq!(hub.handle_lost(&channel("news")), Lost::Unknowable);
    assert_eq!(hub.activate(seat, Some(at(5))).unwrap_err(), Missed::NotKept, "it was being seated");
    assert_eq!(hub.handle_lost(&channel("news")), Lost::CatchUp(at(5)));
    assert_eq!(hub.handle_lost(&channel("news")), Lost::BeingRead);
    assert_eq!(hub.handle_broadcast(&news(7)), Verdict::Hold);
}

#[test]
fn a_member_that_is_seated_during_a_loss_has_missed_nothing_but_joins() {
    let mut hub = LocalHub::default();
    seated(&mut hub, 1, 5);
    let deaf = sit(&mut hub, 2);
    let keen = hub.sit_down(&channel("news"), 3, HEARS_JOINS);
    assert_eq!(hub.handle_lost(&channel("news")), Lost::CatchUp(at(5)));
    hub.delivered_from_history(&news(6));
    assert_eq!(offsets(&hub.activate(deaf, Some(at(5))).unwrap()), [6]);
    assert_eq!(hub.activate(keen, Some(at(5))).unwrap_err(), Missed::NotKept);
}

#[test]
fn a_reading_that_comes_too_late_is_known_as_such() {
    let mut hub = LocalHub::default();
    let name = channel("news");
    let seat = seated(&mut hub, 1, 5);
    assert_eq!(hub.handle_broadcast(&news(8)), Verdict::CatchUp(at(5)));
    hub.stand_up(seat, 1).unwrap();
    assert!(!hub.is_catching_up_from(&name, at(5)), "nobody is here");
    seated(&mut hub, 2, 8);
    assert!(!hub.is_catching_up_from(&name, at(5)), "the channel was opened anew");
    assert_eq!(hub.handle_broadcast(&news(10)), Verdict::CatchUp(at(8)));
    assert!(!hub.is_catching_up_from(&name, at(5)) && hub.is_catching_up_from(&name, at(8)));
    hub.forget_position(&name);
    assert!(!hub.is_catching_up_from(&name, at(8)), "all start over");
}

#[test]
fn after_a_loss_that_nobody_can_read_who_comes_next_says_where_the_channel_stands() {
    let mut hub = LocalHub::default();
    let old = seated(&mut hub, 1, 5);
    sit(&mut hub, 2);
    hub.forget_position(&channel("news"));
    let (_, waiting) = hub.stand_up(old, 1).unwrap().moved.unwrap();
    let late = sit(&mut hub, 3);
    assert_eq!(hub.activate(waiting, Some(at(5))).unwrap_err(), Missed::NotKept);
    assert_eq!(hub.activate(late, Some(at(9))).unwrap().len(), 0);
}

#[test]
fn a_member_takes_16_bytes() {
    assert_eq!(size_of::<Member>(), 16);
}
