//! PUBLISH and its acknowledgements, in both directions.
//!
//! ```text
//! from a client  QoS 1: PUBLISH -> routed -> PUBACK
//!                QoS 2: PUBLISH -> routed, id remembered -> PUBREC ; PUBREL -> id forgotten -> PUBCOMP
//! to a client    see inflight.rs
//! ```
//! A QoS 2 message is routed when it comes first ("method A" of the specification's figure 4.3); its id is what makes a
//! second copy recognisable, so it is forgotten at PUBREL only [MQTT-4.3.3-10], [MQTT-4.3.3-12].

use super::Shard;
use super::fan_out::Routed;
use crate::connection::Connection;
use crate::end::{End, Violation};
use crate::id::{ConnectionKey, MessageNumber, SessionKey};
use crate::inflight::{Awaiting, Finished, Identifiers};
use crate::input::Report;
use crate::journal::Journal;
use crate::message::Message;
use crate::permission::{Asked, Permissions};
use crate::record::{self, DeliveryRecord, Key, Record};
use crate::session::Session;
use crate::time::Instant;
use core::iter;
use weir_codec::{
    Ack, Delivery, Packet, PacketId, Properties, Publish, Qos, ReasonCode, TopicName, Version,
};

impl Shard {
    pub(super) fn receive_publish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish,
    ) {
        self.roster.stats.messages_received += 1;
        if self.is_repeated_at_once(now, key, session, publish) {
            return;
        }
        self.roster.interrupt_encore();
        let topic = match self.check_publish(key, session, publish) {
            Ok(topic) => topic,
            Err(violation) => return self.end(now, key, End::Violation(violation)),
        };
        if self.is_repeated(session, publish.delivery) {
            // [MQTT-4.3.3-10]: known already: acknowledged again, not published again.
            return self.acknowledge(now, key, publish.delivery, ReasonCode::Success);
        }
        if !self.may_publish(session, &topic) {
            self.report_denial(key, session, |permissions| {
                let rule = permissions.rule(Asked::Publish(&topic));
                Report::PublishDenied(topic.detached(), rule)
            });
            let end = End::Violation(Violation::PublishNotAuthorized);
            let reason = ReasonCode::NotAuthorized;
            return self.refuse_publish(now, key, publish.delivery, reason, end);
        }
        let delivery = publish.delivery;
        let frees_room = publish.retain && publish.payload.is_empty();
        let is_full = self.roster.journal.is_full && !fault!(FullStoreIgnored);
        if is_full && !frees_room && delivery.qos() != Qos::AtMostOnce {
            return self.refuse_for_room(now, key, delivery, End::StoreFull);
        }
        let message = self.message(now, publish, &topic);
        let routed = self.publish(now, Some(session), &message);
        if message.may_have_encore() {
            self.roster.expect_encore(Some(session), &message);
        }
        match routed {
            Routed::RetainedFull => {
                self.roster.stats.retained_refused += 1;
                self.refuse_for_room(now, key, delivery, End::RetainedFull);
            }
            Routed::ToNobody => {
                self.received(
                    now,
                    key,
                    session,
                    delivery,
                    ReasonCode::NoMatchingSubscribers,
                );
            }
            Routed::ToSome => self.received(now, key, session, delivery, ReasonCode::Success),
        }
    }

    /// The message that it is.
    pub(super) fn message(
        &mut self,
        now: Instant,
        publish: &Publish,
        topic: &TopicName,
    ) -> Message {
        let expiry = publish.properties.message_expiry_interval();
        Message {
            number: MessageNumber(self.roster.journal.numbers.next()),
            topic: topic.clone(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
            expires_at: expiry.map(|seconds| now.plus_seconds(seconds)),
            payload: publish.payload.clone(),
            properties: publish.properties.clone(),
        }
    }

    /// What breaks the connection: aliases, depth, our Receive Maximum. Returns the topic.
    fn check_publish(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish,
    ) -> Result<TopicName, Violation> {
        let settings = &self.roster.settings;
        let (Some(connection), Some(session)) = (
            self.roster.connections.get_mut(key),
            self.roster.sessions.get(session),
        ) else {
            return Err(Violation::TopicAliasUnknown);
        };
        let alias = publish.properties.topic_alias();
        let topic = connection.aliases_in.resolve(
            publish.topic.clone(),
            alias,
            settings.topic_alias_maximum,
        )?;
        if topic.depth() > settings.max_topic_levels {
            return Err(Violation::TopicTooDeep);
        }
        // [MQTT-3.3.4-7]: QoS 1 is acknowledged within the turn, so what is outstanding is QoS 2. 3.x has no such limit
        // of its own; the ids in use bound it.
        if let Delivery::ExactlyOnce(id) = publish.delivery {
            let outstanding = session.received.len();
            let full = outstanding >= usize::from(settings.receive_maximum)
                && !settings.tolerates_receive_maximum_exceeded
                && !fault!(OursNotEnforced);
            if full && connection.version == Version::V5 && !session.received.contains(&id) {
                return Err(Violation::ReceiveMaximumExceeded);
            }
        }
        Ok(topic)
    }

    fn is_repeated(&self, session: SessionKey, delivery: Delivery) -> bool {
        let Delivery::ExactlyOnce(id) = delivery else {
            return false;
        };
        if fault!(PublishedTwice) {
            return false;
        }
        self.roster
            .sessions
            .get(session)
            .is_some_and(|session| session.received.contains(&id))
    }

    fn may_publish(&self, session: SessionKey, topic: &TopicName) -> bool {
        let session = self.roster.sessions.get(session);
        session.is_some_and(|session| is_allowed(&*session.permissions, topic))
            || fault!(PermissionForgotten)
    }

    /// The message was taken: remembers a QoS 2 id, for as long as PUBREL takes [MQTT-4.3.3-13], and acknowledges.
    /// An id of QoS 1 is not remembered: it begins a new message at once [MQTT-4.3.2-5].
    fn received(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        delivery: Delivery,
        reason: ReasonCode,
    ) {
        if let (Delivery::ExactlyOnce(id), Some(session)) =
            (delivery, self.roster.sessions.get_mut(session))
        {
            session.received.insert(id);
            if let Some(number) = session.number
                && !fault!(ReceivedNotRecorded)
            {
                self.roster.journal.put(Record::Received(number, id));
            }
        }
        self.acknowledge(now, key, delivery, reason);
    }

    /// [MQTT-2.2.1-5], [MQTT-3.3.4-1]: QoS 1 with PUBACK [MQTT-4.3.2-4], QoS 2 with PUBREC [MQTT-4.3.3-8].
    fn acknowledge(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        delivery: Delivery,
        reason: ReasonCode,
    ) {
        if fault!(AnswersTwice)
            && let Some(id) = delivery.packet_id()
        {
            self.roster.send(key, &Packet::PubAck(ack(id, reason)));
        }
        let packet = match delivery {
            Delivery::AtMostOnce => return,
            Delivery::AtLeastOnce(id) => Packet::PubAck(ack(id, reason)),
            Delivery::ExactlyOnce(id) => Packet::PubRec(ack(id, reason)),
        };
        self.acknowledge_with(now, key, packet);
    }

    /// There is no room for what the client asked to be kept. A QoS 0 message need not be: it was delivered.
    fn refuse_for_room(&mut self, now: Instant, key: ConnectionKey, delivery: Delivery, end: End) {
        match delivery {
            Delivery::AtMostOnce => self.roster.stats.dropped.refused += 1,
            // [MQTT3-4.8.0-2]
            _ => self.refuse_publish(now, key, delivery, ReasonCode::QuotaExceeded, end),
        }
    }

    /// The message was not taken, and its id not remembered [MQTT-4.3.3-9]. 5.0 says so in the acknowledgement; 3.x
    /// can only close [MQTT3-3.3.5-2].
    fn refuse_publish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        delivery: Delivery,
        reason: ReasonCode,
        end: End,
    ) {
        let connection = self.roster.connections.get(key);
        let is_v5 = connection.is_some_and(|connection| connection.version == Version::V5);
        self.roster.stats.dropped.refused += 1;
        match is_v5 {
            true => self.acknowledge(now, key, delivery, reason),
            false => self.end(now, key, end),
        }
    }

    /// Takes in the PUBACKs of the connection at the front of `ids`, as [`Shard::handle`] would one by one, and returns how
    /// many they are. The next one has to go there.
    pub fn handle_pubacks(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        mut ids: impl Iterator<Item = PacketId>,
    ) -> usize {
        let Some(session) = self.hear(now, connection) else {
            return 0;
        };
        self.roster.interrupt_encore();
        let skipped = usize::from(fault!(PubackSkipped) && ids.next().is_some());
        let taken = skipped + self.take_pubacks(now, connection, session, ids);
        self.end_doomed(now);
        self.end_step();
        taken
    }

    pub(super) fn receive_puback(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        ack: &Ack,
    ) {
        if self.take_pubacks(now, key, session, iter::once(ack.packet_id)) == 0 {
            self.end(now, key, End::Violation(Violation::Unexpected("PUBACK")));
        }
    }

    /// Each frees its slot of the window, if it is not of a session that was discarded meanwhile; then the next that wait
    /// move up. Returns how many were expected.
    fn take_pubacks(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        ids: impl Iterator<Item = PacketId>,
    ) -> usize {
        let (Some(session), Some(connection)) = (
            self.roster.sessions.get_mut(session),
            self.roster.connections.get_mut(key),
        ) else {
            return 0;
        };
        let journal = &mut self.roster.journal;
        let mut taken = 0;
        for id in ids {
            let Some(finished) = session.inflight.acknowledge(id) else {
                break;
            };
            make_room(journal, session, connection, finished);
            taken += 1;
        }
        if taken > 0 {
            self.roster.pump(key, now);
        }
        taken
    }

    pub(super) fn receive_pubrec(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        rec: &Ack,
    ) {
        let id = rec.packet_id;
        let reason = match self.awaiting(session, id) {
            Some(Stage::Published(Qos::ExactlyOnce)) if rec.reason.is_error() => {
                // [MQTT-4.3.3-4], [MQTT-4.4.0-2]: the client refused the message; there is no PUBREL.
                return self.finish(now, key, session, id);
            }
            Some(Stage::Published(Qos::ExactlyOnce)) => {
                self.release(session, id);
                ReasonCode::Success
            }
            Some(Stage::Released) => ReasonCode::Success,
            Some(Stage::Published(_)) => {
                return self.end(now, key, End::Violation(Violation::Unexpected("PUBREC")));
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.acknowledge_with(now, key, Packet::PubRel(ack(id, reason)));
    }

    /// The message is the client's: PUBREL follows when that is durable, for the client then forgets the id.
    fn release(&mut self, session: SessionKey, id: PacketId) {
        let Some(session) = self.roster.sessions.get_mut(session) else {
            return;
        };
        if let (Some(sequence), Some(number)) = (session.inflight.release(id), session.number)
            && !fault!(ReleaseNotRecorded)
        {
            session.ids_mark = self.roster.journal.mark;
            self.roster.journal.put(Record::Delivery(DeliveryRecord {
                session: number,
                sequence: sequence.get(),
                qos: Qos::ExactlyOnce,
                retain: false,
                identifiers: Identifiers::new(),
                stage: record::Stage::Released(id),
            }));
        }
    }

    pub(super) fn receive_pubrel(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        rel: &Ack,
    ) {
        let Some(session) = self.roster.sessions.get_mut(session) else {
            return;
        };
        // [MQTT-4.3.3-11]: PUBREL is answered with PUBCOMP, whether or not the id is known.
        let known = match fault!(ReceivedKept) {
            true => session.received.contains(&rel.packet_id),
            false => session.received.remove(&rel.packet_id),
        };
        if let (true, Some(number)) = (known && !fault!(ReceivedNotDeleted), session.number) {
            let key = Key::Received(number, rel.packet_id);
            self.roster.journal.delete(key);
        }
        let reason = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.acknowledge_with(now, key, Packet::PubComp(ack(rel.packet_id, reason)));
    }

    pub(super) fn receive_pubcomp(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        comp: &Ack,
    ) {
        match self.awaiting(session, comp.packet_id) {
            Some(Stage::Released) => self.finish(now, key, session, comp.packet_id),
            Some(Stage::Published(_)) => {
                self.end(now, key, End::Violation(Violation::Unexpected("PUBCOMP")));
            }
            None => {}
        }
    }

    fn awaiting(&self, session: SessionKey, id: PacketId) -> Option<Stage> {
        let session = self.roster.sessions.get(session)?;
        Some(match session.inflight.awaiting(id)? {
            Awaiting::Publish(envelope) => Stage::Published(envelope.qos),
            Awaiting::Release(_) => Stage::Released,
        })
    }

    /// A message is delivered or refused for good [MQTT-4.8.2-6]: its window slot serves the next that waits.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        id: PacketId,
    ) {
        let (Some(session), Some(connection)) = (
            self.roster.sessions.get_mut(session),
            self.roster.connections.get_mut(key),
        ) else {
            return;
        };
        let finished = session.inflight.finish(id);
        make_room(&mut self.roster.journal, session, connection, finished);
        self.roster.pump(key, now);
    }
}

/// A message is done with: its slot of the window is free.
fn make_room(
    journal: &mut Journal,
    session: &Session,
    connection: &mut Connection,
    finished: Finished,
) {
    if finished.restores_quota && !fault!(QuotaNotRestored) {
        connection.restore_send_quota();
    }
    journal.delete_delivery(session.number, finished.sequence);
}

/// Whether a client with these permissions may publish to `topic`. `$SYS` is the server's own (section 4.7.2).
pub(super) fn is_allowed(permissions: &dyn Permissions, topic: &TopicName) -> bool {
    topic.levels().next() != Some("$SYS") && permissions.may_publish(topic)
}

/// Where a message in flight stands.
#[derive(Clone, Copy)]
enum Stage {
    Published(Qos),
    Released,
}

fn ack(packet_id: PacketId, reason: ReasonCode) -> Ack {
    Ack {
        packet_id,
        reason,
        properties: Properties::default(),
    }
}
