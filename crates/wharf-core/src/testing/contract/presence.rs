//! What every [`PresenceStore`](crate::broker::PresenceStore) must do.

use std::sync::Arc;

use wharf_proto::message::{ClientId, ClientInfo, PresenceStats};

use super::{Subject, bench, info};

const LONG_MS: u64 = 60_000;

/// Presence is who renewed a lease, with all that is known of them.
pub fn lists_who_renewed_and_not_who_was_removed(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    assert_eq!(bench.present(&lobby), []);
    let ann = Arc::new(ClientInfo {
        user: "ann".into(),
        client: ClientId(1),
        conn_info: Some(Box::new("{\"name\":\"Ann\"}".into())),
        chan_info: Some(Box::new("{\"role\":\"host\"}".into())),
    });
    let (ben, eve) = (info("ben", 2), info("eve", 3));
    for info in [&ann, &ben, &eve] {
        bench.renew(&lobby, info, LONG_MS);
    }
    bench.remove(&lobby, ben.client);
    assert_eq!(bench.present(&lobby), [ann, eve]);
}

/// Row 98: whoever does not renew is gone when the lease is over, and not before.
pub fn a_lease_that_is_not_renewed_runs_out(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    let (ghost, ann) = (info("ghost", 1), info("ann", 2));
    bench.renew(&lobby, &ghost, 2_000);
    bench.renew(&lobby, &ann, LONG_MS);
    subject.pass_ms(1_000);
    assert_eq!(bench.present(&lobby).len(), 2);
    subject.pass_ms(1_100);
    assert_eq!(bench.present(&lobby), [ann]);
    let stats = bench.wait(bench.engine.presence_stats(&lobby, subject.now())).expect("reads stats");
    assert_eq!(stats, PresenceStats { num_clients: 1, num_users: 1 });
}

/// Row 98: a renewal counts from its own moment, and is the same entry.
pub fn a_renewal_keeps_the_entry_and_takes_the_newer_info(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    bench.renew(&lobby, &info("ann", 1), 2_000);
    for _ in 0..3 {
        subject.pass_ms(1_200);
        bench.renew(&lobby, &info("ann", 1), 2_000);
    }
    let changed = Arc::new(ClientInfo { conn_info: Some(Box::new("1".into())), ..(*info("ann", 1)).clone() });
    bench.renew(&lobby, &changed, 2_000);
    assert_eq!(bench.present(&lobby), [changed]);
    subject.pass_ms(2_100);
    assert_eq!(bench.present(&lobby), []);
}

/// Somebody who was thought gone may come back.
pub fn a_renewal_after_the_end_is_a_new_entry(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    let ann = info("ann", 1);
    bench.renew(&lobby, &ann, 1_000);
    subject.pass_ms(1_100);
    assert_eq!(bench.present(&lobby), []);
    bench.renew(&lobby, &ann, 1_000);
    assert_eq!(bench.present(&lobby), [ann]);
}

/// A lease is of one client in one channel.
pub fn leases_of_one_client_in_two_channels_are_two(subject: &dyn Subject) {
    let bench = bench(subject);
    let (lobby, game) = (bench.channel("lobby"), bench.channel("game"));
    let ann = info("ann", 1);
    bench.renew(&lobby, &ann, 1_000);
    bench.renew(&game, &ann, LONG_MS);
    subject.pass_ms(1_100);
    assert_eq!(bench.present(&lobby), []);
    assert_eq!(bench.present(&game), [ann]);
}

/// Several connections of one user are one user; so are all without a user.
pub fn stats_count_connections_and_distinct_users(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    let stats = || bench.wait(bench.engine.presence_stats(&lobby, subject.now())).expect("reads stats");
    assert_eq!(stats(), PresenceStats::default());
    for (user, client) in [("ann", 1), ("ann", 2), ("ben", 3), ("", 4), ("", 5)] {
        bench.renew(&lobby, &info(user, client), LONG_MS);
    }
    assert_eq!(stats(), PresenceStats { num_clients: 5, num_users: 3 });
    bench.remove(&lobby, ClientId(1));
    bench.remove(&lobby, ClientId(3));
    assert_eq!(stats(), PresenceStats { num_clients: 3, num_users: 2 });
}

/// There is nothing to remove.
pub fn removing_who_is_not_there_is_no_error(subject: &dyn Subject) {
    let bench = bench(subject);
    let lobby = bench.channel("lobby");
    bench.remove(&lobby, ClientId(1));
    bench.renew(&lobby, &info("ann", 1), LONG_MS);
    bench.remove(&lobby, ClientId(2));
    assert_eq!(bench.present(&lobby), [info("ann", 1)]);
}
