//! A run of retained topics that stand together: their texts in one piece of memory, their contents in another.
//!
//! A replay reads what stands in order, so it reads memory in order, whenever each of the messages came. New texts and
//! contents are written behind the others; what is replaced or removed stays behind as idle bytes until these are
//! half of all, and then what is left is packed anew. So a change costs a short copy however many topics there are.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::{mem, slice};

use super::RetainedTopic;
use crate::order::compare;

/// A leaf of two topics or more is split when it has more bytes than this.
const LEAF_BYTES: usize = 16 << 10;

/// Some topics in the order of levels, each with a content and a value.
pub(super) struct Leaf<V> {
    topics: String,
    contents: Vec<u8>,
    slots: Vec<Slot<V>>,
    /// How many bytes of `topics` and `contents` belong to no slot any more.
    idle_bytes: usize,
}

struct Slot<V> {
    topic: Span,
    content: Span,
    value: V,
}

/// Where a text or a content lies. Nothing that MQTT carries has more than 2^28 bytes, and a leaf that has one so large has
/// hardly more, so 32 bits suffice.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a leaf has less than 2^32 bytes"
    )]
    fn of(start: usize, len: usize) -> Self {
        Self {
            start: start as u32,
            len: len as u32,
        }
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl<V> Leaf<V> {
    pub(super) const fn new() -> Self {
        Self {
            topics: String::new(),
            contents: Vec::new(),
            slots: Vec::new(),
            idle_bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All topics in order.
    pub(super) fn entries(&self) -> Entries<'_, V> {
        self.entries_of(&self.slots)
    }

    /// The topics from a place on, without the one that stands there or with it.
    pub(super) fn entries_from(&self, place: &[u8], includes: bool) -> Entries<'_, V> {
        let found = self.find(place);
        let start = found.map_or_else(|at| at, |at| at + usize::from(!includes));
        self.entries_of(self.slots.get(start..).unwrap_or_default())
    }

    pub(super) fn get(&self, topic: &str) -> Option<RetainedTopic<'_, V>> {
        let at = self.find(topic.as_bytes()).ok()?;
        let slots = self.slots.get(at..)?;
        self.entries_of(slots).next()
    }

    /// Sets a topic's content and value, and returns the value it had.
    pub(super) fn insert(&mut self, topic: &str, content: &[u8], value: V) -> Option<V> {
        match self.find(topic.as_bytes()) {
            Ok(at) => {
                let old = self.replace(at, content, value);
                self.pack_if_idle();
                old
            }
            Err(at) => {
                let slot = Slot {
                    topic: Span::of(self.topics.len(), topic.len()),
                    content: Span::of(self.contents.len(), content.len()),
                    value,
                };
                self.topics.push_str(topic);
                self.contents.extend_from_slice(content);
                self.slots.insert(at, slot);
                None
            }
        }
    }

    /// A content of the same length takes the place of the old one.
    fn replace(&mut self, at: usize, content: &[u8], value: V) -> Option<V> {
        let slot = self.slots.get_mut(at)?;
        if slot.content.len as usize == content.len()
            && let Some(old) = self.contents.get_mut(slot.content.range())
        {
            old.copy_from_slice(content);
        } else {
            self.idle_bytes += slot.content.len as usize;
            slot.content = Span::of(self.contents.len(), content.len());
            self.contents.extend_from_slice(content);
        }
        Some(mem::replace(&mut slot.value, value))
    }

    pub(super) fn remove(&mut self, topic: &str) -> Option<V> {
        let at = self.find(topic.as_bytes()).ok()?;
        let slot = self.slots.remove(at);
        self.idle_bytes += slot.topic.len as usize + slot.content.len as usize;
        self.pack_if_idle();
        Some(slot.value)
    }

    /// The second half of it, if it has become too large.
    pub(super) fn split(&mut self) -> Option<Self> {
        if self.bytes() <= LEAF_BYTES || self.slots.len() < 2 {
            return None;
        }
        let behind = self.slots.split_off(self.slots.len() / 2);
        let right = self.packed(behind);
        let left = mem::take(&mut self.slots);
        *self = self.packed(left);
        Some(right)
    }

    fn bytes(&self) -> usize {
        self.topics.len() + self.contents.len()
    }

    fn pack_if_idle(&mut self) {
        if self.idle_bytes * 2 > self.bytes() {
            let slots = mem::take(&mut self.slots);
            *self = self.packed(slots);
        }
    }

    /// A leaf of some of its slots, in which nothing is idle and all stands in order.
    fn packed(&self, slots: Vec<Slot<V>>) -> Self {
        let topics_bytes = slots.iter().map(|slot| slot.topic.range().len());
        let contents_bytes = slots.iter().map(|slot| slot.content.range().len());
        let mut packed = Self {
            topics: String::with_capacity(topics_bytes.sum()),
            contents: Vec::with_capacity(contents_bytes.sum()),
            slots: Vec::with_capacity(slots.len()),
            idle_bytes: 0,
        };
        for mut slot in slots {
            let (topic, content) = (self.topic(&slot), self.content(&slot));
            slot.topic = Span::of(packed.topics.len(), topic.len());
            slot.content = Span::of(packed.contents.len(), content.len());
            packed.topics.push_str(topic);
            packed.contents.extend_from_slice(content);
            packed.slots.push(slot);
        }
        packed
    }

    fn find(&self, topic: &[u8]) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| compare(self.topic(slot).as_bytes(), topic))
    }

    fn topic(&self, slot: &Slot<V>) -> &str {
        self.topics.get(slot.topic.range()).unwrap_or_default()
    }

    fn content(&self, slot: &Slot<V>) -> &[u8] {
        self.contents.get(slot.content.range()).unwrap_or_default()
    }

    fn entries_of<'t>(&'t self, slots: &'t [Slot<V>]) -> Entries<'t, V> {
        Entries {
            leaf: Some(self),
            slots: slots.iter(),
        }
    }
}

/// The topics of a leaf in order.
pub(super) struct Entries<'t, V> {
    leaf: Option<&'t Leaf<V>>,
    slots: slice::Iter<'t, Slot<V>>,
}

impl<V> Entries<'_, V> {
    pub(super) fn none() -> Self {
        Self {
            leaf: None,
            slots: [].iter(),
        }
    }
}

impl<V> Clone for Entries<'_, V> {
    fn clone(&self) -> Self {
        Self {
            leaf: self.leaf,
            slots: self.slots.clone(),
        }
    }
}

impl<'t, V> Iterator for Entries<'t, V> {
    type Item = RetainedTopic<'t, V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (leaf, slot) = (self.leaf?, self.slots.next()?);
        Some(RetainedTopic {
            topic: leaf.topic(slot),
            content: leaf.content(slot),
            value: &slot.value,
        })
    }
}
