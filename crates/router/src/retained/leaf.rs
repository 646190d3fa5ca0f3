//! A run of retained topics that stand together, their contents in one piece of memory.
//!
//! A replay reads what stands in order, so it reads memory in order, whenever each of the messages came. A new content
//! is written behind the others; what is replaced or removed stays behind as idle bytes until these are half of all,
//! and then what is left is packed anew. So a change costs a short copy however many topics there are.

use alloc::vec::Vec;
use core::{mem, slice};

use super::RetainedTopic;
use super::content::{Content, Span};
use crate::order::compare;

/// A leaf of two topics or more is split when it has more bytes than this.
const LEAF_BYTES: usize = 16 << 10;

/// Some topics in the order of levels, each with a content and a value.
pub(super) struct Leaf<V> {
    contents: Vec<u8>,
    slots: Vec<Slot<V>>,
    /// How many bytes of `contents` belong to no slot any more.
    idle_bytes: usize,
}

struct Slot<V> {
    content: Span,
    /// Where the topic stands in the content.
    topic: Span,
    value: V,
}

impl<V> Leaf<V> {
    pub(super) const fn new() -> Self {
        Self {
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

    /// Sets the content and the value of the topic in it, and returns the value it had.
    pub(super) fn insert(&mut self, content: Content<'_>, value: V) -> Option<V> {
        match self.find(content.topic_bytes()) {
            Ok(at) => {
                let old = self.replace(at, content, value);
                self.pack_if_idle();
                old
            }
            Err(at) => {
                let slot = Slot {
                    content: self.append(content.bytes()),
                    topic: content.topic_span(),
                    value,
                };
                self.slots.insert(at, slot);
                None
            }
        }
    }

    /// A content of the same length takes the place of the old one.
    fn replace(&mut self, at: usize, content: Content<'_>, value: V) -> Option<V> {
        let old = self.slots.get(at)?.content;
        let bytes = content.bytes();
        let place = match self.contents.get_mut(old.range()) {
            Some(place) if place.len() == bytes.len() => {
                place.copy_from_slice(bytes);
                old
            }
            _ => {
                self.idle_bytes += old.range().len();
                self.append(bytes)
            }
        };
        let slot = self.slots.get_mut(at)?;
        (slot.content, slot.topic) = (place, content.topic_span());
        Some(mem::replace(&mut slot.value, value))
    }

    fn append(&mut self, content: &[u8]) -> Span {
        let span = Span::of(self.contents.len(), content.len());
        self.contents.extend_from_slice(content);
        span
    }

    pub(super) fn remove(&mut self, topic: &str) -> Option<V> {
        let at = self.find(topic.as_bytes()).ok()?;
        let slot = self.slots.remove(at);
        self.idle_bytes += slot.content.range().len();
        self.pack_if_idle();
        Some(slot.value)
    }

    /// The second half of it, if it has become too large.
    pub(super) fn split(&mut self) -> Option<Self> {
        if self.contents.len() <= LEAF_BYTES || self.slots.len() < 2 {
            return None;
        }
        let behind = self.slots.split_off(self.slots.len() / 2);
        let right = self.packed(behind);
        let left = mem::take(&mut self.slots);
        *self = self.packed(left);
        Some(right)
    }

    fn pack_if_idle(&mut self) {
        if self.idle_bytes * 2 > self.contents.len() {
            let slots = mem::take(&mut self.slots);
            *self = self.packed(slots);
        }
    }

    /// A leaf of some of its slots, in which nothing is idle and all stands in order.
    fn packed(&self, slots: Vec<Slot<V>>) -> Self {
        let bytes = slots.iter().map(|slot| slot.content.range().len()).sum();
        let mut packed = Self {
            contents: Vec::with_capacity(bytes),
            slots: Vec::with_capacity(slots.len()),
            idle_bytes: 0,
        };
        for mut slot in slots {
            slot.content = packed.append(self.content(&slot).bytes());
            packed.slots.push(slot);
        }
        packed
    }

    fn find(&self, topic: &[u8]) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| compare(self.content(slot).topic_bytes(), topic))
    }

    #[inline]
    fn content(&self, slot: &Slot<V>) -> Content<'_> {
        Content::at(&self.contents, slot.content, slot.topic)
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
            content: leaf.content(slot),
            value: &slot.value,
        })
    }
}
