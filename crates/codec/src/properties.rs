//! A block of properties, validated once and kept as it was encoded.
//!
//! A [`Properties`] received from a peer holds only properties that its packet may carry, none twice that may stand only
//! once, all values in range. It stays a slice of the packet: looking into it walks over the bytes and allocates nothing,
//! and what is passed on is passed on byte for byte, in order [MQTT-3.3.2-17], [MQTT-3.3.2-18].

use crate::{
    DecodeError, PacketType, Property, PropertyId,
    property::ValueFault,
    publish,
    reader::{Fields, Reader},
    topic,
};
use bytes::{Bytes, BytesMut};
use core::fmt;

/// One block of encoded properties, without its length. Cloning counts a reference.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Bytes);

impl Properties {
    /// No properties.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The block as it is on the wire, without the property length.
    #[inline]
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    /// The properties in order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> {
        // Entries have been validated, so none is left out here.
        self.entries().filter_map(Entry::parse)
    }

    /// Appends a property. A value that no receiver would accept (a string with U+0000 or of more than 65,535 bytes, a
    /// Receive Maximum of 0, ..) is left out; whether it was taken is the answer. Whether the packet may carry the
    /// property at all is checked when the packet is encoded.
    pub fn push(&mut self, property: Property<'_>) -> bool {
        if !property.is_expressible() {
            return false;
        }
        let block = core::mem::take(&mut self.0);
        let mut block = block
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        property.write(&mut block);
        self.0 = block.freeze();
        true
    }

    /// A copy that pins no larger buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        if self.is_empty() {
            Self::new()
        } else {
            Self(Bytes::copy_from_slice(&self.0))
        }
    }

    /// The same block where its bytes have been copied to.
    pub(crate) fn copied_to(&self, bytes: Bytes) -> Self {
        debug_assert_eq!(self.encoded(), bytes);
        Self(bytes)
    }

    /// Takes over a block that was kept from a PUBLISH or a will and is now read back: what a PUBLISH may not carry is
    /// refused as it would be from a client.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub fn kept_from_publish(block: Bytes) -> Result<Self, DecodeError> {
        validate(&block, publish::PUBLISH)?;
        Ok(Self(block))
    }

    /// The encoded entries, without looking at their values.
    #[inline]
    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries(Fields(&self.0))
    }

    /// Reads the block at the front of `reader`, behind its property length.
    #[inline]
    pub(crate) fn read(reader: &mut Reader, allowed: Allowed) -> Result<Self, DecodeError> {
        let block = reader.block()?;
        if block.is_empty() {
            return Ok(Self::new());
        }
        validate(&block, allowed)?;
        Ok(Self(block))
    }

    /// Checks what [`Self::push`] could not know.
    pub(crate) fn check(&self, allowed: Allowed) -> Result<(), crate::EncodeError> {
        validate(&self.0, allowed).map_err(crate::EncodeError::Properties)
    }

    /// The value of the first property with this identifier.
    #[inline]
    fn first(&self, id: PropertyId) -> Option<Property<'_>> {
        self.entries()
            .find(|entry| entry.id == id)
            .and_then(Entry::parse)
    }
}

macro_rules! lookups {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $kind:ty;)*) => {
        /// Lookups of the properties that stand at most once.
        impl Properties {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> Option<$kind> {
                    match self.first(PropertyId::$variant) {
                        Some(Property::$variant(value)) => Some(value),
                        _ => None,
                    }
                }
            )*
        }
    };
}

lookups! {
    /// Payload Format Indicator: whether the payload is declared to be UTF-8. [MQTT-3.3.2-4]
    payload_format_indicator: PayloadFormatIndicator -> bool;
    /// Message Expiry Interval in seconds. [MQTT-3.3.2-5]
    message_expiry_interval: MessageExpiryInterval -> u32;
    /// Content Type.
    content_type: ContentType -> &str;
    /// Response Topic. [MQTT-3.3.2-13]
    response_topic: ResponseTopic -> &str;
    /// Correlation Data.
    correlation_data: CorrelationData -> &[u8];
    /// Session Expiry Interval in seconds; 0xFFFFFFFF means never.
    session_expiry_interval: SessionExpiryInterval -> u32;
    /// Assigned Client Identifier.
    assigned_client_identifier: AssignedClientIdentifier -> &str;
    /// Server Keep Alive in seconds.
    server_keep_alive: ServerKeepAlive -> u16;
    /// Authentication Method.
    authentication_method: AuthenticationMethod -> &str;
    /// Authentication Data.
    authentication_data: AuthenticationData -> &[u8];
    /// Request Problem Information.
    request_problem_information: RequestProblemInformation -> bool;
    /// Will Delay Interval in seconds.
    will_delay_interval: WillDelayInterval -> u32;
    /// Request Response Information.
    request_response_information: RequestResponseInformation -> bool;
    /// Response Information.
    response_information: ResponseInformation -> &str;
    /// Server Reference.
    server_reference: ServerReference -> &str;
    /// Reason String.
    reason_string: ReasonString -> &str;
    /// Receive Maximum, never 0.
    receive_maximum: ReceiveMaximum -> u16;
    /// Topic Alias Maximum.
    topic_alias_maximum: TopicAliasMaximum -> u16;
    /// Topic Alias, never 0.
    topic_alias: TopicAlias -> u16;
    /// Maximum QoS, 0 or 1.
    maximum_qos: MaximumQos -> crate::Qos;
    /// Retain Available.
    retain_available: RetainAvailable -> bool;
    /// Maximum Packet Size in bytes, never 0.
    maximum_packet_size: MaximumPacketSize -> u32;
    /// Wildcard Subscription Available.
    wildcard_subscription_available: WildcardSubscriptionAvailable -> bool;
    /// Subscription Identifiers Available.
    subscription_identifiers_available: SubscriptionIdentifiersAvailable -> bool;
    /// Shared Subscription Available.
    shared_subscription_available: SharedSubscriptionAvailable -> bool;
}

/// The properties that may stand more than once.
impl Properties {
    /// The subscription identifiers, in order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(value) => Some(value),
            _ => None,
        })
    }

    /// Names and values of the user properties, in order. [MQTT-3.3.2-18]
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }
}

impl<'a> FromIterator<Property<'a>> for Properties {
    fn from_iter<I: IntoIterator<Item = Property<'a>>>(properties: I) -> Self {
        let mut block = Self::new();
        block.extend(properties);
        block
    }
}

impl<'a> Extend<Property<'a>> for Properties {
    fn extend<I: IntoIterator<Item = Property<'a>>>(&mut self, properties: I) {
        for property in properties {
            self.push(property);
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One encoded property.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) id: PropertyId,
    value: &'a [u8],
    /// Identifier and value as they are on the wire.
    pub(crate) encoded: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(self) -> Option<Property<'a>> {
        Property::parse(self.id, self.value).ok()
    }
}

/// Walks over the entries of a block; ends early where the block is not well-formed.
pub(crate) struct Entries<'a>(Fields<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let block = self.0.0;
        let id = PropertyId::from_u8(self.0.u8()?)?;
        let value = id.take_value(&mut self.0)?;
        let encoded = block.get(..=value.len())?;
        Some(Entry { id, value, encoded })
    }
}

/// Which properties a packet may carry.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    packet: PacketType,
    once: u64,
    repeated: u64,
}

impl Allowed {
    /// These properties once each, and user properties as often as one likes.
    pub(crate) const fn new(packet: PacketType, once: &[PropertyId]) -> Self {
        let mut set = 0;
        let mut rest = once;
        while let [id, tail @ ..] = rest {
            set |= id.bit();
            rest = tail;
        }
        Self {
            packet,
            once: set,
            repeated: PropertyId::UserProperty.bit(),
        }
    }

    /// The same, and this one repeatedly.
    pub(crate) const fn and_repeated(self, id: PropertyId) -> Self {
        Self {
            repeated: self.repeated | id.bit(),
            ..self
        }
    }
}

/// Checks a whole block.
fn validate(block: &[u8], allowed: Allowed) -> Result<(), DecodeError> {
    let packet = allowed.packet;
    let mut seen = 0;
    let mut fields = Fields(block);
    while let Some(byte) = fields.u8() {
        let id = PropertyId::from_u8(byte).ok_or(DecodeError::PropertyUnknown(packet, byte))?;
        if (allowed.once | allowed.repeated) & id.bit() == 0 {
            return Err(DecodeError::PropertyNotAllowed(packet, id));
        }
        if seen & allowed.once & id.bit() != 0 {
            return Err(DecodeError::PropertyTwice(packet, id));
        }
        seen |= id.bit();
        let value = id
            .take_value(&mut fields)
            .ok_or(DecodeError::PropertyMalformed(packet, id))?;
        let property =
            Property::parse(id, value).map_err(|fault| value_fault(packet, id, fault))?;
        // [MQTT-3.3.2-14] for PUBLISH; the same property of a will becomes one of a PUBLISH.
        if let Property::ResponseTopic(name) = property {
            topic::check_name(name).map_err(|_| DecodeError::ResponseTopic(packet))?;
        }
    }
    Ok(())
}

fn value_fault(packet: PacketType, id: PropertyId, fault: ValueFault) -> DecodeError {
    match (fault, id) {
        // [MQTT-3.3.2-8]
        (ValueFault::Range, PropertyId::TopicAlias) => DecodeError::TopicAliasZero,
        (ValueFault::Range, _) => DecodeError::PropertyValue(packet, id),
        (ValueFault::Layout, _) => DecodeError::PropertyMalformed(packet, id),
        (ValueFault::Text(fault), _) => DecodeError::text(packet, fault),
    }
}

#[cfg(test)]
mod tests;
