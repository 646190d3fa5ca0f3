//! The deliveries of one session, by sequence.
//!
//! They are put in order and mostly go in order, so they stand in a queue, 24 bytes each; one that goes from the middle
//! leaves a hole, and there are never more holes than entries for long. What comes out of order, as it does while a log
//! that was cleaned is replayed, waits aside until [`Deliveries::settle`].

use super::Place;
use std::collections::{BTreeMap, VecDeque};

/// The room that a session begins with, and keeps.
const FIRST: usize = 4;

/// A delivery in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// The message it keeps alive; 0: none.
    pub(crate) names: u64,
    /// Nowhere: a hole.
    pub(crate) place: Place,
}

/// The deliveries of one session.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    queue: VecDeque<Entry>,
    holes: usize,
    strays: BTreeMap<u64, Entry>,
}

impl Deliveries {
    pub(crate) fn find(&self, sequence: u64) -> Option<&Entry> {
        match self.at(sequence) {
            Some(at) => self.queue.get(at),
            None => self.strays.get(&sequence),
        }
    }

    pub(crate) fn find_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        match self.at(sequence) {
            Some(at) => self.queue.get_mut(at),
            None => self.strays.get_mut(&sequence),
        }
    }

    /// Adds an entry and returns the one with its sequence that was there.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let last = self.queue.back().map(|it| it.sequence);
        if last.is_none_or(|last| last < entry.sequence) && self.strays.is_empty() {
            self.push(entry);
            return None;
        }
        match self.find_mut(entry.sequence) {
            Some(found) => Some(std::mem::replace(found, entry)),
            None => self.strays.insert(entry.sequence, entry),
        }
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let Some(at) = self.at(sequence) else {
            return self.strays.remove(&sequence);
        };
        let found = self.queue.get_mut(at)?;
        let entry = *found;
        found.place = Place::NONE;
        self.holes += 1;
        self.close_holes();
        Some(entry)
    }

    /// In the order of their sequences, once settled.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let queue = self.queue.iter().filter(|it| it.place != Place::NONE);
        queue.chain(self.strays.values())
    }

    /// Puts everything in order and gives back what is not needed.
    pub(crate) fn settle(&mut self) {
        if self.strays.is_empty() {
            return self.queue.shrink_to_fit();
        }
        let mut entries: Vec<Entry> = self.iter().copied().collect();
        entries.sort_unstable_by_key(|it| it.sequence);
        *self = Self {
            queue: entries.into(),
            ..Self::default()
        };
    }

    fn push(&mut self, entry: Entry) {
        if self.queue.len() == self.queue.capacity() {
            // By a quarter instead of double: most sessions wait for a few.
            self.queue.reserve_exact(self.queue.len() / 4 + FIRST);
        }
        self.queue.push_back(entry);
    }

    /// Where in the queue the delivery with this sequence is.
    fn at(&self, sequence: u64) -> Option<usize> {
        let is_here = |at: usize| {
            let entry = self.queue.get(at);
            entry.is_some_and(|it| it.sequence == sequence && it.place != Place::NONE)
        };
        // Mostly none is missing, and then one look is enough.
        let distance = sequence.checked_sub(self.queue.front()?.sequence)?;
        let guess = usize::try_from(distance).ok()?;
        if is_here(guess) {
            return Some(guess);
        }
        let found = self.queue.binary_search_by_key(&sequence, |it| it.sequence);
        found.ok().filter(|&at| is_here(at))
    }

    fn close_holes(&mut self) {
        while self.queue.front().is_some_and(|it| it.place == Place::NONE) {
            self.queue.pop_front();
            self.holes -= 1;
        }
        const TOLERATED: usize = 32;
        if self.holes > TOLERATED && self.holes > self.queue.len() / 2 {
            self.queue.retain(|it| it.place != Place::NONE);
            self.holes = 0;
        }
        if self.queue.capacity() > TOLERATED && self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.capacity() / 2);
        }
        if self.queue.is_empty() && self.queue.capacity() > FIRST {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence,
            names: sequence,
            place: Place::written(1),
        }
    }

    fn sequences(deliveries: &Deliveries) -> Vec<u64> {
        deliveries.iter().map(|it| it.sequence).collect()
    }

    #[test]
    fn what_came_out_of_order_is_found_and_put_in_order() {
        let mut deliveries = Deliveries::default();
        for sequence in [5, 6, 1, 9, 2] {
            assert!(deliveries.put(entry(sequence)).is_none());
        }
        assert!(deliveries.find(1).is_some());
        assert!(deliveries.remove(2).is_some());
        assert!(deliveries.remove(2).is_none());
        deliveries.settle();
        assert_eq!(sequences(&deliveries), [1, 5, 6, 9]);
    }

    #[test]
    fn holes_do_not_pile_up_behind_one_that_stays() {
        let mut deliveries = Deliveries::default();
        deliveries.put(entry(0));
        for sequence in 1..100_000 {
            deliveries.put(entry(sequence));
            deliveries.remove(sequence);
        }
        assert_eq!(sequences(&deliveries), [0]);
        assert!(deliveries.queue.capacity() < 256);
    }

    #[test]
    fn a_session_that_waits_for_nothing_takes_little_room() {
        let mut deliveries = Deliveries::default();
        for sequence in 0..30 {
            deliveries.put(entry(sequence));
        }
        for sequence in (0..30).rev() {
            deliveries.remove(sequence);
        }
        assert!(deliveries.queue.capacity() <= FIRST);
    }

    #[test]
    fn a_sequence_may_come_back_into_its_hole() {
        let mut deliveries = Deliveries::default();
        for sequence in 1..4 {
            deliveries.put(entry(sequence));
        }
        deliveries.remove(2);
        assert!(deliveries.put(entry(2)).is_none());
        assert!(deliveries.put(entry(2)).is_some());
        deliveries.settle();
        assert_eq!(sequences(&deliveries), [1, 2, 3]);
    }
}
