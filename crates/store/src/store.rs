//! The table of records on top of a log.
//!
//! Changes are staged, one atomic batch after another, and committed together: the log holds a staged batch as a whole or
//! not at all, and holds none without the ones staged before it. The index is ahead of the log by what is staged; space
//! is given back only while nothing is, since a record that a staged change replaced has still to be found if that change
//! is lost.

use crate::batches::Batches;
use crate::cleaner::Cleaner;
use crate::encoding::{Batch, KeyRef};
use crate::group::Group;
use crate::index::{Dead, Index};
use crate::recovery::{self, Recovered};
use crate::{Log, Position, StoreError, WallClock};
use std::collections::VecDeque;
use weir_engine::{Change, Record};

/// When a commit lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When [`Store::commit`] returns.
    #[default]
    Sync,
    /// After the next [`Store::sync`].
    Interval,
}

/// Sizes that a store works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch that holds this much takes no more changes.
    pub batch_bytes: usize,
    /// Live records that one commit moves at most, to give space back.
    pub relocate_bytes: usize,
    /// Garbage that is left alone.
    pub garbage_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes: 1 << 20,
            relocate_bytes: 1 << 20,
            garbage_bytes: 32 << 20,
        }
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Everything staged is before this position.
    pub end: Position,
    /// Bytes of staged changes that were written.
    pub written_bytes: u64,
    /// Bytes of older records that were moved to give space back.
    pub relocated_bytes: u64,
    /// No room is set aside any more: nothing new should be accepted, what frees space may go on.
    pub is_low: bool,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sessions.
    pub sessions: usize,
    /// Messages.
    pub messages: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Bytes of all records in the log.
    pub log_bytes: u64,
}

/// The records of the durable state, in a log.
#[derive(Debug)]
pub struct Store<L> {
    pub(crate) log: L,
    pub(crate) index: Index,
    pub(crate) cleaner: Cleaner,
    pub(crate) limits: Limits,
    /// As the last commit found it, see [`Committed::is_low`].
    pub(crate) is_low: bool,
    /// Where what is written is.
    pub(crate) batches: Batches,
    durability: Durability,
    pub(crate) clock: WallClock,
    pub(crate) groups: VecDeque<Group>,
    pub(crate) next_serial: u64,
    pub(crate) highest_number: u64,
    /// What is used over and over.
    pub(crate) batch: Vec<u8>,
    scratch: Vec<u8>,
    dead: Dead,
    put_messages: Vec<u64>,
}

impl<L: Log> Store<L> {
    /// Opens the store in `log` and answers with all records in it. `clock` says what the engine's moments mean now.
    ///
    /// # Errors
    /// What the log says, and [`StoreError::Malformed`] or [`StoreError::BatchVersion`] for what only a different version
    /// of Weir can have written.
    pub fn open(
        log: L,
        clock: WallClock,
        durability: Durability,
        limits: Limits,
    ) -> Result<(Self, Recovered), StoreError> {
        let mut log = log;
        let mut replayed = recovery::replay(&mut log)?;
        let broken = replayed.settle();
        let mut store = Self {
            cleaner: Cleaner::new(log.first(), replayed.log_bytes),
            index: replayed.index,
            batches: replayed.batches,
            limits,
            is_low: false,
            durability,
            clock,
            groups: VecDeque::new(),
            next_serial: replayed.highest_serial + 1,
            highest_number: replayed.highest_number,
            batch: vec![],
            scratch: vec![],
            dead: Dead::default(),
            put_messages: vec![],
            log,
        };
        store.stage(broken.iter().cloned().map(Change::Delete).collect());
        let recovered = recovery::collect(&mut store, &replayed.alive, clock, broken)?;
        Ok((store, recovered))
    }

    /// Adds changes that take place together, after all that was staged before. They last with the next commit.
    ///
    /// A record of a session that is deleted goes with it. A message that is there already is not put again, and one that
    /// nothing names at the end of `changes` is forgotten.
    pub fn stage(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let is_open = self
            .groups
            .back()
            .is_some_and(|it| !it.is_large(self.limits.batch_bytes));
        if !is_open {
            self.groups.push_back(Group::new(self.next_serial));
            self.next_serial += 1;
        }
        for change in changes {
            match change {
                Change::Put(record) => self.put(&record),
                Change::Delete(key) => self.delete(KeyRef::from(&key)),
            }
        }
        while let Some(number) = self.put_messages.pop() {
            self.dead.clear();
            self.index.drop_unnamed(number, &mut self.dead);
            self.cancel_messages();
        }
    }

    /// Writes what is staged, and gives some space back if there is too much garbage: call it also when nothing is
    /// staged and [`Store::wants_cleaning`].
    ///
    /// # Errors
    /// After [`StoreError::Full`] all that is not written stays staged, and may be committed later. After any other error
    /// the process must end.
    pub fn commit(&mut self, clock: WallClock) -> Result<Committed, StoreError> {
        self.clock = clock;
        let written_bytes = self.write_groups()?;
        let relocated_bytes = self.clean(written_bytes)?;
        if self.durability == Durability::Sync {
            self.sync()?;
        }
        self.is_low = !self.log.reserve();
        Ok(Committed {
            end: self.log.end(),
            written_bytes,
            relocated_bytes,
            is_low: self.is_low,
        })
    }

    /// Makes everything committed last.
    ///
    /// # Errors
    /// [`StoreError::Sync`]: the process must end.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.log.durable() < self.log.end() {
            self.log.sync()?;
        }
        self.give_back()
    }

    /// Whether something is staged.
    pub fn has_staged(&self) -> bool {
        !self.groups.is_empty()
    }

    /// How much there is.
    pub fn census(&self) -> Census {
        let census = self.index.census();
        Census {
            sessions: census.sessions,
            messages: census.messages,
            retained: census.retained,
            live_bytes: self.index.live_bytes(),
            log_bytes: self.cleaner.log_bytes(),
        }
    }

    /// The log.
    pub fn log(&self) -> &L {
        &self.log
    }

    /// The log, to tell it what to do.
    pub fn log_mut(&mut self) -> &mut L {
        &mut self.log
    }

    /// The log alone. What is staged is lost.
    pub fn into_log(self) -> L {
        self.log
    }

    /// Writes the groups in order; one that there is no room for stays, with those behind it.
    fn write_groups(&mut self) -> Result<u64, StoreError> {
        let mut written_bytes = 0;
        while let Some(group) = self.groups.front() {
            if group.len() > 0 {
                group.encode(&mut self.batch, self.highest_number);
                let end = self.log.append(&self.batch)?;
                self.wrote(end)?;
                written_bytes += self.batch.len() as u64;
            } else if self.groups.len() == 1 {
                // Nothing is left that has its serial.
                self.next_serial = group.serial();
            }
            self.groups.pop_front();
        }
        Ok(written_bytes)
    }

    /// What is in `self.batch` was appended.
    pub(crate) fn wrote(&mut self, end: Position) -> Result<(), StoreError> {
        let batch = Batch::open(end, &self.batch)?;
        for change in batch.changes(0) {
            let change = change?;
            self.cleaner.wrote(&change);
            if let KeyRef::Message(number) = change.key {
                self.index.locate(number, batch.serial, change.offset);
            }
        }
        self.batches.push(batch.serial, batch.position());
        Ok(())
    }

    fn put(&mut self, record: &Record) {
        let owned = record.key();
        let key = match (record, &owned) {
            (Record::Message(message), _) => KeyRef::Message(message.number.0),
            (_, Some(key)) => KeyRef::from(key),
            (_, None) => return,
        };
        let names = record.names().map_or(0, |message| message.0);
        self.highest_number = self.highest_number.max(key.number()).max(names);
        if let KeyRef::Message(number) = key {
            if self.index.has_message(number) {
                return;
            }
            self.put_messages.push(number);
        }
        self.put_as(key, names, record);
    }

    fn put_as(&mut self, key: KeyRef<'_>, names: u64, record: &Record) {
        let Some(group) = self.groups.back_mut() else {
            return;
        };
        let added = group.put(record, &mut self.scratch, self.clock);
        self.dead.clear();
        self.index
            .put(key, names, added.len, added.place, &mut self.dead);
        if group.cancel_all(&self.dead.records) {
            group.shadows(added.place);
        }
        self.cancel_messages();
    }

    fn delete(&mut self, key: KeyRef<'_>) {
        self.dead.clear();
        self.index.delete(key, &mut self.dead);
        let Some(group) = self.groups.back_mut() else {
            return;
        };
        if group.cancel_all(&self.dead.records) {
            group.delete(key, &mut self.scratch);
        }
        self.cancel_messages();
    }

    fn cancel_messages(&mut self) {
        if let Some(group) = self.groups.back_mut() {
            group.cancel_all(&self.dead.messages);
        }
    }
}

#[cfg(test)]
mod tests;
