//! SUBSCRIBE and SUBACK.
//!
//! The list of filters stays as it was encoded. Its shape is validated when the packet is decoded: every filter is a
//! string, every option in range. Whether a filter is a good one is told filter by filter, because the answer to a
//! bad one is a reason code in the SUBACK and not the end of the connection.

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyId, Qos, ReasonCode,
    TopicError, TopicFilter, Utf8, Version,
    packet::Source,
    properties::Allowed,
    reader::{Fields, Reader},
    sink::Sink,
    utf8,
};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;

/// A SUBSCRIBE packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The identifier that the SUBACK repeats. [MQTT-3.8.4-2]
    pub packet_id: PacketId,
    /// What to subscribe to. [MQTT-3.8.3-2]
    pub filters: SubscribeFilters,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

const SUBSCRIBE: Allowed =
    Allowed::new(PacketType::Subscribe, &[PropertyId::SubscriptionIdentifier]);
const SUBACK: Allowed = Allowed::new(PacketType::SubAck, &[PropertyId::ReasonString]);

impl Subscribe {
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = match source.version {
            Version::V5 => Properties::read(&mut reader, SUBSCRIBE)?,
            Version::V3_1 | Version::V3_1_1 => Properties::new(),
        };
        let filters = SubscribeFilters::decode(reader.rest(), source.version)?;
        Ok(Self {
            packet_id,
            filters,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NoFilters(PacketType::Subscribe));
        }
        if version.is_v5() {
            self.properties.check(SUBSCRIBE)
        } else {
            Ok(())
        }
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.u16(self.packet_id.get());
        if version.is_v5() {
            out.properties(&self.properties);
        }
        for (filter, options) in self.filters.entries() {
            out.field(filter);
            // 3.x has the QoS only.
            out.u8(if version.is_v5() {
                options
            } else {
                options & 0b11
            });
        }
    }
}

/// The filters of a SUBSCRIBE with their options: never none in a packet that was decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct SubscribeFilters {
    encoded: Bytes,
    count: usize,
}

impl SubscribeFilters {
    /// Encodes a list of filters. They need not be good ones: what is wrong with a wildcard or a share name shows in
    /// [`Self::iter`].
    ///
    /// # Errors
    /// A text that is not a UTF-8 Encoded String.
    pub fn new<S: AsRef<str>>(
        filters: impl IntoIterator<Item = (S, SubscriptionOptions)>,
    ) -> Result<Self, TopicError> {
        let mut encoded = BytesMut::new();
        let mut count = 0;
        for (filter, options) in filters {
            encoded.field(utf8::text(filter.as_ref().as_bytes())?.as_bytes());
            encoded.u8(options.encoded());
            count += 1;
        }
        Ok(Self {
            encoded: encoded.freeze(),
            count,
        })
    }

    /// The number of filters.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each filter, or what is wrong with it, and its options; in the order in which the SUBACK answers [MQTT-3.9.3-1].
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = (Result<TopicFilter, TopicError>, SubscriptionOptions)> {
        self.entries().map(|(filter, options)| {
            let options = SubscriptionOptions::decode(options, Version::V5).unwrap_or_default();
            (parse_filter(&self.encoded, filter), options)
        })
    }

    fn decode(encoded: Bytes, version: Version) -> Result<Self, DecodeError> {
        let packet = PacketType::Subscribe;
        let mut fields = Fields(&encoded);
        let mut count = 0;
        while !fields.is_empty() {
            // [MQTT-3.8.3-1]
            let filter = fields.text(packet)?;
            let options = fields.u8().ok_or(DecodeError::FieldPastEnd(packet))?;
            let options = SubscriptionOptions::decode(options, version)?;
            // [MQTT-3.8.3-4]
            if options.no_local && filter.starts_with("$share/") {
                return Err(DecodeError::NoLocalOnSharedSubscription);
            }
            count += 1;
        }
        // [MQTT-3.8.3-2], [MQTT3-3.8.3-3]
        if count == 0 {
            Err(DecodeError::NoFilters(packet))
        } else {
            Ok(Self { encoded, count })
        }
    }

    /// The encoded filters and options.
    fn entries(&self) -> impl Iterator<Item = (&[u8], u8)> {
        let mut fields = Fields(&self.encoded);
        core::iter::from_fn(move || Some((fields.binary()?, fields.u8()?)))
    }
}

impl fmt::Debug for SubscribeFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The filter at `part`, a piece of `encoded`, which it shares.
pub(crate) fn parse_filter(encoded: &Bytes, part: &[u8]) -> Result<TopicFilter, TopicError> {
    TopicFilter::parse(Utf8::try_from(encoded.slice_ref(part))?)
}

/// How a subscription wants its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: Qos,
    /// Whether the subscriber's own messages are left out. [MQTT-3.8.3-3]
    pub no_local: bool,
    /// Whether the RETAIN flag is kept as published. [MQTT-3.3.1-13]
    pub retain_as_published: bool,
    /// When retained messages are sent. [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options byte of a SUBSCRIBE.
    fn encoded(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    fn decode(byte: u8, version: Version) -> Result<Self, DecodeError> {
        // [MQTT-3.8.3-5]; [MQTT3-3.8.3-4] reserves everything but the QoS.
        let reserved = if version.is_v5() {
            0b1100_0000
        } else {
            0b1111_1100
        };
        if byte & reserved != 0 {
            return Err(DecodeError::SubscriptionOptions);
        }
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling),
        };
        Ok(Self {
            qos: Qos::try_from(byte & 0b11).map_err(|_| DecodeError::SubscriptionQos)?,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }
}

impl From<Qos> for SubscriptionOptions {
    fn from(qos: Qos) -> Self {
        Self {
            qos,
            ..Self::default()
        }
    }
}

/// When a subscription gets the retained messages that match it.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// At every SUBSCRIBE. [MQTT-3.3.1-9]
    #[default]
    SendAtSubscribe = 0,
    /// Only if the subscription did not exist. [MQTT-3.3.1-10]
    SendIfNew = 1,
    /// Never. [MQTT-3.3.1-11]
    DoNotSend = 2,
}

/// A SUBACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The identifier of the SUBSCRIBE. [MQTT-3.8.4-2]
    pub packet_id: PacketId,
    /// One answer for each filter [MQTT-3.8.4-6], in order [MQTT-3.9.3-1]; in 3.x every error is written as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

impl SubAck {
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let packet = reader.packet();
        let packet_id = reader.packet_id()?;
        let properties = if source.version.is_v5() {
            Properties::read(&mut reader, SUBACK)?
        } else {
            Properties::new()
        };
        let known = |byte: u8| {
            // [MQTT3-3.9.3-2]
            ReasonCode::from_u8(byte)
                .filter(|reason| reason.allowed_in(packet, true))
                .filter(|_| source.version.is_v5() || matches!(byte, 0..=2 | 0x80))
        };
        let reasons = read_reasons(&reader.rest(), packet, known)?;
        Ok(Self {
            packet_id,
            reasons,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        check_reasons(&self.reasons, PacketType::SubAck)?;
        if version.is_v5() {
            self.properties.check(SUBACK)
        } else {
            Ok(())
        }
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.u16(self.packet_id.get());
        if version.is_v5() {
            out.properties(&self.properties);
        }
        for reason in &self.reasons {
            out.u8(reason.suback_byte(version));
        }
    }
}

/// The reason codes that fill the rest of a SUBACK or UNSUBACK. [MQTT-3.8.4-6], [MQTT3-3.8.4-5]
pub(crate) fn read_reasons(
    bytes: &[u8],
    packet: PacketType,
    known: impl Fn(u8) -> Option<ReasonCode>,
) -> Result<Vec<ReasonCode>, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::NoReasonCodes(packet));
    }
    bytes
        .iter()
        .map(|&byte| known(byte).ok_or(DecodeError::ReasonCode(packet, byte)))
        .collect()
}

/// Checks the reason codes of a SUBACK or UNSUBACK to be written.
pub(crate) fn check_reasons(reasons: &[ReasonCode], packet: PacketType) -> Result<(), EncodeError> {
    if reasons.is_empty() {
        return Err(EncodeError::NoReasonCodes(packet));
    }
    match reasons
        .iter()
        .find(|reason| !reason.allowed_in(packet, true))
    {
        Some(&reason) => Err(EncodeError::ReasonCode(packet, reason)),
        None => Ok(()),
    }
}
