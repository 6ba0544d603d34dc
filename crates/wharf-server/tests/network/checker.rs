//! The publish checker: what publishers were told and what subscribers heard, held against the contract.
//!
//! A publication that was acknowledged is in the history, once. A subscriber hears each offset once and in order,
//! or is told that some are lost and from where on it hears again. Nobody is left waiting.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::common::server::Server;

/// The most that is published in a channel, and read from its history.
pub const MOST_PUBLICATIONS: u32 = 10_000;

/// A publication: who published it, and as its how manyeth attempt.
pub type Attempt = (u64, u64);

/// Reads what a publisher wrote into a publication.
fn attempt(data: &Value) -> Attempt {
    let number = |at: usize| data[at].as_u64().unwrap_or_else(|| panic!("nobody published {data}"));
    (number(0), number(1))
}

/// What was published in a channel: by offset, from 1 on.
pub struct Truth {
    channel: &'static str,
    epoch: Value,
    attempts: Vec<Attempt>,
}

impl Truth {
    /// Asks the server, which must keep everything that ever was published there.
    #[track_caller]
    pub fn ask(server: &Server, channel: &'static str) -> Self {
        let history = server.api("history", &json!({"channel": channel, "limit": MOST_PUBLICATIONS}));
        let publications = history["publications"].as_array().expect("a list");
        for (publication, offset) in publications.iter().zip(1_u64..) {
            assert_eq!(publication["offset"], offset, "offsets are contiguous");
        }
        assert_eq!(history["offset"], publications.len(), "the history is whole");
        let attempts = publications.iter().map(|publication| attempt(&publication["data"])).collect();
        Self { channel, epoch: history["epoch"].clone(), attempts }
    }

    /// For a channel that forgets: the one who published there knows.
    pub fn told(server: &Server, channel: &'static str, attempts: Vec<Attempt>) -> Self {
        let history = server.api("history", &json!({"channel": channel}));
        assert_eq!(history["offset"], attempts.len());
        Self { channel, epoch: history["epoch"].clone(), attempts }
    }

    /// How much was published.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Each attempt is there once at most, and once if it was acknowledged.
    #[track_caller]
    pub fn assert_holds(&self, acknowledged: &[Attempt]) {
        let mut times: HashMap<Attempt, u32> = HashMap::new();
        for attempt in &self.attempts {
            *times.entry(*attempt).or_default() += 1;
        }
        for (attempt, times) in &times {
            assert_eq!(*times, 1, "{attempt:?} was published once and stored {times} times");
        }
        for attempt in acknowledged {
            assert!(times.contains_key(attempt), "{attempt:?} was acknowledged, and is not there");
        }
    }
}

/// What a subscriber heard in a channel.
#[derive(Debug, Default)]
pub struct Heard {
    /// How often it was told that publications were lost to it.
    pub losses: usize,
    /// The next publication must have this offset; none before the first subscription.
    next: Option<u64>,
}

impl Heard {
    /// Takes in one line of `wharf subscribe`. `subscribed` and `publication` of another channel say nothing.
    #[track_caller]
    pub fn take(&mut self, event: &Value, truth: &Truth) {
        if event["channel"] != truth.channel {
            return;
        }
        let offset = event["offset"].as_u64().expect("both channels have positions");
        match event["event"].as_str() {
            Some("subscribed") => {
                assert_eq!(event["epoch"], truth.epoch, "{event}");
                let first = self.next.is_none();
                if event["lost"] == true {
                    self.losses += 1;
                    assert!(
                        self.next.is_some_and(|next| next <= offset),
                        "{event}: nothing can have been lost"
                    );
                    self.next = Some(offset + 1);
                }
                // Recovered: it stands where it stood, and what it missed follows.
                assert_eq!(*self.next.get_or_insert(offset + 1), offset + 1, "{event}");
                assert!(first || event["recovered"] == true || event["lost"] == true, "{event}");
            }
            Some("publication") => {
                assert_eq!(Some(offset), self.next, "{event}: each offset once, in order, or a gap is told");
                assert_eq!(attempt(&event["data"]), truth.attempts[offset as usize - 1], "{event}");
                self.next = Some(offset + 1);
            }
            _ => panic!("{event} is not expected"),
        }
    }

    /// It heard, or was told that it lost, everything.
    pub fn is_complete(&self, truth: &Truth) -> bool {
        self.next.is_some_and(|next| next > truth.attempts.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &str = "checked";

    fn truth(attempts: &[Attempt]) -> Truth {
        Truth { channel: CHANNEL, epoch: "e".into(), attempts: attempts.to_vec() }
    }

    fn subscribed(offset: u64, told: &str) -> Value {
        let mut event = json!({"event": "subscribed", "channel": CHANNEL, "offset": offset, "epoch": "e"});
        event[told] = true.into();
        event
    }

    fn publication(offset: u64) -> Value {
        json!({"event": "publication", "channel": CHANNEL, "offset": offset, "data": [1, offset]})
    }

    /// A subscriber to three publications, who hears so.
    fn hear(events: &[Value]) -> Heard {
        let (mut heard, truth) = (Heard::default(), truth(&[(1, 1), (1, 2), (1, 3)]));
        events.iter().for_each(|event| heard.take(event, &truth));
        assert!(heard.is_complete(&truth), "left waiting");
        heard
    }

    #[test]
    fn a_subscriber_may_hear_all_or_be_told_what_it_lost() {
        let first = subscribed(0, "first");
        let all = [1, 2, 3].map(publication);
        assert_eq!(hear(&[std::slice::from_ref(&first), &all[..]].concat()).losses, 0);
        let recovered =
            [first.clone(), publication(1), subscribed(1, "recovered"), publication(2), publication(3)];
        assert_eq!(hear(&recovered).losses, 0);
        assert_eq!(hear(&[first.clone(), publication(1), subscribed(3, "lost")]).losses, 1);
        assert_eq!(hear(&[first, subscribed(2, "lost"), publication(3)]).losses, 1);
    }

    #[test]
    fn a_subscriber_that_misses_one_hears_one_twice_or_waits_breaks_the_contract() {
        let first = || subscribed(0, "first");
        for events in [
            vec![first(), publication(1), publication(3)],
            vec![first(), publication(1), publication(1), publication(2), publication(3)],
            vec![first(), publication(2), publication(1), publication(3)],
            vec![first(), publication(1), publication(2)],
            vec![first(), publication(1), subscribed(2, "recovered"), publication(3)],
            vec![
                first(),
                publication(1),
                publication(2),
                subscribed(1, "lost"),
                publication(2),
                publication(3),
            ],
        ] {
            let broken = std::panic::catch_unwind(|| hear(&events)).is_err();
            assert!(broken, "{events:?} passes");
        }
    }

    #[test]
    fn a_publication_that_was_acknowledged_and_is_not_there_or_twice_breaks_the_contract() {
        let holds = |attempts: &[Attempt], acknowledged: &[Attempt]| {
            std::panic::catch_unwind(|| truth(attempts).assert_holds(acknowledged)).is_ok()
        };
        assert!(holds(&[(1, 1), (2, 1), (1, 2)], &[(1, 1), (2, 1)]));
        assert!(!holds(&[(1, 1)], &[(1, 1), (1, 2)]));
        assert!(!holds(&[(1, 1), (1, 1)], &[]));
    }
}
