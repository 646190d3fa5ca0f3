//! A retained message where it is kept: plain, as the packet that nearly everybody gets, or whole.
//!
//! Whoever only sends it reads it there; whoever keeps it too gets a message of its own.

use super::Entry;
use crate::id::MessageNumber;
use crate::message::Message;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_codec::{Properties, PublishHead, Qos, TopicName, Version};
use weir_router::{Content, Contents, RetainedTopic};

/// What a replay looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The place in the order in which values came.
    pub(super) arrival: u64,
    /// The QoS of a message that is plain: without properties, and it does not expire. Its packet is the topic's content.
    pub(super) plain: Option<Qos>,
}

/// What a replay gives.
pub(crate) enum Kept<'a> {
    Message(KeptMessage<'a>),
    /// Messages as [`KeptMessage::Plain`] has them, all of which go out with QoS 0.
    Packets(Contents<'a>),
}

/// A retained message where it is kept.
#[derive(Clone, Copy)]
pub(crate) enum KeptMessage<'a> {
    Plain {
        /// The PUBLISH of 3.1 and 3.1.1 with QoS 0 and RETAIN 1, which ends with the payload.
        packet: Content<'a>,
        qos: Qos,
        /// Where it is kept: who only sends the message doesn't read it.
        number: &'a MessageNumber,
    },
    Whole(&'a Arc<Message>),
}

impl<'a> KeptMessage<'a> {
    /// `None`: the topic's message was deleted.
    #[inline]
    pub(super) fn of(kept: &RetainedTopic<'a, Mark, Entry>) -> Option<Self> {
        match kept.mark.plain {
            Some(qos) => Some(Self::Plain {
                packet: kept.content,
                qos,
                number: &kept.value.number,
            }),
            None => kept.value.whole.as_ref().map(Self::Whole),
        }
    }

    #[inline]
    pub(crate) fn topic(&self) -> &'a str {
        match *self {
            Self::Plain { packet, .. } => packet.topic(),
            Self::Whole(message) => message.topic.as_str(),
        }
    }

    /// The topic as a name of its own; it always can be one, since it was.
    pub(crate) fn topic_name(&self) -> Option<TopicName> {
        match *self {
            Self::Plain { packet, .. } => TopicName::try_from(packet.topic()).ok(),
            Self::Whole(message) => Some(message.topic.clone()),
        }
    }

    #[inline]
    pub(crate) fn qos(&self) -> Qos {
        match *self {
            Self::Plain { qos, .. } => qos,
            Self::Whole(message) => message.qos,
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        matches!(self, Self::Whole(message) if message.is_expired(now))
    }

    pub(super) fn cost_bytes(&self) -> usize {
        match *self {
            Self::Plain { packet, .. } => {
                Message::cost_of(packet.topic().len() + packet.behind_topic().len())
            }
            Self::Whole(message) => message.cost_bytes(),
        }
    }

    /// The message for somebody who keeps it, too; there always is one, as of [`KeptMessage::topic_name`].
    pub(crate) fn to_message(self) -> Option<Arc<Message>> {
        let (packet, qos, &number) = match self {
            Self::Whole(message) => return Some(Arc::clone(message)),
            Self::Plain {
                packet,
                qos,
                number,
            } => (packet, qos, number),
        };
        Some(Arc::new(Message {
            number,
            topic: self.topic_name()?,
            payload: Bytes::copy_from_slice(packet.behind_topic()),
            properties: Properties::new(),
            qos,
            retain: true,
            expires_at: None,
        }))
    }
}

/// Writes the packet of a message that is plain, which is its content in the tree.
pub(super) fn write_packet<'a>(message: &Message, packet: &'a mut Vec<u8>) -> Option<Content<'a>> {
    let topic = message.topic.as_str();
    let head = PublishHead {
        version: Version::V3_1_1,
        topic,
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: &message.properties,
    };
    packet.clear();
    // [MQTT3-3.3.1-8]: a retained message sent for a new subscription carries RETAIN 1.
    head.encode(&message.payload, true, packet).ok()?;
    let topic_end = packet.len() - message.payload.len();
    Content::new(packet, topic_end - topic.len()..topic_end)
}
