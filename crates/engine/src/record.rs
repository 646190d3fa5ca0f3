//! What lasts: the records that a shard asks the store to keep, and that a broker begins with again.
//!
//! The durable state is a table: every [`Record`] has a [`Key`], a later record with the same key replaces the earlier
//! one, a deleted key is gone. A message is stored once, whoever waits for it: deliveries and retained messages name it by
//! its number, and the store forgets it with the last record that does. All changes of one [`crate::Effect::Store`]
//! take place together or not at all.
//!
//! Moments are the engine's. Whoever writes records down translates them to a clock that outlives the process.

use crate::id::{MessageNumber, SessionNumber, ShardId, StoreTicket};
use crate::message::Message;
use crate::slow_reader::SlowReader;
use crate::time::Instant;
use alloc::sync::Arc;
use smallvec::SmallVec;
use weir_codec::{PacketId, Qos, TopicFilter, TopicName, Utf8};

/// One change of the durable state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Keep this record, in the place of the one with its key.
    Put(Record),
    /// Forget the record with this key, if there is one.
    Delete(Key),
}

/// What other shards keep of the same thing: all of it has to be kept, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The shards that were asked in this step to keep a part of it; one may be named twice.
    pub asked: SmallVec<[ShardId; 2]>,
    /// The batch of another shard that asked for this one.
    pub caused_by: Option<(ShardId, StoreTicket)>,
}

/// What identifies a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// [`Record::Session`]
    Session(SessionNumber),
    /// [`Record::Subscription`]
    Subscription(SessionNumber, TopicFilter),
    /// [`Record::Will`]
    Will(SessionNumber),
    /// [`Record::Received`]
    Received(SessionNumber, PacketId),
    /// [`Record::Delivery`], by its sequence.
    Delivery(SessionNumber, u64),
    /// [`Record::Retained`]
    Retained(TopicName),
}

/// One piece of the durable state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A message that records of the same store or later ones name. It has no key: it lives as long as it is named.
    Message(Arc<Message>),
    /// A session that outlives its connection.
    Session(SessionRecord),
    /// A subscription of a session.
    Subscription(SubscriptionRecord),
    /// The will of a session that has not been published.
    Will(WillRecord),
    /// The packet id of a QoS 2 message that came from a client and was not released by PUBREL [MQTT-4.3.3-10].
    Received(SessionNumber, PacketId),
    /// A message that a session waits for or has not acknowledged.
    Delivery(DeliveryRecord),
    /// The retained message of its topic.
    Retained(RetainedRecord),
}

/// A session that outlives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its number.
    pub number: SessionNumber,
    /// Its Client Identifier.
    pub client_id: Utf8,
    /// Whose it is, if authentication named somebody.
    pub user: Option<Utf8>,
    /// The Session Expiry Interval; `u32::MAX`: never.
    pub expiry_seconds: u32,
    /// Since when it has no connection; `None`: it has one.
    pub absent_since: Option<Instant>,
}

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Whose.
    pub session: SessionNumber,
    /// The topic filter, with its `$share` prefix if shared.
    pub filter: TopicFilter,
    /// The highest QoS.
    pub qos: Qos,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// How a slow reader is to be treated, if its subscriber has a wish.
    pub slow_reader: Option<SlowReader>,
    /// The Subscription Identifier; 0: none.
    pub identifier: u32,
}

/// A will that has not been published.
#[derive(Clone, Debug, PartialEq)]
pub struct WillRecord {
    /// Whose.
    pub session: SessionNumber,
    /// What is to be published.
    pub message: Arc<Message>,
    /// Will Delay Interval.
    pub delay_seconds: u32,
    /// Message Expiry Interval, which starts when it is published.
    pub expiry_seconds: Option<u32>,
}

/// A message that a session waits for or has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Whose.
    pub session: SessionNumber,
    /// Its place in the order of the session's deliveries.
    pub sequence: u64,
    /// QoS 1 or 2.
    pub qos: Qos,
    /// The RETAIN flag it is sent with.
    pub retain: bool,
    /// The Subscription Identifiers it is sent with.
    pub identifiers: SmallVec<[u32; 2]>,
    /// How far it has got.
    pub stage: Stage,
}

/// How far a delivery has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits to be sent.
    Queued(MessageNumber),
    /// It was sent with this packet id.
    Sent(MessageNumber, PacketId),
    /// PUBREC came, the message is the client's; PUBCOMP has not come [MQTT-4.3.3-5].
    Released(PacketId),
}

/// The retained message of its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRecord {
    /// The topic.
    pub topic: TopicName,
    /// The message.
    pub message: MessageNumber,
    /// The logical time and the shard it was set by: of two values every shard keeps the one with the higher stamp.
    pub stamp: (u64, ShardId),
}

impl Record {
    /// What identifies this record; `None` for a message.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Message(_) => return None,
            Self::Session(session) => Key::Session(session.number),
            Self::Subscription(it) => Key::Subscription(it.session, it.filter.clone()),
            Self::Will(will) => Key::Will(will.session),
            Self::Received(session, id) => Key::Received(*session, *id),
            Self::Delivery(delivery) => Key::Delivery(delivery.session, delivery.sequence),
            Self::Retained(retained) => Key::Retained(retained.topic.clone()),
        })
    }

    /// The message this record keeps alive.
    #[must_use]
    pub fn names(&self) -> Option<MessageNumber> {
        match self {
            Self::Delivery(delivery) => match delivery.stage {
                Stage::Queued(message) | Stage::Sent(message, _) => Some(message),
                Stage::Released(_) => None,
            },
            Self::Retained(retained) => Some(retained.message),
            _ => None,
        }
    }
}
