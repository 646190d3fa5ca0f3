//! A log that fails as a disk does, on demand and in no time at all.
//!
//! It keeps two images: what was appended, and how much of that was synced. [`Faulty::crash`] answers with the log as it
//! would be found after a power cut: everything synced, and of the rest as many batches from the front as one likes (a
//! batch that was torn is one that is lost). Space is given back in segments, as files do, so that after a crash there
//! may be more at the old end than was trimmed.

use crate::log::copy_part;
use crate::{Doing, IoFault, Log, Position, StoreError};
use std::collections::VecDeque;
use std::io::ErrorKind;

/// A log that fails on demand.
#[derive(Clone, Debug, Default)]
pub struct Faulty {
    first: Position,
    batches: VecDeque<Vec<u8>>,
    synced: Position,
    /// What a crash before the next sync may bring back.
    unlinked: VecDeque<Vec<u8>>,
    segment_batches: u64,
    max_bytes: Option<usize>,
    bytes: usize,
    sync: Sync,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sync {
    #[default]
    Works,
    Fails,
    Lies,
}

impl Faulty {
    /// An empty log that gives space back in segments of so many batches.
    #[must_use]
    pub fn new(segment_batches: u64) -> Self {
        Self {
            segment_batches: segment_batches.max(1),
            ..Self::default()
        }
    }

    /// Holds this many bytes at most from now on, whatever it holds already; `None`: any number.
    pub fn set_max_bytes(&mut self, max_bytes: Option<usize>) {
        self.max_bytes = max_bytes;
    }

    /// From now on a sync fails.
    pub fn fail_sync(&mut self) {
        self.sync = Sync::Fails;
    }

    /// From now on a sync does nothing and says that it did: what a missing sync looks like.
    pub fn lie_about_sync(&mut self) {
        self.sync = Sync::Lies;
    }

    /// Damages the byte that stands so far into the batch at `at`. What is read whole tells of that only if whoever wrote
    /// it can.
    pub fn damage_byte(&mut self, at: Position, offset: usize) {
        let batch = at.0.checked_sub(self.first.0);
        let batch = batch.and_then(|it| self.batches.get_mut(narrow(it)));
        if let Some(byte) = batch.and_then(|it| it.get_mut(offset)) {
            *byte ^= 0x10;
        }
    }

    /// What was trimmed will not be there again after a crash, although nothing was synced since.
    pub fn forget_trimmed(&mut self) {
        self.unlinked.clear();
    }

    /// How many batches a crash may lose.
    #[must_use]
    pub fn unsynced(&self) -> u64 {
        self.end().0.saturating_sub(self.synced.0)
    }

    /// The bytes it holds.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// The log as it is found after a crash that kept the first `kept` of the batches that were not synced. The disk
    /// works again.
    #[must_use]
    pub fn crash(&self, kept: u64) -> Self {
        let lost = self.unsynced().saturating_sub(kept);
        let len = self.batches.len().saturating_sub(narrow(lost));
        let mut batches = self.unlinked.clone();
        batches.extend(self.batches.iter().take(len).cloned());
        Self {
            first: Position(self.first.0 - self.unlinked.len() as u64),
            synced: Position(self.first.0 + len as u64),
            bytes: batches.iter().map(Vec::len).sum(),
            batches,
            segment_batches: self.segment_batches,
            ..Self::default()
        }
    }

    /// The log as it is found after the process alone was killed: everything appended is there.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.crash(u64::MAX)
    }
}

impl Log for Faulty {
    fn append(&mut self, batch: &[u8]) -> Result<Position, StoreError> {
        if self.sync == Sync::Fails {
            return Err(failed());
        }
        let bytes = self.bytes + batch.len();
        if self.max_bytes.is_some_and(|max_bytes| bytes > max_bytes) {
            return Err(StoreError::Full);
        }
        self.bytes = bytes;
        self.batches.push_back(batch.to_vec());
        Ok(self.end())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        match self.sync {
            Sync::Fails => return Err(failed()),
            Sync::Lies => {}
            Sync::Works => {
                self.synced = self.end();
                self.unlinked.clear();
            }
        }
        Ok(())
    }

    fn durable(&self) -> Position {
        match self.sync {
            Sync::Lies => self.end(),
            Sync::Works | Sync::Fails => self.synced,
        }
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
        let skipped = from.0.checked_sub(self.first.0);
        let skipped = skipped.ok_or(StoreError::Trimmed(self.first))?;
        let positions = (from.0 + 1..).map(Position);
        for (position, batch) in positions.zip(self.batches.iter().skip(narrow(skipped))) {
            if !visit(position, batch) {
                break;
            }
        }
        Ok(())
    }

    fn read(&mut self, at: Position, offset: usize, out: &mut [u8]) -> Result<(), StoreError> {
        let skipped = at.0.checked_sub(self.first.0);
        let skipped = skipped.ok_or(StoreError::Trimmed(self.first))?;
        (self.batches.get(narrow(skipped)))
            .and_then(|batch| copy_part(batch, offset, out))
            .ok_or_else(|| StoreError::Corrupt("faulty".into(), at))
    }

    fn trim(&mut self, up_to: Position) -> Result<(), StoreError> {
        let up_to = Position(up_to.0 - up_to.0 % self.segment_batches);
        while self.first < up_to
            && let Some(batch) = self.batches.pop_front()
        {
            self.bytes -= batch.len();
            self.unlinked.push_back(batch);
            self.first.0 += 1;
        }
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let left = self.max_bytes?.saturating_sub(self.bytes);
        Some(left as u64)
    }

    fn reserve(&mut self) -> bool {
        self.max_bytes
            .is_none_or(|max_bytes| self.bytes < max_bytes)
    }
}

fn failed() -> StoreError {
    StoreError::Sync(IoFault {
        doing: Doing::Sync,
        path: "faulty".into(),
        kind: ErrorKind::Other,
        code: None,
    })
}

fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
