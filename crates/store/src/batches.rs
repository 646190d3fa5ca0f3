//! Which position the batch with a serial has.
//!
//! Records are found by serial, since a batch gets its position only when it is written. Both count up, mostly together: a
//! run ends where a group was given up unwritten, or where batches are lost.

use crate::Position;
use std::collections::VecDeque;

/// The positions of all batches that are written.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// The first serial of each run and its position, ascending.
    runs: VecDeque<(u64, Position)>,
}

impl Batches {
    /// The batch behind all others was written, or found, at `at`.
    pub(crate) fn push(&mut self, serial: u64, at: Position) {
        let goes_on = |(first, position): &(u64, Position)| {
            serial.checked_sub(*first) == at.0.checked_sub(position.0)
        };
        if !self.runs.back().is_some_and(goes_on) {
            self.runs.push_back((serial, at));
        }
    }

    /// Where the batch with this serial is, if it is written.
    pub(crate) fn find(&self, serial: u64) -> Option<Position> {
        let behind = self.runs.partition_point(|(first, _)| *first <= serial);
        let (first, position) = self.runs.get(behind.checked_sub(1)?)?;
        Some(Position(position.0 + (serial - first)))
    }

    /// Forgets what is before `first`, where the log begins now.
    pub(crate) fn trim(&mut self, first: Position) {
        while self.runs.get(1).is_some_and(|(_, next)| *next <= first) {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_found_over_gaps_on_either_side() {
        let mut batches = Batches::default();
        let written = [(1, 0), (2, 1), (5, 2), (6, 3), (7, 9), (8, 10)];
        for (serial, at) in written {
            batches.push(serial, Position(at));
        }
        assert_eq!(batches.runs.len(), 3);
        for (serial, at) in written {
            assert_eq!(batches.find(serial), Some(Position(at)));
        }
        assert_eq!(batches.find(0), None);
        batches.trim(Position(3));
        assert_eq!(batches.runs.len(), 2);
        assert_eq!(batches.find(6), Some(Position(3)));
        assert_eq!(batches.find(2), None);
    }
}
