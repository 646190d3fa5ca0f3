//! Packets that go on with a topic, as they came.
//!
//! A client that publishes often sends one PUBLISH behind the other of which only the payload differs. Such a run is looked at
//! no further than to know that it is one. Where nothing about it changes it is passed on as it is, since QoS 0 without
//! RETAIN and properties is written alike in both directions: that holds from 3.x to 3.x and from 5.0 to 5.0.

use crate::{PacketType, TopicName, Version, varint, varint::Varint};
use bytes::Bytes;

/// The first byte of a PUBLISH with QoS 0 and without RETAIN.
const PLAIN_PUBLISH: u8 = (PacketType::Publish as u8) << 4;

/// PUBLISH packets to one topic, with QoS 0, without DUP, RETAIN and properties.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    bytes: &'a [u8],
    is_v5: bool,
    /// What stands between the remaining length and the payload.
    head_bytes: usize,
    packets: usize,
    /// None is larger.
    largest_bytes: usize,
}

/// A [`Run`] that is kept: a copy, which pins no larger buffer.
#[derive(Clone, Debug)]
pub struct KeptRun {
    bytes: Bytes,
    is_v5: bool,
    head_bytes: usize,
    packets: usize,
    largest_bytes: usize,
}

/// One packet of a [`Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPacket<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> Run<'a> {
    /// The packets at the front of `bytes` that are whole, to `topic`, of this `version`, and no larger than that.
    #[inline]
    pub fn of(
        bytes: &'a [u8],
        topic: &TopicName,
        version: Version,
        max_packet_bytes: usize,
    ) -> Self {
        let topic = topic.as_str().as_bytes();
        let is_v5 = version.is_v5();
        let head_bytes = 2 + topic.len() + usize::from(is_v5);
        let (mut len, mut packets, mut largest_bytes) = (0, 0, 0);
        // The last one that was not as long as the one before it.
        let mut model: &[u8] = &[];
        let mut model_head: &[u8] = &[];
        while let Some(rest) = bytes.get(len..)
            && !rest.is_empty()
        {
            if !is_alike(rest, model_head, model.len()) {
                let Some((head, packet)) = front(rest, head_bytes) else {
                    break;
                };
                let packet_bytes = packet.bytes.len();
                if !names_only(head, topic, is_v5) || packet_bytes > max_packet_bytes {
                    break;
                }
                largest_bytes = largest_bytes.max(packet_bytes);
                model = packet.bytes;
                model_head = packet.head();
            }
            len += model.len();
            packets += 1;
        }
        Self {
            bytes: bytes.get(..len).unwrap_or_default(),
            is_v5,
            head_bytes,
            packets,
            largest_bytes,
        }
    }

    /// All packets in one piece.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many packets it is.
    pub fn len(&self) -> usize {
        self.packets
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Whether these packets are written in 5.0; else they are in 3.1 and 3.1.1, which write them alike.
    pub fn is_v5(&self) -> bool {
        self.is_v5
    }

    /// The packets in order.
    pub fn packets(&self) -> impl Iterator<Item = RunPacket<'a>> + use<'a> {
        let (mut rest, head_bytes) = (self.bytes, self.head_bytes);
        core::iter::from_fn(move || {
            let (_, packet) = front(rest, head_bytes)?;
            rest = rest.get(packet.bytes.len()..)?;
            Some(packet)
        })
    }

    /// The first `packets` of them.
    #[must_use]
    pub fn first(self, packets: usize) -> Self {
        if packets >= self.packets {
            return self;
        }
        let mut least = Self {
            packets,
            largest_bytes: 0,
            ..self
        };
        let mut len = 0;
        for packet in self.packets().take(packets) {
            len += packet.bytes.len();
            least.largest_bytes = least.largest_bytes.max(packet.bytes.len());
        }
        least.bytes = self.bytes.get(..len).unwrap_or_default();
        least
    }

    /// Those behind the first `packets`.
    #[must_use]
    pub fn after(self, packets: usize) -> Self {
        let first = self.first(packets);
        Self {
            bytes: self.bytes.get(first.bytes.len()..).unwrap_or_default(),
            packets: self.packets - first.packets,
            ..self
        }
    }

    /// A copy of all packets.
    pub fn kept(&self) -> KeptRun {
        KeptRun {
            bytes: Bytes::copy_from_slice(self.bytes),
            is_v5: self.is_v5,
            head_bytes: self.head_bytes,
            packets: self.packets,
            largest_bytes: self.largest_bytes,
        }
    }

    /// Those at the front that have room, if `more_bytes` are added to each at most: the one before each has left some of
    /// `room_bytes`, and none gets larger than `max_packet_bytes`.
    #[must_use]
    #[inline]
    pub fn within(self, room_bytes: usize, max_packet_bytes: usize, more_bytes: usize) -> Self {
        let all_bytes = self.bytes.len() + self.packets * more_bytes;
        if all_bytes <= room_bytes && self.largest_bytes + more_bytes <= max_packet_bytes {
            return self;
        }
        let mut used_bytes = 0;
        let fits = |packet: &RunPacket<'_>| {
            let has_room = used_bytes < room_bytes;
            let packet_bytes = packet.bytes.len() + more_bytes;
            used_bytes += packet_bytes;
            has_room && packet_bytes <= max_packet_bytes
        };
        self.first(self.packets().take_while(fits).count())
    }
}

impl KeptRun {
    /// The packets.
    pub fn run(&self) -> Run<'_> {
        Run {
            bytes: &self.bytes,
            is_v5: self.is_v5,
            head_bytes: self.head_bytes,
            packets: self.packets,
            largest_bytes: self.largest_bytes,
        }
    }
}

impl<'a> RunPacket<'a> {
    /// What stands before its payload.
    fn head(&self) -> &'a [u8] {
        let head_bytes = self.bytes.len() - self.payload.len();
        self.bytes.get(..head_bytes).unwrap_or_default()
    }
}

/// Whether the packet at the front of `bytes` is whole and begins up to its payload as one of so many bytes does: then it is as
/// long and says the same.
#[inline]
fn is_alike(bytes: &[u8], head: &[u8], packet_bytes: usize) -> bool {
    let [_, length, ..] = head else {
        return false;
    };
    bytes.len() >= packet_bytes && bytes.get(1) == Some(length) && bytes.starts_with(head)
}

/// The packet at the front of `bytes`, if it may belong to a run, and what stands in it before its payload.
#[inline]
fn front(bytes: &[u8], head_bytes: usize) -> Option<(&[u8], RunPacket<'_>)> {
    let rest = bytes.strip_prefix(&[PLAIN_PUBLISH])?;
    let Varint::Value(remaining, len) = varint::read(rest) else {
        return None;
    };
    let body_bytes = usize::try_from(remaining).ok()?;
    let (head, payload) = rest
        .get(len..len + body_bytes)?
        .split_at_checked(head_bytes)?;
    let bytes = bytes.get(..1 + len + body_bytes)?;
    Some((head, RunPacket { bytes, payload }))
}

/// Whether a packet that begins so says nothing beside the topic and its payload.
#[inline]
fn names_only(head: &[u8], topic: &[u8], is_v5: bool) -> bool {
    let Some((len, rest)) = head.split_first_chunk::<2>() else {
        return false;
    };
    let properties = match usize::from(u16::from_be_bytes(*len)) == topic.len() {
        true => rest.strip_prefix(topic),
        false => None,
    };
    matches!((properties, is_v5), (Some([]), false) | (Some([0]), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const MAX: usize = 1 << 20;

    fn run(bytes: &[u8], version: Version) -> Run<'_> {
        Run::of(bytes, &TopicName::try_from("a").unwrap(), version, MAX)
    }

    fn payloads(run: &Run<'_>) -> Vec<u8> {
        let payloads = run.packets().map(|packet| packet.payload.to_vec());
        payloads.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_run_ends_before_the_first_packet_that_is_not_plain_to_the_topic() {
        let plain = b"\x30\x04\x00\x01ap\x30\x03\x00\x01a\x30\x05\x00\x01aqr";
        for other in [
            &b"\x31\x04\x00\x01ap"[..],
            b"\x38\x04\x00\x01ap",
            b"\x32\x06\x00\x01a\x00\x01p",
            b"\x30\x04\x00\x01bp",
            b"\x30\x05\x00\x02aap",
            b"\x30\x84\x00\x00\x01ap",
            b"\x30\x04\x00\x01a",
            b"\x30\x02\x00\x02",
            b"\x30",
            b"\xd0\x00",
        ] {
            let bytes = [plain, other].concat();
            let run = run(&bytes, Version::V3_1_1);
            assert_eq!((run.len(), run.bytes()), (3, &plain[..]), "{other:?}");
            assert_eq!(payloads(&run), b"pqr");
        }
    }

    #[test]
    fn packets_of_one_length_are_looked_at_one_by_one() {
        let alike = b"\x30\x04\x00\x01ap\x30\x04\x00\x01aq\x30\x04\x00\x01ar";
        for other in [
            &b"\x30\x04\x00\x01bs"[..],
            b"\x32\x04\x00\x01as",
            b"\x30\x04\x00\x01a",
        ] {
            let bytes = [&alike[..], other].concat();
            let run = run(&bytes, Version::V3_1_1);
            assert_eq!((run.len(), run.bytes()), (3, &alike[..]), "{other:?}");
        }
    }

    #[test]
    fn in_5_0_it_ends_before_properties() {
        let plain = b"\x30\x05\x00\x01a\x00p\x30\x04\x00\x01a\x00";
        let bytes = [&plain[..], b"\x30\x08\x00\x01a\x03\x23\x00\x01r"].concat();
        let run = run(&bytes, Version::V5);
        assert_eq!((run.len(), run.bytes()), (2, &plain[..]));
        assert_eq!(payloads(&run), b"p");
    }

    #[test]
    fn it_ends_before_what_is_too_large() {
        let topic = TopicName::try_from("a").unwrap();
        let small = b"\x30\x04\x00\x01ap\x30\x05\x00\x01apq";
        assert_eq!(Run::of(small, &topic, Version::V3_1, 6).len(), 1);
    }

    #[test]
    fn it_is_cut_where_there_is_no_room() {
        let bytes = b"\x30\x04\x00\x01ap\x30\x04\x00\x01aq\x30\x05\x00\x01ars";
        let run = run(bytes, Version::V3_1_1);
        for (room, max, more, len) in [
            (19, 7, 0, 3),
            (13, 7, 0, 3),
            (12, 7, 0, 2),
            (6, 7, 0, 1),
            (1, 7, 0, 1),
            (0, 7, 0, 0),
            (19, 6, 0, 2),
            (19, 7, 1, 2),
            (13, 8, 1, 2),
            (7, 8, 1, 1),
        ] {
            let cut = run.within(room, max, more);
            assert_eq!((cut.len(), cut.packets().count()), (len, len));
            assert_eq!(payloads(&cut), payloads(&run)[..len + len / 3]);
        }
        assert_eq!(run.first(2).within(12, 6, 0).bytes().len(), 12);
        for (first, rest) in [(0, "pqrs"), (1, "qrs"), (2, "rs"), (3, ""), (4, "")] {
            let rest_of = run.after(first);
            assert_eq!(payloads(&rest_of), rest.as_bytes());
            assert_eq!(rest_of.kept().run().packets().count(), rest_of.len());
        }
    }
}
