//! Bytes into records.
//!
//! What was written down is checked again as if a client had sent it: a checksum says that the bytes are the ones that
//! were written, not that a topic in them is a topic.

use super::bytes::Fields;
use super::write::{
    DELIVERY_RETAIN, HAS_MESSAGE, HAS_PACKET_ID, MESSAGE_EXPIRES, MESSAGE_PROPERTIES,
    MESSAGE_RETAIN, NO_LOCAL, RETAIN_AS_PUBLISHED, SLOW_READER_SHIFT, slow_reader_code,
};
use super::{DELETED, KeyRef, Tag, VERSION, message_checksum};
use crate::{Position, StoreError, WallClock};
use bytes::Bytes;
use std::sync::Arc;
use weir_codec::{PacketId, Properties, Qos, TopicFilter, TopicName, Utf8};
use weir_engine::{
    DeliveryRecord, Message, MessageNumber, Parked, Record, RetainedRecord, SessionNumber,
    SessionRecord, ShardId, SlowReader, Stage, SubscriptionRecord, WillRecord,
};

/// A batch, of which the changes have not been looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) serial: u64,
    pub(crate) highest_number: u64,
    changes: Fields<'a>,
    /// Where in the batch the changes begin.
    start: usize,
    end: Position,
}

impl<'a> Batch<'a> {
    /// Opens the batch that ends at `end`.
    pub(crate) fn open(end: Position, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let malformed = || StoreError::Malformed(end);
        let mut fields = Fields(bytes);
        match fields.u8() {
            Some(VERSION) => {}
            Some(other) => return Err(StoreError::BatchVersion(end, other)),
            None => return Err(malformed()),
        }
        Ok(Self {
            serial: fields.varint().ok_or_else(malformed)?,
            highest_number: fields.varint().ok_or_else(malformed)?,
            start: bytes.len() - fields.0.len(),
            changes: fields,
            end,
        })
    }

    /// The position behind it.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Its position.
    pub(crate) fn position(&self) -> Position {
        Position(self.end.0.saturating_sub(1))
    }

    /// The changes behind the first `skipped_bytes`, which end where a change ends.
    pub(crate) fn changes(
        &self,
        skipped_bytes: usize,
    ) -> impl Iterator<Item = Result<RawChange<'a>, StoreError>> + use<'a> {
        let (end, batch_end) = (self.end, self.start + self.changes.0.len());
        let mut fields = Fields(self.changes.0.get(skipped_bytes..).unwrap_or_default());
        std::iter::from_fn(move || {
            if fields.is_empty() {
                return None;
            }
            let offset = batch_end - fields.0.len();
            let change = RawChange::split(&mut fields, offset);
            if change.is_none() {
                fields = Fields(&[]);
            }
            Some(change.ok_or(StoreError::Malformed(end)))
        })
    }
}

/// A change of which the key is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawChange<'a> {
    pub(crate) key: KeyRef<'a>,
    pub(crate) is_delete: bool,
    /// The message that the record keeps alive; 0: none.
    pub(crate) names: u64,
    /// The whole change, to be copied as it is.
    pub(crate) encoded: &'a [u8],
    /// Where in its batch it begins.
    pub(crate) offset: usize,
    /// What follows the key.
    value: Fields<'a>,
}

impl<'a> RawChange<'a> {
    fn split(fields: &mut Fields<'a>, offset: usize) -> Option<Self> {
        let before = fields.0;
        let mut value = Fields(fields.block()?);
        let encoded = before.get(..before.len() - fields.0.len())?;
        let byte = value.u8()?;
        let key = key(Tag::from_u8(byte & !DELETED)?, &mut value)?;
        let is_delete = byte & DELETED != 0;
        if is_delete && !value.is_empty() {
            return None;
        }
        Some(Self {
            names: if is_delete { 0 } else { names(key, value)? },
            key,
            is_delete,
            encoded,
            offset,
            value,
        })
    }
}

/// The record that a change puts; `None` if it deletes one or makes no sense.
pub(crate) fn record(change: &RawChange<'_>, clock: WallClock) -> Option<Record> {
    if change.is_delete {
        return None;
    }
    let mut fields = change.value;
    let record = match change.key {
        KeyRef::Message(number) => {
            Record::Message(Arc::new(checked_message(number, &mut fields, clock)?))
        }
        KeyRef::Session(number) => Record::Session(session(number, &mut fields, clock)?),
        KeyRef::Subscription(session, filter) => {
            Record::Subscription(subscription(session, filter, &mut fields)?)
        }
        KeyRef::Will(session) => Record::Will(will(session, &mut fields, clock)?),
        KeyRef::Received(session, id) => {
            Record::Received(SessionNumber(session), PacketId::new(id)?)
        }
        KeyRef::Delivery(session, sequence) => {
            Record::Delivery(delivery(session, sequence, &mut fields)?)
        }
        KeyRef::Retained(topic) => Record::Retained(RetainedRecord {
            topic: TopicName::try_from(text(topic)?).ok()?,
            message: MessageNumber(fields.varint()?),
            stamp: (fields.varint()?, ShardId(fields.narrow()?)),
        }),
    };
    fields.is_empty().then_some(record)
}

/// What the message that a change puts costs, without looking at what it says.
pub(crate) fn parked(change: &RawChange<'_>) -> Option<Parked> {
    let KeyRef::Message(number) = change.key else {
        return None;
    };
    let mut fields = change.value;
    fields.u32()?;
    let flags = fields.u8()?;
    if flags & MESSAGE_EXPIRES != 0 {
        fields.varint()?;
    }
    let topic = fields.block()?;
    let properties = match flags & MESSAGE_PROPERTIES {
        0 => &[],
        _ => fields.block()?,
    };
    let cost_bytes = Message::cost_of(topic.len() + properties.len() + fields.0.len());
    Some(Parked {
        number: MessageNumber(number),
        cost_bytes: u32::try_from(cost_bytes).unwrap_or(u32::MAX),
    })
}

/// The message with this number, if that is what `encoded` puts, and as it was written.
pub(crate) fn message_in(encoded: &[u8], number: u64, clock: WallClock) -> Option<Arc<Message>> {
    let change = RawChange::split(&mut Fields(encoded), 0)?;
    match record(&change, clock)? {
        Record::Message(message) if message.number.0 == number => Some(message),
        _ => None,
    }
}

/// The message with this number, if it is in this batch, which ends at `end`.
pub(crate) fn find_message(
    end: Position,
    batch: &[u8],
    number: u64,
    clock: WallClock,
) -> Result<Option<Arc<Message>>, StoreError> {
    for change in Batch::open(end, batch)?.changes(0) {
        let change = change?;
        if change.key == KeyRef::Message(number) {
            return Ok(message_in(change.encoded, number, clock));
        }
    }
    Ok(None)
}

fn key<'a>(tag: Tag, fields: &mut Fields<'a>) -> Option<KeyRef<'a>> {
    Some(match tag {
        Tag::Message => KeyRef::Message(fields.varint()?),
        Tag::Session => KeyRef::Session(fields.varint()?),
        Tag::Subscription => KeyRef::Subscription(fields.varint()?, fields.text()?),
        Tag::Will => KeyRef::Will(fields.varint()?),
        Tag::Received => KeyRef::Received(fields.varint()?, fields.narrow()?),
        Tag::Delivery => KeyRef::Delivery(fields.varint()?, fields.varint()?),
        Tag::Retained => KeyRef::Retained(fields.text()?),
    })
}

/// The message that the record with this key and value keeps alive; 0: none.
fn names(key: KeyRef<'_>, mut value: Fields<'_>) -> Option<u64> {
    match key {
        KeyRef::Delivery(..) => match value.u8()? & HAS_MESSAGE {
            0 => Some(0),
            _ => value.varint(),
        },
        KeyRef::Retained(_) => value.varint(),
        _ => Some(0),
    }
}

/// Takes the rest of the fields.
fn checked_message(number: u64, fields: &mut Fields<'_>, clock: WallClock) -> Option<Message> {
    let checksum = fields.u32()?;
    let is_whole = checksum == message_checksum(number, fields.0);
    is_whole.then(|| message(number, fields, clock))?
}

/// Takes the rest of the fields.
fn message(number: u64, fields: &mut Fields<'_>, clock: WallClock) -> Option<Message> {
    let flags = fields.u8()?;
    let expires_at = match flags & MESSAGE_EXPIRES {
        0 => None,
        _ => Some(clock.moment(fields.varint()?)),
    };
    let topic = TopicName::try_from(text(fields.text()?)?).ok()?;
    let properties = match flags & MESSAGE_PROPERTIES {
        0 => Properties::new(),
        _ => Properties::kept_from_publish(Bytes::copy_from_slice(fields.block()?)).ok()?,
    };
    let payload = Bytes::copy_from_slice(fields.0);
    *fields = Fields(&[]);
    Some(Message {
        number: MessageNumber(number),
        topic,
        payload,
        properties,
        qos: qos(flags)?,
        retain: flags & MESSAGE_RETAIN != 0,
        expires_at,
    })
}

fn session(number: u64, fields: &mut Fields<'_>, clock: WallClock) -> Option<SessionRecord> {
    let client_id = text(fields.text()?)?;
    let expiry_seconds = fields.narrow()?;
    let user = match fields.varint()? {
        0 => None,
        _ => Some(text(fields.text()?)?),
    };
    Some(SessionRecord {
        number: SessionNumber(number),
        client_id,
        user,
        expiry_seconds,
        absent_since: optional(fields.varint()?).map(|at| clock.moment(at)),
    })
}

fn subscription(session: u64, filter: &str, fields: &mut Fields<'_>) -> Option<SubscriptionRecord> {
    let flags = fields.u8()?;
    Some(SubscriptionRecord {
        session: SessionNumber(session),
        filter: TopicFilter::parse(text(filter)?).ok()?,
        qos: qos(flags)?,
        no_local: flags & NO_LOCAL != 0,
        retain_as_published: flags & RETAIN_AS_PUBLISHED != 0,
        slow_reader: slow_reader(flags >> SLOW_READER_SHIFT)?,
        identifier: fields.narrow()?,
    })
}

/// A wish for slow readers; the outer `None` for a code that nobody wrote.
fn slow_reader(code: u8) -> Option<Option<SlowReader>> {
    let mut wishes = SlowReader::ALL.into_iter();
    match code {
        0 => Some(None),
        _ => wishes
            .find(|wish| slow_reader_code(*wish) == code)
            .map(Some),
    }
}

fn will(session: u64, fields: &mut Fields<'_>, clock: WallClock) -> Option<WillRecord> {
    let delay_seconds = fields.narrow()?;
    let expiry_seconds = match optional(fields.varint()?) {
        None => None,
        Some(seconds) => Some(u32::try_from(seconds).ok()?),
    };
    let number = fields.varint()?;
    Some(WillRecord {
        session: SessionNumber(session),
        message: Arc::new(message(number, fields, clock)?),
        delay_seconds,
        expiry_seconds,
    })
}

fn delivery(session: u64, sequence: u64, fields: &mut Fields<'_>) -> Option<DeliveryRecord> {
    let flags = fields.u8()?;
    let message = match flags & HAS_MESSAGE {
        0 => None,
        _ => Some(MessageNumber(fields.varint()?)),
    };
    let id = match flags & HAS_PACKET_ID {
        0 => None,
        _ => Some(PacketId::new(fields.narrow()?)?),
    };
    let stage = match (message, id) {
        (Some(message), None) => Stage::Queued(message),
        (Some(message), Some(id)) => Stage::Sent(message, id),
        (None, Some(id)) => Stage::Released(id),
        (None, None) => return None,
    };
    let mut identifiers = smallvec::SmallVec::new();
    while !fields.is_empty() {
        identifiers.push(fields.narrow()?);
    }
    Some(DeliveryRecord {
        session: SessionNumber(session),
        sequence,
        qos: qos(flags)?,
        retain: flags & DELIVERY_RETAIN != 0,
        identifiers,
        stage,
    })
}

fn qos(flags: u8) -> Option<Qos> {
    Qos::try_from(flags & 0x03).ok()
}

fn text(text: &str) -> Option<Utf8> {
    Utf8::try_from(text).ok()
}

fn optional(value: u64) -> Option<u64> {
    value.checked_sub(1)
}
