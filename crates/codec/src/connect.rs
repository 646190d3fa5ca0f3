//! CONNECT: the first packet of a client. It names the version that the rest of the connection speaks.
//!
//! A [`Connect`] from a decoder has consistent flags. Whether the client identifier may be empty, or is too long for 3.1,
//! is left to the broker, which answers with a CONNACK instead of closing at once.

use crate::{
    DecodeError, EncodeError, PacketType, Properties, PropertyId, Qos, TopicError, TopicName, Utf8,
    Version, properties::Allowed, reader::Reader, sink::Sink,
};
use bytes::Bytes;

/// A CONNECT packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version, from protocol name and level. [MQTT-3.1.2-1], [MQTT-3.1.2-2]
    pub version: Version,
    /// Clean Start; Clean Session in 3.x. [MQTT-3.1.2-4]
    pub clean_start: bool,
    /// The keep alive interval in seconds; 0 turns it off.
    pub keep_alive_seconds: u16,
    /// The client identifier, possibly empty. [MQTT-3.1.3-3]
    pub client_id: Utf8,
    /// The will, if there is one.
    pub will: Option<Will>,
    /// The user name.
    pub username: Option<Utf8>,
    /// The password: any bytes.
    pub password: Option<Bytes>,
    /// The properties, empty in 3.x.
    pub properties: Properties,
}

/// What the server publishes when the connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The topic to publish to. [MQTT-3.1.3-11]
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The QoS to publish with. [MQTT-3.1.2-12]
    pub qos: Qos,
    /// Whether the message is to be retained. [MQTT-3.1.2-14], [MQTT-3.1.2-15]
    pub retain: bool,
    /// The will properties, empty in 3.x.
    pub properties: Properties,
}

const CONNECT: Allowed = Allowed::new(
    PacketType::Connect,
    &[
        PropertyId::SessionExpiryInterval,
        PropertyId::ReceiveMaximum,
        PropertyId::MaximumPacketSize,
        PropertyId::TopicAliasMaximum,
        PropertyId::RequestResponseInformation,
        PropertyId::RequestProblemInformation,
        PropertyId::AuthenticationMethod,
        PropertyId::AuthenticationData,
    ],
);

const WILL: Allowed = Allowed::new(
    PacketType::Connect,
    &[
        PropertyId::WillDelayInterval,
        PropertyId::PayloadFormatIndicator,
        PropertyId::MessageExpiryInterval,
        PropertyId::ContentType,
        PropertyId::ResponseTopic,
        PropertyId::CorrelationData,
    ],
);

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL_FLAG: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl Connect {
    /// Decodes the body. `version` is set once it is known, before the rest is looked at.
    pub(crate) fn decode(
        mut reader: Reader,
        version: &mut Option<Version>,
    ) -> Result<Self, DecodeError> {
        let spoken = read_version(&mut reader)?;
        *version = Some(spoken);
        let flags = reader.u8()?;
        check_flags(flags, spoken)?;
        let keep_alive_seconds = reader.u16()?;
        let properties = if spoken.is_v5() {
            Properties::read(&mut reader, CONNECT)?
        } else {
            Properties::new()
        };
        check_authentication(&properties)?;
        // [MQTT-3.1.3-3], [MQTT-3.1.3-4]
        let client_id = reader.text()?;
        let will = if flags & WILL_FLAG == 0 {
            None
        } else {
            Some(Will::decode(&mut reader, flags, spoken)?)
        };
        // [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT-3.1.3-12], [MQTT3-3.1.2-18],
        // [MQTT3-3.1.2-19], [MQTT3-3.1.2-20], [MQTT3-3.1.2-21], [MQTT3-3.1.3-11]
        let username = if has(&reader, flags, USER_NAME, spoken) {
            Some(reader.text()?)
        } else {
            None
        };
        let password = if has(&reader, flags, PASSWORD, spoken) {
            Some(reader.binary()?)
        } else {
            None
        };
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self {
            version: spoken,
            clean_start,
            keep_alive_seconds,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.version != version {
            return Err(EncodeError::VersionMismatch);
        }
        let payload = self.will.as_ref().map(|will| &will.payload);
        for field in [self.password.as_ref(), payload].into_iter().flatten() {
            if u16::try_from(field.len()).is_err() {
                return Err(EncodeError::FieldTooLong(PacketType::Connect));
            }
        }
        if version.is_v5() {
            self.properties.check(CONNECT)?;
            check_authentication(&self.properties).map_err(EncodeError::Properties)?;
            return self
                .will
                .as_ref()
                .map_or(Ok(()), |will| will.properties.check(WILL));
        }
        // [MQTT3-3.1.2-22]
        if self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut impl Sink) {
        out.field(self.version.protocol_name().as_bytes());
        out.u8(self.version.level());
        out.u8(self.flags());
        out.u16(self.keep_alive_seconds);
        if self.version.is_v5() {
            out.properties(&self.properties);
        }
        // [MQTT-3.1.3-1] the order of the payload's fields
        out.field(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if self.version.is_v5() {
                out.properties(&will.properties);
            }
            out.field(will.topic.as_str().as_bytes());
            out.field(&will.payload);
        }
        if let Some(username) = &self.username {
            out.field(username.as_bytes());
        }
        if let Some(password) = &self.password {
            out.field(password);
        }
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            WILL_FLAG | (will.qos as u8) << 3 | flag(will.retain, WILL_RETAIN)
        });
        flag(self.clean_start, CLEAN_START)
            | will
            | flag(self.username.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }
}

impl Will {
    fn decode(reader: &mut Reader, flags: u8, version: Version) -> Result<Self, DecodeError> {
        let qos = Qos::try_from((flags & WILL_QOS) >> 3).map_err(|_| DecodeError::WillQos)?;
        let properties = if version.is_v5() {
            Properties::read(reader, WILL)?
        } else {
            Properties::new()
        };
        // [MQTT-3.1.2-9], [MQTT-3.1.3-11], [MQTT3-3.1.2-9], [MQTT3-3.1.3-10]; [MQTT-4.7.3-1]: it becomes a topic name.
        let topic = TopicName::try_from(reader.text()?).map_err(|fault| match fault {
            TopicError::Empty => DecodeError::WillTopicEmpty,
            _ => DecodeError::WillTopicWildcard,
        })?;
        let payload = reader.binary()?;
        Ok(Self {
            topic,
            payload,
            qos,
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2]
fn read_version(reader: &mut Reader) -> Result<Version, DecodeError> {
    let name = reader.binary()?;
    match (name.as_ref(), reader.u8()?) {
        (b"MQIsdp", 3) => Ok(Version::V3_1),
        (b"MQTT", 4) => Ok(Version::V3_1_1),
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT" | b"MQIsdp", level) => Err(DecodeError::UnsupportedProtocolVersion(level)),
        _ => Err(DecodeError::UnsupportedProtocolName),
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    // [MQTT-3.1.2-3]
    if flags & RESERVED != 0 {
        return Err(DecodeError::ConnectFlagReserved);
    }
    if flags & WILL_FLAG == 0 {
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT3-3.1.2-11], [MQTT3-3.1.2-13], [MQTT3-3.1.2-15]; 3.1 disregards both.
        if flags & (WILL_QOS | WILL_RETAIN) != 0 && version != Version::V3_1 {
            return Err(DecodeError::WillFlags);
        }
    } else if flags & WILL_QOS == WILL_QOS {
        // [MQTT-3.1.2-12], [MQTT3-3.1.2-14]
        return Err(DecodeError::WillQos);
    }
    // [MQTT3-3.1.2-22]; 5.0 allows a password alone.
    if flags & (PASSWORD | USER_NAME) == PASSWORD && !version.is_v5() {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(())
}

/// "It is a Protocol Error to include Authentication Data if there is no Authentication Method" (3.1.2.11.10).
fn check_authentication(properties: &Properties) -> Result<(), DecodeError> {
    if properties.authentication_data().is_some() && properties.authentication_method().is_none() {
        return Err(DecodeError::AuthenticationDataWithoutMethod);
    }
    Ok(())
}

/// Whether a field is there that a flag announces. In 3.1 the remaining length takes precedence over the flags of user
/// name and password, for the sake of clients older than those fields.
fn has(reader: &Reader, flags: u8, flag: u8, version: Version) -> bool {
    flags & flag != 0 && !(version == Version::V3_1 && reader.remaining() == 0)
}
