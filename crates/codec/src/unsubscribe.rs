//! UNSUBSCRIBE and UNSUBACK.
//!
//! As with SUBSCRIBE, the list of filters stays as it was encoded, and a bad filter is a result of its own. An
//! UNSUBACK of
//! 3.x says nothing but its packet identifier.

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, ReasonCode, TopicError,
    TopicFilter, Version,
    packet::Source,
    properties::Allowed,
    reader::{Fields, Reader},
    sink::Sink,
    subscribe::{check_reasons, parse_filter, read_reasons},
    utf8,
};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;

/// An UNSUBSCRIBE packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The identifier that the UNSUBACK repeats. [MQTT-3.10.4-5]
    pub packet_id: PacketId,
    /// What to unsubscribe from. [MQTT-3.10.3-2]
    pub filters: UnsubscribeFilters,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

const UNSUBSCRIBE: Allowed = Allowed::new(PacketType::Unsubscribe, &[]);
const UNSUBACK: Allowed = Allowed::new(PacketType::UnsubAck, &[crate::PropertyId::ReasonString]);

impl Unsubscribe {
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = match source.version {
            Version::V5 => Properties::read(&mut reader, UNSUBSCRIBE)?,
            Version::V3_1 | Version::V3_1_1 => Properties::new(),
        };
        let filters = UnsubscribeFilters::decode(reader.rest())?;
        Ok(Self {
            packet_id,
            filters,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NoFilters(PacketType::Unsubscribe));
        }
        if version.is_v5() {
            self.properties.check(UNSUBSCRIBE)
        } else {
            Ok(())
        }
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.u16(self.packet_id.get());
        if version.is_v5() {
            out.properties(&self.properties);
        }
        out.put(&self.filters.encoded);
    }
}

/// The filters of an UNSUBSCRIBE: never none in a packet that was decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsubscribeFilters {
    encoded: Bytes,
    count: usize,
}

impl UnsubscribeFilters {
    /// Encodes a list of filters. They need not be good ones: what is wrong with a wildcard or a share name shows in
    /// [`Self::iter`].
    ///
    /// # Errors
    /// A text that is not a UTF-8 Encoded String.
    pub fn new<S: AsRef<str>>(filters: impl IntoIterator<Item = S>) -> Result<Self, TopicError> {
        let mut encoded = BytesMut::new();
        let mut count = 0;
        for filter in filters {
            encoded.field(utf8::text(filter.as_ref().as_bytes())?.as_bytes());
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

    /// Each filter, or what is wrong with it, in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<TopicFilter, TopicError>> {
        let mut fields = Fields(&self.encoded);
        core::iter::from_fn(move || Some(parse_filter(&self.encoded, fields.binary()?)))
    }

    fn decode(encoded: Bytes) -> Result<Self, DecodeError> {
        let packet = PacketType::Unsubscribe;
        let mut fields = Fields(&encoded);
        let mut count = 0;
        while !fields.is_empty() {
            // [MQTT-3.10.3-1]
            fields.text(packet)?;
            count += 1;
        }
        // [MQTT-3.10.3-2]
        if count == 0 {
            Err(DecodeError::NoFilters(packet))
        } else {
            Ok(Self { encoded, count })
        }
    }
}

impl fmt::Debug for UnsubscribeFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An UNSUBACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// The identifier of the UNSUBSCRIBE. [MQTT-3.10.4-5]
    pub packet_id: PacketId,
    /// One answer for each filter, in order [MQTT-3.11.3-1]; none in 3.x.
    pub reasons: Vec<ReasonCode>,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

impl UnsubAck {
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let packet = reader.packet();
        let packet_id = reader.packet_id()?;
        if !source.version.is_v5() {
            reader.finish()?;
            return Ok(Self {
                packet_id,
                reasons: Vec::new(),
                properties: Properties::new(),
            });
        }
        let properties = Properties::read(&mut reader, UNSUBACK)?;
        // [MQTT-3.11.3-2]
        let known =
            |byte| ReasonCode::from_u8(byte).filter(|reason| reason.allowed_in(packet, true));
        let reasons = read_reasons(&reader.rest(), packet, known)?;
        Ok(Self {
            packet_id,
            reasons,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Ok(());
        }
        check_reasons(&self.reasons, PacketType::UnsubAck)?;
        self.properties.check(UNSUBACK)
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.u16(self.packet_id.get());
        if version.is_v5() {
            out.properties(&self.properties);
            for &reason in &self.reasons {
                out.u8(reason as u8);
            }
        }
    }
}
