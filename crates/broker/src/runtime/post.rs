//! What a shard says to others, gathered over a turn: a batch to each other shard, a batch to the store.
//!
//! One wake a batch. The store's goes first, since what other shards are told may lead to more of the same.

use super::mailbox::{Arrival, Mail, Mailboxes};
use super::storage::Storage;
use std::cell::{Cell, RefCell};
use weir_engine::{Change, Links, MessageNumber, Remote, SessionKey, ShardId, StoreTicket};
use weir_store::Part;

/// The outgoing post of one shard.
pub(crate) struct Post {
    from: ShardId,
    mailboxes: Mailboxes,
    storage: Option<Storage>,
    is_waiting: Cell<bool>,
    remotes: RefCell<Vec<Vec<Remote>>>,
    parts: RefCell<Vec<Part>>,
}

impl Post {
    pub(crate) fn new(from: ShardId, mailboxes: Mailboxes, storage: Option<Storage>) -> Self {
        Self {
            from,
            storage,
            is_waiting: Cell::new(false),
            remotes: RefCell::new((0..mailboxes.len()).map(|_| Vec::new()).collect()),
            parts: RefCell::default(),
            mailboxes,
        }
    }

    /// Another shard is to be told this at the end of the turn.
    pub(crate) fn forward(&self, to: ShardId, remote: Remote) {
        if let Some(batch) = self.remotes.borrow_mut().get_mut(usize::from(to.0)) {
            batch.push(remote);
            self.is_waiting.set(true);
        }
    }

    /// The store is to be told this at the end of the turn.
    pub(crate) fn store(&self, ticket: StoreTicket, changes: Vec<Change>, links: Links) {
        self.parts.borrow_mut().push(Part {
            shard: self.from,
            ticket,
            changes,
            links,
        });
        self.is_waiting.set(true);
    }

    /// The store is to read this, at once.
    pub(crate) fn load(&self, session: SessionKey, messages: Vec<MessageNumber>) {
        if let Some(storage) = &self.storage {
            storage.read(self.from, session, messages);
        }
    }

    /// Tells another shard at once.
    pub(crate) fn send(&self, to: ShardId, mail: Mail) {
        self.mailboxes.send(usize::from(to.0), mail);
    }

    /// Gives another shard a connection to begin with.
    pub(crate) fn deal(&self, to: usize, arrival: Arrival) {
        self.mailboxes.send(to, Mail::Accepted(Box::new(arrival)));
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// Whether there is anything to send.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }

    /// Whether those who are told can't keep up.
    pub(crate) fn is_crowded(&self) -> bool {
        self.mailboxes.is_crowded() || self.storage.as_ref().is_some_and(Storage::is_crowded)
    }

    /// Sends what was gathered.
    pub(crate) fn flush(&self) {
        if !self.is_waiting.take() {
            return;
        }
        let parts = self.parts.take();
        if let (Some(storage), false) = (&self.storage, parts.is_empty()) {
            storage.send(parts);
        }
        for (to, batch) in self.remotes.borrow_mut().iter_mut().enumerate() {
            if !batch.is_empty() {
                let batch = std::mem::take(batch);
                let mail = Mail::Remote {
                    from: self.from,
                    cost_bytes: batch.iter().map(Remote::cost_bytes).sum(),
                    batch,
                };
                self.mailboxes.send(to, mail);
            }
        }
    }
}
