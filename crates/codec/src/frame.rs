//! A PUBLISH encoded once for many subscribers.
//!
//! ```text
//!   first byte | remaining length | topic | packet id | properties | payload
//!   \________/                              \_________/              \_______/
//!    per write                              per write               shared, if large
//! ```
//!
//! What differs between deliveries (DUP, QoS, RETAIN, the packet identifier) is filled in by
//! [`PublishFrame::write`], which only copies. Topic alias, message expiry and subscription identifiers are part of
//! a frame: who needs others makes another frame. A payload of at least [`LINK_BYTES`] is shared, a smaller one is
//! encoded along with the head, so that a small message is one piece of memory and does not pin the buffer that it
//! was read into.

use crate::{
    Delivery, EncodeError, LINK_BYTES, Output, PacketType, Properties, Property, PropertyId,
    Version, publish,
    sink::{Length, Sink},
    varint,
};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// Everything in front of the payload of an outgoing PUBLISH, except what differs between deliveries.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// The version of the subscribers.
    pub version: Version,
    /// The topic name; may be empty if a topic alias is given.
    pub topic: &'a str,
    /// The topic alias. 5.0 only, as all that follows.
    pub topic_alias: Option<u16>,
    /// What is left of the message expiry interval, in seconds. [MQTT-3.3.2-6]
    pub message_expiry_interval: Option<u32>,
    /// The identifiers of the subscriptions that this goes to. [MQTT-3.3.4-3], [MQTT-3.3.4-4]
    pub subscription_identifiers: &'a [u32],
    /// The publisher's properties. A topic alias, a message expiry interval and subscription identifiers in them are left
    /// out; everything else passes through in order, byte for byte. [MQTT-3.3.2-4], [MQTT-3.3.2-15],
    /// [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
    pub properties: &'a Properties,
}

/// An encoded PUBLISH, cut where the packet identifier goes. Cloning counts references.
#[derive(Clone, Debug)]
pub struct PublishFrame {
    /// The packet up to the payload, a small one included; first byte and packet identifier are left open.
    encoded: Bytes,
    /// Where in `encoded` the packet identifier goes.
    id_at: usize,
    /// A payload that is not in `encoded`.
    payload: Bytes,
    has_packet_id: bool,
}

impl PublishFrame {
    /// Encodes a message. `has_packet_id` is whether it is going to be delivered with QoS 1 or 2.
    ///
    /// # Errors
    /// The topic is longer than 65,535 bytes or missing, a subscription identifier or the topic alias out of range,
    /// or the packet too long.
    pub fn new(
        head: &PublishHead<'_>,
        payload: &Bytes,
        has_packet_id: bool,
    ) -> Result<Self, EncodeError> {
        let layout = head.layout(payload.len(), has_packet_id)?;
        let is_copied = payload.len() < LINK_BYTES;
        let (copied, linked) = match is_copied {
            true => (&payload[..], Bytes::new()),
            false => (&[][..], payload.clone()),
        };
        let mut encoded = BytesMut::with_capacity(layout.packet_bytes() - linked.len());
        head.write(0, &layout, &mut encoded);
        encoded.put(copied);
        Ok(Self {
            encoded: encoded.freeze(),
            id_at: layout.id_at(),
            payload: linked,
            has_packet_id,
        })
    }

    /// The size of the whole packet on the wire in bytes.
    #[inline]
    pub fn wire_bytes(&self) -> usize {
        self.encoded.len() + self.payload.len()
    }

    /// Whether this frame is for deliveries with a packet identifier.
    pub fn has_packet_id(&self) -> bool {
        self.has_packet_id
    }

    /// Appends the packet for one subscriber. The delivery must have a packet identifier exactly if the frame was
    /// made for one. DUP is left out with QoS 0 [MQTT-3.3.1-2].
    #[inline]
    pub fn write(&self, dup: bool, retain: bool, delivery: Delivery, out: &mut Output) {
        debug_assert_eq!(
            self.has_packet_id,
            delivery.packet_id().is_some(),
            "a frame of another QoS class"
        );
        let (first, packet_id) = match (self.has_packet_id, delivery.packet_id()) {
            (true, Some(packet_id)) => (publish::flags(dup, retain, delivery), Some(packet_id)),
            (false, _) => (publish::flags(false, retain, Delivery::AtMostOnce), None),
            // Without the identifier that its length counts, the packet would garble everything behind it.
            (true, None) => return,
        };
        let written = out.put_mut(&self.encoded);
        if let Some(open) = written.first_mut() {
            *open = FIRST | first;
        }
        if let (Some(packet_id), Some(open)) =
            (packet_id, written.get_mut(self.id_at..self.id_at + 2))
        {
            open.copy_from_slice(&packet_id.get().to_be_bytes());
        }
        if !self.payload.is_empty() {
            out.link(self.payload.clone());
        }
    }
}

/// The packet type in the first byte.
const FIRST: u8 = (PacketType::Publish as u8) << 4;

/// The lengths of a packet's parts.
pub(crate) struct Layout {
    remaining: u32,
    topic_bytes: usize,
    id_bytes: usize,
    properties_bytes: u32,
}

impl Layout {
    /// The size of the whole packet, its payload included.
    pub(crate) fn packet_bytes(&self) -> usize {
        1 + varint::encoded_len(self.remaining) + self.remaining as usize
    }

    /// Where the packet identifier goes.
    fn id_at(&self) -> usize {
        1 + varint::encoded_len(self.remaining) + 2 + self.topic_bytes
    }
}

impl PublishHead<'_> {
    /// Appends a whole packet with QoS 0, its payload copied.
    ///
    /// # Errors
    /// As [`PublishFrame::new`]; nothing has been appended then.
    pub fn encode(
        &self,
        payload: &[u8],
        retain: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let layout = self.layout(payload.len(), false)?;
        self.write_plain(retain, &layout, out);
        out.put(payload);
        Ok(())
    }

    /// Writes everything in front of the payload of a packet with QoS 0.
    #[inline]
    pub(crate) fn write_plain(&self, retain: bool, layout: &Layout, out: &mut impl Sink) {
        let flags = publish::flags(false, retain, Delivery::AtMostOnce);
        self.write(flags, layout, out);
    }

    /// Measures the packet.
    pub(crate) fn layout(
        &self,
        payload_bytes: usize,
        has_packet_id: bool,
    ) -> Result<Layout, EncodeError> {
        self.check()?;
        let id_bytes = if has_packet_id { 2 } else { 0 };
        let mut properties_bytes = 0;
        let mut body = Length(2 + self.topic.len() + id_bytes);
        if self.version.is_v5() {
            properties_bytes = self.properties_bytes();
            body.varint(properties_bytes);
            body.0 += usize::try_from(properties_bytes).unwrap_or(usize::MAX);
        }
        let remaining = u32::try_from(body.0.saturating_add(payload_bytes))
            .ok()
            .filter(|len| *len <= varint::MAX);
        Ok(Layout {
            remaining: remaining.ok_or(EncodeError::PacketTooLong)?,
            topic_bytes: self.topic.len(),
            id_bytes,
            properties_bytes,
        })
    }

    /// Writes everything in front of the payload; the packet identifier is left open.
    pub(crate) fn write(&self, flags: u8, layout: &Layout, out: &mut impl Sink) {
        // What stands before the topic is put at once: each put has a price.
        let ([a, b, c, d], remaining_bytes) = varint::encode(layout.remaining);
        let [high, low] = u16::try_from(layout.topic_bytes)
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        let first = FIRST | flags;
        match remaining_bytes {
            1 => out.put(&[first, a, high, low]),
            2 => out.put(&[first, a, b, high, low]),
            3 => out.put(&[first, a, b, c, high, low]),
            _ => out.put(&[first, a, b, c, d, high, low]),
        }
        out.put(self.topic.as_bytes());
        if layout.id_bytes > 0 {
            out.u16(0);
        }
        if self.version.is_v5() {
            out.varint(layout.properties_bytes);
            self.write_properties(out);
        }
    }

    fn check(&self) -> Result<(), EncodeError> {
        if u16::try_from(self.topic.len()).is_err() {
            return Err(EncodeError::FieldTooLong(PacketType::Publish));
        }
        if self.topic.is_empty() && (!self.version.is_v5() || self.topic_alias.is_none()) {
            return Err(EncodeError::TopicMissing);
        }
        if !self.version.is_v5() {
            return Ok(());
        }
        match self
            .own_properties()
            .find(|property| !property.is_expressible())
        {
            // [MQTT-3.3.2-8] and the range of subscription identifiers
            Some(property) => Err(EncodeError::Properties(crate::DecodeError::PropertyValue(
                PacketType::Publish,
                property.id(),
            ))),
            None => Ok(()),
        }
    }

    /// The properties that are this delivery's own.
    fn own_properties(&self) -> impl Iterator<Item = Property<'static>> {
        let alias = self.topic_alias.map(Property::TopicAlias);
        let expiry = self
            .message_expiry_interval
            .map(Property::MessageExpiryInterval);
        let identifiers = self
            .subscription_identifiers
            .iter()
            .copied()
            .map(Property::SubscriptionIdentifier);
        alias.into_iter().chain(expiry).chain(identifiers)
    }

    /// The publisher's properties that pass through, encoded.
    fn passed_through(&self) -> impl Iterator<Item = &[u8]> {
        const OWN: u64 = PropertyId::TopicAlias.bit()
            | PropertyId::MessageExpiryInterval.bit()
            | PropertyId::SubscriptionIdentifier.bit();
        self.properties
            .entries()
            .filter(|entry| OWN & entry.id.bit() == 0)
            .map(|entry| entry.encoded)
    }

    fn write_properties(&self, out: &mut impl Sink) {
        for property in self.own_properties() {
            property.write(out);
        }
        for entry in self.passed_through() {
            out.put(entry);
        }
    }

    /// The length of all properties.
    fn properties_bytes(&self) -> u32 {
        let mut length = Length::default();
        self.write_properties(&mut length);
        u32::try_from(length.0).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PacketId, Segment};
    use std::{vec, vec::Vec};

    fn head<'a>(version: Version, topic: &'a str, properties: &'a Properties) -> PublishHead<'a> {
        PublishHead {
            version,
            topic,
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties,
        }
    }

    fn written(frame: &PublishFrame, dup: bool, retain: bool, delivery: Delivery) -> Vec<u8> {
        let mut output = Output::new();
        frame.write(dup, retain, delivery, &mut output);
        assert_eq!(output.len(), frame.wire_bytes());
        output.parts(&Segment::new()).flatten().copied().collect()
    }

    #[test]
    fn deliveries_of_one_frame_differ_in_flags_and_packet_id_only() {
        let properties = Properties::new();
        let payload = Bytes::from_static(b"p");
        let frame =
            PublishFrame::new(&head(Version::V3_1_1, "a", &properties), &payload, true).unwrap();
        let seven = PacketId::new(7).unwrap();
        assert_eq!(
            written(&frame, false, false, Delivery::AtLeastOnce(seven)),
            b"\x32\x06\x00\x01a\x00\x07p"
        );
        assert_eq!(
            written(&frame, true, true, Delivery::ExactlyOnce(PacketId::MAX)),
            b"\x3d\x06\x00\x01a\xff\xffp"
        );
        let frame =
            PublishFrame::new(&head(Version::V3_1_1, "a", &properties), &payload, false).unwrap();
        // [MQTT-3.3.1-2]
        assert_eq!(
            written(&frame, true, true, Delivery::AtMostOnce),
            b"\x31\x04\x00\x01ap"
        );
    }

    #[test]
    fn a_large_payload_is_shared_and_a_small_one_copied() {
        let properties = Properties::new();
        for (len, parts) in [(LINK_BYTES, 2), (LINK_BYTES - 1, 1)] {
            let payload = Bytes::from(vec![1; len]);
            let frame =
                PublishFrame::new(&head(Version::V5, "a", &properties), &payload, false).unwrap();
            let mut output = Output::new();
            frame.write(false, false, Delivery::AtMostOnce, &mut output);
            assert_eq!(output.parts(&Segment::new()).count(), parts);
            assert_eq!(payload.is_unique(), parts == 1);
        }
    }

    /// [MQTT-4.7.3-1], [MQTT-3.3.2-8]
    #[test]
    fn what_no_client_would_accept_is_not_encoded() {
        let (properties, payload) = (Properties::new(), Bytes::new());
        let new = |head: &PublishHead<'_>| PublishFrame::new(head, &payload, false).map(|_| ());
        let aliased = PublishHead {
            topic_alias: Some(1),
            ..head(Version::V5, "", &properties)
        };
        assert_eq!(new(&aliased), Ok(()));
        assert_eq!(
            new(&PublishHead {
                version: Version::V3_1_1,
                ..aliased
            }),
            Err(EncodeError::TopicMissing)
        );
        assert_eq!(
            new(&head(Version::V5, "", &properties)),
            Err(EncodeError::TopicMissing)
        );
        let zero = PublishHead {
            topic_alias: Some(0),
            ..aliased
        };
        assert!(matches!(new(&zero), Err(EncodeError::Properties(_))));
        let zero = PublishHead {
            subscription_identifiers: &[0],
            ..aliased
        };
        assert!(matches!(new(&zero), Err(EncodeError::Properties(_))));
        let long = "a".repeat(65_536);
        let long = head(Version::V5, &long, &properties);
        assert_eq!(
            new(&long),
            Err(EncodeError::FieldTooLong(PacketType::Publish))
        );
    }
}
