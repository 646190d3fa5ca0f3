//! Bytes on their way out.
//!
//! Packets are written one after the other; small pieces are copied together, large payloads are linked and stay
//! where they are. The pieces, in order, are exactly the bytes of the packets: how they are cut has no meaning.

use crate::{EncodeError, Packet, Version, sink::Sink};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::{iter, mem};

/// A payload of at least this many bytes is linked instead of copied: from about this size on, one more segment in a
/// vectored write is cheaper than copying.
pub const LINK_BYTES: usize = 2048;

/// A buffer of outgoing bytes. Empty, it holds no memory until something is put in; after it has been drained it
/// keeps its buffer for the next bytes, unless it is taken with [`core::mem::take`].
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Everything that is copied, in one piece.
    copied: BytesMut,
    /// What is linked, in order, and where between the copied bytes it belongs.
    links: Vec<Link>,
    linked_bytes: usize,
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

    /// Makes room for `bytes` more bytes that are going to be copied.
    #[inline]
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.copied.reserve(bytes);
    }

    /// The segments in order, none of them empty.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let links = self.links.iter().map(Some).chain(iter::once(None));
        let pieces = links.flat_map(move |link| {
            let (to, linked) = match link {
                Some(link) => (link.at, link.bytes.as_ref()),
                None => (self.copied.len(), Default::default()),
            };
            let copied = self.copied.get(from..to).unwrap_or_default();
            from = to;
            [copied, linked]
        });
        pieces.filter(|piece| !piece.is_empty())
    }

    /// Takes everything out, segment by segment in order, none of them empty. What is not taken from the iterator is
    /// dropped.
    pub fn drain_segments(&mut self) -> impl Iterator<Item = Bytes> {
        self.linked_bytes = 0;
        // The buffer goes on being used behind what is split off, and from the front again once that is gone.
        let mut copied = self.copied.split().freeze();
        let mut from = 0;
        let links = self.links.drain(..).map(Some).chain(iter::once(None));
        let pieces = links.flat_map(move |link| match link {
            Some(link) => {
                let before = copied.split_to((link.at - from).min(copied.len()));
                from = link.at;
                [before, link.bytes]
            }
            None => [mem::take(&mut copied), Bytes::new()],
        });
        pieces.filter(|piece| !piece.is_empty())
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
        let whole = joined(&output);
        let drained: Vec<Bytes> = output.drain_segments().collect();
        assert_eq!(drained[1].as_ptr(), large.as_ptr());
        assert_eq!(drained.concat(), whole);
        assert!(output.is_empty());
        assert_eq!(output.parts().count(), 0);
    }

    #[test]
    fn a_cleared_output_is_empty() {
        let mut output = Output::new();
        output.link(Bytes::from(vec![7; LINK_BYTES]));
        output.put(b"c");
        output.clear();
        assert_eq!((output.len(), output.parts().count()), (0, 0));
    }
}
