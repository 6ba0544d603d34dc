//! What every engine must do, as behaviours: functions that panic where an engine does otherwise.
//! [`engine_contract!`](crate::engine_contract) makes a test of each, so that an engine's own tests name what
//! they hold.
//!
//! A behaviour uses channels of names of its own. An engine that keeps things beyond the process starts each
//! subject empty.

pub mod broker;
pub mod history;
pub mod presence;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake, Waker},
    thread::{self, Thread},
};

use rand::rngs::StdRng;
use wharf_proto::message::{Channel, ClientId, ClientInfo, Data, Position, Publication};

use super::sink::RecordingSink;
use crate::{
    broker::{
        BrokerError, BrokerSink, Context, Engine, HistoryFilter, HistoryPage, HistoryPolicy, Pending,
        PublishRequest, Published,
    },
    time::Millis,
};

/// An engine to be judged, with its time.
pub trait Subject: Send + Sync {
    /// Starts an engine that hands over to `sink`, with nothing in it.
    fn start(&self, sink: Arc<dyn BrokerSink>) -> Arc<dyn Engine>;
    /// What the engine is told of the time.
    fn now(&self) -> Millis;
    /// Lets time pass: a simulated clock steps, an engine with a clock of its own waits. The behaviours let
    /// some seconds pass at most.
    fn pass_ms(&self, ms: u64);
    /// Runs a call that finishes later. An engine on a runtime of its own may keep this.
    fn finish(&self, mut later: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while later.as_mut().poll(&mut TaskContext::from_waker(&waker)) == Poll::Pending {
            thread::park();
        }
    }
}

/// Makes one test of each behaviour, in a module of the given name. The expression makes a [`Subject`].
///
/// ```ignore
/// wharf_core::engine_contract!(redis_contract, RedisSubject::start());
/// ```
#[macro_export]
macro_rules! engine_contract {
    ($module:ident, $subject:expr) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $crate::engine_contract!(@tests $subject, broker:
                hands_over_what_was_published_with_its_position,
                hands_over_without_position_where_nothing_is_kept,
                a_publication_that_is_not_kept_takes_no_offset,
                offsets_are_contiguous_and_count_from_one,
                concurrent_publishers_are_heard_in_the_order_of_their_offsets,
                a_known_key_publishes_nothing_and_answers_the_first_outcome,
                a_known_key_has_its_outcome_without_history_too,
                the_same_key_in_another_channel_is_another_key,
                concurrent_publishers_of_one_key_publish_once,
                a_join_is_never_overtaken_by_its_leave,
            );
            $crate::engine_contract!(@tests $subject, history:
                an_unused_channel_has_an_epoch_and_offset_zero,
                the_epoch_stays_from_the_first_question_to_the_first_publication,
                keeps_no_more_than_the_size,
                a_smaller_size_trims_what_is_kept,
                publications_run_out_by_age_and_the_position_stays,
                a_shorter_age_holds_though_older_publications_had_a_longer,
                a_limit_takes_the_oldest_first_and_zero_takes_none,
                reverse_takes_the_newest_first,
                since_is_exclusive_both_ways,
                a_trimmed_past_shows_as_a_gap_after_the_position_asked_for,
                a_future_offset_finds_nothing_and_the_page_tells_the_top,
                a_wrong_epoch_shows_in_the_page,
                removing_the_history_keeps_the_position,
                removing_the_history_of_an_unknown_channel_is_no_error,
                a_position_that_nobody_used_is_forgotten_and_the_epoch_is_new,
                use_keeps_a_position,
                a_position_outlives_its_publications_whatever_the_policy,
                reading_during_publishing_sees_no_hole,
            );
            $crate::engine_contract!(@tests $subject, presence:
                lists_who_renewed_and_not_who_was_removed,
                a_lease_that_is_not_renewed_runs_out,
                a_renewal_keeps_the_entry_and_takes_the_newer_info,
                a_renewal_after_the_end_is_a_new_entry,
                leases_of_one_client_in_two_channels_are_two,
                stats_count_connections_and_distinct_users,
                removing_who_is_not_there_is_no_error,
            );
        }
    };
    (@tests $subject:expr, $area:ident: $($behaviour:ident,)*) => {
        $(
            #[test]
            fn $behaviour() {
                $crate::testing::contract::$area::$behaviour(&$subject);
            }
        )*
    };
}

/// An engine under test with all that its calls need; the calls here wait for their outcome.
struct Bench<'a> {
    subject: &'a dyn Subject,
    sink: Arc<RecordingSink>,
    engine: Arc<dyn Engine>,
}

/// Keeps ten publications, for longer than a test lasts.
const TEN: HistoryPolicy = HistoryPolicy { size: 10, ttl_ms: 600_000, meta_ttl_ms: 3_600_000 };

const EVERYTHING: HistoryFilter = HistoryFilter { limit: usize::MAX, since_offset: None, reverse: false };

fn bench(subject: &dyn Subject) -> Bench<'_> {
    let sink = RecordingSink::new();
    let engine = subject.start(sink.clone());
    Bench { subject, sink, engine }
}

impl Bench<'_> {
    fn wait<T: Send>(&self, pending: Pending<T>) -> T {
        match pending {
            Pending::Ready(outcome) => outcome,
            Pending::Later(later) => {
                let mut outcome = None;
                self.subject.finish(Box::pin(async { outcome = Some(later.await) }));
                outcome.expect("`finish` ran the call to its end")
            }
        }
    }

    /// A channel of this node: the sink hears of it.
    fn channel(&self, name: &str) -> Channel {
        let channel = channel(name);
        self.wait(self.engine.subscribe(&channel)).expect("subscribes");
        channel
    }

    /// Publishes with randomness of its own, so that many threads may.
    fn try_publish(&self, channel: &Channel, request: PublishRequest) -> Result<Published, BrokerError> {
        let mut rng: StdRng = rand::make_rng();
        let mut context = Context { now: self.subject.now(), rng: &mut rng };
        self.wait(self.engine.publish(channel, request, &mut context))
    }

    /// Publishes a number and answers where it went.
    fn publish(&self, channel: &Channel, number: usize, history: HistoryPolicy) -> Option<Position> {
        let published = self.try_publish(channel, request(number, history, None)).expect("publishes");
        assert!(!published.duplicate);
        published.position
    }

    fn history(&self, channel: &Channel, filter: HistoryFilter, policy: HistoryPolicy) -> HistoryPage {
        let mut rng: StdRng = rand::make_rng();
        let mut context = Context { now: self.subject.now(), rng: &mut rng };
        self.wait(self.engine.history(channel, filter, policy, &mut context)).expect("reads history")
    }

    fn position(&self, channel: &Channel, policy: HistoryPolicy) -> Position {
        self.history(channel, HistoryFilter { limit: 0, ..EVERYTHING }, policy).position
    }

    fn offsets(&self, channel: &Channel, filter: HistoryFilter) -> Vec<u64> {
        offsets(&self.history(channel, filter, TEN))
    }

    fn renew(&self, channel: &Channel, info: &Arc<ClientInfo>, lease_ms: u64) {
        self.wait(self.engine.renew(channel, info, lease_ms, self.subject.now())).expect("renews");
    }

    fn remove(&self, channel: &Channel, client: ClientId) {
        self.wait(self.engine.remove(channel, client)).expect("removes");
    }

    /// Who is present, by client.
    fn present(&self, channel: &Channel) -> Vec<Arc<ClientInfo>> {
        let mut present =
            self.wait(self.engine.presence(channel, self.subject.now())).expect("reads presence");
        present.sort_by_key(|info| info.client);
        present
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("a behaviour names its channel well")
}

fn request(number: usize, history: HistoryPolicy, key: Option<&str>) -> PublishRequest {
    let data = Data::Json(number.to_string().into());
    PublishRequest { data, info: None, tags: None, idempotency_key: key.map(Into::into), history }
}

fn info(user: &str, client: u128) -> Arc<ClientInfo> {
    Arc::new(ClientInfo { user: user.into(), client: ClientId(client), conn_info: None, chan_info: None })
}

fn offsets(page: &HistoryPage) -> Vec<u64> {
    page.publications.iter().map(|publication| publication.offset).collect()
}

fn numbers(publications: &[Arc<Publication>]) -> Vec<String> {
    let number =
        |publication: &Arc<Publication>| String::from_utf8_lossy(publication.data.bytes()).into_owned();
    publications.iter().map(number).collect()
}
