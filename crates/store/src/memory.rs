//! A log in memory: it lasts as long as the process.
//!
//! What is appended is durable at once, by that measure. Bounded in bytes, as a disk is.

use crate::log::copy_part;
use crate::{Log, Position, StoreError};
use std::collections::VecDeque;

/// A log in memory.
#[derive(Debug)]
pub struct Memory {
    first: Position,
    batches: VecDeque<Box<[u8]>>,
    bytes: usize,
    max_bytes: usize,
}

impl Memory {
    /// An empty log that holds `max_bytes` at most.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            first: Position(0),
            batches: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }
}

impl Log for Memory {
    fn append(&mut self, batch: &[u8]) -> Result<Position, StoreError> {
        if self.bytes + batch.len() > self.max_bytes {
            return Err(StoreError::Full);
        }
        self.bytes += batch.len();
        self.batches.push_back(batch.into());
        Ok(self.end())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn durable(&self) -> Position {
        self.end()
    }

    fn first(&self) -> Position {
        self.first
    }

    fn end(&self) -> Position {
        Position(self.first.0 + self.batches.len() as u64)
    }

    fn tail(
        &mut self,
        from: Position,
        visit: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let skipped = from
            .0
            .checked_sub(self.first.0)
            .ok_or(StoreError::Trimmed(self.first))?;
        let positions = (from.0 + 1..).map(Position);
        let batches = self
            .batches
            .iter()
            .skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        for (position, batch) in positions.zip(batches) {
            if !visit(position, batch) {
                break;
            }
        }
        Ok(())
    }

    fn read(&mut self, at: Position, offset: usize, out: &mut [u8]) -> Result<(), StoreError> {
        let skipped = at.0.checked_sub(self.first.0);
        let skipped = skipped.ok_or(StoreError::Trimmed(self.first))?;
        let batch = usize::try_from(skipped)
            .ok()
            .and_then(|it| self.batches.get(it));
        batch
            .and_then(|batch| copy_part(batch, offset, out))
            .ok_or_else(|| StoreError::Corrupt("memory".into(), at))
    }

    fn trim(&mut self, up_to: Position) -> Result<(), StoreError> {
        while self.first < up_to
            && let Some(batch) = self.batches.pop_front()
        {
            self.bytes -= batch.len();
            self.first.0 += 1;
        }
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(self.max_bytes.saturating_sub(self.bytes) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_from(log: &mut Memory, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut found = vec![];
        log.tail(Position(from), &mut |position, batch| {
            found.push((position.0, batch.to_vec()));
            true
        })?;
        Ok(found)
    }

    #[test]
    fn batches_come_back_in_order_from_any_position() {
        let mut log = Memory::new(100);
        assert_eq!(log.append(b"one"), Ok(Position(1)));
        assert_eq!(log.append(b"two"), Ok(Position(2)));
        assert_eq!(log.durable(), Position(2));
        assert_eq!(
            all_from(&mut log, 0),
            Ok(vec![(1, b"one".to_vec()), (2, b"two".to_vec())])
        );
        assert_eq!(all_from(&mut log, 1), Ok(vec![(2, b"two".to_vec())]));
        assert_eq!(all_from(&mut log, 2), Ok(vec![]));
    }

    #[test]
    fn what_is_trimmed_makes_room_and_is_not_served() {
        let mut log = Memory::new(6);
        log.append(b"one").unwrap();
        log.append(b"two").unwrap();
        assert_eq!(log.append(b"x"), Err(StoreError::Full));
        log.trim(Position(1)).unwrap();
        assert_eq!(log.append(b"x"), Ok(Position(3)));
        assert_eq!(all_from(&mut log, 0), Err(StoreError::Trimmed(Position(1))));
        assert_eq!(
            all_from(&mut log, 1),
            Ok(vec![(2, b"two".to_vec()), (3, b"x".to_vec())])
        );
    }

    #[test]
    fn a_part_of_a_batch_is_read_alone() {
        let mut log = Memory::new(100);
        log.append(b"one").unwrap();
        log.append(b"two").unwrap();
        let mut part = [0; 2];
        log.read(Position(1), 1, &mut part).unwrap();
        assert_eq!(&part, b"wo");
        let nowhere = |at| Err(StoreError::Corrupt("memory".into(), Position(at)));
        assert_eq!(log.read(Position(1), 2, &mut part), nowhere(1));
        assert_eq!(log.read(Position(2), 0, &mut part), nowhere(2));
        log.trim(Position(1)).unwrap();
        let trimmed = Err(StoreError::Trimmed(Position(1)));
        assert_eq!(log.read(Position(0), 0, &mut part), trimmed);
    }

    #[test]
    fn a_visitor_may_stop() {
        let mut log = Memory::new(100);
        log.append(b"one").unwrap();
        log.append(b"two").unwrap();
        let mut seen = 0;
        log.tail(Position(0), &mut |_, _| {
            seen += 1;
            false
        })
        .unwrap();
        assert_eq!(seen, 1);
    }
}
