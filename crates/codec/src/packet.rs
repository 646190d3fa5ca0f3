//! A packet of any type, and the frame around its body: the fixed header.
//!
//! ```text
//!   byte 1   packet type (4 bits) | flags (4 bits)
//!   byte 2.. remaining length, 1 to 4 bytes
//!   body     variable header and payload
//! ```
//!
//! Encoding checks first, then counts, then writes, so an error leaves the buffer as it was.

use crate::{
    Ack, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Version,
    reader::Reader,
    sink::{Length, Sink},
    varint,
};
use alloc::boxed::Box;
use bytes::BytesMut;
use core::fmt;

/// A packet of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // one variant per packet type
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(UnsubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet {
    /// The type of this packet.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The specification's name of this packet's type, such as `PUBLISH`.
    pub const fn name(&self) -> &'static str {
        self.packet_type().name()
    }

    /// Appends this packet to `out` as `version` encodes it. What the version can't say is left out: properties, and
    /// reason codes but those of CONNACK and SUBACK, in 3.x.
    ///
    /// # Errors
    /// Why a receiver would refuse the packet; nothing has been written then.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_into(version, out)
    }

    /// The size of this packet on the wire in bytes, as `version` encodes it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encoded_bytes(&self, version: Version) -> Result<usize, EncodeError> {
        let mut length = Length::default();
        self.encode_into(version, &mut length).map(|()| length.0)
    }

    pub(crate) fn encode_into<S: Sink>(
        &self,
        version: Version,
        out: &mut S,
    ) -> Result<(), EncodeError> {
        self.check(version)?;
        let mut length = Length::default();
        self.body(version, &mut length);
        let remaining = u32::try_from(length.0).unwrap_or(u32::MAX);
        if remaining > varint::MAX {
            return Err(EncodeError::PacketTooLong);
        }
        out.u8((self.packet_type() as u8) << 4 | self.flags());
        out.varint(remaining);
        self.body(version, out);
        Ok(())
    }

    /// The flags of the fixed header. [MQTT-2.1.3-1]
    const fn flags(&self) -> u8 {
        match self {
            Self::Publish(publish) => publish.flags(),
            other => other.packet_type().fixed_flags(),
        }
    }

    /// What must hold before this packet can be written.
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => connect.check(version),
            Self::ConnAck(connack) => connack.check(version),
            Self::Publish(publish) => publish.check(version),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.check(self.packet_type(), version)
            }
            Self::Subscribe(subscribe) => subscribe.check(version),
            Self::SubAck(suback) => suback.check(version),
            Self::Unsubscribe(unsubscribe) => unsubscribe.check(version),
            Self::UnsubAck(unsuback) => unsuback.check(version),
            Self::PingReq | Self::PingResp => Ok(()),
            Self::Disconnect(disconnect) => disconnect.check(version),
            Self::Auth(auth) => auth.check(version),
        }
    }

    /// Writes everything behind the fixed header.
    fn body(&self, version: Version, out: &mut impl Sink) {
        match self {
            Self::Connect(connect) => connect.write(out),
            Self::ConnAck(connack) => connack.write(version, out),
            Self::Publish(publish) => publish.write(version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.write(version, out);
            }
            Self::Subscribe(subscribe) => subscribe.write(version, out),
            Self::SubAck(suback) => suback.write(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.write(version, out),
            Self::UnsubAck(unsuback) => unsuback.write(version, out),
            Self::PingReq | Self::PingResp => {}
            Self::Disconnect(disconnect) => disconnect.write(version, out),
            Self::Auth(auth) => auth.write(out),
        }
    }

    /// Decodes the body of any packet but CONNECT.
    pub(crate) fn decode(
        first: u8,
        mut reader: Reader,
        source: Source,
    ) -> Result<Self, DecodeError> {
        let packet = reader.packet();
        Ok(match packet {
            PacketType::Publish => {
                return Publish::decode(first, reader, source).map(Self::Publish);
            }
            PacketType::PubAck => Self::PubAck(Ack::decode(reader, source)?),
            PacketType::PubRec => Self::PubRec(Ack::decode(reader, source)?),
            PacketType::PubRel => Self::PubRel(Ack::decode(reader, source)?),
            PacketType::PubComp => Self::PubComp(Ack::decode(reader, source)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::decode(reader, source)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(reader, source)?),
            PacketType::ConnAck => Self::ConnAck(ConnAck::decode(reader, source)?),
            PacketType::SubAck => Self::SubAck(SubAck::decode(reader, source)?),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck::decode(reader, source)?),
            PacketType::PingReq => reader.finish().map(|()| Self::PingReq)?,
            PacketType::PingResp => reader.finish().map(|()| Self::PingResp)?,
            PacketType::Disconnect => Self::Disconnect(Disconnect::decode(&mut reader, source)?),
            PacketType::Auth => Self::Auth(Auth::decode(&mut reader, source)?),
            PacketType::Connect => return Err(DecodeError::SecondConnect),
        })
    }
}

/// Who sent the packets that are decoded, and in which version.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) version: Version,
    pub(crate) from_server: bool,
}

/// The type of a packet, with its number on the wire. (section 2.1.2)
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // one variant per packet type
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type in the upper half of a packet's first byte; `None` for the reserved type 0.
    pub const fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The specification's name, such as `PUBLISH`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The flags that every packet of this type has; those of PUBLISH vary. [MQTT-2.1.3-1]
    pub(crate) const fn fixed_flags(self) -> u8 {
        match self {
            // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
