//! One worker's members of each channel, and where each channel stands.
//!
//! A worker hears a channel's broadcasts in one order, so all its members stand at the same offset: the channel's
//! position is kept once, not once a member. A member that has just joined is an exception until the broadcasts
//! that its subscribe reply covered have passed; it is told from which offset on to listen.
//!
//! What this folder does not know: connections (a member is a number), engines and bytes.

mod channel;
mod held;
mod member;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use wharf_proto::message::{Channel, Position};

use self::channel::LocalChannel;
pub use self::{
    held::HELD_BACK_BROADCASTS,
    member::{Member, Seat},
};
use super::broadcast::SharedBroadcast;
use crate::session::Grant;

/// What is to be done with a broadcast that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is next: all members are to hear it.
    Deliver,
    /// It was heard already, or nobody is here.
    Drop,
    /// It is held back until the history has been read.
    Hold,
    /// Something before it is missing: it is held back, and the caller reads the history after the given
    /// position and calls [`LocalHub::caught_up`].
    CatchUp(Position),
}

/// One worker's channels.
#[derive(Debug, Default)]
pub struct LocalHub {
    by_name: HashMap<Channel, u32>,
    channels: Vec<Option<LocalChannel>>,
    free: Vec<u32>,
}

impl LocalHub {
    /// Seats a member that hears nothing until [`LocalHub::activate`].
    pub fn sit_down(&mut self, channel: &Channel, entry: u32, grant: Grant) -> Seat {
        let key = match self.by_name.get(channel) {
            Some(key) => *key,
            None => self.open(channel),
        };
        let local = self.channel_mut(key);
        let place = local.members.len() as u32;
        if local.members.is_empty() {
            local.members.reserve_exact(1); // Most channels have one member; a vector grows by four.
        }
        let first_kept = local.held.as_ref().map_or(0, |held| held.kept.next());
        local.members.push(Member::being_seated(entry, grant.hears_joins, first_kept));
        local.being_seated += 1;
        Seat { channel: key, place }
    }

    /// The member has been told everything up to `reached` (none where the channel keeps no history) and hears
    /// what follows. Returns what came meanwhile and is for it, oldest first.
    ///
    /// # Errors
    /// Something was not kept, so that the member must start over; or the channel and the member stand in
    /// different epochs, so that all members must.
    pub fn activate(
        &mut self,
        seat: Seat,
        reached: Option<Position>,
    ) -> Result<Vec<Arc<SharedBroadcast>>, Missed> {
        let local = self.channel_mut(seat.channel);
        let member = &mut local.members[seat.place as usize];
        let Some(first_kept) = member.first_kept() else { return Ok(Vec::new()) };
        member.seat(reached.map_or(0, |reached| reached.offset));
        let hears_joins = member.hears_joins();
        let missed = local.missed_by(first_kept, reached, hears_joins);
        local.seated();
        missed
    }

    /// Gives the seat of this connection up. Another member may have to sit there then: it is returned with its new
    /// seat, and its owner must remember that. A seat from before such a move is good enough.
    pub fn stand_up(&mut self, seat: Seat, entry: u32) -> Option<Departure> {
        let local = self.channel_mut(seat.channel);
        let is_there = local.members.get(seat.place as usize).is_some_and(|member| member.entry == entry);
        let elsewhere = || local.members.iter().position(|member| member.entry == entry);
        let place = if is_there { seat.place as usize } else { elsewhere()? };
        let seat = Seat { place: place as u32, ..seat };
        let gone = local.members.swap_remove(place);
        if gone.is_being_seated() {
            local.seated();
        }
        let moved = local.members.get(place).map(|member| (member.entry, seat));
        let channel = local.name.clone();
        if local.members.is_empty() {
            self.by_name.remove(&channel);
            self.channels[seat.channel as usize] = None;
            self.free.push(seat.channel);
        }
        Some(Departure { channel, moved })
    }

    /// The members of a channel; none if it has none here.
    pub fn members(&self, channel: &Channel) -> &[Member] {
        self.local(channel).map_or(&[], |local| &local.members)
    }

    /// How many channels have members here.
    pub fn channel_count(&self) -> usize {
        self.by_name.len()
    }

    /// Says what is to be done with a broadcast, and remembers that it was done.
    pub fn handle_broadcast(&mut self, broadcast: &Arc<SharedBroadcast>) -> Verdict {
        let Some(local) = self.local_mut(&broadcast.broadcast().channel) else { return Verdict::Drop };
        if let Some(queue) = local.held.as_mut().and_then(|held| held.catching_up.as_mut()) {
            // A queue that is full is read again from history, which holds what is dropped here.
            if queue.len() < HELD_BACK_BROADCASTS {
                queue.push_back(Arc::clone(broadcast));
            }
            return Verdict::Hold;
        }
        let verdict = local.judge(broadcast);
        match verdict {
            Verdict::Deliver => local.keep_for_seating(broadcast),
            Verdict::CatchUp(_) => {
                local.held_mut().catching_up = Some(VecDeque::from([Arc::clone(broadcast)]));
            }
            Verdict::Drop | Verdict::Hold => {}
        }
        verdict
    }

    /// The worker's inbox has dropped something of this channel's. Where the channel keeps history, the
    /// history after the returned position is to be read; otherwise nobody can know what was missed.
    pub fn handle_lost(&mut self, channel: &Channel) -> Lost {
        let Some(local) = self.local_mut(channel) else { return Lost::Nobody };
        let Some(position) = local.position else {
            local.lose();
            return Lost::Unknowable;
        };
        // What is read from history is kept for those being seated, but no history holds a join.
        for member in &mut local.members {
            if member.is_being_seated() && member.wishes_joins() {
                member.miss();
            }
        }
        let held = local.held_mut();
        if held.catching_up.is_some() {
            return Lost::BeingRead;
        }
        held.catching_up = Some(VecDeque::new());
        Lost::CatchUp(position)
    }

    /// Whether the channel waits for its history after this very position. What was read for a channel that has
    /// meanwhile got on, or was left by all and opened anew, is not for it.
    pub fn is_catching_up_from(&self, channel: &Channel, from: Position) -> bool {
        self.local(channel).is_some_and(|local| {
            local.position == Some(from) && local.held.as_ref().is_some_and(|held| held.catching_up.is_some())
        })
    }

    /// The history after the channel's position was read as far as `top`. The caller has delivered what it
    /// held; what was held back is returned, to be handed to [`LocalHub::handle_broadcast`] again.
    pub fn caught_up(&mut self, channel: &Channel, top: Position) -> VecDeque<Arc<SharedBroadcast>> {
        let Some(local) = self.local_mut(channel) else { return VecDeque::new() };
        local.position = Some(top);
        let queue = local.held.as_mut().and_then(|held| held.catching_up.take()).unwrap_or_default();
        local.drop_empty_held();
        queue
    }

    /// Where the channel stands is not known any more: its members are about to leave, and the next who is seated
    /// says where it stands.
    pub fn forget_position(&mut self, channel: &Channel) {
        if let Some(local) = self.local_mut(channel) {
            local.position = None;
            local.lose();
            if let Some(held) = &mut local.held {
                held.catching_up = None;
            }
            local.drop_empty_held();
        }
    }

    /// A publication that was read from history is delivered: the channel stands behind it, and whoever is being
    /// seated may need it.
    pub fn delivered_from_history(&mut self, broadcast: &Arc<SharedBroadcast>) {
        if let Some(local) = self.local_mut(&broadcast.broadcast().channel) {
            local.position = broadcast.position().or(local.position);
            local.keep_for_seating(broadcast);
        }
    }

    /// Where a channel stands on this worker.
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.local(channel)?.position
    }

    fn open(&mut self, name: &Channel) -> u32 {
        let local = Some(LocalChannel::new(name.clone()));
        let key = match self.free.pop() {
            Some(key) => {
                self.channels[key as usize] = local;
                key
            }
            None => {
                self.channels.push(local);
                (self.channels.len() - 1) as u32
            }
        };
        self.by_name.insert(name.clone(), key);
        key
    }

    fn channel_mut(&mut self, key: u32) -> &mut LocalChannel {
        // A seat is given back before its channel can close, so that a seat always names an open channel.
        self.channels[key as usize].as_mut().expect("a seat names an open channel")
    }

    fn local(&self, channel: &Channel) -> Option<&LocalChannel> {
        self.channels[*self.by_name.get(channel)? as usize].as_ref()
    }

    fn local_mut(&mut self, channel: &Channel) -> Option<&mut LocalChannel> {
        self.channels[*self.by_name.get(channel)? as usize].as_mut()
    }
}

/// A member could not be seated where its reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// It starts over.
    #[error("something was missed while the member was being seated")]
    NotKept,
    /// All members of the channel start over.
    #[error("the channel's history began anew")]
    OtherEpoch,
}

/// What becomes of a channel of which something was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nobody is here.
    Nobody,
    /// Nobody can know what was missed: all members are to subscribe again.
    Unknowable,
    /// The history is being read already.
    BeingRead,
    /// The history after this position is to be read.
    CatchUp(Position),
}

/// What a departure means for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Which channel was left.
    pub channel: Channel,
    /// The connection that sits there now, and its new seat.
    pub moved: Option<(u32, Seat)>,
}
