//! PUBLISH: an application message.
//!
//! Topic, payload and properties are slices of the received packet; decoding one allocates nothing. A message for many
//! subscribers is not written from here but from a [`crate::PublishFrame`].

use crate::{
    DecodeError, Delivery, EncodeError, PIECE_BYTES, PacketType, Properties, PropertyId, TopicName,
    Version, packet::Source, properties::Allowed, reader::Reader, sink::Sink,
};
use bytes::Bytes;

/// A PUBLISH packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may be a repeated delivery. Never set with QoS 0. [MQTT-3.3.1-1], [MQTT-3.3.1-2]
    pub dup: bool,
    /// Whether the message is to be retained, or was. [MQTT-3.3.1-5]
    pub retain: bool,
    /// QoS and packet identifier. [MQTT-2.2.1-2]
    pub delivery: Delivery,
    /// Where the message was published to; `None` only in 5.0, where the Topic Alias property stands for it then.
    pub topic: Option<TopicName>,
    /// The application's bytes.
    pub payload: Bytes,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

pub(crate) const PUBLISH: Allowed = Allowed::new(
    PacketType::Publish,
    &[
        PropertyId::PayloadFormatIndicator,
        PropertyId::MessageExpiryInterval,
        PropertyId::TopicAlias,
        PropertyId::ResponseTopic,
        PropertyId::CorrelationData,
        PropertyId::ContentType,
    ],
)
// One for each subscription that the message was sent for. [MQTT-3.3.4-4]
.and_repeated(PropertyId::SubscriptionIdentifier);

/// The parts of a PUBLISH, so that they pin no larger buffer: copies, unless it is so large that its memory is its own. They
/// lie in one piece of memory, in the order in which a PUBLISH carries them: who reads one of them has the others at hand.
#[must_use]
pub fn detached(
    topic: &TopicName,
    properties: &Properties,
    payload: &Bytes,
) -> (TopicName, Properties, Bytes) {
    if payload.len() >= PIECE_BYTES {
        return (topic.clone(), properties.clone(), payload.clone());
    }
    let parts = [
        topic.as_str().as_bytes(),
        properties.encoded(),
        payload.as_ref(),
    ];
    let mut whole = Bytes::from(parts.concat());
    let own_topic = topic.copied_to(whole.split_to(topic.as_str().len()));
    let own_properties = match properties.is_empty() {
        true => Properties::new(),
        false => properties.copied_to(whole.split_to(properties.encoded().len())),
    };
    (own_topic, own_properties, whole)
}

impl Publish {
    #[inline]
    pub(crate) fn decode(
        first: u8,
        mut reader: Reader,
        source: Source,
    ) -> Result<Self, DecodeError> {
        let dup = first & 0b1000 != 0;
        let retain = first & 0b0001 != 0;
        // [MQTT-3.3.2-1]
        let topic = reader.text()?;
        // [MQTT-2.2.1-2], [MQTT3-2.3.1-5]: an identifier exactly if the QoS is above 0.
        let delivery = match first >> 1 & 0b11 {
            // [MQTT-3.3.1-2]
            0 if dup => return Err(DecodeError::DupWithoutQos),
            0 => Delivery::AtMostOnce,
            1 => Delivery::AtLeastOnce(reader.packet_id()?),
            2 => Delivery::ExactlyOnce(reader.packet_id()?),
            // [MQTT-3.3.1-4]
            _ => return Err(DecodeError::PublishQos),
        };
        let properties = if source.version.is_v5() {
            read_properties(&mut reader, source)?
        } else {
            Properties::new()
        };
        let topic = if topic.is_empty() {
            // [MQTT-4.7.3-1]; 5.0: "a Protocol Error if the Topic Name is zero length and there is no Topic Alias"
            properties
                .topic_alias()
                .ok_or(DecodeError::TopicNameEmpty)?;
            None
        } else {
            // [MQTT-3.3.2-2]
            Some(TopicName::try_from(topic).map_err(|_| DecodeError::TopicNameWildcard)?)
        };
        Ok(Self {
            dup,
            retain,
            delivery,
            topic,
            payload: reader.rest(),
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.dup && self.delivery == Delivery::AtMostOnce {
            return Err(EncodeError::DupWithoutQos);
        }
        if self.topic.is_none() && (!version.is_v5() || self.properties.topic_alias().is_none()) {
            return Err(EncodeError::TopicMissing);
        }
        if version.is_v5() {
            self.properties.check(PUBLISH)
        } else {
            Ok(())
        }
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.field(self.topic.as_ref().map_or("", TopicName::as_str).as_bytes());
        if let Some(packet_id) = self.delivery.packet_id() {
            out.u16(packet_id.get());
        }
        if version.is_v5() {
            out.properties(&self.properties);
        }
        out.put_shared(&self.payload);
    }

    pub(crate) const fn flags(&self) -> u8 {
        flags(self.dup, self.retain, self.delivery)
    }
}

/// The flags in the first byte of a PUBLISH.
#[inline]
pub(crate) const fn flags(dup: bool, retain: bool, delivery: Delivery) -> u8 {
    (dup as u8) << 3 | (delivery.qos() as u8) << 1 | retain as u8
}

fn read_properties(reader: &mut Reader, source: Source) -> Result<Properties, DecodeError> {
    let properties = Properties::read(reader, PUBLISH)?;
    // [MQTT-3.3.4-6]
    let identified = || {
        properties
            .entries()
            .any(|entry| entry.id == PropertyId::SubscriptionIdentifier)
    };
    if !source.from_server && identified() {
        return Err(DecodeError::SubscriptionIdentifierFromClient);
    }
    Ok(properties)
}
