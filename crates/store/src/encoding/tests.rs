//! What is read back is what was written down, and nothing that is not a batch is taken for one.

use super::*;
use crate::{Position, WallClock};
use ::bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use weir_codec::{Properties, Property, Qos, TopicName};
use weir_engine::{Instant, Message, MessageNumber, Record, SessionNumber, WillRecord};

const CLOCK: WallClock = WallClock {
    unix_millis_at_zero: 1_700_000_000_000,
};

fn message() -> Message {
    let properties = [
        Property::ContentType("text/plain"),
        Property::UserProperty("a", "b"),
        Property::UserProperty("a", "c"),
    ];
    Message {
        number: MessageNumber(300),
        topic: TopicName::try_from("a/b").unwrap(),
        payload: Bytes::from_static(b"payload"),
        properties: properties.into_iter().collect(),
        qos: Qos::ExactlyOnce,
        retain: true,
        expires_at: Some(Instant::from_millis(77_000)),
    }
}

fn batch(record: &Record) -> Vec<u8> {
    let mut out = vec![];
    header(&mut out, 5, 9);
    put(&mut out, &mut vec![], record, CLOCK);
    out
}

/// The records of a batch; `None` if anything in it makes no sense.
fn read(bytes: &[u8], clock: WallClock) -> Option<Vec<Record>> {
    let batch = Batch::open(Position(1), bytes).ok()?;
    let changes = batch.changes(0);
    changes.map(|change| record(&change.ok()?, clock)).collect()
}

#[test]
fn a_message_keeps_its_properties_and_its_moment() {
    let record = Record::Message(Arc::new(message()));
    assert_eq!(read(&batch(&record), CLOCK), Some(vec![record.clone()]));
    let later = WallClock {
        unix_millis_at_zero: CLOCK.unix_millis_at_zero + 70_000,
    };
    let found = read(&batch(&record), later).unwrap();
    let [Record::Message(found)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(found.expires_at, Some(Instant::from_millis(7_000)));
}

#[test]
fn a_will_keeps_what_is_to_be_published() {
    let will = Record::Will(WillRecord {
        session: SessionNumber(7),
        message: Arc::new(message()),
        delay_seconds: u32::MAX,
        expiry_seconds: Some(u32::MAX),
    });
    assert_eq!(read(&batch(&will), CLOCK), Some(vec![will]));
}

#[test]
fn properties_that_a_publish_may_not_carry_are_refused() {
    let mut record = message();
    record.properties = [Property::SessionExpiryInterval(5)].into_iter().collect();
    let bytes = batch(&Record::Message(Arc::new(record)));
    assert_eq!(read(&bytes, CLOCK), None);
}

#[test]
fn a_queued_message_takes_little_more_than_itself() {
    let mut plain = message();
    plain.properties = Properties::new();
    plain.expires_at = None;
    let len = plain.payload.len() + plain.topic.as_str().len();
    let bytes = batch(&Record::Message(Arc::new(plain)));
    assert_eq!(bytes.len(), len + 13);
}

#[test]
fn every_end_that_is_missing_is_noticed() {
    let bytes = batch(&Record::Message(Arc::new(message())));
    for end in 0..bytes.len() {
        let found = read(&bytes[..end], CLOCK);
        assert!(found.is_none_or(|it| it.is_empty()), "at {end}");
    }
}

#[test]
fn another_version_is_named() {
    let refused = Batch::open(Position(3), &[1, 1, 1]).unwrap_err();
    assert_eq!(refused, crate::StoreError::BatchVersion(Position(3), 1));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut batch = vec![VERSION, 1, 1];
        batch.extend(bytes);
        let _ = read(&batch, CLOCK);
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = batch(&Record::Message(Arc::new(message())));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes, CLOCK);
    }
}
