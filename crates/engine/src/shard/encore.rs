//! The short way of a PUBLISH that goes on with the topic of the one before it, see [`crate::encore`].
//!
//! There are two entrances: a packet that was decoded as any other, and a payload alone, which is all that a packet says
//! that is the same again. What must hold: whoever gets the message gets what it would have got on the long way.

use super::Shard;
use super::fan_out::deliver_to_group;
use crate::cast::Cast;
use crate::id::{ConnectionKey, MessageNumber, SessionKey};
use crate::message::Message;
use crate::roster::Roster;
use crate::time::Instant;
use alloc::sync::Arc;
use bytes::Bytes;
use weir_codec::{Delivery, LINK_BYTES, Properties, Publish, Qos, TopicName};

impl Shard {
    /// The topic that this connection has published to just now, if it may go on with [`Shard::handle_encore`].
    #[must_use]
    pub fn encore_topic(&self, connection: ConnectionKey) -> Option<TopicName> {
        let session = self.roster.connections.get(connection)?.session()?;
        self.roster.encore.topic(session).cloned()
    }

    /// Takes in a PUBLISH of the connection to its [`Shard::encore_topic`], with QoS 0, without RETAIN and properties, as
    /// [`Shard::handle`] would. Returns false, and has done nothing, if it has to go there.
    pub fn handle_encore(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        payload: &[u8],
    ) -> bool {
        let Roster {
            connections,
            encore,
            dirty,
            settings,
            stats,
            ..
        } = &mut self.roster;
        let Some(publisher) = connections.get_mut(connection) else {
            return false;
        };
        publisher.heard_at = now;
        let Some(session) = publisher.session() else {
            return false;
        };
        let Some(topic) = encore.topic(session) else {
            return false;
        };
        let content_bytes = topic.as_str().len() + payload.len();
        let segment = &mut dirty.segment;
        if payload.len() >= LINK_BYTES
            || !encore.has_room(content_bytes, settings.outbox_bytes, segment)
        {
            return false;
        }
        stats.messages_received += 1;
        stats.messages_sent += encore.add(payload, &Properties::new(), segment, connections);
        if encore.has_rest() {
            self.handle_rest(now, session, payload);
        }
        true
    }

    /// Not everybody could be given a share of the segment.
    fn handle_rest(&mut self, now: Instant, publisher: SessionKey, payload: &[u8]) {
        let Some(topic) = self.roster.encore.topic(publisher).cloned() else {
            return;
        };
        let message = Message {
            number: MessageNumber(self.roster.journal.numbers.next()),
            topic,
            qos: Qos::AtMostOnce,
            retain: false,
            expires_at: None,
            payload: Bytes::copy_from_slice(payload),
            properties: Properties::new(),
        };
        let mut cast = match self.roster.encore.is_kept() {
            true => Cast::kept(Arc::new(message), now),
            false => Cast::fresh(&message, now),
        };
        self.roster.now = now;
        self.repeat_elsewhere(Some(publisher), &mut cast);
        self.end_doomed(now);
        self.end_step();
    }

    /// Whether the client goes on with what it has just published, so that nothing has to be decided anew.
    pub(super) fn is_repeated_at_once(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish,
    ) -> bool {
        let Publish {
            payload,
            properties,
            ..
        } = publish;
        if publish.delivery != Delivery::AtMostOnce || publish.retain {
            return false;
        }
        let resolved;
        let topic = match &publish.topic {
            Some(topic) if properties.is_empty() => topic,
            _ if properties.message_expiry_interval().is_some() => return false,
            topic => {
                let maximum = self.roster.settings.topic_alias_maximum;
                let Some(connection) = self.roster.connections.get_mut(key) else {
                    return false;
                };
                let aliases = &mut connection.aliases_in;
                match aliases.resolve(topic.clone(), properties.topic_alias(), maximum) {
                    Ok(topic) => {
                        resolved = topic;
                        &resolved
                    }
                    Err(_) => return false,
                }
            }
        };
        if !self.repeat(Some(session), (topic, payload, properties)) {
            return false;
        }
        if self.roster.encore.has_rest() {
            let message = self.message(now, publish, topic);
            self.repeat_elsewhere(Some(session), &mut Cast::fresh(&message, now));
        }
        true
    }

    /// Delivers a message as the one before, if it goes the same way; returns whether it does. The others follow with
    /// [`Shard::repeat_elsewhere`].
    pub(super) fn repeat(
        &mut self,
        publisher: Option<SessionKey>,
        (topic, payload, properties): (&TopicName, &[u8], &Properties),
    ) -> bool {
        let Roster {
            encore,
            connections,
            dirty,
            settings,
            stats,
            ..
        } = &mut self.roster;
        let segment = &mut dirty.segment;
        let content_bytes = topic.as_str().len() + payload.len() + properties.encoded().len();
        if !encore.is_of(publisher, topic)
            || payload.len() >= LINK_BYTES
            || !encore.has_room(content_bytes, settings.outbox_bytes, segment)
        {
            return false;
        }
        stats.messages_sent += encore.add(payload, properties, segment, connections);
        true
    }

    /// Delivers a message that goes on to those who have to be asked again, a member of each group, and other shards.
    pub(super) fn repeat_elsewhere(&mut self, publisher: Option<SessionKey>, cast: &mut Cast<'_>) {
        if !self.roster.encore.has_rest() {
            return;
        }
        let (others, elsewhere) = self.roster.encore.take_rest();
        for (session, subscription) in &others {
            let identifiers = subscription.identifiers();
            self.roster
                .deliver(*session, subscription, identifiers, false, cast);
        }
        for filter in elsewhere.groups_of(self.id) {
            deliver_to_group(&mut self.roster, &self.subscriptions, filter, cast);
        }
        self.clock += 1;
        self.forward(publisher, cast, &elsewhere, (self.clock, false));
        self.roster.encore.put_back(others, elsewhere);
    }
}
