//! The short way of a PUBLISH that goes on with the topic of the one before it, see [`crate::encore`].
//!
//! There are two entrances: a packet that was decoded as any other, and a payload alone, which is all that a packet says
//! that is the same again. What must hold: whoever gets the message gets what it would have got on the long way.

use super::Shard;
use super::fan_out::Wanted;
use crate::cast::Cast;
use crate::id::{ConnectionKey, SessionKey};
use crate::roster::Roster;
use crate::time::Instant;
use alloc::sync::Arc;
use smallvec::SmallVec;
use weir_codec::{Delivery, LINK_BYTES, Properties, Publish, TopicName};

impl Shard {
    /// The topic that this connection has published to just now, if it may go on with [`Shard::handle_encore`].
    #[must_use]
    pub fn encore_topic(&self, connection: ConnectionKey) -> Option<TopicName> {
        let encore = &self.roster.encore;
        let session = self.roster.connections.get(connection)?.session()?;
        let topic = encore.topic(session).filter(|_| !encore.has_rest());
        topic.cloned()
    }

    /// Takes in a PUBLISH of the connection to its [`Shard::encore_topic`], with QoS 0, without RETAIN and properties, as
    /// [`Shard::handle`] would; no effect comes of it. Returns false, and has done nothing, if it has to go there.
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
        let publisher = connections.get_mut(connection);
        let topic = publisher.and_then(|publisher| {
            publisher.heard_at = now;
            encore.topic(publisher.session()?)
        });
        let (Some(topic), false) = (topic, encore.has_rest()) else {
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
        true
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
        self.repeat(Some(session), (topic, payload, properties), |shard| {
            Cast::fresh(Arc::new(shard.message(now, publish, topic)), now)
        })
    }

    /// Delivers a message as the one before, if it goes the same way; returns whether it does. `cast` is made if somebody has
    /// to be asked again, or another shard be told.
    pub(super) fn repeat(
        &mut self,
        publisher: Option<SessionKey>,
        (topic, payload, properties): (&TopicName, &[u8], &Properties),
        cast: impl FnOnce(&mut Self) -> Cast,
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
        if encore.has_rest() {
            let (others, shards) = encore.take_rest();
            let mut cast = cast(self);
            for (session, subscription) in &others {
                let identifiers = subscription.identifiers();
                self.roster
                    .deliver(*session, subscription, identifiers, false, &mut cast);
            }
            self.clock += 1;
            let groups = SmallVec::new();
            let stamp = (self.clock, false);
            self.forward(publisher, &mut cast, &Wanted { shards, groups }, stamp);
            self.roster.encore.put_back(others);
        }
        true
    }
}
