use std::collections::BTreeMap;

use super::*;

const START: Millis = Millis(10_000_000);

fn policy(heartbeat: Heartbeat) -> Policy {
    Policy {
        heartbeat,
        interval_ms: 25_000,
        timeout_ms: 10_000,
        misses: 1,
        counts: Counts::Traffic,
        skips: false,
        is_longest: false,
    }
}

/// A machine that has begun, and what time it is.
struct Peer {
    machine: Liveness,
    now: Millis,
}

impl Peer {
    fn new(policy: Policy) -> Self {
        let mut machine = Liveness::opening(policy, 10_000, START);
        machine.start(0, START);
        Self { machine, now: START }
    }

    /// Lets time pass to the next moment at which something is to be done.
    fn next(&mut self) -> Verdict {
        loop {
            self.now = self.machine.poll_timeout().expect("something is due").max(self.now);
            match self.machine.handle_timeout(self.now) {
                Verdict::Alive => {}
                verdict => return verdict,
            }
        }
    }

    /// Lets time pass while the peer sends something every so often. How many pings went out.
    fn speaks(&mut self, every_ms: u64, times: u32) -> u32 {
        let mut pings = 0;
        for _ in 0..times {
            let until = self.now.after_ms(every_ms);
            while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= until) {
                self.now = due;
                match self.machine.handle_timeout(due) {
                    Verdict::Alive => {}
                    Verdict::Ping => pings += 1,
                    Verdict::Dead => panic!("dead at {due:?} although it speaks"),
                }
            }
            self.now = until;
            self.machine.handle_traffic(until);
        }
        pings
    }

    /// Sends nothing any more: how long until it is found.
    fn dies(&mut self) -> u64 {
        let died = self.now;
        while self.next() != Verdict::Dead {}
        self.now.ms_since(died)
    }
}

#[test]
fn what_was_agreed_on_is_kept_whole() {
    for heartbeat in Manner::HEARTBEATS {
        for (counts, skips, is_longest) in [
            (Counts::Traffic, true, false),
            (Counts::Heartbeats, false, true),
            (Counts::Traffic, false, false),
        ] {
            let agreed = Policy { heartbeat, misses: 3, counts, skips, is_longest, ..policy(heartbeat) };
            assert_eq!(Liveness::opening(agreed, 1, START).policy(), agreed);
        }
    }
}

#[test]
fn figures_beyond_their_bounds_are_taken_as_the_bounds() {
    let wild = Policy { interval_ms: u32::MAX, timeout_ms: u32::MAX, misses: 200, ..policy(Heartbeat::Pong) };
    let kept = Liveness::opening(wild, 1, START).policy();
    assert_eq!(
        (kept.interval_ms, kept.timeout_ms, kept.misses),
        (LONGEST_INTERVAL_MS, LONGEST_INTERVAL_MS, MOST_MISSES)
    );
    let nothing = Policy { interval_ms: 0, timeout_ms: 0, misses: 0, ..policy(Heartbeat::Pong) };
    let kept = Liveness::opening(nothing, 1, START).policy();
    assert_eq!((kept.interval_ms, kept.timeout_ms, kept.misses), (1, 0, 1));
}

// Row 44.
#[test]
fn whoever_falls_silent_is_found_within_the_stated_time_and_not_before_it_could_answer() {
    let asked = [Heartbeat::Pong, Heartbeat::Frame, Heartbeat::PingAndFrame];
    for heartbeat in asked.into_iter().chain([Heartbeat::Peer]) {
        for (misses, skips) in [(1, false), (1, true), (3, false), (3, true)] {
            let agreed = Policy { misses, skips, ..policy(heartbeat) };
            // From silent since the start to silent since the moment before a ping.
            for spoke in 0..60 {
                let mut peer = Peer::new(agreed);
                peer.speaks(977, spoke);
                let found = peer.dies();
                let stated = agreed.found_within_ms().unwrap();
                let step = peer.machine.step_ms();
                assert!(found < stated + step, "{agreed:?} {spoke}: {found} of {stated}");
                let soonest = match heartbeat {
                    Heartbeat::Peer => stated,
                    _ => u64::from(misses) * u64::from(agreed.timeout_ms),
                };
                assert!(found >= soonest, "{agreed:?} {spoke}: {found}");
            }
        }
    }
}

#[test]
fn a_peer_that_may_miss_answers_is_asked_again_each_time() {
    let mut peer = Peer::new(Policy { misses: 3, ..policy(Heartbeat::Pong) });
    assert_eq!(peer.next(), Verdict::Ping);
    let first = peer.now;
    assert_eq!((peer.next(), peer.now.ms_since(first)), (Verdict::Ping, 10_000));
    assert!(peer.machine.handle_heartbeat(peer.now));
    // It has answered: all three may be missing again.
    assert_eq!([peer.next(), peer.next(), peer.next(), peer.next()], {
        let ping = Verdict::Ping;
        [ping, ping, ping, Verdict::Dead]
    });
}

#[test]
fn pings_are_skipped_while_the_peer_speaks() {
    let mut peer = Peer::new(Policy { skips: true, ..policy(Heartbeat::Frame) });
    assert_eq!(peer.speaks(5_000, 100), 0);
    assert_eq!(peer.next(), Verdict::Ping, "and are sent again when it speaks no more");
}

#[test]
fn pings_that_the_client_waits_for_are_never_skipped() {
    let mut peer = Peer::new(policy(Heartbeat::Pong));
    let mut last = START;
    let mut pings = 0;
    while peer.now < START.after_ms(600_000) {
        pings += peer.speaks(100, 1);
        if pings == 1 {
            let waited = peer.now.ms_since(last);
            assert!(waited <= 25_100, "{waited}");
            (last, pings) = (peer.now, 0);
        }
    }
    assert!(peer.now.ms_since(last) <= 25_100, "they went on to the end");
}

#[test]
fn what_a_peer_sends_stands_in_for_the_answer_unless_only_heartbeats_count() {
    let mut peer = Peer::new(policy(Heartbeat::Pong));
    peer.next();
    peer.machine.handle_traffic(peer.now.after_ms(9_000));
    assert_eq!(peer.next(), Verdict::Ping);

    let mut peer = Peer::new(Policy { counts: Counts::Heartbeats, ..policy(Heartbeat::Pong) });
    peer.next();
    peer.machine.handle_traffic(peer.now.after_ms(9_000));
    assert_eq!(peer.next(), Verdict::Dead);

    let mut peer = Peer::new(Policy { counts: Counts::Heartbeats, ..policy(Heartbeat::Peer) });
    peer.machine.handle_traffic(peer.now.after_ms(20_000));
    assert_eq!(peer.next(), Verdict::Dead);
}

#[test]
fn each_ping_opens_the_way_for_one_answer_also_a_late_one() {
    let mut peer = Peer::new(policy(Heartbeat::Pong));
    assert!(!peer.machine.handle_heartbeat(peer.now), "before any ping");
    peer.next();
    peer.machine.handle_traffic(peer.now.after_ms(1));
    peer.next();
    assert!(peer.machine.handle_heartbeat(peer.now), "the first answer, behind an upload");
    assert!(peer.machine.handle_heartbeat(peer.now));
    assert!(!peer.machine.handle_heartbeat(peer.now));
}

#[test]
fn who_cannot_answer_is_pinged_at_its_interval_and_never_dead() {
    let mut peer = Peer::new(policy(Heartbeat::PingOnly));
    peer.next();
    for _ in 0..100 {
        let last = peer.now;
        assert_eq!(peer.next(), Verdict::Ping);
        let waited = peer.now.ms_since(last);
        assert!((24_500..=25_000).contains(&waited), "{waited}");
    }
    assert_eq!(policy(Heartbeat::PingOnly).found_within_ms(), None);
}

#[test]
fn a_peer_that_beats_by_itself_lives_by_keeping_to_its_time() {
    let agreed = Policy {
        interval_ms: 60_000,
        timeout_ms: 0,
        misses: 2,
        counts: Counts::Heartbeats,
        ..policy(Heartbeat::Peer)
    };
    let mut peer = Peer::new(agreed);
    for _ in 0..50 {
        peer.now = peer.now.after_ms(119_999);
        assert_eq!(peer.machine.handle_timeout(peer.now), Verdict::Alive, "one beat may be missing");
        peer.machine.handle_heartbeat(peer.now);
    }
    let found = peer.dies();
    assert!((120_000..121_100).contains(&found), "{found}");
}

#[test]
fn nothing_runs_out_of_one_who_is_being_served() {
    let mut peer = Peer::new(Policy { timeout_ms: 0, ..policy(Heartbeat::Asking) });
    assert_eq!(peer.machine.poll_timeout(), None, "its first request is being served");
    assert_eq!(peer.machine.handle_timeout(Millis(u64::MAX)), Verdict::Alive);
    peer.machine.resume(peer.now);
    peer.machine.pause();
    assert_eq!(peer.machine.poll_timeout(), None);
    peer.machine.resume(peer.now);
    assert_eq!(peer.dies(), 25_000);
}

#[test]
fn who_agreed_on_no_heartbeats_is_never_dead_once_it_is_let_in() {
    let mut peer = Peer::new(policy(Heartbeat::Nobody));
    assert_eq!(peer.machine.poll_timeout(), None);
    peer.machine.handle_traffic(peer.now.after_ms(5));
    peer.machine.set_interval(5_000, 0, peer.now);
    peer.machine.resume(peer.now);
    assert_eq!(peer.machine.poll_timeout(), None);
    assert_eq!(peer.machine.handle_timeout(Millis(u64::MAX)), Verdict::Alive);
    assert_eq!(policy(Heartbeat::Nobody).found_within_ms(), None);
}

#[test]
fn who_is_not_let_in_in_time_is_dead() {
    for heartbeat in Manner::HEARTBEATS {
        let mut machine = Liveness::opening(policy(heartbeat), 7_000, START);
        machine.handle_traffic(START.after_ms(6_999));
        assert_eq!(machine.handle_timeout(START.after_ms(6_999)), Verdict::Alive);
        assert_eq!(machine.handle_timeout(START.after_ms(7_000)), Verdict::Dead);
    }
}

#[test]
fn a_shorter_interval_holds_from_now_on_and_a_longer_one_puts_nothing_off() {
    let mut peer = Peer::new(policy(Heartbeat::Frame));
    peer.machine.set_interval(5_000, 65_535, peer.now);
    assert_eq!(peer.next(), Verdict::Ping);
    assert!(peer.now.ms_since(START) <= 5_000);
    peer.machine.handle_heartbeat(peer.now);
    let due = peer.machine.poll_timeout();
    peer.machine.set_interval(60_000, 65_535, peer.now);
    assert_eq!(peer.machine.poll_timeout(), due);
}

/// Ten thousand that come within a second, with intervals of their own, and speak or do not.
fn pings_by_moment(intervals_ms: &[u32], speaks: bool) -> BTreeMap<Millis, u32> {
    let mut moments = BTreeMap::<Millis, u32>::new();
    for number in 0..10_000_u64 {
        let came = START.after_ms(number % 977);
        let interval_ms = intervals_ms[number as usize % intervals_ms.len()];
        let agreed = Policy { interval_ms, skips: true, ..policy(Heartbeat::Frame) };
        let mut machine = Liveness::opening(agreed, 10_000, came);
        machine.start((number * 6_553 % 65_536) as u16, came);
        if speaks {
            machine.handle_traffic(came.after_ms(12_000));
        }
        let end = START.after_ms(300_000);
        while let Some(due) = machine.poll_timeout().filter(|due| *due < end) {
            // A wheel is late, by up to a step of its own.
            let now = due.after_ms(number % 32);
            if machine.handle_timeout(now) == Verdict::Ping {
                *moments.entry(due).or_default() += 1;
                machine.handle_heartbeat(now.after_ms(number % 300));
            }
        }
    }
    moments
}

#[test]
fn ten_thousand_are_never_pinged_at_once_also_after_they_all_spoke_at_once() {
    for speaks in [false, true] {
        let moments = pings_by_moment(&[25_000], speaks);
        let most = moments.values().max().unwrap();
        assert!(*most <= 300, "{speaks}: {most} at one moment");
    }
}

#[test]
fn intervals_of_many_lengths_share_their_moments() {
    let many: Vec<u32> = (0..500).map(|number| 13_000 + number * 23).collect();
    let moments = pings_by_moment(&many, false);
    let most = moments.values().max().unwrap();
    assert!(*most <= 600, "{most} at one moment");
    let seconds = 300;
    assert!(moments.len() <= seconds * 1_000 / 128, "{} wake-ups in {seconds} s", moments.len());
}

#[test]
fn asking_too_early_does_nothing() {
    for heartbeat in Manner::HEARTBEATS {
        let mut peer = Peer::new(policy(heartbeat));
        let due = peer.machine.poll_timeout();
        for ms in [0, 1, 12_000] {
            assert_eq!(peer.machine.handle_timeout(START.after_ms(ms)), Verdict::Alive);
        }
        assert_eq!(peer.machine.poll_timeout(), due);
    }
}

#[test]
fn who_was_heard_after_the_moment_that_is_served_was_heard() {
    let mut peer = Peer::new(policy(Heartbeat::Pong));
    peer.next();
    let due = peer.machine.poll_timeout().unwrap();
    peer.machine.handle_traffic(due.after_ms(40));
    assert_eq!(peer.machine.handle_timeout(due), Verdict::Alive);
}
