//! What every [`Broker`](crate::broker::Broker) must do.

use std::{
    collections::HashMap,
    sync::{Arc, Barrier},
    thread,
};

use wharf_proto::message::{ClientId, Data, Epoch};

use super::{EVERYTHING, Subject, TEN, bench, channel, info, numbers, request};
use crate::{
    broker::{HistoryPolicy, PublishRequest},
    testing::sink::Heard,
};

const NOTHING: HistoryPolicy = HistoryPolicy { size: 0, ttl_ms: 0, meta_ttl_ms: 0 };
const PUBLISHERS: usize = 4;

/// Content, publisher and tags reach the sink as they were, with the position that the publisher is told.
pub fn hands_over_what_was_published_with_its_position(subject: &dyn Subject) {
    let bench = bench(subject);
    let news = bench.channel("news");
    let tags = Some(Arc::new(vec![("kind".into(), "sport".into())]));
    let data = Data::Json("{\"goal\":1}".into());
    let publisher = info("u", 7);
    let request = PublishRequest {
        data: data.clone(),
        info: Some(publisher.clone()),
        tags: tags.clone(),
        idempotency_key: None,
        history: TEN,
    };
    let position = bench.try_publish(&news, request).expect("publishes").position.expect("history is kept");
    let [Heard::Publication(heard, epoch)] = &bench.sink.wait_for(&news, 1)[..] else {
        panic!("heard {:?}", bench.sink.heard(&news));
    };
    assert_eq!((&heard.data, &heard.info, &heard.tags), (&data, &Some(publisher), &tags));
    assert_eq!((heard.offset, *epoch), (position.offset, Some(position.epoch)));
    assert_eq!(bench.history(&news, EVERYTHING, TEN).publications, std::slice::from_ref(heard));
}

/// Without history there is neither offset nor epoch, for the publisher or the sink.
pub fn hands_over_without_position_where_nothing_is_kept(subject: &dyn Subject) {
    let bench = bench(subject);
    let fleeting = bench.channel("fleeting");
    assert_eq!(bench.publish(&fleeting, 1, NOTHING), None);
    assert_eq!(bench.publish(&fleeting, 2, NOTHING), None);
    let heard = bench.sink.wait_for(&fleeting, 2);
    for heard in &heard {
        assert!(
            matches!(heard, Heard::Publication(publication, None) if publication.offset == 0),
            "heard {heard:?}"
        );
    }
    assert_eq!(numbers(&bench.sink.wait_for_publications(&fleeting, 2)), ["1", "2"]);
}

/// A publish that skips the history leaves the position of the channel as it was.
pub fn a_publication_that_is_not_kept_takes_no_offset(subject: &dyn Subject) {
    let bench = bench(subject);
    let mixed = bench.channel("mixed");
    let first = bench.publish(&mixed, 1, TEN).expect("history is kept");
    assert_eq!(bench.publish(&mixed, 2, NOTHING), None);
    let second = bench.publish(&mixed, 3, TEN).expect("history is kept");
    assert_eq!((first.offset, second.offset, second.epoch), (1, 2, first.epoch));
    assert_eq!(numbers(&bench.history(&mixed, EVERYTHING, TEN).publications), ["1", "3"]);
}

/// Offsets count from 1 without a hole, in one epoch, for each channel by itself.
pub fn offsets_are_contiguous_and_count_from_one(subject: &dyn Subject) {
    let bench = bench(subject);
    let (one, other) = (bench.channel("one"), bench.channel("other"));
    let mut epochs: HashMap<&str, Vec<Epoch>> = HashMap::new();
    for number in 1..=20 {
        for (name, channel) in [("one", &one), ("other", &other)] {
            let position = bench.publish(channel, number, TEN).expect("history is kept");
            assert_eq!(position.offset, number as u64, "in {name}");
            epochs.entry(name).or_default().push(position.epoch);
        }
    }
    for epochs in epochs.values_mut() {
        epochs.dedup();
        assert_eq!(epochs.len(), 1, "the epoch changed");
    }
}

/// Threads that publish into the same channels at once: each channel is heard in the order of its offsets,
/// without a hole; each publisher's own publications stay in their order.
pub fn concurrent_publishers_are_heard_in_the_order_of_their_offsets(subject: &dyn Subject) {
    const EACH: usize = 1_000;
    let bench = bench(subject);
    let channels = ["red", "green"].map(|name| bench.channel(name));
    let start = Barrier::new(PUBLISHERS);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (bench, channels, start) = (&bench, &channels, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    for channel in channels {
                        bench.publish(channel, publisher * EACH + number, TEN);
                    }
                }
            });
        }
    });
    for channel in &channels {
        let heard = bench.sink.wait_for_publications(channel, PUBLISHERS * EACH);
        let offsets: Vec<u64> = heard.iter().map(|publication| publication.offset).collect();
        assert_eq!(offsets, (1..=(PUBLISHERS * EACH) as u64).collect::<Vec<_>>());
        let mut last = [None; PUBLISHERS];
        for number in numbers(&heard) {
            let number: usize = number.parse().expect("a number was published");
            let (publisher, number) = (number / EACH, number % EACH);
            assert!(last[publisher] < Some(number), "publisher {publisher} was overtaken by itself");
            last[publisher] = Some(number);
        }
    }
}

/// Row 95: the same key gives one offset, and the second publisher learns the first one's outcome.
pub fn a_known_key_publishes_nothing_and_answers_the_first_outcome(subject: &dyn Subject) {
    let bench = bench(subject);
    let orders = bench.channel("orders");
    let first = bench.try_publish(&orders, request(1, TEN, Some("key"))).expect("publishes");
    let between = bench.publish(&orders, 2, TEN).expect("history is kept");
    let again = bench.try_publish(&orders, request(3, TEN, Some("key"))).expect("answers");
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(again.position, first.position);
    let other = bench.try_publish(&orders, request(4, TEN, Some("other key"))).expect("publishes");
    assert!(!other.duplicate);
    assert_eq!(other.position.expect("history is kept").offset, between.offset + 1);
    assert_eq!(numbers(&bench.sink.wait_for_publications(&orders, 3)), ["1", "2", "4"]);
    assert_eq!(numbers(&bench.history(&orders, EVERYTHING, TEN).publications), ["1", "2", "4"]);
}

/// Row 95, for a channel that keeps no history.
pub fn a_known_key_has_its_outcome_without_history_too(subject: &dyn Subject) {
    let bench = bench(subject);
    let fleeting = bench.channel("fleeting");
    let first = bench.try_publish(&fleeting, request(1, NOTHING, Some("key"))).expect("publishes");
    let again = bench.try_publish(&fleeting, request(2, NOTHING, Some("key"))).expect("answers");
    assert_eq!((first.position, first.duplicate), (None, false));
    assert_eq!((again.position, again.duplicate), (None, true));
    bench.publish(&fleeting, 3, NOTHING);
    assert_eq!(numbers(&bench.sink.wait_for_publications(&fleeting, 2)), ["1", "3"]);
}

/// Keys are known by channel.
pub fn the_same_key_in_another_channel_is_another_key(subject: &dyn Subject) {
    let bench = bench(subject);
    for name in ["one", "other"] {
        let channel = bench.channel(name);
        let published = bench.try_publish(&channel, request(1, TEN, Some("key"))).expect("publishes");
        assert!(!published.duplicate, "in {name}");
    }
}

/// Row 95, with everybody at once: one of them publishes, the others learn where.
pub fn concurrent_publishers_of_one_key_publish_once(subject: &dyn Subject) {
    let bench = bench(subject);
    let orders = bench.channel("orders");
    for round in 0..20 {
        let key = format!("key-{round}");
        let outcomes: Vec<_> = thread::scope(|scope| {
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|_| scope.spawn(|| bench.try_publish(&orders, request(round, TEN, Some(&key)))))
                .collect();
            publishers
                .into_iter()
                .map(|publisher| publisher.join().expect("ends").expect("answers"))
                .collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.duplicate).count(), 1);
        assert!(
            outcomes.iter().all(|outcome| outcome.position.is_some_and(|at| at.offset == round as u64 + 1))
        );
    }
}

/// Clients that come and go at once from several threads: each is heard to join before it leaves.
pub fn a_join_is_never_overtaken_by_its_leave(subject: &dyn Subject) {
    const EACH: u128 = 50;
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    thread::scope(|scope| {
        for worker in 0..PUBLISHERS as u128 {
            let (bench, lobby) = (&bench, &lobby);
            scope.spawn(move || {
                for client in 0..EACH {
                    let info = info("u", worker * EACH + client);
                    bench.wait(bench.engine.publish_join(lobby, info.clone())).expect("joins");
                    bench.wait(bench.engine.publish_leave(lobby, info)).expect("leaves");
                }
            });
        }
    });
    let mut joined: Vec<ClientId> = Vec::new();
    let heard = bench.sink.wait_for(&channel("lobby"), PUBLISHERS * EACH as usize * 2);
    assert_eq!(heard.len(), PUBLISHERS * EACH as usize * 2);
    for heard in heard {
        match heard {
            Heard::Join(info) => joined.push(info.client),
            Heard::Leave(info) => {
                let at = joined.iter().position(|client| *client == info.client);
                joined.swap_remove(at.unwrap_or_else(|| panic!("{} left before it joined", info.client)));
            }
            Heard::Publication(..) => panic!("nobody published"),
        }
    }
    assert_eq!(joined, []);
}
