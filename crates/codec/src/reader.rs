//! Reading fields from the body of one packet.
//!
//! Every read checks the length first and fails with the packet's name, so no decoder in this crate can read past its
//! packet. [`Reader`] hands out shared slices of the packet; [`Fields`] walks over borrowed bytes where nothing is kept.

use crate::{DecodeError, PacketId, PacketType, Utf8, utf8, varint};
use bytes::{Buf, Bytes};

/// A cursor over the body of one packet.
pub(crate) struct Reader {
    packet: PacketType,
    bytes: Bytes,
}

impl Reader {
    /// Reads `body`, everything after the fixed header.
    #[inline]
    pub(crate) fn new(packet: PacketType, body: Bytes) -> Self {
        Self {
            packet,
            bytes: body,
        }
    }

    /// The type of the packet being read.
    pub(crate) fn packet(&self) -> PacketType {
        self.packet
    }

    /// The number of bytes not read yet.
    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let value = self
            .bytes
            .first()
            .copied()
            .ok_or(DecodeError::FieldPastEnd(self.packet))?;
        self.bytes.advance(1);
        Ok(value)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let value = self
            .bytes
            .first_chunk::<2>()
            .copied()
            .ok_or(DecodeError::FieldPastEnd(self.packet))?;
        self.bytes.advance(2);
        Ok(u16::from_be_bytes(value))
    }

    /// A packet identifier, which is never 0. [MQTT-2.2.1-3], [MQTT3-2.3.1-1]
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero(self.packet))
    }

    /// Binary Data: two bytes of length, then that many bytes.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let len = usize::from(self.u16()?);
        if len > self.bytes.len() {
            return Err(DecodeError::FieldPastEnd(self.packet));
        }
        Ok(self.bytes.split_to(len))
    }

    /// A UTF-8 Encoded String. [MQTT-1.5.4-1], [MQTT-1.5.4-2]
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Utf8, DecodeError> {
        let bytes = self.binary()?;
        Utf8::try_from(bytes).map_err(|fault| DecodeError::text(self.packet, fault))
    }

    /// A block of bytes behind its length as a variable byte integer.
    #[inline]
    pub(crate) fn block(&mut self) -> Result<Bytes, DecodeError> {
        let fault = DecodeError::PropertyLength(self.packet);
        let varint::Varint::Value(len, len_bytes) = varint::read(&self.bytes) else {
            return Err(fault);
        };
        let len = usize::try_from(len).map_err(|_| fault)?;
        if len > self.bytes.len() - len_bytes {
            return Err(fault);
        }
        self.bytes.advance(len_bytes);
        Ok(self.bytes.split_to(len))
    }

    /// All the bytes that are left.
    #[inline]
    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes(self.packet))
        }
    }
}

/// A cursor over borrowed bytes. `None` means that a field runs past the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (&value, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(value)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        let (value, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*value))
    }

    /// Binary Data: two bytes of length, then that many bytes.
    #[inline]
    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        self.take(len)
    }

    /// A UTF-8 Encoded String in `packet`.
    pub(crate) fn text(&mut self, packet: PacketType) -> Result<&'a str, DecodeError> {
        let bytes = self.binary().ok_or(DecodeError::FieldPastEnd(packet))?;
        utf8::text(bytes).map_err(|fault| DecodeError::text(packet, fault))
    }
}
