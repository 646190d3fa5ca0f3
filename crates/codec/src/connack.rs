//! CONNACK: the server's answer to CONNECT.
//!
//! In 3.x a return code of six values stands where 5.0 has a reason code; the two are translated here, so that the
//! rest of the broker knows reason codes only.

use crate::{
    DecodeError, EncodeError, PacketType, Properties, PropertyId, ReasonCode, Version,
    packet::Source, properties::Allowed, reader::Reader, sink::Sink,
};

/// A CONNACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server goes on with a session it has. [MQTT-3.2.2-2], [MQTT-3.2.2-3]; not in 3.1.
    pub session_present: bool,
    /// Whether the connection is accepted; a return code in 3.x. [MQTT-3.2.2-8]
    pub reason: ReasonCode,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

const CONNACK: Allowed = Allowed::new(
    PacketType::ConnAck,
    &[
        PropertyId::SessionExpiryInterval,
        PropertyId::ReceiveMaximum,
        PropertyId::MaximumQos,
        PropertyId::RetainAvailable,
        PropertyId::MaximumPacketSize,
        PropertyId::AssignedClientIdentifier,
        PropertyId::TopicAliasMaximum,
        PropertyId::ReasonString,
        PropertyId::WildcardSubscriptionAvailable,
        PropertyId::SubscriptionIdentifiersAvailable,
        PropertyId::SharedSubscriptionAvailable,
        PropertyId::ServerKeepAlive,
        PropertyId::ResponseInformation,
        PropertyId::ServerReference,
        PropertyId::AuthenticationMethod,
        PropertyId::AuthenticationData,
    ],
);

impl ConnAck {
    pub(crate) fn decode(mut reader: Reader, source: Source) -> Result<Self, DecodeError> {
        let session_present = read_flags(reader.u8()?, source.version)?;
        let code = reader.u8()?;
        let reason = if source.version.is_v5() {
            ReasonCode::from_u8(code).filter(|reason| reason.allowed_in(PacketType::ConnAck, true))
        } else {
            ReasonCode::from_connack_return_code(code)
        };
        // [MQTT-3.2.2-8]
        let reason = reason.ok_or(DecodeError::ReasonCode(PacketType::ConnAck, code))?;
        // [MQTT-3.2.2-6], [MQTT3-3.2.2-4]
        if session_present && reason.is_error() {
            return Err(DecodeError::SessionPresentInRefusal);
        }
        let properties = if source.version.is_v5() {
            Properties::read(&mut reader, CONNACK)?
        } else {
            Properties::new()
        };
        reader.finish()?;
        Ok(Self {
            session_present,
            reason,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Ok(());
        }
        if !self.reason.allowed_in(PacketType::ConnAck, true) {
            return Err(EncodeError::ReasonCode(PacketType::ConnAck, self.reason));
        }
        self.properties.check(CONNACK)
    }

    pub(crate) fn write(&self, version: Version, out: &mut impl Sink) {
        // [MQTT-3.2.2-6] a refusal never has a session; 3.1 has no such flag.
        let session_present =
            self.session_present && !self.reason.is_error() && version != Version::V3_1;
        out.u8(u8::from(session_present));
        if version.is_v5() {
            out.u8(self.reason as u8);
            out.properties(&self.properties);
        } else {
            out.u8(self.reason.connack_return_code());
        }
    }
}

/// Session Present from the acknowledge flags. [MQTT-3.2.2-1]
fn read_flags(flags: u8, version: Version) -> Result<bool, DecodeError> {
    match flags {
        // In 3.1 the byte is reserved and not used.
        _ if version == Version::V3_1 => Ok(false),
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::ConnAckFlags),
    }
}
