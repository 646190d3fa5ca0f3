//! A broker that is not new: its store holds a session from before, with a message in flight.
//!
//! Packet ids go round in a circle of 65,535, which no script is long enough for. So this session's last one lies just before
//! the end of the circle.

use super::World;
use crate::message::Message;
use crate::script::PublishWish;
use std::sync::Arc;
use weir_codec::{PacketId, Qos, Utf8};
use weir_engine::{
    Change, DeliveryRecord, MessageNumber, Record, SessionNumber, SessionRecord, Stage,
};
use weir_store::Recovered;

/// The packet id in flight.
const LAST_ID: PacketId = PacketId::new(65_530).expect("not 0");

/// The number of the message in flight; no step has it.
const NUMBER: u64 = 999_999_999;

const EXPIRY_SECONDS: u32 = 3600;

impl World<'_> {
    pub(super) fn begin_with_a_past(&mut self) {
        let wish = crate::script::PublishWish {
            qos: Qos::AtLeastOnce,
            ..PublishWish::plain("t")
        };
        let meant = Message::new(&wish, NUMBER, true);
        let name = self.clients[0].name.clone();
        let session = SessionNumber(1);
        let message = MessageNumber(2);
        let records = vec![
            Record::Message(Arc::new(weir_engine::Message {
                number: message,
                topic: meant.topic.clone(),
                payload: meant.payload.clone(),
                properties: meant.properties.clone(),
                qos: meant.qos,
                retain: false,
                expires_at: None,
            })),
            Record::Session(SessionRecord {
                number: session,
                client_id: Utf8::try_from(name.as_str()).expect("a good name"),
                user: None,
                expiry_seconds: EXPIRY_SECONDS,
                absent_since: Some(self.instant()),
            }),
            Record::Delivery(DeliveryRecord {
                session,
                sequence: 1,
                qos: meant.qos,
                retain: false,
                identifiers: Default::default(),
                stage: Stage::Sent(message, LAST_ID),
            }),
        ];
        let changes: Vec<_> = records.iter().cloned().map(Change::Put).collect();
        let disk = &mut self.disk;
        disk.store.stage(changes.clone());
        let kept = disk
            .store
            .commit(disk.clock)
            .and_then(|_| disk.store.sync());
        kept.expect("an empty log has room");
        self.oracle.announce(&meant);
        self.oracle
            .remember(self.now, &name, (&meant, LAST_ID), EXPIRY_SECONDS, &changes);
        self.restored = Recovered {
            records,
            next_number: 3,
            ..Recovered::default()
        };
        self.restart();
    }
}
