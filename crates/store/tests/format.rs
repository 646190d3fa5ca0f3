//! Directories written by released versions are read by this one.
//!
//! What lies in `data/format-2`, the first that is released, was written once and is never written again: a change of the format that can't read it
//! needs a new version and a fixture of its own.

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_codec::{PacketId, Property, Qos, TopicFilter, TopicName, Utf8};
use weir_engine::{
    Change, DeliveryRecord, Instant, Key, Message, MessageNumber, Record, RetainedRecord,
    SessionNumber, SessionRecord, ShardId, SlowReader, Stage, SubscriptionRecord, WillRecord,
};
use weir_store::{Durability, Files, Limits, Store, WallClock};

const SEGMENT_BYTES: u64 = 512;
const SESSION: SessionNumber = SessionNumber(7);
const CLOCK: WallClock = WallClock {
    unix_millis_at_zero: 1_700_000_000_000,
};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-2")
}

/// One record of each kind and shape, in the order in which they are found.
fn records() -> Vec<Record> {
    let delivery = |sequence, qos, stage| {
        Record::Delivery(DeliveryRecord {
            session: SESSION,
            sequence,
            qos,
            retain: sequence == 2,
            identifiers: [1, 70_000].into_iter().collect(),
            stage,
        })
    };
    let id = PacketId::new(500).expect("not 0");
    vec![
        Record::Session(SessionRecord {
            number: SESSION,
            client_id: Utf8::from_static("client"),
            user: Some(Utf8::from_static("user")),
            expiry_seconds: 3600,
            absent_since: Some(Instant::from_millis(5)),
        }),
        Record::Session(SessionRecord {
            number: SessionNumber(8),
            client_id: Utf8::from_static("other"),
            user: None,
            expiry_seconds: u32::MAX,
            absent_since: None,
        }),
        Record::Subscription(SubscriptionRecord {
            session: SESSION,
            filter: TopicFilter::try_from("$share/group/a/+").expect("a filter"),
            qos: Qos::ExactlyOnce,
            no_local: false,
            retain_as_published: true,
            slow_reader: Some(SlowReader::LatestPerTopic),
            identifier: 268_435_455,
        }),
        Record::Will(WillRecord {
            session: SESSION,
            message: message(9),
            delay_seconds: 30,
            expiry_seconds: Some(60),
        }),
        Record::Received(SESSION, id),
        Record::Message(message(10)),
        Record::Message(message(11)),
        delivery(1, Qos::ExactlyOnce, Stage::Released(id)),
        delivery(2, Qos::AtLeastOnce, Stage::Sent(MessageNumber(10), id)),
        delivery(3, Qos::ExactlyOnce, Stage::Queued(MessageNumber(11))),
        Record::Retained(RetainedRecord {
            topic: TopicName::try_from("a/b").expect("a topic"),
            message: MessageNumber(11),
            stamp: (99, ShardId(3)),
        }),
    ]
}

fn message(number: u64) -> Arc<Message> {
    let properties = [
        Property::ContentType("text/plain"),
        Property::UserProperty("a", "b"),
    ];
    Arc::new(Message {
        number: MessageNumber(number),
        topic: TopicName::try_from("a/b").expect("a topic"),
        payload: Bytes::from(vec![number as u8; 50]),
        properties: properties.into_iter().collect(),
        qos: Qos::ExactlyOnce,
        retain: number == 11,
        expires_at: (number == 10).then(|| Instant::from_millis(90_000)),
    })
}

/// Writes the fixture, for the version that is the first to write a format.
fn write(path: &Path) {
    let files = Files::open_with(path, SEGMENT_BYTES).expect("a new log");
    let (mut store, _) =
        Store::open(files, CLOCK, Durability::Sync, Limits::default()).expect("a new store");
    for record in records() {
        let names = record
            .names()
            .map(|number| Record::Message(message(number.0)));
        let together = names.into_iter().chain([record]).map(Change::Put);
        store.stage(together.collect());
        store.commit(CLOCK).expect("a commit");
    }
    // What is deleted stays deleted.
    store.stage(vec![Change::Put(Record::Received(
        SessionNumber(8),
        PacketId::MIN,
    ))]);
    store.commit(CLOCK).expect("a commit");
    store.stage(vec![Change::Delete(Key::Received(
        SessionNumber(8),
        PacketId::MIN,
    ))]);
    store.commit(CLOCK).expect("a commit");
    drop(store);
    for left in ["lock", "spare"] {
        std::fs::remove_file(path.join(left)).expect("a file that belongs to the process");
    }
}

#[test]
fn format_2_is_read() {
    if !fixture().exists() && std::env::var_os("UPDATE").is_some() {
        write(&fixture());
    }
    let copy = tempfile::TempDir::new().expect("a folder");
    weir_store::backup(&fixture(), copy.path()).expect("a copy");
    for _ in 0..2 {
        let files = Files::open_with(copy.path(), SEGMENT_BYTES).expect("a log");
        let (mut store, mut recovered) =
            Store::open(files, CLOCK, Durability::Sync, Limits::default()).expect("a store");
        let parked: Vec<_> = recovered.parked.iter().map(|it| it.number.0).collect();
        assert_eq!(parked, []);
        recovered.unpark(&mut store).expect("the log");
        assert_eq!(recovered.records, records());
        assert_eq!(recovered.next_number, 12);
        assert_eq!(recovered.lost, weir_store::Lost::default());
        let loaded = store.load(&[10, 11].map(MessageNumber)).expect("the log");
        assert_eq!(loaded.messages, [10, 11].map(|it| Some(message(it))));
        // Opened a second time after it was written to.
        store.stage(vec![Change::Put(records().swap_remove(0))]);
        store.commit(CLOCK).expect("a commit");
    }
}
