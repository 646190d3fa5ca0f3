//! Quality of service, packet identifiers, and the two joined.
//!
//! A PUBLISH carries a packet identifier exactly if its QoS is above 0 [MQTT-2.2.1-2]. [`Delivery`] makes the other
//! combinations impossible to write down. A [`PacketId`] is never 0 [MQTT-2.2.1-3].

use core::num::NonZeroU16;

/// Quality of service level.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0: at most once.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once.
    AtLeastOnce = 1,
    /// QoS 2: exactly once.
    ExactlyOnce = 2,
}

/// The value is not a QoS level: it is above 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QosError(pub u8);

impl core::fmt::Display for QosError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} is not a QoS level", self.0)
    }
}

impl core::error::Error for QosError {}

impl TryFrom<u8> for Qos {
    type Error = QosError;

    fn try_from(value: u8) -> Result<Self, QosError> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(QosError(other)),
        }
    }
}

/// A packet identifier: 1 to 65535. [MQTT-2.2.1-3], [MQTT3-2.3.1-1]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The smallest identifier, 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The largest identifier, 65535.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// The identifier of this value, `None` for 0.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The value on the wire.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl core::fmt::Debug for PacketId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PacketId({})", self.0)
    }
}

impl core::fmt::Display for PacketId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a PUBLISH is delivered: its QoS, with the packet identifier that QoS 1 and 2 need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// QoS 0, without a packet identifier.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl Delivery {
    /// The QoS level.
    pub const fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce(_) => Qos::AtLeastOnce,
            Self::ExactlyOnce(_) => Qos::ExactlyOnce,
        }
    }

    /// The packet identifier, if the QoS is above 0.
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(packet_id) | Self::ExactlyOnce(packet_id) => Some(packet_id),
        }
    }
}
