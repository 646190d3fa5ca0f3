//! A run of retained topics that stand together, their contents in one piece of memory and in order.
//!
//! A replay reads what stands in order, so it reads memory in order, whenever each of the messages came, and contents
//! beside each other can be taken as one. For that a change moves what stands behind it, which is at most a leaf.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use super::RetainedTopic;
use super::content::{Content, Span};
use super::topics::{Contents, RetainedTopics};
use crate::order::compare;

/// A leaf of two topics or more is split when it has more bytes than this.
const LEAF_BYTES: usize = 32 << 10;

/// Some topics in the order of levels, each with a content, a mark and a value.
pub(super) struct Leaf<M, V> {
    /// Copied before it changes if somebody still reads it.
    contents: Arc<Vec<u8>>,
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
    pub(super) fn new() -> Self {
        Self {
            contents: Arc::default(),
            slots: Vec::new(),
            values: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All topics in order.
    pub(super) fn topics(&self) -> RetainedTopics<'_, M, V> {
        RetainedTopics::of(self, 0..self.slots.len())
    }

    /// The topics from a place on, without the one that stands there or with it.
    pub(super) fn topics_from(&self, place: &[u8], includes: bool) -> RetainedTopics<'_, M, V> {
        let found = self.find(place);
        let from = found.map_or_else(|at| at, |at| at + usize::from(!includes));
        RetainedTopics::of(self, from..self.slots.len())
    }

    pub(super) fn get(&self, topic: &str) -> Option<RetainedTopic<'_, M, V>> {
        self.at(self.find(topic.as_bytes()).ok()?)
    }

    #[inline]
    pub(super) fn at(&self, at: usize) -> Option<RetainedTopic<'_, M, V>> {
        let (slot, value) = (self.slots.get(at)?, self.values.get(at)?);
        Some(RetainedTopic {
            content: self.content(slot),
            mark: slot.mark,
            value,
        })
    }

    pub(super) fn marks(&self, topics: Range<usize>) -> impl Iterator<Item = M> {
        let slots = self.slots.get(topics).unwrap_or_default();
        slots.iter().map(|slot| slot.mark)
    }

    pub(super) fn contents(&self, topics: Range<usize>) -> Contents<'_> {
        let (count, slots) = (topics.len(), self.slots.get(topics).unwrap_or_default());
        let end = |slot: Option<&Slot<M>>, end: fn(Range<usize>) -> usize| {
            slot.map_or(0, |slot| end(slot.content.range()))
        };
        let range = end(slots.first(), |it| it.start)..end(slots.last(), |it| it.end);
        Contents::of(&self.contents, range, count)
    }

    /// How many of some topics stand before a place.
    pub(super) fn before(&self, topics: Range<usize>, place: &[u8]) -> usize {
        let slots = self.slots.get(topics).unwrap_or_default();
        let is_before = |slot: &Slot<M>| compare(self.content(slot).topic_bytes(), place).is_lt();
        // Mostly all of them: a search would look at more than the last.
        match slots.last() {
            Some(last) if is_before(last) => slots.len(),
            _ => slots.partition_point(is_before),
        }
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
            contents: Arc::new(Arc::make_mut(&mut self.contents).split_off(start)),
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
        let contents = Arc::make_mut(&mut self.contents);
        if let Some(place) = contents.get_mut(old.clone())
            && place.len() == bytes.len()
        {
            place.copy_from_slice(bytes);
            return;
        }
        slot.content = Span::of(old.start, bytes.len());
        for slot in behind {
            slot.content.move_by(old.len(), bytes.len());
        }
        contents.splice(old, bytes.iter().copied());
        if contents.len() * 4 < contents.capacity() {
            self.shrink();
        }
    }

    /// Gives back the memory that it doesn't need.
    fn shrink(&mut self) {
        Arc::make_mut(&mut self.contents).shrink_to_fit();
        self.slots.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    fn find(&self, topic: &[u8]) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| compare(self.content(slot).topic_bytes(), topic))
    }

    #[inline]
    fn content(&self, slot: &Slot<M>) -> Content<'_> {
        let bytes = self.contents.get(slot.content.range());
        Content::kept(bytes.unwrap_or_default(), slot.topic)
    }
}
