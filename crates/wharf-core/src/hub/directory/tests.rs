use std::{
    collections::HashSet,
    sync::{Mutex, atomic::AtomicBool},
    thread,
};

use wharf_proto::message::{ClientId, Data};

use super::*;

/// Keeps what it is pushed, up to a bound.
struct Kept {
    bound: usize,
    broadcasts: Mutex<Vec<Arc<SharedBroadcast>>>,
    lost: Mutex<Vec<Channel>>,
}

impl Kept {
    fn bounded(bound: usize) -> Arc<Self> {
        Arc::new(Self { bound, broadcasts: Mutex::default(), lost: Mutex::default() })
    }

    fn broadcasts(&self) -> Vec<Arc<SharedBroadcast>> {
        self.broadcasts.lock().unwrap().clone()
    }

    fn offsets(&self) -> Vec<u64> {
        self.broadcasts().iter().map(|broadcast| broadcast.position().unwrap().offset).collect()
    }
}

impl Inbox for Kept {
    fn try_push(&self, broadcast: &Arc<SharedBroadcast>) -> Result<(), InboxFull> {
        let mut broadcasts = self.broadcasts.lock().unwrap();
        if broadcasts.len() == self.bound {
            return Err(InboxFull);
        }
        broadcasts.push(broadcast.clone());
        Ok(())
    }

    fn mark_lost(&self, channel: &Channel) {
        self.lost.lock().unwrap().push(channel.clone());
    }
}

fn directory(inboxes: &[&Arc<Kept>]) -> Directory {
    Directory::new(inboxes.iter().map(|inbox| (*inbox).clone() as Arc<dyn Inbox>).collect())
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn publish(directory: &Directory, channel: &Channel, offset: u64) {
    let publication = Publication { data: Data::Json("1".into()), info: None, offset, tags: None };
    directory.handle_publication(channel, Arc::new(publication), Some(Epoch::from_random(1)));
}

#[test]
fn only_the_first_and_last_member_on_the_node_concern_the_broker() {
    let directory = directory(&[&Kept::bounded(0), &Kept::bounded(0), &Kept::bounded(0)]);
    let news = channel("news");
    assert!(directory.subscribe(&news, 2));
    assert!(!directory.subscribe(&news, 0));
    assert!(!directory.subscribe(&news, 2));
    assert!(!directory.subscribe(&news, 1));
    assert_eq!((directory.members(&news), directory.subscription_count()), (4, 4));
    for worker in [2, 2, 1] {
        assert!(!directory.unsubscribe(&news, worker));
    }
    assert!(directory.unsubscribe(&news, 0));
    assert_eq!(
        (directory.members(&news), directory.subscription_count(), directory.channel_count()),
        (0, 0, 0)
    );
    assert!(directory.subscribe(&news, 1), "the channel begins anew");
}

#[test]
fn a_member_that_was_never_counted_changes_nothing() {
    let directory = directory(&[&Kept::bounded(0), &Kept::bounded(0)]);
    let news = channel("news");
    assert!(!directory.unsubscribe(&news, 0));
    directory.subscribe(&news, 0);
    assert!(!directory.unsubscribe(&news, 1));
    assert_eq!((directory.members(&news), directory.subscription_count()), (1, 1));
}

#[test]
fn each_interested_worker_is_pushed_the_same_broadcast_once() {
    let (first, second, idle) = (Kept::bounded(9), Kept::bounded(9), Kept::bounded(9));
    let directory = directory(&[&first, &second, &idle]);
    let news = channel("news");
    for worker in [0, 1, 1, 0] {
        directory.subscribe(&news, worker);
    }
    directory.subscribe(&channel("other"), 2);
    publish(&directory, &news, 1);
    assert_eq!((first.offsets(), second.offsets(), idle.offsets()), (vec![1], vec![1], vec![]));
    assert!(Arc::ptr_eq(&first.broadcasts()[0], &second.broadcasts()[0]));
    assert_eq!(first.broadcasts()[0].broadcast().channel, news);
}

#[test]
fn joins_and_leaves_reach_the_workers_in_their_order() {
    let inbox = Kept::bounded(9);
    let directory = directory(&[&inbox]);
    let news = channel("news");
    let info =
        Arc::new(ClientInfo { user: "u".into(), client: ClientId(1), conn_info: None, chan_info: None });
    directory.subscribe(&news, 0);
    directory.handle_join(&news, info.clone());
    directory.handle_leave(&news, info.clone());
    let said: Vec<_> = inbox.broadcasts().iter().map(|said| said.broadcast().body.clone()).collect();
    assert_eq!(said, [BroadcastBody::Join(info.clone()), BroadcastBody::Leave(info)]);
}

#[test]
fn nothing_is_pushed_after_the_last_member_left() {
    let inbox = Kept::bounded(9);
    let directory = directory(&[&inbox]);
    let news = channel("news");
    publish(&directory, &news, 1);
    directory.subscribe(&news, 0);
    publish(&directory, &news, 2);
    directory.unsubscribe(&news, 0);
    publish(&directory, &news, 3);
    assert_eq!(inbox.offsets(), [2]);
}

// Row 94.
#[test]
fn a_full_inbox_loses_the_channel_on_its_worker_and_on_no_other() {
    let (slow, fast) = (Kept::bounded(1), Kept::bounded(9));
    let directory = directory(&[&slow, &fast]);
    let news = channel("news");
    directory.subscribe(&news, 0);
    directory.subscribe(&news, 1);
    for offset in 1..=3 {
        publish(&directory, &news, offset);
    }
    assert_eq!((slow.offsets(), fast.offsets()), (vec![1], vec![1, 2, 3]));
    assert_eq!(*slow.lost.lock().unwrap(), [news.clone(), news]);
    assert!(fast.lost.lock().unwrap().is_empty());
    assert_eq!(directory.refused_count(), 2);
}

#[test]
fn lists_channels_by_pattern_up_to_a_limit() {
    let directory = directory(&[&Kept::bounded(0), &Kept::bounded(0)]);
    for number in 0..100 {
        directory.subscribe(&channel(&format!("chat:{number}")), 0);
        directory.subscribe(&channel(&format!("news:{number}")), 1);
    }
    directory.subscribe(&channel("news:7"), 0);
    let glob = Glob::parse("news:?").unwrap();
    let found = directory.channels(Some(&glob), 1_000);
    assert_eq!(found.len(), 10);
    assert!(found.contains(&(channel("news:7"), 2)) && found.contains(&(channel("news:8"), 1)));
    assert_eq!(directory.channels(Some(&glob), 3).len(), 3);
    assert_eq!(directory.channels(None, 0), []);
    let all: HashSet<Channel> =
        directory.channels(None, 1_000).into_iter().map(|(channel, _)| channel).collect();
    assert_eq!((all.len(), directory.channel_count()), (200, 200));
}

#[test]
fn workers_that_come_and_go_while_others_publish_see_one_order() {
    let inboxes = [Kept::bounded(usize::MAX), Kept::bounded(usize::MAX)];
    let directory = directory(&[&inboxes[0], &inboxes[1]]);
    let news = channel("news");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..2 {
            let (directory, news, done) = (&directory, &news, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    directory.subscribe(news, worker);
                    directory.unsubscribe(news, worker);
                }
            });
        }
        for offset in 1..=2_000 {
            publish(&directory, &news, offset);
        }
        done.store(true, Ordering::Relaxed);
    });
    for inbox in &inboxes {
        assert!(inbox.offsets().is_sorted_by(|earlier, later| earlier < later));
    }
    assert_eq!((directory.members(&news), directory.subscription_count()), (0, 0));
}
