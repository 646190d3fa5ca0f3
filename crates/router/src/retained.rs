//! The retained topics: one value each, and all that match a filter, a page at a time.
//!
//! Leaves of some kilobytes hold them, in the order of levels. A wildcard is answered by seeking: from the
//! first topic that could match to the next, skipping every run that can't, so a literal prefix is
//! never scanned past and a `+` costs two seeks for each value it takes. A page ends after so many looks,
//! so that a filter which matches next to nothing can't stall a thread. Its cursor is a topic, not a position:
//! the set may change between pages, and each topic that stays is still visited exactly once.

mod content;
mod leaf;
mod topics;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Range;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::{Bound, ControlFlow};

use weir_codec::TopicFilter;

pub use self::content::Content;
use self::leaf::Leaf;
pub use self::topics::{Contents, RetainedTopics};
use crate::order::{BEHIND, InOrder, Place, compare};

/// Retained topics in the order of their levels, each with a content, a small mark and a value.
pub struct RetainedTree<M, V> {
    /// By a place that none of a leaf's topics stands before, and all topics of the leaf before it do.
    leaves: BTreeMap<InOrder, Leaf<M, V>>,
    len: usize,
}

/// A retained topic as it is kept.
#[derive(Debug)]
pub struct RetainedTopic<'t, M, V> {
    /// Bytes that lie beside those of the topics around it.
    pub content: Content<'t>,
    /// What is read whenever it is visited.
    pub mark: M,
    /// Whatever else there is to know of it.
    pub value: &'t V,
}

/// Whether there is more behind a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// All matching topics were visited.
    Done,
    /// Go on after this topic, which was the last one looked at. It may have matched or not, and may
    /// be gone by then. A page can give this without a visit.
    More(Box<str>),
    /// The visitor broke off. Go on after this topic, the last one before that where it did; without one, from where this page began.
    Stopped(Option<Box<str>>),
}

impl<M: Copy, V> RetainedTree<M, V> {
    /// An empty tree.
    pub const fn new() -> Self {
        Self {
            leaves: BTreeMap::new(),
            len: 0,
        }
    }

    /// Retains a content, a mark and a value for the topic in it and returns the value it replaces [MQTT-3.3.1-5]. The
    /// content is copied, now and then again later: what is large is better kept in the value.
    pub fn insert(&mut self, content: Content<'_>, mark: M, value: V) -> Option<V> {
        let (old, split) = match self.leaf_mut(content.topic_bytes()) {
            Some((_, leaf)) => (leaf.insert(content, mark, value), leaf.split()),
            None => {
                let mut leaf = Leaf::new();
                leaf.insert(content, mark, value);
                // There is none before it, so it may begin as early as any could.
                self.leaves.insert(InOrder(Box::default()), leaf);
                (None, None)
            }
        };
        if let Some(right) = split
            && let Some(first) = right.topics().first()
        {
            let first = InOrder(first.topic().into());
            self.leaves.insert(first, right);
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Forgets a topic and returns its value [MQTT-3.3.1-6].
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let (first, leaf) = self.leaf_mut(topic.as_bytes())?;
        let value = leaf.remove(topic)?;
        if leaf.is_empty() {
            let first = first.clone();
            self.leaves.remove(&first);
        }
        self.len -= 1;
        Some(value)
    }

    /// What is retained for a topic.
    pub fn get(&self, topic: &str) -> Option<RetainedTopic<'_, M, V>> {
        let (_, leaf) = self.until(topic.as_bytes()).next_back()?;
        leaf.get(topic)
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no topic is retained.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All topics in order, those that begin with `$` too.
    pub fn iter(&self) -> impl Iterator<Item = RetainedTopic<'_, M, V>> {
        self.leaves.values().flat_map(Leaf::topics)
    }

    /// Visits matching topics that stand behind `after`, in order, as long as `visit` goes on. Each topic that is looked at,
    /// whether it matches or not, takes one of `looks_left`, and at least one does. Of a shared filter the part behind the share name counts.
    ///
    /// Matches that stand together, as those of a literal prefix and a `#` do, are visited together. When `visit` breaks
    /// off, what it has not taken of them was not visited.
    pub fn page<'t>(
        &'t self,
        filter: &TopicFilter,
        after: Option<&str>,
        looks_left: &mut usize,
        mut visit: impl FnMut(&mut RetainedTopics<'t, M, V>) -> ControlFlow<()>,
    ) -> Page {
        let filter = filter.filter().as_bytes();
        let stand_together = filter.ends_with(b"#") && !filter.contains(&b'+');
        let mut place = Vec::new();
        let mut last: Option<Content<'_>> = None;
        let mut rest = self.start(filter, after);
        while let Some(first) = rest.first() {
            let looked_at = match judge(filter, first.topic_bytes(), &mut place) {
                Verdict::Match => {
                    let mut count = 1;
                    if stand_together {
                        put_end(filter, first.topic_bytes(), &mut place);
                        count = rest.topics.before(&place).min(*looks_left).max(1);
                    }
                    let mut topics = rest.topics.split(count);
                    let all = topics.clone();
                    if visit(&mut topics).is_break() {
                        last = all.last_of(count - topics.len()).or(last);
                        return Page::Stopped(last.map(|last| last.topic().into()));
                    }
                    last = all.last_of(count);
                    count
                }
                Verdict::Seek => {
                    last = Some(first);
                    rest = self.seek(rest, &place);
                    1
                }
                Verdict::End => return Page::Done,
            };
            *looks_left = looks_left.saturating_sub(looked_at);
            if let Some(last) = last
                && *looks_left == 0
            {
                return Page::More(last.topic().into());
            }
        }
        Page::Done
    }

    /// From the first topic that could match, or behind the cursor, whichever comes later.
    fn start(&self, filter: &[u8], after: Option<&str>) -> Walk<'_, M, V> {
        let prefix = literal_prefix(filter);
        match after.map(str::as_bytes) {
            Some(after) if compare(after, prefix).is_ge() => self.walk(after, false),
            _ => self.walk(prefix, true),
        }
    }

    /// On from a place behind the next topic. Often the one after that stands there already, and looking is cheaper than a
    /// search.
    fn seek<'t>(&'t self, mut rest: Walk<'t, M, V>, place: &[u8]) -> Walk<'t, M, V> {
        rest.topics.split(1);
        match rest.first() {
            Some(next) if compare(next.topic_bytes(), place).is_lt() => self.walk(place, true),
            _ => rest,
        }
    }

    /// All topics from a place on, without the one that stands there or with it.
    fn walk(&self, place: &[u8], includes: bool) -> Walk<'_, M, V> {
        let leaf = self.until(place).next_back();
        let behind = (Bound::Excluded(&place as &dyn Place), Bound::Unbounded);
        Walk {
            topics: leaf.map_or_else(RetainedTopics::none, |(_, leaf)| {
                leaf.topics_from(place, includes)
            }),
            leaves: self.leaves.range::<dyn Place, _>(behind),
        }
    }

    /// The leaves that begin at a place or before it: the last one is where a topic of that place belongs.
    fn until(&self, place: &[u8]) -> Range<'_, InOrder, Leaf<M, V>> {
        let place = (Bound::Unbounded, Bound::Included(&place as &dyn Place));
        self.leaves.range::<dyn Place, _>(place)
    }

    fn leaf_mut(&mut self, topic: &[u8]) -> Option<(&InOrder, &mut Leaf<M, V>)> {
        let until = (Bound::Unbounded, Bound::Included(&topic as &dyn Place));
        self.leaves.range_mut::<dyn Place, _>(until).next_back()
    }
}

/// Topics from a place on, through the leaves.
struct Walk<'t, M, V> {
    topics: RetainedTopics<'t, M, V>,
    leaves: Range<'t, InOrder, Leaf<M, V>>,
}

impl<'t, M: Copy, V> Walk<'t, M, V> {
    /// The next one, which its leaf has then.
    fn first(&mut self) -> Option<Content<'t>> {
        loop {
            if let Some(first) = self.topics.first() {
                return Some(first);
            }
            let (_, leaf) = self.leaves.next()?;
            self.topics = leaf.topics();
        }
    }
}

impl<M: Copy, V> Default for RetainedTree<M, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a topic means for a filter.
enum Verdict {
    Match,
    /// Neither this topic nor any before the place that was written down matches.
    Seek,
    /// Neither this topic nor any behind it matches.
    End,
}

/// Compares a topic with a filter and, on a mismatch, writes down the first place behind the topic where a match can be.
#[inline]
fn judge(filter: &[u8], topic: &[u8], place: &mut Vec<u8>) -> Verdict {
    place.clear();
    if topic.starts_with(b"$") && matches!(filter.first(), Some(b'+' | b'#')) {
        place.push(b'$' + 1);
        return Verdict::Seek;
    }
    match filter {
        b"#" => Verdict::Match,
        _ => judge_levels(filter, topic, place),
    }
}

fn judge_levels(filter: &[u8], topic: &[u8], place: &mut Vec<u8>) -> Verdict {
    let (mut wanted_levels, mut levels) = (filter.split(is_border), topic.split(is_border));
    // Where the level under comparison starts, and where the last one ended that a '+' took.
    let (mut start, mut taken) = (0, None);
    loop {
        let (wanted, level) = match (wanted_levels.next(), levels.next()) {
            (None, None) | (Some(b"#"), _) => return Verdict::Match,
            (Some(wanted), Some(level)) => (wanted, level),
            (None, Some(_)) => return seek_behind(place, topic, taken),
            (Some(wanted), None) => {
                place.extend_from_slice(topic);
                place.push(b'/');
                place.extend_from_slice(if wanted == b"+" { b"" } else { wanted });
                return Verdict::Seek;
            }
        };
        match level.cmp(wanted) {
            _ if wanted == b"+" => taken = Some(start + level.len()),
            Ordering::Equal => {}
            Ordering::Greater => return seek_behind(place, topic, taken),
            Ordering::Less => {
                place.extend(topic.iter().take(start).chain(wanted));
                return Verdict::Seek;
            }
        }
        start += level.len() + 1;
    }
}

/// Writes down the first place behind a match at which a topic may not match, for a filter of literal levels and a '#'.
fn put_end(filter: &[u8], topic: &[u8], place: &mut Vec<u8>) {
    place.clear();
    match filter {
        b"#" if compare(topic, b"$").is_lt() => place.push(b'$'),
        // No text has such a byte.
        b"#" => place.push(u8::MAX),
        _ => place.extend(literal_prefix(filter).iter().chain(&[BEHIND])),
    }
}

/// Behind all topics that give the last '+' the same text; without a '+' there is nothing to come.
fn seek_behind(place: &mut Vec<u8>, topic: &[u8], taken: Option<usize>) -> Verdict {
    let Some(end) = taken else {
        return Verdict::End;
    };
    place.extend(topic.iter().take(end).chain(&[BEHIND]));
    Verdict::Seek
}

/// The part of a filter before its first wildcard, without the '/' between them: the least topic that can match.
fn literal_prefix(filter: &[u8]) -> &[u8] {
    let Some(wildcard) = filter.iter().position(|byte| matches!(byte, b'+' | b'#')) else {
        return filter;
    };
    filter.get(..wildcard.saturating_sub(1)).unwrap_or_default()
}

fn is_border(byte: &u8) -> bool {
    *byte == b'/'
}

#[cfg(test)]
mod tests;
