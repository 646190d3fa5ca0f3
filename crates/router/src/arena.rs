//! Slots that are named by a `u32` and reused.
//!
//! Nodes and levels live in these: an id is half the size of a pointer, dropping millions of them is
//! one loop, and the most recently freed slot is used first, so the same operations always give the
//! same ids. An id is valid until it is freed; who holds it afterwards finds whoever lives there now,
//! so no id leaves this crate but that of a filter, for as long as somebody subscribes to it, and that of
//! a group, until anybody subscribes or unsubscribes. Growth is by a quarter, since at a million nodes
//! doubling would hold half of its memory for nothing.

use alloc::vec::Vec;

/// The id of nothing. No slot ever has it.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) struct Arena<T> {
    slots: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Stores a value. The memory for 2^32 slots can't be had, so an id never reaches [`NONE`].
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            if let Some(slot) = self.get_mut(id) {
                *slot = value;
            }
            return id;
        }
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len() / 4).max(8));
        }
        let id = u32::try_from(self.slots.len()).unwrap_or(NONE);
        self.slots.push(value);
        id
    }

    /// Frees a slot; with the last one all memory goes back.
    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(slot) = self.get_mut(id) {
            *slot = T::default();
            self.free.push(id);
        }
        if self.len() == 0 {
            *self = Self::new();
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.slots.get(id as usize)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.slots.get_mut(id as usize)
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_used_again_before_a_new_one_is_made() {
        let mut arena = Arena::new();
        let ids = [arena.insert(1), arena.insert(2), arena.insert(3)];
        arena.remove(ids[1]);
        assert_eq!(arena.len(), 2);
        assert_eq!(arena.insert(4), ids[1]);
        assert_eq!(arena.get(ids[1]), Some(&4));
        assert_eq!(arena.slots.len(), 3);
    }

    #[test]
    fn the_last_removal_gives_the_memory_back() {
        let mut arena = Arena::new();
        let ids: Vec<u32> = (0..1000).map(|value| arena.insert(value)).collect();
        ids.iter().for_each(|&id| arena.remove(id));
        assert_eq!(
            (arena.len(), arena.slots.capacity(), arena.free.capacity()),
            (0, 0, 0)
        );
    }
}
