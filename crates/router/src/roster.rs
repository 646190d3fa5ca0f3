//! A list without order that stays quick at any length.
//!
//! Visiting must be a walk over a slice, and a hundred thousand clients may subscribe to one filter,
//! so that finding one of them by a walk would make their arrival quadratic. So: a plain `Vec`, and
//! beside it an index from key to position, only while the list is long. Removal fills the gap with
//! the last item. The order is a function of the operations alone.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::Hash;

use hashbrown::HashTable;

use crate::hashing::{Hashing, shrink};

/// Above this length a list gets an index, below half of it it loses the index again.
const INDEXED_LEN: usize = 32;

/// Something that is found in a list by a key it carries.
pub(crate) trait Entry {
    type Key: Hash + Eq + ?Sized;
    fn key(&self) -> &Self::Key;
}

pub(crate) struct Roster<T> {
    items: Vec<T>,
    index: Option<Box<HashTable<u32>>>,
}

impl<T: Entry> Roster<T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: Vec::new(),
            index: None,
        }
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }

    pub(crate) fn find(&self, key: &T::Key, hashing: &Hashing) -> Option<&T> {
        self.items.get(self.position(key, hashing)?)
    }

    pub(crate) fn find_mut(&mut self, key: &T::Key, hashing: &Hashing) -> Option<&mut T> {
        let position = self.position(key, hashing)?;
        self.items.get_mut(position)
    }

    /// Adds an item whose key is not in the list yet.
    pub(crate) fn push(&mut self, item: T, hashing: &Hashing) {
        self.items.push(item);
        if self.items.len() > INDEXED_LEN {
            let items = &self.items;
            let index = self.index.get_or_insert_default();
            let hash_of = |&position: &u32| hash_at(items, position, hashing);
            for position in index.len()..items.len() {
                let position = narrow(position);
                index.insert_unique(hash_of(&position), position, hash_of);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &T::Key, hashing: &Hashing) -> Option<T> {
        let position = self.position(key, hashing)?;
        if let Some(index) = &mut self.index {
            let last = narrow(self.items.len() - 1);
            let removed = narrow(position);
            if let Ok(entry) = index.find_entry(hashing.of(key), |&other| other == removed) {
                entry.remove();
            }
            if let Some(moved) =
                index.find_mut(hash_at(&self.items, last, hashing), |&other| other == last)
            {
                *moved = removed;
            }
        }
        let item = self.items.swap_remove(position);
        self.tighten(hashing);
        Some(item)
    }

    pub(crate) fn position(&self, key: &T::Key, hashing: &Hashing) -> Option<usize> {
        let Some(index) = &self.index else {
            return self.items.iter().position(|item| item.key() == key);
        };
        let is_it = |&position: &u32| {
            self.items
                .get(position as usize)
                .is_some_and(|item| item.key() == key)
        };
        index
            .find(hashing.of(key), is_it)
            .map(|&position| position as usize)
    }

    fn tighten(&mut self, hashing: &Hashing) {
        if self.items.len() < self.items.capacity() / 4 {
            self.items.shrink_to(self.items.len() * 2);
        }
        if self.items.len() < INDEXED_LEN / 2 {
            self.index = None;
        }
        let items = &self.items;
        if let Some(index) = &mut self.index {
            shrink(index, |&position| hash_at(items, position, hashing));
        }
    }
}

impl<K: Hash + Eq, V> Roster<(K, V)> {
    /// Puts a subscriber into the list, or replaces its value and returns the old one.
    pub(crate) fn insert(&mut self, (key, value): (K, V), hashing: &Hashing) -> Option<V> {
        if let Some((_, old)) = self.find_mut(&key, hashing) {
            return Some(core::mem::replace(old, value));
        }
        self.push((key, value), hashing);
        None
    }
}

impl<K: Hash + Eq, V> Entry for (K, V) {
    type Key = K;

    fn key(&self) -> &K {
        &self.0
    }
}

/// Positions are kept in four bytes: a list of 2^32 items can't be had.
pub(crate) fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn hash_at<T: Entry>(items: &[T], position: u32, hashing: &Hashing) -> u64 {
    items
        .get(position as usize)
        .map_or(0, |item| hashing.of(item.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for u32 {
        type Key = u32;
        fn key(&self) -> &u32 {
            self
        }
    }

    #[test]
    fn what_is_in_the_list_is_found_at_every_length() {
        let (mut roster, hashing) = (Roster::new(), Hashing::new(1));
        for item in 0..200u32 {
            assert_eq!(roster.find(&item, &hashing), None);
            roster.push(item, &hashing);
            assert!((0..=item).all(|other| roster.find(&other, &hashing) == Some(&other)));
        }
        for item in (0..200u32).filter(|item| item % 3 != 0) {
            assert_eq!(roster.remove(&item, &hashing), Some(item));
            assert_eq!(roster.remove(&item, &hashing), None);
        }
        assert!((0..200).all(|item| roster.find(&item, &hashing).is_some() == (item % 3 == 0)));
    }

    #[test]
    fn a_short_list_has_no_index_and_an_emptied_one_no_memory_to_speak_of() {
        let (mut roster, hashing) = (Roster::new(), Hashing::new(1));
        (0..1000u32).for_each(|item| roster.push(item, &hashing));
        assert!(roster.index.is_some());
        (3..1000u32).for_each(|item| assert!(roster.remove(&item, &hashing).is_some()));
        assert!(roster.index.is_none());
        assert!(roster.items.capacity() <= 16);
        assert_eq!(roster.items(), [0, 1, 2]);
    }
}
