//! Records into bytes.
//!
//! Nothing here can fail, and nothing is left out: whether a record makes sense is asked when it is read back.

use super::bytes::{push_block, push_varint};
use super::{DELETED, KeyRef, Tag, VERSION, message_checksum};
use crate::WallClock;
use weir_engine::{
    DeliveryRecord, Message, Record, RetainedRecord, SessionRecord, SlowReader, Stage,
    SubscriptionRecord, WillRecord,
};

/// Flags of a message.
pub(super) const MESSAGE_RETAIN: u8 = 0x04;
pub(super) const MESSAGE_EXPIRES: u8 = 0x08;
pub(super) const MESSAGE_PROPERTIES: u8 = 0x10;
/// Flags of a subscription.
pub(super) const NO_LOCAL: u8 = 0x04;
pub(super) const RETAIN_AS_PUBLISHED: u8 = 0x08;
/// Where the wish of a subscription stands among its flags: 0 for none, else the code of [`slow_reader_code`].
pub(super) const SLOW_READER_SHIFT: u8 = 4;
/// Flags of a delivery.
pub(super) const DELIVERY_RETAIN: u8 = 0x04;
pub(super) const HAS_MESSAGE: u8 = 0x08;
pub(super) const HAS_PACKET_ID: u8 = 0x10;

/// Begins a batch.
pub(crate) fn header(out: &mut Vec<u8>, serial: u64, highest_number: u64) {
    out.push(VERSION);
    push_varint(out, serial);
    push_varint(out, highest_number);
}

/// Appends a change that puts `record`.
pub(crate) fn put(out: &mut Vec<u8>, scratch: &mut Vec<u8>, record: &Record, clock: WallClock) {
    scratch.clear();
    match record {
        Record::Message(it) => {
            key(scratch, KeyRef::Message(it.number.0), 0);
            checked_message(scratch, it, clock);
        }
        Record::Session(it) => session(scratch, it, clock),
        Record::Subscription(it) => subscription(scratch, it),
        Record::Will(it) => will(scratch, it, clock),
        Record::Received(session, id) => key(scratch, KeyRef::Received(session.0, id.get()), 0),
        Record::Delivery(it) => delivery(scratch, it),
        Record::Retained(it) => retained(scratch, it),
    }
    push_block(out, scratch);
}

/// Appends a change that deletes the record with this key.
pub(crate) fn delete(out: &mut Vec<u8>, scratch: &mut Vec<u8>, deleted: KeyRef<'_>) {
    scratch.clear();
    key(scratch, deleted, DELETED);
    push_block(out, scratch);
}

fn key(out: &mut Vec<u8>, key: KeyRef<'_>, deleted: u8) {
    let tag = match key {
        KeyRef::Message(_) => Tag::Message,
        KeyRef::Session(_) => Tag::Session,
        KeyRef::Subscription(..) => Tag::Subscription,
        KeyRef::Will(_) => Tag::Will,
        KeyRef::Received(..) => Tag::Received,
        KeyRef::Delivery(..) => Tag::Delivery,
        KeyRef::Retained(_) => Tag::Retained,
    };
    out.push(tag as u8 | deleted);
    match key {
        KeyRef::Message(number) | KeyRef::Session(number) | KeyRef::Will(number) => {
            push_varint(out, number);
        }
        KeyRef::Subscription(session, filter) => {
            push_varint(out, session);
            push_block(out, filter.as_bytes());
        }
        KeyRef::Received(session, id) => {
            push_varint(out, session);
            push_varint(out, u64::from(id));
        }
        KeyRef::Delivery(session, sequence) => {
            push_varint(out, session);
            push_varint(out, sequence);
        }
        KeyRef::Retained(topic) => push_block(out, topic.as_bytes()),
    }
}

/// A message behind its checksum.
fn checked_message(out: &mut Vec<u8>, it: &Message, clock: WallClock) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    message(out, it, clock);
    if let Some((checksum, rest)) = out
        .get_mut(at..)
        .and_then(<[u8]>::split_first_chunk_mut::<4>)
    {
        *checksum = message_checksum(it.number.0, rest).to_le_bytes();
    }
}

/// What a message holds besides its number. The payload runs to the end.
fn message(out: &mut Vec<u8>, message: &Message, clock: WallClock) {
    let mut flags = message.qos as u8;
    flags |= flag(message.retain, MESSAGE_RETAIN);
    flags |= flag(message.expires_at.is_some(), MESSAGE_EXPIRES);
    flags |= flag(!message.properties.is_empty(), MESSAGE_PROPERTIES);
    out.push(flags);
    if let Some(at) = message.expires_at {
        push_varint(out, clock.unix_millis(at));
    }
    push_block(out, message.topic.as_str().as_bytes());
    if !message.properties.is_empty() {
        push_block(out, message.properties.encoded());
    }
    out.extend_from_slice(&message.payload);
}

fn session(out: &mut Vec<u8>, session: &SessionRecord, clock: WallClock) {
    key(out, KeyRef::Session(session.number.0), 0);
    push_block(out, session.client_id.as_str().as_bytes());
    push_varint(out, u64::from(session.expiry_seconds));
    push_varint(out, u64::from(session.user.is_some()));
    if let Some(user) = &session.user {
        push_block(out, user.as_str().as_bytes());
    }
    let absent = session.absent_since.map(|since| clock.unix_millis(since));
    push_optional(out, absent);
}

fn subscription(out: &mut Vec<u8>, it: &SubscriptionRecord) {
    key(
        out,
        KeyRef::Subscription(it.session.0, it.filter.as_str()),
        0,
    );
    let mut flags = it.qos as u8;
    flags |= flag(it.no_local, NO_LOCAL);
    flags |= flag(it.retain_as_published, RETAIN_AS_PUBLISHED);
    flags |= it.slow_reader.map_or(0, slow_reader_code) << SLOW_READER_SHIFT;
    out.push(flags);
    push_varint(out, u64::from(it.identifier));
}

/// Never changed, and never 0.
pub(super) const fn slow_reader_code(wish: SlowReader) -> u8 {
    match wish {
        SlowReader::LatestPerTopic => 1,
        SlowReader::DropOldest => 2,
        SlowReader::DropNewest => 3,
        SlowReader::Disconnect => 4,
    }
}

fn will(out: &mut Vec<u8>, will: &WillRecord, clock: WallClock) {
    key(out, KeyRef::Will(will.session.0), 0);
    push_varint(out, u64::from(will.delay_seconds));
    push_optional(out, will.expiry_seconds.map(u64::from));
    push_varint(out, will.message.number.0);
    message(out, &will.message, clock);
}

fn delivery(out: &mut Vec<u8>, it: &DeliveryRecord) {
    key(out, KeyRef::Delivery(it.session.0, it.sequence), 0);
    let (message, id) = match it.stage {
        Stage::Queued(message) => (Some(message), None),
        Stage::Sent(message, id) => (Some(message), Some(id)),
        Stage::Released(id) => (None, Some(id)),
    };
    let mut flags = it.qos as u8;
    flags |= flag(it.retain, DELIVERY_RETAIN);
    flags |= flag(message.is_some(), HAS_MESSAGE);
    flags |= flag(id.is_some(), HAS_PACKET_ID);
    out.push(flags);
    if let Some(message) = message {
        push_varint(out, message.0);
    }
    if let Some(id) = id {
        push_varint(out, u64::from(id.get()));
    }
    for &identifier in &it.identifiers {
        push_varint(out, u64::from(identifier));
    }
}

fn retained(out: &mut Vec<u8>, it: &RetainedRecord) {
    key(out, KeyRef::Retained(it.topic.as_str()), 0);
    push_varint(out, it.message.0);
    push_varint(out, it.stamp.0);
    push_varint(out, u64::from(it.stamp.1.0));
}

fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

/// 0 for `None`, one more than the value otherwise; the largest value loses one.
fn push_optional(out: &mut Vec<u8>, value: Option<u64>) {
    push_varint(out, value.map_or(0, |value| value.saturating_add(1)));
}
