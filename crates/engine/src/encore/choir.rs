//! A choir: those who are sent the same bytes, so that these are put into the turn's segment once for all of them.
//!
//! It has no room of its own: its members' outputs do, and what is added is within the room of the fullest. What was added is
//! handed out in one piece, and before anything else is put into any of these outputs.

use crate::cast::is_same;
use crate::connection::Connection;
use crate::dirty::Dirty;
use crate::id::{ConnectionKey, SessionKey};
use crate::message::Message;
use crate::sending::Share;
use crate::session::Session;
use alloc::vec::Vec;
use slotmap::SlotMap;
use weir_codec::{Alike, Properties, PublishHead, Segment, Stretch, TopicName};

/// Connections that are sent the same bytes.
#[derive(Debug)]
pub(super) struct Choir {
    pub(super) members: Vec<ConnectionKey>,
    pub(super) alike: Alike,
    /// A packet of this turn whose head others may have.
    pub(super) like: Option<Like>,
    /// What was added to their outputs and not handed out yet.
    pub(super) added: Option<Stretch>,
    /// The most that was in the output of one of them.
    pub(super) output_bytes: usize,
    /// The least that one of them takes.
    pub(super) max_packet_bytes: usize,
}

/// A packet in the segment, and what the length of its head comes from.
#[derive(Debug)]
pub(super) struct Like {
    stretch: Stretch,
    properties: Properties,
    payload_bytes: usize,
}

impl Choir {
    /// One whose first member was given this share of the `message`.
    pub(super) fn of(
        first: Share,
        message: &Message,
        segment: &Segment,
        members: Vec<ConnectionKey>,
    ) -> Option<Self> {
        let mut choir = Self {
            members,
            alike: segment.alike(first.stretch)?,
            like: Some(Like {
                stretch: first.stretch,
                properties: message.properties.clone(),
                payload_bytes: message.payload.len(),
            }),
            added: None,
            output_bytes: 0,
            max_packet_bytes: usize::MAX,
        };
        choir.join(first);
        Some(choir)
    }

    /// Whether its first member was given the same.
    #[inline]
    pub(super) fn has(&self, share: &Share) -> bool {
        let like = self.like.as_ref();
        like.is_some_and(|like| like.stretch == share.stretch)
    }

    pub(super) fn join(&mut self, share: Share) {
        self.members.push(share.connection);
        self.output_bytes = self.output_bytes.max(share.output_bytes);
        self.max_packet_bytes = self.max_packet_bytes.min(share.max_packet_bytes);
    }

    /// Whether a message would be every member's next, as it was the last time; notes how full their outputs are.
    #[inline]
    pub(super) fn is_ready(
        &mut self,
        sessions: &SlotMap<SessionKey, Session>,
        connections: &SlotMap<ConnectionKey, Connection>,
    ) -> bool {
        self.output_bytes = 0;
        self.members.iter().all(|key| {
            let Some(connection) = connections.get(*key) else {
                return false;
            };
            let session = connection.session().and_then(|key| sessions.get(key));
            self.output_bytes = self.output_bytes.max(connection.used_bytes());
            session.is_some_and(Session::is_next)
        })
    }

    /// Adds one more message, for which there is room; returns how many sessions that is.
    pub(super) fn sing(
        &mut self,
        topic: &TopicName,
        payload: &[u8],
        properties: &Properties,
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let segment = &mut dirty.segment;
        let like = self.like.as_ref();
        // A message before could be written so.
        let next = match like.filter(|like| like.has_head_of(payload, properties)) {
            Some(like) => segment.publish_like(like.stretch, payload),
            None => self.write(topic, payload, properties, segment),
        };
        let Some(next) = next else {
            return 0;
        };
        self.add(next, dirty, connections);
        self.members.len() as u64
    }

    /// Appends a packet of the kind that its packets are.
    pub(super) fn write(
        &mut self,
        topic: &TopicName,
        payload: &[u8],
        properties: &Properties,
        segment: &mut Segment,
    ) -> Option<Stretch> {
        let head = PublishHead {
            version: self.alike.version,
            topic: match self.alike.topic_alias {
                None => topic.as_str(),
                Some(_) => "",
            },
            topic_alias: self.alike.topic_alias,
            message_expiry_interval: None,
            subscription_identifiers: self.alike.identifier.as_slice(),
            properties,
        };
        let stretch = segment.publish(&head, payload, false)?;
        self.like = Some(Like {
            stretch,
            properties: properties.clone(),
            payload_bytes: payload.len(),
        });
        Some(stretch)
    }

    pub(super) fn add(
        &mut self,
        next: Stretch,
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        if let Some(added) = self.added {
            self.added = added.joined(next);
            if self.added.is_some() {
                return;
            }
            // Somebody else's packet lies between.
            self.added = Some(added);
            self.hand_out(dirty, connections);
        }
        self.added = Some(next);
    }

    pub(super) fn hand_out(
        &mut self,
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        let Some(added) = self.added.take() else {
            return;
        };
        self.output_bytes += added.len();
        for key in self
            .members
            .iter()
            .skip(usize::from(fault!(EncoreMissesOne)))
        {
            if let Some(connection) = connections.get_mut(*key) {
                dirty.mark(*key, connection);
                connection.output.share(&dirty.segment, added);
            }
        }
    }
}

impl Like {
    /// Whether a packet with this content has the same head.
    #[inline]
    pub(super) fn has_head_of(&self, payload: &[u8], properties: &Properties) -> bool {
        payload.len() == self.payload_bytes
            && is_same(properties.encoded(), self.properties.encoded())
    }
}
