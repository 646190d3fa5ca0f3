//! What a step changes in the durable state, gathered until the step is over.
//!
//! Only sessions with a number are in the durable state, and without a store none has one: then nothing is gathered.

use crate::id::{ConnectionKey, MessageNumber, Numbers, SessionNumber};
use crate::inflight::{Envelope, Sequence};
use crate::message::Message;
use crate::record::{Change, DeliveryRecord, Key, Links, Record, Stage};
use alloc::sync::Arc;
use alloc::vec::Vec;
use weir_codec::PacketId;

/// The changes of this step, and the numbers of everything in the durable state.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Whether there is a store.
    is_open: bool,
    /// Whether the store has no room: what can be refused is.
    pub(crate) is_full: bool,
    /// The mark of this step.
    pub(crate) mark: u64,
    pub(crate) numbers: Numbers,
    /// What other shards keep of what this step changes.
    pub(crate) links: Links,
    changes: Vec<Change>,
    /// The last message put in this step: most messages go to many sessions, and are put once.
    last_put: MessageNumber,
    unsent: Vec<Unsent>,
}

/// A QoS 2 message whose packet id has to be durable before it is sent: after a crash the client would not know it again
/// under another.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) connection: ConnectionKey,
    pub(crate) packet_id: PacketId,
    /// What it was counted with.
    pub(crate) bytes: usize,
}

impl Journal {
    pub(crate) fn new(is_open: bool, numbers: Numbers) -> Self {
        Self {
            is_open,
            is_full: false,
            mark: 1,
            numbers,
            links: Links::default(),
            changes: Vec::new(),
            last_put: MessageNumber::default(),
            unsent: Vec::new(),
        }
    }

    /// Whether there is a store.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// A number for a session that is to last; `None`: nothing does.
    pub(crate) fn number_session(&mut self) -> Option<SessionNumber> {
        self.is_open.then(|| SessionNumber(self.numbers.next()))
    }

    /// Whether this step has changed nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The same, and whether no other shard was asked to keep anything.
    #[inline]
    pub(crate) fn is_untouched(&self) -> bool {
        self.changes.is_empty() && self.links.asked.is_empty() && self.links.caused_by.is_none()
    }

    /// Whether a will is forgotten in this step: with a session its will goes, too.
    pub(crate) fn forgets_will(&self) -> bool {
        let is_one =
            |change: &Change| matches!(change, Change::Delete(Key::Will(_) | Key::Session(_)));
        self.changes.iter().any(is_one)
    }

    pub(crate) fn put(&mut self, record: Record) {
        self.changes.push(Change::Put(record));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.changes.push(Change::Delete(key));
    }

    /// Puts a message, once in a step: the records that name it follow.
    pub(crate) fn put_message(&mut self, message: &Arc<Message>) {
        if self.last_put != message.number && !fault!(MessageNotRecorded) {
            self.last_put = message.number;
            self.put(Record::Message(Arc::clone(message)));
        }
    }

    /// Puts a delivery that has a sequence: others are not in the durable state.
    pub(crate) fn put_delivery(
        &mut self,
        session: Option<SessionNumber>,
        envelope: &Envelope,
        id: Option<PacketId>,
    ) {
        let (Some(session), Some(sequence)) = (session, envelope.sequence) else {
            return;
        };
        if id.is_some() && fault!(PacketIdNotRecorded) {
            return;
        }
        let message = envelope.message.number;
        self.put(Record::Delivery(DeliveryRecord {
            session,
            sequence: sequence.get(),
            qos: envelope.qos,
            retain: envelope.retain,
            identifiers: envelope.identifiers.list().into(),
            stage: id.map_or(Stage::Queued(message), |id| Stage::Sent(message, id)),
        }));
    }

    /// Forgets a delivery that has a sequence.
    pub(crate) fn delete_delivery(
        &mut self,
        session: Option<SessionNumber>,
        sequence: Option<Sequence>,
    ) {
        if let (Some(session), Some(sequence)) = (session, sequence)
            && !fault!(DeliveryNotDeleted)
        {
            self.delete(Key::Delivery(session, sequence.get()));
        }
    }

    /// Sends this when the changes of this step are durable.
    pub(crate) fn send_later(&mut self, unsent: Unsent) {
        self.unsent.push(unsent);
    }

    /// The changes of this step, which is over.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.last_put = MessageNumber::default();
        core::mem::take(&mut self.changes)
    }

    /// What is to be sent when they are durable.
    pub(crate) fn take_unsent(&mut self) -> Vec<Unsent> {
        core::mem::take(&mut self.unsent)
    }
}
