//! Reason codes: the one-byte answers of MQTT 5.0, and their mapping to the return codes of 3.x.
//!
//! A byte has one name here although the specification gives 0x00 three ("Success", "Normal disconnection", "Granted
//! QoS 0"). Which codes a packet may carry is decided by [`ReasonCode::allowed_in`]. Values from 0x80 are failures.

use crate::{PacketType, Version};
use core::fmt;

macro_rules! reason_codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        /// A reason code of MQTT 5.0, with the specification's name.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(clippy::doc_markdown)]
        pub enum ReasonCode {
            $(#[doc = $text] $name = $value,)*
        }

        impl ReasonCode {
            /// All reason codes, by value.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason code of this byte, if the specification defines one.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The specification's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success";
    GrantedQos1 = 0x01, "Granted QoS 1";
    GrantedQos2 = 0x02, "Granted QoS 2";
    DisconnectWithWillMessage = 0x04, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    NoSubscriptionExisted = 0x11, "No subscription existed";
    ContinueAuthentication = 0x18, "Continue authentication";
    ReAuthenticate = 0x19, "Re-authenticate";
    UnspecifiedError = 0x80, "Unspecified error";
    MalformedPacket = 0x81, "Malformed Packet";
    ProtocolError = 0x82, "Protocol Error";
    ImplementationSpecificError = 0x83, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    NotAuthorized = 0x87, "Not authorized";
    ServerUnavailable = 0x88, "Server unavailable";
    ServerBusy = 0x89, "Server busy";
    Banned = 0x8a, "Banned";
    ServerShuttingDown = 0x8b, "Server shutting down";
    BadAuthenticationMethod = 0x8c, "Bad authentication method";
    KeepAliveTimeout = 0x8d, "Keep Alive timeout";
    SessionTakenOver = 0x8e, "Session taken over";
    TopicFilterInvalid = 0x8f, "Topic Filter invalid";
    TopicNameInvalid = 0x90, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    PacketTooLarge = 0x95, "Packet too large";
    MessageRateTooHigh = 0x96, "Message rate too high";
    QuotaExceeded = 0x97, "Quota exceeded";
    AdministrativeAction = 0x98, "Administrative action";
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    RetainNotSupported = 0x9a, "Retain not supported";
    QosNotSupported = 0x9b, "QoS not supported";
    UseAnotherServer = 0x9c, "Use another server";
    ServerMoved = 0x9d, "Server moved";
    SharedSubscriptionsNotSupported = 0x9e, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9f, "Connection rate exceeded";
    MaximumConnectTime = 0xa0, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xa1, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xa2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// Whether this is a failure: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The return code that a 3.x CONNACK says this with: 0 accepted, 1 unacceptable protocol version, 2 identifier
    /// rejected, 3 server unavailable, 4 bad user name or password, 5 not authorized.
    pub const fn connack_return_code(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::QuotaExceeded
            | Self::ConnectionRateExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved => 3,
            Self::BadUserNameOrPassword => 4,
            error if error.is_error() => 5,
            _ => 0,
        }
    }

    /// The reason code that stands for a 3.x CONNACK return code; `None` for the reserved codes from 6.
    pub const fn from_connack_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// Whether `packet` may carry this reason code [MQTT-3.2.2-8], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1]
    /// when a server sends it (`from_server`) or a client does.
    pub fn allowed_in(self, packet: PacketType, from_server: bool) -> bool {
        let value = self as u8;
        match packet {
            PacketType::ConnAck => matches!(
                value,
                0x00 | 0x80..=0x8a | 0x8c | 0x90 | 0x95 | 0x97 | 0x99..=0x9d | 0x9f
            ),
            PacketType::PubAck | PacketType::PubRec => {
                matches!(
                    value,
                    0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
                )
            }
            PacketType::PubRel | PacketType::PubComp => matches!(value, 0x00 | 0x92),
            PacketType::SubAck => matches!(
                value,
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91 | 0x97 | 0x9e | 0xa1 | 0xa2
            ),
            PacketType::UnsubAck => matches!(value, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91),
            PacketType::Disconnect if from_server => matches!(
                value,
                0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b..=0x90 | 0x93..=0xa2
            ),
            PacketType::Disconnect => {
                matches!(value, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
            }
            PacketType::Auth if from_server => matches!(value, 0x00 | 0x18),
            PacketType::Auth => matches!(value, 0x18 | 0x19),
            _ => false,
        }
    }

    /// What a SUBACK of this version says: 3.x knows one failure only, 0x80.
    pub(crate) const fn suback_byte(self, version: Version) -> u8 {
        if self.is_error() && !version.is_v5() {
            0x80
        } else {
            self as u8
        }
    }
}

impl From<crate::Qos> for ReasonCode {
    /// The SUBACK reason code that grants this QoS.
    fn from(granted: crate::Qos) -> Self {
        match granted {
            crate::Qos::AtMostOnce => Self::Success,
            crate::Qos::AtLeastOnce => Self::GrantedQos1,
            crate::Qos::ExactlyOnce => Self::GrantedQos2,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn bytes_and_names_are_the_specifications() {
        for value in 0..=u8::MAX {
            assert!(ReasonCode::from_u8(value).is_none_or(|reason| reason as u8 == value));
        }
        assert_eq!(ReasonCode::ALL.len(), 43);
        assert_eq!(
            ReasonCode::TopicFilterInvalid.to_string(),
            "Topic Filter invalid"
        );
        assert!(ReasonCode::UnspecifiedError.is_error() && !ReasonCode::ReAuthenticate.is_error());
    }

    #[test]
    fn connack_return_codes_of_3_x_stand_for_all_reasons() {
        for code in 0..=5 {
            let reason = ReasonCode::from_connack_return_code(code).unwrap();
            assert_eq!(reason.connack_return_code(), code);
        }
        assert_eq!(ReasonCode::from_connack_return_code(6), None);
        assert_eq!(ReasonCode::ServerBusy.connack_return_code(), 3);
        assert_eq!(ReasonCode::QuotaExceeded.connack_return_code(), 3);
        assert_eq!(ReasonCode::Banned.connack_return_code(), 5);
        assert_eq!(ReasonCode::MalformedPacket.connack_return_code(), 5);
    }

    /// Table 2-6 of the specification.
    #[test]
    fn each_packet_has_its_own_reason_codes() {
        let count = |packet, from_server| {
            ReasonCode::ALL
                .iter()
                .filter(|reason| reason.allowed_in(packet, from_server))
                .count()
        };
        assert_eq!(count(PacketType::ConnAck, true), 22);
        assert_eq!(count(PacketType::PubAck, true), 9);
        assert_eq!(count(PacketType::PubRec, true), 9);
        assert_eq!(count(PacketType::PubRel, true), 2);
        assert_eq!(count(PacketType::PubComp, true), 2);
        assert_eq!(count(PacketType::SubAck, true), 12);
        assert_eq!(count(PacketType::UnsubAck, true), 7);
        // Those of table 3-10 and 0x8C, which table 2-6 adds.
        assert_eq!(count(PacketType::Disconnect, true), 29);
        assert_eq!(count(PacketType::Disconnect, false), 14);
        assert_eq!(count(PacketType::Auth, true), 2);
        assert_eq!(count(PacketType::Auth, false), 2);
        assert_eq!(count(PacketType::Publish, true), 0);
    }
}
