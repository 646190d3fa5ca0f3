//! The faults of received bytes, and of packets that can't be written.
//!
//! One variant per fault, without strings, so that a test can assert on exactly one of them and a log can count them.
//! Every [`DecodeError`] has the reason code that a DISCONNECT (or CONNACK) answers it with. "Malformed" is what can't be
//! parsed, "protocol error" what parses and is not allowed; the split follows the specification where it says so.

use crate::{PacketType, PropertyId, ReasonCode, StringError, Version};
use core::fmt;

/// Why received bytes are not a packet that may be received here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The packet type is 0, or 15 before MQTT 5.0. (section 2.1.2)
    ReservedPacketType(u8),
    /// The flags of the fixed header are not the ones the specification fixes for this packet type. [MQTT-2.1.3-1]
    FixedHeaderFlags(PacketType),
    /// The remaining length takes more than four bytes, or more than it needs. [MQTT-1.5.5-1]
    RemainingLength,
    /// The packet is larger than the receiver accepts. [MQTT-3.2.2-15]
    PacketTooLarge,
    /// The first packet of a client is not CONNECT. [MQTT-3.1.0-1]
    ConnectExpected(PacketType),
    /// A client sent a second CONNECT. [MQTT-3.1.0-2]
    SecondConnect,
    /// A packet that this side sends and never receives, or one the version does not have in this direction.
    UnexpectedPacket(PacketType),
    /// A field runs past the end of the packet.
    FieldPastEnd(PacketType),
    /// Bytes are left after the last field of the packet.
    TrailingBytes(PacketType),
    /// A string is not well-formed UTF-8. [MQTT-1.5.4-1]
    NotUtf8(PacketType),
    /// A string contains U+0000. [MQTT-1.5.4-2]
    NulInString(PacketType),
    /// The packet identifier is 0. [MQTT-2.2.1-3]
    PacketIdZero(PacketType),
    /// A PUBLISH with both QoS bits set. [MQTT-3.3.1-4]
    PublishQos,
    /// A PUBLISH of QoS 0 with the DUP flag. [MQTT-3.3.1-2]
    DupWithoutQos,
    /// A PUBLISH with an empty topic name and no topic alias. [MQTT-4.7.3-1]
    TopicNameEmpty,
    /// A PUBLISH whose topic name contains a wildcard. [MQTT-3.3.2-2]
    TopicNameWildcard,
    /// A PUBLISH of a client with a subscription identifier. [MQTT-3.3.4-6]
    SubscriptionIdentifierFromClient,
    /// The protocol name is neither `MQTT` nor `MQIsdp`. [MQTT-3.1.2-1]
    UnsupportedProtocolName,
    /// The protocol level, which this carries, is not 3 of `MQIsdp` nor 4 or 5 of `MQTT`. [MQTT-3.1.2-2]
    UnsupportedProtocolVersion(u8),
    /// The reserved connect flag is set. [MQTT-3.1.2-3]
    ConnectFlagReserved,
    /// Will QoS or Will Retain without the Will Flag. [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    WillFlags,
    /// Will QoS is 3. [MQTT-3.1.2-12]
    WillQos,
    /// The will topic is empty. [MQTT-4.7.3-1]
    WillTopicEmpty,
    /// The will topic contains a wildcard.
    WillTopicWildcard,
    /// A password without a user name, which 5.0 allows and 3.x does not. [MQTT3-3.1.2-22]
    PasswordWithoutUserName,
    /// A bit other than Session Present in the CONNACK flags. [MQTT-3.2.2-1]
    ConnAckFlags,
    /// Session Present in a CONNACK that refuses. [MQTT-3.2.2-6]
    SessionPresentInRefusal,
    /// The byte is not a reason code that this packet may carry in this direction.
    ReasonCode(PacketType, u8),
    /// A SUBSCRIBE or UNSUBSCRIBE without a topic filter. [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    NoFilters(PacketType),
    /// A SUBACK or UNSUBACK without a reason code. [MQTT-3.8.4-6]
    NoReasonCodes(PacketType),
    /// Reserved bits of the subscription options are set. [MQTT-3.8.3-5], [MQTT3-3.8.3-4]
    SubscriptionOptions,
    /// A subscription asks for QoS 3.
    SubscriptionQos,
    /// Retain Handling is 3.
    RetainHandling,
    /// No Local on a shared subscription. [MQTT-3.8.3-4]
    NoLocalOnSharedSubscription,
    /// The property length is malformed, or the properties run past the end of the packet.
    PropertyLength(PacketType),
    /// No property has this identifier.
    PropertyUnknown(PacketType, u8),
    /// The property is not one of this packet.
    PropertyNotAllowed(PacketType, PropertyId),
    /// The value of the property runs past the end of the properties, or is malformed.
    PropertyMalformed(PacketType, PropertyId),
    /// The property is given twice.
    PropertyTwice(PacketType, PropertyId),
    /// The value of the property is outside its range.
    PropertyValue(PacketType, PropertyId),
    /// A topic alias of 0. [MQTT-3.3.2-8]
    TopicAliasZero,
    /// The response topic is empty or contains a wildcard. [MQTT-3.3.2-14]
    ResponseTopic(PacketType),
    /// Authentication data without an authentication method.
    AuthenticationDataWithoutMethod,
    /// An AUTH without an authentication method.
    AuthenticationMethodMissing,
    /// A DISCONNECT of a server with a session expiry interval. [MQTT-3.14.2-2]
    SessionExpiryFromServer,
}

impl DecodeError {
    /// The reason code that answers this fault.
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::PacketTooLarge => ReasonCode::PacketTooLarge,
            Self::UnsupportedProtocolName | Self::UnsupportedProtocolVersion(_) => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid,
            Self::ConnectExpected(_)
            | Self::SecondConnect
            | Self::UnexpectedPacket(_)
            | Self::PacketIdZero(_)
            | Self::TopicNameEmpty
            | Self::SubscriptionIdentifierFromClient
            | Self::SessionPresentInRefusal
            | Self::NoFilters(_)
            | Self::NoReasonCodes(_)
            | Self::SubscriptionQos
            | Self::RetainHandling
            | Self::NoLocalOnSharedSubscription
            | Self::PropertyTwice(..)
            | Self::PropertyValue(..)
            | Self::ResponseTopic(_)
            | Self::AuthenticationDataWithoutMethod
            | Self::AuthenticationMethodMissing
            | Self::SessionExpiryFromServer => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }

    /// The fault of a string in `packet`.
    pub(crate) const fn text(packet: PacketType, fault: StringError) -> Self {
        match fault {
            StringError::NotUtf8 => Self::NotUtf8(packet),
            StringError::Nul => Self::NulInString(packet),
            StringError::TooLong => Self::FieldPastEnd(packet),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedPacketType(value) => write!(f, "packet type {value} is reserved"),
            Self::RemainingLength => f.write_str("remaining length is malformed"),
            Self::PacketTooLarge => f.write_str("packet is larger than allowed"),
            Self::ConnectExpected(packet) => {
                write!(f, "{packet}: the first packet must be CONNECT")
            }
            Self::UnsupportedProtocolVersion(level) => {
                write!(f, "CONNECT: protocol level {level} is not supported")
            }
            Self::ReasonCode(packet, value) => {
                write!(f, "{packet}: 0x{value:02x} is not one of its reason codes")
            }
            Self::PropertyUnknown(packet, id) => {
                write!(f, "{packet}: no property has the identifier {id}")
            }
            Self::PropertyNotAllowed(packet, id) => {
                write!(f, "{packet}: {id} is not a property of this packet")
            }
            Self::PropertyMalformed(packet, id) => write!(
                f,
                "{packet}: {id} is malformed or runs past the properties' end"
            ),
            Self::PropertyTwice(packet, id) => write!(f, "{packet}: {id} is given twice"),
            Self::PropertyValue(packet, id) => {
                write!(f, "{packet}: {id} has a value outside its range")
            }
            other => {
                let (packet, fault) = other.plain();
                write!(f, "{packet}: {fault}")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

impl DecodeError {
    /// Packet and text of the faults that carry nothing but their packet.
    const fn plain(self) -> (PacketType, &'static str) {
        use PacketType::{Auth, ConnAck, Connect, Disconnect, Publish, Subscribe};
        match self {
            Self::FixedHeaderFlags(packet) => {
                (packet, "reserved flags of the fixed header are wrong")
            }
            Self::SecondConnect => (Connect, "sent a second time"),
            Self::UnexpectedPacket(packet) => (packet, "not a packet that this side receives"),
            Self::FieldPastEnd(packet) => (packet, "a field runs past the end of the packet"),
            Self::TrailingBytes(packet) => (packet, "bytes are left after the last field"),
            Self::NotUtf8(packet) => (packet, "a string is not well-formed UTF-8"),
            Self::NulInString(packet) => (packet, "a string contains U+0000"),
            Self::PacketIdZero(packet) => (packet, "packet identifier is 0"),
            Self::PublishQos => (Publish, "QoS is 3"),
            Self::DupWithoutQos => (Publish, "DUP is set with QoS 0"),
            Self::TopicNameEmpty => (Publish, "topic name is empty and there is no topic alias"),
            Self::TopicNameWildcard => (Publish, "topic name contains a wildcard"),
            Self::SubscriptionIdentifierFromClient => {
                (Publish, "a client sent a subscription identifier")
            }
            Self::UnsupportedProtocolName => (Connect, "protocol name is not MQTT"),
            Self::ConnectFlagReserved => (Connect, "the reserved connect flag is set"),
            Self::WillFlags => (Connect, "will QoS or will retain is set without a will"),
            Self::WillQos => (Connect, "will QoS is 3"),
            Self::WillTopicEmpty => (Connect, "will topic is empty"),
            Self::WillTopicWildcard => (Connect, "will topic contains a wildcard"),
            Self::PasswordWithoutUserName => (Connect, "password without a user name"),
            Self::ConnAckFlags => (ConnAck, "reserved acknowledge flags are set"),
            Self::SessionPresentInRefusal => (ConnAck, "session present although refused"),
            Self::NoFilters(packet) => (packet, "no topic filter"),
            Self::NoReasonCodes(packet) => (packet, "no reason code"),
            Self::SubscriptionOptions => (Subscribe, "reserved subscription options are set"),
            Self::SubscriptionQos => (Subscribe, "QoS is 3"),
            Self::RetainHandling => (Subscribe, "retain handling is 3"),
            Self::NoLocalOnSharedSubscription => (Subscribe, "no local on a shared subscription"),
            Self::PropertyLength(packet) => (
                packet,
                "property length is malformed or past the end of the packet",
            ),
            Self::TopicAliasZero => (Publish, "topic alias is 0"),
            Self::ResponseTopic(packet) => {
                (packet, "response topic is empty or contains a wildcard")
            }
            Self::AuthenticationDataWithoutMethod => {
                (Connect, "authentication data without a method")
            }
            Self::AuthenticationMethodMissing => (Auth, "authentication method is missing"),
            Self::SessionExpiryFromServer => {
                (Disconnect, "a server sent a session expiry interval")
            }
            // The variants with values are written by `Display` itself.
            _ => (Publish, "malformed"),
        }
    }
}

/// Why a packet can't be written. Nothing has been written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The remaining length would be above 268,435,455.
    PacketTooLong,
    /// A field with a 16-bit length is longer than 65,535 bytes.
    FieldTooLong(PacketType),
    /// The version does not have this packet.
    NotInVersion(PacketType, Version),
    /// A CONNECT names its own version, and it is another than the connection's.
    VersionMismatch,
    /// A PUBLISH has neither a topic name nor a topic alias. [MQTT-4.7.3-1]
    TopicMissing,
    /// A PUBLISH of QoS 0 with DUP. [MQTT-3.3.1-2]
    DupWithoutQos,
    /// A password without a user name in 3.x. [MQTT3-3.1.2-22]
    PasswordWithoutUserName,
    /// A SUBSCRIBE or UNSUBSCRIBE without a topic filter. [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    NoFilters(PacketType),
    /// A SUBACK or UNSUBACK without a reason code.
    NoReasonCodes(PacketType),
    /// The packet may not carry this reason code.
    ReasonCode(PacketType, ReasonCode),
    /// The properties would be refused by a receiver, and how.
    Properties(DecodeError),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PacketTooLong => f.write_str("packet is longer than a remaining length can say"),
            Self::FieldTooLong(packet) => {
                write!(f, "{packet}: a field is longer than 65,535 bytes")
            }
            Self::NotInVersion(packet, version) => write!(f, "{packet}: not in MQTT {version}"),
            Self::VersionMismatch => f.write_str("CONNECT: of another version than the connection"),
            Self::TopicMissing => f.write_str("PUBLISH: neither a topic name nor a topic alias"),
            Self::DupWithoutQos => f.write_str("PUBLISH: DUP is set with QoS 0"),
            Self::PasswordWithoutUserName => f.write_str("CONNECT: password without a user name"),
            Self::NoFilters(packet) => write!(f, "{packet}: no topic filter"),
            Self::NoReasonCodes(packet) => write!(f, "{packet}: no reason code"),
            Self::ReasonCode(packet, reason) => write!(f, "{packet}: may not carry \"{reason}\""),
            Self::Properties(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for EncodeError {}
