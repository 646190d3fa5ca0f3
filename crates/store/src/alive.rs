//! Which changes of a log are alive, noted while it is read for the first time.
//!
//! The index says the same, but takes a few misses of the cache for each of a million records; a row of bits in the order
//! of the log takes none.

use crate::index::{Dead, Place, place::MAX_SLOTS};

/// A bit for each change in a log.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    /// The serial of each batch, ascending, and the number of its first change.
    batches: Vec<(u64, usize)>,
    bits: Vec<u64>,
    len: usize,
    /// Whether there are more changes in a batch than can be told apart.
    is_vague: bool,
}

impl Alive {
    /// The place of the next change, which is in the batch with this serial.
    pub(crate) fn next(&mut self, serial: u64) -> Place {
        let first = match self.batches.last() {
            Some((last, first)) if *last == serial => *first,
            _ => {
                self.batches.push((serial, self.len));
                self.len
            }
        };
        let place = Place::pending(serial, self.len - first);
        self.is_vague |= place.is_shared();
        place
    }

    /// Notes the change that [`Alive::next`] gave a place: a deletion is never alive.
    pub(crate) fn push(&mut self, is_alive: bool) {
        if self.len.is_multiple_of(64) {
            self.bits.push(0);
        }
        if let Some(word) = self.bits.last_mut() {
            *word |= u64::from(is_alive) << (self.len % 64);
        }
        self.len += 1;
    }

    /// These are garbage now.
    pub(crate) fn bury(&mut self, dead: &mut Dead) {
        for place in dead.records.drain(..).chain(dead.messages.drain(..)) {
            let batch = self
                .batches
                .binary_search_by_key(&place.serial(), |it| it.0);
            let batch = batch.ok().and_then(|at| self.batches.get(at));
            let number = batch.map(|(_, first)| first + place.slot());
            if let Some(number) = number
                && let Some(word) = self.bits.get_mut(number / 64)
            {
                *word &= !(1 << (number % 64));
            }
        }
    }

    /// Whether each change in turn is alive; `None`: only the index knows.
    pub(crate) fn iter(&self) -> Option<impl Iterator<Item = bool>> {
        let words = self.bits.iter();
        let bits = words.flat_map(|word| (0..64).map(move |bit| word >> bit & 1 == 1));
        (!self.is_vague).then_some(bits)
    }
}

const _: () = assert!(MAX_SLOTS > 1 << 20, "a batch of a megabyte has room");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_buried_is_not_alive() {
        let mut alive = Alive::default();
        let mut places = vec![];
        for number in 0..200_u64 {
            // Batches of three; serials have gaps.
            places.push(alive.next(number / 3 * 5 + 1));
            alive.push(number % 7 != 0);
        }
        let mut dead = Dead::default();
        dead.records.extend([places[1], places[64]]);
        dead.messages.push(places[199]);
        alive.bury(&mut dead);
        let found: Vec<bool> = alive.iter().unwrap().take(200).collect();
        for (number, is_alive) in found.into_iter().enumerate() {
            let expected = number % 7 != 0 && ![1, 64, 199].contains(&number);
            assert_eq!(is_alive, expected, "{number}");
        }
        assert!(dead.records.is_empty() && dead.messages.is_empty());
    }

    #[test]
    fn a_batch_of_too_many_changes_is_vague() {
        let mut alive = Alive::default();
        for _ in 0..MAX_SLOTS {
            assert!(alive.iter().is_some());
            alive.next(1);
            alive.push(true);
        }
        assert!(alive.iter().is_none());
    }
}
