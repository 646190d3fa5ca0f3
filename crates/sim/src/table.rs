//! The durable state as a plain table: what a store holds, however it does it.
//!
//! The world keeps one of what is committed, to begin again with; the oracle keeps one of what was asked for, to compare
//! with what the engine has. Nothing here can fail, and nothing is clever.

use std::collections::BTreeMap;
use std::sync::Arc;
use weir_engine::{Change, Instant, Key, Message, MessageNumber, Record, Stage};

/// Records by their keys, and the messages they name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) records: BTreeMap<Key, Record>,
    pub(crate) messages: BTreeMap<MessageNumber, Arc<Message>>,
    names: BTreeMap<MessageNumber, usize>,
}

impl Table {
    /// Makes these changes. An error if they name a message that is not there.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), String> {
        let mut touched = Vec::new();
        for change in changes {
            let old = match change {
                Change::Put(Record::Message(message)) => {
                    self.messages.insert(message.number, Arc::clone(message));
                    touched.push(message.number);
                    continue;
                }
                Change::Put(record) => {
                    if let Some(number) = record.names() {
                        if !self.messages.contains_key(&number) {
                            return Err(format!("{record:?} names a message that was not put"));
                        }
                        *self.names.entry(number).or_default() += 1;
                    }
                    let key = record.key();
                    key.and_then(|key| self.records.insert(key, record.clone()))
                }
                Change::Delete(key) => self.records.remove(key),
            };
            if let Some(number) = old.as_ref().and_then(Record::names) {
                touched.push(number);
                if let Some(count) = self.names.get_mut(&number) {
                    *count -= 1;
                }
            }
        }
        for number in touched {
            if self.names.get(&number).is_none_or(|count| *count == 0) {
                self.names.remove(&number);
                self.messages.remove(&number);
            }
        }
        Ok(())
    }

    /// The same with all moments so much later.
    pub(crate) fn shifted(&self, millis: i64) -> Self {
        if millis == 0 {
            return self.clone();
        }
        let later =
            |at: Instant| Instant::from_millis(at.as_millis().saturating_add_signed(millis));
        let mut shifted = self.clone();
        for message in shifted.messages.values_mut() {
            let expires_at = message.expires_at.map(later);
            *message = Arc::new(Message {
                expires_at,
                ..(**message).clone()
            });
        }
        for record in shifted.records.values_mut() {
            if let Record::Session(session) = record {
                session.absent_since = session.absent_since.map(later);
            }
        }
        shifted
    }

    pub(crate) fn holds_the_same_as(&self, other: &Self) -> bool {
        self.records == other.records && self.messages == other.messages
    }

    /// All records, in the order in which a shard is to be shown them.
    pub(crate) fn list(&self) -> Vec<Record> {
        let is_session = |record: &&Record| matches!(record, Record::Session(_));
        let messages = self.messages.values().cloned().map(Record::Message);
        let sessions = self.records.values().filter(is_session).cloned();
        let others = self.records.values().filter(|it| !is_session(it)).cloned();
        messages.chain(sessions).chain(others).collect()
    }

    /// How many records there are, messages included.
    pub(crate) fn len(&self) -> usize {
        self.records.len() + self.messages.len()
    }

    /// The first difference from what all shards say they have. What waits in a queue may be in the store alone, once it is
    /// `kept` there.
    pub(crate) fn differs_from(&self, inventory: Vec<Record>, kept: &Self) -> Option<String> {
        let mut found = BTreeMap::new();
        let mut messages = BTreeMap::new();
        for record in inventory {
            match record {
                Record::Message(message) => {
                    messages.insert(message.number, message);
                }
                record => {
                    if let Some(key) = record.key() {
                        found.insert(key, record);
                    }
                }
            }
        }
        for (key, record) in &self.records {
            match found.remove(key) {
                Some(other) if is_same(record, &other) => {}
                other => return Some(format!("the store has {record:?}, the shards {other:?}")),
            }
        }
        if let Some((_, record)) = found.pop_first() {
            return Some(format!("the store lacks {record:?}"));
        }
        let wrong = messages
            .iter()
            .find(|(number, message)| self.messages.get(number) != Some(message));
        if let Some(wrong) = wrong {
            return Some(format!("the shards hold {wrong:?}, the store does not"));
        }
        let may_be_parked = |record: &Record| match record {
            Record::Delivery(it) => match it.stage {
                Stage::Queued(number) => kept.messages.contains_key(&number),
                Stage::Sent(..) | Stage::Released(_) => false,
            },
            _ => false,
        };
        let records = self.records.values().filter(|it| !may_be_parked(it));
        let lacking = records
            .filter_map(Record::names)
            .find(|number| !messages.contains_key(number));
        lacking.map(|number| format!("no shard has {number:?}, and the store does not keep it"))
    }
}

/// Whether two records say the same; of an absent session shards know when it ends, the store since when it is absent.
fn is_same(kept: &Record, held: &Record) -> bool {
    let (Record::Session(kept), Record::Session(held)) = (kept, held) else {
        return kept == held;
    };
    let ends_at = match kept.expiry_seconds {
        u32::MAX => None,
        seconds => kept.absent_since.map(|at| at.plus_seconds(seconds)),
    };
    let same = (
        kept.number,
        &kept.client_id,
        &kept.user,
        kept.expiry_seconds,
    ) == (
        held.number,
        &held.client_id,
        &held.user,
        held.expiry_seconds,
    );
    same && ends_at == held.absent_since
}
