//! A message as its publisher meant it: what every delivery of it is compared with.
//!
//! It never passes through the engine, so nothing the engine does can change it.

use crate::client::payload_id;
use crate::script::PublishWish;
use bytes::Bytes;
use std::rc::Rc;
use weir_codec::{Properties, Property, Qos, TopicFilter, TopicName};
use weir_engine::Remote;

/// What holding a message costs beyond its bytes, as the queues count it.
const HOLDING_BYTES: usize = 192;

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: TopicName,
    pub(crate) topic_text: &'static str,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) life_seconds: Option<u32>,
    /// The application's properties.
    pub(crate) properties: Properties,
}

impl Message {
    /// The message that a wish speaks of; `number` tells it from all others.
    pub(crate) fn new(wish: &PublishWish, number: u64, is_v5: bool) -> Rc<Self> {
        let mut payload = format!("m{number} ");
        let missing = wish.payload_bytes.saturating_sub(payload.len());
        payload.push_str(&"x".repeat(missing));
        if wish.empty {
            payload.clear();
        }
        let mut properties = Properties::default();
        if is_v5 && wish.adorned {
            properties.push(Property::PayloadFormatIndicator(true));
            properties.push(Property::ContentType("text/plain"));
            properties.push(Property::UserProperty("number", &number.to_string()));
            properties.push(Property::UserProperty("number", "again"));
            properties.push(Property::CorrelationData(b"\x00\xff"));
        }
        Rc::new(Self {
            topic: TopicName::try_from(wish.topic).expect("the topics of the list are good"),
            topic_text: wish.topic,
            payload: Bytes::from(payload),
            qos: wish.qos,
            retain: wish.retain,
            life_seconds: wish.life_seconds.filter(|_| is_v5),
            properties,
        })
    }

    /// Which message it is, as far as a receiver can tell: empty ones of one topic are all the same.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(self.topic.as_str(), &self.payload)
    }

    /// The bytes that a queue counts it with.
    pub(crate) fn cost_bytes(&self) -> usize {
        self.topic.as_str().len()
            + self.payload.len()
            + self.properties.encoded().len()
            + self.life_seconds.map_or(0, |_| 5)
            + HOLDING_BYTES
    }

    /// More bytes than any PUBLISH of it has.
    pub(crate) fn wire_bytes_at_most(&self) -> usize {
        const HEADERS: usize = 2 + 4 + 2 + 2 + 3 + 3 + 5 + 4 * 4;
        self.topic.as_str().len() + self.payload.len() + self.properties.encoded().len() + HEADERS
    }
}

/// What tells one message from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    Numbered(u64),
    /// Without a number of its own: an empty payload, or one that no script wrote.
    Nameless(String, Vec<u8>),
}

impl Identity {
    pub(crate) fn of(topic: &str, payload: &[u8]) -> Self {
        match payload_id(payload) {
            Some(number) => Self::Numbered(number),
            None => Self::Nameless(topic.to_string(), payload.to_vec()),
        }
    }
}

/// The messages that one shard tells another of, each with the groups of which a member there is to have it, and whether it
/// is to be retained.
pub(crate) fn messages(remote: &Remote) -> Vec<(Identity, &[TopicFilter], bool)> {
    match remote {
        Remote::Publish {
            message,
            groups,
            retains,
            ..
        } => {
            let identity = Identity::of(message.topic.as_str(), &message.payload);
            vec![(identity, groups, *retains)]
        }
        Remote::Run { run, .. } => {
            let packets = run.packets.run().packets();
            let identity = |payload| Identity::of(run.topic.as_str(), payload);
            packets
                .map(|packet| (identity(packet.payload), &[][..], false))
                .collect()
        }
        _ => Vec::new(),
    }
}
