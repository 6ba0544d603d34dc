//! One channel on one worker: its members, and where it stands.

use std::sync::Arc;

use wharf_proto::message::{BroadcastBody, Channel, Position};

use super::{
    Missed, Verdict,
    held::{Held, Kept},
    member::Member,
};
use crate::hub::SharedBroadcast;

#[derive(Debug)]
pub(super) struct LocalChannel {
    pub name: Channel,
    pub members: Vec<Member>,
    /// The newest that all seated members have heard; none until the first member is seated or the first
    /// publication comes, and in channels without history.
    pub position: Option<Position>,
    /// Members that are being seated: while there are any, what is delivered is kept for them.
    pub being_seated: u32,
    pub held: Option<Box<Held>>,
}

impl LocalChannel {
    pub fn new(name: Channel) -> Self {
        Self { name, members: Vec::new(), position: None, being_seated: 0, held: None }
    }

    pub fn judge(&mut self, broadcast: &SharedBroadcast) -> Verdict {
        let Some(next) = broadcast.position() else { return Verdict::Deliver };
        match self.position {
            Some(here) if here.epoch != next.epoch => Verdict::CatchUp(here),
            Some(here) if next.offset <= here.offset => Verdict::Drop,
            Some(here) if next.offset > here.offset + 1 => Verdict::CatchUp(here),
            // Where nobody is seated yet, the channel stands wherever it is first heard.
            None | Some(_) => {
                self.position = Some(next);
                Verdict::Deliver
            }
        }
    }

    /// What was delivered since a member sat down and is for it, if that goes on where its reply ended.
    pub fn missed_by(
        &mut self,
        first_kept: u64,
        reached: Option<Position>,
        hears_joins: bool,
    ) -> Result<Vec<Arc<SharedBroadcast>>, Missed> {
        if let Some(reached) = reached {
            let here = *self.position.get_or_insert(reached);
            if here.epoch != reached.epoch {
                return Err(Missed::OtherEpoch);
            }
        }
        let none = Kept::default();
        let kept = self.held.as_ref().map_or(&none, |held| &held.kept);
        let skip_through = reached.map_or(0, |reached| reached.offset);
        let mut missed = Vec::new();
        let mut stands_at = skip_through;
        for broadcast in kept.since(first_kept).ok_or(Missed::NotKept)? {
            match broadcast.position() {
                Some(position) if position.offset <= skip_through => continue,
                Some(position) if position.offset == stands_at + 1 => stands_at += 1,
                // The reply ended before what was kept began.
                Some(_) => return Err(Missed::NotKept),
                None if is_publication(broadcast) || hears_joins => {}
                None => continue,
            }
            missed.push(Arc::clone(broadcast));
        }
        match self.position {
            Some(here) if reached.is_some() && here.offset > stands_at => Err(Missed::NotKept),
            _ => Ok(missed),
        }
    }

    pub fn keep_for_seating(&mut self, broadcast: &Arc<SharedBroadcast>) {
        if self.being_seated > 0 {
            self.held_mut().kept.push(broadcast);
        }
    }

    /// One less is being seated.
    pub fn seated(&mut self) {
        self.being_seated -= 1;
        if self.being_seated == 0 {
            if let Some(held) = &mut self.held {
                held.kept.clear();
            }
            self.drop_empty_held();
        }
    }

    /// Something came that nobody knows.
    pub fn lose(&mut self) {
        if self.being_seated > 0 {
            self.held_mut().kept.lose();
        }
    }

    pub fn held_mut(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    pub fn drop_empty_held(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.catching_up.is_none() && self.being_seated == 0) {
            self.held = None;
        }
    }
}

fn is_publication(broadcast: &SharedBroadcast) -> bool {
    matches!(broadcast.broadcast().body, BroadcastBody::Publication { .. })
}
