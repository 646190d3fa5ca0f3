//! Where packets are written to.
//!
//! A packet's body is written twice by the same code: first into a [`Length`], which only counts, then behind the
//! remaining length into the real buffer. So the length can't disagree with the bytes, and nothing has to be moved.

use crate::{Properties, varint};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// A destination of encoded bytes.
pub(crate) trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Appends bytes that may be shared instead of copied.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.put(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn varint(&mut self, value: u32) {
        let (bytes, len) = varint::encode(value);
        self.put(bytes.get(..len).unwrap_or_default());
    }

    /// Binary Data or a UTF-8 Encoded String. The caller has checked that it is not longer than 65,535 bytes.
    fn field(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.put(bytes);
    }

    /// A property block behind its length, which is there even if it is 0 [MQTT-2.2.2-1].
    fn properties(&mut self, properties: &Properties) {
        let block = properties.encoded();
        // A block longer than any remaining length makes the packet too long, which is checked before anything is written.
        self.varint(u32::try_from(block.len()).unwrap_or(varint::MAX));
        self.put(block);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts bytes.
#[derive(Default)]
pub(crate) struct Length(pub(crate) usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}
