//! One worker's members of each channel, and where each channel stands.
//!
//! A worker hears a channel's broadcasts in one order, so all its members stand at the same offset: the channel's
//! position is kept once, not once a member. A member that has just joined is an exception until the broadcasts
//! that its subscribe reply covered have passed; it is told from which offset on to listen.
//!
//! What this file does not know: connections (a member is a number), engines and bytes.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use wharf_proto::message::{BroadcastBody, Channel, Position};

use super::broadcast::SharedBroadcast;
use crate::session::Grant;

/// The most broadcasts held back for one channel while its history is read. See LIMITS.md,
/// `HELD_BACK_BROADCASTS`: past it the channel starts over from history.
pub const HELD_BACK_BROADCASTS: usize = 4_096;

/// Where a member sits: which channel of the worker, and which place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    channel: u32,
    place: u32,
}

/// One connection's membership.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// The connection, as the worker numbers them.
    pub entry: u32,
    /// Broadcasts up to this offset are not for this member. `u64::MAX` while it is being seated.
    skip_through: u64,
    positioned: bool,
    hears_joins: bool,
}

/// A member that is being seated hears nothing.
const BEING_SEATED: u64 = u64::MAX;

impl Member {
    /// Whether this member is to hear a broadcast with this offset (0 without one).
    pub fn hears(&self, offset: u64) -> bool {
        offset > self.skip_through || offset == 0 && self.skip_through != BEING_SEATED
    }

    /// Whether this member is to hear who joins and leaves.
    pub fn hears_joins(&self) -> bool {
        self.hears_joins && self.skip_through != BEING_SEATED
    }
}

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

#[derive(Debug)]
struct LocalChannel {
    name: Channel,
    members: Vec<Member>,
    /// The newest that all seated members have heard; none until the first history was read, and in channels
    /// without history.
    position: Option<Position>,
    /// Members that are being seated: while there are any, what comes is kept for them.
    being_seated: u32,
    held: Option<Box<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// What comes while the history is read for all.
    catching_up: Option<VecDeque<Arc<SharedBroadcast>>>,
    /// What came since the oldest of those being seated sat down.
    for_seating: VecDeque<Arc<SharedBroadcast>>,
    /// Something that those being seated should have heard was not kept.
    seating_overflowed: bool,
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
        local.members.push(Member {
            entry,
            skip_through: BEING_SEATED,
            positioned: grant.positioned,
            hears_joins: grant.hears_joins,
        });
        local.being_seated += 1;
        Seat { channel: key, place }
    }

    /// The member has been told everything up to `skip_through` and hears what follows. Returns what came
    /// meanwhile and is for it, oldest first; an error means that something was not kept: the member must start
    /// over.
    pub fn activate(&mut self, seat: Seat, skip_through: u64) -> Result<Vec<Arc<SharedBroadcast>>, Missed> {
        let local = self.channel_mut(seat.channel);
        let member = &mut local.members[seat.place as usize];
        if member.skip_through != BEING_SEATED {
            return Ok(Vec::new());
        }
        member.skip_through = skip_through;
        let member = *member;
        let held = local.held.as_deref();
        let overflowed = held.is_some_and(|held| held.seating_overflowed);
        let for_seating = held.into_iter().flat_map(|held| &held.for_seating);
        let missed = for_seating
            .filter(|broadcast| match broadcast.position() {
                Some(position) => position.offset > skip_through,
                None => is_publication(broadcast) || member.hears_joins,
            })
            .cloned()
            .collect();
        local.seated();
        if overflowed { Err(Missed) } else { Ok(missed) }
    }

    /// The channel was read up to here for a new member; the channel stands there if it stood nowhere yet.
    pub fn read_up_to(&mut self, seat: Seat, position: Position) {
        self.channel_mut(seat.channel).position.get_or_insert(position);
    }

    /// Gives the seat up. Another member may have to sit there then: it is returned with its new seat, and its
    /// owner must remember that.
    pub fn stand_up(&mut self, seat: Seat) -> Departure {
        let local = self.channel_mut(seat.channel);
        let gone = local.members.swap_remove(seat.place as usize);
        if gone.skip_through == BEING_SEATED {
            local.seated();
        }
        let moved = local.members.get(seat.place as usize).map(|member| (member.entry, seat));
        let channel = local.name.clone();
        if local.members.is_empty() {
            self.by_name.remove(&channel);
            self.channels[seat.channel as usize] = None;
            self.free.push(seat.channel);
        }
        Departure { channel, moved }
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
        if local.being_seated > 0 {
            local.held_mut().seating_overflowed = true;
        }
        match local.position {
            None => Lost::Unknowable,
            Some(position) => {
                let held = local.held_mut();
                if held.catching_up.is_some() {
                    return Lost::BeingRead;
                }
                held.catching_up = Some(VecDeque::new());
                Lost::CatchUp(position)
            }
        }
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

    /// Where the channel stands is not known any more: its members are about to leave, and the next who reads it
    /// says where it stands.
    pub fn forget_position(&mut self, channel: &Channel) {
        if let Some(local) = self.local_mut(channel) {
            local.position = None;
            if let Some(held) = &mut local.held {
                held.catching_up = None;
                held.seating_overflowed |= local.being_seated > 0;
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
        let local = LocalChannel {
            name: name.clone(),
            members: Vec::new(),
            position: None,
            being_seated: 0,
            held: None,
        };
        let key = match self.free.pop() {
            Some(key) => {
                self.channels[key as usize] = Some(local);
                key
            }
            None => {
                self.channels.push(Some(local));
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

impl LocalChannel {
    fn judge(&mut self, broadcast: &SharedBroadcast) -> Verdict {
        let Some(next) = broadcast.position() else { return Verdict::Deliver };
        match self.position {
            Some(here) if here.epoch != next.epoch => Verdict::CatchUp(here),
            Some(here) if next.offset <= here.offset => Verdict::Drop,
            Some(here) if next.offset > here.offset + 1 => Verdict::CatchUp(here),
            // Nobody has read the channel yet: all who are here are being seated, or do not watch positions.
            None | Some(_) => {
                self.position = Some(next);
                Verdict::Deliver
            }
        }
    }

    fn keep_for_seating(&mut self, broadcast: &Arc<SharedBroadcast>) {
        if self.being_seated == 0 {
            return;
        }
        let held = self.held_mut();
        if held.for_seating.len() < HELD_BACK_BROADCASTS {
            held.for_seating.push_back(Arc::clone(broadcast));
        } else {
            held.seating_overflowed = true;
        }
    }

    fn seated(&mut self) {
        self.being_seated -= 1;
        if self.being_seated == 0 {
            if let Some(held) = &mut self.held {
                held.for_seating = VecDeque::new();
                held.seating_overflowed = false;
            }
            self.drop_empty_held();
        }
    }

    fn held_mut(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    fn drop_empty_held(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.catching_up.is_none() && self.being_seated == 0) {
            self.held = None;
        }
    }
}

fn is_publication(broadcast: &SharedBroadcast) -> bool {
    matches!(broadcast.broadcast().body, BroadcastBody::Publication { .. })
}

impl Member {
    /// Whether a gap is told to this member as a lost position.
    pub fn is_positioned(&self) -> bool {
        self.positioned
    }
}

/// Something that a member should have heard was not kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("something was missed while the member was being seated")]
pub struct Missed;

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
