//! A model of a worker around the hub, driven at random: whoever sits down hears every offset after its reply
//! once, in order, or is told that it must start over.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::{
    tests::{at, channel, publication},
    *,
};

const CHANNEL: &str = "news";

/// One membership.
struct Membership {
    seat: Seat,
    /// What its subscribe reply covers; none until the history was read for it.
    read: Option<u64>,
    active: bool,
    heard: Vec<u64>,
}

#[derive(Default)]
struct Model {
    hub: LocalHub,
    /// The newest offset of the history, which forgets nothing.
    top: u64,
    /// What is on its way to this worker.
    under_way: VecDeque<u64>,
    /// The inbox was full: told with the next look.
    lost: bool,
    /// Reads of the history under way for the channel.
    readings: Vec<Position>,
    members: HashMap<u32, Membership>,
    next_entry: u32,
}

impl Model {
    fn publish(&mut self, fate: u8) {
        self.top += 1;
        match fate % 8 {
            0 => {} // The bus dropped it.
            1 => self.lost = true,
            2 => self.under_way.extend([self.top, self.top]),
            3 => self.under_way.extend([self.top.saturating_sub(2).max(1), self.top]),
            _ => self.under_way.push_back(self.top),
        }
    }

    fn look_into_inbox(&mut self, most: usize) {
        for _ in 0..most {
            let Some(offset) = self.under_way.pop_front() else { break };
            self.handle(&publication(CHANNEL, Some(at(offset))));
        }
        if std::mem::take(&mut self.lost) {
            match self.hub.handle_lost(&channel(CHANNEL)) {
                Lost::CatchUp(from) => self.readings.push(from),
                Lost::Unknowable => self.start_over(),
                Lost::Nobody | Lost::BeingRead => {}
            }
        }
    }

    fn handle(&mut self, broadcast: &Arc<SharedBroadcast>) {
        match self.hub.handle_broadcast(broadcast) {
            Verdict::Deliver => self.deliver(broadcast),
            Verdict::CatchUp(from) => self.readings.push(from),
            Verdict::Drop | Verdict::Hold => {}
        }
    }

    fn deliver(&mut self, broadcast: &Arc<SharedBroadcast>) {
        let offset = broadcast.position().unwrap().offset;
        for member in self.hub.members(&channel(CHANNEL)) {
            if member.hears(offset) {
                self.members.get_mut(&member.entry).unwrap().heard.push(offset);
            }
        }
    }

    fn finish_reading(&mut self, which: usize) {
        if self.readings.is_empty() {
            return;
        }
        let from = self.readings.remove(which % self.readings.len());
        if !self.hub.is_catching_up_from(&channel(CHANNEL), from) {
            return;
        }
        for offset in from.offset + 1..=self.top {
            let broadcast = publication(CHANNEL, Some(at(offset)));
            self.hub.delivered_from_history(&broadcast);
            self.deliver(&broadcast);
        }
        for broadcast in self.hub.caught_up(&channel(CHANNEL), at(self.top)) {
            self.handle(&broadcast);
        }
    }

    fn sit_down(&mut self) {
        self.next_entry += 1;
        let seat = self.hub.sit_down(&channel(CHANNEL), self.next_entry, Grant::default());
        let membership = Membership { seat, read: None, active: false, heard: Vec::new() };
        self.members.insert(self.next_entry, membership);
    }

    fn chosen(&self, which: usize, wanted: impl Fn(&Membership) -> bool) -> Option<u32> {
        let mut entries: Vec<u32> =
            self.members.iter().filter(|(_, member)| wanted(member)).map(|(entry, _)| *entry).collect();
        entries.sort_unstable();
        (!entries.is_empty()).then(|| entries[which % entries.len()])
    }

    fn read_for_member(&mut self, which: usize) {
        let top = self.top;
        if let Some(entry) = self.chosen(which, |member| member.read.is_none()) {
            self.members.get_mut(&entry).unwrap().read = Some(top);
        }
    }

    fn activate(&mut self, which: usize) {
        let Some(entry) = self.chosen(which, |member| member.read.is_some() && !member.active) else {
            return;
        };
        let member = self.members.get_mut(&entry).unwrap();
        match self.hub.activate(member.seat, member.read.map(at)) {
            Ok(missed) => {
                member.active = true;
                member.heard.extend(missed.iter().map(|broadcast| broadcast.position().unwrap().offset));
            }
            Err(_) => self.stand_up(entry), // It is told, and subscribes again.
        }
    }

    fn stand_up(&mut self, entry: u32) {
        let gone = self.members.remove(&entry).unwrap();
        let departure = self.hub.stand_up(gone.seat, entry).unwrap();
        if let Some((moved, seat)) = departure.moved {
            self.members.get_mut(&moved).unwrap().seat = seat;
        }
        gone.check();
    }

    fn start_over(&mut self) {
        while let Some(entry) = self.chosen(0, |member| member.active) {
            self.stand_up(entry);
        }
    }

    /// Everything that is under way comes to an end.
    fn settle(&mut self) {
        self.publish(7);
        while self.chosen(0, |member| !member.active).is_some()
            || !self.under_way.is_empty()
            || !self.readings.is_empty()
        {
            self.read_for_member(0);
            self.activate(0);
            self.look_into_inbox(1);
            self.finish_reading(0);
        }
    }
}

impl Membership {
    /// What was heard goes on where the reply ended, without a hole and without anything twice.
    fn check(&self) {
        let first = self.read.map_or(1, |read| read + 1);
        let expected: Vec<u64> = (first..first + self.heard.len() as u64).collect();
        assert_eq!(self.heard, expected, "the reply ended at {:?}", self.read);
        assert!(self.active || self.heard.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    // Rows 97 and 111.
    #[test]
    fn every_member_hears_each_offset_after_its_reply_once_in_order(
        steps in proptest::collection::vec((0_u8..8, any::<u8>()), 0..120)
    ) {
        let mut model = Model::default();
        for (step, argument) in steps {
            let which = usize::from(argument);
            match step {
                0 | 1 => model.publish(argument),
                2 => model.look_into_inbox(which % 4),
                3 => model.sit_down(),
                4 => model.read_for_member(which),
                5 => model.activate(which),
                6 => model.finish_reading(which),
                _ if argument % 2 == 0 => if let Some(entry) = model.chosen(which, |_| true) {
                    model.stand_up(entry);
                },
                _ => model.look_into_inbox(8),
            }
        }
        model.settle();
        for member in model.members.values() {
            member.check();
            prop_assert_eq!(member.read.unwrap() + member.heard.len() as u64, model.top, "the tail is missing");
        }
    }
}
