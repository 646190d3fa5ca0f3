//! PUBACK, PUBREC, PUBREL and PUBCOMP: the four packets that consist of a packet identifier and, in 5.0, a reason.
//!
//! 5.0 leaves out what says nothing: the reason code if it is 0x00 and there are no properties, the property length if
//! there are none. Both short forms are read, and written.

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyId, ReasonCode, Version,
    packet::Source, properties::Allowed, reader::Reader, sink::Sink,
};

/// The contents of a PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The identifier of the PUBLISH this belongs to. [MQTT-2.2.1-5]
    pub packet_id: PacketId,
    /// The outcome; always success in 3.x. [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]
    pub reason: ReasonCode,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

/// The PUBACKs at the front of what came, as far as they say nothing but which.
#[derive(Clone, Copy, Debug)]
pub struct PubAcks<'a>(pub(crate) &'a [u8]);

/// The size of one of them.
pub(crate) const PUBACK_BYTES: usize = 4;

impl PubAcks<'_> {
    pub(crate) fn is_empty(mut self) -> bool {
        self.next().is_none()
    }
}

impl Iterator for PubAcks<'_> {
    type Item = PacketId;

    #[inline]
    fn next(&mut self) -> Option<PacketId> {
        let (&[0x40, 2, high, low], rest) = self.0.split_first_chunk::<PUBACK_BYTES>()? else {
            return None;
        };
        self.0 = rest;
        PacketId::new(u16::from_be_bytes([high, low]))
    }
}

const fn allowed(packet: PacketType) -> Allowed {
    Allowed::new(packet, &[PropertyId::ReasonString])
}

impl Ack {
    /// A plain success.
    pub const fn success(packet_id: PacketId) -> Self {
        Self {
            packet_id,
            reason: ReasonCode::Success,
            properties: Properties::new(),
        }
    }

    #[inline]
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        if source.version.is_v5() && reader.remaining() > 0 {
            return Self::decode_reason(reader, packet_id, source);
        }
        reader.finish()?;
        Ok(Self::success(packet_id))
    }

    fn decode_reason(
        mut reader: Reader,
        packet_id: PacketId,
        source: Source,
    ) -> Result<Self, DecodeError> {
        let packet = reader.packet();
        let reason = read_reason(&mut reader, source)?;
        let properties = match reader.remaining() {
            0 => Properties::new(),
            _ => Properties::read(&mut reader, allowed(packet))?,
        };
        reader.finish()?;
        Ok(Self {
            packet_id,
            reason,
            properties,
        })
    }

    pub(crate) fn check(&self, packet: PacketType, version: Version) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Ok(());
        }
        if !self.reason.allowed_in(packet, true) {
            return Err(EncodeError::ReasonCode(packet, self.reason));
        }
        self.properties.check(allowed(packet))
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        out.u16(self.packet_id.get());
        if version.is_v5() {
            write_reason(self.reason, &self.properties, out);
        }
    }
}

/// Reads a reason code that this packet may carry in this direction.
pub(crate) fn read_reason(reader: &mut Reader, source: Source) -> Result<ReasonCode, DecodeError> {
    let (packet, byte) = (reader.packet(), reader.u8()?);
    ReasonCode::from_u8(byte)
        .filter(|reason| reason.allowed_in(packet, source.from_server))
        .ok_or(DecodeError::ReasonCode(packet, byte))
}

/// Writes reason code and properties as shortly as 5.0 allows it for an acknowledgement or a DISCONNECT.
pub(crate) fn write_reason(reason: ReasonCode, properties: &Properties, out: &mut impl Sink) {
    if properties.is_empty() {
        if reason != ReasonCode::Success {
            out.u8(reason as u8);
        }
        return;
    }
    out.u8(reason as u8);
    out.properties(properties);
}
