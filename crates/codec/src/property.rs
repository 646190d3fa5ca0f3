//! One property of MQTT 5.0: its identifier, its value, and how the value is laid out.
//!
//! [`Property`] borrows from the block it was read from. Values are checked against their ranges here; which packet may
//! carry which property, and how often, is the business of [`crate::Properties`].

use crate::{Qos, StringError, reader::Fields, sink::Sink, utf8, varint};
use core::fmt;

macro_rules! property_ids {
    ($($name:ident = $value:literal, $text:literal, $kind:ident;)*) => {
        /// The identifier of a property.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PropertyId {
            $(#[doc = $text] $name = $value,)*
        }

        impl PropertyId {
            /// All identifiers, by value.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The identifier of this value, if there is one.
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

            const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                }
            }
        }
    };
}

property_ids! {
    PayloadFormatIndicator = 0x01, "Payload Format Indicator", Byte;
    MessageExpiryInterval = 0x02, "Message Expiry Interval", U32;
    ContentType = 0x03, "Content Type", Field;
    ResponseTopic = 0x08, "Response Topic", Field;
    CorrelationData = 0x09, "Correlation Data", Field;
    SubscriptionIdentifier = 0x0b, "Subscription Identifier", Varint;
    SessionExpiryInterval = 0x11, "Session Expiry Interval", U32;
    AssignedClientIdentifier = 0x12, "Assigned Client Identifier", Field;
    ServerKeepAlive = 0x13, "Server Keep Alive", U16;
    AuthenticationMethod = 0x15, "Authentication Method", Field;
    AuthenticationData = 0x16, "Authentication Data", Field;
    RequestProblemInformation = 0x17, "Request Problem Information", Byte;
    WillDelayInterval = 0x18, "Will Delay Interval", U32;
    RequestResponseInformation = 0x19, "Request Response Information", Byte;
    ResponseInformation = 0x1a, "Response Information", Field;
    ServerReference = 0x1c, "Server Reference", Field;
    ReasonString = 0x1f, "Reason String", Field;
    ReceiveMaximum = 0x21, "Receive Maximum", U16;
    TopicAliasMaximum = 0x22, "Topic Alias Maximum", U16;
    TopicAlias = 0x23, "Topic Alias", U16;
    MaximumQos = 0x24, "Maximum QoS", Byte;
    RetainAvailable = 0x25, "Retain Available", Byte;
    UserProperty = 0x26, "User Property", Pair;
    MaximumPacketSize = 0x27, "Maximum Packet Size", U32;
    WildcardSubscriptionAvailable = 0x28, "Wildcard Subscription Available", Byte;
    SubscriptionIdentifiersAvailable = 0x29, "Subscription Identifiers Available", Byte;
    SharedSubscriptionAvailable = 0x2a, "Shared Subscription Available", Byte;
}

impl PropertyId {
    /// This identifier as one bit of a set.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// Splits the value of this property off the front of `fields`; `None` if it runs past the end or is malformed.
    #[inline]
    pub(crate) fn take_value<'a>(self, fields: &mut Fields<'a>) -> Option<&'a [u8]> {
        let len = match self.kind() {
            Kind::Byte => 1,
            Kind::U16 => 2,
            Kind::U32 => 4,
            Kind::Varint => match varint::read(fields.0) {
                varint::Varint::Value(_, len) => len,
                _ => return None,
            },
            Kind::Field => 2 + fields.clone().binary()?.len(),
            Kind::Pair => {
                let mut pair = fields.clone();
                4 + pair.binary()?.len() + pair.binary()?.len()
            }
        };
        fields.take(len)
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a value is laid out.
enum Kind {
    Byte,
    U16,
    U32,
    Varint,
    Field,
    Pair,
}

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the specification's, and so is the documentation
pub enum Property<'a> {
    PayloadFormatIndicator(bool),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(Qos),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueFault {
    /// It is outside its range.
    Range,
    /// It is not laid out as this property is.
    Layout,
    /// It is not a string.
    Text(StringError),
}

impl From<StringError> for ValueFault {
    fn from(fault: StringError) -> Self {
        Self::Text(fault)
    }
}

impl<'a> Property<'a> {
    /// The identifier.
    pub const fn id(&self) -> PropertyId {
        match self {
            Self::PayloadFormatIndicator(_) => PropertyId::PayloadFormatIndicator,
            Self::MessageExpiryInterval(_) => PropertyId::MessageExpiryInterval,
            Self::ContentType(_) => PropertyId::ContentType,
            Self::ResponseTopic(_) => PropertyId::ResponseTopic,
            Self::CorrelationData(_) => PropertyId::CorrelationData,
            Self::SubscriptionIdentifier(_) => PropertyId::SubscriptionIdentifier,
            Self::SessionExpiryInterval(_) => PropertyId::SessionExpiryInterval,
            Self::AssignedClientIdentifier(_) => PropertyId::AssignedClientIdentifier,
            Self::ServerKeepAlive(_) => PropertyId::ServerKeepAlive,
            Self::AuthenticationMethod(_) => PropertyId::AuthenticationMethod,
            Self::AuthenticationData(_) => PropertyId::AuthenticationData,
            Self::RequestProblemInformation(_) => PropertyId::RequestProblemInformation,
            Self::WillDelayInterval(_) => PropertyId::WillDelayInterval,
            Self::RequestResponseInformation(_) => PropertyId::RequestResponseInformation,
            Self::ResponseInformation(_) => PropertyId::ResponseInformation,
            Self::ServerReference(_) => PropertyId::ServerReference,
            Self::ReasonString(_) => PropertyId::ReasonString,
            Self::ReceiveMaximum(_) => PropertyId::ReceiveMaximum,
            Self::TopicAliasMaximum(_) => PropertyId::TopicAliasMaximum,
            Self::TopicAlias(_) => PropertyId::TopicAlias,
            Self::MaximumQos(_) => PropertyId::MaximumQos,
            Self::RetainAvailable(_) => PropertyId::RetainAvailable,
            Self::UserProperty(..) => PropertyId::UserProperty,
            Self::MaximumPacketSize(_) => PropertyId::MaximumPacketSize,
            Self::WildcardSubscriptionAvailable(_) => PropertyId::WildcardSubscriptionAvailable,
            Self::SubscriptionIdentifiersAvailable(_) => {
                PropertyId::SubscriptionIdentifiersAvailable
            }
            Self::SharedSubscriptionAvailable(_) => PropertyId::SharedSubscriptionAvailable,
        }
    }

    /// The property `id` with the value that [`PropertyId::take_value`] split off.
    pub(crate) fn parse(id: PropertyId, value: &'a [u8]) -> Result<Self, ValueFault> {
        Ok(match id {
            PropertyId::PayloadFormatIndicator => Self::PayloadFormatIndicator(boolean(value)?),
            PropertyId::MessageExpiryInterval => Self::MessageExpiryInterval(four_bytes(value)?),
            PropertyId::ContentType => Self::ContentType(text(value)?),
            PropertyId::ResponseTopic => Self::ResponseTopic(text(value)?),
            PropertyId::CorrelationData => Self::CorrelationData(binary(value)?),
            PropertyId::SubscriptionIdentifier => Self::SubscriptionIdentifier(variable(value)?),
            PropertyId::SessionExpiryInterval => Self::SessionExpiryInterval(four_bytes(value)?),
            PropertyId::AssignedClientIdentifier => Self::AssignedClientIdentifier(text(value)?),
            PropertyId::ServerKeepAlive => Self::ServerKeepAlive(two_bytes(value)?),
            PropertyId::AuthenticationMethod => Self::AuthenticationMethod(text(value)?),
            PropertyId::AuthenticationData => Self::AuthenticationData(binary(value)?),
            PropertyId::RequestProblemInformation => {
                Self::RequestProblemInformation(boolean(value)?)
            }
            PropertyId::WillDelayInterval => Self::WillDelayInterval(four_bytes(value)?),
            PropertyId::RequestResponseInformation => {
                Self::RequestResponseInformation(boolean(value)?)
            }
            PropertyId::ResponseInformation => Self::ResponseInformation(text(value)?),
            PropertyId::ServerReference => Self::ServerReference(text(value)?),
            PropertyId::ReasonString => Self::ReasonString(text(value)?),
            PropertyId::ReceiveMaximum => Self::ReceiveMaximum(not_zero(two_bytes(value)?)?),
            PropertyId::TopicAliasMaximum => Self::TopicAliasMaximum(two_bytes(value)?),
            PropertyId::TopicAlias => Self::TopicAlias(not_zero(two_bytes(value)?)?),
            PropertyId::MaximumQos => Self::MaximumQos(maximum_qos(value)?),
            PropertyId::RetainAvailable => Self::RetainAvailable(boolean(value)?),
            PropertyId::UserProperty => {
                let (name, value) = pair(value)?;
                Self::UserProperty(name, value)
            }
            PropertyId::MaximumPacketSize => Self::MaximumPacketSize(not_zero(four_bytes(value)?)?),
            PropertyId::WildcardSubscriptionAvailable => {
                Self::WildcardSubscriptionAvailable(boolean(value)?)
            }
            PropertyId::SubscriptionIdentifiersAvailable => {
                Self::SubscriptionIdentifiersAvailable(boolean(value)?)
            }
            PropertyId::SharedSubscriptionAvailable => {
                Self::SharedSubscriptionAvailable(boolean(value)?)
            }
        })
    }

    /// Whether the value is one that a receiver accepts: in range, and short enough for its length field.
    pub(crate) fn is_expressible(&self) -> bool {
        match *self {
            Self::SubscriptionIdentifier(value) => value > 0 && value <= varint::MAX,
            Self::ReceiveMaximum(value) | Self::TopicAlias(value) => value > 0,
            Self::MaximumPacketSize(value) => value > 0,
            Self::MaximumQos(qos) => qos != Qos::ExactlyOnce,
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => {
                u16::try_from(bytes.len()).is_ok()
            }
            Self::ContentType(value)
            | Self::ResponseTopic(value)
            | Self::AssignedClientIdentifier(value)
            | Self::AuthenticationMethod(value)
            | Self::ResponseInformation(value)
            | Self::ServerReference(value)
            | Self::ReasonString(value) => utf8::text(value.as_bytes()).is_ok(),
            Self::UserProperty(name, value) => {
                utf8::text(name.as_bytes()).is_ok() && utf8::text(value.as_bytes()).is_ok()
            }
            _ => true,
        }
    }

    /// Writes identifier and value of an expressible property.
    pub(crate) fn write(&self, out: &mut impl Sink) {
        out.u8(self.id() as u8);
        match *self {
            Self::PayloadFormatIndicator(value)
            | Self::RequestProblemInformation(value)
            | Self::RequestResponseInformation(value)
            | Self::RetainAvailable(value)
            | Self::WildcardSubscriptionAvailable(value)
            | Self::SubscriptionIdentifiersAvailable(value)
            | Self::SharedSubscriptionAvailable(value) => out.u8(u8::from(value)),
            Self::MaximumQos(qos) => out.u8(qos as u8),
            Self::ServerKeepAlive(value)
            | Self::ReceiveMaximum(value)
            | Self::TopicAliasMaximum(value)
            | Self::TopicAlias(value) => out.u16(value),
            Self::MessageExpiryInterval(value)
            | Self::SessionExpiryInterval(value)
            | Self::WillDelayInterval(value)
            | Self::MaximumPacketSize(value) => out.u32(value),
            Self::SubscriptionIdentifier(value) => out.varint(value),
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => out.field(bytes),
            Self::ContentType(value)
            | Self::ResponseTopic(value)
            | Self::AssignedClientIdentifier(value)
            | Self::AuthenticationMethod(value)
            | Self::ResponseInformation(value)
            | Self::ServerReference(value)
            | Self::ReasonString(value) => out.field(value.as_bytes()),
            Self::UserProperty(name, value) => {
                out.field(name.as_bytes());
                out.field(value.as_bytes());
            }
        }
    }
}

fn boolean(value: &[u8]) -> Result<bool, ValueFault> {
    match value {
        [0] => Ok(false),
        [1] => Ok(true),
        // The specification calls any other value of Request Problem Information, Retain Available, .. a Protocol Error.
        _ => Err(ValueFault::Range),
    }
}

fn maximum_qos(value: &[u8]) -> Result<Qos, ValueFault> {
    match value {
        [0] => Ok(Qos::AtMostOnce),
        [1] => Ok(Qos::AtLeastOnce),
        // 2 is said by leaving the property out.
        _ => Err(ValueFault::Range),
    }
}

fn two_bytes(value: &[u8]) -> Result<u16, ValueFault> {
    value
        .try_into()
        .map(u16::from_be_bytes)
        .map_err(|_| ValueFault::Layout)
}

fn four_bytes(value: &[u8]) -> Result<u32, ValueFault> {
    value
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| ValueFault::Layout)
}

fn variable(value: &[u8]) -> Result<u32, ValueFault> {
    match varint::read(value) {
        varint::Varint::Value(value, _) => not_zero(value),
        _ => Err(ValueFault::Layout),
    }
}

fn not_zero<T: Default + PartialEq>(value: T) -> Result<T, ValueFault> {
    if value == T::default() {
        Err(ValueFault::Range)
    } else {
        Ok(value)
    }
}

fn binary(value: &[u8]) -> Result<&[u8], ValueFault> {
    Fields(value).binary().ok_or(ValueFault::Layout)
}

/// [MQTT-3.3.2-13], [MQTT-3.3.2-19] and their like: these values are UTF-8 Encoded Strings.
fn text(value: &[u8]) -> Result<&str, ValueFault> {
    Ok(utf8::text(binary(value)?)?)
}

/// [MQTT-1.5.7-1]
fn pair(value: &[u8]) -> Result<(&str, &str), ValueFault> {
    let mut fields = Fields(value);
    let name = fields.binary().ok_or(ValueFault::Layout)?;
    let value = fields.binary().ok_or(ValueFault::Layout)?;
    Ok((utf8::text(name)?, utf8::text(value)?))
}
