//! The retained topics: one value each, and all that match a filter, a page at a time.
//!
//! One ordered set holds them, in the order of levels. A wildcard is answered by seeking: from the
//! first topic that could match to the next, skipping every run that can't, so a literal prefix is
//! never scanned past and a `+` costs two seeks for each value it takes. A page ends after `limit`
//! matches or after a bounded number of looks, and its cursor is a topic, not a position: the set
//! may change between pages, and each topic that stays is still visited exactly once.

use alloc::collections::BTreeSet;
use alloc::collections::btree_set::Range;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;

use weir_codec::{TopicFilter, TopicName};

use crate::order::{BEHIND, InOrder, Place, compare};

/// How many topics a page may look at for each match it is allowed, so that a filter that matches
/// next to nothing can't stall a thread. [`RetainedTree::page`] states the bound.
const LOOKS_PER_MATCH: usize = 16;

/// Retained values by topic, in the order of their levels.
pub struct RetainedTree<V> {
    topics: BTreeSet<InOrder<V>>,
}

/// Whether there is more behind a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// All matching topics were visited.
    Done,
    /// Go on after this topic, which was the last one looked at. It may have matched or not, and may
    /// be gone by then. A page can give this without a visit.
    More(TopicName),
}

impl<V> RetainedTree<V> {
    /// An empty tree.
    pub const fn new() -> Self {
        Self {
            topics: BTreeSet::new(),
        }
    }

    /// Retains a value for a topic and returns the one it replaces [MQTT-3.3.1-5]. The topic is kept as it is; it
    /// should be detached from the packet it came in. The one given last is kept, so that it may share its memory with
    /// the value.
    pub fn insert(&mut self, topic: TopicName, value: V) -> Option<V> {
        let old = self.topics.replace(InOrder { topic, value });
        old.map(|old| old.value)
    }

    /// Forgets a topic and returns its value [MQTT-3.3.1-6].
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let place = &topic.as_bytes() as &dyn Place;
        self.topics.take(place).map(|old| old.value)
    }

    /// The value of a topic.
    pub fn get(&self, topic: &str) -> Option<&V> {
        let place = &topic.as_bytes() as &dyn Place;
        self.topics.get(place).map(|it| &it.value)
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether no topic is retained.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All topics in order, those that begin with `$` too.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &V)> {
        self.topics.iter().map(|it| (&it.topic, &it.value))
    }

    /// Visits up to `limit` (at least one) matching topics that stand behind `after`, in order, and looks
    /// at no more than 16 times as many. Of a shared filter the part behind the share name counts.
    pub fn page<'t>(
        &'t self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        mut visit: impl FnMut(&'t TopicName, &'t V),
    ) -> Page {
        let filter = filter.filter().as_bytes();
        let mut matches_left = limit.max(1);
        let mut looks_left = matches_left.saturating_mul(LOOKS_PER_MATCH);
        let mut place = Vec::new();
        let mut rest = self.start(filter, after);
        while let Some(next) = rest.next() {
            match judge(filter, next.bytes(), &mut place) {
                Verdict::Match => {
                    visit(&next.topic, &next.value);
                    matches_left -= 1;
                }
                Verdict::Seek => rest = self.seek(rest, &place),
                Verdict::End => return Page::Done,
            }
            looks_left -= 1;
            if matches_left == 0 || looks_left == 0 {
                return Page::More(next.topic.clone());
            }
        }
        Page::Done
    }

    /// From the first topic that could match, or behind the cursor, whichever comes later.
    fn start(&self, filter: &[u8], after: Option<&TopicName>) -> Range<'_, InOrder<V>> {
        let prefix = literal_prefix(filter);
        match after.map(|topic| topic.as_str().as_bytes()) {
            Some(after) if compare(after, prefix).is_ge() => self.from(Bound::Excluded(after)),
            _ => self.from(Bound::Included(prefix)),
        }
    }

    /// On from a place further behind. Often the next topic stands there already, and looking is cheaper than a search.
    fn seek<'t>(&'t self, rest: Range<'t, InOrder<V>>, place: &[u8]) -> Range<'t, InOrder<V>> {
        match rest.clone().next() {
            Some(next) if compare(next.bytes(), place).is_lt() => self.from(Bound::Included(place)),
            _ => rest,
        }
    }

    fn from(&self, place: Bound<&[u8]>) -> Range<'_, InOrder<V>> {
        let place = place.as_ref().map(|bytes| bytes as &dyn Place);
        self.topics.range::<dyn Place, _>((place, Bound::Unbounded))
    }
}

impl<V> Default for RetainedTree<V> {
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
fn judge(filter: &[u8], topic: &[u8], place: &mut Vec<u8>) -> Verdict {
    place.clear();
    if topic.starts_with(b"$") && matches!(filter.first(), Some(b'+' | b'#')) {
        place.push(b'$' + 1);
        return Verdict::Seek;
    }
    if filter == b"#" {
        return Verdict::Match;
    }
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
