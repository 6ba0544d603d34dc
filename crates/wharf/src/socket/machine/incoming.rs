//! What came and was not taken yet by whoever reads.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Event, outgoing::MESSAGE_COST};

/// Events that wait, in order.
#[derive(Debug, Default)]
pub struct Incoming {
    waiting: VecDeque<Event>,
    /// The messages' bytes, and [`MESSAGE_COST`] for each.
    cost: usize,
    /// Nobody reads any more.
    discards: bool,
}

impl Incoming {
    /// Whether more may come.
    pub fn has_room(&self, read_ahead_bytes: usize) -> bool {
        self.discards || self.cost < read_ahead_bytes
    }

    /// Nobody reads any more: what waits and what comes is thrown away.
    pub fn discard(&mut self) {
        *self = Self { discards: true, ..Self::default() };
    }

    /// Whether nobody reads.
    pub fn discards(&self) -> bool {
        self.discards
    }

    /// A message came.
    pub fn push(&mut self, message: Bytes) {
        if !self.discards {
            self.cost += message.len() + MESSAGE_COST;
            self.waiting.push_back(Event::Message(message));
        }
    }

    /// A connection came.
    pub fn opened(&mut self, event: Event) {
        if !self.discards {
            self.waiting.push_back(event);
        }
    }

    /// A connection went. One that came and went without a message, and of which nobody heard yet, is not worth two
    /// events: so a socket that nobody reads and that comes and goes for a year holds no more than one that did so once.
    pub fn lost(&mut self, event: Event) {
        if self.discards {
            return;
        }
        let told_nothing = matches!(self.waiting.back(), Some(Event::Opened { .. }));
        let lost_before = self.waiting.len().checked_sub(2).and_then(|at| self.waiting.get(at));
        if told_nothing && matches!(lost_before, Some(Event::Lost { .. })) {
            self.waiting.pop_back();
        }
        match (self.waiting.back_mut(), event) {
            (
                Some(Event::Lost { end, retry_in, unsent }),
                Event::Lost { end: newer, retry_in: next, unsent: more },
            ) => {
                (*end, *retry_in) = (newer, next);
                *unsent += more;
            }
            (_, event) => self.waiting.push_back(event),
        }
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front()?;
        if let Event::Message(message) = &event {
            self.cost -= message.len() + MESSAGE_COST;
        }
        Some(event)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::socket::End;

    fn lost(unsent: usize) -> Event {
        Event::Lost { end: End::Reset, retry_in: Duration::ZERO, unsent }
    }

    #[test]
    fn comings_and_goings_that_nobody_hears_of_take_no_memory() {
        let mut incoming = Incoming::default();
        for connection in 1..1_000 {
            incoming.opened(Event::Opened { connection });
            incoming.lost(lost(1));
        }
        let told: Vec<Event> = std::iter::from_fn(|| incoming.pop()).collect();
        assert_eq!(told, [Event::Opened { connection: 1 }, lost(999)]);
    }

    #[test]
    fn a_message_between_them_keeps_all_in_their_order() {
        let mut incoming = Incoming::default();
        let message = || Event::Message(Bytes::from_static(b"m"));
        incoming.lost(lost(0));
        incoming.opened(Event::Opened { connection: 2 });
        incoming.push(Bytes::from_static(b"m"));
        incoming.lost(lost(2));
        incoming.opened(Event::Opened { connection: 3 });
        let told: Vec<Event> = std::iter::from_fn(|| incoming.pop()).collect();
        let opened = |connection| Event::Opened { connection };
        assert_eq!(told, [lost(0), opened(2), message(), lost(2), opened(3)]);
    }

    #[test]
    fn what_nobody_reads_is_thrown_away_and_leaves_room() {
        let mut incoming = Incoming::default();
        incoming.push(Bytes::from_static(b"message"));
        assert!(!incoming.has_room(71) && incoming.has_room(72));
        incoming.discard();
        incoming.push(Bytes::from_static(b"message"));
        assert!(incoming.has_room(1) && incoming.is_empty());
    }
}
