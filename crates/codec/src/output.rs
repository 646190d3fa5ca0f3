//! Bytes on their way out.
//!
//! Packets are written one after the other; small pieces are copied together, large payloads are linked and stay
//! where they are, and what many get is a stretch of a [`Segment`]. The pieces, in order, are exactly the bytes of the
//! packets: how they are cut has no meaning.
//!
//! An output that refers to a segment must be read, or [settled](Output::settle), before that is cleared.

use crate::{EncodeError, Packet, PublishHead, Segment, Stretch, Version, sink::Sink};
use alloc::vec::Vec;
use bytes::Bytes;
use core::{iter, mem};

/// A payload of at least this many bytes is linked instead of copied: from about this size on, one more segment in a
/// vectored write is cheaper than copying.
pub const LINK_BYTES: usize = 2048;

/// A payload of at least this many bytes is linked where `receivers` are sent the same: up to this size to copy it once for all
/// of them is cheaper than one more segment in the vectored write of each.
pub fn link_bytes_for(receivers: usize) -> usize {
    // What a receiver does not take at once is kept for each by itself, so it stays small however many they are.
    LINK_BYTES * receivers.clamp(1, 8)
}

/// A buffer of outgoing bytes. It holds no memory until something is put in, and keeps it when it is cleared.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Everything that is copied, in one piece.
    copied: Vec<u8>,
    /// What lies elsewhere, in order, and where between the copied bytes it belongs.
    links: Vec<Link>,
    linked_bytes: usize,
}

/// A part of an [`Output`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that lie in the output or in the segment.
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
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Linked(Bytes),
    Shared(Stretch),
}

impl Output {
    /// An empty output.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of memory it holds.
    pub fn capacity_bytes(&self) -> usize {
        self.copied.capacity() + self.links.capacity() * size_of::<Link>()
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
        self.push(Part::Linked(bytes));
    }

    /// Appends a stretch of `segment`, which is all that this output may share until it is cleared or settled. A short
    /// stretch that does not go on is copied.
    #[inline]
    pub fn share(&mut self, segment: &Segment, stretch: Stretch) {
        let copied_bytes = self.copied.len();
        if let Some(Link {
            at,
            part: Part::Shared(last),
        }) = self.links.last_mut()
            && *at == copied_bytes
        {
            if let Some(joined) = last.joined(stretch) {
                *last = joined;
                self.linked_bytes += stretch.len();
                return;
            }
            if last.len() < LINK_BYTES {
                self.copied.extend_from_slice(segment.bytes(*last));
                self.linked_bytes -= last.len();
                self.links.pop();
            }
        }
        self.linked_bytes += stretch.len();
        self.push(Part::Shared(stretch));
    }

    /// Copies what it shares with others, so that the segment can be cleared.
    pub fn settle(&mut self, segment: &Segment) {
        let shares = |link: &Link| matches!(link.part, Part::Shared(_));
        if !self.links.iter().any(shares) {
            return;
        }
        let unsettled = mem::take(self);
        for piece in unsettled.pieces(segment) {
            match piece {
                Piece::Copied(bytes) => self.put(bytes),
                Piece::Linked(bytes) => self.link(bytes.clone()),
            }
        }
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// As [`Packet::encode`]; nothing has been appended then.
    pub fn encode(&mut self, packet: &Packet, version: Version) -> Result<(), EncodeError> {
        packet.encode_into(version, self)
    }

    /// Appends a PUBLISH with QoS 0 that nobody else gets so, if it is of at most `max_packet_bytes`; returns whether it was.
    ///
    /// # Errors
    /// As [`PublishFrame::new`](crate::PublishFrame::new); nothing has been appended then.
    #[inline]
    pub fn publish(
        &mut self,
        head: &PublishHead<'_>,
        payload: Piece<'_>,
        retain: bool,
        max_packet_bytes: usize,
    ) -> Result<bool, EncodeError> {
        let layout = head.layout(payload.bytes().len(), false)?;
        if layout.packet_bytes() > max_packet_bytes {
            return Ok(false);
        }
        head.write_plain(retain, &layout, &mut self.copied);
        match payload {
            Piece::Linked(bytes) if bytes.len() >= LINK_BYTES => self.link(bytes.clone()),
            _ => self.put(payload.bytes()),
        }
        Ok(true)
    }

    /// Copies bytes to the end and returns where they are now.
    #[inline]
    pub(crate) fn put_mut(&mut self, bytes: &[u8]) -> &mut [u8] {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        self.copied.get_mut(start..).unwrap_or_default()
    }

    /// The pieces in order, none of them empty. `segment` is the one that it shares.
    pub fn pieces<'a>(&'a self, segment: &'a Segment) -> impl Iterator<Item = Piece<'a>> + Clone {
        let mut from = 0;
        let links = self.links.iter().map(Some).chain(iter::once(None));
        links.flat_map(move |link| {
            let to = link.map_or(self.copied.len(), |link| link.at);
            let copied = self.copied.get(from..to).unwrap_or_default();
            from = to;
            let copied = (!copied.is_empty()).then_some(Piece::Copied(copied));
            let linked = link.map(|link| match &link.part {
                Part::Linked(bytes) => Piece::Linked(bytes),
                Part::Shared(stretch) => Piece::Copied(segment.bytes(*stretch)),
            });
            copied.into_iter().chain(linked)
        })
    }

    /// The bytes of the pieces.
    pub fn parts<'a>(&'a self, segment: &'a Segment) -> impl Iterator<Item = &'a [u8]> {
        self.pieces(segment).map(|piece| match piece {
            Piece::Copied(bytes) => bytes,
            Piece::Linked(bytes) => bytes,
        })
    }

    fn push(&mut self, part: Part) {
        let at = self.copied.len();
        self.links.push(Link { at, part });
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
        output.parts(&Segment::new()).flatten().copied().collect()
    }

    fn parts(output: &Output) -> usize {
        output.parts(&Segment::new()).count()
    }

    #[test]
    fn small_pieces_become_one_segment() {
        let mut output = Output::new();
        output.put(b"ab");
        output.link(Bytes::from_static(b"cd"));
        output.put(b"e");
        assert_eq!(output.len(), 5);
        assert_eq!((parts(&output), joined(&output)), (1, b"abcde".to_vec()));
    }

    #[test]
    fn large_pieces_are_linked_in_order() {
        let large = Bytes::from(vec![7; LINK_BYTES]);
        let mut output = Output::new();
        output.put(b"ab");
        output.link(large.clone());
        output.put(b"c");
        assert_eq!(output.len(), LINK_BYTES + 3);
        assert_eq!(parts(&output), 3);
        assert_eq!(joined(&output), [b"ab", &large[..], b"c"].concat());
        assert!(
            matches!(output.pieces(&Segment::new()).nth(1), Some(Piece::Linked(linked)) if linked.as_ptr() == large.as_ptr())
        );
    }

    #[test]
    fn a_cleared_output_is_empty() {
        let mut output = Output::new();
        output.link(Bytes::from(vec![7; LINK_BYTES]));
        output.put(b"c");
        output.clear();
        assert_eq!((output.len(), parts(&output)), (0, 0));
        assert!(output.capacity_bytes() > 0);
    }

    /// A segment with packets of `lengths` bytes.
    fn segment(lengths: &[usize]) -> (Segment, Vec<Stretch>) {
        let (mut segment, properties) = (Segment::new(), crate::Properties::new());
        let head = crate::PublishHead {
            version: Version::V3_1_1,
            topic: "a",
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: &properties,
        };
        let packets = lengths
            .iter()
            .enumerate()
            .map(|(n, len)| vec![n as u8; *len]);
        let stretches = packets
            .map(|payload| segment.publish(&head, &payload, false).unwrap())
            .collect();
        (segment, stretches)
    }

    #[test]
    fn a_stretch_that_goes_on_stays_one_piece() {
        let (segment, stretches) = segment(&[10, 20, 30]);
        let mut output = Output::new();
        output.put(b"ab");
        for stretch in &stretches {
            output.share(&segment, *stretch);
        }
        output.put(b"c");
        assert_eq!(output.parts(&segment).count(), 3);
        let before: Vec<u8> = output.parts(&segment).flatten().copied().collect();
        assert_eq!(before.len(), output.len());
        output.settle(&segment);
        assert_eq!((parts(&output), joined(&output)), (1, before));
    }

    #[test]
    fn the_more_receive_it_the_larger_is_what_is_copied() {
        let sizes = [0, 1, 2, 8, 9, 1000].map(|receivers| link_bytes_for(receivers) / LINK_BYTES);
        assert_eq!(sizes, [1, 1, 2, 8, 8, 8]);
    }

    #[test]
    fn short_stretches_that_do_not_go_on_are_copied_together() {
        let (segment, stretches) = segment(&[10, 20, 30, LINK_BYTES, 40, 50]);
        let mut output = Output::new();
        for (stretch, pieces) in [(0, 1), (2, 2), (1, 2), (3, 2), (5, 3), (4, 4)] {
            output.share(&segment, stretches[stretch]);
            assert_eq!(output.parts(&segment).count(), pieces);
        }
        let wanted: Vec<u8> = [0, 2, 1, 3, 5, 4]
            .into_iter()
            .flat_map(|n: usize| segment.bytes(stretches[n]).to_vec())
            .collect();
        output.settle(&segment);
        assert_eq!((output.len(), joined(&output)), (wanted.len(), wanted));
    }
}
