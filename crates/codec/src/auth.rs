//! AUTH: one step of an extended authentication, in 5.0 only.
//!
//! An authentication method must be given [MQTT-4.12.0-5], except in the empty form with a remaining length of 0,
//! which the specification defines as success.

use crate::{
    DecodeError, EncodeError, PacketType, Properties, PropertyId, ReasonCode, Version,
    ack::read_reason, packet::Source, properties::Allowed, reader::Reader, sink::Sink,
};

/// An AUTH packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Which step this is. [MQTT-3.15.2-1]
    pub reason: ReasonCode,
    /// The properties: an authentication method, data, a reason string.
    pub properties: Properties,
}

const AUTH: Allowed = Allowed::new(
    PacketType::Auth,
    &[
        PropertyId::AuthenticationMethod,
        PropertyId::AuthenticationData,
        PropertyId::ReasonString,
    ],
);

impl Auth {
    pub(crate) fn decode(reader: &mut Reader, source: Source) -> Result<Self, DecodeError> {
        if reader.remaining() == 0 {
            return Ok(Self {
                reason: ReasonCode::Success,
                properties: Properties::new(),
            });
        }
        // [MQTT-3.15.2-1]
        let reason = read_reason(reader, source)?;
        let properties = match reader.remaining() {
            0 => Properties::new(),
            _ => Properties::read(reader, AUTH)?,
        };
        reader.finish()?;
        let auth = Self { reason, properties };
        if auth.lacks_method() {
            Err(DecodeError::AuthenticationMethodMissing)
        } else {
            Ok(auth)
        }
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::NotInVersion(PacketType::Auth, version));
        }
        let packet = PacketType::Auth;
        if !self.reason.allowed_in(packet, true) && !self.reason.allowed_in(packet, false) {
            return Err(EncodeError::ReasonCode(packet, self.reason));
        }
        if self.lacks_method() {
            return Err(EncodeError::Properties(
                DecodeError::AuthenticationMethodMissing,
            ));
        }
        self.properties.check(AUTH)
    }

    pub(crate) fn write(&self, out: &mut impl Sink) {
        if self.reason != ReasonCode::Success || !self.properties.is_empty() {
            out.u8(self.reason as u8);
            out.properties(&self.properties);
        }
    }

    /// Whether the method is missing although this is not the empty form.
    fn lacks_method(&self) -> bool {
        let empty_form = self.reason == ReasonCode::Success && self.properties.is_empty();
        !empty_form && self.properties.authentication_method().is_none()
    }
}
