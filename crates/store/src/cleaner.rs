//! Space is given back bit by bit, from the old end of the log.
//!
//! The cleaner walks from the oldest batch on, writes again what is still alive, and lets the log forget what it has
//! passed once the copies last. A deletion needs no copy: everything older is gone before it is. It begins when more than
//! half of the log is garbage, so that on average a record is moved once at most for each one that is written; earlier
//! when the disk has less room left than that, since it needs room itself. Little garbage can wait, but not on a full
//! disk: no more comes there, since nothing new is accepted. It moves and looks at no more in one commit than a commit may
//! take; how much follows from how much was written, so that it keeps up without bursts.

use crate::encoding::{self, Batch, RawChange};
use crate::index::{Index, Place, cost};
use crate::{Log, Position, Store, StoreError};

/// Bytes of log that one step looks through at most, in steps' worth of moving.
const LOOK_FACTOR: usize = 8;

/// Records that one step looks at: so many times what was written since the last one, where twice would just keep up.
const PACE: usize = 3;

/// The fewest and the most of them: a look may cost a few misses of the cache.
const LOOKS: (usize, usize) = (2048, 32_768);

/// Records that a step looks at when nothing was written.
const IDLE_LOOKS: usize = 8192;

/// The least garbage that is worth cleaning on a disk that is nearly full, as a part of what is alive.
const LEAST_GARBAGE: u64 = 16;

/// How far it has come.
#[derive(Debug)]
pub(crate) struct Cleaner {
    /// Everything before was passed.
    passed: Position,
    /// The part of the next batch that was passed, in bytes.
    passed_bytes: usize,
    /// Records in the part of the log that was not passed count this much, dead or alive.
    log_bytes: u64,
    /// Records that were written since the last step.
    written: usize,
    /// What may be forgotten once the log is synced.
    to_trim: Option<Position>,
}

impl Cleaner {
    pub(crate) fn new(first: Position, log_bytes: u64) -> Self {
        Self {
            passed: first,
            passed_bytes: 0,
            log_bytes,
            written: 0,
            to_trim: None,
        }
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// A change was written.
    pub(crate) fn wrote(&mut self, change: &RawChange<'_>) {
        self.log_bytes += u64::from(cost(change.key, change.encoded.len()));
        self.written += 1;
    }
}

impl<L: Log> Store<L> {
    /// Whether a commit would find garbage to clean.
    pub fn wants_cleaning(&self) -> bool {
        let live = self.index.live_bytes();
        let garbage = self.cleaner.log_bytes.saturating_sub(live);
        let is_worth = |part: u64| garbage > part + self.limits.garbage_bytes;
        if self.has_staged() {
            return false;
        }
        let is_short = || self.log.free_bytes().is_some_and(|it| garbage > it / 2);
        is_worth(live)
            || self.is_low && garbage > live
            || is_worth(live / LEAST_GARBAGE) && is_short()
    }

    /// One step, after `written_bytes` were committed. Answers with the bytes it moved.
    pub(crate) fn clean(&mut self, written_bytes: u64) -> Result<u64, StoreError> {
        let written = std::mem::take(&mut self.cleaner.written);
        if !self.wants_cleaning() {
            return Ok(0);
        }
        let looks = match written {
            0 => IDLE_LOOKS,
            written => written.saturating_mul(PACE).clamp(LOOKS.0, LOOKS.1),
        };
        let walk = self.walk(self.step_bytes(written_bytes), looks)?;
        if walk.moved_bytes > 0 && !self.append_moved()? {
            return Ok(0);
        }
        self.cleaner.passed = walk.passed;
        self.cleaner.passed_bytes = walk.passed_bytes;
        self.cleaner.log_bytes = self.cleaner.log_bytes.saturating_sub(walk.cost);
        self.cleaner.to_trim = Some(walk.passed);
        Ok(walk.moved_bytes as u64)
    }

    /// Lets the log forget what was passed. The log was just synced, so the copies last.
    pub(crate) fn give_back(&mut self) -> Result<(), StoreError> {
        match self.cleaner.to_trim.take() {
            Some(up_to) => self.log.trim(up_to)?,
            None => return Ok(()),
        }
        self.batches.trim(self.log.first());
        Ok(())
    }

    /// Twice what was written, so that a round over the live records ends before as much garbage has come again.
    fn step_bytes(&self, written_bytes: u64) -> usize {
        let most = self.limits.relocate_bytes;
        let least = most / 16;
        match usize::try_from(written_bytes) {
            Ok(0) | Err(_) => most,
            Ok(written) => written.saturating_mul(2).clamp(least, most),
        }
    }

    /// Collects live records from the old end on into `self.batch`.
    fn walk(&mut self, step_bytes: usize, looks: usize) -> Result<Walk, StoreError> {
        self.batch.clear();
        encoding::header(&mut self.batch, self.next_serial, self.highest_number);
        let mut walk = Walk {
            passed: self.cleaner.passed,
            passed_bytes: self.cleaner.passed_bytes,
            looks,
            ..Walk::default()
        };
        let mut outcome = Ok(());
        let (index, batch) = (&self.index, &mut self.batch);
        self.log.tail(walk.passed, &mut |end, bytes| {
            let step = Batch::open(end, bytes)
                .and_then(|from| walk.pass(&from, end, index, batch, step_bytes));
            match step {
                Ok(()) => {
                    walk.looked_bytes += bytes.len();
                    walk.passed_bytes == 0 && walk.has_budget(step_bytes)
                }
                Err(error) => {
                    outcome = Err(error);
                    false
                }
            }
        })?;
        outcome.map(|()| walk)
    }

    /// Appends what [`Store::walk`] collected. False if there is no room.
    fn append_moved(&mut self) -> Result<bool, StoreError> {
        let end = match self.log.append(&self.batch) {
            Ok(end) => end,
            Err(StoreError::Full) => return Ok(false),
            Err(error) => return Err(error),
        };
        let place = Place::written(self.next_serial);
        self.next_serial += 1;
        for change in Batch::open(end, &self.batch)?.changes(0) {
            self.index.relocate(change?.key, place);
        }
        self.wrote(end)?;
        // They are no reason to move more.
        self.cleaner.written = 0;
        Ok(true)
    }
}

/// One step over the old end of the log.
#[derive(Debug, Default)]
struct Walk {
    passed: Position,
    passed_bytes: usize,
    moved_bytes: usize,
    looked_bytes: usize,
    /// Records that may still be looked at.
    looks: usize,
    /// What was passed counts this much.
    cost: u64,
}

impl Walk {
    fn has_budget(&self, step_bytes: usize) -> bool {
        self.looks > 0
            && self.moved_bytes < step_bytes
            && self.looked_bytes < step_bytes * LOOK_FACTOR
    }

    /// Passes the batch that ends at `end`, or as much of it as the budget allows.
    fn pass(
        &mut self,
        from: &Batch<'_>,
        end: Position,
        index: &Index,
        out: &mut Vec<u8>,
        step_bytes: usize,
    ) -> Result<(), StoreError> {
        for change in from.changes(self.passed_bytes) {
            let change = change?;
            if self.moved_bytes >= step_bytes || self.looks == 0 {
                return Ok(());
            }
            self.looks -= 1;
            self.passed_bytes += change.encoded.len();
            self.cost += u64::from(cost(change.key, change.encoded.len()));
            if is_live(index, &change, from.serial) {
                out.extend_from_slice(change.encoded);
                self.moved_bytes += change.encoded.len();
            }
        }
        self.passed = end;
        self.passed_bytes = 0;
        Ok(())
    }
}

/// Whether a change in the batch with this serial puts the live copy of its record.
pub(crate) fn is_live(index: &Index, change: &RawChange<'_>, serial: u64) -> bool {
    !change.is_delete
        && index
            .place(change.key)
            .is_some_and(|it| it.serial() == serial)
}
