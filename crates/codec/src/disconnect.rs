//! DISCONNECT: the last packet of a connection, with the reason in 5.0.
//!
//! Before 5.0 only a client sends it, and it is empty. In 5.0 a remaining length of 0 means a normal disconnection, and a
//! remaining length of 1 a reason without properties.

use crate::{
    DecodeError, EncodeError, PacketType, Properties, PropertyId, ReasonCode, Version,
    ack::{read_reason, write_reason},
    packet::Source,
    properties::Allowed,
    reader::Reader,
    sink::Sink,
};

/// A DISCONNECT packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why the connection ends; always success in 3.x. [MQTT-3.14.2-1]
    pub reason: ReasonCode,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

const DISCONNECT: Allowed = Allowed::new(
    PacketType::Disconnect,
    &[
        PropertyId::SessionExpiryInterval,
        PropertyId::ReasonString,
        PropertyId::ServerReference,
    ],
);

impl Disconnect {
    pub(crate) fn decode(reader: &mut Reader, source: Source) -> Result<Self, DecodeError> {
        let mut packet = Self {
            reason: ReasonCode::Success,
            properties: Properties::new(),
        };
        if source.version.is_v5() {
            // [MQTT-3.14.2-1]
            if reader.remaining() > 0 {
                packet.reason = read_reason(reader, source)?;
            }
            if reader.remaining() > 0 {
                packet.properties = Properties::read(reader, DISCONNECT)?;
            }
            // [MQTT-3.14.2-2]
            if source.from_server && packet.properties.session_expiry_interval().is_some() {
                return Err(DecodeError::SessionExpiryFromServer);
            }
        }
        reader.finish()?;
        Ok(packet)
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Ok(());
        }
        let packet = PacketType::Disconnect;
        if !self.reason.allowed_in(packet, true) && !self.reason.allowed_in(packet, false) {
            return Err(EncodeError::ReasonCode(packet, self.reason));
        }
        self.properties.check(DISCONNECT)
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        if version.is_v5() {
            write_reason(self.reason, &self.properties, out);
        }
    }
}
