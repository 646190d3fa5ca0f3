//! Everything that lasts of this shard, as the store should have it by now.
//!
//! Each change of the durable state is told to the store where it is made; this is the same state read off the tables, so
//! that whoever wants to know whether the two agree can compare them.

use super::Shard;
use crate::inflight::Awaiting;
use crate::queue::Content;
use crate::record::{
    DeliveryRecord, Record, RetainedRecord, SessionRecord, Stage, SubscriptionRecord,
};
use crate::session::Session;
use alloc::sync::Arc;
use alloc::vec::Vec;
use smallvec::SmallVec;
use weir_codec::Qos;

impl Shard {
    /// The records of all sessions that last and of the retained messages that are this shard's to record, in no
    /// particular order; a message once for each record that names it, unless it is in the store alone. Of a session without a connection
    /// `absent_since` is the moment it ends at, which follows from it. Looks at everything.
    #[must_use]
    pub fn inventory(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (key, session) in &self.roster.sessions {
            self.list_session(session, &mut records);
            for filter in session.subscriptions.iter(&self.subscriptions) {
                let subscription = self.subscriptions.get(&filter, key);
                if let (Some(session), Some(subscription)) = (session.number, subscription) {
                    records.push(Record::Subscription(SubscriptionRecord {
                        session,
                        filter,
                        qos: subscription.qos,
                        no_local: subscription.no_local,
                        retain_as_published: subscription.retain_as_published,
                        slow_reader: subscription.slow_reader,
                        identifier: subscription.identifier,
                    }));
                }
            }
        }
        for (message, stamp) in self.retained.messages() {
            if self.records_topic(&message.topic) {
                records.push(Record::Message(Arc::clone(&message)));
                records.push(Record::Retained(RetainedRecord {
                    topic: message.topic.clone(),
                    message: message.number,
                    stamp,
                }));
            }
        }
        records
    }

    fn list_session(&self, session: &Session, records: &mut Vec<Record>) {
        let Some(number) = session.number else {
            return;
        };
        records.push(Record::Session(SessionRecord {
            number,
            client_id: session.client_id.clone(),
            user: session.user.clone(),
            expiry_seconds: session.expiry_seconds,
            absent_since: session.expires_at.filter(|_| session.connection.is_none()),
        }));
        if let Some(will) = &session.will {
            records.push(Record::Will(super::durable::will_record(number, will)));
        }
        let received = session.received.iter();
        records.extend(received.map(|id| Record::Received(number, *id)));
        for (id, awaiting) in session.inflight.iter() {
            match awaiting {
                Awaiting::Publish(envelope) => {
                    if let Some(sequence) = envelope.sequence {
                        records.push(Record::Message(Arc::clone(&envelope.message)));
                        records.push(Record::Delivery(DeliveryRecord {
                            session: number,
                            sequence: sequence.get(),
                            qos: envelope.qos,
                            retain: envelope.retain,
                            identifiers: envelope.identifiers.list().into(),
                            stage: Stage::Sent(envelope.message.number, id),
                        }));
                    }
                }
                Awaiting::Release(sequence) => {
                    let released = sequence.map(|sequence| DeliveryRecord {
                        session: number,
                        sequence: sequence.get(),
                        qos: Qos::ExactlyOnce,
                        retain: false,
                        identifiers: SmallVec::new(),
                        stage: Stage::Released(id),
                    });
                    records.extend(released.map(Record::Delivery));
                }
            }
        }
        for waiting in session.queue.iter() {
            if let Some(sequence) = waiting.sequence {
                if let Content::Here(message) = &waiting.content {
                    records.push(Record::Message(Arc::clone(message)));
                }
                records.push(Record::Delivery(DeliveryRecord {
                    session: number,
                    sequence: sequence.get(),
                    qos: waiting.qos,
                    retain: waiting.retain,
                    identifiers: waiting.identifiers.list().into(),
                    stage: Stage::Queued(waiting.number()),
                }));
            }
        }
    }
}
