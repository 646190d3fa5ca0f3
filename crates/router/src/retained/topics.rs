//! Retained topics that stand together in a leaf: one by one, or their contents as one piece of memory.
//!
//! A replay of very many messages is a matter of memory. Taken together they cost a look at each mark, and their bytes can
//! be sent from where they are kept, since a leaf that somebody still reads is copied before it changes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::RetainedTopic;
use super::content::Content;
use super::leaf::Leaf;

/// Retained topics that stand beside each other, in order.
pub struct RetainedTopics<'t, M, V> {
    leaf: Option<&'t Leaf<M, V>>,
    range: Range<usize>,
}

impl<'t, M: Copy, V> RetainedTopics<'t, M, V> {
    pub(super) fn none() -> Self {
        Self {
            leaf: None,
            range: 0..0,
        }
    }

    pub(super) fn of(leaf: &'t Leaf<M, V>, range: Range<usize>) -> Self {
        Self {
            leaf: Some(leaf),
            range,
        }
    }

    /// Takes the first ones as long as their marks fit, as one; `None` if already the first doesn't.
    #[inline]
    pub fn take_together(&mut self, mut fits: impl FnMut(M) -> bool) -> Option<Contents<'t>> {
        let leaf = self.leaf?;
        let marks = leaf.marks(self.range.clone());
        let count = marks.take_while(|mark| fits(*mark)).count();
        let taken = self.split(count).range;
        (count > 0).then(|| leaf.contents(taken))
    }

    /// The content of the first one.
    #[inline]
    pub(super) fn first(&self) -> Option<Content<'t>> {
        self.last_of(1)
    }

    /// The content of the last of the first `count` ones.
    #[inline]
    pub(super) fn last_of(&self, count: usize) -> Option<Content<'t>> {
        let at = self.range.clone().nth(count.checked_sub(1)?)?;
        Some(self.leaf?.at(at)?.content)
    }

    /// Takes the first `count` ones.
    pub(super) fn split(&mut self, count: usize) -> Self {
        let at = self.range.start + count.min(self.range.len());
        let leaf = self.leaf;
        let range = self.range.start..at;
        self.range.start = at;
        Self { leaf, range }
    }

    /// How many of them stand before a place.
    pub(super) fn before(&self, place: &[u8]) -> usize {
        let count = self.leaf.map(|leaf| leaf.before(self.range.clone(), place));
        count.unwrap_or(0)
    }
}

impl<M, V> Clone for RetainedTopics<'_, M, V> {
    fn clone(&self) -> Self {
        Self {
            leaf: self.leaf,
            range: self.range.clone(),
        }
    }
}

/// One by one.
impl<'t, M: Copy, V> Iterator for RetainedTopics<'t, M, V> {
    type Item = RetainedTopic<'t, M, V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.leaf?.at(self.range.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<M: Copy, V> ExactSizeIterator for RetainedTopics<'_, M, V> {}

/// Contents that lie directly behind each other, as one.
#[derive(Clone, Debug)]
pub struct Contents<'t> {
    /// They and what lies around them.
    memory: &'t Arc<Vec<u8>>,
    range: Range<usize>,
    count: usize,
}

impl<'t> Contents<'t> {
    pub(super) fn of(memory: &'t Arc<Vec<u8>>, range: Range<usize>, count: usize) -> Self {
        Self {
            memory,
            range,
            count,
        }
    }

    /// The bytes of all.
    pub fn bytes(&self) -> &'t [u8] {
        self.memory.get(self.range.clone()).unwrap_or_default()
    }

    /// The bytes, to be kept for longer; `None` if that would keep more than twice as many.
    pub fn share(&self) -> Option<Bytes> {
        let is_most = self.range.len() * 2 >= self.memory.capacity();
        is_most.then(|| {
            let memory = Bytes::from_owner(Memory(Arc::clone(self.memory)));
            memory.slice(self.range.clone())
        })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The contents of a leaf, kept by somebody else too.
struct Memory(Arc<Vec<u8>>);

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
