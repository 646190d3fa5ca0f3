//! What a queued message takes in memory besides itself: the index must stay small, since it is what bounds how many
//! messages a broker can keep.
//!
//! The table of messages doubles when it is full, so both ends of that are measured.

use bytes::Bytes;
use std::sync::Arc;
use weir_codec::{Properties, Qos, TopicName, Utf8};
use weir_engine::{
    Change, DeliveryRecord, Message, MessageNumber, Record, SessionNumber, SessionRecord, Stage,
};
use weir_store::{Durability, Limits, Log, Position, Store, StoreError, WallClock};

/// A log that keeps nothing.
#[derive(Debug, Default)]
struct Nowhere(Position);

impl Log for Nowhere {
    fn append(&mut self, _: &[u8]) -> Result<Position, StoreError> {
        self.0.0 += 1;
        Ok(self.0)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn durable(&self) -> Position {
        self.0
    }

    fn first(&self) -> Position {
        Position(0)
    }

    fn end(&self) -> Position {
        self.0
    }

    fn tail(
        &mut self,
        _: Position,
        _: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&mut self, _: Position, _: usize, _: &mut [u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn trim(&mut self, _: Position) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The bytes that `messages` take, queued in 1,000 sessions.
fn index_bytes(messages: u64) -> u64 {
    const SESSIONS: u64 = 1000;
    let clock = WallClock::default();
    let (mut store, _) = Store::open(
        Nowhere::default(),
        clock,
        Durability::Sync,
        Limits::default(),
    )
    .unwrap();
    for number in 1..=SESSIONS {
        store.stage(vec![Change::Put(Record::Session(SessionRecord {
            number: SessionNumber(number),
            client_id: Utf8::from_static("client"),
            user: None,
            expiry_seconds: u32::MAX,
            absent_since: None,
        }))]);
    }
    store.commit(clock).unwrap();
    let info = allocation_counter::measure(|| {
        for number in 0..messages {
            store.stage(queued(
                SESSIONS + 1 + number,
                SessionNumber(1 + number % SESSIONS),
            ));
            if number % 1000 == 999 {
                store.commit(clock).unwrap();
            }
        }
        store.commit(clock).unwrap();
    });
    assert_eq!(store.census().messages as u64, messages);
    info.bytes_current.unsigned_abs() / messages
}

fn queued(number: u64, session: SessionNumber) -> Vec<Change> {
    let message = Message {
        number: MessageNumber(number),
        topic: TopicName::try_from("a/b").unwrap(),
        payload: Bytes::from_static(&[0; 200]),
        properties: Properties::new(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expires_at: None,
    };
    let delivery = DeliveryRecord {
        session,
        sequence: number,
        qos: Qos::AtLeastOnce,
        retain: false,
        identifiers: Default::default(),
        stage: Stage::Queued(message.number),
    };
    vec![
        Change::Put(Record::Message(Arc::new(message))),
        Change::Put(Record::Delivery(delivery)),
    ]
}

#[test]
fn a_queued_message_takes_little_memory() {
    let (full, doubled) = (index_bytes(114_000), index_bytes(116_000));
    println!("{full} to {doubled} bytes");
    assert!(full < 70, "{full} bytes when the table is full");
    assert!(doubled < 110, "{doubled} bytes when it has doubled");
}
