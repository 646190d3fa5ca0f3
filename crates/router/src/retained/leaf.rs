//! A run of retained topics that stand together, their contents in one piece of memory and in order.
//!
//! A replay reads what stands in order, so it reads memory in order, whenever each of the messages came, and contents
//! beside each other can be taken as one. For that a change moves what stands behind it, which is at most a leaf.

use alloc::vec::Vec;
use core::mem;

use super::RetainedTopic;
use super::content::{Content, Span};
use crate::order::compare;

/// A leaf of two topics or more is split when it has more bytes than this.
const LEAF_BYTES: usize = 16 << 10;

/// Some topics in the order of levels, each with a content, a mark and a value.
pub(super) struct Leaf<M, V> {
    contents: Vec<u8>,
    /// Apart from the values, since a replay reads nothing else of most topics.
    slots: Vec<Slot<M>>,
    /// One for each slot.
    values: Vec<V>,
}

struct Slot<M> {
    content: Span,
    /// Where the topic stands in the content.
    topic: Span,
    mark: M,
}

impl<M: Copy, V> Leaf<M, V> {
    pub(super) const fn new() -> Self {
        Self {
            contents: Vec::new(),
            slots: Vec::new(),
            values: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All topics in order.
    pub(super) fn entries(&self) -> Entries<'_, M, V> {
        self.entries_of(0)
    }

    /// The topics from a place on, without the one that stands there or with it.
    pub(super) fn entries_from(&self, place: &[u8], includes: bool) -> Entries<'_, M, V> {
        let found = self.find(place);
        self.entries_of(found.map_or_else(|at| at, |at| at + usize::from(!includes)))
    }

    pub(super) fn get(&self, topic: &str) -> Option<RetainedTopic<'_, M, V>> {
        let at = self.find(topic.as_bytes()).ok()?;
        self.entries_of(at).next()
    }

    /// Sets the content of the topic in it, its mark and its value, and returns the value it had.
    pub(super) fn insert(&mut self, content: Content<'_>, mark: M, value: V) -> Option<V> {
        let (bytes, topic) = (content.bytes(), content.topic_span());
        match self.find(content.topic_bytes()) {
            Ok(at) => {
                self.write(at, bytes);
                let slot = self.slots.get_mut(at)?;
                (slot.topic, slot.mark) = (topic, mark);
                Some(mem::replace(self.values.get_mut(at)?, value))
            }
            Err(at) => {
                let behind = self.slots.get(at);
                let start = behind.map_or(self.contents.len(), |slot| slot.content.range().start);
                let slot = Slot {
                    content: Span::of(start, 0),
                    topic,
                    mark,
                };
                self.slots.insert(at, slot);
                self.values.insert(at, value);
                self.write(at, bytes);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, topic: &str) -> Option<V> {
        let at = self.find(topic.as_bytes()).ok()?;
        self.write(at, &[]);
        self.slots.remove(at);
        Some(self.values.remove(at))
    }

    /// The second half of it, if it has become too large.
    pub(super) fn split(&mut self) -> Option<Self> {
        if self.contents.len() <= LEAF_BYTES || self.slots.len() < 2 {
            return None;
        }
        let half = self.slots.len() / 2;
        let start = self.slots.get(half)?.content.range().start;
        let mut right = Self {
            contents: self.contents.split_off(start),
            slots: self.slots.split_off(half),
            values: self.values.split_off(half),
        };
        for slot in &mut right.slots {
            slot.content.move_by(start, 0);
        }
        self.shrink();
        Some(right)
    }

    /// Makes `bytes` the content of a slot.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let Some((slot, behind)) = self.slots.get_mut(at..).and_then(<[_]>::split_first_mut) else {
            return;
        };
        let old = slot.content.range();
        if let Some(place) = self.contents.get_mut(old.clone())
            && place.len() == bytes.len()
        {
            place.copy_from_slice(bytes);
            return;
        }
        slot.content = Span::of(old.start, bytes.len());
        for slot in behind {
            slot.content.move_by(old.len(), bytes.len());
        }
        self.contents.splice(old, bytes.iter().copied());
        if self.contents.len() * 4 < self.contents.capacity() {
            self.shrink();
        }
    }

    /// Gives back the memory that it doesn't need.
    fn shrink(&mut self) {
        self.contents.shrink_to_fit();
        self.slots.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    fn find(&self, topic: &[u8]) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| compare(self.content(slot).topic_bytes(), topic))
    }

    #[inline]
    fn content(&self, slot: &Slot<M>) -> Content<'_> {
        Content::at(&self.contents, slot.content, slot.topic)
    }

    fn entries_of(&self, start: usize) -> Entries<'_, M, V> {
        Entries {
            leaf: Some(self),
            next: start,
        }
    }
}

/// The topics of a leaf in order, from one on.
pub(super) struct Entries<'t, M, V> {
    leaf: Option<&'t Leaf<M, V>>,
    next: usize,
}

impl<M: Copy, V> Entries<'_, M, V> {
    pub(super) fn none() -> Self {
        Self {
            leaf: None,
            next: 0,
        }
    }

    /// How many of them stand before a place.
    pub(super) fn before(&self, place: &[u8]) -> usize {
        let rest = self
            .leaf
            .and_then(|leaf| Some((leaf, leaf.slots.get(self.next..)?)));
        let Some((leaf, slots)) = rest else {
            return 0;
        };
        let is_before = |slot: &Slot<M>| compare(leaf.content(slot).topic_bytes(), place).is_lt();
        // Mostly all of them: a search would look at more than the last.
        match slots.last() {
            Some(last) if is_before(last) => slots.len(),
            _ => slots.partition_point(is_before),
        }
    }
}

impl<M, V> Clone for Entries<'_, M, V> {
    fn clone(&self) -> Self {
        Self {
            leaf: self.leaf,
            next: self.next,
        }
    }
}

impl<'t, M: Copy, V> Iterator for Entries<'t, M, V> {
    type Item = RetainedTopic<'t, M, V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let leaf = self.leaf?;
        let (slot, value) = (leaf.slots.get(self.next)?, leaf.values.get(self.next)?);
        self.next += 1;
        Some(RetainedTopic {
            content: leaf.content(slot),
            mark: slot.mark,
            value,
        })
    }
}
