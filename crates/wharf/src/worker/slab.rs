//! Connections by number. A number is used again, so a key carries its generation too: a stale key finds
//! nothing.

/// Values by number and generation.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The number in a key.
pub fn index_of(key: u64) -> u32 {
    key as u32
}

impl<T> Slab<T> {
    /// What one value takes.
    #[cfg(test)]
    pub const SLOT_BYTES: usize = size_of::<Slot<T>>();

    /// Nothing in it.
    pub fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The key that the next [`Slab::insert`] will give.
    pub fn next_key(&self) -> u64 {
        match self.free.last() {
            Some(&index) => key(index, self.slots[index as usize].generation),
            None => key(self.slots.len() as u32, 0),
        }
    }

    /// Adds a value.
    pub fn insert(&mut self, value: T) -> u64 {
        let next = self.next_key();
        match self.free.pop() {
            Some(index) => self.slots[index as usize].value = Some(value),
            None => self.slots.push(Slot { generation: 0, value: Some(value) }),
        }
        next
    }

    /// The value at this number, whatever its generation.
    pub fn at(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The number of this very value, if it is still there.
    pub fn resolve(&self, key: u64) -> Option<u32> {
        let slot = self.slots.get(index_of(key) as usize)?;
        (slot.value.is_some() && slot.generation == (key >> 32) as u32).then_some(index_of(key))
    }

    /// The key of the value at this number.
    pub fn key_of(&self, index: u32) -> u64 {
        key(index, self.slots[index as usize].generation)
    }

    /// The key of the value at this number, if there is one.
    pub fn key_at(&self, index: u32) -> Option<u64> {
        let slot = self.slots.get(index as usize)?;
        slot.value.is_some().then(|| key(index, slot.generation))
    }

    /// Takes a value out; its key finds nothing from now on.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    /// Behind the highest number that was ever given.
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The numbers of all values.
    pub fn indices(&self) -> Vec<u32> {
        let filled = self.slots.iter().enumerate().filter(|(_, slot)| slot.value.is_some());
        filled.map(|(index, _)| index as u32).collect()
    }

    /// All values with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(index, slot)| slot.value.as_ref().map(|value| (index as u32, value)))
    }
}

fn key(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_never_finds_a_new_value() {
        let mut slab = Slab::new();
        let old = slab.insert("old");
        slab.remove(index_of(old));
        let new = slab.insert("new");
        assert_eq!(index_of(old), index_of(new));
        assert_eq!(slab.resolve(old), None);
        assert_eq!(slab.resolve(new), Some(index_of(new)));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn the_next_key_is_told_before_it_is_given() {
        let mut slab = Slab::new();
        for _ in 0..3 {
            let told = slab.next_key();
            assert_eq!(slab.insert(()), told);
        }
        slab.remove(1);
        let told = slab.next_key();
        assert_eq!(slab.insert(()), told);
    }
}
