//! Bytes on their way out.
//!
//! Packets are written one after the other; small pieces are copied together, large payloads are linked and stay
//! where they are. The pieces, in order, are exactly the bytes of the packets: how they are cut has no meaning.

use crate::{EncodeError, Packet, Version, sink::Sink};
use alloc::vec::Vec;
use bytes::Bytes;
use core::iter;

/// A payload of at least this many bytes is linked instead of copied: from about this size on, one more segment in a
/// vectored write is cheaper than copying.
pub const LINK_BYTES: usize = 2048;

/// A buffer of outgoing bytes. It holds no memory until something is put in, and keeps it when it is cleared.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Everything that is copied, in one piece.
    copied: Vec<u8>,
    /// What is linked, in order, and where between the copied bytes it belongs.
    links: Vec<Link>,
    linked_bytes: usize,
}

/// A part of an [`Output`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that lie in the output.
    Copied(&'a [u8]),
    /// Bytes that are shared: whoever keeps them counts a reference.
    Linked(&'a Bytes),
}

impl Piece<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Linked(bytes) => bytes,
        }
    }
}

#[derive(Clone, Debug)]
struct Link {
    /// The number of copied bytes in front.
    at: usize,
    bytes: Bytes,
}

impl Output {
    /// An empty output.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many copied bytes it has room for without asking for memory.
    pub fn capacity(&self) -> usize {
        self.copied.capacity()
    }

    /// The number of bytes in it.
    pub fn len(&self) -> usize {
        self.linked_bytes + self.copied.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops everything that is in it.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.links.clear();
        self.linked_bytes = 0;
    }

    /// Copies bytes to the end.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    /// Appends bytes: linked if they are at least [`LINK_BYTES`], copied if they are fewer.
    pub fn link(&mut self, bytes: Bytes) {
        if bytes.len() < LINK_BYTES {
            self.put(&bytes);
            return;
        }
        self.linked_bytes += bytes.len();
        self.links.push(Link {
            at: self.copied.len(),
            bytes,
        });
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// As [`Packet::encode`]; nothing has been appended then.
    pub fn encode(&mut self, packet: &Packet, version: Version) -> Result<(), EncodeError> {
        packet.encode_into(version, self)
    }

    /// Copies bytes to the end and returns where they are now.
    #[inline]
    pub(crate) fn put_mut(&mut self, bytes: &[u8]) -> &mut [u8] {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        self.copied.get_mut(start..).unwrap_or_default()
    }

    /// The pieces in order, none of them empty.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> + Clone {
        let mut from = 0;
        let links = self.links.iter().map(Some).chain(iter::once(None));
        links.flat_map(move |link| {
            let to = link.map_or(self.copied.len(), |link| link.at);
            let copied = self.copied.get(from..to).unwrap_or_default();
            from = to;
            let copied = (!copied.is_empty()).then_some(Piece::Copied(copied));
            let linked = link.map(|link| Piece::Linked(&link.bytes));
            copied.into_iter().chain(linked)
        })
    }

    /// The bytes of the pieces.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(|piece| match piece {
            Piece::Copied(bytes) => bytes,
            Piece::Linked(bytes) => bytes,
        })
    }
}

impl Sink for Output {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        Self::put(self, bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        self.link(bytes.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn joined(output: &Output) -> Vec<u8> {
        output.parts().flatten().copied().collect()
    }

    #[test]
    fn small_pieces_become_one_segment() {
        let mut output = Output::new();
        output.put(b"ab");
        output.link(Bytes::from_static(b"cd"));
        output.put(b"e");
        assert_eq!(output.len(), 5);
        assert_eq!(output.parts().collect::<Vec<_>>(), [b"abcde"]);
    }

    #[test]
    fn large_pieces_are_linked_in_order() {
        let large = Bytes::from(vec![7; LINK_BYTES]);
        let mut output = Output::new();
        output.put(b"ab");
        output.link(large.clone());
        output.put(b"c");
        assert_eq!(output.len(), LINK_BYTES + 3);
        assert_eq!(output.parts().count(), 3);
        assert_eq!(joined(&output), [b"ab", &large[..], b"c"].concat());
        assert!(
            matches!(output.pieces().nth(1), Some(Piece::Linked(linked)) if linked.as_ptr() == large.as_ptr())
        );
    }

    #[test]
    fn a_cleared_output_is_empty() {
        let mut output = Output::new();
        output.link(Bytes::from(vec![7; LINK_BYTES]));
        output.put(b"c");
        output.clear();
        assert_eq!((output.len(), output.parts().count()), (0, 0));
        assert!(output.capacity() > 0);
    }
}
