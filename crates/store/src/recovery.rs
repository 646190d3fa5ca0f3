//! What a log holds when it is opened.
//!
//! It is read twice: once for keys, to know what is alive, once for the values of that, without asking the index again. So a
//! record that was replaced or deleted is never decoded, nor is a message that only waits, and opening takes no more
//! memory than what it answers with. Messages that are needed at once are loaded then.

use crate::alive::Alive;
use crate::batches::Batches;
use crate::cleaner::is_live;
use crate::encoding::{self, Batch, KeyRef, RawChange};
use crate::index::{Dead, Index, cost};
use crate::{Damage, DamagedMessage, Log, Position, Store, StoreError, WallClock};
use std::sync::Arc;
use weir_engine::{
    DeliveryRecord, Key, Message, MessageNumber, Parked, Record, RetainedRecord, Stage,
};

/// What a store held when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// All records, in this order: sessions, subscriptions, wills, packet ids received, messages, deliveries, retained
    /// messages. Each kind is in the order of its keys. Of messages there are those that are retained, and those that
    /// were sent and not acknowledged.
    pub records: Vec<Record>,
    /// All other messages, by number: they wait, and [`Store::load`] has them.
    pub parked: Vec<Parked>,
    /// Above every session and message number that was ever staged and committed; at least 1.
    pub next_number: u64,
    /// What could not be served.
    pub lost: Lost,
}

impl Recovered {
    /// Loads what is parked and puts it among the records. Answers with what is damaged.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub fn unpark<L: Log>(
        &mut self,
        store: &mut Store<L>,
    ) -> Result<Vec<DamagedMessage>, StoreError> {
        let parked = std::mem::take(&mut self.parked);
        let numbers: Vec<_> = parked.into_iter().map(|it| it.number).collect();
        let loaded = store.load(&numbers)?;
        let is_message = |record: &Record| matches!(record, Record::Message(_));
        let is_later =
            |record: &Record| matches!(record, Record::Delivery(_) | Record::Retained(_));
        let end = self.records.partition_point(|it| !is_later(it));
        let before = self.records.iter().take(end);
        let start = end - before.rev().take_while(|it| is_message(it)).count();
        let mut messages: Vec<_> = self.records.drain(start..end).collect();
        messages.extend(loaded.messages.into_iter().flatten().map(Record::Message));
        messages.sort_by_key(|record| match record {
            Record::Message(message) => Some(message.number),
            _ => None,
        });
        self.records.splice(start..start, messages);
        Ok(loaded.damaged)
    }
}

/// What was found damaged or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// What the log found. [`Damage::Torn`] is no loss.
    pub damage: Vec<Damage>,
    /// Records that are left out: deliveries and retained messages of which the message is missing; for a session, all
    /// that was its, since its own record is missing. They are deleted with the next commit.
    pub records: Vec<Key>,
}

impl Lost {
    /// Whether anything that was promised to last is missing.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        let is_corrupt = |damage: &Damage| matches!(damage, Damage::Corrupt { .. });
        !self.records.is_empty() || self.damage.iter().any(is_corrupt)
    }
}

/// What the first reading finds.
pub(crate) struct Replayed {
    pub(crate) index: Index,
    pub(crate) alive: Alive,
    pub(crate) batches: Batches,
    dead: Dead,
    pub(crate) highest_serial: u64,
    pub(crate) highest_number: u64,
    pub(crate) log_bytes: u64,
}

/// Reads a whole log for its keys.
pub(crate) fn replay<L: Log>(log: &mut L) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed {
        index: Index::replaying(),
        alive: Alive::default(),
        batches: Batches::default(),
        dead: Dead::default(),
        highest_serial: 0,
        highest_number: 0,
        log_bytes: 0,
    };
    each_change(log, &mut |batch, change| {
        replayed.take(batch, change);
        Ok(())
    })?;
    Ok(replayed)
}

impl Replayed {
    fn take(&mut self, batch: &Batch<'_>, change: &RawChange<'_>) {
        self.batches.push(batch.serial, batch.position());
        self.highest_serial = self.highest_serial.max(batch.serial);
        self.highest_number = self.highest_number.max(batch.highest_number);
        let len = change.encoded.len();
        self.log_bytes += u64::from(cost(change.key, len));
        let place = self.alive.next(batch.serial);
        if change.is_delete {
            self.index.delete(change.key, &mut self.dead);
        } else {
            self.index
                .put(change.key, change.names, len, place, &mut self.dead);
        }
        self.alive.push(!change.is_delete);
        self.alive.bury(&mut self.dead);
    }

    /// The log has been seen to its end. Answers with what cannot be served.
    pub(crate) fn settle(&mut self) -> Vec<Key> {
        let broken = self.index.settle(&mut self.dead);
        self.alive.bury(&mut self.dead);
        broken
    }
}

/// Reads the live records, once the index is settled.
pub(crate) fn collect<L: Log>(
    store: &mut Store<L>,
    alive: &Alive,
    clock: WallClock,
    missing: Vec<Key>,
) -> Result<Recovered, StoreError> {
    let mut found = Found::default();
    let index = &mut store.index;
    // What can't be served was taken out of the index afterwards.
    let mut alive = alive.iter().filter(|_| missing.is_empty());
    each_change(&mut store.log, &mut |batch, change| {
        let is_alive = match &mut alive {
            Some(alive) => alive.next() == Some(true),
            None => is_live(index, change, batch.serial),
        };
        if !is_alive {
            return Ok(());
        }
        let taken = match change.key {
            KeyRef::Message(number) => {
                index.locate(number, batch.serial, change.offset);
                found.park(encoding::parked(change))
            }
            _ => found.push(encoding::record(change, clock)),
        };
        taken.ok_or(StoreError::Malformed(batch.end()))
    })?;
    found.take_needed(store)?;
    let parked = std::mem::take(&mut found.parked);
    Ok(Recovered {
        records: found.in_order(),
        parked,
        next_number: store.highest_number + 1,
        lost: Lost {
            damage: store.log.damage().to_vec(),
            records: missing,
        },
    })
}

fn each_change<L: Log>(
    log: &mut L,
    take: &mut dyn FnMut(&Batch<'_>, &RawChange<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    log.tail(log.first(), &mut |end, bytes| {
        outcome = changes_of(end, bytes, take);
        outcome.is_ok()
    })?;
    outcome
}

fn changes_of(
    end: Position,
    bytes: &[u8],
    take: &mut dyn FnMut(&Batch<'_>, &RawChange<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let batch = Batch::open(end, bytes)?;
    for change in batch.changes(0) {
        take(&batch, &change?)?;
    }
    Ok(())
}

/// Records by kind.
#[derive(Default)]
struct Found {
    /// Sessions, subscriptions, wills and packet ids.
    sessions: Vec<(Key, Record)>,
    messages: Vec<Arc<Message>>,
    parked: Vec<Parked>,
    /// Messages that are needed at once.
    needed: Vec<MessageNumber>,
    deliveries: Vec<DeliveryRecord>,
    retained: Vec<RetainedRecord>,
}

impl Found {
    fn park(&mut self, parked: Option<Parked>) -> Option<()> {
        self.parked.push(parked?);
        Some(())
    }

    fn push(&mut self, record: Option<Record>) -> Option<()> {
        match record? {
            Record::Delivery(delivery) => {
                if let Stage::Sent(message, _) = delivery.stage {
                    self.needed.push(message);
                }
                self.deliveries.push(delivery);
            }
            Record::Retained(retained) => {
                self.needed.push(retained.message);
                self.retained.push(retained);
            }
            record => self.sessions.push((record.key()?, record)),
        }
        Some(())
    }

    /// Loads the messages that are needed at once; the others stay parked.
    fn take_needed<L: Log>(&mut self, store: &mut Store<L>) -> Result<(), StoreError> {
        self.needed.sort_unstable();
        self.needed.dedup();
        let loaded = store.load(&self.needed)?;
        if let Some(damaged) = loaded.damaged.first() {
            return Err(StoreError::Malformed(Position(damaged.position.0 + 1)));
        }
        self.messages = loaded.messages.into_iter().flatten().collect();
        self.parked.sort_unstable_by_key(|it| it.number);
        let mut needed = self.needed.iter().peekable();
        self.parked.retain(|it| {
            while needed.next_if(|needed| **needed < it.number).is_some() {}
            needed.peek() != Some(&&it.number)
        });
        Ok(())
    }

    fn in_order(mut self) -> Vec<Record> {
        // The order of keys is the order of kinds.
        self.sessions.sort_by(|a, b| a.0.cmp(&b.0));
        self.deliveries.sort_by_key(|it| (it.session, it.sequence));
        self.retained
            .sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        let sessions = self.sessions.into_iter().map(|(_, record)| record);
        let messages = self.messages.into_iter().map(Record::Message);
        let deliveries = self.deliveries.into_iter().map(Record::Delivery);
        let retained = self.retained.into_iter().map(Record::Retained);
        sessions
            .chain(messages)
            .chain(deliveries)
            .chain(retained)
            .collect()
    }
}
