//! Packets that are the same for many, encoded once.
//!
//! What one turn sends to everybody alike is written here, and an [`Output`](crate::Output) refers to it by a [`Stretch`].
//! Heads that are [`Alike`] have a run of their own, so that the packets of one message to all its receivers of a kind lie
//! directly behind those of the message before: a stretch then only grows. Nothing is counted as in an `Arc`: a segment is
//! cleared when nobody refers to it any more, which is its owner's to see to.

use crate::{Delivery, PublishHead, Run as Plain, Version, publish, sink::Sink};
use alloc::vec::Vec;

/// So much memory is kept of a run for the next turn.
const KEPT_BYTES: usize = 1 << 20;

/// So many runs are kept apart; heads that are rarer are nobody's business but their receivers'.
const RUNS: usize = 16;

/// The bytes that outputs have in common.
#[derive(Debug, Default)]
pub struct Segment {
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    alike: Alike,
    bytes: Vec<u8>,
}

/// What the packets of a run have in common, topic and properties aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alike {
    /// 3.1 and 3.1.1 are written alike.
    pub version: Version,
    /// The topic alias.
    pub topic_alias: Option<u16>,
    /// The Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A part of a segment: one packet, or several that lie behind each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    run: u32,
    start: u32,
    end: u32,
}

impl Segment {
    /// An empty segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of bytes in it.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.bytes.len()).sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.iter().all(|run| run.bytes.is_empty())
    }

    /// Drops everything that is in it: no stretch of it means anything from now on.
    pub fn clear(&mut self) {
        // Runs that nobody has needed make room for others.
        self.runs.retain(|run| !run.bytes.is_empty());
        for run in &mut self.runs {
            run.bytes.clear();
            run.bytes.shrink_to(KEPT_BYTES);
        }
    }

    /// Appends a PUBLISH with QoS 0; `None`: there is no such packet, as
    /// [`PublishFrame::new`](crate::PublishFrame::new) would say, or no room for its kind. Nothing has been appended then.
    pub fn publish(
        &mut self,
        head: &PublishHead<'_>,
        payload: &[u8],
        retain: bool,
    ) -> Option<Stretch> {
        let layout = head.layout(payload.len(), false).ok()?;
        let index = self.run(head.alike()?)?;
        let bytes = &mut self.runs.get_mut(index)?.bytes;
        let place = |at: usize| u32::try_from(at).ok();
        let packet_bytes = layout.packet_bytes();
        let stretch = Stretch {
            run: place(index)?,
            start: place(bytes.len())?,
            end: place(bytes.len() + packet_bytes)?,
        };
        bytes.reserve(packet_bytes);
        let flags = publish::flags(false, retain, Delivery::AtMostOnce);
        head.write(flags, &layout, bytes);
        bytes.put(payload);
        Some(stretch)
    }

    /// Appends the packet that `like` is, with another payload of the same length: so nothing in front of the payload
    /// differs. `None`: there is no such packet, or no room.
    #[inline]
    pub fn publish_like(&mut self, like: Stretch, payload: &[u8]) -> Option<Stretch> {
        let bytes = &mut self.runs.get_mut(like.run as usize)?.bytes;
        let head_bytes = like.len().checked_sub(payload.len())?;
        let head = like.start as usize..like.start as usize + head_bytes;
        let start = u32::try_from(bytes.len()).ok()?;
        let end = start.checked_add(like.end - like.start)?;
        bytes.get(head.clone())?;
        bytes.extend_from_within(head);
        bytes.extend_from_slice(payload);
        let run = like.run;
        Some(Stretch { run, start, end })
    }

    /// Appends packets as they came, for those whose packets are of the kind `alike`; `None`: they are written in another
    /// way, or there is no room for their kind.
    #[inline]
    pub fn publish_as_it_came(&mut self, alike: Alike, packets: &Plain<'_>) -> Option<Stretch> {
        if alike != Alike::plain(packets.is_v5()) {
            return None;
        }
        let index = self.run(alike)?;
        let bytes = &mut self.runs.get_mut(index)?.bytes;
        let start = u32::try_from(bytes.len()).ok()?;
        let end = start.checked_add(u32::try_from(packets.bytes().len()).ok()?)?;
        bytes.extend_from_slice(packets.bytes());
        let run = u32::try_from(index).ok()?;
        Some(Stretch { run, start, end })
    }

    /// Whether there is room for packets of this kind; it stays theirs until the segment is [cleared](Segment::clear).
    #[inline]
    pub fn admits(&mut self, alike: Alike) -> bool {
        self.run(alike).is_some()
    }

    /// What the packets of a stretch have in common.
    pub fn alike(&self, stretch: Stretch) -> Option<Alike> {
        Some(self.runs.get(stretch.run as usize)?.alike)
    }

    /// The bytes of a stretch.
    pub fn bytes(&self, stretch: Stretch) -> &[u8] {
        let run = self.runs.get(stretch.run as usize);
        let range = stretch.start as usize..stretch.end as usize;
        let bytes = run.and_then(|run| run.bytes.get(range)).unwrap_or_default();
        debug_assert_eq!(bytes.len(), stretch.len(), "the segment was cleared");
        bytes
    }

    #[inline]
    fn run(&mut self, alike: Alike) -> Option<usize> {
        if let Some(index) = self.runs.iter().position(|run| run.alike == alike) {
            return Some(index);
        }
        let bytes = Vec::new();
        (self.runs.len() < RUNS).then(|| self.runs.push(Run { alike, bytes }))?;
        Some(self.runs.len() - 1)
    }
}

impl PublishHead<'_> {
    /// The kind of its packets in a [`Segment`]; `None`: it is rare, since it carries several identifiers.
    #[inline]
    pub fn alike(&self) -> Option<Alike> {
        let identifier = match self.subscription_identifiers {
            [] => None,
            [identifier] => Some(*identifier),
            _ => return None,
        };
        Some(Alike {
            version: match self.version {
                Version::V5 => Version::V5,
                _ => Version::V3_1_1,
            },
            topic_alias: self.topic_alias,
            identifier,
        })
    }
}

impl Alike {
    /// Nothing is in these packets that was not in the publisher's.
    const fn plain(is_v5: bool) -> Self {
        Self {
            version: if is_v5 { Version::V5 } else { Version::V3_1_1 },
            topic_alias: None,
            identifier: None,
        }
    }
}

impl Stretch {
    /// The number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it is nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// This stretch and `next` as one, if that lies directly behind it.
    #[inline]
    pub fn joined(self, next: Self) -> Option<Self> {
        (self.run == next.run && self.end == next.start).then_some(Self {
            end: next.end,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Properties;

    fn publish(segment: &mut Segment, version: Version, identifiers: &[u32]) -> Option<Stretch> {
        let head = PublishHead {
            version,
            topic: "a",
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: identifiers,
            properties: &Properties::new(),
        };
        segment.publish(&head, b"x", version == Version::V3_1)
    }

    #[test]
    fn packets_of_a_kind_lie_behind_each_other() {
        let segment = &mut Segment::new();
        let first = publish(segment, Version::V3_1_1, &[]).unwrap();
        let other = publish(segment, Version::V5, &[]).unwrap();
        let identified = publish(segment, Version::V5, &[7]).unwrap();
        let second = publish(segment, Version::V3_1, &[]).unwrap();
        assert_eq!((first.joined(other), second.joined(first)), (None, None));
        assert_eq!(other.joined(identified), None);
        let both = first.joined(second).unwrap();
        assert_eq!(segment.bytes(both), b"\x30\x04\0\x01ax\x31\x04\0\x01ax");
        assert_eq!(segment.bytes(other), b"\x30\x05\0\x01a\0x");
        assert_eq!(segment.bytes(identified), b"\x30\x07\0\x01a\x02\x0b\x07x");
        assert_eq!(segment.alike(identified).unwrap().identifier, Some(7));
        segment.clear();
        assert!(segment.is_empty());
    }

    #[test]
    fn a_packet_like_another_has_its_head() {
        let segment = &mut Segment::new();
        let first = publish(segment, Version::V5, &[7]).unwrap();
        let second = segment.publish_like(first, b"y").unwrap();
        let both = first.joined(second).unwrap();
        let expected = b"\x30\x07\0\x01a\x02\x0b\x07x\x30\x07\0\x01a\x02\x0b\x07y";
        assert_eq!(segment.bytes(both), expected);
        assert_eq!(segment.publish_like(first, &[0; 10]), None);
        segment.clear();
        assert_eq!(segment.publish_like(first, b"z"), None);
    }

    #[test]
    fn packets_are_appended_as_they_came_where_they_are_written_so() {
        let segment = &mut Segment::new();
        let topic = crate::TopicName::try_from("a").unwrap();
        let bytes = b"\x30\x04\0\x01ay\x30\x03\0\x01a";
        let run = Plain::of(bytes, &topic, Version::V3_1, 100);
        let older = publish(segment, Version::V3_1_1, &[]).unwrap();
        let others = [&[][..], &[7]].map(|ids| publish(segment, Version::V5, ids).unwrap());
        let alike = segment.alike(older).unwrap();
        let next = segment.publish_as_it_came(alike, &run).unwrap();
        assert_eq!(segment.bytes(next), bytes);
        assert!(older.joined(next).is_some());
        for other in others {
            let alike = segment.alike(other).unwrap();
            assert_eq!(segment.publish_as_it_came(alike, &run), None);
        }
    }

    #[test]
    fn kinds_that_are_rare_have_no_place_and_make_room_when_they_are_gone() {
        let segment = &mut Segment::new();
        assert_eq!(publish(segment, Version::V5, &[1, 2]), None);
        let of_seven = Alike {
            identifier: Some(7),
            ..Alike::plain(true)
        };
        assert!(segment.admits(of_seven));
        for identifier in 0..RUNS as u32 {
            assert!(publish(segment, Version::V5, &[identifier + 1]).is_some());
        }
        assert_eq!(publish(segment, Version::V3_1_1, &[]), None);
        assert!(!segment.admits(Alike::plain(false)) && segment.admits(of_seven));
        (0..2).for_each(|_| segment.clear());
        assert!(publish(segment, Version::V3_1_1, &[]).is_some());
    }
}
