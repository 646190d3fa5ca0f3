//! The store of an engine script: a table in memory that takes batches in order, or stalls.
//!
//! A crash keeps what was taken, and loses the rest with the shards.

use crate::{
    Change, Input, Key, Links, Message, MessageNumber, Record, SessionKey, ShardId, StoreTicket,
};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Default)]
pub(super) struct Disk {
    pub(super) is_stalled: bool,
    /// Whether nothing is read back.
    pub(super) is_unread: bool,
    /// Whether what is read back is damaged.
    pub(super) is_damaged: bool,
    asked: VecDeque<(usize, SessionKey, Vec<MessageNumber>)>,
    records: BTreeMap<Key, Record>,
    messages: BTreeMap<MessageNumber, Arc<Message>>,
    waiting: VecDeque<(ShardId, StoreTicket, Vec<Change>)>,
    /// How many batches were asked for by one of another shard.
    pub(super) joined: usize,
    /// What a batch asked of a shard that has not told its part.
    incomplete: Vec<(ShardId, (ShardId, StoreTicket))>,
}

impl Disk {
    pub(super) fn push(
        &mut self,
        shard: ShardId,
        ticket: StoreTicket,
        changes: Vec<Change>,
        links: &Links,
    ) {
        let asked = links.asked.iter().map(|other| (*other, (shard, ticket)));
        self.incomplete.extend(asked);
        if let Some(cause) = links.caused_by {
            self.joined += 1;
            let part = self.incomplete.iter().position(|it| *it == (shard, cause));
            self.incomplete.remove(part.expect("somebody asked for it"));
        }
        self.waiting.push_back((shard, ticket, changes));
    }

    /// Takes the next batch, and says whose it was.
    pub(super) fn take(&mut self) -> Option<(ShardId, StoreTicket)> {
        if self.is_stalled {
            return None;
        }
        let (shard, ticket, changes) = self.waiting.pop_front()?;
        for change in changes {
            match change {
                Change::Put(Record::Message(message)) => {
                    self.messages.insert(message.number, message);
                }
                Change::Put(record) => {
                    assert!(
                        record
                            .names()
                            .is_none_or(|it| self.messages.contains_key(&it)),
                        "{record:?} names a message that was not put"
                    );
                    self.records.insert(record.key().unwrap(), record);
                }
                Change::Delete(key) => drop(self.records.remove(&key)),
            }
        }
        let named: Vec<_> = self.records.values().filter_map(Record::names).collect();
        self.messages.retain(|number, _| named.contains(number));
        Some((shard, ticket))
    }

    /// Messages are to be read back.
    pub(super) fn ask(&mut self, shard: usize, session: SessionKey, messages: Vec<MessageNumber>) {
        self.asked.push_back((shard, session, messages));
    }

    /// Reads what was asked for next, and says for whom.
    pub(super) fn read(&mut self) -> Option<(usize, Input)> {
        if self.is_unread {
            return None;
        }
        let (shard, session, numbers) = self.asked.pop_front()?;
        let find = |number| {
            let found = self.messages.get(&number).filter(|_| !self.is_damaged);
            (number, found.cloned())
        };
        let messages = numbers.into_iter().map(find).collect();
        Some((shard, Input::Loaded { session, messages }))
    }

    /// What a broker begins again with, and the number it may begin to count from.
    pub(super) fn crash(&mut self) -> (Vec<Record>, u64) {
        self.waiting.clear();
        self.incomplete.clear();
        self.asked.clear();
        self.is_stalled = false;
        let messages = self.messages.values().cloned().map(Record::Message);
        let order = |record: &Record| match record {
            Record::Message(_) => 0,
            Record::Session(_) => 1,
            _ => 2,
        };
        let mut records: Vec<_> = messages.chain(self.records.values().cloned()).collect();
        records.sort_by_key(order);
        (records, 1 << 32)
    }

    /// Whether everything is there that belongs together.
    pub(super) fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// How many records there are, messages included.
    pub(super) fn len(&self) -> usize {
        self.records.len() + self.messages.len()
    }
}
