//! The publish keys that one channel has seen, and what each came to.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use wharf_proto::message::Position;

use crate::{broker::IDEMPOTENCY_MS, time::Millis};

/// The longest publish key, in bytes. See LIMITS.md, `idempotency_key_bytes`.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Every key is remembered for the same time, so the oldest runs out first.
#[derive(Default)]
pub(super) struct Keys {
    outcomes: HashMap<Arc<str>, Outcome>,
    oldest_first: VecDeque<Arc<str>>,
}

struct Outcome {
    position: Option<Position>,
    expires: Millis,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.oldest_first.len()
    }

    /// Where the publish with this key went, if the key is known and has not run out.
    pub(super) fn outcome_of(&self, key: &str, now: Millis) -> Option<Option<Position>> {
        self.outcomes.get(key).filter(|outcome| outcome.expires > now).map(|outcome| outcome.position)
    }

    /// Remembers a key that is not known; over `most`, the oldest is forgotten.
    pub(super) fn remember(&mut self, key: Box<str>, position: Option<Position>, most: usize, now: Millis) {
        self.expire(now);
        while self.len() >= most.max(1) {
            self.forget_oldest();
        }
        let key: Arc<str> = key.into();
        self.outcomes.insert(key.clone(), Outcome { position, expires: now.after_ms(IDEMPOTENCY_MS) });
        self.oldest_first.push_back(key);
    }

    /// Forgets the keys that have run out, and answers how many.
    pub(super) fn expire(&mut self, now: Millis) -> usize {
        let before = self.len();
        while self.oldest_first.front().is_some_and(|oldest| self.outcome_of(oldest, now).is_none()) {
            self.forget_oldest();
        }
        before - self.len()
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.oldest_first.pop_front() {
            self.outcomes.remove(&oldest);
        }
    }
}
