//! What every [`HistoryStore`](crate::broker::HistoryStore) must do.

use std::thread;

use wharf_proto::message::{Channel, Epoch};

use super::{Bench, EVERYTHING, Subject, TEN, bench, numbers};
use crate::broker::{HistoryFilter, HistoryPolicy};

/// Publications live for one second, the position for an hour.
const ONE_SECOND: HistoryPolicy = HistoryPolicy { ttl_ms: 1_000, ..TEN };

const NONE: [u64; 0] = [];

const fn since(offset: u64) -> HistoryFilter {
    HistoryFilter { limit: usize::MAX, since_offset: Some(offset), reverse: false }
}

const fn before(offset: u64) -> HistoryFilter {
    HistoryFilter { reverse: true, ..since(offset) }
}

/// A channel with the publications 1 to `count`.
fn filled(bench: &Bench<'_>, count: usize) -> Channel {
    let channel = bench.channel("filled");
    for number in 1..=count {
        bench.publish(&channel, number, TEN);
    }
    channel
}

/// A subscriber of a new channel gets a position to start from.
pub fn an_unused_channel_has_an_epoch_and_offset_zero(subject: &dyn Subject) {
    let bench = bench(subject);
    let page = bench.history(&bench.channel("unused"), EVERYTHING, TEN);
    assert_eq!((page.publications.len(), page.position.offset), (0, 0));
    assert_ne!(page.position.epoch, bench.position(&bench.channel("other"), TEN).epoch);
}

/// What a subscriber of a new channel was told holds when the first publication comes.
pub fn the_epoch_stays_from_the_first_question_to_the_first_publication(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = bench.channel("unused");
    let asked = bench.position(&channel, TEN);
    assert_eq!(bench.position(&channel, TEN), asked);
    let published = bench.publish(&channel, 1, TEN).expect("history is kept");
    assert_eq!((published.offset, published.epoch), (1, asked.epoch));
}

/// Over the size, the oldest go.
pub fn keeps_no_more_than_the_size(subject: &dyn Subject) {
    let bench = bench(subject);
    let page = bench.history(&filled(&bench, 25), EVERYTHING, TEN);
    assert_eq!(numbers(&page.publications), (16..=25).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(page.position.offset, 25);
}

/// The size of the newest publish counts.
pub fn a_smaller_size_trims_what_is_kept(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 10);
    bench.publish(&channel, 11, HistoryPolicy { size: 3, ..TEN });
    assert_eq!(bench.offsets(&channel, EVERYTHING), [9, 10, 11]);
}

/// What is too old is not answered, and counts as trimmed: the position tells that it was there.
pub fn publications_run_out_by_age_and_the_position_stays(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = bench.channel("aging");
    let first = bench.publish(&channel, 1, ONE_SECOND).expect("history is kept");
    bench.publish(&channel, 2, ONE_SECOND);
    assert_eq!(bench.offsets(&channel, EVERYTHING), [1, 2]);
    subject.pass_ms(1_100);
    let page = bench.history(&channel, since(1), ONE_SECOND);
    assert_eq!((page.publications.len(), page.position.offset, page.position.epoch), (0, 2, first.epoch));
    let third = bench.publish(&channel, 3, ONE_SECOND).expect("history is kept");
    assert_eq!((third.offset, third.epoch), (3, first.epoch));
    assert_eq!(bench.offsets(&channel, since(1)), [3]);
}

/// No publication is answered beyond its age, also one behind an older that might have lived longer; and what
/// is answered has no hole.
pub fn a_shorter_age_holds_though_older_publications_had_a_longer(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 3);
    bench.publish(&channel, 4, ONE_SECOND);
    subject.pass_ms(1_100);
    assert_eq!(bench.offsets(&channel, EVERYTHING), NONE);
    bench.publish(&channel, 5, TEN);
    assert_eq!(bench.offsets(&channel, EVERYTHING), [5]);
}

/// A limit counts from where the reading starts; 0 asks for the position alone.
pub fn a_limit_takes_the_oldest_first_and_zero_takes_none(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 5);
    for (limit, expected) in [(0, &[][..]), (2, &[1, 2]), (5, &[1, 2, 3, 4, 5]), (9, &[1, 2, 3, 4, 5])] {
        assert_eq!(bench.offsets(&channel, HistoryFilter { limit, ..EVERYTHING }), expected, "limit {limit}");
    }
    assert_eq!(bench.offsets(&channel, HistoryFilter { limit: 2, ..since(2) }), [3, 4]);
    assert_eq!(bench.position(&channel, TEN).offset, 5);
}

/// The other way round.
pub fn reverse_takes_the_newest_first(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 5);
    let reverse = HistoryFilter { reverse: true, ..EVERYTHING };
    assert_eq!(bench.offsets(&channel, reverse), [5, 4, 3, 2, 1]);
    assert_eq!(bench.offsets(&channel, HistoryFilter { limit: 2, ..reverse }), [5, 4]);
    assert_eq!(bench.offsets(&channel, HistoryFilter { limit: 2, ..before(4) }), [3, 2]);
}

/// The publication at the position asked from is not answered.
pub fn since_is_exclusive_both_ways(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 5);
    for (offset, after, ahead) in [
        (0, &[1, 2, 3, 4, 5][..], &[][..]),
        (1, &[2, 3, 4, 5], &[]),
        (3, &[4, 5], &[2, 1]),
        (5, &[], &[4, 3, 2, 1]),
        (6, &[], &[5, 4, 3, 2, 1]),
    ] {
        assert_eq!(bench.offsets(&channel, since(offset)), after, "since {offset}");
        assert_eq!(bench.offsets(&channel, before(offset)), ahead, "before {offset}");
    }
}

/// Row 96: whoever asks from before what is kept sees that the first answered is not the next.
pub fn a_trimmed_past_shows_as_a_gap_after_the_position_asked_for(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 15);
    assert_eq!(bench.offsets(&channel, since(2))[0], 6);
    assert_eq!(bench.offsets(&channel, since(5))[0], 6);
    assert_eq!(bench.offsets(&channel, before(3)), NONE);
}

/// Row 96: a position from the future finds nothing, and the page tells where the channel really is.
pub fn a_future_offset_finds_nothing_and_the_page_tells_the_top(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 3);
    for offset in [4, 1_000, u64::MAX] {
        let page = bench.history(&channel, since(offset), TEN);
        assert_eq!((page.publications.len(), page.position.offset), (0, 3), "since {offset}");
    }
    assert_eq!(bench.offsets(&channel, before(u64::MAX)), [3, 2, 1]);
}

/// Row 96: the page carries the epoch, so that a caller with another one sees that its offset means nothing.
pub fn a_wrong_epoch_shows_in_the_page(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 3);
    let wrong = Epoch::from_random(0);
    let page = bench.history(&channel, since(1), TEN);
    assert_ne!(page.position.epoch, wrong);
    assert_eq!(page.position.epoch, bench.position(&channel, TEN).epoch);
}

/// Nothing is answered any more, and the next publication goes on counting.
pub fn removing_the_history_keeps_the_position(subject: &dyn Subject) {
    let bench = bench(subject);
    let channel = filled(&bench, 3);
    let held = bench.position(&channel, TEN);
    bench.wait(bench.engine.history_remove(&channel)).expect("removes");
    let page = bench.history(&channel, EVERYTHING, TEN);
    assert_eq!((page.publications.len(), page.position), (0, held));
    let next = bench.publish(&channel, 4, TEN).expect("history is kept");
    assert_eq!((next.offset, next.epoch), (4, held.epoch));
    assert_eq!(bench.offsets(&channel, EVERYTHING), [4]);
}

/// There is nothing to remove.
pub fn removing_the_history_of_an_unknown_channel_is_no_error(subject: &dyn Subject) {
    let bench = bench(subject);
    bench.wait(bench.engine.history_remove(&bench.channel("unknown"))).expect("removes nothing");
}

/// The life of the channel ends; whoever comes back with a position of it sees another epoch.
pub fn a_position_that_nobody_used_is_forgotten_and_the_epoch_is_new(subject: &dyn Subject) {
    let bench = bench(subject);
    let brief = HistoryPolicy { meta_ttl_ms: 2_000, ..ONE_SECOND };
    let channel = bench.channel("brief");
    let first = bench.publish(&channel, 1, brief).expect("history is kept");
    subject.pass_ms(2_100);
    let later = bench.publish(&channel, 2, brief).expect("history is kept");
    assert_eq!(later.offset, 1);
    assert_ne!(later.epoch, first.epoch);
    subject.pass_ms(2_100);
    let asked = bench.position(&channel, brief);
    assert_eq!(asked.offset, 0);
    assert_ne!(asked.epoch, later.epoch);
}

/// A question is a use.
pub fn use_keeps_a_position(subject: &dyn Subject) {
    let bench = bench(subject);
    let brief = HistoryPolicy { meta_ttl_ms: 2_000, ..ONE_SECOND };
    let channel = bench.channel("used");
    let first = bench.publish(&channel, 1, brief).expect("history is kept");
    for _ in 0..3 {
        subject.pass_ms(1_200);
        assert_eq!(bench.position(&channel, brief), first);
    }
}

/// A position that is kept for a shorter time than the publications is kept for as long as they are.
pub fn a_position_outlives_its_publications_whatever_the_policy(subject: &dyn Subject) {
    let bench = bench(subject);
    let policy = HistoryPolicy { ttl_ms: 3_000, meta_ttl_ms: 1, ..TEN };
    let channel = bench.channel("outlived");
    let first = bench.publish(&channel, 1, policy).expect("history is kept");
    subject.pass_ms(1_500);
    let page = bench.history(&channel, EVERYTHING, policy);
    assert_eq!((page.publications.len(), page.position), (1, first));
}

/// Row 97: while one publishes, each page that another reads is without a hole and ends at its own position.
pub fn reading_during_publishing_sees_no_hole(subject: &dyn Subject) {
    const COUNT: u64 = 300;
    let bench = bench(subject);
    let channel = bench.channel("busy");
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for number in 1..=COUNT {
                bench.publish(&channel, number as usize, TEN);
            }
        });
        while !publisher.is_finished() {
            let page = bench.history(&channel, EVERYTHING, TEN);
            let top = page.position.offset;
            let expected: Vec<u64> = (top.saturating_sub(9).max(1)..=top).collect();
            assert_eq!(super::offsets(&page), expected);
        }
    });
    assert_eq!(bench.position(&channel, TEN).offset, COUNT);
}
