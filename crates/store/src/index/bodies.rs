//! The messages of the index, by number.
//!
//! There may be millions, and a table that grows moves all that it holds at once; so there are many small ones, and the
//! longest that a commit waits for one of them is short. Tables that were large once give their memory back.

use super::nearby::{Nearby, ROW_BITS};
use super::place::Place;
use std::collections::HashMap;

/// How many tables there are.
const TABLES: usize = 64;

/// A table that has room for fewer is left as it is.
const SMALL: usize = 1024;

/// A message: where it is, and how many records name it. Before it was seen it is nowhere.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) place: Place,
    pub(super) bytes: u32,
    pub(super) refs: u32,
}

/// Messages by number.
#[derive(Debug)]
pub(super) struct Bodies {
    tables: [HashMap<u64, Body, Nearby>; TABLES],
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            tables: std::array::from_fn(|_| HashMap::default()),
        }
    }
}

impl Bodies {
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(HashMap::len).sum()
    }

    pub(super) fn find(&self, number: u64) -> Option<&Body> {
        self.tables.get(table_of(number))?.get(&number)
    }

    pub(super) fn find_mut(&mut self, number: u64) -> Option<&mut Body> {
        self.tables.get_mut(table_of(number))?.get_mut(&number)
    }

    /// The message, as one that was not seen yet if it is new.
    pub(super) fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Body) -> T) -> T {
        match self.tables.get_mut(table_of(number)) {
            Some(table) => change(table.entry(number).or_default()),
            None => change(&mut Body::default()),
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Body> {
        let table = self.tables.get_mut(table_of(number))?;
        let body = table.remove(&number);
        if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2);
        }
        body
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Body) -> bool) {
        for table in &mut self.tables {
            table.retain(|_, body| keeps(body));
        }
    }
}

/// Numbers that follow each other stay together.
fn table_of(number: u64) -> usize {
    usize::try_from(number >> ROW_BITS).unwrap_or(0) % TABLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_gives_its_memory_back() {
        let mut bodies = Bodies::default();
        for number in 0..1_000_000 {
            bodies.change(number, |body| body.refs = 1);
        }
        let room = |bodies: &Bodies| bodies.tables.iter().map(HashMap::capacity).sum::<usize>();
        assert_eq!(bodies.len(), 1_000_000);
        assert!(room(&bodies) < 2_000_000);
        for number in 0..1_000_000 {
            assert_eq!(bodies.remove(number).map(|body| body.refs), Some(1));
            assert!(bodies.find(number).is_none());
        }
        assert_eq!(bodies.len(), 0);
        assert!(room(&bodies) <= SMALL * TABLES);
    }
}
