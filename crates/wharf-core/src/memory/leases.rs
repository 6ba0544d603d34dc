//! Who is in one channel, as leases: an entry that is not renewed in time is gone.

use std::{collections::HashSet, sync::Arc};

use hashbrown::{HashTable, hash_table::Entry};
use wharf_proto::message::{ClientId, ClientInfo, PresenceStats};

use crate::{broker::BrokerError, time::Millis};

/// The leases of a channel. An entry takes 16 bytes and one of the table's; the key is in the info.
pub(super) struct Leases {
    table: HashTable<Lease>,
    /// No lease runs out before this moment, so there is nothing to look for until then.
    earliest: Millis,
}

struct Lease {
    info: Arc<ClientInfo>,
    until: Millis,
}

// Part of what an idle connection may take: an entry more than this is felt a million times.
const _: () = assert!(size_of::<Lease>() == 16);

impl Default for Leases {
    fn default() -> Self {
        Self { table: HashTable::new(), earliest: Millis(u64::MAX) }
    }
}

impl Leases {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Adds an entry or renews its lease. Over `most`, a new one is refused.
    pub(super) fn renew(
        &mut self,
        info: &Arc<ClientInfo>,
        until: Millis,
        most: usize,
        now: Millis,
    ) -> Result<(), BrokerError> {
        if self.len() >= most {
            self.expire(now);
        }
        let full = self.len() >= most;
        match self.table.entry(hash(info.client), |lease| lease.info.client == info.client, Lease::hash) {
            Entry::Occupied(mut known) => *known.get_mut() = Lease { info: info.clone(), until },
            Entry::Vacant(_) if full => return Err(BrokerError::Full { limit: "presence_entries" }),
            Entry::Vacant(free) => {
                free.insert(Lease { info: info.clone(), until });
            }
        }
        self.earliest = self.earliest.min(until);
        Ok(())
    }

    pub(super) fn remove(&mut self, client: ClientId) {
        if let Ok(lease) = self.table.find_entry(hash(client), |lease| lease.info.client == client) {
            lease.remove();
            self.give_back();
        }
    }

    /// Everybody whose lease has not run out, in no order.
    pub(super) fn present(&self, now: Millis) -> impl Iterator<Item = &Arc<ClientInfo>> {
        self.table.iter().filter(move |lease| lease.until > now).map(|lease| &lease.info)
    }

    /// Drops the leases that have run out, and answers how many it looked at.
    pub(super) fn expire(&mut self, now: Millis) -> usize {
        if self.earliest > now {
            return 0;
        }
        let looked_at = self.len();
        let mut earliest = Millis(u64::MAX);
        self.table.retain(|lease| {
            let live = lease.until > now;
            if live {
                earliest = earliest.min(lease.until);
            }
            live
        });
        self.earliest = earliest;
        self.give_back();
        looked_at
    }

    fn give_back(&mut self) {
        if self.table.capacity() >= SHRINK_FROM && self.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.len() * 2, Lease::hash);
        }
    }
}

/// The smallest room that is worth giving back, in entries.
const SHRINK_FROM: usize = 32;

impl Lease {
    fn hash(&self) -> u64 {
        hash(self.info.client)
    }
}

/// Client identifiers are random bits that the server has drawn, so folding them spreads well; the product
/// spreads them also where they were counted.
fn hash(client: ClientId) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    ((client.0 >> 64) as u64 ^ client.0 as u64).wrapping_mul(ODD)
}

/// Counts connections and distinct users; all anonymous connections are one user.
pub(super) fn stats<'a>(present: impl Iterator<Item = &'a Arc<ClientInfo>>) -> PresenceStats {
    let mut users = HashSet::new();
    let mut num_clients = 0;
    for info in present {
        num_clients += 1;
        users.insert(&*info.user);
    }
    PresenceStats { num_clients, num_users: users.len() as u32 }
}
