//! Which connection each device has. One table for each listener, since two kinds of devices may number theirs alike;
//! claimed and given back under its lock, so that no two workers ever hold the same name.
//!
//! Bounded by the connections: an entry is there as long as the connection that claimed it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Where a connection is: which worker owns it, under which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Place {
    pub worker: u16,
    pub entry: u64,
}

/// What claiming a name came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody had it.
    Free,
    /// This connection had it, and must end.
    From(Place),
    /// Another connection keeps it.
    Kept,
}

/// What looking for a device came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is connected nowhere.
    Nowhere,
    /// Here.
    At(Place),
    /// Devices of several listeners have this name.
    Several,
}

type Table = HashMap<Arc<str>, Place>;

/// Which connection each device has.
#[derive(Debug, Default)]
pub struct Registry {
    tables: Box<[Mutex<Table>]>,
}

impl Registry {
    /// For so many listeners.
    pub fn new(listeners: usize) -> Self {
        Self { tables: (0..listeners).map(|_| Mutex::default()).collect() }
    }

    /// Claims a device's name for a connection. A name that another connection has is taken from it if `replaces`.
    pub fn claim(&self, listener: u16, device: &Arc<str>, place: Place, replaces: bool) -> Claimed {
        let Some(mut table) = self.table(listener) else { return Claimed::Free };
        match table.get_mut(device) {
            None => {
                table.insert(Arc::clone(device), place);
                Claimed::Free
            }
            Some(_) if !replaces => Claimed::Kept,
            Some(other) => Claimed::From(std::mem::replace(other, place)),
        }
    }

    /// Gives the name back, unless another connection has taken it.
    pub fn release(&self, listener: u16, device: &str, place: Place) {
        let Some(mut table) = self.table(listener) else { return };
        if table.get(device) == Some(&place) {
            table.remove(device);
        }
    }

    /// Where a device is connected, among those of one listener or of all.
    pub fn find(&self, listener: Option<u16>, device: &str) -> Found {
        let tables = (0..self.tables.len() as u16).filter(|index| listener.is_none_or(|only| only == *index));
        let places = tables.filter_map(|index| self.table(index)?.get(device).copied());
        places.fold(Found::Nowhere, |found, place| match found {
            Found::Nowhere => Found::At(place),
            _ => Found::Several,
        })
    }

    /// How many devices a listener has.
    pub fn count(&self, listener: u16) -> usize {
        self.table(listener).map_or(0, |table| table.len())
    }

    fn table(&self, listener: u16) -> Option<MutexGuard<'_, Table>> {
        // Nothing panics while it holds the lock, so the table is whole even if the lock says otherwise.
        let table = self.tables.get(usize::from(listener))?;
        Some(table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { worker: 0, entry: 1 };
    const THERE: Place = Place { worker: 1, entry: 1 };

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_second_connection_takes_the_name_or_is_told_that_it_is_kept() {
        let registry = Registry::new(1);
        assert_eq!(registry.claim(0, &name("7"), HERE, false), Claimed::Free);
        assert_eq!(registry.claim(0, &name("7"), THERE, false), Claimed::Kept);
        assert_eq!(registry.find(None, "7"), Found::At(HERE));
        assert_eq!(registry.claim(0, &name("7"), THERE, true), Claimed::From(HERE));
        assert_eq!(registry.find(Some(0), "7"), Found::At(THERE));
    }

    #[test]
    fn who_was_replaced_gives_nothing_back() {
        let registry = Registry::new(1);
        registry.claim(0, &name("7"), HERE, true);
        registry.claim(0, &name("7"), THERE, true);
        registry.release(0, "7", HERE);
        assert_eq!(registry.find(None, "7"), Found::At(THERE));
        registry.release(0, "7", THERE);
        assert_eq!((registry.find(None, "7"), registry.count(0)), (Found::Nowhere, 0));
    }

    #[test]
    fn listeners_number_their_devices_each_for_itself() {
        let registry = Registry::new(2);
        assert_eq!(registry.claim(0, &name("7"), HERE, false), Claimed::Free);
        assert_eq!(registry.claim(1, &name("7"), THERE, false), Claimed::Free);
        assert_eq!(registry.find(None, "7"), Found::Several);
        assert_eq!(registry.find(Some(1), "7"), Found::At(THERE));
    }

    #[test]
    fn of_many_that_claim_at_once_one_has_the_name_and_every_other_is_told_once() {
        let registry = Registry::new(1);
        let ended: Vec<Place> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|worker| {
                    let registry = &registry;
                    scope.spawn(move || {
                        let places = (0..500).map(|entry| Place { worker, entry });
                        let claims = places.map(|place| registry.claim(0, &name("7"), place, true));
                        let taken = claims.filter_map(|claimed| match claimed {
                            Claimed::From(other) => Some(other),
                            _ => None,
                        });
                        taken.collect::<Vec<_>>()
                    })
                })
                .collect();
            claims.into_iter().flat_map(|claim| claim.join().unwrap()).collect()
        });
        let Found::At(winner) = registry.find(None, "7") else { panic!("nobody has it") };
        assert_eq!(ended.len(), 8 * 500 - 1);
        assert!(!ended.contains(&winner));
        let distinct: std::collections::HashSet<_> =
            ended.iter().map(|place| (place.worker, place.entry)).collect();
        assert_eq!(distinct.len(), ended.len());
    }
}
