//! A retained message where it is kept: plain, with its payload beside those of the topics around it, or whole.
//!
//! Whoever only sends it reads it there; whoever keeps it too gets a message of its own.

use super::Entry;
use crate::id::MessageNumber;
use crate::message::Message;
use crate::time::Instant;
use alloc::sync::Arc;
use bytes::Bytes;
use weir_codec::{Properties, Qos, TopicName};
use weir_router::RetainedTopic;

/// What an entry of the tree has beside the topic and, if it is plain, the payload.
#[derive(Debug)]
pub(super) enum Kept {
    /// A deletion that is remembered.
    Deleted,
    /// The payload lies in the tree. There are no properties, and the message does not expire.
    Plain {
        number: MessageNumber,
        qos: Qos,
    },
    Whole(Arc<Message>),
}

/// A retained message where it is kept.
#[derive(Clone, Copy)]
pub(crate) enum KeptMessage<'a> {
    /// Without properties, and it does not expire.
    Plain {
        topic: &'a str,
        payload: &'a [u8],
        number: MessageNumber,
        qos: Qos,
    },
    Whole(&'a Arc<Message>),
}

impl<'a> KeptMessage<'a> {
    #[inline]
    pub(super) fn of(kept: &RetainedTopic<'a, Entry>) -> Option<Self> {
        match &kept.value.kept {
            Kept::Deleted => None,
            Kept::Whole(message) => Some(Self::Whole(message)),
            &Kept::Plain { number, qos } => Some(Self::Plain {
                topic: kept.topic,
                payload: kept.content,
                number,
                qos,
            }),
        }
    }

    #[inline]
    pub(crate) fn topic(&self) -> &'a str {
        match *self {
            Self::Plain { topic, .. } => topic,
            Self::Whole(message) => message.topic.as_str(),
        }
    }

    /// The topic as a name of its own; it always can be one, since it was.
    pub(crate) fn topic_name(&self) -> Option<TopicName> {
        match *self {
            Self::Plain { topic, .. } => TopicName::try_from(topic).ok(),
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
            Self::Plain { topic, payload, .. } => Message::cost_of(topic.len() + payload.len()),
            Self::Whole(message) => message.cost_bytes(),
        }
    }

    /// The message for somebody who keeps it, too; there always is one, as of [`KeptMessage::topic_name`].
    pub(crate) fn to_message(self) -> Option<Arc<Message>> {
        let (payload, number, qos) = match self {
            Self::Whole(message) => return Some(Arc::clone(message)),
            Self::Plain {
                payload,
                number,
                qos,
                ..
            } => (payload, number, qos),
        };
        Some(Arc::new(Message {
            number,
            topic: self.topic_name()?,
            payload: Bytes::copy_from_slice(payload),
            properties: Properties::new(),
            qos,
            retain: true,
            expires_at: None,
        }))
    }
}
